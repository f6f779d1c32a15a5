"""A classifier with a threshold of its own for each group of rows, carried by its scores; a stored model needs this."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin

from tasks.stats.categories import as_text

Floats = NDArray[np.float64]
NEAR = 1e-9  # probabilities are kept so far from 0 and 1


class GroupThresholds(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A fitted binary classifier whose log-odds are moved by a shift for each group of rows.

    `estimator` is fitted, `by` names the columns that tell groups apart, `shifts` is a JSON text of group -> shift (one
    small plain value in the stored file). A group without a shift, or a row whose group is missing, is left as it is.
    """

    def __init__(self, estimator: Any, by: list[str], shifts: str, threshold: float) -> None:
        self.estimator = estimator
        self.by = by
        self.shifts = shifts
        self.threshold = threshold

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes of the model within."""
        return np.asarray(self.estimator.classes_)

    @property
    def unmitigated(self) -> Any:
        """The model without its shifts."""
        return self.estimator

    def fit(self, X: pd.DataFrame, y: Any = None) -> GroupThresholds:
        """Nothing is fitted: it wraps what is."""
        return self

    def predict_proba(self, X: pd.DataFrame) -> Floats:
        """Scores (n, 2)."""
        moved = self.find_shifts(X)
        given = np.clip(np.asarray(self.estimator.predict_proba(X), np.float64)[:, 1], NEAR, 1 - NEAR)
        score = np.where(moved == 0, given, expit(logit(given) + moved))
        return np.stack([1 - score, score], axis=1)

    def find_shifts(self, X: pd.DataFrame) -> Floats:
        """By how much each row's log-odds are moved (n,)."""
        shifts: dict[str, float] = json.loads(self.shifts)
        return np.array([shifts.get(name, 0.0) for name in name_groups(X, self.by)], np.float64)

    def predict(self, X: pd.DataFrame) -> NDArray[Any]:
        """Decisions (n,)."""
        return self.classes_[(self.predict_proba(X)[:, 1] >= self.threshold).astype(np.int64)]

    def __sklearn_is_fitted__(self) -> bool:
        return True


def name_groups(frame: pd.DataFrame, by: Sequence[str]) -> list[str]:
    """The group of each row (n,), as a text of the values that make it; empty where one is missing."""
    texts = [as_text(frame[column]) for column in by]
    return ["" if None in row else json.dumps(row) for row in zip(*texts, strict=True)]
