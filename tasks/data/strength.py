"""How strongly a column by itself, and all others together, tell the target: learned on half of the rows, judged on
the other half.

Every column is cut into bins, a missing value being one of them, and a bin is worth what the target was like in it.
That takes one pass over a column whatever its type, and an id cannot shine: its values are new in the other half.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.stats.ranking import roc_auc

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Task = Literal["binary", "multiclass", "regression"]

FEWEST_OF_A_CLASS = 20
"""A class is judged where each half has so many rows of it, and of the others: fewer look decided by chance."""
MOST_CLASSES = 10
"""The most frequent classes stand for all."""
MOST_TOGETHER = 200
"""The strongest columns stand for all others."""
_BINS, _ROWS_OF_A_BIN = 40, 10
_PRIOR_ROWS = {"binary": 5.0, "multiclass": 5.0, "regression": 1.0}
_FOLDS = 4
_ALIKE = 0.9


@dataclass(frozen=True)
class Values:
    """A column of any type: numbers (n,) with nan where missing, or else codes (n,) with -1 where missing."""

    numbers: Floats | None
    codes: Ints = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True)
class Halves:
    """The rows that columns are measured on, (n,), and what is told of them, (n, m): a column for each class that is
    judged, 1 where the row is of it, or the target's ranks from 0 to 1."""

    later: NDArray[np.bool_]  # whether a row judges; the others teach
    fold: Ints
    told: Floats
    task: Task


@dataclass(frozen=True)
class Cut:
    """One column in bins, the last for missing values, with sums over the rows that teach.

    `alone` is how well it tells the target, from 0 (not at all) to 1 (wholly): 2 AUC - 1, its mean over classes, or R2
    on ranks; `mark` is how well its being missing does.
    """

    codes: Ints  # (n,)
    rows: Floats  # (folds, bins)
    sums: Floats  # (folds, bins, m)
    alone: float
    mark: float


@dataclass(frozen=True)
class Others:
    """How well all other columns together tell the target, and how many they are."""

    strength: float
    columns: int


def read_values(column: pd.Series[Any]) -> Values:
    """A column's values; dates and durations are numbers, and so is text in which every value spells one."""
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return _read_levels(np.asarray(column.cat.codes, np.int64), column.cat.categories)
    if isinstance(kind, pd.DatetimeTZDtype) or kind.kind in "mM":
        moments = column.to_numpy(dtype="m8[us]" if kind.kind == "m" else "M8[us]")
        return Values(np.where(np.isnat(moments), np.nan, moments.astype(np.int64)))
    if pd.api.types.is_numeric_dtype(kind) and kind.kind in "iuf":
        return Values(column.to_numpy(dtype=np.float64, na_value=np.nan))
    try:
        codes, levels = pd.factorize(column)
    except TypeError:  # values without a hash, such as lists
        codes, levels = pd.factorize(column.map(repr, na_action="ignore"))
    return _read_levels(np.asarray(codes, np.int64), levels)


def _read_levels(codes: Ints, levels: Any) -> Values:
    texts = pd.Series(np.asarray(levels, dtype=object), dtype=object)
    if len(texts) == 0 or isinstance(texts.iloc[0], bool | np.bool_):
        return Values(None, codes)
    numbers = pd.to_numeric(texts.map(str), errors="coerce").to_numpy(np.float64)
    return Values(None, codes) if np.isnan(numbers).any() else Values(np.where(codes < 0, np.nan, numbers[codes]))


def make_halves(target: NDArray[Any], task: Task, later: NDArray[np.bool_], seed: int) -> Halves | None:
    """What can be told of the target (n,), without missing values; None where there are too few rows to judge."""
    fold = np.random.default_rng(seed).integers(0, _FOLDS, len(target))
    if min(later.sum(), (~later).sum()) < 2 * FEWEST_OF_A_CLASS:
        return None
    if task == "regression":
        # Ranks, so that a few very large values do not decide what is told of all the others.
        ranks: Floats = np.asarray(pd.Series(target).rank(pct=True), np.float64)
        same = np.ptp(ranks[later]) == 0 or np.ptp(ranks[~later]) == 0
        return None if same else Halves(later, fold, ranks[:, None], task)
    first, second = (np.bincount(target[part], minlength=int(target.max()) + 1) for part in (~later, later))
    rest = np.minimum((~later).sum() - first, later.sum() - second)
    judged = np.flatnonzero(np.minimum(np.minimum(first, second), rest) >= FEWEST_OF_A_CLASS)
    judged = judged[judged == 1] if task == "binary" else judged
    judged = judged[np.argsort(-(first + second)[judged], kind="stable")][:MOST_CLASSES]
    told: Floats = (target[:, None] == judged).astype(np.float64)
    return Halves(later, fold, told, task) if len(judged) else None


