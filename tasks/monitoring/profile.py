"""The fixed-size summary of the rows that a champion learned from, and a window's counts against it.

A window is counted in one pass, by the reference's gauges; counts of parts add up to the counts of the whole, to the
last bit. With the reference stands how far each of its own batches lies from the others: what is natural.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.monitoring.counts import (
    FINE_CELLS,
    SIZE_CELLS,
    ColumnCounts,
    Counts,
    Gauge,
    Reading,
    Runs,
    column_kind,
    count_column,
    cut_gauge,
    empty_counts,
    hash_each_level,
    read_column,
    read_sizes,
    to_numbers,
    write_levels,
)
from tasks.monitoring.past import PastWindow
from tasks.monitoring.sketch import RowSketch, combine_hashes, mix
from tasks.stats.divergence import Cells, measure_distance, pool_levels
from tasks.stats.moments import Moments, read_units, write_units
from tasks.stats.personal import FEWEST_OF_A_VALUE

FORMAT = 2
NAMED_LEVELS = 200
SEGMENT_LEVELS = 10  # of a segment column: the largest, the others are not watched by themselves
PHASES = 48  # parts of a window's period, in which its rows are counted
KEPT_PARTS = 12  # batches of the reference whose counts are kept; of more, each is compared with the rest as it is
SegmentCells = Mapping[str, Mapping[str, Mapping[str, Counts]]]  # segment column -> its value -> column -> cells


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
                "columns": {name: _plain(counts) for name, counts in self.columns.items()},
                "prediction": _plain(self.prediction) if self.prediction else None,
                "label": _plain(self.label) if self.label else None,
                "segments": _plain_segments(self.segments),
                "sketch": _plain_sketch(self.sketch),
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
                "segments": _plain_segments(self.segments),
                "past": [p.to_plain() for p in self.past],
                "sketch": _plain_sketch(self.sketch),
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
                _read_segments(raw["segments"]),
                tuple(PastWindow.from_plain(p) for p in raw["past"]),
                _read_sketch(raw["sketch"]),
                raw["time"],
                {key: _read_part(part) for key, part in raw["parts"].items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"profile: not a profile that trueup wrote ({type(error).__name__}: {error}).") from None


PREDICTION, LABEL = "\0predictions", "\0labels"  # no column is called so


def name_segment(column: str, level: str, name: str) -> str:
    """What a column within a part is called, such as `origin=JFK: temp`."""
    return f"{column}={level}: {name}"


@dataclass(frozen=True)
class ReferenceRows:
    """Rows (n,) that a profile is made of: features and segment columns, labels, the batch of each row."""

    frame: pd.DataFrame
    features: tuple[str, ...]
    label: pd.Series[Any] | None = None
    batch: NDArray[np.int64] | None = None  # positions in `batches`
    batches: tuple[str, ...] = ()
    phases: NDArray[np.int64] | None = None
    time: str | None = None


def build_profile(
    rows: ReferenceRows,
    *,
    prediction: pd.Series[Any] | None = None,
    prediction_batch: NDArray[np.int64] | None = None,
    segments: Collection[str] = (),
    personal: Collection[str] = (),
    starts: Mapping[str, Any] | None = None,
) -> Profile:
    """The profile of reference rows.

    `prediction`: the champion's predictions on its test rows (probability of the positive class, value, or label),
    never on rows that it was fitted on, on which it looks surer than it is; `prediction_batch`: the batch of each.
    `personal`: columns of which no value is named. `starts`: the beginning of each batch.
    """
    frame = rows.frame
    columns = {}
    for name in rows.features:
        gauge = cut_gauge(frame[name], _name_levels(frame[name], name in personal), personal=name in personal)
        columns[name] = ColumnProfile(gauge, empty_counts(gauge), _count_singles(frame[name]))
    own = None if prediction is None else _empty_column(prediction, named=True)
    label = None if rows.label is None else _empty_column(rows.label, named=True)
    levels = {c: _choose_levels(frame[c], c in personal) for c in segments if c in frame}
    empty: SegmentCells = {c: {level: {} for level in found} for c, found in levels.items() if len(found) > 1}
    bare = Profile(columns, own, label, empty, time=rows.time)
    codes = rows.batch if rows.batch is not None else np.zeros(len(frame), np.int64)
    total, parts, facts = bare.nothing(), [], []
    earlier: dict[str, NDArray[np.uint32]] = {}
    for code in range(max(len(rows.batches), 1)):
        at = np.flatnonzero(codes == code)
        predicted = prediction
        if prediction is not None and prediction_batch is not None:
            predicted = prediction[prediction_batch == code]
        part = bare.count(
            frame.iloc[at],
            predicted if code == 0 or prediction_batch is not None else None,
            rows.label.iloc[at] if rows.label is not None else None,
            rows.phases[at] if rows.phases is not None else None,
        )
        total = total.then(part)
        parts.append(_slim(part))
        unseen = _find_unseen(frame.iloc[at], columns, earlier)
        facts.append((unseen, find_middles(part), part.sketch.repeated, part.gap))
    whole = Profile(
        {name: ColumnProfile(c.gauge, total.columns[name], c.singles) for name, c in columns.items()},
        ColumnProfile(own.gauge, total.prediction, own.singles) if own and total.prediction else None,
        ColumnProfile(label.gauge, total.label, label.singles) if label and total.label else None,
        total.segments,
        (),
        total.sketch,
        rows.time,
    )
    past: tuple[PastWindow, ...] = ()
    if len(parts) > 1:
        past = tuple(
            PastWindow(
                key,
                (starts or {}).get(key),
                part.rows,
                measure_pairs(whole.pair(part, within=True)),
                {name: counts.missing_share for name, counts in part.columns.items()},
                *of_part,
            )
            for key, part, of_part in zip(rows.batches, parts, facts, strict=True)
            if part.rows
        )
    kept = dict(zip(rows.batches, parts, strict=True)) if 1 < len(parts) <= KEPT_PARTS else {}
    return replace(whole, past=past, parts={key: part for key, part in kept.items() if part.rows})


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


def count_window(profile: Profile, parts: Iterable[pd.DataFrame]) -> WindowCounts:
    """The counts of a whole window by its features alone, one part in memory at a time."""
    total = profile.nothing()
    for frame in parts:
        total = total.then(profile.count(frame))
    return total


def pair_counts(
    reference: ColumnProfile, window: ColumnCounts, within: bool = False, instead: ColumnCounts | None = None
) -> Cells:
    """Rows per cell of both sides, missing last; `within` and `instead` as in `Profile.pair`. Values of a category are
    told apart by their name where all have few enough, chosen by both sides together: by the reference alone, the
    others would be too rare there by selection."""
    counts, none = reference.counts, empty_counts(reference.gauge)
    less, more = window if within else none, instead or none
    missing = counts.missing - less.missing + more.missing
    if counts.kind == "number" or counts.levels is None or window.levels is None or more.levels is None:
        a, b = counts.cells - less.cells + more.cells, window.cells
    else:
        left = {k: v - (less.levels or {}).get(k, 0) for k, v in counts.levels.items()}
        for level, rows in more.levels.items():
            left[level] = left.get(level, 0) + rows
        a, b = pool_levels(left, window.levels)
    return Cells(np.append(a, missing), np.append(b, window.missing), counts.kind == "number")


def _find_unseen(
    frame: pd.DataFrame, columns: Mapping[str, ColumnProfile], earlier: dict[str, NDArray[np.uint32]]
) -> dict[str, float]:
    """Per category the share of a batch's known values that no batch before it held; `earlier` is brought up to date.
    The first batch says nothing."""
    found = {}
    for name, column in columns.items():
        if column.gauge.known is None:
            continue
        codes, values = pd.factorize(frame[name])
        hashes = hash_each_level(values)
        known = codes[codes >= 0]
        if name in earlier and len(known):
            found[name] = float(np.mean(~np.isin(hashes, earlier[name])[known]))
        earlier[name] = np.union1d(earlier.get(name, np.empty(0, np.uint32)), hashes)
    return found


def _column_of(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    return frame[name] if name in frame else pd.Series(np.full(len(frame), np.nan), index=frame.index)


def _count(values: pd.Series[Any] | None, column: ColumnProfile | None) -> ColumnCounts | None:
    return None if values is None or column is None else count_column(values, column.gauge)


def _then(one: ColumnCounts | None, other: ColumnCounts | None) -> ColumnCounts | None:
    return one.then(other) if one is not None and other is not None else one if other is None else other


def _empty_column(values: pd.Series[Any], *, named: bool) -> ColumnProfile:
    gauge = cut_gauge(values, _name_levels(values, not named))
    return ColumnProfile(gauge, empty_counts(gauge), _count_singles(values))


def _name_levels(values: pd.Series[Any], personal: bool) -> frozenset[str]:
    """The values that may stand in a file by their names: those that enough rows have, the most frequent."""
    if personal or column_kind(values) == "number":
        return frozenset()
    codes, found = pd.factorize(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(found))
    order = np.argsort(-counts, kind="stable")[:NAMED_LEVELS]
    texts = write_levels(found)
    return frozenset(str(texts[i]) for i in order if counts[i] >= FEWEST_OF_A_VALUE)


def _count_singles(values: pd.Series[Any]) -> int:
    if column_kind(values) == "number":
        return 0
    codes, _ = pd.factorize(values)
    return int((np.bincount(codes[codes >= 0]) == 1).sum())


def _choose_levels(values: pd.Series[Any], personal: bool) -> tuple[str, ...]:
    """The largest parts by a column; none where their names are personal."""
    if personal:
        return ()
    codes, found = pd.factorize(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(found))
    order = np.argsort(-counts, kind="stable")[:SEGMENT_LEVELS]
    texts = write_levels(found)
    return tuple(sorted(str(texts[i]) for i in order if counts[i] >= FEWEST_OF_A_VALUE))


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
        **_plain(column.counts),
    }


def _plain(counts: ColumnCounts) -> dict[str, Any]:
    moments = counts.moments
    return {
        "kind": counts.kind,
        "rows": counts.rows,
        "missing": counts.missing,
        "cells": counts.cells.tolist(),
        "levels": counts.levels,
        "fine": _plain_sparse(counts.fine),
        "sizes": _plain_sparse(counts.sizes),
        "foreign": counts.foreign,
        "unseen": counts.unseen,
        "forms": counts.forms,
        # Of no numbers, the ends would be infinite.
        "moments": [moments.n, write_units(moments.total), write_units(moments.squares), moments.low, moments.high]
        if moments.n
        else None,
        "mean": moments.mean if moments.n else None,  # for people who read the file
        "runs": [str(v) if isinstance(v, float) else v for v in astuple(counts.runs)],
    }


def _read_column(raw: Mapping[str, Any]) -> ColumnProfile:
    known = None if raw["known"] is None else np.frombuffer(base64.b64decode(raw["known"]), "<u4").astype(np.uint32)
    gauge = Gauge(
        raw["kind"], tuple(raw["ends"]), float(raw["centre"]), float(raw["scale"]), frozenset(raw["named"]), known
    )
    return ColumnProfile(gauge, _read_counts(raw), int(raw["singles"]))


def _read_counts(raw: Mapping[str, Any]) -> ColumnCounts:
    known, longest, first, head, last, tail = raw["runs"]
    number = raw["kind"] == "number"
    moments = raw["moments"]
    return ColumnCounts(
        raw["kind"],
        int(raw["rows"]),
        int(raw["missing"]),
        np.array(raw["cells"], np.int64),
        raw["levels"],
        _read_sparse(raw["fine"], FINE_CELLS if number else 0),
        _read_sparse(raw["sizes"], SIZE_CELLS if number else 0),
        int(raw["foreign"]),
        int(raw["unseen"]),
        raw["forms"],
        Moments(moments[0], read_units(moments[1]), read_units(moments[2]), moments[3], moments[4])
        if moments
        else Moments(),
        Runs(known, longest, float(first), head, float(last), tail),
    )


def _slim(part: WindowCounts) -> WindowCounts:
    """What is kept of a batch of the reference: what it is compared by."""

    def less(counts: ColumnCounts | None) -> ColumnCounts | None:
        if counts is None:
            return None
        return ColumnCounts(counts.kind, counts.rows, counts.missing, counts.cells, counts.levels)

    columns = {name: less(counts) or counts for name, counts in part.columns.items()}
    return WindowCounts(columns, less(part.prediction), less(part.label), part.segments, rows=part.rows)


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
        "segments": _plain_segments(part.segments),
    }


def _read_part(raw: Mapping[str, Any]) -> WindowCounts:
    def read(counts: list[Any]) -> ColumnCounts:
        kind, rows, missing, cells, levels = counts
        return ColumnCounts(kind, int(rows), int(missing), np.array(cells, np.int64), levels)

    return WindowCounts(
        {name: read(counts) for name, counts in raw["columns"].items()},
        read(raw["prediction"]) if raw["prediction"] else None,
        read(raw["label"]) if raw["label"] else None,
        _read_segments(raw["segments"]),
        rows=int(raw["rows"]),
    )


def _plain_sparse(cells: Counts) -> list[list[int]]:
    filled = np.flatnonzero(cells)
    return [filled.tolist(), cells[filled].tolist()]


def _read_sparse(raw: Any, cells: int) -> Counts:
    made = np.zeros(cells, np.int64)
    made[raw[0]] = raw[1]
    return made


def _plain_segments(segments: SegmentCells) -> dict[str, Any]:
    return {
        column: {level: {name: cells.tolist() for name, cells in of.items()} for level, of in levels.items()}
        for column, levels in segments.items()
    }


def _read_segments(raw: Mapping[str, Any]) -> SegmentCells:
    return {
        column: {level: {name: np.array(cells, np.int64) for name, cells in of.items()} for level, of in levels.items()}
        for column, levels in raw.items()
    }


def _plain_sketch(sketch: RowSketch) -> dict[str, Any]:
    hashes = base64.b64encode(sketch.hashes.astype("<u8").tobytes()).decode()
    repeated = np.flatnonzero(sketch.counts > 1)
    return {"hashes": hashes, "repeated": [repeated.tolist(), sketch.counts[repeated].tolist()]}


def _read_sketch(raw: Mapping[str, Any]) -> RowSketch:
    hashes = np.frombuffer(base64.b64decode(raw["hashes"]), "<u8").astype(np.uint64)
    counts = np.ones(len(hashes), np.int64)
    counts[raw["repeated"][0]] = raw["repeated"][1]
    return RowSketch(hashes, counts)
