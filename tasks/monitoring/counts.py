"""Counters of one column: of fixed size, computed in one pass, and the same to the last bit however rows are cut.

A gauge, cut from the reference, says how a column is counted. What it counts can be added up over parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.monitoring.sketch import mix
from tasks.stats.categories import as_text
from tasks.stats.moments import Moments

ColumnKind = Literal["number", "category"]
Form = Literal["number", "boolean", "time", "text"]
MAX_BINS = 20
MAX_LEVELS = 200  # a column with more distinct values is tested in hashed cells only
MAX_KNOWN = 20_000  # beyond, a value that is new cannot be told from one that is rare
HASH_CELLS = 32
LINEAR, PER_UNIT = 4, 32  # the fine grid: cells of 1/32 standard deviation up to 4 from the median; beyond them
PER_OCTAVE, OCTAVES = 16, 60  # 16 cells for each doubling
_STRAIGHT = LINEAR * PER_UNIT
FINE_HALF = _STRAIGHT + PER_OCTAVE * OCTAVES
FINE_CELLS = 2 * FINE_HALF + 1
SIZES_PER_OCTAVE, LEAST_OCTAVE, MOST_OCTAVE = 32, -64, 64  # the grid of sizes, whatever the sign: 2% apart
SIZE_CELLS = SIZES_PER_OCTAVE * (MOST_OCTAVE - LEAST_OCTAVE)
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Gauge:
    """How a column is counted.

    `ends`: upper ends of a number's bins. `centre`, `scale`: of its fine grid. `named`: the values of a category that
    may stand in a file by name; all others stand there as a hash. `known`: hashes of all values of the reference,
    ascending, None where there are more than MAX_KNOWN.
    """

    kind: ColumnKind
    ends: tuple[float, ...] = ()
    centre: float = 0.0
    scale: float = 1.0
    named: frozenset[str] = frozenset()
    known: NDArray[np.uint32] | None = None

    @property
    def cells(self) -> int:
        """How many cells it has, without the one for missing values."""
        return len(self.ends) + 1 if self.kind == "number" else HASH_CELLS


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


def _no_cells() -> Counts:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class ColumnCounts:
    """What was seen in one column.

    `cells`: rows per bin of a number, or per hashed cell of a category. `levels`: rows per value of a category, by its
    name or its hash; None once there are more than MAX_LEVELS. `fine`: rows per cell of a number's fine grid, from
    which quantiles are read; `sizes`: rows per cell of the grid of their sizes, which a change of unit shifts.
    `foreign`: values that are no number where numbers are counted; they are among the missing. `unseen`: rows whose
    value the reference never held. `forms`: rows per type that the values arrived in.
    """

    kind: ColumnKind
    rows: int
    missing: int
    cells: Counts
    levels: Mapping[str, int] | None = None
    fine: Counts = field(default_factory=_no_cells)
    sizes: Counts = field(default_factory=_no_cells)
    foreign: int = 0
    unseen: int = 0
    forms: Mapping[str, int] = field(default_factory=dict)
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
    def unseen_share(self) -> float:
        """Share of known values that the reference never held; 0 where none is known."""
        return self.unseen / self.known if self.known else 0.0

    @property
    def constant(self) -> bool:
        """Whether all known values are the same."""
        return self.known > 0 and self.runs.longest == self.known

    def then(self, after: ColumnCounts) -> ColumnCounts:
        """Of these rows followed by others, counted by the same gauge."""
        return ColumnCounts(
            self.kind,
            self.rows + after.rows,
            self.missing + after.missing,
            self.cells + after.cells,
            unite_levels(self.levels, after.levels),
            self.fine + after.fine,
            self.sizes + after.sizes,
            self.foreign + after.foreign,
            self.unseen + after.unseen,
            {form: self.forms.get(form, 0) + after.forms.get(form, 0) for form in sorted({*self.forms, *after.forms})},
            self.moments.plus(after.moments),
            self.runs.then(after.runs),
        )


@dataclass(frozen=True)
class Reading:
    """The counters of some rows, and per row its cell (n,), the last one where missing, and its value's hash (n,)."""

    counts: ColumnCounts
    cells: NDArray[np.int64]
    hashes: NDArray[np.uint64]


def column_kind(values: pd.Series[Any]) -> ColumnKind:
    """Numbers and times are counted as numbers, all else as categories."""
    return "number" if find_form(values) in ("number", "time") else "category"


