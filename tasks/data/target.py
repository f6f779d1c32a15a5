"""What the target is: the task type, its classes, and labels as a model takes them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tasks.config import TaskType
from tasks.config.project import Data
from tasks.errors import DataError

SUPPORTED: tuple[TaskType, ...] = ("binary",)
_TRUE_WORDS = {"true", "yes", "y", "t", "1", "positive", "pos"}


def infer_task(labels: pd.Series[Any]) -> TaskType:
    """The task type of known labels: two values are binary, text or few whole numbers multiclass, else regression."""
    distinct = labels.nunique()
    if distinct <= 2:
        return "binary"
    if pd.api.types.is_numeric_dtype(labels):
        whole = bool((labels == labels.round()).all())
        return "multiclass" if whole and distinct <= 10 else "regression"
    return "multiclass"


def encode_labels(labels: pd.Series[Any], data: Data) -> tuple[pd.Series[Any], TaskType, tuple[Any, ...]]:
    """Known labels as a model takes them, the task, and the classes in order; for binary (negative, positive).

    Raises DataError where there is no label, one class only, or a task that cannot be trained.
    """
    where = f"target {data.target!r}"
    if labels.empty:
        raise DataError(
            f"{where}: no row has a known label; expected labels to train on. See data.label_delay and as_of."
        )
    if labels.nunique() == 1:
        raise DataError(
            f"{where}: all {len(labels):,} known labels are {_plain(labels.iloc[0])!r}; expected two classes at least."
        )
    task = infer_task(labels)
    if task not in SUPPORTED:
        raise DataError(
            f"{where}: {labels.nunique():,} different values look like a {task} target; "
            f"this version trains {' and '.join(SUPPORTED)} targets (two different values)."
        )
    classes = _binary_classes(labels, data)
    return (labels == classes[1]).astype("int64"), task, classes


def _binary_classes(labels: pd.Series[Any], data: Data) -> tuple[Any, Any]:
    values = sorted((_plain(v) for v in labels.unique()), key=lambda v: (str(type(v)), v))
    positive = data.positive
    if positive is None:
        worded = [v for v in values if str(v).strip().lower() in _TRUE_WORDS]
        positive = worded[0] if len(worded) == 1 else values[-1]
    elif positive not in values:
        raise DataError(
            f"data.positive: {positive!r} is not a value of target {data.target!r}; "
            f"found {values[0]!r} and {values[1]!r}."
        )
    negative = next(v for v in values if v != positive)
    return negative, next(v for v in values if v == positive)


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
