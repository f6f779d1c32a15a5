"""The table of metrics: one entry each. Sources: scikit-learn's definitions, which the tests compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from tasks.errors import ConfigError

Array = NDArray[Any]
TaskType = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True)
class Metric:
    """A metric of one prediction per row.

    `compute(y, prediction)`: for a binary task `y` is 0/1 (n,) and `prediction` is the probability of the positive
    class (n,); nan where the metric is not defined on these rows (one class only).
    """

    name: str
    title: str
    tasks: tuple[TaskType, ...]
    larger_is_better: bool
    compute: Callable[[Array, Array], float]


def _two_classes(compute: Callable[[Array, Array], float]) -> Callable[[Array, Array], float]:
    def guarded(y: Array, p: Array) -> float:
        return float(compute(y, p)) if len(y) and y.min() != y.max() else float("nan")

    return guarded


def _log_loss(y: Array, p: Array) -> float:
    clipped = np.clip(p, 1e-15, 1 - 1e-15)
    return float(-np.mean(np.where(y == 1, np.log(clipped), np.log1p(-clipped))))


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("average_precision", "average precision", ("binary",), True, _two_classes(sk.average_precision_score)),
        Metric("roc_auc", "ROC AUC", ("binary",), True, _two_classes(sk.roc_auc_score)),
        Metric("log_loss", "log loss", ("binary",), False, _log_loss),
        Metric("brier", "Brier score", ("binary",), False, lambda y, p: float(np.mean((p - y) ** 2))),
    )
}
DEFAULT_METRIC: dict[TaskType, str] = {"binary": "average_precision"}


def find_metric(name: str | None, task: TaskType) -> Metric:
    """The metric of that name, or the task's default; ConfigError where the task has no such metric."""
    chosen = name or DEFAULT_METRIC[task]
    metric = METRICS.get(chosen)
    if metric is None or task not in metric.tasks:
        fitting = ", ".join(m.name for m in METRICS.values() if task in m.tasks)
        raise ConfigError(f"train.metric: {chosen!r} is no metric of a {task} target; expected one of {fitting}.")
    return metric
