"""Holm's procedure: by hand, beside its definition, and how often a family without fault is blamed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.stats.multiplicity import step_down

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_by_hand() -> None:
    holm = step_down(np.array([0.010, 0.3, 0.005, 0.03]), 0.05)
    assert holm.failed.tolist() == [True, False, True, False]  # .005 < .0125, .010 < .0167, .03 >= .025
    assert np.allclose(holm.level, [0.05 / 3, 0.025, 0.0125, 0.025])


@given(P_VALUES)
def test_a_bound_at_its_level_tells_what_failed(values: list[float]) -> None:
    p = np.array(values)
    holm = step_down(p, 0.05)
    assert ((p < holm.level) == holm.failed).all()
    assert holm.failed.sum() >= (p < 0.05 / len(p)).sum(), "never less than Bonferroni"
    assert not holm.failed[p >= 0.05].any()


@given(P_VALUES, st.integers(0, 29))
def test_a_smaller_p_value_never_saves(values: list[float], at: int) -> None:
    p = np.array(values)
    lower = p.copy()
    lower[at % len(p)] /= 2
    assert (step_down(lower, 0.05).failed | ~step_down(p, 0.05).failed).all()


def test_what_cannot_be_told_counts_and_does_not_fail() -> None:
    holm = step_down(np.array([np.nan, 0.03]), 0.05)
    assert holm.failed.tolist() == [False, False], "one of two, at half the error"
    assert step_down(np.array([]), 0.05).failed.tolist() == []


def test_a_family_without_fault_is_seldom_blamed() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(4_000, 1))
    for alike in (0.0, 0.9):
        from scipy.stats import norm

        z = np.sqrt(alike) * shared + np.sqrt(1 - alike) * rng.normal(size=(4_000, 8))
        blamed = np.mean([step_down(norm.sf(row), 0.05).failed.any() for row in z])
        assert blamed <= 0.06
