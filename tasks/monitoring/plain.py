"""Counters as the plain values of JSON, and back; KeyError, TypeError or ValueError for what was not written so."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import numpy as np

from tasks.monitoring.counts import FINE_CELLS, SIZE_CELLS, ColumnCounts, Counts, Runs
from tasks.monitoring.sketch import RowSketch
from tasks.stats.moments import Moments, read_units, write_units

SegmentCells = Mapping[str, Mapping[str, Mapping[str, Counts]]]  # segment column -> its value -> column -> cells


def write_counts(counts: ColumnCounts) -> dict[str, Any]:
    """A column's counters as plain values."""
    moments = counts.moments
    return {
        "kind": counts.kind,
        "rows": counts.rows,
        "missing": counts.missing,
        "cells": counts.cells.tolist(),
        "levels": counts.levels,
        "fine": _write_sparse(counts.fine),
        "sizes": _write_sparse(counts.sizes),
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


def read_counts(raw: Mapping[str, Any]) -> ColumnCounts:
    """What `write_counts` wrote."""
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


def _write_sparse(cells: Counts) -> list[list[int]]:
    filled = np.flatnonzero(cells)
    return [filled.tolist(), cells[filled].tolist()]


def _read_sparse(raw: Any, cells: int) -> Counts:
    made = np.zeros(cells, np.int64)
    made[raw[0]] = raw[1]
    return made


def write_segments(segments: SegmentCells) -> dict[str, Any]:
    """Rows per cell within parts as plain values."""
    return {
        column: {level: {name: cells.tolist() for name, cells in of.items()} for level, of in levels.items()}
        for column, levels in segments.items()
    }


def read_segments(raw: Mapping[str, Any]) -> SegmentCells:
    """What `write_segments` wrote."""
    return {
        column: {level: {name: np.array(cells, np.int64) for name, cells in of.items()} for level, of in levels.items()}
        for column, levels in raw.items()
    }


def write_sketch(sketch: RowSketch) -> dict[str, Any]:
    """A sketch of rows as plain values."""
    hashes = base64.b64encode(sketch.hashes.astype("<u8").tobytes()).decode()
    repeated = np.flatnonzero(sketch.counts > 1)
    return {"hashes": hashes, "repeated": [repeated.tolist(), sketch.counts[repeated].tolist()]}


def read_sketch(raw: Mapping[str, Any]) -> RowSketch:
    """What `write_sketch` wrote."""
    hashes = np.frombuffer(base64.b64decode(raw["hashes"]), "<u8").astype(np.uint64)
    counts = np.ones(len(hashes), np.int64)
    counts[raw["repeated"][0]] = raw["repeated"][1]
    return RowSketch(hashes, counts)
