"""Metrics of unknown labels beside what labels drawn from the same probabilities give; folded sums; means in leaves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.stats.expectation import BINS, LOSSES, UNIT, ClassSums, LossSums, cut_scores, fit_isotonic
from tasks.stats.folding import FoldedSums, number_blocks
from tasks.stats.intervals import Blocks, Source, combine_sources, deal_rows, student_quantile
from tasks.stats.leaves import LeafMeans
from tasks.stats.metrics import METRICS, OperatingPoint

AT = OperatingPoint(0.4, 1.0, 5.0, 0.8)
BINARY = [m for m in METRICS.values() if "binary" in m.tasks]
SEVERAL = [m for m in METRICS.values() if "multiclass" in m.tasks]
VALUES = [m for m in METRICS.values() if "regression" in m.tasks]


def whole(rows: int) -> np.ndarray:
    return np.zeros(rows, np.int64)


@pytest.mark.parametrize("metric", BINARY, ids=lambda m: m.name)
def test_a_binary_metric_is_what_drawn_labels_give_on_average(metric) -> None:
    rng = np.random.default_rng(0)
    true = rng.beta(1, 3, 800)
    score = np.round(np.clip(true + rng.normal(0, 0.1, 800), 0.01, 0.99), 2)  # wrong, and with ties
    sums = ClassSums(score[:, None], 2, AT)
    told = sums.compute(metric, sums.sum_blocks(score[:, None], true[:, None], whole(800), 1))[0]
    drawn = [metric.compute((rng.random(800) < true).astype(np.int64), score, AT) for _ in range(1_500)]
    assert told == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(1_500) + 0.001)


@pytest.mark.parametrize("metric", SEVERAL, ids=lambda m: m.name)
def test_so_it_is_for_several_classes(metric) -> None:
    rng = np.random.default_rng(1)
    true = rng.dirichlet([1, 2, 0.5], 900)
    given = true + 0.3 * rng.dirichlet([1, 1, 1], 900)
    given = given / given.sum(axis=1, keepdims=True)
    sums = ClassSums(given, 3, AT)
    told = sums.compute(metric, sums.sum_blocks(given, true, whole(900), 1))[0]
    drawn = []
    for _ in range(400):
        y = (true.cumsum(axis=1) < rng.random((900, 1))).sum(axis=1).clip(0, 2)
        drawn.append(metric.compute(y, given, AT))
    assert told == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(400) + 0.002)


@pytest.mark.parametrize("metric", VALUES, ids=lambda m: m.name)
def test_a_regression_whose_losses_are_foretold_exactly(metric) -> None:
    rng = np.random.default_rng(2)
    y = 1e6 + 1e3 * rng.normal(size=3_000)
    prediction = y + 300 * rng.normal(size=3_000)
    sums = LossSums(y, prediction, AT)
    found = sums.sum_blocks(prediction[:, None], sums.targets, whole(3_000), 1)
    assert sums.compute(metric, found)[0] == pytest.approx(metric.compute(y, prediction, AT), rel=1e-4)


def test_a_value_of_zero_leaves_only_the_relative_error_undefined() -> None:
    y, prediction = np.array([0.0, 1, 2, 3]), np.array([0.5, 1, 2, 4])
    sums = LossSums(y, prediction, AT)
    found = sums.sum_blocks(prediction[:, None], sums.targets, whole(4), 1)
    values = {m.name: sums.compute(m, found)[0] for m in VALUES}
    assert np.isnan(values["mape"]) and values["mae"] == pytest.approx(0.375)


@pytest.mark.parametrize("metric", BINARY, ids=lambda m: m.name)
def test_sums_of_blocks_can_be_taken_away_again(metric) -> None:
    rng = np.random.default_rng(3)
    score, true, block = rng.random((500, 1)), rng.random((500, 1)), rng.integers(0, 7, 500)
    sums = ClassSums(score, 2, AT)
    parts = sums.sum_blocks(score, true, block, 7)
    kept = block != 3
    alone = sums.sum_blocks(score[kept], true[kept], whole(int(kept.sum())), 1)
    assert (parts.sum(axis=0) - parts[3] == alone[0]).all()
    assert np.isfinite(sums.compute(metric, alone)).all()


def test_metrics_of_no_rows_and_of_one_class_are_not_defined() -> None:
    score = np.linspace(0.1, 0.9, 50)[:, None]
    sums = ClassSums(score, 2, AT)
    nothing = np.zeros((1, sums.width), np.int64)
    certain = sums.sum_blocks(score, np.ones_like(score), whole(50), 1)
    for name in ("roc_auc", "f1", "balanced_accuracy"):
        assert np.isnan(sums.compute(METRICS[name], nothing)[0])
        assert np.isnan(sums.compute(METRICS[name], certain)[0])
    assert sums.compute(METRICS["average_precision"], certain)[0] == pytest.approx(1)


def test_bins_are_fine_enough_for_scores_that_all_differ() -> None:
    rng = np.random.default_rng(4)
    true = rng.beta(0.5, 2, 20_000)
    score = 1 / (1 + np.exp(-(2 * np.log(true / (1 - true)) + rng.normal(size=20_000))))
    y = (rng.random(20_000) < true).astype(np.float64)
    sums = ClassSums(score[:5_000, None], 2, AT)
    told = sums.sum_blocks(score[:, None], y[:, None], whole(20_000), 1)
    for name in ("roc_auc", "average_precision"):
        exact = METRICS[name].compute(y.astype(np.int64), score, AT)
        assert sums.compute(METRICS[name], told)[0] == pytest.approx(exact, abs=2e-3)
    assert len(cut_scores(score)) < BINS and len(cut_scores(np.empty(0))) > 0


def test_an_isotonic_table_rises_and_reaches_over_empty_bins() -> None:
    table = fit_isotonic(np.array([2, 2, 5, 5, 7, 7]), np.array([0, 1, 0, 0, 1, 1.0]), 10)
    assert (np.diff(table) >= 0).all()
    assert table[0] == table[2] == table[5] == 0.25 and table[6] == pytest.approx(0.625) and table[9] == 1


# ---------------------------------------------------------------- folding


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3_000), min_size=1, max_size=300), st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_folded_sums_are_the_same_however_rows_are_cut(numbers: list[int], seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = np.array(numbers)

    def fold(order: np.ndarray, cuts: np.ndarray) -> tuple[list[list[int]], int]:
        table = FoldedSums(limit, 1)
        for part in np.split(order, cuts):
            table.add(blocks[part], lambda of_row, count: np.bincount(of_row, minlength=count)[:, None])
        return table.sums().tolist(), table.folds

    rows = np.arange(len(blocks))
    once = fold(rows, np.empty(0, np.int64))
    assert once == fold(rng.permutation(rows), np.sort(rng.integers(0, len(rows), 5)))
    assert len(once[0]) <= limit and sum(n for (n,) in once[0]) == len(blocks)


def test_days_are_numbered_in_their_order_and_a_missing_one_stands_alone() -> None:
    names = np.array(["2013-03-02", "2013-02-28", None, "no day", "2013-03-01"], dtype=object)
    days = number_blocks(names, days=True)
    assert days[0] - days[1] == 2 and days[4] - days[1] == 1 and days[2] == days[3] == -1
    groups = number_blocks(np.array(["a", "b", "a", None], dtype=object), days=False)
    assert groups[0] == groups[2] != groups[1] and groups[3] == -1 and (groups[:3] >= 0).all()


# ---------------------------------------------------------------- leaves


def test_means_in_leaves_are_those_of_a_forest_on_the_rows_that_are_left() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1_000, 3))
    x[::50, 1] = np.nan
    y = np.stack([x[:, 0] > 0, rng.random(1_000)], axis=1).astype(np.float64)
    blocks = Blocks(rng.integers(0, 10, 1_000), 10, "days")
    forest = LeafMeans(x, y[:, :1], y, blocks, smallest=20, tried=1.0, sharpen=False, seed=0)
    leaves = forest.find(x)
    told = forest.average(leaves)
    assert told[x[:, 0] > 0.3, 0].mean() > 0.95 and told[x[:, 0] < -0.3, 0].mean() < 0.05
    assert told[:, 1].mean() == pytest.approx(y[:, 1].mean(), abs=1e-9)  # each leaf's mean, as often as it has rows
    kept = blocks.of_row != 4
    first = leaves[0, 0]
    alone = y[kept & (leaves[:, 0] == first)].mean(axis=0)
    assert forest._tabulate(4)[first] == pytest.approx(alone)


def test_sharpening_takes_bias_away() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(2_000, 4))
    y = np.exp(x[:, :1]) * rng.exponential(size=(2_000, 1))
    far = rng.normal(size=(4_000, 4)) + np.array([1.2, 0, 0, 0])
    off = []
    for sharpen in (False, True):
        forest = LeafMeans(x, y, y, deal_rows(2_000, 0), smallest=40, tried=1.0, sharpen=sharpen, seed=0)
        off.append(abs(forest.average(forest.find(far)).mean() - np.exp(far[:, 0]).mean()))
    assert off[1] < off[0]


# ---------------------------------------------------------------- two sources


def test_sources_add_their_variances() -> None:
    rng = np.random.default_rng(7)
    sources = []
    for spread in (0.03, 0.04):
        away = rng.normal(size=40)
        away = (away - away.mean()) * spread / np.sqrt(39 / 40 * np.sum((away - away.mean()) ** 2))
        sources.append(Source(10.0, 10.0 + away, 40.0))
    limits = (-np.inf, np.inf)
    low, high = combine_sources(limits, 10.0, sources, 0.95)
    degrees = 0.05**4 / (0.03**4 / 39 + 0.04**4 / 39)
    assert high - 10 == pytest.approx(student_quantile(0.975, degrees) * 0.05)
    assert (low + high) / 2 == pytest.approx(10)
    wide = combine_sources(limits, 10.0, sources, 0.95, (9.5, 10.5))
    assert wide[1] - 10 > high - 10
    few = Source(10.0, np.array([10.1, 9.9, 10.0]), 3.0)
    assert np.isnan(combine_sources(limits, 10.0, [sources[0], few], 0.95)).all()


def test_an_interval_stays_within_the_limits() -> None:
    near = Source(0.99, 0.99 + 0.01 * np.random.default_rng(8).normal(size=30).clip(-0.9, 0.9), 30.0)
    low, high = combine_sources((0.0, 1.0), 0.99, [near], 0.95)
    assert 0 <= low < 0.99 < high <= 1
    one = combine_sources((0.0, 1.0), 1.0, [Source(1.0, np.ones(30), 30.0)], 0.95)
    assert one == (1.0, 1.0)


def test_each_loss_is_a_metric() -> None:
    assert set(LOSSES) <= set(METRICS) and UNIT == 2.0**20
