"""Parts of the rows, told by their columns: the slices that are declared, and groups of people."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
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

    def find(self, frame: pd.DataFrame) -> Mask:
        """Which of the rows (n,) it holds."""
        met = np.ones(len(frame), bool)
        for condition in self.conditions:
            met &= meets(condition, frame[condition.column])
        return met

    def joined(self, other: Part) -> Part:
        """The rows that both hold."""
        return Part(f"{self.name} and {other.name}", (*self.conditions, *other.conditions))


def cut_column(learned: pd.Series[Any], column: str, quantiles: int) -> tuple[Part, ...]:
    """The parts that a column cuts rows into, read off the rows that a model learned from (n,).

    Numbers and times are cut at quantiles where they take more than FEW_NUMBERS values; else each value is a part, the
    commonest MOST_VALUES that FEWEST_ROWS have, then all others. Rows without a value are a part where there are any.
    """
    missing = (Part(f"{column} is missing", (Condition(column, missing=True),)),) if learned.isna().any() else ()
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
    return (*values, *((others,) if len(named) < len(counts) else ()), *missing)


def cross(one: Sequence[Part], other: Sequence[Part]) -> tuple[Part, ...]:
    """Every part of one cut within every part of another."""
    return tuple(a.joined(b) for a in one for b in other)


def meets(condition: Condition, values: pd.Series[Any]) -> Mask:
    """Which values (n,) meet a condition."""
    if condition.missing:
        return np.asarray(values.isna())
    if condition.value is not None:
        return np.asarray(as_text(values) == condition.value, bool)
    if condition.low is not None or condition.high is not None:
        numbers = read_numbers(values)
        if numbers is None:
            return np.zeros(len(values), bool)
        above = np.ones(len(values), bool) if condition.low is None else numbers > condition.low
        return above & (~np.isnan(numbers) if condition.high is None else numbers <= condition.high)
    return np.asarray(~values.isna() & ~pd.Series(as_text(values)).isin(condition.others).to_numpy())


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
