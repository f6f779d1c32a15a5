"""A fingerprint of rows by their content: column names, types and values, whatever the file format or its cutting.

Each row is hashed on its own; the rows' hashes are added up in two lanes, so that fingerprints of parts can be
merged in any order and the same rows in another order, chunking or format give the same result. Columns are taken
in the order of their names. This detects change, not forgery.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.table import Kind, Schema

_MISSING = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLY = np.uint64(0x100000001B3)
_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Sum:
    """The mergeable part of a fingerprint: how many rows, and their hashes added up modulo 2**64 in two lanes."""

    rows: int = 0
    first: int = 0
    second: int = 0

    def plus(self, other: Sum) -> Sum:
        """The sum of both sets of rows."""
        return Sum(self.rows + other.rows, (self.first + other.first) & _MASK, (self.second + other.second) & _MASK)

    def digest(self, schema: Schema, columns: Sequence[str]) -> str:
        """32 hexadecimal digits that name the rows: their columns, types and values."""
        types = ";".join(f"{c!r}:{_type_name(schema.kind(c))}" for c in sorted(columns))
        text = f"{types}|{self.rows}|{self.first:016x}|{self.second:016x}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def hash_rows(batch: pa.RecordBatch, columns: Sequence[str]) -> NDArray[np.uint64]:
    """One 64-bit hash per row over `columns`, which are taken in the order of their names. Shape (rows,)."""
    total = np.zeros(batch.num_rows, np.uint64)
    with np.errstate(over="ignore"):
        for name in sorted(columns):
            total = _mix(total * _MULTIPLY + _hash_values(batch.column(name)))
    return total


def sum_rows(hashes: NDArray[np.uint64]) -> Sum:
    """The sum over rows of `hash_rows`."""
    return Sum(len(hashes), *(int(lane.sum(dtype=np.uint64)) for lane in split_lanes(hashes)))


def split_lanes(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """What each hash adds to the two lanes of a `Sum`: (n,) each, to be added up modulo 2**64."""
    with np.errstate(over="ignore"):
        return hashes, _mix(hashes ^ np.uint64(0xD6E8FEB86659FD93))


def sum_where(hashes: NDArray[np.uint64], mask: NDArray[np.bool_]) -> Sum:
    """The sum over the rows that `mask` selects."""
    return sum_rows(hashes[mask])


def _hash_values(array: pa.Array) -> NDArray[np.uint64]:
    """Missing values and NaN hash alike; 1 and 1.0 too, since CSV does not tell them apart."""
    kind = array.type
    missing = np.asarray(array.is_null())
    if pa.types.is_string(kind):
        values = pd.util.hash_array(array.fill_null("").to_numpy(zero_copy_only=False), categorize=True)
    elif pa.types.is_floating(kind):
        floats = array.fill_null(float("nan")).to_numpy(zero_copy_only=False)
        missing = missing | np.isnan(floats)
        whole = np.isfinite(floats) & (np.abs(floats) < 2.0**63)
        whole[whole] = floats[whole] == np.floor(floats[whole])
        bits = (floats + 0.0).view(np.uint64) ^ np.uint64(0xA5A5A5A5A5A5A5A5)
        bits[whole] = floats[whole].astype(np.int64).view(np.uint64)
        values = _mix(bits)
    elif pa.types.is_null(kind):
        values = np.zeros(len(array), np.uint64)
    else:
        as_int = array.cast(pa.int8()) if pa.types.is_boolean(kind) else array
        ints = pc.fill_null(as_int.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        values = _mix(ints.view(np.uint64))
    return np.where(missing, _MISSING, values)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed


def _type_name(kind: Kind | None) -> str:
    return {"integer": "number", "number": "number", None: "empty"}.get(kind, str(kind))