def find_form(values: pd.Series[Any]) -> Form:
    """The type that values arrived in."""
    dtype = values.dtype
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(dtype):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return "time"
    if pd.api.types.is_object_dtype(dtype) and pd.api.types.infer_dtype(values, skipna=True) == "boolean":
        return "boolean"
    return "text"


def to_numbers(values: pd.Series[Any]) -> NDArray[np.float64]:
    """As float64 (n,), nan where missing or not a number; times as seconds since 1970."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        seconds = (pd.to_datetime(values, utc=True) - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
        return np.asarray(seconds, np.float64)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(np.float64, na_value=np.nan)
    return pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)


def cut_gauge(reference: pd.Series[Any], named: frozenset[str] = frozenset(), *, personal: bool = False) -> Gauge:
    """How a column is counted, from the reference's values. `named`: values that may stand in a file by name.
    `personal`: their hashes may not either, from which it could be told who is among them."""
    if column_kind(reference) == "category":
        _, found = pd.factorize(reference)
        hashes = np.unique(hash_each_level(found)) if len(found) <= MAX_KNOWN and not personal else None
        return Gauge("category", named=named, known=hashes)
    numbers = to_numbers(reference)
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return Gauge("number")
    low, centre, high = np.quantile(known, [0.25, 0.5, 0.75])
    spread = (high - low) / 1.349 or float(known.std()) or abs(float(centre)) or 1.0
    scale = float(spread) if np.isfinite(spread) else 1.0
    return Gauge("number", cut_bins(reference), float(centre), scale)


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


def read_column(values: pd.Series[Any], gauge: Gauge) -> Reading:
    """Count some rows of a column; a value that is no number counts as missing in a column of numbers."""
    form = find_form(values)
    return _read_numbers(values, form, gauge) if gauge.kind == "number" else _read_levels(values, form, gauge)


def count_column(values: pd.Series[Any], gauge: Gauge) -> ColumnCounts:
    """The counters of some rows of a column; see `read_column`."""
    return read_column(values, gauge).counts


def empty_counts(gauge: Gauge) -> ColumnCounts:
    """The counters of no rows."""
    number = gauge.kind == "number"
    fine, sizes = (np.zeros(cells if number else 0, np.int64) for cells in (FINE_CELLS, SIZE_CELLS))
    return ColumnCounts(gauge.kind, 0, 0, np.zeros(gauge.cells, np.int64), None if number else {}, fine, sizes)


def read_quantiles(fine: Counts, gauge: Gauge, shares: Sequence[float]) -> NDArray[np.float64]:
    """Quantiles (len(shares),) of a number from its fine grid: true to 1/64 standard deviation near the median, and
    beyond 4 standard deviations to 3% of the distance from it. nan where nothing was counted."""
    total = fine.sum()
    if not total:
        return np.full(len(shares), np.nan)
    at = np.searchsorted(np.cumsum(fine), np.asarray(shares) * total, side="left").clip(0, FINE_CELLS - 1)
    step = np.abs(at - FINE_HALF).astype(np.float64)
    near = step / PER_UNIT
    far = LINEAR * 2.0 ** ((step - _STRAIGHT - 0.5) / PER_OCTAVE)
    values = gauge.centre + gauge.scale * np.sign(at - FINE_HALF) * np.where(step <= _STRAIGHT, near, far)
    return np.asarray(values, np.float64)


def read_sizes(sizes: Counts, shares: Sequence[float]) -> NDArray[np.float64]:
    """Quantiles (len(shares),) of a number's size, whatever its sign, true to 1%. nan where nothing was counted."""
    total = sizes.sum()
    if not total:
        return np.full(len(shares), np.nan)
    at = np.searchsorted(np.cumsum(sizes), np.asarray(shares) * total, side="left").clip(0, SIZE_CELLS - 1)
    return np.asarray(2.0 ** ((at + 0.5) / SIZES_PER_OCTAVE + LEAST_OCTAVE), np.float64)


def unite_levels(one: Mapping[str, int] | None, other: Mapping[str, int] | None) -> dict[str, int] | None:
    """Rows per level of both, None where there are too many."""
    if one is None or other is None:
        return None
    united = dict(one)
    for name, count in other.items():
        united[name] = united.get(name, 0) + count
    return united if len(united) <= MAX_LEVELS else None


def write_levels(found: Any) -> NDArray[np.object_]:
    """Different values as text: true and false, and a whole number the same whether it is 5 or 5.0."""
    values = pd.Series(found)
    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.infer_dtype(values, skipna=True) == "boolean":
        texts: NDArray[np.object_] = np.array(["true" if v else "false" for v in values], dtype=object)
        return texts
    return as_text(values)


