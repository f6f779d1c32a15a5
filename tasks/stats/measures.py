"""Measures that need only sums over rows: each is a tally of the rows per block, and a formula of the sums.

So the measure without each block in turn is the formula of the sums that are left: one pass over the rows for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class OperatingPoint:
    """Where predictions become decisions, what a wrong one costs (in any one unit; None where not stated), and the
    quantile that a regression aims at where its metric is the pinball loss."""

    threshold: float = 0.5
    false_positive: float | None = None
    false_negative: float | None = None
    quantile: float = 0.5

    def decide(self, probability: Array) -> NDArray[np.bool_]:
        """True where the positive class is decided: from the threshold upwards."""
        return np.asarray(probability >= self.threshold)


AT_HALF = OperatingPoint()


class Measure(Protocol):
    """A number for labels `y` (n,) and predictions (n,) or (n, classes), n > 0; nan where it is not defined."""

    def whole(self, y: Array, prediction: Array, at: OperatingPoint) -> float:
        """The measure on all rows."""
        ...

    def without(self, y: Array, prediction: Array, at: OperatingPoint, of_row: Array, count: int) -> Array:
        """The measure without each block, (count,): `of_row` (n,) says which of 0..count-1 each row lies in."""
        ...


Tally = Callable[[Array, Array, OperatingPoint, Array, int], Array]
"""Sums (k, count) of the rows of each of `count` blocks."""
Formula = Callable[[Array], Array]
"""Sums (k, m) to values (m,)."""


@dataclass(frozen=True)
class Summed:
    """A measure that is a formula of sums over rows."""

    tally: Tally
    formula: Formula

    def whole(self, y: Array, prediction: Array, at: OperatingPoint) -> float:
        """The formula of the sums over all rows."""
        sums = self.tally(y, prediction, at, np.zeros(len(y), np.int64), 1)
        return float(self._apply(sums)[0])

    def without(self, y: Array, prediction: Array, at: OperatingPoint, of_row: Array, count: int) -> Array:
        """The formula of the sums over the other blocks."""
        sums = self.tally(y, prediction, at, of_row, count)
        # added up from both ends, never subtracted: a block with huge errors would take the others' digits away
        before = _shift(np.cumsum(sums, axis=1))
        after = _shift(np.cumsum(sums[:, ::-1], axis=1))[:, ::-1]
        return self._apply(before + after)

    def _apply(self, sums: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is nan: not defined
            return np.asarray(self.formula(sums), dtype=np.float64)


@dataclass(frozen=True)
class Anew:
    """A measure without such a formula, or one that would lose digits: computed anew without each block."""

    measure: Callable[[Array, Array, OperatingPoint], float]

    def whole(self, y: Array, prediction: Array, at: OperatingPoint) -> float:
        """The measure on all rows."""
        return self.measure(y, prediction, at)

    def without(self, y: Array, prediction: Array, at: OperatingPoint, of_row: Array, count: int) -> Array:
        """The measure without each block, (count,)."""
        kept = (of_row != block for block in range(count))
        return np.array([self.measure(y[k], prediction[k], at) if k.any() else np.nan for k in kept])


def _shift(sums: Array) -> Array:
    """One column to the right, zeros first."""
    return np.hstack([np.zeros_like(sums[:, :1]), sums[:, :-1]])


def mean_of(loss: Callable[[Array, Array, OperatingPoint], Array], formula: Formula | None = None) -> Summed:
    """The mean of a loss per row; with `formula`, that of the mean."""

    def tally(y: Array, p: Array, at: OperatingPoint, of_row: Array, count: int) -> Array:
        return np.stack([np.bincount(of_row, loss(y, p, at), count), np.bincount(of_row, minlength=count)])

    def mean(sums: Array) -> Array:
        value: Array = sums[0] / sums[1]
        return value if formula is None else formula(value)

    return Summed(tally, mean)


# ---------------------------------------------------------------- probabilities and decisions


def log_loss(y: Array, p: Array, at: OperatingPoint) -> Array:
    """-log of the probability that was given to what happened."""
    smallest = np.finfo(np.float64).eps  # where scikit-learn clips
    if p.ndim == 2:
        return np.asarray(-np.log(np.clip(p[np.arange(len(y)), y], smallest, 1 - smallest)))
    clipped = np.clip(p, smallest, 1 - smallest)
    return np.asarray(-np.where(y == 1, np.log(clipped), np.log1p(-clipped)))


def brier(y: Array, p: Array, at: OperatingPoint) -> Array:
    """Squared distance to what happened; of several classes half of its sum, which is the same for two, and in 0..1."""
    if p.ndim == 1:
        return np.asarray((p - y) ** 2)
    given = p[np.arange(len(y)), y]
    return np.asarray((np.einsum("ij,ij->i", p, p) - 2 * given + 1) / 2)


def hit(y: Array, p: Array, at: OperatingPoint) -> Array:
    """1 where the decision is right."""
    return np.asarray(_decide(p, at)[0] == y)


def cost(y: Array, p: Array, at: OperatingPoint) -> Array:
    """What the decision costs; nan where costs are not stated."""
    if at.false_positive is None or at.false_negative is None:
        return np.full(len(y), np.nan)
    decided = at.decide(p)
    return np.where(y == 1, at.false_negative * ~decided, at.false_positive * decided)


def _decide(p: Array, at: OperatingPoint) -> tuple[Array, int]:
    """The class decided on each row, and how many there are."""
    return (at.decide(p).astype(np.int64), 2) if p.ndim == 1 else (p.argmax(axis=1), p.shape[1])


def tally_classes(y: Array, p: Array, at: OperatingPoint, of_row: Array, count: int) -> Array:
    """(3 classes, count): per class the rows found (of it, and decided so), the rows of it, the rows decided so."""
    decided, classes = _decide(p, at)
    right = decided == y
    parts = [
        np.bincount(of_row[rows] * classes + label[rows], minlength=count * classes).reshape(count, classes)
        for rows, label in ((right, y), (slice(None), y), (slice(None), decided))
    ]
    return np.hstack(parts).T.astype(np.float64)


def mean_recall(sums: Array) -> Array:
    """Of `tally_classes`: the mean over classes of the share found; nan where a class has no row."""
    found, actual, _ = np.split(sums, 3)
    return np.asarray((found / actual).mean(axis=0))


def mean_f1(sums: Array) -> Array:
    """Of `tally_classes`: the mean of F1 over classes; nan where a class has no row."""
    found, actual, decided = np.split(sums, 3)
    return np.asarray(np.where(actual > 0, 2 * found / (actual + decided), np.nan).mean(axis=0))


def positive_f1(sums: Array) -> Array:
    """Of `tally_classes` with two classes: F1 of the second; nan where either class has no row."""
    found, actual, decided = np.split(sums, 3)
    return np.asarray(np.where(actual.min(axis=0) > 0, 2 * found[1] / (actual[1] + decided[1]), np.nan))


# ---------------------------------------------------------------- values


def absolute(y: Array, p: Array, at: OperatingPoint) -> Array:
    """The distance to the value."""
    return np.asarray(np.abs(y - p))


def squared(y: Array, p: Array, at: OperatingPoint) -> Array:
    """The squared distance to the value."""
    return np.asarray((y - p) ** 2)


def relative(y: Array, p: Array, at: OperatingPoint) -> Array:
    """The distance in shares of the value; nan where that is 0."""
    size = np.abs(y)
    return np.asarray(np.divide(np.abs(y - p), size, out=np.full(len(y), np.nan), where=size > 0))


def pinball(y: Array, p: Array, at: OperatingPoint) -> Array:
    """What lies above the prediction counts `quantile`, what lies below counts the rest."""
    return np.asarray(np.maximum(at.quantile * (y - p), (at.quantile - 1) * (y - p)))


def explained(y: Array, p: Array, at: OperatingPoint) -> float:
    """R2: the share of the variance that is explained; nan where all values are the same."""
    if y.min() == y.max():
        return np.nan
    return float(1 - np.sum((y - p) ** 2) / np.sum((y - y.mean()) ** 2))
