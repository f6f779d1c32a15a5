"""What is kept of a past window: how far it lay from the reference, so that natural variation is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np

from tasks.monitoring.sketch import RowSketch

KNOWN_ROWS = 64
Signal = Literal["none", "signal", "alarm", "continues"]
Cut = Literal["hour", "day", "week", "month", "file", "all"]


@dataclass(frozen=True)
class PastWindow:
    """One window, or one batch of the reference beside the rest of it.

    `distances` by what was watched (see `Profile.pair`); `missing` and `unseen` are shares by column, `middles` the
    median sizes of numbers; `repeated` the
    share of rows that repeat another, `gap` the share of the period after the last row. `signal`: what the drift rule
    said (always none for the reference), `since`: the first window of the drift that it is part of, `drifted`: what
    made the signal.
    """

    key: str
    start: datetime | None
    rows: int
    distances: Mapping[str, float]
    missing: Mapping[str, float] = field(default_factory=dict)
    unseen: Mapping[str, float] = field(default_factory=dict)
    middles: Mapping[str, float] = field(default_factory=dict)
    repeated: float = 0.0
    gap: float = 0.0
    signal: Signal = "none"
    since: str | None = None
    drifted: tuple[str, ...] = ()
    sketch: RowSketch = field(default_factory=RowSketch)  # a few of its rows, to know them again

    def to_plain(self) -> dict[str, Any]:
        """For JSON. Shares of 0 are left out."""
        return {
            "key": self.key,
            "start": self.start.isoformat() if self.start else None,
            "rows": self.rows,
            "distances": {k: round(v, 5) for k, v in self.distances.items()},
            "missing": {k: round(v, 6) for k, v in self.missing.items() if v},
            "unseen": {k: round(v, 6) for k, v in self.unseen.items() if v},
            "middles": {k: float(f"{v:.4g}") for k, v in self.middles.items()},
            "repeated": round(self.repeated, 5),
            "gap": round(self.gap, 4),
            "signal": self.signal,
            "since": self.since,
            "drifted": list(self.drifted),
            "sketch": [f"{h:016x}" for h in self.sketch.hashes[:KNOWN_ROWS].tolist()],
        }

    @staticmethod
    def from_plain(raw: Mapping[str, Any]) -> PastWindow:
        """What `to_plain` wrote; KeyError, TypeError or ValueError for anything else."""
        start = datetime.fromisoformat(raw["start"]) if raw["start"] else None
        hashes = np.array([int(h, 16) for h in raw["sketch"]], np.uint64)
        sketch = RowSketch(hashes, np.ones(len(hashes), np.int64))
        return PastWindow(**{**raw, "start": start, "drifted": tuple(raw["drifted"]), "sketch": sketch})


def choose_comparable(
    past: Sequence[PastWindow], start: datetime | None, cut: Cut, zone: ZoneInfo, needed: int
) -> tuple[PastWindow, ...]:
    """The past windows that a window is compared with: those of its phase (the weekday of a day, the hour of an hour)
    where they are `needed` at least, else all.

    Over all phases the rule keeps its rate on average: whole weeks are exchangeable where single days are not.
    """
    if start is None or cut not in ("hour", "day"):
        return tuple(past)
    own = _phase(start, cut, zone)
    same = tuple(p for p in past if p.start is not None and _phase(p.start, cut, zone) == own)
    return same if len(same) >= needed else tuple(past)


def _phase(start: datetime, cut: Cut, zone: ZoneInfo) -> int:
    local = start.astimezone(zone)
    return local.hour if cut == "hour" else local.weekday()
