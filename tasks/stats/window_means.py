"""The mean of one number a window, over windows that follow each other in time, and how well it is known.

Each window counts the same, however many rows it has: it is one more time that the world was met. Neighbours are alike,
and a policy's advantage may grow over the years, so the windows are put together into at most six stretches whose
means are taken as independent (Ibragimov and Mueller 2010): Student's t over the stretches, by the delete-a-stretch
jackknife, which stays sensible where the stretches differ for good. Simulated at the nominal error of 5%: 4 to 6% where
windows are not alike, from 5 windows on; where each is .3 of the one before 7 to 12%, where it is .6 some 12% with 24
windows and up to 27% with five or six. An interval over few windows is a guide and no proof.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.stats.intervals import Replicates

STRETCHES = 6
FEWEST_WINDOWS = 5  # with fewer the interval would say next to nothing, and its error rate could not be kept
CONFIDENCE = 0.95


@dataclass(frozen=True)
class WindowMean:
    """A mean over `windows` windows with its two-sided interval; the ends are nan where these are too few to tell."""

    value: float
    low: float
    high: float
    windows: int

    @property
    def sign(self) -> int:
        """1 where the whole interval lies above zero, -1 where it lies below, 0 where nothing is shown."""
        return int(self.low > 0) - int(self.high < 0)


def average_windows(values: Sequence[float], comparisons: int = 1) -> WindowMean:
    """The mean of finite `values` (windows,), in the order of time. Of `comparisons` intervals that are read side by
    side, all hold together with 95% (Bonferroni). nan for no window at all."""
    found = np.asarray(values, dtype=np.float64)
    count = len(found)
    if not count:
        return WindowMean(math.nan, math.nan, math.nan, 0)
    mean = float(found.mean())
    if count < FEWEST_WINDOWS:
        return WindowMean(mean, math.nan, math.nan, count)
    stretches = np.array_split(found, min(count, STRETCHES))
    without = np.array([(found.sum() - part.sum()) / (count - len(part)) for part in stretches])
    effective = count**2 / sum(len(part) ** 2 for part in stretches)
    tail = (1 - CONFIDENCE) / 2 / max(comparisons, 1)
    reach = Replicates(mean, without, effective).reach(1 - tail)
    return WindowMean(mean, mean - reach, mean + reach, count)