def hash_each_level(found: Any) -> NDArray[np.uint32]:
    """A short hash (n,) of each of different values."""
    return _short(hash_texts(write_levels(found)))


def hash_texts(texts: NDArray[np.object_]) -> NDArray[np.uint64]:
    """A hash (n,) of each text, the same in every process."""
    if not len(texts):
        return np.empty(0, np.uint64)
    return np.asarray(pd.util.hash_array(texts, categorize=False), np.uint64)


def _read_numbers(values: pd.Series[Any], form: Form, gauge: Gauge) -> Reading:
    numbers = to_numbers(values)
    missing = np.isnan(numbers)
    known = numbers[~missing]
    places = np.searchsorted(np.asarray(gauge.ends), numbers, side="left")
    places[missing] = gauge.cells
    cells = np.bincount(places, minlength=gauge.cells + 1)
    foreign = int((missing & values.notna().to_numpy()).sum()) if form == "text" else 0
    counts = ColumnCounts(
        "number",
        len(numbers),
        int(missing.sum()),
        cells[:-1].astype(np.int64),
        None,
        np.bincount(_place(known, gauge), minlength=FINE_CELLS).astype(np.int64),
        np.bincount(_place_sizes(known), minlength=SIZE_CELLS).astype(np.int64),
        foreign,
        0,
        {form: len(known) + foreign} if len(known) + foreign else {},
        Moments.of(known),
        Runs.of(known),
    )
    return Reading(counts, places.astype(np.int64), mix((numbers + 0.0).view(np.uint64)))


def _place(known: NDArray[np.float64], gauge: Gauge) -> NDArray[np.int64]:
    """The cell of each number in the fine grid, its middle that of the centre."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        distance = (known - gauge.centre) / gauge.scale
        size = np.abs(distance)
        near = np.rint(size * PER_UNIT)
        far = _STRAIGHT + 1 + np.floor(np.log2(size / LINEAR) * PER_OCTAVE)
    step = np.where(size <= LINEAR, near, far)
    step = np.nan_to_num(step, nan=FINE_HALF, posinf=FINE_HALF).clip(0, FINE_HALF)
    placed: NDArray[np.int64] = (FINE_HALF + np.sign(distance) * step).astype(np.int64)
    return placed


def _place_sizes(known: NDArray[np.float64]) -> NDArray[np.int64]:
    """The cell of each number's size, 0 among the smallest."""
    with np.errstate(divide="ignore"):
        octave = np.log2(np.abs(known))
    cells = np.floor((octave - LEAST_OCTAVE) * SIZES_PER_OCTAVE)
    placed: NDArray[np.int64] = np.nan_to_num(cells, posinf=SIZE_CELLS).clip(0, SIZE_CELLS - 1).astype(np.int64)
    return placed


def _read_levels(values: pd.Series[Any], form: Form, gauge: Gauge) -> Reading:
    codes, found = pd.factorize(values)
    there = codes >= 0
    known = codes[there]
    texts = write_levels(found)
    per_level = np.bincount(known, minlength=len(texts))
    hashes = hash_texts(texts)
    short = _short(hashes)
    of_level = (hashes % HASH_CELLS).astype(np.int64)
    cells = np.bincount(of_level, per_level, HASH_CELLS).astype(np.int64)
    unseen = 0 if gauge.known is None else int(per_level[~np.isin(short, gauge.known)].sum())
    levels: dict[str, int] | None = {}
    if len(texts) > MAX_LEVELS and len(np.unique(short)) > MAX_LEVELS:
        levels = None
    else:
        levels = {}
        for text, number, count in zip(texts.tolist(), short.tolist(), per_level.tolist(), strict=True):
            token = text if text in gauge.named else f"#{number:08x}"
            levels[token] = levels.get(token, 0) + count
    counts = ColumnCounts(
        "category",
        len(codes),
        len(codes) - len(known),
        cells,
        levels,
        unseen=unseen,
        forms={form: len(known)} if len(known) else {},
        runs=Runs.of((hashes >> np.uint64(11)).astype(np.float64)[known]),  # 53 bits: exact as a float, and in JSON
    )
    places = np.append(of_level, HASH_CELLS)[codes]  # a missing value has the code -1, which takes the last
    return Reading(counts, places, np.append(hashes, np.uint64(0x9E3779B97F4A7C15))[codes])


def _short(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    return (hashes >> np.uint64(32)).astype(np.uint32)
