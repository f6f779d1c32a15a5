"""Tables of which it is known whether they drifted, for the rates of `test_drift_rates`, the soak and the benchmark.

Each replication has a reference of its own: a rate is one averaged over reference samples. Bins are cut as monitoring
cuts them; only what it counts of cells and levels is counted here, which is quicker, and a test holds that against
monitoring's own counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.stats import beta

from tasks.monitoring.counts import HASH_CELLS, MAX_LEVELS, cut_bins, hash_texts
from tasks.stats.alarms import rank_window
from tasks.stats.divergence import Cells, compare_cells, count_draws, measure_distance, pool_levels
from tasks.stats.multiplicity import step_up

Array = np.ndarray
KINDS = ("normal", "zero-inflated", "90% missing", "5 levels", "1,000 levels", "lognormal", "binary", "correlated")
CATEGORIES = ("5 levels", "1,000 levels", "binary")
SMALLEST = 0.02  # the distance that is worth a look
SHARED = 0.8  # correlation among the correlated columns


# ---------------------------------------------------------------- rows, and their counts


def lay_columns(columns: int) -> tuple[str, ...]:
    """The kinds of so many columns, in turn."""
    return tuple(KINDS[i % len(KINDS)] for i in range(columns))


def draw_rows(kinds: Sequence[str], rows: int, rng: np.random.Generator) -> list[Array]:
    """One array (rows,) per column: numbers with nan where missing, categories as whole numbers."""
    shared = rng.normal(size=rows)
    return [_draw_column(kind, rows, shared, rng) for kind in kinds]


def _draw_column(kind: str, rows: int, shared: Array, rng: np.random.Generator) -> Array:
    if kind == "5 levels":
        return np.searchsorted(np.cumsum([0.4, 0.3, 0.2, 0.09]), rng.random(rows))
    if kind == "1,000 levels":
        return np.minimum(1_000 ** rng.random(rows), 999.0).astype(np.int64)  # the most frequent one in a tenth of rows
    if kind == "binary":
        return (rng.random(rows) < 0.02).astype(np.int64)
    values = rng.normal(size=rows)
    if kind == "lognormal":
        return np.exp(values)
    if kind == "zero-inflated":
        return np.where(rng.random(rows) < 0.6, 0.0, np.exp(values))
    if kind == "90% missing":
        return np.where(rng.random(rows) < 0.9, np.nan, values)
    return np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * values if kind == "correlated" else values


@dataclass(frozen=True)
class Counted:
    """Rows per cell, without the missing ones; of a category these are rows per hashed cell, and per level if few."""

    cells: Array
    missing: int
    levels: dict[str, int] | None = None


@dataclass(frozen=True)
class Reference:
    """The reference's bins and counts, per column."""

    kinds: tuple[str, ...]
    ends: tuple[Array, ...]
    counts: tuple[Counted, ...]


@cache
def _hash_levels(levels: int) -> Array:
    return (hash_texts(np.array([str(i) for i in range(levels)], dtype=object)) % HASH_CELLS).astype(np.int64)


def count_column(values: Array, kind: str, ends: Array) -> Counted:
    """A column's rows per cell, of numbers in bins with these upper ends."""
    if kind not in CATEGORIES:
        places = np.searchsorted(ends, values, side="left")
        missing = np.isnan(values)
        return Counted(np.bincount(places[~missing], minlength=len(ends) + 1), int(missing.sum()))
    per_level = np.bincount(values)
    found = np.flatnonzero(per_level)
    cells = np.bincount(_hash_levels(1_000)[: len(per_level)], per_level, HASH_CELLS).astype(np.int64)
    few = len(found) <= MAX_LEVELS
    return Counted(cells, 0, {str(i): int(per_level[i]) for i in found} if few else None)


