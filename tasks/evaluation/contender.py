"""A fitted model as it is judged, and its predictions on rows: none where it breaks, with the reason."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.results import FittedModel, TrainingFrame
from tasks.stats.metrics import Array
from tasks.stats.prediction import predict_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Contender:
    """A fitted model: the columns that it reads, where it decides, and which classes it tells apart.

    `classes` are original label values in the order of its probabilities; empty where they are the rows' own, or for
    a regression.
    """

    estimator: Any
    features: tuple[str, ...]
    threshold: float | None = None
    classes: tuple[Any, ...] = ()

    @classmethod
    def of(cls, model: FittedModel) -> Contender:
        """A challenger that was just fitted."""
        return cls(model.estimator, model.features, model.threshold, model.classes)


def predict_contender(contender: Contender, rows: pd.DataFrame, like: TrainingFrame) -> tuple[Array | None, str]:
    """Predictions for `rows` (n) in the classes of `like`, or None and why there are none; nothing is raised.

    The shapes are those of `predict_rows`. A class that the model does not know has probability 0; one that only the
    model knows is left out, so that probabilities may then sum to less than 1.
    """
    missing = [name for name in contender.features if name not in rows.columns]
    if missing:
        return None, f"it reads column {missing[0]!r}, which the test rows do not have"
    try:
        prediction = predict_like(contender, rows[list(contender.features)], like)
    except Exception as error:  # whatever a model raises is evidence against it, and holds the release
        log.exception("a model failed on the test rows")
        return None, f"it fails on them with {type(error).__name__}: {_first_line(error)}"
    if prediction is None:
        known, asked = _names(contender.classes), _names(like.classes)
        return None, f"it predicts {known}, and the target of the rows is {asked}"
    if len(prediction) != len(rows):
        return None, f"it gives {len(prediction):,} predictions for {len(rows):,} rows"
    if not np.isfinite(prediction).all():
        broken = int((~np.isfinite(prediction.reshape(len(rows), -1))).any(axis=1).sum())
        return None, f"{broken:,} of its predictions are not finite numbers"
    return prediction, ""


def predict_like(contender: Contender, features: pd.DataFrame, like: TrainingFrame) -> Array | None:
    """Predictions from the model's own columns, in the classes of `like`; None where they have too few in common,
    or where only one of the two has classes."""
    by_class = hasattr(contender.estimator, "predict_proba")
    if by_class == (like.task == "regression"):  # the target was of another kind when it was fitted
        return None
    if not by_class or not contender.classes or contender.classes == like.classes:
        return predict_rows(contender.estimator, features, like.task)
    column_of = {label: column for column, label in enumerate(contender.classes)}
    found = [column_of.get(label) for label in like.classes]
    if sum(column is not None for column in found) < 2:
        return None
    own = predict_rows(contender.estimator, features, "multiclass")
    nothing = np.zeros(len(own))
    aligned = np.stack([nothing if column is None else own[:, column] for column in found], axis=1)
    return aligned[:, 1] if like.task == "binary" else aligned


def _names(classes: Sequence[Any]) -> str:
    if not classes:
        return "numbers"
    shown = ", ".join(repr(label)[:40] for label in classes[:5])
    return shown + (f" and {len(classes) - 5} more" if len(classes) > 5 else "")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "no message"
