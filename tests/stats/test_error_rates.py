"""How often the one-sided bound is wrong where two models are equal, and how often an interval misses.

Simulated with fresh rows each time. A small sample here; `soak` runs the number that a rate needs.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from tasks.stats.comparison import compare
from tasks.stats.intervals import Blocks, block_rows, deal_rows, replicate, two_sided
from tasks.stats.metrics import METRICS

Array = np.ndarray
# kind -> rows, blocks, Dirichlet weight of the blocks' sizes (None: equal)
CASES = {
    "1,000 independent rows": (1000, 0, None),
    "200 independent rows": (200, 0, None),
    "10 days": (1000, 10, None),
    "30 days": (2000, 30, None),
    "15 unequal groups": (1500, 15, 3.0),
}
COMPARED = ("average_precision", "roc_auc", "log_loss")


def simulate(case: str, rng: np.random.Generator, seed: int) -> tuple[Array, Array, Array, Blocks]:
    """Labels, two predictions with exchangeable errors (by row and by block), and the blocks."""
    rows, count, weight = CASES[case]
    latent, noise = rng.normal(size=rows), rng.normal(size=(2, rows))
    if count == 0:
        blocks = deal_rows(rows, seed)
    else:
        share = np.full(count, 1 / count) if weight is None else rng.dirichlet(np.full(count, weight))
        day = rng.choice(count, rows, p=share)
        latent = latent + 0.7 * rng.normal(size=count)[day]
        noise = noise + 0.5 * rng.normal(size=(2, count))[:, day]
        blocks = block_rows([f"{d:03d}" for d in day], "days")
    y = (rng.random(rows) < 1 / (1 + np.exp(1.5 - latent))).astype(int)
    one, other = 1 / (1 + np.exp(1.5 - 0.6 * latent - 0.8 * noise))
    return y, one, other, blocks


def count_wrong(case: str, simulations: int) -> dict[str, int]:
    """How often `one` is found better than its equal, per metric."""
    wrong = dict.fromkeys(COMPARED, 0)
    rng = np.random.default_rng(20)
    for seed in range(simulations):
        y, one, other, blocks = simulate(case, rng, seed)
        for name in COMPARED:
            replicates = [replicate(METRICS[name], y, p, blocks, classes=y) for p in (one, other)]
            wrong[name] += compare(METRICS[name], *replicates, 0.95).low > 0
    return wrong


def upper_bound(wrong: int, simulations: int) -> float:
    """The 95% upper bound of a rate (Clopper and Pearson)."""
    return float(beta.ppf(0.95, wrong + 1, simulations - wrong))


def lower_bound(wrong: int, simulations: int) -> float:
    return 0.0 if wrong == 0 else float(beta.ppf(0.05, wrong, simulations - wrong + 1))


@pytest.mark.parametrize("case", ["200 independent rows", "10 days"])
def test_equal_models_are_seldom_called_better(case: str) -> None:
    for name, wrong in count_wrong(case, 250).items():
        assert lower_bound(wrong, 250) <= 0.05, f"{case}, {name}: {wrong} of 250"


def test_a_model_that_is_better_is_found() -> None:
    rng, found = np.random.default_rng(1), 0
    metric = METRICS["roc_auc"]
    for seed in range(40):
        y, one, other, blocks = simulate("1,000 independent rows", rng, seed)
        better = 0.7 * one + 0.3 * y
        found += compare(metric, *(replicate(metric, y, p, blocks) for p in (better, other)), 0.95).low > 0
    assert found == 40


@pytest.mark.soak
@pytest.mark.parametrize("case", CASES)
def test_the_error_rate_of_a_comparison(case: str) -> None:
    simulations = 4000
    for name, wrong in count_wrong(case, simulations).items():
        upper = upper_bound(wrong, simulations)
        print(f"{case}, {name}: designed 5%, observed {wrong / simulations:.2%}, 95% upper bound {upper:.2%}")
        assert lower_bound(wrong, simulations) <= 0.055
        assert upper <= 0.065


@pytest.mark.soak
@pytest.mark.parametrize("case", ["1,000 independent rows", "30 days"])
def test_the_coverage_of_intervals(case: str) -> None:
    simulations = 2000
    rng = np.random.default_rng(8)
    drawn = [simulate(case, rng, seed) for seed in range(simulations)]
    for name in COMPARED:
        metric = METRICS[name]
        found = [replicate(metric, y, p, blocks, classes=y) for y, p, _, blocks in drawn]
        # With blocks the metric of a finite sample is off by a trifle; the mean over samples is what is aimed at.
        truth = float(np.mean([r.value for r in found]))
        ends = [two_sided(metric, r, 0.95) for r in found]
        covered = np.mean([low <= truth <= high for low, high in ends])
        print(f"{case}, {name}: designed 95%, covered {covered:.2%}")
        assert 0.93 <= covered <= 0.975
