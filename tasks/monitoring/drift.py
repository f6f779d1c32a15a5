"""Which columns of a window drifted from the reference, and whether that is an alarm.

A column has drifted where its distance is worth a look, chance does not explain it (a permutation null at this
window's size, corrected over all that is watched), and the window stands out among comparable past ones by it. The
rates and their wording are those of `tasks.stats.alarms`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from tasks.config.monitoring import Monitor
from tasks.config.project import Data
from tasks.monitoring.past import PastWindow, Signal, choose_comparable
from tasks.monitoring.profile import LABEL, PREDICTION, Profile, WindowCounts
from tasks.stats.alarms import Budget, Finding, Promise, find_signal, persists, windows_per_year
from tasks.stats.divergence import compare_cells, count_draws, measure_distance
from tasks.stats.multiplicity import step_up

MOST_PARTS = 100  # columns within segments that are tested
FEWEST_ROWS = 30  # of a segment: fewer are not tested by themselves
UNDATED = "month"  # windows of files are taken for monthly where the budget is per year and nothing tells how often


@dataclass(frozen=True)
class ColumnDrift:
    """One thing that is watched, beside the reference.

    `distance`: PSI less what sampling alone gives. `p`: 1 where the distance is not worth a look; it was not tested
    then. `significant`: chance does not explain it. `drifted`: and it stands out among past windows.
    """

    distance: float
    p: float
    significant: bool
    drifted: bool


@dataclass(frozen=True)
class Drift:
    """What moved in a window.

    `watched` by name: columns, PREDICTION, LABEL, and columns within segments. `signal`: alarm for a drift that is
    new, continues for one that was an alarm before, signal where `persistence` asks for more windows. `since`: the
    first window of the drift. `comparable`: how many past windows it was compared with.
    """

    watched: Mapping[str, ColumnDrift]
    signal: Signal = "none"
    since: str | None = None
    promise: Promise | None = None
    within: frozenset[str] = field(default_factory=frozenset)  # names of `watched` that are columns within a segment

    @property
    def columns(self) -> dict[str, ColumnDrift]:
        """Of the features by themselves."""
        beside = {PREDICTION, LABEL} | self.within
        return {name: drift for name, drift in self.watched.items() if name not in beside}

    @property
    def drifted(self) -> tuple[str, ...]:
        """The features that drifted, the furthest first."""
        return _furthest(self.columns)

    @property
    def segments(self) -> tuple[str, ...]:
        """The columns within segments that drifted, the furthest first."""
        return _furthest({name: d for name, d in self.watched.items() if name in self.within})


def find_drift(
    profile: Profile,
    window: WindowCounts,
    key: str,
    start: datetime | None,
    past: Sequence[PastWindow],
    data: Data,
    monitor: Monitor,
    seed: int,
) -> Drift:
    """What drifted. `past`: the reference's own batches and the windows before this one under the same version, in
    their order, without broken ones."""
    pairs = {
        name: cells
        for name, cells in profile.pair(window).items()
        if min(cells.rows) >= (FEWEST_ROWS if name not in profile.columns else 1)
    }
    names = list(pairs)
    promise = make_promise(data, monitor, 0)
    alpha = promise.alpha
    distances = np.array([measure_distance(cells) for cells in pairs.values()])
    worth = distances >= monitor.smallest_drift
    within = {name for name in names if name not in profile.columns and name not in (PREDICTION, LABEL)}
    tested = _choose_tests(names, distances, worth, within)
    draws = count_draws(len(names), alpha)
    p = np.array([compare_cells(pairs[name], draws, seed + at) if tested[at] else 1.0 for at, name in enumerate(names)])
    significant = step_up(p, alpha) & worth
    comparable = choose_comparable(past, start, data.cut, data.zone, promise.needed)
    promise = make_promise(data, monitor, len(comparable))
    signal, since, found = _judge(names, within, distances, significant, comparable, past, alpha, monitor, key)
    watched = {
        name: ColumnDrift(float(distances[at]), float(p[at]), bool(significant[at]), bool(found[at]))
        for at, name in enumerate(names)
    }
    return Drift(watched, signal, since, promise, frozenset(within))


def _choose_tests(
    names: Sequence[str], distances: np.ndarray, worth: np.ndarray, within: Collection[str]
) -> NDArray[np.bool_]:
    """What is tested: all that is worth a look, of the columns within segments the furthest only. What is not counts
    as no drift, which errs on the safe side."""
    parts = np.array([name in within for name in names], bool)
    tested = worth & ~parts
    order = np.argsort(-distances, kind="stable")
    furthest = [at for at in order if parts[at] and worth[at]][:MOST_PARTS]
    tested[furthest] = True
    return np.asarray(tested, bool)


def make_promise(data: Data, monitor: Monitor, past: int) -> Promise:
    """What may be promised with so many comparable past windows."""
    budget = Budget.read(monitor.false_alarms)
    yearly = windows_per_year(data.cut) or windows_per_year(UNDATED)
    return Promise(budget, budget.find_alpha(yearly), past)


def _judge(
    names: Sequence[str],
    within: Collection[str],
    distances: np.ndarray,
    significant: np.ndarray,
    comparable: Sequence[PastWindow],
    past: Sequence[PastWindow],
    alpha: float,
    monitor: Monitor,
    key: str,
) -> tuple[Signal, str | None, np.ndarray]:
    """The signal, since when, and which of `names` make it.

    Columns and parts of the rows are ranked apart: parts are many and small, and would hide a column behind them. Both
    together keep the rate where each has half of it; until there are windows enough for that, parts only show where a
    drift sits.
    """
    table = np.array([[w.distances.get(name, math.nan) for name in names] for w in comparable]).reshape(
        len(comparable), len(names)
    )
    episode: set[str] = set()
    for window in reversed(past):
        if window.signal == "none":
            break
        episode.add(window.key)
    before = past[-1].drifted if episode else ()
    carried = np.array([name in before for name in names], bool)
    least, last = (int(part) for part in monitor.persistence.split(" of "))
    # A window that waits for others to confirm it is none that these have to exceed.
    waiting = {w.key for w in past[len(past) - last + 1 :] if w.signal == "signal"} if last > 1 else set()
    kept = np.array([w.key not in waiting for w in comparable], bool)
    of_episode = np.array([w.key in episode for w in comparable], bool)[kept]
    part = np.array([name in within for name in names], bool)
    shared = bool(part.any()) and len(comparable) + 1 >= 2 / alpha

    def look(which: NDArray[np.bool_]) -> Finding:
        return find_signal(
            distances[which],
            table[kept][:, which],
            significant[which],
            alpha / 2 if shared else alpha,
            carried=carried[which],
            episode=of_episode,
        )

    columns, parts = look(~part), look(part)
    found = np.zeros(len(names), bool)
    found[~part], found[part] = columns.columns, parts.columns
    told = [f for f in ((columns, parts) if shared else (columns,)) if f.signal != "none"]
    if not told:
        return "none", None, np.zeros(len(names), bool)
    if all(f.signal == "new" for f in told):
        episode = set()
    moved, since = {name for name, out in zip(names, found, strict=True) if out}, key
    for window in reversed(past):
        if window.key not in episode or not moved & set(window.drifted):
            break
        since = window.key
    if not persists([*(w.signal != "none" for w in past), True], least, last):
        return "signal", since, found
    said_before = any(w.signal in ("alarm", "continues") for w in past if w.key in episode)
    fresh = any(f.news.any() for f in told) or not said_before
    return ("alarm" if fresh else "continues"), since, found


def _furthest(drifts: Mapping[str, ColumnDrift]) -> tuple[str, ...]:
    return tuple(sorted((n for n, d in drifts.items() if d.drifted), key=lambda n: (-drifts[n].distance, n)))
