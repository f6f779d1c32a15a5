"""Many tests at once: which of a family may be called out so that a family without fault is hardly ever blamed.

Holm's step-down procedure (1979): at most `error` is the chance that any test of a family fails although nothing is
wrong with it, however the tests depend on each other. Benjamini and Hochberg's step-up procedure finds more, and lets
a share of what it finds be false.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Holm:
    """What the procedure found: `failed` (m,), and the level (m,) that each p-value was held to.

    A one-sided bound at 1 - level lies beyond the limit for exactly those that failed: what is not failed is held to
    the level at which the procedure stopped.
    """

    failed: NDArray[np.bool_]
    level: NDArray[np.float64]


def step_down(p_values: NDArray[np.float64], error: float) -> Holm:
    """Holm's procedure on p-values (m,); nan counts as 1, and still as one of the family."""
    p = np.where(np.isnan(p_values), 1.0, p_values)
    count = len(p)
    failed = np.zeros(count, bool)
    level = np.full(count, error / max(count, 1))
    for rank, position in enumerate(np.argsort(p, kind="stable")):
        held_to = error / (count - rank)
        if p[position] >= held_to:
            level[~failed] = held_to
            break
        failed[position], level[position] = True, held_to
    return Holm(failed, level)


def step_up(p_values: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Benjamini and Hochberg's procedure (1995) on p-values (m,): which to reject, (m,); nan counts as 1.

    At most `share` of what is rejected is expected to be without fault. Of a family wholly without fault, anything is
    rejected with a chance of at most `share`, for tests that are independent or depend positively on each other.
    """
    p = np.where(np.isnan(p_values), 1.0, p_values)
    order = np.argsort(p, kind="stable")
    passed = np.flatnonzero(p[order] <= share * np.arange(1, len(p) + 1) / max(len(p), 1))
    rejected = np.zeros(len(p), bool)
    rejected[order[: passed[-1] + 1 if len(passed) else 0]] = True
    return rejected
