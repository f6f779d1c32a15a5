"""Blocks, their effective number, and the jackknife-t against plain computations."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.stats.comparison import Difference, compare, one_sided, rows_for_power, split_confidence
from tasks.stats.intervals import (
    MAX_BLOCKS,
    Blocks,
    Replicates,
    block_rows,
    count_effective,
    deal_rows,
    needs_each_class,
    replicate,
    two_sided,
)
from tasks.stats.metrics import METRICS


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(1 - signal))).astype(int)
    return y, *(1 / (1 + np.exp(-signal - rng.normal(size=n))) for _ in range(2))


@given(st.lists(st.text(max_size=3), min_size=1, max_size=200))
def test_rows_of_one_label_share_a_block(labels: list[str]) -> None:
    blocks = block_rows(labels, "groups", limit=7)
    assert 1 <= blocks.count <= 7
    assert set(blocks.of_row.tolist()) == set(range(blocks.count))
    for label in set(labels):
        assert len({b for b, other in zip(blocks.of_row, labels, strict=True) if other == label}) == 1


def test_many_days_become_blocks_of_days_that_follow_each_other() -> None:
    days = [f"2013-{month:02d}-{day:02d}" for month in range(1, 7) for day in range(1, 29)]
    shuffled = np.random.default_rng(0).permutation(days)
    blocks = block_rows(shuffled, "days")
    assert blocks.describe() == "56 blocks of 3 days"
    assert blocks.count <= MAX_BLOCKS
    assert np.array_equal(blocks.of_row, [days.index(d) // 3 for d in shuffled])
    assert block_rows(days[:20], "days").describe() == "20 days"
    assert block_rows(days[:20], "days", length=5).describe() == "4 blocks of 5 days"


@given(st.integers(0, 500), st.integers(0, 5))
def test_independent_rows_are_dealt_evenly_and_the_same_way_again(n: int, seed: int) -> None:
    blocks = deal_rows(n, seed)
    sizes = np.bincount(blocks.of_row, minlength=blocks.count)
    assert blocks.count == min(50, n)
    assert sizes.sum() == n
    assert n == 0 or sizes.max() - sizes.min() <= 1
    assert np.array_equal(blocks.of_row, deal_rows(n, seed).of_row)


def test_unequal_blocks_are_worth_fewer() -> None:
    of_row = np.repeat(np.arange(10), 5)
    assert count_effective(Blocks(of_row, 10, "days")) == pytest.approx(10)
    uneven = np.repeat([0, 1, 2], [80, 10, 10])
    assert count_effective(Blocks(uneven, 3, "days")) == pytest.approx(1 / (0.64 + 0.01 + 0.01))
    y = np.zeros(50, int)
    y[:10] = 1  # all positives in two of ten blocks
    assert count_effective(Blocks(of_row, 10, "days"), y) == pytest.approx(2)


BINARY = [name for name, metric in METRICS.items() if "binary" in metric.tasks]


@pytest.mark.parametrize("name", BINARY)
def test_replicates_are_the_metric_without_each_block(name: str) -> None:
    y, p, _ = rows(400)
    p = np.round(p, 2)  # ties
    blocks, metric = deal_rows(400, 3), METRICS[name]
    found = replicate(metric, y, p, blocks)
    for block in range(blocks.count):
        kept = blocks.of_row != block
        assert found.without[block] == pytest.approx(metric.compute(y[kept], p[kept]), nan_ok=True, abs=1e-12)
    assert found.value == pytest.approx(metric.compute(y, p), nan_ok=True, abs=1e-12)


def test_rows_given_twice_in_one_block_say_no_more() -> None:
    y, p, _ = rows(300)
    blocks = block_rows([f"{i % 30:02d}" for i in range(300)], "groups")
    twice = Blocks(np.tile(blocks.of_row, 2), 30, "groups")
    for name in ("average_precision", "log_loss"):
        once, again = replicate(METRICS[name], y, p, blocks), replicate(METRICS[name], *map(_twice, (y, p)), twice)
        assert again.standard_error == pytest.approx(once.standard_error)


def _twice(values: np.ndarray) -> np.ndarray:
    return np.tile(values, 2)


def test_some_rows_keep_their_blocks_in_order() -> None:
    blocks = block_rows(["a", "b", "c", "b"], "days", ordered=True)
    kept = blocks.take(np.array([False, True, True, True]))
    assert (kept.of_row.tolist(), kept.count, kept.unit, kept.ordered) == ([0, 1, 0], 2, "days", True)


def test_for_a_mean_it_is_the_classical_t_interval_of_logs_or_logits() -> None:
    y = np.random.default_rng(0).normal(size=40)
    p = np.zeros(40)
    found = replicate(METRICS["mae"], y, p, deal_rows(40, 0))
    loss = np.abs(y)
    assert found.standard_error == pytest.approx(loss.std(ddof=1) / math.sqrt(40))
    low, high = two_sided(METRICS["mae"], found, 0.95)
    reach = stats.t.ppf(0.975, 39) * loss.std(ddof=1) / math.sqrt(40) / loss.mean()
    assert (math.log(low), math.log(high)) == pytest.approx(
        (math.log(loss.mean()) - reach, math.log(loss.mean()) + reach), abs=0.01
    )


@pytest.mark.parametrize("name", ["roc_auc", "brier"])
def test_a_metric_that_is_perfect_in_every_block_is_no_certainty(name: str) -> None:
    y = np.tile([0, 1], 60)
    blocks = Blocks(np.arange(120) // 4, 30, "groups")
    low, high = two_sided(METRICS[name], replicate(METRICS[name], y, y.astype(float), blocks), 0.95)
    assert (low, high) == pytest.approx((0.025 ** (1 / 30), 1) if name == "roc_auc" else (0, 1 - 0.025 ** (1 / 30)))


def test_a_constant_score_has_an_area_of_exactly_a_half() -> None:
    y, _, _ = rows(200)
    found = replicate(METRICS["roc_auc"], y, np.full(200, 0.3), deal_rows(200, 0))
    assert two_sided(METRICS["roc_auc"], found, 0.95) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("name", BINARY)
@given(share=st.floats(0.02, 0.98), noise=st.floats(0, 2), seed=st.integers(0, 9))
def test_an_interval_stays_within_what_the_metric_can_take(name: str, share: float, noise: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random(120) < share).astype(int)
    p = 1 / (1 + np.exp(-(4 * y - 2 + noise * rng.normal(size=120))))
    found = replicate(METRICS[name], y, p, deal_rows(120, 0), classes=y)
    low, high = two_sided(METRICS[name], found, 0.99)
    limits = METRICS[name].limits
    assert math.isnan(low) == math.isnan(high)
    assert math.isnan(low) or limits[0] <= low <= found.value <= high <= limits[1]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_blocks_say_nothing(count: int) -> None:
    y, p, q = rows(200)
    keep = slice(0, 200 if count else 0)
    blocks = Blocks(np.arange(200)[keep] % max(count, 1), count, "days")
    metric = METRICS["roc_auc"]
    one, other = (replicate(metric, y[keep], v[keep], blocks) for v in (p, q))
    assert all(map(math.isnan, two_sided(metric, one, 0.95)))
    difference = compare(metric, one, other, 0.95)
    assert math.isnan(difference.low)
    assert math.isnan(difference.high)
    assert rows_for_power(difference, 200, 0.01, 0.95) is None


def test_a_metric_that_is_undefined_without_a_block_has_no_interval() -> None:
    y = np.array([1] * 5 + [0] * 55)
    blocks = Blocks(np.repeat(np.arange(12), 5), 12, "days")
    p = np.random.default_rng(0).random(60)
    assert all(map(math.isnan, two_sided(METRICS["roc_auc"], replicate(METRICS["roc_auc"], y, p, blocks), 0.95)))


@pytest.mark.parametrize("name", ["average_precision", "log_loss"])
def test_a_comparison_turned_round_changes_only_its_sign(name: str) -> None:
    y, p, q = rows(1000)
    metric, blocks = METRICS[name], deal_rows(1000, 0)
    one, other = (replicate(metric, y, v, blocks, classes=y) for v in (p, q))
    there, back = compare(metric, one, other, 0.95), compare(metric, other, one, 0.95)
    assert there.low < there.gain < there.high
    assert (there.gain, there.low, there.high) == pytest.approx((-back.gain, -back.high, -back.low))
    assert there.gain == pytest.approx(metric.gain(one.value, other.value))


def test_equal_predictions_differ_by_exactly_nothing() -> None:
    y, p, _ = rows(500)
    metric = METRICS["average_precision"]
    same = replicate(metric, y, p, deal_rows(500, 0))
    difference = compare(metric, same, same, 0.95)
    assert (difference.gain, difference.low, difference.high) == (0, 0, 0)


def test_replicates_over_other_blocks_are_refused() -> None:
    one = Replicates(0.5, np.full(10, 0.5), 10.0)
    with pytest.raises(ValueError, match="same blocks"):
        compare(METRICS["roc_auc"], one, Replicates(0.5, np.full(9, 0.5), 9.0), 0.95)


def test_bounds_are_designed_for_four_fifths_of_the_error() -> None:
    y, p, q = rows(1000)
    metric, blocks = METRICS["roc_auc"], deal_rows(1000, 0)
    found = compare(metric, *(replicate(metric, y, v, blocks) for v in (p, q)), 0.95)
    assert found.high - found.gain == pytest.approx(stats.t.ppf(0.96, 49) * found.standard_error)


def test_a_bound_is_the_end_of_an_interval_of_twice_its_designed_error() -> None:
    y, p, _ = rows(1000)
    found = replicate(METRICS["roc_auc"], y, p, deal_rows(1000, 0))
    assert one_sided(METRICS["roc_auc"], found, 0.95) == pytest.approx(two_sided(METRICS["roc_auc"], found, 0.92))


def test_a_rare_class_of_several_counts_only_where_the_metric_ends_without_it() -> None:
    y = np.array([0] * 30 + [1] * 28 + [2] * 2)
    p = np.random.default_rng(0).dirichlet(np.ones(3), 60)
    assert needs_each_class(METRICS["f1_macro"], y, p, "multiclass")
    assert not needs_each_class(METRICS["log_loss"], y, p, "multiclass")
    assert needs_each_class(METRICS["log_loss"], y % 2, p[:, 0], "binary")
    assert not needs_each_class(METRICS["mae"], y, p[:, 0], "regression")


def test_the_error_is_split_evenly_over_looks() -> None:
    assert split_confidence(0.95, 1) == pytest.approx(0.95)
    assert split_confidence(0.95, 5) == pytest.approx(0.99)
    with pytest.raises(ValueError, match="at least one look"):
        split_confidence(0.95, 0)


def test_the_rows_needed_shrink_the_error_to_what_the_shift_asks() -> None:
    y, p, q = rows(1000)
    metric, blocks = METRICS["roc_auc"], deal_rows(1000, 0)
    difference = compare(metric, *(replicate(metric, y, v, blocks) for v in (p, q)), 0.95)
    needed = rows_for_power(difference, 1000, 0.005, 0.95)
    assert needed is not None
    reach = stats.t.ppf(0.96, 49) + stats.t.ppf(0.8, 49)
    assert difference.standard_error * math.sqrt(1000 / needed) * reach == pytest.approx(0.005, rel=1e-3)
    assert rows_for_power(difference, 1000, 0.0, 0.95) is None
    assert rows_for_power(difference, 1000, math.nan, 0.95) is None


def test_few_blocks_grow_with_the_rows_that_are_needed_and_never_below_what_is_enough() -> None:
    few = Difference(0.0, -0.1, 0.1, 0.05, 6.0)
    needed = rows_for_power(few, 1000, 0.02, 0.95)
    fixed = 1000 * (0.05 * (stats.t.ppf(0.96, 5) + stats.t.ppf(0.8, 5)) / 0.02) ** 2
    grown = 1000 * (0.05 * (stats.t.ppf(0.96, 10) + stats.t.ppf(0.8, 10)) / 0.02) ** 2
    assert needed == math.ceil(grown) < fixed
    assert rows_for_power(few, 1000, 10.0, 0.95) == math.ceil(1000 * 5 / 6)


def test_thirty_thousand_rows_take_seconds_at_most() -> None:
    y, p, q = rows(30_000)
    begun = time.process_time()
    for name in ("average_precision", "roc_auc"):
        blocks = block_rows([f"{i % 60:02d}" for i in range(30_000)], "days", ordered=True)
        compare(METRICS[name], *(replicate(METRICS[name], y, v, blocks, classes=y) for v in (p, q)), 0.95)
    assert time.process_time() - begun < 1.5
