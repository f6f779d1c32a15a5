"""Two rates against each other: exact error rates by counting out every outcome, and bounds that are the tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from tasks.stats.proportions import Kind, RatePairs, find_rate_interval


def pairs(x: object, n: object, other_x: object, other_n: object, **more: float) -> RatePairs:
    x, n, other_x, other_n = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (x, n, other_x, other_n)))
    whole = {"offset": 0.0, "inflation": 1.0, "degrees": np.inf, **more}
    return RatePairs(x, n, other_x, other_n, *(np.full(x.shape, whole[k]) for k in ("offset", "inflation", "degrees")))


def count_out(kind: Kind, n: int, other_n: int, rate: float, other: float, limit: float, level: float) -> float:
    """The exact chance that the limit is said to be broken."""
    x, other_x = np.meshgrid(np.arange(n + 1), np.arange(other_n + 1), indexing="ij")
    made = pairs(x.ravel(), n, other_x.ravel(), other_n)
    p = made.test_below(kind, limit) if kind == "ratio" else made.test_above(kind, limit)
    chance = binom.pmf(x.ravel(), n, rate) * binom.pmf(other_x.ravel(), other_n, other)
    return float(chance[p < level].sum())


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 60), st.integers(20, 60), st.floats(0.01, 0.99), st.sampled_from(["ratio", "difference"]))
def test_at_the_limit_it_is_seldom_said_to_be_broken(n: int, other_n: int, other: float, kind: Kind) -> None:
    limit = 0.8 if kind == "ratio" else 0.1
    rate = limit * other if kind == "ratio" else min(other + limit, 1.0)
    for level, most in ((0.04, 0.06), (0.004, 0.01)):  # with 20 rows the far tail is coarse
        assert count_out(kind, n, other_n, rate, other if rate < 1 else 0.9, limit, level) <= most


@pytest.mark.parametrize(("level", "most"), [(0.04, 0.05), (0.0009, 0.0018)])
@pytest.mark.parametrize("base", [0.02, 0.1, 0.5, 0.9, 0.98])
def test_a_small_group_beside_a_large_one(base: float, level: float, most: float) -> None:
    for n in (20, 50, 200):
        assert count_out("ratio", n, 400, 0.8 * base, base, 0.8, level) <= most
        assert count_out("ratio", 400, n, 0.8 * base, base, 0.8, level) <= most
        assert count_out("difference", n, 400, base, max(base - 0.1, 0), 0.1, level) <= most


def test_no_case_at_all_proves_little() -> None:
    made = pairs(0, [20, 200, 2000], 500, 10_000)  # 5% in the large group; no case among 20 is no evidence
    p = made.test_below("ratio", 0.8)
    assert p[0] > 0.1
    assert p[2] < 1e-9
    low, high = made.bounds("ratio", 0.04)
    assert (low == 0).all()
    assert np.isfinite(high).all()
    assert high[0] > 1 > high[2]


def test_equal_rates_are_the_usual_score_test_where_that_is_the_more_careful() -> None:
    x, n, other_x, other_n = 30, 100, 50, 100
    pooled = 80 / 200
    z = (0.3 - 0.5) / np.sqrt(pooled * (1 - pooled) * 2 / 100)
    found = float(pairs(x, n, other_x, other_n).test_below("difference", 0.0))
    assert found == pytest.approx(norm.cdf(z), rel=0.05)
    assert found >= norm.cdf(z) - 1e-12


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(["ratio", "difference"]),
    st.sampled_from([0.04, 0.001]),
)
def test_bounds_are_the_values_that_the_tests_do_not_refuse(
    n: int, other_n: int, share: float, other: float, kind: Kind, level: float
) -> None:
    made = pairs([round(share * n)], n, [round(other * other_n)], other_n)
    low, high = made.bounds(kind, level)
    value = made.value(kind)[0]
    if np.isfinite(value):
        assert low[0] <= value + 1e-6 <= high[0] + 2e-6
    for bound, test in ((low[0], made.test_above), (high[0], made.test_below)):
        if (kind == "difference" and abs(bound) < 1 - 1e-6) or (kind == "ratio" and 1e-5 < bound < 1e5):
            assert test(kind, bound)[0] == pytest.approx(level, rel=1e-3)


def test_days_that_move_together_and_few_of_them_widen() -> None:
    narrow = pairs(20, 100, 40, 100).bounds("ratio", 0.04)
    for more in ({"inflation": 3.0}, {"degrees": 4.0}):
        wide = pairs(20, 100, 40, 100, **more).bounds("ratio", 0.04)
        assert wide[0] < narrow[0]
        assert wide[1] > narrow[1]


def test_what_was_expected_is_taken_off() -> None:
    made = pairs(30, 100, 10, 100, offset=0.2)  # .3 and .1 where .2 apart was expected
    assert made.value("difference") == pytest.approx(0.0)
    assert float(made.test_above("difference", 0.0)) == pytest.approx(0.5, abs=0.01)


@given(st.integers(1, 500), st.floats(0, 1))
def test_an_interval_holds_its_rate(n: int, share: float) -> None:
    x = round(share * n)
    low, high = find_rate_interval(x, n, 1.0, np.inf, 0.95)
    assert 0 <= low <= x / n + 1e-12
    assert x / n - 1e-12 <= high <= 1
    wide = find_rate_interval(x, n, 2.0, 5.0, 0.95)
    assert wide[0] <= low + 1e-12
    assert wide[1] >= high - 1e-12
    assert np.isnan(find_rate_interval(0, 0, 1.0, np.inf, 0.95)[0])


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("n", [40, 200])
def test_intervals_cover(rate: float, n: int) -> None:
    x = np.arange(n + 1)
    ends = np.array([find_rate_interval(v, n, 1.0, np.inf, 0.95) for v in x])
    covered = binom.pmf(x, n, rate)[(ends[:, 0] <= rate) & (rate <= ends[:, 1])].sum()
    assert covered >= 0.93
