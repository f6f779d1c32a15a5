"""Rows that models are judged on: any metric of any prediction on them, with what these rows can tell of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tasks.results import Comparison, MetricValue
from tasks.stats.comparison import Difference, compare, one_sided, rows_for_power
from tasks.stats.intervals import Blocks, Replicates, needs_each_class, replicate, two_sided
from tasks.stats.metrics import Array, Metric, OperatingPoint, TaskType

INTERVAL_CONFIDENCE = 0.95


@dataclass(frozen=True)
class JudgedRows:
    """What every prediction is judged on: labels (n,), and the blocks that they lie in."""

    y: Array
    blocks: Blocks
    task: TaskType

    def take(self, keep: NDArray[np.bool_]) -> JudgedRows:
        """Some of the rows, in the blocks that they leave."""
        if keep.all():
            return self
        return JudgedRows(self.y[keep], self.blocks.take(keep), self.task)

    def replicate(self, metric: Metric, prediction: Array, at: OperatingPoint) -> Replicates:
        """The metric on all rows, and without each block in turn."""
        classes = self.y if needs_each_class(metric, self.y, prediction, self.task, at) else None
        return replicate(metric, self.y, prediction, self.blocks, at, classes)

    def value(self, metric: Metric, replicates: Replicates) -> MetricValue:
        """The metric with its two-sided interval."""
        return self._interval(
            metric, replicates, INTERVAL_CONFIDENCE, two_sided(metric, replicates, INTERVAL_CONFIDENCE)
        )

    def judge(self, metric: Metric, prediction: Array, at: OperatingPoint) -> MetricValue:
        """The metric of a prediction with its two-sided interval."""
        return self.value(metric, self.replicate(metric, prediction, at))

    def bound(self, metric: Metric, replicates: Replicates, limit: float, confidence: float) -> MetricValue:
        """The metric with one-sided ends, each at `confidence`, and the rows that would show on which side it lies."""
        low, high = one_sided(metric, replicates, confidence)
        away = replicates.value - limit
        error, degrees = replicates.spread()
        difference = Difference(away, low - limit, high - limit, error, degrees + 1)
        needed = rows_for_power(difference, len(self.y), abs(away), confidence)
        return replace(self._interval(metric, replicates, confidence, (low, high)), rows_needed=needed)

    def compare(
        self,
        metric: Metric,
        own: Replicates,
        other: Replicates,
        name: str,
        margin: float,
        shift: float,
        confidence: float,
    ) -> Comparison:
        """The paired gain of `own` over `other`; `shift` is the true distance to the limit that the rows needed
        are told for."""
        difference = compare(metric, own, other, confidence)
        return Comparison(
            metric=metric.name,
            other=name,
            gain=difference.gain,
            low=difference.low,
            high=difference.high,
            confidence=confidence,
            method=f"paired jackknife-t over {self.blocks.describe()}",
            rows=len(self.y),
            blocks=self.blocks.count,
            effective_blocks=_number_or(difference.effective, own.effective),
            standard_error=difference.standard_error,
            rows_needed=rows_for_power(difference, len(self.y), shift, confidence),
            margin=margin,
        )

    def _interval(
        self, metric: Metric, replicates: Replicates, confidence: float, ends: tuple[float, float]
    ) -> MetricValue:
        return MetricValue(
            name=metric.name,
            value=replicates.value,
            low=ends[0],
            high=ends[1],
            confidence=confidence,
            larger_is_better=metric.larger_is_better,
            method=f"jackknife over {self.blocks.describe()}",
            rows=len(self.y),
            blocks=self.blocks.count,
            effective_blocks=_number_or(replicates.spread()[1] + 1, replicates.effective),
        )


def _number_or(found: float, otherwise: float) -> float:
    """From a single block no spread is told; then it counts by its size alone."""
    return found if math.isfinite(found) else otherwise


def no_value(metric: Metric) -> MetricValue:
    """A metric of which nothing is known."""
    nan = math.nan
    return MetricValue(metric.name, nan, nan, nan, INTERVAL_CONFIDENCE, metric.larger_is_better, "not computed")
