"""The features of rows as numbers, whatever types they come in: what a small model of the champion's errors reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from tasks.stats.categories import as_text

LARGEST = 1e30  # what a float32 holds
UNSEEN = -1.0
FEW_TEXTS = 12


class FeatureCodes:
    """Learned from reference rows: numbers, flags and times stay numbers, texts are ranked.

    A text's place is that of the mean `miss` (n,) of rows that have it, how far the champion was off: so texts that
    are alike lie together. Where a column has so many texts that few rows tell of each, chance would rank them, and
    the mean `prediction` (n,) does. What was never seen comes first.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        features: Sequence[str],
        miss: NDArray[np.float64],
        prediction: NDArray[np.float64],
    ) -> None:
        self._features = tuple(features)
        self._ranks: dict[str, dict[str, float]] = {}
        for name in self._features:
            if not _is_number(frame[name]):
                texts = pd.Series(as_text(frame[name]), dtype=object)
                by = miss if texts.nunique() <= FEW_TEXTS else prediction
                means = pd.Series(by).groupby(texts.to_numpy()).mean()
                self._ranks[name] = {text: float(i) for i, text in enumerate(means.sort_values(kind="stable").index)}
        codes = self.encode(frame)
        known = np.isfinite(codes)
        self._lowest = np.where(known, codes, np.inf).min(axis=0, initial=np.inf)
        self._highest = np.where(known, codes, -np.inf).max(axis=0, initial=-np.inf)
        self._missing = ~known.all(axis=0)

    def encode(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """(n, features); nan for what is missing or no number. A column that is not there is missing throughout."""
        codes = np.full((len(frame), len(self._features)), np.nan)
        for place, name in enumerate(self._features):
            if name not in frame:
                continue
            if name in self._ranks:
                place_of, found = pd.factorize(frame[name])  # each text is looked up once
                ranks = [self._ranks[name].get(text, UNSEEN) for text in as_text(pd.Series(found))]
                codes[:, place] = np.append(ranks, np.nan)[place_of]  # a missing one has the place -1
            else:
                codes[:, place] = _as_numbers(frame[name])
        return codes

    def find_strange(self, codes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether a row (n,) has a value that lies beyond all those of the reference: a new text, a missing value where
        none was, a number outside of the range."""
        missing = np.isnan(codes)
        beyond = (codes < self._lowest) | (codes > self._highest)
        return np.asarray((np.where(missing, ~self._missing, beyond)).any(axis=1))


def _is_number(column: pd.Series[Any]) -> bool:
    dtype = column.dtype
    if types.is_numeric_dtype(dtype) or types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype):
        return True
    if not types.is_object_dtype(dtype):
        return False
    kind = types.infer_dtype(column, skipna=True)  # flags with missing values, and numbers of mixed kinds
    return kind in ("boolean", "integer", "floating", "mixed-integer-float", "decimal", "empty")


def _as_numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    """Float64, times and durations in seconds; nan for what is missing or none of these."""
    if types.is_datetime64_any_dtype(column.dtype):
        times = column if column.dt.tz is None else column.dt.tz_convert("UTC").dt.tz_localize(None)
        numbers = np.asarray((times - pd.Timestamp(0)).dt.total_seconds(), np.float64)
    elif types.is_timedelta64_dtype(column.dtype):
        numbers = np.asarray(column.dt.total_seconds(), np.float64)
    elif types.is_numeric_dtype(column.dtype):
        numbers = column.to_numpy(np.float64, na_value=np.nan)
    else:
        numbers = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isnan(numbers), np.nan, np.clip(numbers, -LARGEST, LARGEST))
