"""Intervals for any metric by the delete-a-block jackknife-t.

Rows of one day or one group are not independent, so blocks of them are left out in turn and the metric is computed
anew without each: se^2 = (G-1)/G * sum (theta(-g) - theta)^2, and theta -+ t(nu) * se with nu = Geff - 1. It keeps
its level from few blocks on where the percentile bootstrap does not, and needs no formula per metric; average
precision must be computed anew, its linear approximation errs too often.

Blocks that follow each other in time may be alike; then `serial` gives the sum of squares and takes degrees of
freedom away. Where rows are independent, they are dealt at random into a fixed number of equal blocks, and the same is
done. The t quantile pays for the noise of a standard error from that many blocks (some 2% of the width at 50), and one
method serves both kinds of rows. Its level is simulated in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtr, stdtrit

from tasks.stats.metrics import AT_HALF, Array, Metric, OperatingPoint, TaskType
from tasks.stats.serial import sum_squares

MAX_BLOCKS = 60  # more bring nothing: t(59) is within 2% of the normal, and each costs a pass over the rows
RANDOM_BLOCKS = 50
MIN_EFFECTIVE_BLOCKS = 5.0


@dataclass(frozen=True)
class Blocks:
    """Which block each row lies in: `of_row` (n,) holds 0..count-1. `unit` says what one block is.

    `ordered` blocks follow each other in time, and neighbours may be alike. `dealt` ones are of independent rows.
    """

    of_row: NDArray[np.int64]
    count: int
    unit: str
    ordered: bool = False
    dealt: bool = False

    def describe(self) -> str:
        """Such as "18 days" or "37 blocks of 2 days"."""
        one = self.count == 1 and " " not in self.unit
        return f"{self.count} {self.unit.removesuffix('s') if one else self.unit}"

    def take(self, keep: NDArray[np.bool_]) -> Blocks:
        """The blocks of the rows that `keep` (n,) marks, numbered anew in the same order."""
        kept, of_row = np.unique(self.of_row[keep], return_inverse=True)
        return Blocks(of_row.astype(np.int64), len(kept), self.unit, self.ordered, self.dealt)


@dataclass(frozen=True)
class Replicates:
    """A metric on all rows, and without each block in turn.

    `effective` is Geff: what the blocks' sizes are worth; `ordered` as in Blocks.
    """

    value: float
    without: NDArray[np.float64]
    effective: float
    ordered: bool = False

    @property
    def standard_error(self) -> float:
        """The jackknife's standard error; nan where the metric is not defined without some block."""
        return self.spread()[0]

    def spread(self) -> tuple[float, float]:
        """The standard error and its degrees of freedom: Geff - 1, fewer where neighbouring blocks are alike."""
        count = len(self.without)
        if count < 2:
            return math.nan, math.nan
        away, degrees = self.without - self.value, self.effective - 1
        if self.ordered:
            squares, used = sum_squares(away)
            if not degrees > 0:
                return math.nan, math.nan
            # What unequal sizes cost adds to what neighbours cost; each alone stays what it is.
            degrees = 1 / (1 / used + 1 / degrees - 1 / (count - 1))
        else:
            squares = float(away @ away)
        return math.sqrt((count - 1) / count * squares), degrees

    def reach(self, confidence: float, fewest: float = MIN_EFFECTIVE_BLOCKS) -> float:
        """t(confidence) standard errors; nan with fewer than `fewest` effective blocks, likeness counted.

        Whatever `fewest` is, the blocks' sizes must be worth MIN_EFFECTIVE_BLOCKS.
        """
        error, degrees = self.spread()
        short = min(self.effective - MIN_EFFECTIVE_BLOCKS, degrees + 1 - fewest)
        if not short >= -1e-9:  # five equal blocks are five, whatever the rounding
            return math.nan
        return student_quantile(confidence, degrees) * error


