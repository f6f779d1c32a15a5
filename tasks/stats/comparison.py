"""Is one model better than another on the same rows? One-sided bounds of the paired difference of a metric.

Nominally 1 - confidence of wrong answers per comparison, for one challenger and one metric that were chosen before
the rows were seen, with independent blocks; not per year, and not for the best of many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tasks.stats.intervals import MIN_EFFECTIVE_BLOCKS, Replicates, student_quantile
from tasks.stats.metrics import Metric

POWER = 0.8


@dataclass(frozen=True)
class Difference:
    """The gain of one model over another: positive is better, whatever the metric's direction.

    `low` and `high` are one-sided bounds at the confidence asked for, each by itself; nan where nothing can be said.
    """

    gain: float
    low: float
    high: float
    standard_error: float
    effective: float


def compare(metric: Metric, one: Replicates, other: Replicates, confidence: float) -> Difference:
    """The gain of `one` over `other`, both replicated on the same rows and blocks. ValueError where they were not."""
    if len(one.without) != len(other.without) or one.effective != other.effective:
        raise ValueError("the two were not replicated over the same blocks")
    sign = 1.0 if metric.larger_is_better else -1.0
    paired = Replicates(sign * (one.value - other.value), sign * (one.without - other.without), one.effective)
    reach = paired.reach(confidence)
    low, high = (paired.value - reach, paired.value + reach) if math.isfinite(reach) else (math.nan, math.nan)
    return Difference(paired.value, low, high, paired.standard_error, paired.effective)


def rows_for_power(difference: Difference, rows: int, shift: float, confidence: float) -> int | None:
    """Rows in all that would show a true advantage of `shift` over the limit with 80% power.

    The standard error is taken to fall with the root of the rows. None where that cannot be computed: no shift, too
    few effective blocks, or a standard error that is not known.
    """
    se = difference.standard_error
    if not (shift > 0 and math.isfinite(se) and difference.effective >= MIN_EFFECTIVE_BLOCKS):
        return None
    degrees = difference.effective - 1
    reach = student_quantile(confidence, degrees) + student_quantile(POWER, degrees)
    return math.ceil(rows * (se * reach / shift) ** 2)
