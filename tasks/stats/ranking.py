"""Measures of ranking: ROC AUC and average precision, on all rows and without each block, with one sort for both.

Equal scores are one group: no order within them is assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.stats.measures import Array, OperatingPoint

CELLS = 1_000_000  # of one table of thresholds by blocks: what is in memory at once


def count_ties(y: Array, score: Array) -> tuple[Array, Array]:
    """Positives and rows at each distinct score, in falling order of the score; both float64, (distinct scores,)."""
    order = np.argsort(score, kind="stable")
    sorted_score = score[order]
    last = np.append(np.flatnonzero(sorted_score[1:] != sorted_score[:-1]), len(score) - 1)
    positives = np.diff(np.cumsum(y[order], dtype=np.float64)[last], prepend=0.0)
    rows = np.diff((last + 1).astype(np.float64), prepend=0.0)
    return positives[::-1], rows[::-1]


@dataclass(frozen=True)
class Ranking:
    """A measure of how scores rank positives above negatives; for several classes the mean over each against the rest.

    nan where a class has no row.
    """

    of_two: Callable[[Array, Array], float]
    of_two_without: Callable[[Array, Array, Array, int], Array]

    def whole(self, y: Array, prediction: Array, at: OperatingPoint) -> float:
        """The measure on all rows."""
        return float(np.mean([self._of_two(positive, score) for positive, score in _each_class(y, prediction)]))

    def without(self, y: Array, prediction: Array, at: OperatingPoint, of_row: Array, count: int) -> Array:
        """The measure without each block, (count,)."""
        each = [self._without(positive, score, of_row, count) for positive, score in _each_class(y, prediction)]
        return np.asarray(np.mean(each, axis=0))

    def _of_two(self, y: Array, score: Array) -> float:
        return self.of_two(y, score) if y.min() != y.max() else np.nan

    def _without(self, y: Array, score: Array, of_row: Array, count: int) -> Array:
        rows, positives = np.bincount(of_row, minlength=count), np.bincount(of_row, y, count)
        left = positives.sum() - positives
        defined = (left > 0) & (left < len(y) - rows)
        if not defined.any():
            return np.full(count, np.nan)
        return np.where(defined, self.of_two_without(y, score, of_row, count), np.nan)


def _each_class(y: Array, prediction: Array) -> list[tuple[Array, Array]]:
    if prediction.ndim == 1:
        return [(y, prediction)]
    return [((y == label).astype(np.int64), prediction[:, label]) for label in range(prediction.shape[1])]


def average_precision(y: Array, score: Array) -> float:
    """The mean over positives of the precision at their score."""
    positives, rows = count_ties(y, score)
    found = np.cumsum(positives)
    return float(np.sum(positives * found / np.cumsum(rows)) / found[-1])


def average_precision_without(y: Array, score: Array, of_row: Array, count: int) -> Array:
    """The same without each block; computed anew, since a linear approximation errs too often."""
    order = np.argsort(-score, kind="stable")
    falling, positive, block = -score[order], y[order], of_row[order]
    first = np.append(True, falling[1:] != falling[:-1])
    group = np.cumsum(first) - 1
    # Only scores that a positive has are thresholds: rows between two of them count at the lower one.
    has_positive = np.bincount(group, positive) > 0
    step = np.append(0, np.cumsum(has_positive))[group]
    kept = step < has_positive.sum()
    step, positive, block = step[kept], positive[kept], block[kept]
    steps = int(has_positive.sum())
    result = np.empty(count)
    at_once = max(1, CELLS // steps)
    found, rows = np.cumsum(np.bincount(step, positive, steps)), np.cumsum(np.bincount(step, minlength=steps))
    own = np.bincount(step, positive, steps)
    for start in range(0, count, at_once):
        width = min(at_once, count - start)
        inside = (block >= start) & (block < start + width) if width < count else slice(None)
        cell = step[inside] * width + block[inside] - start
        own_of = np.bincount(cell, positive[inside], steps * width).reshape(steps, width)
        rows_of = np.bincount(cell, minlength=steps * width).reshape(steps, width)
        left = rows[:, None] - np.cumsum(rows_of, axis=0)
        precision = (found[:, None] - np.cumsum(own_of, axis=0)) / np.maximum(left, 1)  # no row left: no positive
        weight = own[:, None] - own_of
        total = np.maximum(found[-1] - own_of.sum(axis=0), 1)  # 0 is not defined, and the caller says so
        result[start : start + width] = np.einsum("ij,ij->j", weight, precision) / total
    return result


def roc_auc(y: Array, score: Array) -> float:
    """The share of pairs that are ranked right; a tie counts half."""
    positives, rows = count_ties(y, score)
    negatives = rows - positives
    above = np.cumsum(positives) - 0.5 * positives
    return float(np.sum(negatives * above) / (positives.sum() * negatives.sum()))


def roc_auc_without(y: Array, score: Array, of_row: Array, count: int) -> Array:
    """The same without each block: all pairs, less those with a row of the block, and those within it once again."""
    order = np.argsort(score, kind="stable")
    positive, block = y[order].astype(np.float64), of_row[order]
    wins = _count_wins(positive, score[order], np.zeros(len(y), np.int64))
    by_block = np.argsort(block, kind="stable")
    inner = _count_wins(positive[by_block], score[order][by_block], block[by_block])
    positive_of, rows_of = np.bincount(block, positive, count), np.bincount(block, minlength=count)
    # Each pair is counted at its positive and at its negative, so half of the sum is the number of wins.
    left = wins.sum() / 2 - np.bincount(block, wins, count) + np.bincount(block[by_block], inner, count) / 2
    positives = positive.sum() - positive_of
    negatives = len(y) - rows_of - positives
    return np.asarray(left / np.maximum(positives * negatives, 1))


def _count_wins(positive: Array, score: Array, block: Array) -> Array:
    """For each row the pairs ranked right that it is part of, within its block; a tie counts half.

    Rows are sorted by block and then by rising score.
    """
    new_block = np.append(True, block[1:] != block[:-1])
    new_group = new_block | np.append(True, score[1:] != score[:-1])
    starts = np.flatnonzero(new_group)
    group = np.cumsum(new_group) - 1
    wins = np.empty(len(score))
    for of_kind, others, upwards in ((positive > 0, 1 - positive, True), (positive == 0, positive, False)):
        total = np.append(0.0, np.cumsum(others))
        ends = np.append(starts[1:], len(score))
        below, tied = total[starts], total[ends] - total[starts]
        block_starts = np.flatnonzero(new_block)
        which = np.cumsum(new_block) - 1
        first, last = total[block_starts], total[np.append(block_starts[1:], len(score))]
        rows = np.flatnonzero(of_kind)
        reached = below[group[rows]] + 0.5 * tied[group[rows]]
        wins[rows] = reached - first[which[rows]] if upwards else last[which[rows]] - reached
    return wins
