"""The profile of reference rows: gauges are cut from all of them, and each batch is counted beside the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.monitoring.counts import ColumnCounts, column_kind, cut_gauge, empty_counts, hash_each_level, write_levels
from tasks.monitoring.past import PastWindow
from tasks.monitoring.plain import SegmentCells
from tasks.monitoring.profile import ColumnProfile, Profile, WindowCounts, find_middles, measure_pairs
from tasks.stats.personal import FEWEST_OF_A_VALUE

NAMED_LEVELS = 200
SEGMENT_LEVELS = 10  # of a segment column: the largest, the others are not watched by themselves
KEPT_PARTS = 12  # batches of the reference whose counts are kept; of more, each is compared with the rest as it is


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


def _slim(part: WindowCounts) -> WindowCounts:
    """What is kept of a batch of the reference: what it is compared by."""

    def less(counts: ColumnCounts | None) -> ColumnCounts | None:
        if counts is None:
            return None
        return ColumnCounts(counts.kind, counts.rows, counts.missing, counts.cells, counts.levels)

    columns = {name: less(counts) or counts for name, counts in part.columns.items()}
    return WindowCounts(columns, less(part.prediction), less(part.label), part.segments, rows=part.rows)
