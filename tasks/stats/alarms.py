"""When a window's drift is an alarm, and what may be promised about false ones.

Two things have to hold. Chance does not explain a column's distance (`divergence`, corrected over the columns), so that
windows that do not differ by nature alarm at most at the rate that was asked for. And the window stands out among the
comparable past ones, by rank, so that windows that do differ by nature alarm at most once in one more than there are,
whatever their law, as long as their order does not matter. A drift that stays is one alarm.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Signal = Literal["new", "continues", "none"]

LEAST, MOST = 1e-4, 0.5  # of a window's alpha: rarer is not shown by anything, more often is no alarm
FLOOR = 0.05  # added to a column's usual distance: a column that never moves does not make a trifle stand out
_YEARLY = {"hour": 8_760.0, "day": 365.0, "week": 52.0, "month": 12.0}
_PERIODS = {"day": 365.0, "week": 52.0, "month": 12.0, "quarter": 4.0, "year": 1.0}  # how many make a year
_PER = re.compile(r"^(\d+(?:\.\d+)?) per (day|week|month|quarter|year)$")
_SHARE = re.compile(r"^(\d+(?:\.\d+)?)%$")


# ---------------------------------------------------------------- what is accepted


def windows_per_year(cut: str) -> float | None:
    """How many windows a year has, cut by hour, day, week or month; None for cuts that know no calendar."""
    return _YEARLY.get(cut)


@dataclass(frozen=True)
class Budget:
    """The false alarms that a person accepts: `alarms` per `period`, or of all windows that share where it is None."""

    alarms: float
    period: str | None

    @staticmethod
    def read(text: str) -> Budget:
        """Such as `1 per year` (day, week, month, quarter or year) or `5%`; ValueError for anything else."""
        per, share = _PER.match(text), _SHARE.match(text)
        if per:
            return Budget(float(per[1]), per[2])
        if share:
            return Budget(float(share[1]) / 100, None)
        raise ValueError(f"budget: `1 per year` or `5%` expected, found {text!r}")

    def find_alpha(self, yearly: float | None) -> float:
        """The chance of a false alarm that one window is given, of so many a year; within LEAST and MOST.

        ValueError for a budget per period of windows that know no calendar.
        """
        if self.period is None:
            return min(MOST, max(LEAST, self.alarms))
        if not yearly:
            raise ValueError("budget: alarms per period of windows of unknown length; state a share of windows, as 5%")
        return min(MOST, max(LEAST, self.alarms * _PERIODS[self.period] / yearly))

    def say(self, alpha: float) -> str:
        """Such as "1 false alarm a year", or "a false alarm in 1 window of 20"; the latter where alpha was cut."""
        if self.period is None or alpha in (LEAST, MOST):
            return f"a false alarm in {say_rate(alpha)}"
        return f"{self.alarms:g} false alarm{'' if self.alarms == 1 else 's'} a {self.period}"


def say_rate(rate: float) -> str:
    """A share of windows such as "1 window in 12", or "2.3% of windows" where that comes nearer."""
    one_in = round(1 / rate) if rate > 0 else 0
    if one_in and abs(1 / one_in - rate) <= 0.02 * rate:
        return "every window" if one_in == 1 else f"1 window in {one_in:,}"
    return f"{100 * rate:.2g}% of windows"


# ---------------------------------------------------------------- rank among past windows


@dataclass(frozen=True)
class Standing:
    """Where a window stands among comparable past ones.

    `scaled` (columns,): this window's distances over the usual ones. `score`: the largest. `past` (K,): scores of the
    past windows. `threshold`: what has to be exceeded. `columns` (columns,): which ones do by themselves.
    """

    scaled: Floats
    score: float
    past: Floats
    threshold: float
    columns: Flags

    @property
    def stands_out(self) -> bool:
        """Whether the window's score exceeds the threshold."""
        return bool(self.columns.any())


def rank_window(distances: Floats, past: Floats, alpha: float, floor: float = FLOOR) -> Standing:
    """Whether a window is further off than comparable past ones were.

    `distances` (columns,), `past` (K, columns): nan where a column was not there, which is left out. Each column is
    divided by its median over all K + 1 windows plus `floor`, so that this window is treated as the past ones are;
    a window's score is its largest. It stands out where fewer than r = max(1, floor(alpha (K + 1))) past ones reach
    it: in at most max(1/(K + 1), alpha) of windows whose order does not matter, whatever else is true of them. With
    no past window every one with a distance stands out. ValueError where the shapes do not match.
    """
    if past.ndim != 2 or distances.ndim != 1 or past.shape[1] != len(distances):
        raise ValueError(f"rank: (columns,) and (K, columns) expected, found {distances.shape} and {past.shape}")
    every = np.vstack([distances, past])
    scaled = every / (_median(every) + floor)
    scores = np.max(np.where(np.isnan(scaled), -np.inf, scaled), axis=1, initial=-np.inf)
    allowed = max(1, math.floor(alpha * len(every) + 1e-9))
    threshold = float(np.sort(scores[1:])[-allowed]) if allowed < len(every) else -math.inf
    return Standing(
        scaled[0], float(scores[0]), scores[1:], threshold, np.nan_to_num(scaled[0], nan=-np.inf) > threshold
    )


