"""How long labels take: the share of rows whose label is known, by the days that passed since their own time."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DELAYS = (0, 1, 2, 3, 7, 14, 30, 60, 90, 180, 365)  # days


@dataclass(frozen=True)
class LabelDelay:
    """How many rows of a window have their label, and how long that took.

    A label within so many days can be asked of rows that are that old only: each point of the curve is about these.
    """

    as_of: datetime | None = None  # None: every row is old enough
    rows: int = 0
    known: int = 0
    timed: int = 0  # rows with a time: the curve is of these
    old: tuple[int, ...] = (0,) * len(DELAYS)  # rows at least so many days old
    within: tuple[int, ...] = (0,) * len(DELAYS)  # of those, how many had their label after so many days

    def add(
        self,
        times: pd.Series[Any] | None,
        known: NDArray[np.bool_],
        said_at: pd.Series[Any] | None,
    ) -> LabelDelay:
        """With further rows: their times (UTC, may be missing), whether their labels are known, and since when.

        Shapes (n,). A known label without a moment counts as known from the beginning.
        """
        counted = dataclasses.replace(self, rows=self.rows + len(known), known=self.known + int(known.sum()))
        if times is None or not len(known):
            return counted
        there = times.notna().to_numpy()
        took = np.zeros(len(known)) if said_at is None else _days(said_at, times)
        took = np.where(np.isnan(took), 0.0, took)
        age = np.full(len(known), np.inf) if self.as_of is None else _days(pd.Series(self.as_of, times.index), times)
        asked = [there & (age >= days) for days in DELAYS]
        had = [old & known & (took <= days) for old, days in zip(asked, DELAYS, strict=True)]
        return dataclasses.replace(
            counted,
            timed=self.timed + int(there.sum()),
            old=tuple(n + int(rows.sum()) for n, rows in zip(self.old, asked, strict=True)),
            within=tuple(n + int(rows.sum()) for n, rows in zip(self.within, had, strict=True)),
        )

    @property
    def share(self) -> float:
        """Share of the rows whose label is known; nan without rows."""
        return self.known / self.rows if self.rows else math.nan

    @property
    def curve(self) -> tuple[tuple[int, int, float], ...]:
        """The delay in days, the rows that are that old, and the share of them whose label was known by then.

        It ends where no row is old enough, and with the first delay by which as many were known as ever are.
        """
        points = []
        for days, old, within in zip(DELAYS, self.old, self.within, strict=True):
            if not old:
                break
            points.append((days, old, within / old))
            if within == self.known and old == self.timed:
                break
        return tuple(points)


def _days(later: pd.Series[Any], earlier: pd.Series[Any]) -> NDArray[np.float64]:
    passed: pd.Series[Any] = later - earlier
    return np.asarray(passed.dt.total_seconds(), np.float64) / 86_400
