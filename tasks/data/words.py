"""Words about labels: who says what of which row, and when; and what holds once all of them are heard.

The last word by time wins. Different words at the same time contradict each other: then none holds, until a later one
settles it. An empty word takes back what was said before. Neither order nor repetition of words matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.data.fingerprint import hash_rows

WITHDRAWN, CONTRADICTED = 0, -1  # as codes of labels; what was said has a positive one
_LARGEST = 2.0**63


@dataclass(frozen=True)
class Words:
    """What was said about some rows, in no order: arrays (n,)."""

    row: NDArray[np.int64]
    at: NDArray[np.int64]  # microseconds since 1970
    code: NDArray[np.int64]  # position in `texts`; 0 is the empty word
    texts: tuple[str, ...]

    def until(self, moment: int) -> Words:
        """Those that were said by then."""
        heard = self.at <= moment
        return Words(self.row[heard], self.at[heard], self.code[heard], self.texts)


@dataclass(frozen=True)
class Changes:
    """What holds of each row from a moment on, in the order of rows and moments: arrays (n,)."""

    row: NDArray[np.int64]
    at: NDArray[np.int64]
    code: NDArray[np.int64]  # as in `Words`, or CONTRADICTED

    @property
    def before(self) -> NDArray[np.int64]:
        """What held of the row until then, as codes."""
        earlier = np.concatenate([[WITHDRAWN], self.code[:-1]])
        return np.where(self.first, WITHDRAWN, earlier)

    @property
    def first(self) -> NDArray[np.bool_]:
        """Whether it is the row's first change."""
        return np.concatenate([[True], self.row[1:] != self.row[:-1]]) if len(self.row) else np.zeros(0, bool)

    @property
    def last(self) -> NDArray[np.bool_]:
        """Whether it is the row's last change."""
        return np.concatenate([self.row[1:] != self.row[:-1], [True]]) if len(self.row) else np.zeros(0, bool)

    @property
    def until(self) -> NDArray[np.int64]:
        """The moment of the row's next change; where there is none, that of the change itself."""
        following = np.concatenate([self.at[1:], [0]]) if len(self.at) else self.at
        return np.where(self.last, self.at, following)


def gather_words(row: Sequence[int], at: Sequence[int], texts: Sequence[str]) -> Words:
    """Words with their texts as codes; an empty text is the empty word."""
    codes, distinct = pd.factorize(np.array(["", *texts], dtype=object))
    return Words(np.array(row, np.int64), np.array(at, np.int64), codes[1:].astype(np.int64), tuple(distinct))


def follow(words: Words) -> Changes:
    """What holds of each row, and from when on."""
    order = np.lexsort((words.code, words.at, words.row))
    row, at, code = words.row[order], words.at[order], words.code[order]
    if not len(row):
        return Changes(row, at, code)
    starts = np.flatnonzero(np.concatenate([[True], (row[1:] != row[:-1]) | (at[1:] != at[:-1])]))
    ends = np.append(starts[1:], len(row)) - 1
    said = Changes(row[starts], at[starts], np.where(code[starts] == code[ends], code[starts], CONTRADICTED))
    changed = said.code != said.before
    return Changes(said.row[changed], said.at[changed], said.code[changed])


def hash_words(ids: Sequence[str], labels: Sequence[str]) -> NDArray[np.uint64]:
    """A hash of each pair of id and label. Shape (n,)."""
    columns = [pa.array(ids, pa.string()), pa.array(labels, pa.string())]
    return hash_rows(pa.RecordBatch.from_arrays(columns, names=["id", "label"]), ["id", "label"])


def write_texts(array: pa.Array) -> pa.Array:
    """Values of one of the canonical kinds as text, the same whatever they arrive as: 5, 5.0 and "5" are one."""
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.string())
    if not pa.types.is_floating(kind):
        return array.cast(pa.string())
    floats = array.fill_null(float("nan")).to_numpy(zero_copy_only=False)
    whole = np.isfinite(floats) & (np.abs(floats) < _LARGEST)
    whole[whole] = floats[whole] == np.floor(floats[whole])
    as_whole = pa.array(np.where(whole, floats, 0).astype(np.int64)).cast(pa.string())
    as_float = pa.array([None if np.isnan(f) else repr(float(f)) for f in floats], pa.string())
    return pc.if_else(pa.array(whole), as_whole, as_float)


def read_texts(texts: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    """Values of a canonical type from the texts that `write_texts` makes of them."""
    array: Any = pa.array(texts, pa.string())
    if pa.types.is_boolean(kind):
        return pc.equal(array, "true")
    if pa.types.is_null(kind):
        return pa.nulls(len(array))
    return array.cast(kind)