def student_quantile(probability: float, degrees: float) -> float:
    """The quantile of Student's t; the degrees of freedom need not be whole."""
    return float(stdtrit(degrees, probability))


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error and degrees of freedom; both are nan where nothing can be said of it."""

    value: float
    error: float = math.nan
    degrees: float = math.nan

    @property
    def told(self) -> bool:
        """Whether anything can be said: enough independent blocks, likeness counted."""
        short = self.degrees + 1 < MIN_EFFECTIVE_BLOCKS - 1e-9
        return all(map(math.isfinite, (self.value, self.error, self.degrees))) and not short

    def test_above(self, limit: float) -> float:
        """The p-value of a true number of at most `limit`, by Student's t; nan where nothing can be said."""
        if not self.told or not math.isfinite(limit):
            return math.nan
        if self.error == 0:
            return 0.0 if self.value > limit else 1.0
        return float(stdtr(self.degrees, -(self.value - limit) / self.error))

    def bounds(self, level: float) -> tuple[float, float]:
        """One-sided bounds, each at 1 - level by itself; both nan where nothing can be said."""
        if not self.told:
            return math.nan, math.nan
        reach = student_quantile(1 - level, self.degrees) * self.error
        return self.value - reach, self.value + reach


def block_rows(
    labels: Sequence[str], unit: str, *, length: int | None = None, limit: int = MAX_BLOCKS, ordered: bool = False
) -> Blocks:
    """Blocks from one label per row, such as its day or group.

    `length` labels that follow each other in sorted order (days written as ISO dates: in time) make one block;
    None takes the fewest that keep within `limit` blocks. `ordered` says that this order is that of time.
    """
    codes, found = pd.factorize(np.asarray(labels, dtype=object))
    distinct, of_found = np.unique(found.astype(str), return_inverse=True)
    size = length or max(1, math.ceil(len(distinct) / limit))
    of_row = (of_found[codes] // size).astype(np.int64)
    name = unit if size == 1 else f"blocks of {size} {unit}"
    return Blocks(of_row, math.ceil(len(distinct) / size), name, ordered)


def deal_rows(rows: int, seed: int, count: int = RANDOM_BLOCKS) -> Blocks:
    """Independent rows, dealt at random into `count` blocks that differ by at most one row."""
    count = min(count, rows)
    of_row = np.random.default_rng(seed).permutation(rows) % max(count, 1)
    return Blocks(of_row.astype(np.int64), count, "random blocks of rows", dealt=True)


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


def needs_each_class(metric: Metric, y: Array, prediction: Array, task: TaskType, at: OperatingPoint = AT_HALF) -> bool:
    """Whether the blocks must be enough for the rows of every class by itself.

    Always for two. Of several, a rare one may weigh next to nothing: only where the metric ends without it.
    """
    if task != "multiclass":
        return task == "binary"
    labels, counts = np.unique(y, return_counts=True)
    kept = y != labels[counts.argmin()]
    return math.isnan(metric.compute(y[kept], prediction[kept], at))


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
    value = metric.compute(y, prediction, at)
    return Replicates(value, without, count_effective(blocks, classes), blocks.ordered)


def two_sided(metric: Metric, replicates: Replicates, confidence: float, fewest: float = 1.0) -> tuple[float, float]:
    """The interval's ends, within what the metric can take; both nan where there are too few blocks.

    Days of which many are alike make it wide instead, so that a person sees how little is known. What a release is
    decided by asks for more effective blocks: `fewest` as in `Replicates.reach`.
    It is made on a scale without limits and turned back: logits for a metric in 0..1, logs for one with one limit.
    So it stays within them and is longer on the side away from a limit that is near. A metric that is at its limit
    without some block has no such scale; its interval is cut there. One in 0..1 that is as good as can be whichever
    block is left out is no point: that no block of Geff was imperfect leaves a share of them that may be. The ends are
    one-sided bounds at 1 - (1 - confidence) / 2 each.
    """
    there, back = find_scale(metric.limits)
    with np.errstate(divide="ignore", invalid="ignore"):
        value, without = float(there(np.asarray(replicates.value))), there(replicates.without)
    if np.isinf(value) or np.isinf(without).any():
        there, back, value, without = _same, _same, replicates.value, replicates.without
    tail = (1 - confidence) / 2
    reach = Replicates(value, without, replicates.effective, replicates.ordered).reach(1 - tail, fewest)
    if not math.isfinite(reach):
        return math.nan, math.nan
    low, high = metric.limits
    if reach == 0 and (low, high) == (0, 1) and value == float(metric.larger_is_better):
        unseen = 1 - tail ** (1 / replicates.effective)
        return (1 - unseen, 1.0) if metric.larger_is_better else (0.0, unseen)
    ends = back(np.array([value - reach, value + reach]))
    return max(low, float(ends[0])), min(high, float(ends[1]))


@dataclass(frozen=True)
class Source:
    """One thing that a number may be off by: the number computed anew without each block of it.

    `value` is the number where no block is left out, `effective` and `ordered` are as in Replicates, and `part` is what
    the error is to be multiplied by, as where only some of the rows were looked at.
    """

    value: float
    without: NDArray[np.float64]
    effective: float
    ordered: bool = False
    part: float = 1.0


def combine_sources(
    limits: tuple[float, float],
    value: float,
    sources: Sequence[Source],
    confidence: float,
    ways: tuple[float, float] | None = None,
) -> tuple[float, float]:
    """The interval of a number that several independent sources move, within its limits; both nan where one of them has
    too few blocks to tell.

    Variances of the jackknife add up, and degrees of freedom are those of Satterthwaite (1946). `ways` are what two
    ways of computing the number give, of which neither is known to be better: as if the truth lay evenly between them.
    The scale is that of `two_sided`.
    """
    there, back = find_scale(limits)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = float(there(np.asarray(value)))
        moved = [(float(there(np.asarray(s.value))), there(s.without)) for s in sources]
        between = there(np.array(ways or (value, value)))
    if not np.isfinite([centre, *between, *(v for v, _ in moved)]).all() or any(np.isinf(w).any() for _, w in moved):
        back, centre, moved = _same, value, [(s.value, s.without) for s in sources]
        between = np.array(ways or (value, value))
    squares, weight = float(between[1] - between[0]) ** 2 / 12, 0.0
    for source, (whole, without) in zip(sources, moved, strict=True):
        error, degrees = Replicates(whole, without, source.effective, source.ordered).spread()
        if not (source.effective >= MIN_EFFECTIVE_BLOCKS - 1e-9 and math.isfinite(error)):
            return math.nan, math.nan
        part = (error * source.part) ** 2
        squares, weight = squares + part, weight + part**2 / degrees
    degrees = squares**2 / weight if weight > 0 else math.inf
    reach = student_quantile((1 + confidence) / 2, degrees) * math.sqrt(squares) if squares > 0 else 0.0
    ends = back(np.array([centre - reach, centre + reach]))
    return max(limits[0], float(ends[0])), min(limits[1], float(ends[1]))


_Scale = Callable[[Array], Array]


def _same(value: Array) -> Array:
    return value


def find_scale(limits: tuple[float, float]) -> tuple[_Scale, _Scale]:
    """To a scale without limits, rising, and back."""
    low, high = limits
    if math.isfinite(low) and math.isfinite(high):
        return lambda v: np.asarray(logit((v - low) / (high - low))), lambda v: np.asarray(
            low + (high - low) * expit(v)
        )
    if math.isfinite(low):
        return lambda v: np.asarray(np.log(v - low)), lambda v: np.asarray(low + np.exp(v))
    if math.isfinite(high):
        return lambda v: np.asarray(-np.log(high - v)), lambda v: np.asarray(high - np.exp(-v))
    return _same, _same
