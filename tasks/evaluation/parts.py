"""Parts of the rows, told by their columns: the slices that are declared, and groups of people."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.results import Condition
from tasks.stats.categories import as_text

Mask = NDArray[np.bool_]
FEW_NUMBERS = 10  # a column of numbers with at most so many different values is taken value by value
MOST_VALUES = 30  # of a category, by name; the others are one part
FEWEST_ROWS = 20  # of a value that is named: a rarer one may name a person
MISSING, OTHERS = "missing", "other values"


@dataclass(frozen=True)
class Part:
    """Rows that meet all of some conditions."""

    name: str
    conditions: tuple[Condition, ...]
    hidden: bool = False  # its values may not be shown or recorded

    @property
    def is_named(self) -> bool:
        """Whether it is one that the learned rows had: a value or a range of numbers, and no rest."""
        return not any(c.missing or (c.value is None and c.low is None and c.high is None) for c in self.conditions)

    def find(self, frame: pd.DataFrame) -> Mask:
        """Which of the rows (n,) it holds."""
        return find_parts([self], frame)[0]

    def joined(self, other: Part) -> Part:
        """The rows that both hold."""
        hidden = self.hidden or other.hidden
        return Part(f"{self.name} and {other.name}", (*self.conditions, *other.conditions), hidden)


def cut_column(learned: pd.Series[Any], column: str, quantiles: int, hide: bool = False) -> tuple[Part, ...]:
    """The parts that a column cuts rows into, read off the rows that a model learned from (n,).

    Numbers and times are cut at quantiles where they take more than FEW_NUMBERS values; else each value is a part, the
    commonest MOST_VALUES that FEWEST_ROWS have. All other values, also those that come later, and rows without a value
    are parts too, so that no row is in none. With `hide` parts are called by number, and not by their values.
    """
    parts = _cut(learned, column, quantiles)
    return (
        tuple(replace(p, name=f"{column}: group {i}", hidden=True) for i, p in enumerate(parts, 1)) if hide else parts
    )


def _cut(learned: pd.Series[Any], column: str, quantiles: int) -> tuple[Part, ...]:
    missing = (Part(f"{column} is missing", (Condition(column, missing=True),)),)
    numbers = read_numbers(learned)
    if numbers is not None:
        known = numbers[np.isfinite(numbers)]
        if len(np.unique(known)) > FEW_NUMBERS:
            edges = np.unique(np.quantile(known, np.arange(1, quantiles) / quantiles, method="inverted_cdf"))
            return (*_cut_numbers(column, edges[edges < known.max()].tolist()), *missing)
    counts = pd.Series(as_text(learned)).value_counts()
    named = counts.index[counts >= FEWEST_ROWS].tolist()[:MOST_VALUES]
    values = tuple(Part(f"{column} = {value}", (Condition(column, value=value),)) for value in sorted(named))
    others = Part(f"{column}: {OTHERS}", (Condition(column, others=tuple(sorted(named))),))
    return (*values, others, *missing)


def cross(one: Sequence[Part], other: Sequence[Part]) -> tuple[Part, ...]:
    """Every part of one cut within every part of another."""
    return tuple(a.joined(b) for a in one for b in other)


def find_parts(parts: Sequence[Part], frame: pd.DataFrame) -> list[Mask]:
    """Which of the rows (n,) each of the parts holds; every column is read once."""
    read: dict[str, _Values] = {}
    found = []
    for part in parts:
        met = np.ones(len(frame), bool)
        for condition in part.conditions:
            if condition.column not in read:
                read[condition.column] = _Values(frame[condition.column])
            met &= read[condition.column].meets(condition)
        found.append(met)
    return found


class _Values:
    """A column's values as conditions ask for them: as numbers, and as codes of their texts."""

    def __init__(self, values: pd.Series[Any]) -> None:
        self._values = values
        self._missing = np.asarray(values.isna())

    @cached_property
    def _numbers(self) -> NDArray[np.float64] | None:
        return read_numbers(self._values)

    @cached_property
    def _texts(self) -> tuple[NDArray[np.int64], dict[Any, int]]:
        codes, distinct = pd.factorize(as_text(self._values))
        return codes.astype(np.int64), {text: code for code, text in enumerate(distinct)}

    def meets(self, condition: Condition) -> Mask:
        """Which values (n,) meet a condition."""
        if condition.missing:
            return self._missing
        if condition.low is not None or condition.high is not None:
            numbers = self._numbers
            if numbers is None:
                return np.zeros(len(self._missing), bool)
            above = np.ones(len(numbers), bool) if condition.low is None else numbers > condition.low
            return above & (~np.isnan(numbers) if condition.high is None else numbers <= condition.high)
        codes, known = self._texts
        if condition.value is not None:
            return np.asarray(codes == known.get(condition.value, -2))
        named = [known[text] for text in condition.others if text in known]
        return ~self._missing & ~np.isin(codes, named)


def read_numbers(values: pd.Series[Any]) -> NDArray[np.float64] | None:
    """Numbers as floats (n,), nan where missing; times in seconds since 1970; None for anything else."""
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype):
        return None
    if pd.api.types.is_datetime64_any_dtype(dtype):
        seconds = (pd.to_datetime(values, utc=True) - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
        return np.asarray(seconds, np.float64)
    if pd.api.types.is_numeric_dtype(dtype):
        return values.to_numpy(np.float64, na_value=np.nan)
    return None


def _cut_numbers(column: str, edges: Sequence[float]) -> tuple[Part, ...]:
    ends: list[float | None] = [None, *edges, None]
    return tuple(
        Part(_name_range(column, low, high), (Condition(column, low=low, high=high),))
        for low, high in itertools.pairwise(ends)
        if low is not None or high is not None
    )


def _name_range(column: str, low: float | None, high: float | None) -> str:
    if low is None:
        return f"{column} up to {high:g}"
    return f"{column} above {low:g}" if high is None else f"{column} above {low:g} up to {high:g}"
