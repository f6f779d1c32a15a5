"""The fixed-size summary of the rows that a champion learned from, and a window's counts against it.

Two passes make a profile: the first takes a bounded sample from which bins are cut, the second counts every row. A
window is counted in one pass, in the reference's bins; counts of parts merge to the counts of the whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import DataError
from tasks.monitoring.counts import (
    ColumnCounts,
    ColumnKind,
    Moments,
    Runs,
    column_kind,
    count_column,
    cut_bins,
    empty_counts,
)
from tasks.monitoring.sample import RowSample

FORMAT = 1
SAMPLE_ROWS = 20_000
Chunks = Callable[[], Iterable[pd.DataFrame]]
Part = tuple[pd.DataFrame, "pd.Series[Any] | None"]  # rows, and the predictions for those that were scored


@dataclass(frozen=True)
class ColumnProfile:
    """One column of the reference: its bins (upper ends; numbers only) and its counters."""

    ends: tuple[float, ...]
    counts: ColumnCounts


@dataclass(frozen=True)
class WindowCounts:
    """A window's counters per column, in the bins of the profile that it is compared with."""

    columns: Mapping[str, ColumnCounts]
    prediction: ColumnCounts | None = None

    def then(self, after: WindowCounts) -> WindowCounts:
        """The counts of these rows followed by others."""
        columns = {name: counts.then(after.columns[name]) for name, counts in self.columns.items()}
        if self.prediction is None or after.prediction is None:
            return WindowCounts(columns, self.prediction or after.prediction)
        return WindowCounts(columns, self.prediction.then(after.prediction))

    def to_json(self) -> str:
        """As text, to be kept beside the window's report."""
        columns = {name: _plain(counts) for name, counts in self.columns.items()}
        return json.dumps(
            {"format": FORMAT, "columns": columns, "prediction": _plain(self.prediction) if self.prediction else None}
        )


@dataclass(frozen=True)
class Profile:
    """The reference: feature columns of the training rows, and the champion's predictions on its test rows."""

    columns: Mapping[str, ColumnProfile]
    prediction: ColumnProfile | None = None

    def count(self, frame: pd.DataFrame, prediction: pd.Series[Any] | None = None) -> WindowCounts:
        """The counts of some rows of a window. A column that is not there counts as missing throughout.

        `prediction` holds the rows that were scored: as many as `frame`, or fewer, or None where nothing was.
        """
        columns = {}
        for name, column in self.columns.items():
            values = frame[name] if name in frame else pd.Series(np.full(len(frame), np.nan), index=frame.index)
            columns[name] = count_column(values, column.counts.kind, column.ends)
        if self.prediction is None or prediction is None:
            return WindowCounts(columns)
        return WindowCounts(columns, count_column(prediction, self.prediction.counts.kind, self.prediction.ends))

    def nothing(self) -> WindowCounts:
        """The counts of no rows."""
        return WindowCounts({n: empty_counts(c.counts.kind, c.ends) for n, c in self.columns.items()})

    def to_json(self) -> str:
        """As text, with the version of its form."""
        parts = {name: _plain_column(column) for name, column in self.columns.items()}
        prediction = _plain_column(self.prediction) if self.prediction else None
        return json.dumps({"format": FORMAT, "columns": parts, "prediction": prediction}, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> Profile:
        """Read a profile; DataError where it is none, or of a form that this version does not know."""
        try:
            raw = json.loads(text)
            if raw["format"] != FORMAT:
                raise DataError(
                    f"profile: expected form {FORMAT}, found {raw['format']!r}, written by another version of trueup. "
                    "Train again to have one of this version."
                )
            columns = {name: _read_column(part) for name, part in raw["columns"].items()}
            return Profile(columns, _read_column(raw["prediction"]) if raw["prediction"] else None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"profile: not a profile that trueup wrote ({type(error).__name__}: {error}).") from None


def column_kinds(frame: pd.DataFrame, features: Iterable[str]) -> dict[str, ColumnKind]:
    """How each feature is counted, by the type it has in the training rows."""
    return {name: column_kind(frame[name]) for name in features}


def count_window(profile: Profile, parts: Iterable[Part]) -> WindowCounts:
    """The counts of a whole window, one part in memory at a time."""
    total = profile.nothing()
    for frame, prediction in parts:
        total = total.then(profile.count(frame, prediction))
    return total


def build_profile(
    chunks: Chunks, kinds: Mapping[str, ColumnKind], *, prediction: pd.Series[Any] | None = None, seed: int = 0
) -> Profile:
    """The profile of reference rows. `chunks()` gives them from the start, and is called twice.

    `prediction`: the champion's predictions on its test rows (probability of the positive class, value, or label),
    never on rows that it was fitted on, on which it looks surer than it is.
    """
    sample = RowSample(SAMPLE_ROWS, seed)
    for chunk in chunks():
        positions = np.arange(sample.rows, sample.rows + len(chunk))
        sample.add(chunk[list(kinds)], positions)
    drawn = sample.frame()
    ends = {n: cut_bins(drawn[n]) if kind == "number" and len(drawn) else () for n, kind in kinds.items()}
    total = {name: empty_counts(kind, ends[name]) for name, kind in kinds.items()}
    for chunk in chunks():
        for name, kind in kinds.items():
            total[name] = total[name].then(count_column(chunk[name], kind, ends[name]))
    columns = {name: ColumnProfile(ends[name], total[name]) for name in kinds}
    return Profile(columns, None if prediction is None else _profile_column(prediction))


def _profile_column(values: pd.Series[Any]) -> ColumnProfile:
    kind = column_kind(values)
    ends = cut_bins(values) if kind == "number" else ()
    return ColumnProfile(ends, count_column(values, kind, ends))


def _plain_column(column: ColumnProfile) -> dict[str, Any]:
    return {"ends": list(column.ends), **_plain(column.counts)}


def _plain(counts: ColumnCounts) -> dict[str, Any]:
    moments = asdict(counts.moments) if counts.moments.n else None  # of no numbers, the ends would be infinite
    return {
        "kind": counts.kind,
        "rows": counts.rows,
        "missing": counts.missing,
        "cells": counts.cells.tolist(),
        "levels": counts.levels,
        "moments": moments,
        "runs": [str(v) if isinstance(v, float) else v for v in astuple(counts.runs)],
    }


def _read_column(raw: Mapping[str, Any]) -> ColumnProfile:
    known, longest, first, head, last, tail = raw["runs"]
    counts = ColumnCounts(
        raw["kind"],
        int(raw["rows"]),
        int(raw["missing"]),
        np.array(raw["cells"], np.int64),
        raw["levels"],
        Moments(**raw["moments"]) if raw["moments"] else Moments(),
        Runs(known, longest, float(first), head, float(last), tail),
    )
    return ColumnProfile(tuple(raw["ends"]), counts)
