"""One column to one kind of value, whatever dtype it arrives in. What cannot be read is missing, never an error."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from tasks.stats.categories import as_text

Kind = Literal["number", "boolean", "category", "datetime"]
CYCLES = ("month", "weekday", "hour")
"""Parts of a datetime whose order says little: December is next to January."""
LARGEST = 1e30
"""Numbers are cut here, so that squares and 32-bit floats still hold them."""
_EPOCH = pd.Timestamp("1970-01-01")
_INFERRED: dict[str, Kind] = {
    "boolean": "boolean",
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "decimal": "number",
    "timedelta": "number",
    "timedelta64": "number",
    "datetime": "datetime",
    "datetime64": "datetime",
    "date": "datetime",
}
_FLAGS = {"true": 1.0, "1": 1.0, "false": 0.0, "0": 0.0}


def find_kind(column: pd.Series[Any]) -> Kind | None:
    """The kind of a column by its dtype, or by its values where the dtype is object; None where none is known."""
    if column.isna().all():
        return None
    if types.is_bool_dtype(column.dtype):
        return "boolean"
    if types.is_numeric_dtype(column.dtype) or types.is_timedelta64_dtype(column.dtype):
        return "number"
    if types.is_datetime64_any_dtype(column.dtype):
        return "datetime"
    return _INFERRED.get(types.infer_dtype(column.astype(object), skipna=True), "category")


def as_numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    """Float64; nan for what is missing, no number or not finite. A duration counts in seconds, true as 1."""
    if types.is_timedelta64_dtype(column.dtype):
        numbers = np.asarray(column.dt.total_seconds(), dtype=np.float64)
    elif types.is_datetime64_any_dtype(column.dtype):
        return np.full(len(column), np.nan)
    elif types.is_numeric_dtype(column.dtype):
        numbers = column.to_numpy(np.float64, na_value=np.nan)
    else:
        objects = column.astype(object)
        if "timedelta" in types.infer_dtype(objects, skipna=True):
            return as_numbers(pd.to_timedelta(objects, errors="coerce"))
        numbers = pd.to_numeric(objects, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    kept: NDArray[np.float64] = np.where(np.isfinite(numbers), np.clip(numbers, -LARGEST, LARGEST), np.nan)
    return kept


def as_flags(column: pd.Series[Any]) -> NDArray[np.float64]:
    """1 for true, 0 for false, nan for anything else. The words and the numbers 1 and 0 are read too."""
    if types.is_bool_dtype(column.dtype):
        return np.asarray(column.to_numpy(np.float64, na_value=np.nan))
    words = pd.Series(as_text(column), dtype=object)
    return np.asarray(words.str.strip().str.lower().map(_FLAGS), dtype=np.float64)


def as_times(column: pd.Series[Any]) -> pd.Series[Any]:
    """Datetimes in UTC without a zone; those that arrive without one are left as they are. NaT for what is none."""
    if types.is_bool_dtype(column.dtype) or types.is_numeric_dtype(column.dtype):
        times = pd.Series(pd.NaT, index=column.index, dtype="datetime64[us, UTC]")
    elif types.is_datetime64_any_dtype(column.dtype):
        times = column
    else:
        times = pd.to_datetime(column.astype(object), errors="coerce", utc=True, format="mixed")
    return times if times.dt.tz is None else times.dt.tz_convert("UTC").dt.tz_localize(None)


def take_part(times: pd.Series[Any], part: str) -> NDArray[np.float64]:
    """One part of each datetime as a number: month, day, weekday (Monday 0), hour, or days since 1970; nan for NaT."""
    if part == "days":
        return np.floor(np.asarray((times - _EPOCH) / pd.Timedelta(days=1), dtype=np.float64))
    return getattr(times.dt, part).to_numpy(np.float64, na_value=np.nan)  # type: ignore[no-any-return]
