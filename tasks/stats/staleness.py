"""How much a model loses as it ages: versions of different age on the same rows.

A metric that falls over time says little by itself: the later months may be harder. So a version is compared, window by
window, with one that was trained just before it: the loss is the difference on the same rows, and what the window is
like falls out of it. The loss has two parts that a past cannot tell apart: the world has moved on, and the older
version had fewer rows to learn from. Both are cured by training again, so both belong to the age.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.stats.window_means import WindowMean, average_windows

MOST_AGES = 12


@dataclass(frozen=True)
class Aged:
    """A version's metric on a window. `window` orders the windows, `age` is in days from the version's training to the
    window's start, 0 or more."""

    window: int
    age: float
    value: float


@dataclass(frozen=True)
class AgePoint:
    """The mean loss of versions whose age at a window's start lies in `from_days` to `to_days`; above 0 is worse than
    fresh."""

    from_days: float
    to_days: float
    loss: WindowMean


def measure_staleness(
    measured: Sequence[Aged], window_days: float, *, larger_is_better: bool
) -> tuple[tuple[AgePoint, ...], int]:
    """The curve of loss over age, and how many windows it is of: those that a fresh version was measured on too.

    Ages are put together in spans of a window's length, longer where there would be more than MOST_AGES; a version is
    fresh in the first span. Where several versions of one span met a window their mean counts once. Empty where no
    window was met by both a fresh version and an older one.
    """
    known = [m for m in measured if math.isfinite(m.value) and m.age >= 0]
    if not known or not window_days > 0:
        return (), 0
    # A month is not as long as the next one: a tenth of a span more or less is no other age.
    oldest = max(m.age for m in known)
    width = max(window_days, (oldest + 0.1 * window_days) / MOST_AGES)
    met: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for m in known:
        met[m.window][math.floor(m.age / width + 0.1)].append(m.value)
    sign = -1.0 if larger_is_better else 1.0
    losses: dict[int, list[float]] = defaultdict(list)
    used = 0
    for window in sorted(met):
        spans = {span: sum(values) / len(values) for span, values in met[window].items()}
        if 0 not in spans or len(spans) < 2:
            continue
        used += 1
        for span, value in spans.items():
            if span:
                losses[span].append(sign * (value - spans[0]))
    points = tuple(AgePoint(span * width, (span + 1) * width, average_windows(losses[span])) for span in sorted(losses))
    return points, used
