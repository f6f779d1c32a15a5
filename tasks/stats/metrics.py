"""The table of metrics: one entry each. Sources: scikit-learn's definitions, which the tests compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.errors import ConfigError

Array = NDArray[Any]
TaskType = Literal["binary", "multiclass", "regression"]
UNDEFINED = float("nan")


@dataclass(frozen=True)
class OperatingPoint:
    """Where predictions become decisions, and what a wrong one costs (in any one unit; None where not stated)."""

    threshold: float = 0.5
    false_positive: float | None = None
    false_negative: float | None = None

    def decide(self, probability: Array) -> NDArray[np.bool_]:
        """True where the positive class is decided: from the threshold upwards."""
        return np.asarray(probability >= self.threshold)


AT_HALF = OperatingPoint()
Measure = Callable[[Array, Array, OperatingPoint], float]


@dataclass(frozen=True)
class Metric:
    """A metric of one prediction per row.

    `needs` says what it looks at: the predictions alone, the decisions made of them at a threshold, or those and
    the costs of wrong ones. `limits` are the smallest and largest value that it can take.
    """

    name: str
    title: str
    tasks: tuple[TaskType, ...]
    larger_is_better: bool
    measure: Measure
    needs: Literal["predictions", "decisions", "costs"] = "predictions"
    limits: tuple[float, float] = (0.0, 1.0)

    def compute(self, y: Array, prediction: Array, at: OperatingPoint = AT_HALF) -> float:
        """The metric on these rows.

        For a binary task `y` is 0/1 (n,) and `prediction` the probability of the positive class (n,). nan where the
        metric is not defined: no rows, a prediction that is not finite, one class only, or costs not stated.
        """
        if len(y) == 0 or not np.isfinite(prediction).all():
            return UNDEFINED
        return float(self.measure(y, prediction, at))

    def gain(self, value: float, other: float) -> float:
        """By how much `value` is better than `other`: positive is better, whatever the metric's direction."""
        return value - other if self.larger_is_better else other - value


def find_metric(name: str | None, task: TaskType) -> Metric:
    """The metric of that name, or the task's default; ConfigError where the task has no such metric."""
    chosen = name or DEFAULT_METRIC.get(task)
    metric = METRICS.get(chosen or "")
    if metric is None or task not in metric.tasks:
        fitting = ", ".join(m.name for m in METRICS.values() if task in m.tasks) or "none so far"
        raise ConfigError(f"train.metric: {chosen!r} is no metric of a {task} target; expected one of: {fitting}.")
    return metric


def count_ties(y: Array, score: Array) -> tuple[Array, Array]:
    """Positives and rows at each distinct score, in falling order of the score; both float64, (distinct scores,).

    Equal scores are one group: no order within them is assumed. Rows that are sorted already cost one pass.
    """
    order = np.argsort(score, kind="stable")
    sorted_score = score[order]
    last = np.append(np.flatnonzero(sorted_score[1:] != sorted_score[:-1]), len(score) - 1)
    positives = np.diff(np.cumsum(y[order], dtype=np.float64)[last], prepend=0.0)
    rows = np.diff((last + 1).astype(np.float64), prepend=0.0)
    return positives[::-1], rows[::-1]


def _two_classes(measure: Measure) -> Measure:
    """Not defined where only one class is there."""
    return lambda y, p, at: measure(y, p, at) if y.min() != y.max() else UNDEFINED


def _average_precision(y: Array, p: Array, at: OperatingPoint) -> float:
    positives, rows = count_ties(y, p)
    found = np.cumsum(positives)
    return float(np.sum(positives * found / np.cumsum(rows)) / found[-1])


def _roc_auc(y: Array, p: Array, at: OperatingPoint) -> float:
    positives, rows = count_ties(y, p)
    negatives = rows - positives
    above = np.cumsum(positives) - 0.5 * positives  # a tie counts half
    return float(np.sum(negatives * above) / (positives.sum() * negatives.sum()))


def _log_loss(y: Array, p: Array, at: OperatingPoint) -> float:
    smallest = np.finfo(np.float64).eps  # where scikit-learn clips
    clipped = np.clip(p, smallest, 1 - smallest)
    return float(-np.mean(np.where(y == 1, np.log(clipped), np.log1p(-clipped))))


def _brier(y: Array, p: Array, at: OperatingPoint) -> float:
    return float(np.mean((p - y) ** 2))


def _accuracy(y: Array, p: Array, at: OperatingPoint) -> float:
    return float(np.mean(at.decide(p) == (y == 1)))


def _balanced_accuracy(y: Array, p: Array, at: OperatingPoint) -> float:
    decided, actual = at.decide(p), y == 1
    return float((decided[actual].mean() + (~decided[~actual]).mean()) / 2)


def _f1(y: Array, p: Array, at: OperatingPoint) -> float:
    decided, actual = at.decide(p), y == 1
    return float(2 * np.sum(decided & actual) / (decided.sum() + actual.sum()))


def _expected_cost(y: Array, p: Array, at: OperatingPoint) -> float:
    if at.false_positive is None or at.false_negative is None:
        return UNDEFINED
    decided, actual = at.decide(p), y == 1
    return float(at.false_positive * np.mean(decided & ~actual) + at.false_negative * np.mean(~decided & actual))


_INF = float("inf")
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("average_precision", "average precision", ("binary",), True, _two_classes(_average_precision)),
        Metric("roc_auc", "ROC AUC", ("binary",), True, _two_classes(_roc_auc)),
        Metric("log_loss", "log loss", ("binary",), False, _log_loss, limits=(0.0, _INF)),
        Metric("brier", "Brier score", ("binary",), False, _brier),
        Metric("accuracy", "accuracy", ("binary",), True, _accuracy, "decisions"),
        Metric(
            "balanced_accuracy", "balanced accuracy", ("binary",), True, _two_classes(_balanced_accuracy), "decisions"
        ),
        Metric("f1", "F1", ("binary",), True, _two_classes(_f1), "decisions"),
        Metric("expected_cost", "expected cost per row", ("binary",), False, _expected_cost, "costs", (0.0, _INF)),
    )
}
DEFAULT_METRIC: dict[TaskType, str] = {"binary": "average_precision"}