def count_reference(kinds: Sequence[str], rows: Sequence[Array]) -> Reference:
    """Bins cut from the rows, and their counts."""
    ends = tuple(
        np.array([] if k in CATEGORIES else cut_bins(pd.Series(values))) for k, values in zip(kinds, rows, strict=True)
    )
    found = Reference(tuple(kinds), ends, ())
    return replace(found, counts=count_rows(found, rows))


def count_rows(reference: Reference, rows: Sequence[Array]) -> tuple[Counted, ...]:
    """A window's counts in the reference's bins."""
    return tuple(
        count_column(values, kind, ends)
        for kind, ends, values in zip(reference.kinds, reference.ends, rows, strict=True)
    )


def pair_cells(kind: str, reference: Counted, window: Counted) -> Cells:
    """Both sides' cells, the missing values last."""
    if reference.levels is None or window.levels is None:
        a, b = reference.cells, window.cells
    else:
        a, b = pool_levels(reference.levels, window.levels)
    return Cells(np.append(a, reference.missing), np.append(b, window.missing), kind not in CATEGORIES)


def pair_rows(reference: Reference, window: Sequence[Counted]) -> list[Cells]:
    """Of each column the cells of reference and window."""
    return [pair_cells(*sides) for sides in zip(reference.kinds, reference.counts, window, strict=True)]


def exchange(reference: Reference, out: Sequence[Counted], into: Sequence[Counted] | None) -> Reference:
    """The reference without a window that lies in it, and with another one in its place."""
    sides = [(out, -1), (into, 1)] if into else [(out, -1)]
    counts = list(reference.counts)
    for window, sign in sides:
        for i, part in enumerate(window):
            own, levels = counts[i], None
            if own.levels is not None and part.levels is not None:
                names = {*own.levels, *part.levels}
                levels = {n: own.levels.get(n, 0) + sign * part.levels.get(n, 0) for n in names}
            counts[i] = Counted(own.cells + sign * part.cells, own.missing + sign * part.missing, levels)
    return replace(reference, counts=tuple(counts))


@dataclass(frozen=True)
class Judged:
    """Per column: the distance, and whether it is significant over the family and worth a look."""

    distances: Array
    significant: Array


def judge_rows(
    reference: Reference, rows: Sequence[Array], alpha: float, seed: int, smallest: float = SMALLEST
) -> Judged:
    """A window's columns against the reference."""
    cells = pair_rows(reference, count_rows(reference, rows))
    distances = np.array([measure_distance(c) for c in cells])
    return Judged(distances, find_significant(cells, alpha, seed) & (distances >= smallest))


def find_significant(cells: Sequence[Cells], alpha: float, seed: int) -> Array:
    """Which columns chance does not explain, over all of them."""
    draws = count_draws(len(cells), alpha)
    return step_up(np.array([compare_cells(c, draws, seed + i) for i, c in enumerate(cells)]), alpha)


# ---------------------------------------------------------------- nothing drifted


def count_alarms(
    columns: int, reference_rows: int, window_rows: Sequence[int], alpha: float, replications: int, seed: int
) -> list[int]:
    """How many windows of each size alarmed although nothing drifted, no distance being too small.

    Windows of all sizes are compared with one reference, which each replication draws anew.
    """
    rng = np.random.default_rng(seed)
    kinds, alarms = lay_columns(columns), np.zeros(len(window_rows), int)
    for _ in range(replications):
        reference = count_reference(kinds, draw_rows(kinds, reference_rows, rng))
        for i, rows in enumerate(window_rows):
            cells = pair_rows(reference, count_rows(reference, draw_rows(kinds, rows, rng)))
            alarms[i] += find_significant(cells, alpha, int(rng.integers(2**31))).any()
    return alarms.tolist()


# ---------------------------------------------------------------- windows that differ among themselves

DIFFERING = ("each column by itself", "all in one direction", "each alike the one before")
DEVIATION = 0.3  # of a window's mean, in standard deviations of a row
ALIKE = 0.6  # correlation of a window's mean with that of the one before


