"""What the target is: the task type, its classes, and labels as a model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from tasks.config import TaskType
from tasks.config.project import Data
from tasks.data.source import Batch, table_of
from tasks.errors import DataError

SUPPORTED: tuple[TaskType, ...] = ("binary",)
FEWEST_ROWS = 40
FEWEST_OF_A_CLASS = 8
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


def check_enough(target: pd.Series[Any], classes: tuple[Any, ...], name: str) -> None:
    """DataError where encoded labels are too few to fit a model and to judge it."""
    if len(target) < FEWEST_ROWS:
        raise DataError(
            f"target {name!r}: {len(target)} rows with a known label; "
            f"expected {FEWEST_ROWS} at least to fit and to judge."
        )
    rarest = int(target.value_counts().min())
    if rarest < FEWEST_OF_A_CLASS:
        raise DataError(
            f"target {name!r}: the rarer of {classes[0]!r} and {classes[1]!r} has {rarest} rows; "
            f"expected {FEWEST_OF_A_CLASS} at least."
        )


def check_target(batches: Sequence[Batch], data: Data, as_of: datetime | None, quarantine: bool) -> None:
    """Refuse labels that nothing can be learned from, before anything else is read; see `encode_labels`.

    Labels are those of `batches` that are known as of a moment (None: all). With `quarantine` a contract may yet
    take rows out, and with them values that are no labels: then only what fewer rows cannot mend is refused.
    """
    found = [
        rows[data.target].dropna()
        for batch in batches
        if data.target in batch.schema.names
        for rows in table_of(batch, data, as_of).chunks(columns=[data.target])
    ]
    known = [part for part in found if len(part)]
    labels = pd.concat(known) if known else pd.Series(dtype=object)
    if quarantine and labels.nunique() > 2:
        return
    target, _, classes = encode_labels(labels, data)
    check_enough(target, classes, data.target)


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
