"""What is to be believed of rows whose labels are not known, learned from the champion's test rows.

See tasks/monitoring/estimation.py, which sums it up over a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.monitoring.encoding import FeatureCodes
from tasks.monitoring.performance import FEWEST_LABELS, FEWEST_OF_A_CLASS
from tasks.monitoring.reference import RoleNames
from tasks.stats.expectation import ClassSums, ExpectedSums, LossSums, fit_isotonic, logit_within
from tasks.stats.intervals import Blocks, block_rows, count_effective, deal_rows, needs_each_class
from tasks.stats.leaves import LeafMeans
from tasks.stats.metrics import Metric, OperatingPoint, TaskType

FOREST_SHARE = 0.5
SMALLEST_LEAF = {"binary": 25, "multiclass": 25, "regression": 5}
TRIED = {"binary": 0.6, "multiclass": 0.6, "regression": 0.8}  # of the features, at each cut
LEARNED_BLOCKS = 30  # of the reference, at most: each costs a pass over the sampled rows
MOST_CLASSES = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LearnedRows:
    """The champion's test rows. `y` (n,) holds codes or values, `prediction` (n, 1) or (n, classes)."""

    frame: pd.DataFrame
    y: Floats
    prediction: Floats
    blocks: Blocks


class Belief:
    """What is expected of rows, learned from the reference: with all of its blocks, and without each."""

    def __init__(
        self,
        reference: LearnedRows,
        features: Sequence[str],
        task: TaskType,
        classes: int,
        at: OperatingPoint,
        seed: int,
    ) -> None:
        y, given, self.blocks = reference.y, reference.prediction, reference.blocks
        self._task, self.columns = task, given.shape[1]
        self.codes = FeatureCodes(reference.frame, features, _find_miss(reference, task), given.max(axis=1))
        self._tables: list[Floats] = []
        if task == "regression":
            losses = LossSums(y, given[:, 0], at)
            self.sums: ExpectedSums = losses
            shaping, targets = losses.targets[:, :1], losses.targets
        else:
            ranks = ClassSums(given, classes, at)
            self.sums, self._find_bins = ranks, ranks.find_bins
            labels = np.arange(classes)[-given.shape[1] :]  # of two, the positive one
            shaping = targets = (y[:, None] == labels).astype(np.float64)
            bins = ranks.find_bins(given)
            for without in (None, *range(self.blocks.count)):
                kept = slice(None) if without is None else self.blocks.of_row != without
                self._tables.append(
                    np.stack([fit_isotonic(bins[kept, c], targets[kept, c], ranks.bins) for c in range(given.shape[1])])
                )
        self._forest = LeafMeans(
            self._see(self.codes.encode(reference.frame), given), shaping, targets, self.blocks,
            smallest=SMALLEST_LEAF[task], tried=TRIED[task],
            sharpen=task == "regression", seed=seed,
        )  # fmt: skip
        classes_of = None if task != "binary" else y
        self.effective = count_effective(self.blocks, classes_of)

    @property
    def told_twice(self) -> bool:
        """Whether there are two ways to tell it."""
        return self._task != "regression"

    def _see(self, codes: Floats, given: Floats) -> Floats:
        return np.hstack([codes, given if self._task == "regression" else logit_within(given)])

    def find_leaves(self, codes: Floats, given: Floats) -> NDArray[np.int64]:
        """Where rows with these codes and predictions lie in the forest."""
        return self._forest.find(self._see(codes, given))

    def expect(
        self, leaves: NDArray[np.int64], given: Floats, without: int | None = None, share: float = FOREST_SHARE
    ) -> Floats:
        """Probabilities, or losses, of rows; on request as learned without a block of the reference. `share` is that of
        the forest."""
        alike = self._forest.average(leaves, without)
        if self._task == "regression":
            return alike
        table, bins = self._tables[0 if without is None else without + 1], self._find_bins(given)
        calibrated = np.stack([table[c, bins[:, c]] for c in range(given.shape[1])], axis=1)
        if given.shape[1] > 1:
            total = calibrated.sum(axis=1, keepdims=True)
            calibrated = np.where(total > 0, calibrated / np.where(total > 0, total, 1), 1 / given.shape[1])
        return share * alike + (1 - share) * calibrated


def _find_miss(reference: LearnedRows, task: TaskType) -> Floats:
    """How far the champion was off on each row, (n,)."""
    y, given = reference.y, reference.prediction
    if task == "regression":
        return np.asarray(np.abs(y - given[:, 0]))
    if task == "binary":
        return np.asarray(y - given[:, 0])
    return np.asarray(1 - given[np.arange(len(y)), y.astype(np.int64)])


def read_test_rows(
    reference: pd.DataFrame | None,
    features: Sequence[str],
    task: TaskType,
    classes: Sequence[Any],
    metric: Metric,
    at: OperatingPoint,
    ordered: bool,
    seed: int,
) -> tuple[LearnedRows | None, str]:
    """The rows to learn from, or why there are none."""
    names = RoleNames.beside(features)
    if reference is None:
        return None, "no reference rows are kept with the version"
    if len(classes) > MOST_CLASSES:
        return None, f"performance is not estimated for more than {MOST_CLASSES} classes"
    columns = {
        "binary": [names.probability],
        "multiclass": names.of_classes(len(classes)),
        "regression": [names.prediction],
    }[task]
    if not {*columns, names.target} <= {*reference.columns}:
        return None, "the reference keeps no probabilities: it is of an older version of trueup; train again"
    label = reference[names.target]
    if task == "regression":
        y = pd.to_numeric(label, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    else:
        y = label.map({c: code for code, c in enumerate(classes)}).to_numpy(np.float64, na_value=np.nan)
    given = reference[columns].to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(y) & np.isfinite(given).all(axis=1)
    frame, y, given = reference.loc[known], y[known], given[known]
    if len(y) < FEWEST_LABELS:
        return None, f"the reference has {len(y):,} rows, fewer than {FEWEST_LABELS} teach too little"
    limit = LEARNED_BLOCKS if len(columns) <= 10 else 10
    if names.block in frame:
        labels = frame[names.block].map("{:012d}".format).tolist()
        blocks = block_rows(labels, "days" if ordered else "groups", limit=limit, ordered=ordered)
    else:
        blocks = deal_rows(len(y), seed, limit)
    if task != "regression":
        codes = y.astype(np.int64)
        prediction = given if task == "multiclass" else given[:, 0]
        rarest = int(np.bincount(codes, minlength=len(classes)).min())
        if rarest < FEWEST_OF_A_CLASS and needs_each_class(metric, codes, prediction, task, at):
            return None, f"a class has {rarest} reference rows, fewer than {FEWEST_OF_A_CLASS} teach too little"
    return LearnedRows(frame, y, given, blocks), ""
