"""One rate of one group, and two groups' rates against each other: estimates, intervals, tests and bounds.

Shares are tested by `stats.proportions`, means by jackknife-t. Where rows lie in days or groups that are not
independent, the variance of each contrast is measured over these blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.parts import Mask
from tasks.stats.intervals import MIN_EFFECTIVE_BLOCKS, Blocks, Estimate, Replicates, count_effective, student_quantile
from tasks.stats.metrics import Array
from tasks.stats.proportions import RatePairs, find_rate_interval

Kind = Literal["ratio", "difference"]
FEWEST_OF_A_GROUP = 20  # rows that a rate is of; nothing is said of a group with fewer
FEWEST_OF_A_MEAN = 50  # the same for means, whose errors may be skewed


@dataclass(frozen=True)
class Rate:
    """A mean over some rows of each group: `values` (n,) where `among` (n,); a share where `is_share`.

    `expected` (n,) is taken off each value: what calibration compares outcomes with.
    """

    name: str
    values: Array
    among: Mask
    is_share: bool
    expected: Array | None = None


@dataclass(frozen=True)
class Tally:
    """A rate of one group: its rows, sum and mean, what was expected, and per block the sum of what is off the mean."""

    rows: int
    total: float
    mean: float
    expected: float
    away: NDArray[np.float64]  # (blocks,), in parts of the rows; empty where rows are independent shares
    effective: float
    floor: float  # of the inflation: below 1 where rows are told apart by what is expected of them
    is_share: bool
    ordered: bool
    variance: float = 0.0  # of its values


def tally_rate(rate: Rate, mask: Mask, blocks: Blocks) -> Tally:
    """A rate of the rows that `mask` (n,) marks."""
    rows = rate.among & mask
    count = int(rows.sum())
    if not count:
        return Tally(0, 0.0, math.nan, 0.0, np.empty(0), 0.0, 1.0, rate.is_share, False)
    values = rate.values[rows]
    mean, expected, floor = float(values.mean()), 0.0, 1.0
    off = values - mean
    if rate.expected is not None:
        given = np.clip(rate.expected[rows], 0.0, 1.0)
        expected = float(given.mean())
        spread = mean * (1 - mean)
        # What the model says of its own uncertainty, or what is seen of it where the model is too sure.
        own = max(float(np.mean(given * (1 - given))), float(np.var(values - given)))
        floor = own / spread if spread > 0 else 1.0
        off = values - given - (mean - expected)
    away: NDArray[np.float64] = np.empty(0)
    effective = math.inf
    if not (blocks.dealt and rate.is_share):
        away = np.asarray(np.bincount(blocks.of_row[rows], off / count, blocks.count), np.float64)
        effective = count_effective(blocks.take(rows))
    ordered = blocks.ordered
    total, variance = float(values.sum()), float(values.var())
    return Tally(count, total, mean, expected, away, effective, floor, rate.is_share, ordered, variance)


def tally_everyone(mask: Mask, blocks: Blocks) -> Tally:
    """The rows that `mask` (n,) marks, whatever the rate."""
    return tally_rate(Rate("rows", np.ones(len(mask)), np.ones(len(mask), bool), True), mask, blocks)


def is_too_small(tally: Tally) -> bool:
    """Whether nothing can be said of it."""
    return (
        tally.rows < (FEWEST_OF_A_GROUP if tally.is_share else FEWEST_OF_A_MEAN)
        or tally.effective < MIN_EFFECTIVE_BLOCKS - 1e-9
    )


def find_interval(tally: Tally, confidence: float) -> tuple[float, float, float]:
    """The rate, less what was expected, and the ends of its interval; nan for ends that cannot be told."""
    value = tally.mean - tally.expected
    if is_too_small(tally):
        return value, math.nan, math.nan
    error, degrees = _spread(tally.away, tally.effective, tally.ordered)
    if tally.is_share:
        plain = tally.mean * (1 - tally.mean) / tally.rows
        blocked = error * error / plain if math.isfinite(error) and plain > 0 else tally.floor
        low, high = find_rate_interval(tally.total, tally.rows, max(tally.floor, blocked), degrees, confidence)
        return value, low - tally.expected, high - tally.expected
    reach = student_quantile((1 + confidence) / 2, degrees) * error
    return value, value - reach, value + reach


def _spread(away: NDArray[np.float64], effective: float, ordered: bool) -> tuple[float, float]:
    """Standard error and degrees of freedom from the sums per block; nan and infinite where rows are independent."""
    if not len(away):
        return math.nan, math.inf
    return Replicates(0.0, away, effective, ordered).spread()


@dataclass(frozen=True)
class ShareTests:
    pairs: RatePairs
    kind: Kind
    limit: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[Tally, Tally]], kind: Kind, limit: float) -> ShareTests:
        factor = limit if kind == "ratio" else 1.0
        inflation, degrees = [], []
        for one, two in pairs:
            error, freedom = _spread(_contrast(one, two, factor), min(one.effective, two.effective), one.ordered)
            plain = [t.mean * (1 - t.mean) / t.rows for t in (one, two)]
            variance = plain[0] + factor**2 * plain[1]
            told = plain[0] * one.floor + factor**2 * plain[1] * two.floor
            floor = told / variance if variance > 0 else 1.0
            inflation.append(max(floor, error * error / variance if math.isfinite(error) and variance > 0 else floor))
            degrees.append(freedom)
        columns = [[t.total for t, _ in pairs], [t.rows for t, _ in pairs],
                   [t.total for _, t in pairs], [t.rows for _, t in pairs],
                   [one.expected - two.expected for one, two in pairs], inflation, degrees]  # fmt: skip
        return cls(RatePairs(*(np.asarray(c, np.float64) for c in columns)), kind, limit)

    def test_broken(self) -> Array:
        """p-values of keeping the limit: small where it is shown to be broken, 1 where too few days can tell."""
        if self.kind == "ratio":
            return self._told(self.pairs.test_below("ratio", self.limit))
        return self._told(self.pairs.test_above("difference", self.limit))

    def test_kept(self) -> Array:
        """p-values of breaking the limit: small where it is shown to be kept."""
        if self.kind == "ratio":
            return self._told(self.pairs.test_above("ratio", self.limit))
        return self._told(self.pairs.test_below("difference", self.limit))

    def _told(self, p_values: Array) -> Array:
        return np.where(self.pairs.degrees + 1 < MIN_EFFECTIVE_BLOCKS - 1e-9, 1.0, p_values)

    def values(self) -> Array:
        return self.pairs.value(self.kind)

    def bounds(self, kept: NDArray[np.int64], level: Array) -> tuple[Array, Array]:
        return self.pairs.take(kept).bounds(self.kind, level)


@dataclass(frozen=True)
class MeanTests:
    """Differences of means, by t."""

    gaps: tuple[Estimate, ...]
    limit: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[Tally, Tally]], kind: Kind, limit: float) -> MeanTests:
        # A small group that happens to lack the large errors looks surer than it is: it is given at least the spread
        # that all groups have together.
        tallies = {id(t): t for pair in pairs for t in pair}.values()
        pooled = sum(t.variance * t.rows for t in tallies) / sum(t.rows for t in tallies)
        gaps = []
        for one, two in pairs:
            effective = min(one.effective, two.effective)
            error, degrees = _spread(_contrast(one, two, 1.0), effective, one.ordered)
            least = math.sqrt(pooled * (1 / one.rows + 1 / two.rows))
            gaps.append(Estimate(one.mean - two.mean, max(error, least), degrees))
        return cls(tuple(gaps), limit)

    def test_broken(self) -> Array:
        """p-values of keeping the limit."""
        return np.array([gap.test_above(self.limit) for gap in self.gaps])

    def test_kept(self) -> Array:
        """p-values of breaking the limit."""
        return np.array([Estimate(-g.value, g.error, g.degrees).test_above(-self.limit) for g in self.gaps])

    def values(self) -> Array:
        return np.array([gap.value for gap in self.gaps])

    def bounds(self, kept: NDArray[np.int64], level: Array) -> tuple[Array, Array]:
        ends = np.array([self.gaps[i].bounds(float(at)) for i, at in zip(kept, level, strict=True)])
        return ends[:, 0], ends[:, 1]


def _contrast(one: Tally, two: Tally, factor: float) -> Array:
    return one.away - factor * two.away if len(one.away) else np.empty(0)
