"""One way to turn rows into predictions and decisions, for evaluation, scoring and the fresh process alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.stats.metrics import AT_HALF, OperatingPoint, TaskType


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


def predict_constant(target: NDArray[Any], rows: int) -> NDArray[np.float64]:
    """The trivial prediction for `rows` rows: the mean of `target`, (n,); for 0/1 that is the share of ones."""
    return np.full(rows, float(np.mean(target)) if len(target) else np.nan)
