"""One way to turn rows into predictions, for evaluation, scoring and the fresh process alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.stats.metrics import TaskType


def predict_rows(estimator: Any, frame: pd.DataFrame, task: TaskType) -> NDArray[np.float64]:
    """Predictions for `frame` (n rows, at least the model's features).

    Binary: probability of the positive class, (n,). Multiclass: probabilities, (n, classes). Regression: (n,).
    """
    if task == "regression":
        return np.asarray(estimator.predict(frame), dtype=np.float64)
    probabilities = np.asarray(estimator.predict_proba(frame), dtype=np.float64)
    return probabilities[:, 1] if task == "binary" else probabilities