def draw_means(how: str, windows: int, columns: int, rng: np.random.Generator) -> Array:
    """The windows' means (windows, columns)."""
    if how == "all in one direction":
        return DEVIATION * np.repeat(rng.normal(size=(windows, 1)), columns, axis=1)
    means = rng.normal(size=(windows + 30, columns))
    if how == "each alike the one before":
        means = lfilter([np.sqrt(1 - ALIKE**2)], [1, -ALIKE], means, axis=0)
    return DEVIATION * means[30:]


def _draw_window(means: Array, rows: int, rng: np.random.Generator) -> list[Array]:
    """Half of the columns are normal, the others five levels that a normal number is cut to."""
    values = means[:, None] + rng.normal(size=(len(means), rows))
    cuts = np.array([-1.0, -0.3, 0.3, 1.0])
    return [np.searchsorted(cuts, v) if i % 2 else v for i, v in enumerate(values)]


PLACES = ("in the reference, the window in their place", "in the reference, left out", "after the reference", "both")


def count_differing(
    how: str, past: int, columns: int, rows: int, alpha: float, place: str, replications: int, seed: int
) -> tuple[int, int]:
    """How many windows alarmed that differ only as windows do, and how many had a significant column.

    Where the past windows lie, one of PLACES: those in the reference are compared with the rest of it, and with the
    present window in the place of the one left out, or not; those after it are compared with it, 12 windows long.
    """
    rng = np.random.default_rng(seed)
    kinds = tuple("5 levels" if i % 2 else "normal" for i in range(columns))
    alarms = significant = 0
    own = past if place.startswith("in") else past // 2 if place == "both" else 0
    of_reference = own or 12
    for _ in range(replications):
        means = draw_means(how, of_reference + past - own + 1, columns, rng)
        drawn = [_draw_window(m, rows, rng) for m in means]
        reference = count_reference(kinds, [np.concatenate(c) for c in zip(*drawn[:of_reference], strict=True)])
        counted = [count_rows(reference, w) for w in drawn]
        into = counted[-1] if place != PLACES[1] else None
        beside = [(exchange(reference, w, into), w) for w in counted[:own]]
        beside += [(reference, w) for w in counted[of_reference:-1]]
        before = np.array([[measure_distance(c) for c in pair_rows(side, w)] for side, w in beside])
        judged = judge_rows(reference, drawn[-1], alpha, int(rng.integers(2**31)))
        standing = rank_window(judged.distances, before, alpha)
        alarms += bool((standing.columns & judged.significant).any())
        significant += bool(judged.significant.any())
    return alarms, significant


# ---------------------------------------------------------------- what is found

CHANGES = (
    "mean + 0.1 sd",
    "mean + 0.25 sd",
    "mean + 0.5 sd",
    "2% missing",
    "10% missing",
    "a category renamed",
    "unit change, x 60",
    "three columns broken",
)


def change_rows(rows: list[Array], change: str, rng: np.random.Generator) -> list[Array]:
    """The rows (of `lay_columns`) with a change in the first normal column, or in the ones that `change` speaks of."""
    changed = [r.copy() for r in rows]
    size = len(rows[0])
    if change.startswith("mean"):
        changed[0] += float(change.split()[2])
    elif change.endswith("missing"):
        changed[0][rng.random(size) < float(change.split("%")[0]) / 100] = np.nan
    elif change == "a category renamed":
        changed[3][changed[3] == 2] = 7
    elif change.startswith("unit"):
        changed[5] *= 60
    else:
        changed[0] = np.full(size, 0.0)
        changed[3] = np.full(size, 0)
        changed[5] *= 60
    return changed


def bound_far(count: int, simulations: int) -> float:
    """The lower end of a rate's 99.9% interval (Clopper and Pearson): a promise fails where it is below that."""
    return 0.0 if count == 0 else float(beta.ppf(0.0005, count, simulations - count + 1))
