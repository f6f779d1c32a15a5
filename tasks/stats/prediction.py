"""One way to turn rows into predictions and decisions, for evaluation, scoring and the fresh process alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.stats.metrics import AT_HALF, Metric, OperatingPoint, TaskType


def predict_rows(estimator: Any, frame: pd.DataFrame, task: TaskType) -> NDArray[np.float64]:
    """Predictions for `frame` (n rows, at least the model's features).

    Binary: probability of the positive class, (n,). Multiclass: probabilities, (n, classes). Regression: (n,).
    """
    if task == "regression":
        return np.asarray(estimator.predict(frame), dtype=np.float64)
    probabilities = np.asarray(estimator.predict_proba(frame), dtype=np.float64)
    return probabilities[:, 1] if task == "binary" else probabilities


def decide_rows(prediction: NDArray[Any], task: TaskType, threshold: float | None = None) -> NDArray[Any]:
    """What is decided on each row: the position of the class in `classes`, (n,) int64; a regression's value itself.

    Binary: 1 from the threshold upwards (None is a half). Multiclass: the most probable class.
    """
    if task == "regression":
        return prediction
    if task == "multiclass":
        return np.asarray(prediction.argmax(axis=1))
    at = AT_HALF if threshold is None else OperatingPoint(threshold)
    return at.decide(prediction).astype(np.int64)


def predict_constant(
    target: NDArray[Any], rows: int, task: TaskType = "binary", classes: Sequence[Any] = ()
) -> NDArray[np.float64]:
    """One prediction for all of `rows` rows: the mean of `target`, (rows,); for 0/1 that is the share of ones.

    Multiclass: the share of each of `classes` among the codes in `target`, (rows, classes). nan where `target` is
    empty.
    """
    if task == "multiclass":
        found = np.bincount(np.asarray(target, np.int64), minlength=len(classes))
        shares = found / len(target) if len(target) else np.full(len(classes), np.nan)
        return np.tile(shares, (rows, 1))
    return np.full(rows, float(np.mean(target)) if len(target) else np.nan)


def predict_trivially(
    metric: Metric, y_fit: NDArray[Any], rows: int, at: OperatingPoint, task: TaskType, classes: Sequence[Any]
) -> NDArray[np.float64]:
    """The best prediction that is the same for all of `rows` rows, judged by `metric` on `y_fit` (n,).

    Regression: the mean for RMSE and R2, the median for MAE, the quantile for the pinball loss, the median weighted by
    1/|y| for MAPE. Classes: their shares; where decisions are judged, the constant decision that is best, the first
    of equals. (rows,), for multiclass (rows, classes); nan where `y_fit` is empty.
    """
    if not len(y_fit):
        return predict_constant(y_fit, rows, task, classes)
    if task == "regression":
        return np.full(rows, metric.constant(y_fit, at))
    if metric.needs == "predictions":
        return predict_constant(y_fit, rows, task, classes)
    decisions = np.array([0.0, 1.0]) if task == "binary" else np.eye(len(classes))
    sign = 1.0 if metric.larger_is_better else -1.0
    values = [sign * metric.compute(y_fit, np.repeat(one[None], len(y_fit), axis=0), at) for one in decisions]
    best = decisions[int(np.argmax(np.nan_to_num(values, nan=-np.inf)))]
    return np.repeat(best[None], rows, axis=0)
