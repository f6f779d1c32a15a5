"""Counters of one column: of fixed size, computed in one pass, mergeable, and free of rare values' names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ColumnKind = Literal["number", "category"]
MAX_BINS = 20
MAX_LEVELS = 200  # a column with more distinct values is counted in hashed cells only, and its values are not named
HASH_CELLS = 32
MOST = 1e150  # the squares of larger numbers are none; they are counted, and left out of the moments


@dataclass(frozen=True)
class Runs:
    """How long a column stood still: runs of equal known values in the order of the rows. Merges in that order."""

    known: int = 0
    longest: int = 0
    first: float = 0.0
    head: int = 0  # length of the first run
    last: float = 0.0
    tail: int = 0

    def then(self, after: Runs) -> Runs:
        """The runs of these rows followed by others."""
        if not self.known or not after.known:
            return after if not self.known else self
        joined = self.last == after.first
        head = self.head + (after.head if joined and self.head == self.known else 0)
        tail = after.tail + (self.tail if joined and after.tail == after.known else 0)
        bridge = self.tail + after.head if joined else 0
        longest = max(self.longest, after.longest, bridge)
        return Runs(self.known + after.known, longest, self.first, head, after.last, tail)

    @staticmethod
    def of(values: NDArray[np.float64]) -> Runs:
        """The runs of known values in their order."""
        if not len(values):
            return Runs()
        starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
        lengths = np.diff(np.r_[starts, len(values)])
        return Runs(
            len(values), int(lengths.max()), float(values[0]), int(lengths[0]), float(values[-1]), int(lengths[-1])
        )


@dataclass(frozen=True)
class Moments:
    """Count, mean, sum of squared deviations, least and greatest of the finite numbers."""

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    def plus(self, other: Moments) -> Moments:
        """Of both together (Chan et al.'s update)."""
        if not self.n or not other.n:
            return other if not self.n else self
        n = self.n + other.n
        delta = other.mean - self.mean
        m2 = self.m2 + other.m2 + delta * delta * self.n * other.n / n
        mean = self.mean + delta * other.n / n
        return Moments(n, mean, m2, min(self.low, other.low), max(self.high, other.high))

    @staticmethod
    def of(values: NDArray[np.float64]) -> Moments:
        """Of some finite numbers."""
        if not len(values):
            return Moments()
        mean = float(values.mean())
        return Moments(len(values), mean, float(((values - mean) ** 2).sum()), float(values.min()), float(values.max()))


@dataclass(frozen=True)
class ColumnCounts:
    """What was seen in one column.

    `cells`: rows per bin of a number (the bins are the profile's), or per hashed cell of a category. `levels`: rows
    per value of a category; None once there are more than MAX_LEVELS.
    """

    kind: ColumnKind
    rows: int
    missing: int
    cells: NDArray[np.int64]
    levels: dict[str, int] | None
    moments: Moments = field(default_factory=Moments)
    runs: Runs = field(default_factory=Runs)

    @property
    def known(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def missing_share(self) -> float:
        """Share of rows without a value; 0 where there are no rows."""
        return self.missing / self.rows if self.rows else 0.0

    @property
    def constant(self) -> bool:
        """Whether all known values are the same."""
        return self.known > 0 and self.runs.longest == self.known

    def then(self, after: ColumnCounts) -> ColumnCounts:
        """Of these rows followed by others, with the same bins."""
        return ColumnCounts(
            self.kind,
            self.rows + after.rows,
            self.missing + after.missing,
            self.cells + after.cells,
            _united(self.levels, after.levels),
            self.moments.plus(after.moments),
            self.runs.then(after.runs),
        )


def column_kind(values: pd.Series[Any]) -> ColumnKind:
    """Numbers and times are counted as numbers, all else as categories."""
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype):
        return "category"
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_datetime64_any_dtype(dtype):
        return "number"
    return "category"


def to_numbers(values: pd.Series[Any]) -> NDArray[np.float64]:
    """As float64 (n,), nan where missing or not a number; times as seconds since 1970."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        seconds = (pd.to_datetime(values, utc=True) - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
        return np.asarray(seconds, np.float64)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(np.float64, na_value=np.nan)
    return pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)


def cut_bins(sample: pd.Series[Any]) -> tuple[float, ...]:
    """Upper ends of a number's bins, at most MAX_BINS - 1: each value by itself where they are few, else quantiles.

    Bin i holds values above end i-1 and up to end i; the last one all above.
    """
    known = to_numbers(sample)
    known = known[np.isfinite(known)]
    if not len(known):
        return ()
    distinct = np.unique(known)
    if len(distinct) < MAX_BINS:
        return tuple(distinct.tolist())
    shares = np.arange(1, MAX_BINS) / MAX_BINS
    return tuple(np.unique(np.quantile(known, shares, method="inverted_cdf")).tolist())


def count_column(values: pd.Series[Any], kind: ColumnKind, ends: Sequence[float]) -> ColumnCounts:
    """The counters of some rows of a column; a value that is no number counts as missing in a column of numbers."""
    return _count_numbers(to_numbers(values), ends) if kind == "number" else _count_levels(values)


def empty_counts(kind: ColumnKind, ends: Sequence[float]) -> ColumnCounts:
    """The counters of no rows."""
    cells = np.zeros(len(ends) + 1 if kind == "number" else HASH_CELLS, np.int64)
    return ColumnCounts(kind, 0, 0, cells, None if kind == "number" else {})


def _count_numbers(numbers: NDArray[np.float64], ends: Sequence[float]) -> ColumnCounts:
    known = numbers[~np.isnan(numbers)]
    cells = np.bincount(np.searchsorted(np.asarray(ends), known, side="left"), minlength=len(ends) + 1)
    moments = Moments.of(known[np.abs(known) < MOST])
    return ColumnCounts(
        "number", len(numbers), len(numbers) - len(known), cells.astype(np.int64), None, moments, Runs.of(known)
    )


def _count_levels(values: pd.Series[Any]) -> ColumnCounts:
    codes, found = pd.factorize(values)
    known = codes[codes >= 0]
    names = np.array([_text(v) for v in found], dtype=object)
    per_name = np.bincount(known, minlength=len(names))
    hashes = pd.util.hash_array(names, categorize=False) if len(names) else np.empty(0, np.uint64)
    cells = np.bincount((hashes % HASH_CELLS).astype(np.int64), per_name, HASH_CELLS).astype(np.int64)
    levels: dict[str, int] = {}
    for name, count in zip(names.tolist(), per_name.tolist(), strict=True):
        levels[name] = levels.get(name, 0) + count
    return ColumnCounts(
        "category",
        len(codes),
        len(codes) - len(known),
        cells,
        levels if len(levels) <= MAX_LEVELS else None,
        Moments(),
        Runs.of((hashes >> np.uint64(11)).astype(np.float64)[known]),  # 53 bits: exact as a float, and in JSON
    )


def _united(one: dict[str, int] | None, other: dict[str, int] | None) -> dict[str, int] | None:
    if one is None or other is None:
        return None
    united = dict(one)
    for name, count in other.items():
        united[name] = united.get(name, 0) + count
    return united if len(united) <= MAX_LEVELS else None


def _text(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    return str(value)
