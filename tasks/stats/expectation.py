"""Metrics of rows whose labels are not known: sums of what is expected of each row, and formulas of the sums.

Each row is taken for a positive as often as its probability says, and for a negative else (confidence-based performance
estimation: Bialek et al. 2024, Kivimaki et al. 2025), or its loss is foretold. Every row adds whole numbers, so that
the sums of parts are the sums of the whole to the last digit, however rows are cut; and the sums of a block can be
taken away again. Ranking measures come from a fine histogram of the scores: within one bin no order is assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from tasks.stats import measures
from tasks.stats.measures import OperatingPoint
from tasks.stats.metrics import Metric

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
UNIT = 2.0**20  # a row's part of a sum is rounded to such a fraction; chance rounds as often up as down
BINS = 512
FEWEST_BINS = 64
ALL_BINS = 8_192  # of all classes together
_LARGEST = 300.0  # standard deviations of the target, as far as a prediction counts for R2
_SURE = 9.0  # logits between which bins lie evenly, beside those that the scores themselves cut


class ExpectedSums(Protocol):
    """Sums of what is expected of rows, and the metrics that they tell."""

    width: int

    def sum_blocks(self, prediction: Floats, expected: Floats, of_row: Counts, count: int) -> Counts:
        """Sums (count, width) of the rows of each block; `of_row` (n,) holds 0..count-1."""
        ...

    def compute(self, metric: Metric, sums: Counts) -> Floats:
        """The metric for each row of `sums` (m, width), (m,); nan where it is not defined."""
        ...

    def weigh(self, sums: Counts) -> Floats:
        """What the blocks weigh: rows, and rows expected of each class, (m, 1 + classes)."""
        ...


def cut_scores(scores: Floats, most: int = BINS) -> Floats:
    """Inner edges of at most `most` bins for probabilities (n,): half at their quantiles, half evenly on logits."""
    half = most // 2
    quantiles = np.quantile(scores, np.linspace(0, 1, half)) if len(scores) else np.empty(0)
    return np.unique(np.concatenate([quantiles, expit(np.linspace(-_SURE, _SURE, most - half - 1))]))


class ClassSums:
    """Of a binary target (`classes` = 2, predictions (n, 1) of the positive class) or a multiclass one (n, classes).

    `expected` has the shape of the predictions and holds the probabilities to believe. `scores` (n, 1 or classes) of
    the reference cut the bins.
    """

    def __init__(self, scores: Floats, classes: int, at: OperatingPoint) -> None:
        self._classes, self._at = classes, at
        self.columns = scores.shape[1]
        most = BINS if self.columns == 1 else max(FEWEST_BINS, min(BINS, ALL_BINS // self.columns))
        self.edges = [cut_scores(scores[:, c], most) for c in range(self.columns)]
        self.bins = max(map(len, self.edges)) + 1
        self._head = 3 + 3 * classes + self.columns
        self.width = self._head + 2 * self.columns * self.bins

    def find_bins(self, prediction: Floats) -> Counts:
        """The bin of each score, (n, columns), rising with it."""
        found = [np.searchsorted(edges, prediction[:, c], side="right") for c, edges in enumerate(self.edges)]
        return np.stack(found, axis=1).astype(np.int64)

    def sum_blocks(self, prediction: Floats, expected: Floats, of_row: Counts, count: int) -> Counts:
        """See ExpectedSums."""
        both = np.hstack([1 - expected, expected]) if self.columns == 1 else expected
        given = np.hstack([1 - prediction, prediction]) if self.columns == 1 else prediction
        smallest = np.finfo(np.float64).eps  # where the log loss is clipped
        loss = -(both * np.log(np.clip(given, smallest, 1 - smallest))).sum(axis=1)
        # half of the squared distance to each label, in its expectation
        brier = (np.einsum("ij,ij->i", given, given) - 2 * np.einsum("ij,ij->i", given, both) + 1) / 2
        decided = self._at.decide(prediction[:, 0]).astype(np.int64) if self.columns == 1 else prediction.argmax(axis=1)
        sums = np.zeros((count, self.width), np.int64)
        sums[:, 0] = _add_up(None, of_row, count)
        sums[:, 1], sums[:, 2] = _add_up(loss, of_row, count), _add_up(brier, of_row, count)
        k = self._classes
        cells = of_row * k + decided
        found = both[np.arange(len(both)), decided]
        sums[:, 3 : 3 + k] = _add_up(found, cells, count * k).reshape(count, k)
        for label in range(k):
            sums[:, 3 + k + label] = _add_up(both[:, label], of_row, count)
        sums[:, 3 + 2 * k : 3 + 3 * k] = _add_up(None, cells, count * k).reshape(count, k)
        bins = self.find_bins(prediction)
        for column in range(self.columns):
            q = expected[:, column]
            sums[:, 3 + 3 * k + column] = _add_up(q * (1 - q), of_row, count)
            cells = of_row * self.bins + bins[:, column]
            start = self._head + 2 * column * self.bins
            for values in (None, q):
                part = _add_up(values, cells, count * self.bins)
                sums[:, start : start + self.bins] = part.reshape(count, self.bins)
                start += self.bins
        return sums

    def weigh(self, sums: Counts) -> Floats:
        """See ExpectedSums."""
        k = self._classes
        return np.hstack([sums[:, :1], sums[:, 3 + k : 3 + 2 * k]]) / UNIT

    def compute(self, metric: Metric, sums: Counts) -> Floats:
        """See ExpectedSums."""
        with np.errstate(divide="ignore", invalid="ignore"):
            values = self._compute(metric.name, sums / UNIT)
        return np.where(np.isfinite(values), values, np.nan)

    def _compute(self, name: str, sums: Floats) -> Floats:
        k, rows = self._classes, sums[:, 0]
        tally = sums[:, 3 : 3 + 3 * k].T  # as measures.tally_classes has it
        found, actual, decided = np.split(tally, 3)
        if name in ("log_loss", "brier"):
            return np.asarray(sums[:, 1 if name == "log_loss" else 2] / rows)
        if name == "accuracy":
            return np.asarray(found.sum(axis=0) / rows)
        if name == "expected_cost":
            if self._at.false_positive is None or self._at.false_negative is None:
                return np.full(len(sums), np.nan)
            missed, false = actual[1] - found[1], decided[1] - found[1]
            return np.asarray((self._at.false_negative * missed + self._at.false_positive * false) / rows)
        formulas = {"balanced_accuracy": measures.mean_recall, "f1": measures.positive_f1, "f1_macro": measures.mean_f1}
        if name in formulas:
            return formulas[name](tally)
        ranks = {
            "roc_auc": _rank_pairs, "roc_auc_ovr": _rank_pairs,
            "average_precision": _rank_precision, "average_precision_macro": _rank_precision,
        }  # fmt: skip
        if name not in ranks:
            return np.full(len(sums), np.nan)
        each = []
        for column in range(self.columns):
            start = self._head + 2 * column * self.bins
            n, q = sums[:, start : start + self.bins], sums[:, start + self.bins : start + 2 * self.bins]
            each.append(ranks[name](n, q, sums[:, 3 + 3 * k + column]))
        return np.asarray(np.mean(each, axis=0))


def _rank_pairs(rows: Floats, positives: Floats, own: Floats) -> Floats:
    """ROC AUC from rows and expected positives per bin of rising score (m, bins). A row makes no pair with itself:
    `own` (m,) is the sum of p (1 - p)."""
    negatives = rows - positives
    wins = (positives * (np.cumsum(negatives, axis=1) - negatives / 2)).sum(axis=1) - own / 2
    return np.asarray(wins / (positives.sum(axis=1) * negatives.sum(axis=1) - own))


def _rank_precision(rows: Floats, positives: Floats, own: Floats) -> Floats:
    """Average precision. A row that is positive is so for sure when precision is read at its score."""
    rows, positives = rows[:, ::-1], positives[:, ::-1]
    above, found = np.cumsum(rows, axis=1), np.cumsum(positives, axis=1)
    certain = positives - np.divide(positives**2, rows, out=np.zeros_like(rows), where=rows > 0)
    precision = np.divide(
        positives * found + certain, np.maximum(above, 1e-300), out=np.zeros_like(rows), where=rows > 0
    )
    return np.asarray(precision.sum(axis=1) / positives.sum(axis=1))


LOSSES: dict[str, Callable[[Floats, Floats, OperatingPoint], Floats]] = {
    "mae": measures.absolute,
    "rmse": measures.squared,
    "mape": measures.relative,
    "pinball": measures.pinball,
}


class LossSums:
    """Of a regression: `targets` are what is to be foretold of each row, and `expected` (n, 5) the foretold.

    They are the losses of LOSSES and the error itself, in the units that the reference rows have. `y` and `prediction`
    (n,) are those of the reference.
    """

    def __init__(self, y: Floats, prediction: Floats, at: OperatingPoint) -> None:
        self._centre, spread = float(np.mean(y)), float(np.std(y))
        self._spread = spread if spread > 0 else 1.0
        raw = np.stack([*(loss(y, prediction, at) for loss in LOSSES.values()), y - prediction], axis=1)
        size = np.abs(raw).mean(axis=0)
        self._defined = np.isfinite(size)
        self._size = np.where(self._defined & (size > 0), size, 1.0)
        self._size[-1] = self._spread
        self.targets = np.where(self._defined, raw / self._size, 0.0)
        self.width = len(LOSSES) + 3

    def sum_blocks(self, prediction: Floats, expected: Floats, of_row: Counts, count: int) -> Counts:
        """See ExpectedSums."""
        away = np.clip((prediction[:, 0] - self._centre) / self._spread, -_LARGEST, _LARGEST)
        squared = expected[:, 1] * (self._size[1] / self._spread**2)
        y, y2 = away + expected[:, -1], away**2 + 2 * away * expected[:, -1] + squared
        parts = [None, *expected[:, : len(LOSSES)].T, y, y2]
        return np.stack([_add_up(part, of_row, count) for part in parts], axis=1)

    def weigh(self, sums: Counts) -> Floats:
        """See ExpectedSums."""
        return sums[:, :1] / UNIT

    def compute(self, metric: Metric, sums: Counts) -> Floats:
        """See ExpectedSums."""
        of = sums / UNIT
        rows = np.where(of[:, 0] > 0, of[:, 0], np.nan)
        names = list(LOSSES)
        if metric.name == "r2":
            # of the variance of the labels, which the errors are part of
            variance = of[:, -1] / rows - (of[:, -2] / rows) ** 2
            squared = of[:, 2] / rows * (self._size[1] / self._spread**2)
            return np.asarray(1 - np.divide(squared, variance, out=np.full(len(of), np.nan), where=variance > 0))
        if metric.name not in names or not self._defined[names.index(metric.name)]:
            return np.full(len(of), np.nan)
        mean = of[:, 1 + names.index(metric.name)] / rows * self._size[names.index(metric.name)]
        return np.asarray(np.sqrt(mean) if metric.name == "rmse" else mean)


def _add_up(values: Floats | None, cells: Counts, count: int) -> Counts:
    """Sums per cell, (count,), of values in whole units; None counts the rows."""
    if values is None:
        return np.bincount(cells, minlength=count).astype(np.int64) * int(UNIT)
    # whole numbers below 2**53 add without error
    return np.bincount(cells, np.rint(values * UNIT), count).astype(np.int64)


def fit_isotonic(bins: Counts, y: Floats, count: int) -> Floats:
    """The rising table of means of `y` (n,) over `count` ordered bins, (count,), by pool-adjacent-violators; bins
    without a row lie between their neighbours, and beyond the last ones nothing rises further."""
    from sklearn.isotonic import isotonic_regression

    rows = np.bincount(bins, minlength=count)
    used = np.flatnonzero(rows)
    means = np.bincount(bins, y, count)[used] / rows[used]
    risen = isotonic_regression(means, sample_weight=rows[used].astype(np.float64))
    return np.asarray(np.interp(np.arange(count), used, risen))


def logit_within(probability: Floats, most: float = _SURE) -> Floats:
    """The log odds (n, k), no further from 0 than `most`."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(logit(probability), -most, most))
