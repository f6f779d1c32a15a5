"""The fixed-size summary of the rows that a champion learned from, and a window's counts against it.

A window is counted in one pass, by the reference's gauges; counts of parts add up to the counts of the whole, to the
last bit. With the reference stands how far each of its own batches lies from the others: what is natural.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.monitoring.counts import (
    ColumnCounts,
    Counts,
    Gauge,
    Reading,
    count_column,
    empty_counts,
    read_column,
    read_sizes,
    to_numbers,
    write_levels,
)
from tasks.monitoring.past import PastWindow
from tasks.monitoring.plain import (
    SegmentCells,
    read_counts,
    read_segments,
    read_sketch,
    write_counts,
    write_segments,
    write_sketch,
)
from tasks.monitoring.sketch import RowSketch, combine_hashes, mix
from tasks.stats.divergence import Cells, measure_distance, pool_levels

FORMAT = 2
PHASES = 48  # parts of a window's period, in which its rows are counted


class OtherForm(DataError):
    """A profile that another version of trueup wrote."""


@dataclass(frozen=True)
class ColumnProfile:
    """One column of the reference: how it is counted, and its counters. `singles`: values that one row alone has."""

    gauge: Gauge
    counts: ColumnCounts
    singles: int = 0


@dataclass(frozen=True)
class WindowCounts:
    """A window's counters per column, by the gauges of the profile that it is compared with.

    `segments` holds rows per cell of a column, the last one where missing, for each watched part. `phases` are rows
    per 1/PHASES of the window's period; none where it has no period.
    """

    columns: Mapping[str, ColumnCounts]
    prediction: ColumnCounts | None = None
    label: ColumnCounts | None = None
    segments: SegmentCells = field(default_factory=dict)
    sketch: RowSketch = field(default_factory=RowSketch)
    phases: Counts = field(default_factory=lambda: np.zeros(PHASES, np.int64))
    rows: int = 0

    def then(self, after: WindowCounts) -> WindowCounts:
        """The counts of these rows followed by others."""
        return WindowCounts(
            {name: counts.then(after.columns[name]) for name, counts in self.columns.items()},
            _then(self.prediction, after.prediction),
            _then(self.label, after.label),
            {
                column: {
                    level: {name: cells + after.segments[column][level][name] for name, cells in of.items()}
                    for level, of in levels.items()
                }
                for column, levels in self.segments.items()
            },
            self.sketch.plus(after.sketch),
            self.phases + after.phases,
            self.rows + after.rows,
        )

    @property
    def gap(self) -> float:
        """Share of the period after its last row; 0 where it has no period."""
        filled = np.flatnonzero(self.phases)
        return float(PHASES - 1 - filled[-1]) / PHASES if len(filled) else 0.0

    def to_json(self) -> str:
        """As text, to be kept beside the window's report."""
        return json.dumps(
            {
                "format": FORMAT,
                "rows": self.rows,
                "columns": {name: write_counts(counts) for name, counts in self.columns.items()},
                "prediction": write_counts(self.prediction) if self.prediction else None,
                "label": write_counts(self.label) if self.label else None,
                "segments": write_segments(self.segments),
                "sketch": write_sketch(self.sketch),
                "phases": self.phases.tolist(),
            },
            allow_nan=False,
        )


