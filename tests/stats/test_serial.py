"""Days that are alike: what the variance of their mean is, and how many degrees of freedom are left."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from tasks.stats.intervals import MIN_EFFECTIVE_BLOCKS, Replicates
from tasks.stats.serial import sum_squares


def series(alike: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Unit variance, each value `alike` times the one before."""
    noise = rng.normal(size=count + 50)
    return lfilter([math.sqrt(1 - alike**2)], [1, -alike], noise)[50:]


@pytest.mark.parametrize("count", [10, 30, 120])
@pytest.mark.parametrize("alike", [0.0, 0.6])
def test_its_mean_is_the_variance_of_the_mean(count: int, alike: float) -> None:
    rng = np.random.default_rng(3)
    drawn = [series(alike, count, rng) for _ in range(3_000)]
    means = np.array([one.mean() for one in drawn])
    estimate = np.median([sum_squares(one)[0] / (count * (count - 1)) for one in drawn])
    # from few days a likeness of .6 is hard to tell; the fewer degrees of freedom are then what protects
    low = 0.75 if not alike else {10: 0.35, 30: 0.65, 120: 0.75}[count]
    assert low < estimate / means.var() < 1.3


def test_days_that_are_alike_leave_fewer_degrees() -> None:
    rng = np.random.default_rng(4)
    degrees = [np.mean([sum_squares(series(alike, 60, rng))[1] for _ in range(200)]) for alike in (0, 0.3, 0.6, 0.9)]
    assert degrees == sorted(degrees, reverse=True)
    assert degrees[0] > 13
    assert degrees[-1] < MIN_EFFECTIVE_BLOCKS - 1


def test_five_days_that_are_not_alike_are_enough_and_four_are_not() -> None:
    swinging = np.array([1.0, -1.0, 1.5, -1.2, 0.3])
    assert math.isfinite(Replicates(0.0, swinging, 5.0, True).reach(0.95))
    assert math.isnan(Replicates(0.0, swinging[:4], 4.0, True).reach(0.95))
    assert math.isnan(Replicates(0.0, np.linspace(-1, 1, 8), 8.0, True).reach(0.95))  # a trend


def test_days_of_unequal_size_and_without_likeness_are_worth_what_groups_are_worth() -> None:
    swinging = np.array([1.0, -1.0, 1.5, -1.2, 0.3, -0.7, 0.9, -1.1])
    assert Replicates(0.0, swinging, 6.0, True).spread()[1] == pytest.approx(5.0)
    assert Replicates(0.0, swinging, 6.0).spread()[1] == pytest.approx(5.0)


def test_weekdays_that_differ_are_little_noise() -> None:
    rng = np.random.default_rng(5)
    days = np.tile([3.0, 0, 0, 0, 0, -1, -2], 10) + 0.1 * rng.normal(size=70)
    plain = float(((days - days.mean()) ** 2).sum())
    assert sum_squares(days)[0] < 0.4 * plain


def test_nothing_that_varies_and_nothing_that_is_known() -> None:
    assert sum_squares(np.zeros(12)) == (0.0, 11.0)
    assert math.isnan(sum_squares(np.array([0.1, math.nan, 0.2]))[0])
    assert math.isnan(Replicates(0.5, np.array([0.5] * 11 + [math.nan]), 12.0, True).reach(0.95))
