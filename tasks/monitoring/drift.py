"""How far a window's columns lie from the reference, and whether that is more than chance at its size.

A column counts as drifted only where its distance is worth a look *and* chance does not explain it: a permutation
null at this window's size that counts the reference's own sampling error too, corrected over the columns
(Benjamini-Hochberg). Windows differ among themselves, by season for one, and that is not in the null: no rate of
false alarms is promised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.monitoring.counts import ColumnCounts
from tasks.monitoring.profile import Profile, WindowCounts

WORTH_A_LOOK = 0.2  # PSI; by custom, below .1 is no change and above .25 a large one
FALSE_DISCOVERIES = 0.05
TOP_LEVELS = 30
DRAWS = 999
MOST_DRAWS = 20_000
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ColumnDrift:
    """One column of a window against the reference.

    `distance` is a smoothed PSI, 0 where the two are alike. `p` is 1 where the distance is not worth a look: it was
    not tested then.
    """

    distance: float
    p: float
    drifted: bool


def find_drift(profile: Profile, window: WindowCounts, seed: int) -> tuple[dict[str, ColumnDrift], ColumnDrift | None]:
    """Every column's drift, and that of the predictions (None where there are none on one side)."""
    pairs = [pair_cells(column.counts, window.columns[name]) for name, column in profile.columns.items()]
    with_prediction = profile.prediction is not None and window.prediction is not None
    if profile.prediction is not None and window.prediction is not None:
        pairs.append(pair_cells(profile.prediction.counts, window.prediction))
    distances = [measure_psi(a, b) for a, b in pairs]
    draws = min(MOST_DRAWS, max(DRAWS, math.ceil(10 * len(pairs) / FALSE_DISCOVERIES)))
    random = np.random.default_rng(seed)
    p = [permute(a, b, draws, random) if d >= WORTH_A_LOOK else 1.0 for (a, b), d in zip(pairs, distances, strict=True)]
    found = reject(p, FALSE_DISCOVERIES)
    drifts = [ColumnDrift(d, q, r) for d, q, r in zip(distances, p, found, strict=True)]
    return dict(zip(profile.columns, drifts, strict=False)), drifts[-1] if with_prediction else None


def pair_cells(reference: ColumnCounts, window: ColumnCounts) -> tuple[Counts, Counts]:
    """The two sides' rows per cell, missing included; cells that are empty on both are left out.

    Levels are named by their count on *both* sides together, the others pooled: chosen by the reference alone, the
    pooled cell would be too empty there by selection. Where one side has too many levels, both are hashed.
    """
    if reference.levels is None or window.levels is None:
        a, b = reference.cells, window.cells
    else:
        names = sorted({*reference.levels, *window.levels})
        both = np.array([[side.get(n, 0) for n in names] for side in (reference.levels, window.levels)], np.int64)
        order = np.argsort(-both.sum(axis=0), kind="stable")
        top, rest = both[:, order[:TOP_LEVELS]], both[:, order[TOP_LEVELS:]].sum(axis=1, keepdims=True)
        a, b = np.hstack([top, rest])
    a, b = np.append(a, reference.missing), np.append(b, window.missing)
    filled = a + b > 0
    return a[filled], b[filled]


def measure_psi(a: Counts, b: Counts) -> float:
    """Population stability index of counts (cells,), half a row added to each cell; 0 where a side is empty."""
    if not a.sum() or not b.sum():
        return 0.0
    p = (a + 0.5) / (a.sum() + 0.5 * len(a))
    q = (b + 0.5) / (b.sum() + 0.5 * len(b))
    return float(np.sum((p - q) * np.log(p / q)))


def permute(a: Counts, b: Counts, draws: int, random: np.random.Generator) -> float:
    """The p-value of a two-sample X2: the share of random deals of all rows onto the two sides that differ as much.

    Exact for cells that were fixed beforehand, however sparse they are.
    """
    together, window = a + b, int(b.sum())
    total = int(together.sum())
    if total >= 10**9:  # the generator's limit; chance explains nothing of a distance worth a look at that size
        return 1 / (draws + 1)
    expected = together * (window / total)
    dealt = random.multivariate_hypergeometric(together, window, size=draws, method="marginals")
    statistics = ((dealt - expected) ** 2 / expected).sum(axis=1)
    observed = float(((b - expected) ** 2 / expected).sum())
    return (1 + int(np.sum(statistics >= observed * (1 - 1e-12)))) / (draws + 1)


def reject(p: list[float], share: float) -> list[bool]:
    """Benjamini-Hochberg: which of a family of tests to reject, so that at most `share` of these are expected false."""
    order = np.argsort(p)
    passed = np.flatnonzero(np.asarray(p)[order] <= share * np.arange(1, len(p) + 1) / max(len(p), 1))
    last = passed[-1] if len(passed) else -1
    rejected = np.zeros(len(p), bool)
    rejected[order[: last + 1]] = True
    return rejected.tolist()


def rank_drifted(drifts: Mapping[str, ColumnDrift]) -> tuple[str, ...]:
    """The drifted columns, the furthest first."""
    return tuple(sorted((n for n, d in drifts.items() if d.drifted), key=lambda n: (-drifts[n].distance, n)))
