"""Intervals for any metric by the delete-a-block jackknife-t.

Rows of one day or one group are not independent, so blocks of them are left out in turn and the metric is computed
anew without each: se^2 = (G-1)/G * sum (theta(-g) - theta)^2, and theta -+ t(nu) * se with nu = Geff - 1. It keeps
its level from few blocks on where the percentile bootstrap does not, and needs no formula per metric; average
precision must be computed anew, its linear approximation errs too often.

Where rows are independent, they are dealt at random into a fixed number of equal blocks, and the same is done. The
t quantile pays for the noise of a standard error from that many blocks (some 2% of the width at 50), and one method
serves both kinds of rows. Its level is simulated in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from tasks.stats.metrics import AT_HALF, Array, Metric, OperatingPoint

MAX_BLOCKS = 60  # more bring nothing: t(59) is within 2% of the normal, and each costs a pass over the rows
RANDOM_BLOCKS = 50
MIN_EFFECTIVE_BLOCKS = 5.0


@dataclass(frozen=True)
class Blocks:
    """Which block each row lies in: `of_row` (n,) holds 0..count-1. `unit` says what one block is."""

    of_row: NDArray[np.int64]
    count: int
    unit: str

    def describe(self) -> str:
        """Such as "18 days" or "37 blocks of 2 days"."""
        one = self.count == 1 and " " not in self.unit
        return f"{self.count} {self.unit.removesuffix('s') if one else self.unit}"


@dataclass(frozen=True)
class Replicates:
    """A metric on all rows, and without each block in turn. `effective` is Geff: what the blocks' sizes are worth."""

    value: float
    without: NDArray[np.float64]
    effective: float

    @property
    def standard_error(self) -> float:
        """The jackknife's standard error; nan where the metric is not defined without some block."""
        count = len(self.without)
        if count < 2:
            return math.nan
        return float(np.sqrt((count - 1) / count * np.sum((self.without - self.value) ** 2)))

    def reach(self, confidence: float) -> float:
        """t(confidence, Geff - 1) standard errors; nan with fewer than MIN_EFFECTIVE_BLOCKS effective blocks."""
        if not self.effective >= MIN_EFFECTIVE_BLOCKS:
            return math.nan
        return student_quantile(confidence, self.effective - 1) * self.standard_error


def student_quantile(probability: float, degrees: float) -> float:
    """The quantile of Student's t; the degrees of freedom need not be whole."""
    return float(stdtrit(degrees, probability))


def block_rows(labels: Sequence[str], unit: str, *, length: int | None = None, limit: int = MAX_BLOCKS) -> Blocks:
    """Blocks from one label per row, such as its day or group.

    `length` labels that follow each other in sorted order (days written as ISO dates: in time) make one block;
    None takes the fewest that keep within `limit` blocks. Longer blocks are right where neighbouring days are
    alike.
    """
    distinct, of_label = np.unique(np.asarray(labels, dtype=object).astype(str), return_inverse=True)
    size = length or max(1, math.ceil(len(distinct) / limit))
    of_row = (of_label // size).astype(np.int64)
    return Blocks(of_row, math.ceil(len(distinct) / size), unit if size == 1 else f"blocks of {size} {unit}")


def deal_rows(rows: int, seed: int, count: int = RANDOM_BLOCKS) -> Blocks:
    """Independent rows, dealt at random into `count` blocks that differ by at most one row."""
    count = min(count, rows)
    of_row = np.random.default_rng(seed).permutation(rows) % max(count, 1)
    return Blocks(of_row.astype(np.int64), count, "random blocks of rows")


def count_effective(blocks: Blocks, classes: Array | None = None) -> float:
    """Geff = 1 / sum (n_g / n)^2: as many blocks of equal size would be worth the same.

    With `classes` (n,) it is the least over the rows of each class: a hundred blocks of which four hold all the
    positives are worth four.
    """
    if blocks.count == 0:
        return 0.0
    parts = [blocks.of_row] if classes is None else [blocks.of_row[classes == c] for c in np.unique(classes)]
    shares = [np.bincount(part, minlength=blocks.count) / len(part) for part in parts]
    return float(min(1.0 / np.sum(share**2) for share in shares))


def replicate(
    metric: Metric,
    y: Array,
    prediction: Array,
    blocks: Blocks,
    at: OperatingPoint = AT_HALF,
    classes: Array | None = None,
) -> Replicates:
    """The metric on all rows and without each block. `classes` as in `count_effective`."""
    without = metric.compute_without(y, prediction, blocks.of_row, blocks.count, at)
    return Replicates(metric.compute(y, prediction, at), without, count_effective(blocks, classes))


def two_sided(metric: Metric, replicates: Replicates, confidence: float) -> tuple[float, float]:
    """The interval's ends, cut to what the metric can take; both nan where there are too few effective blocks."""
    reach = replicates.reach(1 - (1 - confidence) / 2)
    if not math.isfinite(reach):
        return math.nan, math.nan
    low, high = metric.limits
    return max(low, replicates.value - reach), min(high, replicates.value + reach)