@dataclass(frozen=True)
class Profile:
    """The reference: feature columns of the training rows and their labels, and the champion's predictions on its
    test rows. `past`: the reference's own batches, each beside the rest of it; `parts`: their counts, where they are
    few. `time`: the column of that name is no feature, but tells rows apart."""

    columns: Mapping[str, ColumnProfile]
    prediction: ColumnProfile | None = None
    label: ColumnProfile | None = None
    segments: SegmentCells = field(default_factory=dict)
    past: tuple[PastWindow, ...] = ()
    sketch: RowSketch = field(default_factory=RowSketch)
    time: str | None = None
    parts: Mapping[str, WindowCounts] = field(default_factory=dict)

    def count(
        self,
        frame: pd.DataFrame,
        prediction: pd.Series[Any] | None = None,
        label: pd.Series[Any] | None = None,
        phases: NDArray[np.int64] | None = None,
    ) -> WindowCounts:
        """The counts of some rows of a window. A column that is not there counts as missing throughout.

        `prediction` holds the rows that were scored, `label` those whose label is known: as many as `frame`, or
        fewer, or None where there are none. `phases` (n,): in which part of the period each row lies, -1 outside.
        """
        readings = {name: read_column(_column_of(frame, name), c.gauge) for name, c in self.columns.items()}
        hashes = [r.hashes for r in readings.values()]
        if self.time is not None and self.time in frame:
            hashes.append(mix(to_numbers(frame[self.time]).view(np.uint64)))
        inside = phases[phases >= 0] if phases is not None else np.empty(0, np.int64)
        return WindowCounts(
            {name: r.counts for name, r in readings.items()},
            _count(prediction, self.prediction),
            _count(label, self.label),
            {
                column: _count_segments(frame, column, levels, readings, self.columns)
                for column, levels in self.segments.items()
            },
            RowSketch.of(combine_hashes(hashes, len(frame))),
            np.bincount(inside, minlength=PHASES).astype(np.int64),
            len(frame),
        )

    def nothing(self) -> WindowCounts:
        """The counts of no rows."""
        return WindowCounts(
            {n: empty_counts(c.gauge) for n, c in self.columns.items()},
            segments={
                column: {
                    level: {n: np.zeros(c.gauge.cells + 1, np.int64) for n, c in self.columns.items()}
                    for level in levels
                }
                for column, levels in self.segments.items()
            },
        )

    def pair(
        self, window: WindowCounts, *, within: bool = False, instead: WindowCounts | None = None
    ) -> dict[str, Cells]:
        """All that is watched of a window beside the reference, by name: columns, `PREDICTION`, `LABEL`, and columns
        within segments (`name_segment`). `within`: the window is part of the reference, which stands without it, and
        with the rows of `instead` in its place."""
        own = instead or WindowCounts({})
        pairs = {n: pair_counts(c, window.columns[n], within, own.columns.get(n)) for n, c in self.columns.items()}
        for name, column, counts, other in (
            (PREDICTION, self.prediction, window.prediction, own.prediction),
            (LABEL, self.label, window.label, own.label),
        ):
            if column is not None and counts is not None:
                pairs[name] = pair_counts(column, counts, within, other)
        for column_name, levels in self.segments.items():
            for level, of in levels.items():
                for name, cells in of.items():
                    here = window.segments[column_name][level][name]
                    reference = cells - here if within else cells
                    if instead is not None:
                        reference = reference + instead.segments[column_name][level][name]
                    ordered = self.columns[name].gauge.kind == "number"
                    pairs[name_segment(column_name, level, name)] = Cells(reference, here, ordered)
        return pairs

    def past_beside(self, window: WindowCounts) -> tuple[PastWindow, ...]:
        """The reference's own batches as `window` is to be compared with them: each beside the rest of the reference
        with `window` in its place, so that all are treated alike (at three batches nothing else keeps the rate)."""
        beside = []
        for past in self.past:
            part = self.parts.get(past.key)
            if part is None:
                beside.append(past)
                continue
            # Where the rest has no rows of its own, the window would stand beside the batch by itself.
            told = {name for name, cells in self.pair(part, within=True).items() if min(cells.rows)}
            pairs = self.pair(part, within=True, instead=window)
            beside.append(replace(past, distances=measure_pairs({n: c for n, c in pairs.items() if n in told})))
        return tuple(beside)

    def to_json(self) -> str:
        """As text, with the version of its form."""
        return json.dumps(
            {
                "format": FORMAT,
                "columns": {name: _plain_column(column) for name, column in self.columns.items()},
                "prediction": _plain_column(self.prediction) if self.prediction else None,
                "label": _plain_column(self.label) if self.label else None,
                "segments": write_segments(self.segments),
                "past": [p.to_plain() for p in self.past],
                "sketch": write_sketch(self.sketch),
                "time": self.time,
                "parts": {key: _plain_part(part) for key, part in self.parts.items()},
            },
            allow_nan=False,
        )

    @staticmethod
    def from_json(text: str) -> Profile:
        """Read a profile; DataError where it is none, and OtherForm where this version does not know its form."""
        try:
            raw = json.loads(text)
            if raw["format"] != FORMAT:
                raise OtherForm(
                    f"profile: expected form {FORMAT}, found {raw['format']!r}, written by another version of trueup. "
                    "Train again to have one of this version."
                )
            return Profile(
                {name: _read_column(part) for name, part in raw["columns"].items()},
                _read_column(raw["prediction"]) if raw["prediction"] else None,
                _read_column(raw["label"]) if raw["label"] else None,
                read_segments(raw["segments"]),
                tuple(PastWindow.from_plain(p) for p in raw["past"]),
                read_sketch(raw["sketch"]),
                raw["time"],
                {key: _read_part(part) for key, part in raw["parts"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"profile: not a profile that trueup wrote ({type(error).__name__}: {error}).") from None


PREDICTION, LABEL = "\0predictions", "\0labels"  # no column is called so


def name_segment(column: str, level: str, name: str) -> str:
    """What a column within a part is called, such as `origin=JFK: temp`."""
    return f"{column}={level}: {name}"


def describe_window(profile: Profile, window: WindowCounts, key: str, start: Any = None) -> PastWindow:
    """What is kept of a window."""
    return PastWindow(
        key,
        start,
        window.rows,
        measure_pairs(profile.pair(window)),
        {name: counts.missing_share for name, counts in window.columns.items()},
        {name: counts.unseen_share for name, counts in window.columns.items()},
        find_middles(window),
        window.sketch.repeated,
        window.gap,
        sketch=window.sketch,
    )


def find_middles(window: WindowCounts) -> dict[str, float]:
    """The median size of each number, whatever its sign; none where no value is known."""
    return {
        name: float(read_sizes(counts.sizes, [0.5])[0])
        for name, counts in window.columns.items()
        if counts.kind == "number" and counts.known
    }


def measure_pairs(pairs: Mapping[str, Cells]) -> dict[str, float]:
    """The distance of each pair of which both sides have rows."""
    return {name: measure_distance(cells) for name, cells in pairs.items() if min(cells.rows)}


def pair_counts(
    reference: ColumnProfile, window: ColumnCounts, within: bool = False, instead: ColumnCounts | None = None
) -> Cells:
    """Rows per cell of both sides, missing last; `within` and `instead` as in `Profile.pair`. Values of a category are
    told apart by their name where all have few enough, chosen by both sides together: by the reference alone, the
    others would be too rare there by selection."""
    counts, a, b = reference.counts, reference.counts.cells, window.cells
    missing = counts.missing
    if within:
        a, missing = a - window.cells, missing - window.missing
    if instead is not None:
        a, missing = a + instead.cells, missing + instead.missing
    others = {} if instead is None else instead.levels
    if counts.kind == "category" and not (counts.levels is None or window.levels is None or others is None):
        left = {k: v - window.levels.get(k, 0) if within else v for k, v in counts.levels.items()}
        for level, rows in others.items():
            left[level] = left.get(level, 0) + rows
        a, b = pool_levels(left, window.levels)
    return Cells(np.append(a, missing), np.append(b, window.missing), counts.kind == "number")


def _column_of(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    return frame[name] if name in frame else pd.Series(np.full(len(frame), np.nan), index=frame.index)


def _count(values: pd.Series[Any] | None, column: ColumnProfile | None) -> ColumnCounts | None:
    return None if values is None or column is None else count_column(values, column.gauge)


def _then(one: ColumnCounts | None, other: ColumnCounts | None) -> ColumnCounts | None:
    return one.then(other) if one is not None and other is not None else one if other is None else other


def _count_segments(
    frame: pd.DataFrame,
    column: str,
    levels: Mapping[str, Any],
    readings: Mapping[str, Reading],
    columns: Mapping[str, ColumnProfile],
) -> dict[str, dict[str, Counts]]:
    codes, found = pd.factorize(_column_of(frame, column))
    place = {level: at for at, level in enumerate(levels)}
    of_level = np.array([*(place.get(str(t), len(levels)) for t in write_levels(found)), len(levels)], np.int64)
    part = of_level[codes]
    tables = {}
    for name, reading in readings.items():
        width = columns[name].gauge.cells + 1
        counts = np.bincount(part * width + reading.cells, minlength=(len(levels) + 1) * width)
        tables[name] = counts.reshape(len(levels) + 1, width).astype(np.int64)
    return {level: {name: table[at] for name, table in tables.items()} for level, at in place.items()}


def _plain_column(column: ColumnProfile) -> dict[str, Any]:
    gauge = column.gauge
    known = None if gauge.known is None else base64.b64encode(gauge.known.astype("<u4").tobytes()).decode()
    return {
        "ends": list(gauge.ends),
        "centre": gauge.centre,
        "scale": gauge.scale,
        "named": sorted(gauge.named),
        "known": known,
        "singles": column.singles,
        **write_counts(column.counts),
    }


def _read_column(raw: Mapping[str, Any]) -> ColumnProfile:
    known = None if raw["known"] is None else np.frombuffer(base64.b64decode(raw["known"]), "<u4").astype(np.uint32)
    gauge = Gauge(
        raw["kind"], tuple(raw["ends"]), float(raw["centre"]), float(raw["scale"]), frozenset(raw["named"]), known
    )
    return ColumnProfile(gauge, read_counts(raw), int(raw["singles"]))


def _plain_part(part: WindowCounts) -> dict[str, Any]:
    def plain(counts: ColumnCounts | None) -> list[Any] | None:
        if counts is None:
            return None
        return [counts.kind, counts.rows, counts.missing, counts.cells.tolist(), counts.levels]

    return {
        "rows": part.rows,
        "columns": {name: plain(counts) for name, counts in part.columns.items()},
        "prediction": plain(part.prediction),
        "label": plain(part.label),
        "segments": write_segments(part.segments),
    }


def _read_part(raw: Mapping[str, Any]) -> WindowCounts:
    def read(counts: list[Any]) -> ColumnCounts:
        kind, rows, missing, cells, levels = counts
        return ColumnCounts(kind, int(rows), int(missing), np.array(cells, np.int64), levels)

    return WindowCounts(
        {name: read(counts) for name, counts in raw["columns"].items()},
        read(raw["prediction"]) if raw["prediction"] else None,
        read(raw["label"]) if raw["label"] else None,
        read_segments(raw["segments"]),
        rows=int(raw["rows"]),
    )
