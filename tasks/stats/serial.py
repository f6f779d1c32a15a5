"""The variance of a mean over days that may be alike: equal-weighted cosines (Lazarus, Lewis, Stock and Watson 2018).

The slow movements of the series tell its long-run variance: its squared products with the first B cosines, averaged,
and B degrees of freedom. Days that are alike move slowly, so B is chosen from the data, and plays the part of the
length of a block: the first-order autocorrelation is estimated, and only cosines are used up to which that
autocorrelation would leave three quarters of the long-run variance; the rest is put back. Movements faster than about
a week are left out where there are days enough, so that weekdays that differ count for less.

Simulated at the level of 4% that comparisons are designed for, with 10 to 120 days: 3 to 4% for days that are not
alike, 5 to 7% where each day is .6 of the day before, also where noise of the same size hides that; 12 to 20% if such
days are taken for independent. A likeness of .8 under such noise still gives 11 to 12%. benchmarks/verdicts.md has the
table.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

KEPT = 0.75
FEWEST_CAPPED = 10
CAPPED_SHARE = 0.25
MOST_ALIKE = 0.97


def sum_squares(series: NDArray[np.float64]) -> tuple[float, float]:
    """The sum of squares that G independent values with the same variance of the mean would have, and its degrees.

    `series` (G,) holds the deviations in the order of time, G >= 2. Where they are not alike it is their own sum of
    squares but for chance; nan where one of them is.
    """
    count = len(series)
    away = series - series.mean()
    total = float(away @ away)
    if not total > 0:
        return total, count - 1.0  # all the same, or nan
    # the estimate is too low by about 1 / G where nothing is alike
    alike = float(np.clip((away[1:] @ away[:-1]) / total + 1 / count, 0, MOST_ALIKE))
    frequency = np.pi * np.arange(1, count) / count
    left = (1 - alike) ** 2 / (1 - 2 * alike * np.cos(frequency) + alike**2)
    kept = int(np.sum(np.cumsum(left) / np.arange(1, count) >= KEPT))
    used = min(max(kept, 1), max(FEWEST_CAPPED, int(CAPPED_SHARE * count)), count - 1)
    power = dct(series, type=2, norm="ortho")[1 : used + 1] ** 2 / left[:used]
    return float(power.mean()) * (count - 1), float(used)
