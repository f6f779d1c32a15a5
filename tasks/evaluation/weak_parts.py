"""The weakest parts of the rows that nobody declared: a shallow search over one or two columns.

It looks at validation rows: predictions of the winner for rows that it was not fitted on, and that no test will read
again. What it finds is tested on test rows like any declared slice, so that the luck of the search does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.evaluation.parts import Mask, Part, cut_column, find_parts
from tasks.evaluation.slices import settle_metric
from tasks.stats.intervals import Blocks, Estimate, Replicates, count_effective
from tasks.stats.metrics import Array, Metric, OperatingPoint, TaskType

FEWEST_ROWS, FEWEST_SHARE = 100, 0.02  # of a part that is worth a name
FEWEST_OF_A_CLASS = 20
MAX_ROWS = 30_000
MAX_PAIRS = 3_000  # parts of two columns that are looked at
EXTENDED = 10  # parts of one column that are looked at more closely, the weakest first
MEASURED = 40  # parts whose drop gets a standard error
_PRIOR_ROWS = 200  # a drop on so many rows counts half: small parts look weak by chance
_RANKED_AT = 0.1
_ALIKE = 0.5  # share of common rows from which two parts are one finding


@dataclass(frozen=True)
class ValidationRows:
    """Positions (n,) of rows in a TrainingFrame, what the winner predicted for them without having seen them, and the
    day or group of each whose rows are not independent; None where all are."""

    positions: NDArray[np.int64]
    prediction: Array
    blocks: Sequence[str] | None = None


@dataclass(frozen=True)
class _Candidate:
    part: Part
    inside: Mask
    drop: float

    @property
    def ranked(self) -> float:
        rows = int(self.inside.sum())
        return self.drop * rows / (rows + _PRIOR_ROWS)


def find_weak_parts(
    y: Array,
    prediction: Array,
    at: OperatingPoint,
    frame: pd.DataFrame,
    blocks: Blocks,
    columns: Sequence[str],
    metric: Metric,
    task: TaskType,
    most: int,
    quantiles: int,
    seed: int,
) -> tuple[Part, ...]:
    """At most `most` parts of the rows (n,) on which the metric is lowest for good, the weakest first.

    Parts are ranked by a lower bound of their drop below the metric on all rows, so that neither chance nor size
    decides alone; those that are mostly the rows of a weaker one are left out. None where no drop is above 0.
    """
    if not most or not len(y):
        return ()
    rng = np.random.default_rng(seed)
    if len(y) > MAX_ROWS:
        kept = np.sort(rng.choice(len(y), MAX_ROWS, replace=False))
        y, prediction, frame = y[kept], prediction[kept], frame.iloc[kept]
        blocks = blocks.take(np.isin(np.arange(len(blocks.of_row)), kept))
    metric = settle_metric(metric, y)
    whole = metric.compute(y, prediction, at)
    parts = {c: cut_column(frame[c], c, quantiles) for c in columns}
    cuts = {c: list(zip(cut, find_parts(cut, frame), strict=True)) for c, cut in parts.items()}

    def weigh(part: Part, inside: Mask) -> Iterator[_Candidate]:
        if _is_large_enough(y[inside], len(y), task):
            drop = metric.gain(whole, metric.compute(y[inside], prediction[inside], at))
            if drop > 0:
                yield _Candidate(part, inside, drop)

    single = [found for cut in cuts.values() for part, inside in cut for found in weigh(part, inside)]
    single.sort(key=lambda c: -c.ranked)
    double: list[_Candidate] = []
    looked_at: set[frozenset[str]] = set()
    for one in single[:EXTENDED]:
        for column, cut in cuts.items():
            if column == one.part.conditions[0].column:
                continue
            for part, inside in cut:
                both = frozenset((one.part.name, part.name))
                if both not in looked_at and len(looked_at) < MAX_PAIRS:
                    looked_at.add(both)
                    double.extend(weigh(one.part.joined(part), one.inside & inside))
    weakest = sorted((*single, *double), key=lambda c: -c.ranked)[:MEASURED]
    bounded = [(_bound(c, y, prediction, at, metric, whole, blocks), c) for c in weakest]
    chosen: list[_Candidate] = []
    for low, candidate in sorted(bounded, key=lambda item: -item[0]):
        if low > 0 and len(chosen) < most and not any(_are_alike(candidate, other) for other in chosen):
            chosen.append(candidate)
    return tuple(c.part for c in chosen)


def _is_large_enough(y: Array, rows: int, task: TaskType) -> bool:
    if len(y) < max(FEWEST_ROWS, FEWEST_SHARE * rows) or len(y) > rows / 2:  # half of the rows is no weak corner
        return False
    if task == "regression":
        return True
    counts = np.unique(y, return_counts=True)[1]
    return len(counts) > 1 and (task == "multiclass" or int(counts.min()) >= FEWEST_OF_A_CLASS)


def _bound(
    candidate: _Candidate, y: Array, prediction: Array, at: OperatingPoint, metric: Metric, whole: float, blocks: Blocks
) -> float:
    """A lower bound of the drop; what all rows reach is taken for exact. -inf from too few days or groups."""
    inside = candidate.inside
    own = blocks.take(inside)
    without = metric.compute_without(y[inside], prediction[inside], own.of_row, own.count, at)
    away = np.array([metric.gain(whole, value) for value in without])
    spread = Replicates(candidate.drop, away, count_effective(own), own.ordered).spread()
    low = Estimate(candidate.drop, *spread).bounds(_RANKED_AT)[0]
    return low if np.isfinite(low) else -np.inf


def _are_alike(one: _Candidate, other: _Candidate) -> bool:
    either = int((one.inside | other.inside).sum())
    return int((one.inside & other.inside).sum()) > _ALIKE * either
