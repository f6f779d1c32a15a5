"""The table of metrics: one entry each. Sources: scikit-learn's definitions, which the tests compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tasks.errors import ConfigError
from tasks.stats import measures, ranking
from tasks.stats.measures import AT_HALF, Anew, Array, Measure, OperatingPoint, Summed, mean_of
from tasks.stats.ranking import Ranking, count_ties

__all__ = [
    "AT_HALF",
    "DEFAULT_METRIC",
    "METRICS",
    "UNDEFINED",
    "Array",
    "Metric",
    "OperatingPoint",
    "TaskType",
    "count_ties",
    "find_metric",
]

TaskType = Literal["binary", "multiclass", "regression"]
UNDEFINED = float("nan")
_INF = float("inf")


def _mean(y: Array, at: OperatingPoint) -> float:
    return float(np.mean(y))


def _median(y: Array, at: OperatingPoint) -> float:
    return float(np.median(y))


def _quantile(y: Array, at: OperatingPoint) -> float:
    return float(np.quantile(y, at.quantile, method="inverted_cdf"))


def _relative_median(y: Array, at: OperatingPoint) -> float:
    """Half of the weights 1/|y| lie on either side of it."""
    values = np.sort(y[y != 0])
    if not len(values):
        return UNDEFINED
    weight = np.cumsum(1 / np.abs(values))
    return float(values[np.searchsorted(weight, weight[-1] / 2)])


@dataclass(frozen=True)
class Metric:
    """A metric of one prediction per row.

    `needs` says what it looks at: the predictions alone, the decisions made of them (at a threshold, or for the
    likeliest class), or those and the costs of wrong ones. `limits` are the smallest and largest value that it can
    take. With `unit` it is measured in the target's unit, or in that of the costs, and not on a scale of its own.
    `constant` gives a regression's best prediction that is the same for all rows.
    """

    name: str
    title: str
    tasks: tuple[TaskType, ...]
    larger_is_better: bool
    measure: Measure
    needs: Literal["predictions", "decisions", "costs"] = "predictions"
    limits: tuple[float, float] = (0.0, 1.0)
    unit: bool = False
    constant: Callable[[Array, OperatingPoint], float] = _mean

    def compute(self, y: Array, prediction: Array, at: OperatingPoint = AT_HALF) -> float:
        """The metric on these rows.

        Binary: `y` is 0/1 (n,) and `prediction` the probability of the positive class (n,). Multiclass: `y` holds
        0..K-1 (n,) and `prediction` the probability of each class (n, K). Regression: values, both (n,). nan where
        the metric is not defined: no rows, a prediction that is not finite, a class without a row where classes are
        averaged or told apart, costs not stated, a value of 0 (MAPE), values that are all the same (R2).
        """
        if len(y) == 0 or not np.isfinite(prediction).all():
            return UNDEFINED
        return self.measure.whole(y, prediction, at)

    def compute_without(self, y: Array, prediction: Array, of_row: Array, count: int, at: OperatingPoint) -> Array:
        """The metric without each block of rows, (count,): `of_row` (n,) says which of 0..count-1 each row lies in."""
        if len(y) == 0 or not np.isfinite(prediction).all():
            return np.full(count, UNDEFINED)
        return self.measure.without(y, prediction, at, of_row, count)

    def gain(self, value: float, other: float) -> float:
        """By how much `value` is better than `other`: positive is better, whatever the metric's direction."""
        return value - other if self.larger_is_better else other - value


def find_metric(name: str | None, task: TaskType) -> Metric:
    """The metric of that name, or the task's default; ConfigError where the task has no such metric."""
    metric = METRICS.get(name or DEFAULT_METRIC[task])
    if metric is None or task not in metric.tasks:
        fitting = ", ".join(m.name for m in METRICS.values() if task in m.tasks)
        raise ConfigError(f"train.metric: {name!r} is no metric of a {task} target; expected one of: {fitting}.")
    return metric


_BINARY: tuple[TaskType, ...] = ("binary",)
_SEVERAL: tuple[TaskType, ...] = ("multiclass",)
_CLASSES: tuple[TaskType, ...] = ("binary", "multiclass")
_VALUES: tuple[TaskType, ...] = ("regression",)
_PRECISION = Ranking(ranking.average_precision, ranking.average_precision_without)
_AUC = Ranking(ranking.roc_auc, ranking.roc_auc_without)
_RECALL = Summed(measures.tally_classes, measures.mean_recall)
_F1 = Summed(measures.tally_classes, measures.positive_f1)
_MEAN_F1 = Summed(measures.tally_classes, measures.mean_f1)
_R2 = Anew(measures.explained)
_POSITIVE = (0.0, _INF)
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("average_precision", "average precision", _BINARY, True, _PRECISION),
        Metric("average_precision_macro", "macro average precision", _SEVERAL, True, _PRECISION),
        Metric("roc_auc", "ROC AUC", _BINARY, True, _AUC),
        Metric("roc_auc_ovr", "ROC AUC one-vs-rest", _SEVERAL, True, _AUC),
        Metric("log_loss", "log loss", _CLASSES, False, mean_of(measures.log_loss), limits=_POSITIVE),
        Metric("brier", "Brier score", _CLASSES, False, mean_of(measures.brier)),
        Metric("accuracy", "accuracy", _CLASSES, True, mean_of(measures.hit), "decisions"),
        Metric("balanced_accuracy", "balanced accuracy", _CLASSES, True, _RECALL, "decisions"),
        Metric("f1", "F1", _BINARY, True, _F1, "decisions"),
        Metric("f1_macro", "macro F1", _SEVERAL, True, _MEAN_F1, "decisions"),
        Metric(
            "expected_cost", "expected cost per row", _BINARY, False, mean_of(measures.cost), "costs", _POSITIVE, True
        ),
        Metric("r2", "R2", _VALUES, True, _R2, limits=(-_INF, 1.0)),
        Metric("mae", "MAE", _VALUES, False, mean_of(measures.absolute), limits=_POSITIVE, unit=True, constant=_median),
        Metric("rmse", "RMSE", _VALUES, False, mean_of(measures.squared, np.sqrt), limits=_POSITIVE, unit=True),
        Metric("mape", "MAPE", _VALUES, False, mean_of(measures.relative), limits=_POSITIVE, constant=_relative_median),
        Metric(
            "pinball",
            "pinball loss",
            _VALUES,
            False,
            mean_of(measures.pinball),
            limits=_POSITIVE,
            unit=True,
            constant=_quantile,
        ),
    )
}
DEFAULT_METRIC: dict[TaskType, str] = {"binary": "average_precision", "multiclass": "log_loss", "regression": "r2"}
