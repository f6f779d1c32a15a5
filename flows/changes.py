"""Changes of a project's health, read off the ledger: which windows changed it, and which of these nobody was told of.

A pure reading of the entries of two steps, `monitor` and `alert`. What was told of a window is not told again while its
newest entry says the same, so a turn that runs twice, a window that is looked at again, and a turn after a crash find
nothing new.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from flows.keys import digest
from tasks.data.source import Batch
from tasks.ledger import Entry, Ledger

_NUMBER = re.compile(r"(?<![\w'\"])[-+]?[\d.,]*\d%?(?![\w'\"])")


class State(NamedTuple):
    """What a window's health is compared by: another cause or action is another state."""

    health: str
    cause: str
    action: str


HEALTHY = State("healthy", "", "")


@dataclass(frozen=True)
class Change:
    """One change of health: the window that showed it, what was before, and why, as the ledger has it."""

    key: str
    batch: str
    health: str
    previous: str
    cause: str
    action: str
    sentence: str
    version: int | None
    report: str | None  # relative to the home
    alarm: bool  # False for a drift that goes on

    @property
    def kind(self) -> str:
        """As people and `monitor.alert_on` call it."""
        return "recovered" if self.health == "healthy" else self.health

    @property
    def state(self) -> State:
        """What it is compared by."""
        return State(self.health, self.cause, self.action)

    def to_payload(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return asdict(self)


def read_change(payload: Mapping[str, Any]) -> Change:
    """A change as the ledger has kept it."""
    return Change(**payload)


def find_changes(ledger: Ledger, name: str, batches: Sequence[Batch]) -> tuple[Change, ...]:
    """The changes that nobody was told of yet, in the order of their windows.

    Each window's newest entry is compared with the state before it. A window without labels ends no `degraded`, which
    labels alone can show. A window whose labels came late is a change as well where it brings a new state; and the
    newest state of all is told wherever the last word about it was another.
    """
    seen = ledger.by_subject(name, "monitor")
    windows = [seen[b.key] for b in batches if b.key in seen]
    order = {str(w.subject): i for i, w in enumerate(windows)}
    told = {b: state for b, state in _told(ledger, name).items() if b in order}
    points, standing = _walk(windows)
    found = {c.batch: c for c in points if told.get(c.batch) != c.state}
    heard = {**told, **{b: c.state for b, c in found.items()}}
    believed = heard[max(heard, key=order.__getitem__)] if heard else HEALTHY
    if believed != standing:
        newest = next((w for w in reversed(windows) if state_of(w) == standing), None)
        if newest is not None and heard.get(str(newest.subject)) != standing:
            found[str(newest.subject)] = _make(newest, believed)
    return tuple(sorted(found.values(), key=lambda c: order[c.batch]))


def state_of(window: Entry) -> State:
    """The state that a window's entry says."""
    if window.outcome == "healthy":
        return HEALTHY
    cause = window.payload.get("cause")
    if cause is None:  # of an earlier trueup: of its sentences, that of a fault says which, whatever its numbers
        cause = _NUMBER.sub("#", window.reason) if window.outcome == "broken" else ""
    return State(window.outcome, str(cause), str(window.payload.get("action", "")))


def _walk(windows: Sequence[Entry]) -> tuple[list[Change], State]:
    """Where the health changes along the windows, and what it is after the newest one."""
    points, standing = [], HEALTHY
    for window in windows:
        state = state_of(window)
        unseen = not window.payload.get("labelled") and state.health in ("healthy", "drifting")
        if standing.health == "degraded" and unseen:
            continue
        if state != standing:
            points.append(_make(window, standing))
        standing = state
    return points, standing


def _make(window: Entry, before: State) -> Change:
    state, payload = state_of(window), window.payload
    return Change(
        # With the hash of the window's entry: a home that was begun anew tells its own changes.
        key=digest("change", window.project, window.subject, state, window.hash),
        batch=str(window.subject),
        health=state.health,
        previous=before.health,
        cause=state.cause,
        action=state.action,
        sentence=window.reason,
        version=payload.get("version"),
        report=payload.get("report"),
        alarm=bool(payload.get("alarm", True)),
    )


def _told(ledger: Ledger, name: str) -> dict[str, State]:
    """The last state that was told of each window. An alert that was tried again tells nothing new."""
    first: dict[str, Entry] = {}
    for entry in ledger.entries(name, step="alert"):
        first.setdefault(entry.key, entry)
    changes = (read_change(c) for entry in first.values() for c in entry.payload["changes"])
    return {change.batch: change.state for change in changes}
