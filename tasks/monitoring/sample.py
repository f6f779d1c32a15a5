"""Bounded random samples of rows that stream by, the same however they are cut into chunks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.monitoring.sketch import mix


def priorities(positions: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A random number per row position (n,), decided by position and seed alone (the splitmix64 generator)."""
    with np.errstate(over="ignore"):
        x = positions.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x += np.uint64(seed) * np.uint64(0xD1342543DE82EF95) + np.uint64(0x632BE59BD9B4E019)
    return mix(x)


class RowSample:
    """The `limit` rows with the smallest priorities among all that were added; at most twice as many are held."""

    def __init__(self, limit: int, seed: int) -> None:
        self._limit = limit
        self._seed = seed
        self._parts: list[pd.DataFrame] = []
        self._ranks: list[NDArray[np.uint64]] = []
        self._bound = np.iinfo(np.uint64).max
        self.rows = 0  # how many were added

    def add(self, frame: pd.DataFrame, positions: NDArray[np.int64]) -> None:
        """Offer rows; `positions` (n,) name each row once and for all, such as its position in the batch."""
        self.rows += len(frame)
        ranks = priorities(positions, self._seed)
        kept = ranks <= self._bound
        if not kept.any() and self._parts:
            return
        self._parts.append(frame.loc[kept])
        self._ranks.append(ranks[kept])
        if sum(map(len, self._ranks)) > 2 * self._limit:
            self._shrink()

    def _shrink(self) -> None:
        ranks = np.concatenate(self._ranks)
        best = np.sort(np.argsort(ranks, kind="stable")[: self._limit])
        self._parts = [pd.concat(self._parts).iloc[best]]
        self._ranks = [ranks[best]]
        self._bound = self._ranks[0].max()

    def frame(self) -> pd.DataFrame:
        """The sampled rows in the order in which they came."""
        if not self._parts:
            return pd.DataFrame()
        if sum(map(len, self._ranks)) > self._limit:
            self._shrink()
        return pd.concat(self._parts) if len(self._parts) > 1 else self._parts[0]


class SpreadSample:
    """One random row of each of `limit` equal stretches of a table of `rows` rows, in its order; all of a smaller one.

    Rows are mostly in the order of time, so that every part of the period has its share (a systematic sample of
    random rows within strata).
    """

    def __init__(self, limit: int, seed: int, rows: int) -> None:
        self._strata = min(limit, max(rows, 1))
        self._expected = max(rows, 1)
        self._seed = seed
        self._parts: list[pd.DataFrame] = []
        self._ranks: list[NDArray[np.uint64]] = []
        self._of: list[NDArray[np.int64]] = []

    def add(self, frame: pd.DataFrame, positions: NDArray[np.int64]) -> None:
        """Offer rows; `positions` (n,) are theirs in the table, 0 to `rows` - 1."""
        ranks = priorities(positions, self._seed)
        of = np.minimum(positions * self._strata // self._expected, self._strata - 1)
        best = _first_of_each(of, ranks)
        self._parts.append(frame.iloc[best])
        self._ranks.append(ranks[best])
        self._of.append(of[best])
        if sum(map(len, self._of)) > 2 * self._strata + len(frame):
            self._shrink()

    def _shrink(self) -> None:
        of, ranks = np.concatenate(self._of), np.concatenate(self._ranks)
        best = _first_of_each(of, ranks)
        self._parts, self._ranks, self._of = [pd.concat(self._parts).iloc[best]], [ranks[best]], [of[best]]

    def frame(self) -> pd.DataFrame:
        """The sampled rows in the order in which they came."""
        if not self._parts:
            return pd.DataFrame()
        self._shrink()
        return self._parts[0]


def _first_of_each(of: NDArray[np.int64], ranks: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Per stratum the position of its smallest rank, ascending."""
    order = np.lexsort((ranks, of))
    firsts = order[np.flatnonzero(np.r_[True, of[order][1:] != of[order][:-1]])] if len(of) else order
    return np.sort(firsts)
