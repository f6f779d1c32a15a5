"""Is one model better than another on the same rows? One-sided bounds of the paired difference of a metric.

Nominally at most 1 - confidence of wrong answers per comparison, for one challenger and one metric that were chosen
before the rows were seen, with independent blocks or days whose likeness is that of neighbours; not per year, and not
for the best of many. Bounds are designed for DESIGNED of that error, so that a rate at or below the nominal one can
also be shown: at 95% confidence 4% is designed. benchmarks/verdicts.md has the rates that were realised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tasks.stats.intervals import MIN_EFFECTIVE_BLOCKS, Replicates, student_quantile, two_sided
from tasks.stats.metrics import Metric
from tasks.stats.serial import FEWEST_CAPPED

POWER = 0.8
DESIGNED = 0.8


@dataclass(frozen=True)
class Difference:
    """The gain of one model over another: positive is better, whatever the metric's direction.

    `low` and `high` are one-sided bounds at the confidence asked for, each by itself; nan where nothing can be said.
    `effective` is the number of blocks that its standard error is worth: sizes and likeness of neighbours counted.
    """

    gain: float
    low: float
    high: float
    standard_error: float
    effective: float


def split_confidence(confidence: float, looks: int) -> float:
    """The confidence of each of at most `looks` decisions, so that all together err at most 1 - confidence.

    The error is split evenly (Bonferroni). ValueError for fewer than one look.
    """
    if looks < 1:
        raise ValueError(f"at least one look is expected, found {looks}")
    return 1 - (1 - confidence) / looks


def one_sided(metric: Metric, replicates: Replicates, confidence: float) -> tuple[float, float]:
    """The bounds of one model's metric, each at `confidence` by itself; both nan where there are too few blocks.

    The ends of `two_sided`, designed as those of `compare` are: what a floor or a ceiling is held against.
    """
    return two_sided(metric, replicates, 1 - 2 * (1 - _design(confidence)), MIN_EFFECTIVE_BLOCKS)


def compare(metric: Metric, one: Replicates, other: Replicates, confidence: float) -> Difference:
    """The gain of `one` over `other`, both replicated on the same rows and blocks. ValueError where they were not."""
    if (len(one.without), one.effective, one.ordered) != (len(other.without), other.effective, other.ordered):
        raise ValueError("the two were not replicated over the same blocks")
    sign = 1.0 if metric.larger_is_better else -1.0
    paired = Replicates(
        sign * (one.value - other.value), sign * (one.without - other.without), one.effective, one.ordered
    )
    reach = paired.reach(_design(confidence))
    low, high = (paired.value - reach, paired.value + reach) if math.isfinite(reach) else (math.nan, math.nan)
    error, degrees = paired.spread()
    return Difference(paired.value, low, high, error, degrees + 1)


def rows_for_power(difference: Difference, rows: int, shift: float, confidence: float) -> int | None:
    """Rows in all that would show a true advantage of `shift` over the limit with 80% power, by the rule of `compare`.

    The standard error is taken to fall with the root of the rows, and few blocks to grow with them, up to as many as
    count whether days or groups. None where that cannot be computed: no shift, too few effective blocks, or a standard
    error that is not known.
    """
    se = difference.standard_error
    if not (shift > 0 and math.isfinite(se) and difference.effective >= MIN_EFFECTIVE_BLOCKS - 1e-9):
        return None
    most = max(FEWEST_CAPPED + 1, difference.effective)
    fewest = rows * min(1.0, MIN_EFFECTIVE_BLOCKS / difference.effective)
    needed = float(rows)
    for _ in range(20):  # more rows, more blocks, a smaller quantile: it settles within a few steps
        blocks = min(max(difference.effective * needed / rows, MIN_EFFECTIVE_BLOCKS), most)
        reach = student_quantile(_design(confidence), blocks - 1) + student_quantile(POWER, blocks - 1)
        needed = max(rows * (se * reach / shift) ** 2, fewest)
    return math.ceil(needed)


def design_level(confidence: float) -> float:
    """The error that a test at this confidence is designed for: DESIGNED of the nominal one."""
    return DESIGNED * (1 - confidence)


def _design(confidence: float) -> float:
    return 1 - design_level(confidence)