def _median(values: Floats) -> Floats:
    """Of each column without nan; 0 where there is nothing else."""
    ordered = np.sort(values, axis=0)  # nan last
    known = (~np.isnan(values)).sum(axis=0)
    columns = np.arange(values.shape[1])
    middle = ordered[np.maximum(known - 1, 0) // 2, columns] + ordered[known // 2, columns]
    return np.where(known > 0, middle / 2, 0.0)


# ---------------------------------------------------------------- episodes


@dataclass(frozen=True)
class Finding:
    """A window's signal, the columns (columns,) that make it, all False for "none", and those of them that are news."""

    signal: Signal
    columns: Flags
    news: Flags


def find_signal(
    distances: Floats,
    past: Floats,
    significant: Flags,
    alpha: float,
    *,
    carried: Flags,
    episode: Flags,
    floor: float = FLOOR,
) -> Finding:
    """Whether a window's drift is new, or one that still goes on.

    `distances` (columns,) and `past` (K, columns) as in `rank_window`; `significant` (columns,): distances that chance
    does not explain and that are worth a look. `carried` (columns,): those that made the signal of the window just
    before, none where it had none; `episode` (K,): the past windows of the episode that it is part of. A column is news
    where it is not carried and stands out among *all* past windows, those of episodes too, so that the rate of new
    ones is that of `rank_window`. One that is carried goes on while it stands out among the windows before the
    episode began.
    """
    # What is carried was far off in the window before; left out, it hides no other column behind it.
    others = np.where(carried, np.nan, distances), np.where(carried, np.nan, past)
    news = rank_window(*others, alpha, floor).columns & significant
    if not carried.any():
        return Finding("new" if news.any() else "none", news, news)
    going_on = rank_window(distances, past[~episode], alpha, floor).columns & significant & carried
    columns = going_on | news
    signal: Signal = "continues" if going_on.any() else "new" if news.any() else "none"
    return Finding(signal, columns, news)


def persists(signalled: Sequence[bool], least: int, last: int) -> bool:
    """Whether at least `least` of the `last` windows signalled; the newest is the last of the sequence."""
    return sum(signalled[-last:]) >= least


# ---------------------------------------------------------------- what is promised


@dataclass(frozen=True)
class Promise:
    """What can be said of a window's chance of a false alarm, with `past` comparable windows before it.

    `alpha` is what the budget gives a window.
    """

    budget: Budget
    alpha: float
    past: int

    @property
    def alike(self) -> float:
        """The most where windows do not differ among themselves by nature."""
        return self.alpha

    @property
    def differing(self) -> float | None:
        """The most where they do, and their order does not matter; None without a past window: nothing is promised."""
        return max(self.alpha, 1 / (self.past + 1)) if self.past else None

    @property
    def needed(self) -> int:
        """Comparable past windows that it takes to keep the budget in either case."""
        return math.ceil(1 / self.alpha - 1e-9) - 1

    @property
    def learning(self) -> bool:
        """Whether these are too few yet."""
        return self.past < self.needed

    def say(self) -> str:
        """The promise as a sentence without its full stop."""
        if not self.learning:
            return (
                f"at most {self.budget.say(self.alpha)} is expected, averaged over reference samples, for independent "
                f"rows; {self.past:,} comparable past windows hold it where windows differ by nature too, if their "
                "order does not matter"
            )
        plural = "" if self.past == 1 else "s"
        differing = (
            f"with {self.past:,} comparable past window{plural} up to {say_rate(self.differing)} may alarm falsely "
            "where windows differ by nature"
            if self.differing
            else "with no comparable past window nothing is promised where windows differ by nature"
        )
        return f"learning: {differing}, {say_rate(self.alpha)} where they do not; {self.needed:,} are needed"


def say_realised(alarms: int, windows: int, alpha: float) -> str:
    """Such as "3 alarms in 24 windows; the budget allows 2 false ones in so many"."""
    if not windows:
        return "no window yet"
    allowed = f"{alpha * windows:.1f}".removesuffix(".0")
    plural = "" if alarms == 1 else "s"
    return (
        f"{alarms:,} alarm{plural} in {windows:,} window{'' if windows == 1 else 's'}; "
        f"the budget allows {allowed} false one{'' if allowed == '1' else 's'} in so many"
    )
