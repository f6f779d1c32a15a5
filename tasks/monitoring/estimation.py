"""What the predictions of a window are worth before its labels are known, estimated while its rows stream by.

What is expected of a row is learned from the champion's test rows that its reference keeps, never from rows that it
was fitted on. Classes (confidence-based performance estimation, Kivimaki et al. 2025): half of the belief in a label is
its probability, calibrated on the reference by a rising function; the other half is how often reference rows alike in
features and probability had it, by a small forest. The first is sharp where the window is like the reference, the
second does not follow the champion where it extrapolates; benchmarks/estimation.md compares them. Regression (direct
loss estimation, as in NannyML): the forest foretells the losses.

An interval counts two sources, each by the jackknife: the window's days or groups, and those of the reference, which
the belief was learned from. All of it holds where labels relate to features as they did in the reference. A change of
that relation cannot be seen without labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.monitoring.belief import Belief, LearnedRows, read_test_rows
from tasks.monitoring.performance import CONFIDENCE, FEWEST_LABELS
from tasks.monitoring.sample import RowSample, priorities
from tasks.results import MetricValue
from tasks.stats.folding import FoldedSums, number_blocks
from tasks.stats.intervals import (
    MAX_BLOCKS,
    RANDOM_BLOCKS,
    Source,
    combine_sources,
    deal_rows,
)
from tasks.stats.metrics import AT_HALF, METRICS, Metric, OperatingPoint, TaskType, find_metric

SAMPLED = 4_000  # rows of a window on which the second source is measured
SAMPLED_NUMBERS, FEWEST_SAMPLED = 20_000, 500  # of several classes fewer rows, each has a number per class
ALONE = "its rows as they are"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """Metrics that are expected of `rows` scored rows; the first is the one that the gate promised.

    `doubt` says why nothing can be said, or not of the first, and is empty else. `strange` is the share of rows with a
    value beyond all those of the reference: of them the estimate says least.
    """

    rows: int
    metrics: tuple[MetricValue, ...]
    doubt: str
    strange: float = math.nan


class PerformanceEstimator:
    """Collects what is expected of rows while they stream by; its state is bounded, and the same however they are
    cut."""

    def __init__(
        self,
        reference: LearnedRows | None,
        features: Sequence[str],
        doubt: str,
        *,
        task: TaskType,
        classes: int,
        at: OperatingPoint,
        metric: Metric,
        ordered: bool,
        seed: int,
    ) -> None:
        self._metric, self._task, self._ordered, self._seed, self._doubt = metric, task, ordered, seed, doubt
        self._belief = Belief(reference, features, task, classes, at, seed) if reference else None
        self._begin()

    def _begin(self) -> None:
        self._rows = self._strange = 0
        self._dealt = False
        width, columns = (self._belief.sums.width, self._belief.columns) if self._belief else (1, 1)
        self._folded = FoldedSums(MAX_BLOCKS, width)
        self._sample = RowSample(min(SAMPLED, max(FEWEST_SAMPLED, SAMPLED_NUMBERS // columns)), self._seed)

    def begin_again(self) -> PerformanceEstimator:
        """Another one for another window, which has learned the same and seen no row: learning takes the most time."""
        other = copy(self)
        other._begin()
        return other

    def add(
        self,
        frame: pd.DataFrame,
        prediction: NDArray[np.float64],
        blocks: pd.Series[Any] | None,
        positions: NDArray[np.int64],
    ) -> None:
        """Offer rows (n,) with their features, predictions (n,) or (n, classes), nan where a row was not scored, the
        day (an ISO date) or group of each, None where rows are independent, and their positions in the batch."""
        wide = np.asarray(prediction, np.float64)
        wide = wide[:, None] if wide.ndim == 1 else wide
        scored: NDArray[np.bool_] = np.asarray(np.isfinite(wide).all(axis=1))
        self._rows += int(scored.sum())
        if self._belief is None or not scored.any():
            return
        rows, given, at = frame.loc[scored], wide[scored], positions[scored]
        codes = self._belief.codes.encode(rows)
        self._strange += int(self._belief.codes.find_strange(codes).sum())
        leaves = self._belief.find_leaves(codes, given)
        expected = self._belief.expect(leaves, given)
        self._dealt = blocks is None
        if blocks is None:
            numbers = (priorities(at, self._seed) % np.uint64(RANDOM_BLOCKS)).astype(np.int64)
        else:
            numbers = number_blocks(blocks.to_numpy(dtype=object)[scored], days=self._ordered)
        sums = self._belief.sums
        self._folded.add(numbers, lambda of_row, count: sums.sum_blocks(given, expected, of_row, count))
        kept = {f"p{i}": given[:, i] for i in range(given.shape[1])}
        self._sample.add(pd.DataFrame({**kept, **{f"leaf{i}": leaves[:, i] for i in range(leaves.shape[1])}}), at)

    def estimate(self) -> Estimate:
        """The project's metric and the task's others, each with its interval."""
        if self._belief is None:
            return Estimate(self._rows, (), self._doubt)
        if not self._rows:
            return Estimate(0, (), "no row was scored")
        window = _Window(self._belief, self._folded, self._sample, self._rows, self._dealt, self._ordered)
        others = [m for m in METRICS.values() if self._task in m.tasks and m.name != self._metric.name]
        found = [self._measure(window, one) for one in (self._metric, *others)]
        values = tuple(value for value in found if math.isfinite(value.value))
        return Estimate(self._rows, values, self._doubt or self._find_doubt(values), self._strange / self._rows)

    def _measure(self, window: _Window, metric: Metric) -> MetricValue:
        value = window.value(metric)
        own, learned = window.from_rows(metric), window.from_reference(metric)
        low, high = combine_sources(metric.limits, value, (own, learned), CONFIDENCE, window.ways(metric))
        return MetricValue(
            metric.name,
            value,
            low,
            high,
            CONFIDENCE,
            metric.larger_is_better,
            f"estimated without labels; jackknife over {window.describe()}",
            self._rows,
            window.count,
            window.effective,
        )

    def _find_doubt(self, values: Sequence[MetricValue]) -> str:
        if self._rows < FEWEST_LABELS:
            return f"{self._rows:,} rows were scored, fewer than {FEWEST_LABELS} say too little"
        if not values or values[0].name != self._metric.name:
            return f"{self._metric.title} cannot be estimated from these rows"
        if not math.isfinite(values[0].low):
            return "the reference rows lie in too few days or groups for an interval"
        return ""


class _Window:
    """The sums of a window, and both sources of what an estimate may be off by."""

    def __init__(
        self,
        belief: Belief,
        folded: FoldedSums,
        sample: RowSample,
        rows: int,
        dealt: bool,
        ordered: bool,
    ) -> None:
        self._sums, self._learned, self._folds = belief.sums, belief, folded.folds
        self._dealt, self._ordered = dealt, ordered and not dealt
        self._blocks = folded.sums()
        self._total = self._blocks.sum(axis=0, keepdims=True)
        self.count = len(self._blocks)
        weights = self._sums.weigh(self._blocks)
        if len(weights[0]) != 3:  # of several classes a rare one weighs next to nothing
            weights = weights[:, :1]
        shares = weights / np.maximum(weights.sum(axis=0), 1e-300)
        self.effective = float((1 / np.maximum((shares**2).sum(axis=0), 1e-300)).min())
        drawn = sample.frame()
        given = drawn.filter(regex=r"^p\d+$").to_numpy(np.float64)
        leaves = drawn.filter(regex=r"^leaf\d+$").to_numpy(np.int64)
        self._part = len(drawn) / rows
        of_row, one = np.zeros(len(drawn), np.int64), 1
        without = [None, *range(belief.blocks.count)]
        self._relearned = np.concatenate(
            [self._sums.sum_blocks(given, belief.expect(leaves, given, w), of_row, one) for w in without]
        )
        self._ways: NDArray[np.int64] | None = None
        if belief.told_twice:
            each = [belief.expect(leaves, given, share=share) for share in (0.0, 1.0)]
            self._ways = np.concatenate([self._sums.sum_blocks(given, one_way, of_row, one) for one_way in each])
        self._apart = np.zeros((0, self._sums.width), np.int64)
        if self._too_few:
            blocks = deal_rows(len(drawn), 0)
            expected = belief.expect(leaves, given)
            self._apart = self._sums.sum_blocks(given, expected, blocks.of_row, blocks.count)

    @property
    def _too_few(self) -> bool:
        """Blocks to tell how days or groups differ: then the window is taken as it is."""
        return self.effective < 5 - 1e-9

    def describe(self) -> str:
        """Both sources in words."""
        size = 2**self._folds
        unit = "days" if self._ordered else "groups"
        named = f"{self.count} {unit}" if size == 1 else f"{self.count} blocks of {unit}"
        own = ALONE if self._too_few else f"{self.count} random blocks of rows" if self._dealt else named
        return f"{own}, and {self._learned.blocks.describe()} of the reference"

    def value(self, metric: Metric) -> float:
        """The estimate on all rows."""
        return float(self._sums.compute(metric, self._total)[0])

    def from_rows(self, metric: Metric) -> Source:
        """What another window of as many rows would differ by."""
        if self._too_few:
            whole = self._apart.sum(axis=0, keepdims=True)
            values = self._sums.compute(metric, np.concatenate([whole, whole - self._apart]))
            return Source(values[0], values[1:], float(len(self._apart)), False, math.sqrt(self._part))
        values = self._sums.compute(metric, np.concatenate([self._total, self._total - self._blocks]))
        return Source(values[0], values[1:], self.effective, self._ordered)

    def ways(self, metric: Metric) -> tuple[float, float] | None:
        """What calibration alone and the forest alone say; None where there is one way only."""
        if self._ways is None:
            return None
        first, second = self._sums.compute(metric, self._ways)
        return float(first), float(second)

    def from_reference(self, metric: Metric) -> Source:
        """What another reference would have taught."""
        values = self._sums.compute(metric, self._relearned)
        return Source(values[0], values[1:], self._learned.effective, self._learned.blocks.ordered)


def make_estimator(
    reference: pd.DataFrame | None,
    features: Sequence[str],
    *,
    task: TaskType,
    classes: Sequence[Any],
    at: OperatingPoint = AT_HALF,
    metric: str | None = None,
    ordered: bool = True,
    seed: int = 0,
) -> PerformanceEstimator:
    """An estimator for windows of the champion that left `reference` (as `make_reference` makes it; None: none).

    `classes` are the labels in the order of their codes. `at` says where decisions are made and what they cost.
    `metric` (None, or one that the task has not: the task's default) comes first. `ordered` says that blocks are days,
    else they are groups. Where the reference does not allow an estimate, the estimator says why in `Estimate.doubt`.
    """
    named = METRICS.get(metric or "")
    main = named if named and task in named.tasks else find_metric(None, task)
    read, doubt = read_test_rows(reference, features, task, classes, main, at, ordered, seed)
    return PerformanceEstimator(
        read, features, doubt, task=task, classes=len(classes), at=at, metric=main, ordered=ordered, seed=seed
    )