def measure_alone(values: Values, halves: Halves) -> Cut:
    """One column by itself."""
    early, later = ~halves.later, halves.later
    codes, bins = _pool_rare(values.codes, early) if values.numbers is None else _cut_numbers(values.numbers, halves)
    rows, sums = _sum_up(halves.fold[early] * bins + codes[early], halves.told[early], _FOLDS * bins)
    rows, sums = rows.reshape(_FOLDS, bins), sums.reshape(_FOLDS, bins, -1)
    judged = _sum_up(codes[later], halves.told[later], bins)
    alone = _judge((rows.sum(0), sums.sum(0)), judged, halves)
    mark = _judge(_mark(rows.sum(0), sums.sum(0)), _mark(*judged), halves)
    return Cut(codes, rows, sums, alone, mark)


def measure_others(
    cuts: Sequence[Cut], candidates: Sequence[int], without: Collection[int], halves: Halves
) -> list[Others]:
    """For each of `candidates` (positions in `cuts`) all other columns together, but for those in `without`.

    A ridge regression on what the bins are worth, cross-fitted where it is learned. A column whose worth goes with the
    candidate's, row by row, says the same in other words: it is not counted among the others.
    """
    strong = sorted(range(len(cuts)), key=lambda j: -cuts[j].alone)[:MOST_TOGETHER]
    chosen = sorted({*strong, *candidates})
    place = {j: i for i, j in enumerate(chosen)}
    classes, early = range(halves.told.shape[1]), ~halves.later
    likeness = np.zeros((len(chosen), len(candidates)))
    learned = []
    for k in classes:
        worth = np.stack([_spread(cuts[j], halves, k) for j in chosen], axis=1)
        worth = (worth - worth[early].mean(0)) / np.maximum(worth[early].std(0), 1e-12)
        told, later = halves.told[:, k], worth[halves.later]
        learned.append((worth[early].T @ worth[early], worth[early].T @ (told[early] - told[early].mean()), later))
        unit = later / np.sqrt(np.maximum((later**2).sum(0), 1e-12))
        likeness += np.abs(unit.T @ unit[:, [place[j] for j in candidates]]) / len(classes)
    found = []
    for column, j in enumerate(candidates):
        used = [i for i in range(len(chosen)) if likeness[i, column] < _ALIKE and chosen[i] not in {j, *without}]
        single = max((cuts[chosen[i]].alone for i in used), default=0.0)
        joint = [_join(gram, aim, later, halves, k, used) for k, (gram, aim, later) in enumerate(learned) if used]
        found.append(Others(max(single, float(np.mean(joint)) if joint else 0.0), len(used)))
    return found


def _join(gram: Floats, aim: Floats, later: Floats, halves: Halves, k: int, used: list[int]) -> float:
    block = gram[np.ix_(used, used)] + max(10.0, len(used)) * np.eye(len(used))
    predicted = later[:, used] @ np.linalg.solve(block, aim[used])
    told = halves.told[halves.later, k]
    if halves.task != "regression":
        return 2 * roc_auc(told, predicted) - 1
    predicted += halves.told[~halves.later, k].mean()
    return 1 - float(((told - predicted) ** 2).sum() / ((told - told.mean()) ** 2).sum())


def _spread(cut: Cut, halves: Halves, k: int) -> Floats:
    """What each row's bin is worth (n,): by all that teach where it judges, by the other folds where it teaches."""
    sums = cut.sums[..., k : k + 1]
    whole = _score(cut.rows.sum(0), sums.sum(0), halves.task)[:, 0]
    other = _score(cut.rows.sum(0) - cut.rows, sums.sum(0) - sums, halves.task)[..., 0]
    return np.where(halves.later, whole[cut.codes], other[halves.fold, cut.codes])


