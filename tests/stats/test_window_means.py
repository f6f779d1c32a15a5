"""Means over windows keep what they promise, also where neighbours are alike; the staleness curve sees age alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.stats.staleness import MOST_AGES, Aged, measure_staleness
from tasks.stats.window_means import FEWEST_WINDOWS, average_windows

NUMBERS = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("windows", "alike", "most"),
    [(5, 0.0, 0.065), (9, 0.0, 0.065), (24, 0.0, 0.065), (24, 0.3, 0.08), (24, 0.6, 0.145), (9, 0.3, 0.12)],
)
def test_the_interval_misses_as_seldom_as_it_says(windows: int, alike: float, most: float) -> None:
    random = np.random.default_rng(11)
    missed, runs = 0, 2_000
    for _ in range(runs):
        noise = random.normal(size=windows + 50)
        series = np.empty_like(noise)
        series[0] = noise[0]
        for i in range(1, len(noise)):
            series[i] = alike * series[i - 1] + noise[i]
        mean = average_windows(list(2.0 + series[50:]))
        missed += not mean.low <= 2.0 <= mean.high
    assert missed / runs <= most


def test_several_that_are_read_side_by_side_hold_together() -> None:
    random = np.random.default_rng(12)
    wrong = 0
    for _ in range(1_000):
        series = random.normal(size=(3, 12))
        wrong += any(average_windows(list(s), comparisons=3).sign != 0 for s in series)
    assert wrong / 1_000 <= 0.065


def test_an_advantage_that_grows_is_shown() -> None:
    mean = average_windows([0.0, 2, 5, 9, 12, 14, 19, 22, 24, 25, 31, 33])
    assert mean.sign == 1 and mean.low > 3


@given(st.lists(NUMBERS, min_size=1, max_size=40))
def test_a_mean_is_one_and_lies_within_its_interval(values: list[float]) -> None:
    mean = average_windows(values)
    assert mean.value == pytest.approx(float(np.mean(values)), rel=1e-9, abs=1e-6)
    assert mean.windows == len(values)
    assert math.isnan(mean.low) if len(values) < FEWEST_WINDOWS else mean.low <= mean.value <= mean.high


def test_of_no_window_nothing_is_said() -> None:
    mean = average_windows([])
    assert math.isnan(mean.value) and mean.windows == 0 and mean.sign == 0


def live(windows: int, per_month: float, season: float, *, every: int = 1, sign: float = -1.0) -> list[Aged]:
    """Versions trained before every so many windows; each loses `per_month`, and the months differ by `season`."""
    random = np.random.default_rng(5)
    found = []
    for window in range(windows):
        month = season * math.sin(window) + 0.01 * random.normal()
        for trained in range(0, window + 1, every):
            age = window - trained
            found.append(Aged(window, 30.4 * age, month + sign * per_month * age))
    return found


@pytest.mark.parametrize("larger_is_better", [True, False])
def test_the_curve_is_the_loss_whatever_the_months_are_like(larger_is_better: bool) -> None:
    sign = -1.0 if larger_is_better else 1.0
    points, used = measure_staleness(live(9, 0.02, 5.0, sign=sign), 30.4, larger_is_better=larger_is_better)
    assert used == 8
    assert [round(p.loss.value, 6) for p in points] == [round(0.02 * k, 6) for k in range(1, 9)]
    assert [p.loss.windows for p in points] == list(range(8, 0, -1))


def test_without_a_fresh_version_nothing_is_told() -> None:
    measured = [Aged(w, 30.0 * (w + 2), 0.5) for w in range(6)]
    assert measure_staleness(measured, 30.0, larger_is_better=True) == ((), 0)
    assert measure_staleness([], 30.0, larger_is_better=True) == ((), 0)


def test_months_of_other_lengths_are_one_age() -> None:
    starts = np.cumsum([0, 28, 31, 30, 31, 30, 31])
    measured = [Aged(w, float(starts[w] - starts[v]), 0.5) for w in range(7) for v in range(w + 1)]
    points, _ = measure_staleness(measured, 30.5, larger_is_better=True)
    assert [p.loss.windows for p in points] == [6, 5, 4, 3, 2, 1]


@given(st.lists(st.tuples(st.integers(0, 400), st.floats(0, 4000), NUMBERS), max_size=80), st.floats(0.01, 400))
def test_any_past_gives_a_curve_of_at_most_so_many_ages(rows: list[tuple[int, float, float]], days: float) -> None:
    points, used = measure_staleness([Aged(*row) for row in rows], days, larger_is_better=True)
    assert len(points) <= MOST_AGES
    assert used <= len({row[0] for row in rows})
