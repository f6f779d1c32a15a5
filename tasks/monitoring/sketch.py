"""A bounded sketch of the rows of a delivery: how many of them are there twice, and which were delivered before.

The rows with the smallest hashes are a random sample of the *different* rows (a k-minimum-values sketch; Bar-Yossef
et al. 2002), each with how often it is there. Sketches merge, and do not depend on the order of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SKETCH_ROWS = 1_024


def _nothing() -> NDArray[np.uint64]:
    return np.empty(0, np.uint64)


@dataclass(frozen=True)
class RowSketch:
    """Hashes (k,) of different rows, ascending, the smallest of all, and how many rows have each."""

    hashes: NDArray[np.uint64] = field(default_factory=_nothing)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def plus(self, other: RowSketch) -> RowSketch:
        """Of both together."""
        return _sketch(np.concatenate([self.hashes, other.hashes]), np.concatenate([self.counts, other.counts]))

    @property
    def repeated(self) -> float:
        """Share of the rows that repeat another one; 0 where there are no rows."""
        rows = int(self.counts.sum())
        return 1 - len(self.hashes) / rows if rows else 0.0

    def shared_with(self, other: RowSketch) -> float:
        """Share of these different rows that are also among the other's; 0 where nothing can be said."""
        if not len(self.hashes) or not len(other.hashes):
            return 0.0
        # Below both ends each sketch has every row. A sketch of few rows may be all of them or a part of a larger one.
        both = self.hashes[self.hashes <= min(self.hashes[-1], other.hashes[-1])]
        return float(np.isin(both, other.hashes).mean()) if len(both) else 0.0

    @staticmethod
    def of(hashes: NDArray[np.uint64]) -> RowSketch:
        """Of rows by their hashes (n,)."""
        return _sketch(hashes, np.ones(len(hashes), np.int64))


def combine_hashes(columns: Sequence[NDArray[np.uint64]], rows: int) -> NDArray[np.uint64]:
    """One hash per row (n,) of its values' hashes, column by column in their order."""
    total = np.zeros(rows, np.uint64)
    with np.errstate(over="ignore"):
        for values in columns:
            total = mix((total * np.uint64(0x100000001B3)) ^ values)
    return total


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Bits spread over all places (the finalizer of splitmix64)."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed


def _sketch(hashes: NDArray[np.uint64], counts: NDArray[np.int64]) -> RowSketch:
    found, inverse = np.unique(hashes, return_inverse=True)
    totals = np.bincount(inverse, counts, len(found)).astype(np.int64)
    return RowSketch(found[:SKETCH_ROWS], totals[:SKETCH_ROWS])
