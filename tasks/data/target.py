"""What the target is: the task type, its classes, and labels as a model takes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from tasks.config import TaskType
from tasks.config.project import Data
from tasks.data.source import Batch, table_of
from tasks.errors import ConfigError, DataError

FEWEST_ROWS = 40
FEWEST_OF_A_CLASS = 8
MOST_CLASSES = 100
FEW_VALUES = 10
"""Whole numbers with up to so many different values are taken for classes, where data.task does not say otherwise."""
_TRUE_WORDS = {"true", "yes", "y", "t", "1", "positive", "pos"}
_UNIT = r"([^\W\d]{1,6}|[^\w\s]{1,3})?"
_NUMBER = re.compile(rf"[^\w\s.,-]{{0,3}}\s*[-+]?\s*\d[\d.,'\s]*([eE][-+]?\d+)?\s*{_UNIT}")
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}.*")


def infer_task(labels: pd.Series[Any]) -> TaskType:
    """The task type of known labels: two values are binary, text or few whole numbers multiclass, else regression."""
    distinct = labels.nunique()
    if distinct <= 2:
        return "binary"
    if pd.api.types.is_numeric_dtype(labels):
        whole = bool((labels == labels.round()).all())
        return "multiclass" if whole and distinct <= FEW_VALUES else "regression"
    return "multiclass"


def encode_labels(labels: pd.Series[Any], data: Data) -> tuple[pd.Series[Any], TaskType, tuple[Any, ...]]:
    """Known labels as a model takes them, the task, and the classes in order.

    Binary: 0/1 int64, classes (negative, positive). Multiclass: 0..K-1 int64, the classes sorted. Regression: float64
    as they are, no classes. Raises DataError for labels that nothing can be learned from, ConfigError where the
    project file asks for a task that they are not of.
    """
    where = f"target {data.target!r}"
    if labels.empty:
        raise DataError(
            f"{where}: no row has a known label; expected labels to train on. See data.label_delay and as_of."
        )
    _check_values(labels, where)
    if labels.nunique() == 1:
        raise DataError(
            f"{where}: all {len(labels):,} known labels are {_plain(labels.iloc[0])!r}; expected two classes at least,"
            " or numbers that differ. With one value there is nothing to learn."
        )
    task = data.task or infer_task(labels)
    if data.positive is not None and task != "binary":
        raise ConfigError(
            f"data.positive: it is of a binary target only; {where} has {labels.nunique():,} different values, which "
            f"make it {task}. Leave data.positive out."
        )
    if task == "regression":
        return _as_values(labels, where), task, ()
    if data.task is None:
        _check_no_numbers(labels, where)
    if task == "binary" and labels.nunique() > 2:
        raise ConfigError(
            f"data.task: binary needs two different values; {where} has {labels.nunique():,}: {_list(labels)}. Mend "
            "the labels, or set data.task: multiclass."
        )
    classes = _binary_classes(labels, data) if task == "binary" else _sorted_values(labels)
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"{where}: {len(classes):,} different values in {len(labels):,} rows: {_list(labels)}; expected at most "
            f"{MOST_CLASSES} classes. An id is no target; put rare classes together in the source, as 'other'"
            + ("; or, for a number, set data.task: regression." if pd.api.types.is_numeric_dtype(labels) else ".")
        )
    position, values = pd.factorize(labels)
    code = np.array([classes.index(_plain(v)) for v in values], np.int64)
    return pd.Series(code[position], index=labels.index, name=labels.name), task, classes


def check_enough(target: pd.Series[Any], classes: tuple[Any, ...], name: str) -> None:
    """DataError where encoded labels are too few to fit a model and to judge it. No `classes` for a regression."""
    if len(target) < FEWEST_ROWS:
        raise DataError(
            f"target {name!r}: {len(target)} rows with a known label; "
            f"expected {FEWEST_ROWS} at least to fit and to judge."
        )
    if not classes:
        return
    counts = np.bincount(target, minlength=len(classes))
    rare = np.flatnonzero(counts < FEWEST_OF_A_CLASS)
    if not len(rare):
        return
    rarest = int(counts.argmin())
    if len(classes) == 2:
        raise DataError(
            f"target {name!r}: the rarer of {classes[0]!r} and {classes[1]!r} has {counts[rarest]} rows; "
            f"expected {FEWEST_OF_A_CLASS} at least."
        )
    number = isinstance(classes[0], int | float) and not isinstance(classes[0], bool)
    raise DataError(
        f"target {name!r}: {len(rare)} of {len(classes)} classes are too rare to be learned; the rarest, "
        f"{classes[rarest]!r}, has {counts[rarest]} rows with a known label, expected {FEWEST_OF_A_CLASS} at least. "
        "Put rare classes together in the source, as 'other', or let a rule of the contract take their rows out"
        + ("; where the numbers count or measure something, set data.task: regression." if number else ".")
    )


def check_target(batches: Sequence[Batch], data: Data, as_of: datetime | None, quarantine: bool) -> TaskType | None:
    """Refuse labels that nothing can be learned from, before anything else is read; see `encode_labels`.

    Labels are those of `batches` that are known as of a moment (None: all). With `quarantine` a contract may yet
    take rows out, and with them values that are no labels: then only what fewer rows cannot mend is refused, and the
    task is None where it may still change.
    """
    found = [
        rows[data.target].dropna()
        for batch in batches
        if data.target in batch.schema.names
        for rows in table_of(batch, data, as_of).chunks(columns=[data.target])
    ]
    known = [part for part in found if len(part)]
    labels = pd.concat(known, ignore_index=True) if known else pd.Series(dtype=object)
    if quarantine and labels.nunique() > 2:
        return data.task
    target, task, classes = encode_labels(labels, data)
    check_enough(target, classes, data.target)
    return task


def _check_values(labels: pd.Series[Any], where: str) -> None:
    """DataError for labels that no task has: dates, durations, infinite numbers."""
    if not pd.api.types.is_numeric_dtype(labels) and not pd.api.types.is_bool_dtype(labels):
        if pd.api.types.is_datetime64_any_dtype(labels) or _mostly(labels, _DATE):
            raise DataError(
                f"{where}: holds dates such as {str(labels.iloc[0])!r}, which cannot be predicted; expected classes or "
                "a number. Make a number of it in the source, such as the days until then."
            )
        return
    if pd.api.types.is_float_dtype(labels):
        infinite = int(np.isinf(labels.to_numpy(np.float64)).sum())
        if infinite:
            raise DataError(
                f"{where}: {infinite:,} of {len(labels):,} known labels are infinite; expected finite numbers. Mend "
                "the source (a missing value says that it is not known), or state a range for the column in the "
                "contract, which then takes such rows out."
            )


def _check_no_numbers(labels: pd.Series[Any], where: str) -> None:
    """DataError for text that spells many numbers: as classes they would mean nothing."""
    if pd.api.types.is_numeric_dtype(labels) or labels.nunique() <= FEW_VALUES or not _mostly(labels, _NUMBER):
        return
    raise DataError(
        f"{where}: holds text that reads as numbers: {_list(labels)}; expected a column of numbers. Deliver them "
        "without separators, signs or units; where they name classes, set data.task: multiclass."
    )


def _as_values(labels: pd.Series[Any], where: str) -> pd.Series[Any]:
    if pd.api.types.is_numeric_dtype(labels) and not pd.api.types.is_bool_dtype(labels):
        return labels.astype("float64")
    raise DataError(
        f"{where}: a regression needs a column of numbers; found {_list(labels)}. Deliver numbers, without separators, "
        "signs or units, or leave data.task out."
    )


def _mostly(labels: pd.Series[Any], pattern: re.Pattern[str]) -> bool:
    """Whether nearly all different values are text of that form."""
    values = labels.unique()[:1000]
    read = [isinstance(v, str) and pattern.fullmatch(v.strip()) is not None for v in values]
    return bool(np.mean(read) > 0.9)


def _list(labels: pd.Series[Any]) -> str:
    """Some of the values, the most frequent first."""
    values = [repr(_plain(v))[:40] for v in labels.value_counts().index[:3]]
    return ", ".join(values) + (", ..." if labels.nunique() > len(values) else "")


def _sorted_values(labels: pd.Series[Any]) -> tuple[Any, ...]:
    return tuple(sorted((_plain(v) for v in labels.unique()), key=lambda v: (str(type(v)), v)))


def _binary_classes(labels: pd.Series[Any], data: Data) -> tuple[Any, Any]:
    values = _sorted_values(labels)
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
