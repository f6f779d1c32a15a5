"""How often fair models are blamed and unfair ones found, on a small sample; tests/soak/test_audit_rates.py has all."""

from __future__ import annotations

import pytest

from tests.stats.audit_simulations import (
    EVEN,
    People,
    Sliced,
    count_blamed,
    count_blamed_calibration,
    count_blamed_means,
    count_blamed_skewed,
    count_failed,
)
from tests.stats.simulations import bound_rate, describe_rate

SIMULATIONS = 150
BASE = tuple([0.25] * 10)


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_a_fair_model_over_ten_groups_is_seldom_blamed(rate: float) -> None:
    at_the_limit = tuple(0.8 * rate if i % 2 else rate for i in range(10))
    for rates, days in ((tuple([rate] * 10), 0), (at_the_limit, 0), (at_the_limit, 30)):
        people = People(rates, BASE, days=days)
        count = count_blamed(people, "demographic_parity_ratio", 0.8, 1_000, SIMULATIONS, seed=1)
        print(f"blamed, rate {rate}: {describe_rate(count, SIMULATIONS)}")
        assert bound_rate(count, SIMULATIONS)[0] <= 0.05


@pytest.mark.parametrize("metric", ["equalized_odds_difference", "calibration_difference", "accuracy_difference"])
def test_so_it_is_for_differences(metric: str) -> None:
    count = count_blamed(People(tuple([0.3] * 10), BASE), metric, 0.02, 1_000, SIMULATIONS, seed=2)
    assert bound_rate(count, SIMULATIONS)[0] <= 0.05


def test_so_it_is_for_means() -> None:
    count = sum(count_blamed_means(1_000, 0.1, 0.1, heavy, SIMULATIONS, seed=3) for heavy in (False, True))
    assert bound_rate(count, 2 * SIMULATIONS)[0] <= 0.05


def test_so_it_is_for_models_that_are_too_sure_and_for_skewed_errors() -> None:
    count = count_blamed_calibration(2_000, 2, 10.0, 0.01, SIMULATIONS, seed=7)
    assert bound_rate(count, SIMULATIONS)[0] <= 0.05
    count = count_blamed_skewed((5_000, 60), SIMULATIONS, seed=8)
    assert bound_rate(count, SIMULATIONS)[0] <= 0.05


@pytest.mark.parametrize("metric", ["roc_auc", "mae"])
def test_slices_at_the_limit_are_seldom_blamed(metric: str) -> None:
    for days in (0, 30):
        count, _ = count_failed(Sliced(metric, 0.05, days=days), 0.05, 1_000, SIMULATIONS // 2, seed=4)
        assert bound_rate(count, SIMULATIONS // 2)[0] <= 0.05


def test_a_slice_that_is_much_worse_is_found() -> None:
    _, found = count_failed(Sliced("roc_auc", 0.25, 1, shares=EVEN), 0.05, 5_000, 30, seed=5)
    assert found >= 29
    people = People((0.1, *[0.25] * 9), BASE, shares=EVEN)
    assert count_blamed(people, "demographic_parity_ratio", 0.8, 5_000, 30, seed=6) == 30
