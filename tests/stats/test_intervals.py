"""Blocks, their effective number, and the jackknife-t against plain computations."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.stats.comparison import compare, rows_for_power
from tasks.stats.intervals import (
    MAX_BLOCKS,
    Blocks,
    Replicates,
    block_rows,
    count_effective,
    deal_rows,
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


@pytest.mark.parametrize("name", METRICS)
def test_replicates_are_the_metric_without_each_block(name: str) -> None:
    y, p, _ = rows(400)
    p = np.round(p, 2)  # ties
    blocks, metric = deal_rows(400, 3), METRICS[name]
    found = replicate(metric, y, p, blocks)
    for block in range(blocks.count):
        kept = blocks.of_row != block
        assert found.without[block] == pytest.approx(metric.compute(y[kept], p[kept]), nan_ok=True, abs=1e-12)
    assert found.value == pytest.approx(metric.compute(y, p), nan_ok=True, abs=1e-12)


def test_for_a_mean_it_is_the_classical_t_interval() -> None:
    y = np.random.default_rng(0).integers(0, 2, 40)
    p = np.full(40, 0.3)
    low, high = two_sided(METRICS["brier"], replicate(METRICS["brier"], y, p, deal_rows(40, 0)), 0.95)
    loss = (p - y) ** 2
    reach = stats.t.ppf(0.975, 39) * loss.std(ddof=1) / math.sqrt(40)
    assert (low, high) == pytest.approx((loss.mean() - reach, loss.mean() + reach))


def test_an_interval_is_cut_to_what_the_metric_can_take() -> None:
    y = np.array([0, 0, 0, 1, 1, 1, 0, 1] * 3)
    p = np.linspace(0, 1, 24) * 0.1 + y * 0.5
    p[5] = 0.01
    low, high = two_sided(METRICS["roc_auc"], replicate(METRICS["roc_auc"], y, p, deal_rows(24, 0)), 0.99)
    assert low < high == 1.0


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


def test_the_rows_needed_shrink_the_error_to_what_the_shift_asks() -> None:
    y, p, q = rows(1000)
    metric, blocks = METRICS["roc_auc"], deal_rows(1000, 0)
    difference = compare(metric, *(replicate(metric, y, v, blocks) for v in (p, q)), 0.95)
    needed = rows_for_power(difference, 1000, 0.01, 0.95)
    assert needed is not None
    reach = stats.t.ppf(0.95, 49) + stats.t.ppf(0.8, 49)
    assert difference.standard_error * math.sqrt(1000 / needed) * reach == pytest.approx(0.01, rel=1e-3)
    assert rows_for_power(difference, 1000, 0.0, 0.95) is None
    assert rows_for_power(difference, 1000, math.nan, 0.95) is None


def test_thirty_thousand_rows_take_seconds_at_most() -> None:
    y, p, q = rows(30_000)
    begun = time.process_time()
    for name in ("average_precision", "roc_auc"):
        blocks = block_rows([f"{i % 60:02d}" for i in range(30_000)], "days")
        compare(METRICS[name], *(replicate(METRICS[name], y, v, blocks, classes=y) for v in (p, q)), 0.95)
    assert time.process_time() - begun < 3
