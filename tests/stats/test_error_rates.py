"""How often a verdict is wrong, on a small sample; tests/soak/test_verdict_rates.py runs as many as a rate needs."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.stats.metrics import METRICS
from tests.stats.simulations import (
    COMPARED,
    DAY,
    LAYOUTS,
    POPULATION,
    Layout,
    bound_rate,
    count_above,
    count_missed,
    describe_rate,
    draw_rows,
    find_model,
    find_power,
)

SIMULATIONS = 150
MARGIN = 0.005


@pytest.mark.parametrize("kind", ["plain", "other"])
@pytest.mark.parametrize("name", COMPARED)
def test_the_value_in_the_population_is_what_it_is_taken_for(name: str, kind: str) -> None:
    rng = np.random.default_rng(6)
    model, layout = find_model(name, kind, -MARGIN, True), Layout(2_000)
    drawn = [draw_rows(name, (model, model), layout, 50_000, rng) for _ in range(4)]
    values = [METRICS[name].compute(y, p) for y, *predictions, _ in drawn for p in predictions]
    assert np.mean(values) == pytest.approx(POPULATION[name](model, DAY), abs=0.004)


@pytest.mark.parametrize("kind", ["plain", "other"])
@pytest.mark.parametrize("name", COMPARED)
def test_equal_models_are_seldom_called_better(name: str, kind: str) -> None:
    count = sum(
        count_above(name, layout, 1_000, 0.0, kind, 0.0, SIMULATIONS // 3, seed=i)
        for i, layout in enumerate(map(LAYOUTS.get, ("independent rows", "10 groups", "30 days")))
    )
    print(f"better, {name}, {kind}: {describe_rate(count, SIMULATIONS)}")
    assert bound_rate(count, SIMULATIONS)[0] <= 0.05


@pytest.mark.parametrize("name", COMPARED)
def test_a_model_worse_by_the_margin_seldom_passes(name: str) -> None:
    count = count_above(name, LAYOUTS["30 unequal groups"], 1_000, -MARGIN, "plain", -MARGIN, SIMULATIONS, seed=8)
    print(f"not worse, {name}: {describe_rate(count, SIMULATIONS)}")
    assert bound_rate(count, SIMULATIONS)[0] <= 0.05


def test_days_that_are_alike_are_seldom_taken_for_evidence() -> None:
    counts = [
        count_above("mae", Layout(30, ordered=ordered, alike=0.6), 3_000, 0.0, "plain", 0.0, 300, seed=9)
        for ordered in (True, False)
    ]
    print("30 days, each .6 of the day before, mae:", *(describe_rate(count, 300) for count in counts))
    assert bound_rate(counts[0], 300)[0] <= 0.06 < bound_rate(counts[1], 300)[0]


@pytest.mark.parametrize("name", ["roc_auc", "mae"])
def test_with_the_rows_that_are_needed_the_power_is_as_said(name: str) -> None:
    needed, count = find_power(name, LAYOUTS["30 groups"], 1_000, 0.03, SIMULATIONS, seed=10)
    print(f"{needed:,} rows, {name}: {describe_rate(count, SIMULATIONS)}")
    low, high = bound_rate(count, SIMULATIONS)
    assert low <= 0.85
    assert high >= 0.75


@pytest.mark.parametrize(("name", "shift"), [("roc_auc", 1.4), ("roc_auc", 3.2), ("average_precision", 3.2)])
def test_intervals_cover_the_truth_also_near_a_limit(name: str, shift: float) -> None:
    below, above, _ = count_missed(name, shift, LAYOUTS["30 groups"], 1_000, None, 300, seed=11)
    count = 300 - below - above
    print(f"coverage, {name} {shift}: {describe_rate(count, 300)}")
    low, high = bound_rate(count, 300)
    assert low <= 0.97
    assert high >= 0.93
