"""Which rows share a key that should be unique, over a whole batch that is never held.

Each row's key is kept as an 8-byte hash. Rows whose hashes meet are candidates; they are read once more, and Great
Expectations judges their real values, so that two different keys with one hash are never taken for a repeat.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tasks.table import TableRef

_NO_VALUE = np.uint64(0x9E3779B97F4A7C15)


class KeyHashes:
    """The hashes of one or more columns' values, collected batch by batch, in the order of the rows."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._hashes: list[NDArray[np.uint64]] = []
        self._known: list[NDArray[np.bool_]] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Take up the next rows. A row of which every key column is missing repeats nothing."""
        total = np.zeros(batch.num_rows, np.uint64)
        known = np.zeros(batch.num_rows, bool)
        for name in self.columns:
            hashes, valid = _hash(batch.column(name))
            total = total * np.uint64(31) + hashes
            known |= valid
        self._hashes.append(total)
        self._known.append(known)

    def checked(self) -> int:
        """Rows that have a key."""
        return int(sum(known.sum() for known in self._known))

    def candidates(self) -> NDArray[np.int64]:
        """Positions of rows whose key may be there twice; a superset of those where it is."""
        if not self._hashes:
            return np.empty(0, np.int64)
        positions = np.flatnonzero(np.concatenate(self._known))
        hashes = pd.Series(np.concatenate(self._hashes)[positions])
        return positions[hashes.duplicated(keep=False).to_numpy()].astype(np.int64)


def read_rows(table: TableRef, columns: Sequence[str], positions: NDArray[np.int64]) -> pd.DataFrame:
    """The values of some columns at some positions (sorted), exact: whole numbers stay whole beside missing ones."""
    frames = []
    start = 0
    for batch in table.record_batches(columns=list(columns)):
        first, last = np.searchsorted(positions, [start, start + batch.num_rows])
        if last > first:
            taken = batch.take(pa.array(positions[first:last] - start))
            frame = taken.to_pandas(integer_object_nulls=True)
            frame.index = pd.Index(positions[first:last])
            frames.append(frame.astype(object))
        start += batch.num_rows
    return pd.concat(frames) if frames else pd.DataFrame(columns=list(columns))


def _hash(array: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    valid = np.asarray(array.is_valid())
    if pa.types.is_null(array.type):
        return np.full(len(array), _NO_VALUE), valid
    if pa.types.is_string(array.type):
        values = np.asarray(array.fill_null("").to_pandas(), dtype=object)
    elif pa.types.is_timestamp(array.type):
        values = np.asarray(array.cast(pa.int64()).fill_null(0))
    elif pa.types.is_boolean(array.type):
        values = np.asarray(array.cast(pa.uint8()).fill_null(0))
    elif pa.types.is_floating(array.type):
        values = np.asarray(array.fill_null(np.nan)) + 0.0  # -0.0 equals 0.0 and must hash like it
        valid = valid & ~np.isnan(values)
    else:
        values = np.asarray(array.fill_null(0))
    hashes = pd.util.hash_array(values, categorize=True).astype(np.uint64)
    hashes[~valid] = _NO_VALUE
    return hashes, valid
