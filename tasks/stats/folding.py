"""Sums per block of rows that stream by, in a table of bounded size: neighbours are folded into one as blocks multiply.

A block is numbered (a day by its date, a group by a hash of its name), and folding drops the last binary digit of all
numbers. How often that is needed depends on which blocks there are, and not on the order or the portions in which they
come; so the table is the same however rows are cut.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Counts = NDArray[np.int64]
MISSING = -1  # the number of a block whose name is not known


def number_blocks(names: NDArray[np.object_], *, days: bool) -> Counts:
    """The numbers of blocks with these names (n,): the days since 1970 of ISO dates, or hashes of texts."""
    codes, found = pd.factorize(names)
    if days:
        times = pd.to_datetime(pd.Series(found, dtype=object), errors="coerce", utc=True, format="ISO8601")
        since = (times - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(days=1)
        numbers = since.fillna(MISSING).to_numpy(np.int64)
    else:
        numbers = (pd.util.hash_array(found.astype(str).astype(object)) >> np.uint64(33)).astype(np.int64)
    return np.append(numbers, MISSING)[codes]  # a missing name has the code -1


class FoldedSums:
    """At most `limit` blocks with `width` whole numbers each."""

    def __init__(self, limit: int, width: int) -> None:
        self._limit, self._width = limit, width
        self._table: dict[int, Counts] = {}
        self.folds = 0

    def add(self, numbers: Counts, sum_blocks: Callable[[Counts, int], Counts]) -> None:
        """Offer rows that lie in the blocks `numbers` (n,). `sum_blocks(of_row, count)` gives the sums (count, width)
        of rows that lie in 0..count-1."""
        known = np.fromiter(self._table, np.int64, len(self._table)) if self._table else np.empty(0, np.int64)
        before, folded = self.folds, numbers >> self.folds
        while len(np.union1d(known, folded)) > self._limit:
            self.folds += 1
            known, folded = known >> 1, folded >> 1
        if self.folds > before:
            table, self._table = self._table, {}
            for number, sums in table.items():
                self._put(number >> (self.folds - before), sums)
        own, of_row = np.unique(folded, return_inverse=True)
        for number, sums in zip(own, sum_blocks(of_row.astype(np.int64), len(own)), strict=True):
            self._put(int(number), sums)

    def _put(self, number: int, sums: Counts) -> None:
        self._table[number] = self._table[number] + sums if number in self._table else sums.copy()

    def sums(self) -> Counts:
        """The sums of the blocks in the order of their numbers, (blocks, width)."""
        if not self._table:
            return np.zeros((0, self._width), np.int64)
        return np.stack([self._table[number] for number in sorted(self._table)])