def _cut_numbers(numbers: Floats, halves: Halves) -> tuple[Ints, int]:
    """Quantiles of the rows that teach, each class weighing the same, so that a rare one is resolved too."""
    missing = np.isnan(numbers)
    teach = ~halves.later & ~missing
    if not teach.any():
        return missing.astype(np.int64), 2
    order = np.argsort(numbers[teach])
    values = numbers[teach][order]
    bins = min(max(len(values) // _ROWS_OF_A_BIN, 4), _BINS)
    weight = np.ones(len(values))
    if halves.task != "regression":
        told = halves.told[teach][order]
        rest = 1 - told.sum(1)
        weight = told @ (1 / np.maximum(told.mean(0), 1e-9)) + rest / max(float(rest.mean()), 1e-9)
    reached = np.cumsum(weight)
    at = np.searchsorted(reached, np.arange(1, bins) / bins * weight.sum())
    edges, times = np.unique(values[np.minimum(at, len(values) - 1)], return_counts=True)
    edges = np.unique([*edges, *np.nextafter(edges[times > 1], np.inf)])  # a frequent value is a bin of its own
    return np.where(missing, len(edges) + 1, np.searchsorted(edges, numbers, side="right")), len(edges) + 2


def _pool_rare(codes: Ints, early: NDArray[np.bool_]) -> tuple[Ints, int]:
    """Levels that few rows teach are one bin, and those that only the other rows have are in it."""
    count = np.bincount(codes[early] + 1, minlength=int(codes.max(initial=-1)) + 2)[1:]
    kept = count >= _ROWS_OF_A_BIN
    bins = int(kept.sum()) + 2
    own = np.append(np.where(kept, np.cumsum(kept), 0), bins - 1)  # the code -1, of a missing value, takes the last
    return own[codes], bins


def _sum_up(codes: Ints, told: Floats, bins: int) -> tuple[Floats, Floats]:
    rows = np.bincount(codes, minlength=bins).astype(np.float64)
    return rows, np.stack([np.bincount(codes, told[:, k], bins) for k in range(told.shape[1])], axis=1)


def _score(rows: Floats, sums: Floats, task: Task) -> Floats:
    """What bins are worth, (..., bins, m): the mean, drawn to the whole where rows are few; log odds of classes."""
    whole = sums.sum(-2, keepdims=True) / np.maximum(rows.sum(-1), 1)[..., None, None]
    mean = (sums + _PRIOR_ROWS[task] * whole) / (rows[..., None] + _PRIOR_ROWS[task])
    if task == "regression":
        return np.asarray(mean)
    mean = np.clip(mean, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(mean / (1 - mean)))


def _mark(rows: Floats, sums: Floats) -> tuple[Floats, Floats]:
    """Two bins of a column's: with a value, and without."""
    return np.array([rows[:-1].sum(), rows[-1]]), np.stack([sums[:-1].sum(0), sums[-1]])


def _judge(early: tuple[Floats, Floats], later: tuple[Floats, Floats], halves: Halves) -> float:
    """The strength of bins that the one half's rows (bins,) and sums (bins, m) give a worth, by the other half's."""
    score = _score(*early, halves.task)
    later_rows, later_sums = later
    if halves.task == "regression":
        square = float((halves.told[halves.later] ** 2).sum())
        error = square - 2 * float(score[:, 0] @ later_sums[:, 0]) + float(score[:, 0] ** 2 @ later_rows)
        return max(0.0, 1 - error / (square - float(later_sums.sum()) ** 2 / float(later_rows.sum())))
    found = []
    for k in range(score.shape[1]):
        worths, tied = np.unique(score[:, k], return_inverse=True)
        positive = np.bincount(tied, later_sums[:, k], len(worths))
        negative = np.bincount(tied, later_rows, len(worths)) - positive
        below = np.cumsum(negative) - negative / 2
        found.append(2 * float(positive @ below) / float(positive.sum() * negative.sum()) - 1)
    return max(0.0, float(np.mean(found)))
