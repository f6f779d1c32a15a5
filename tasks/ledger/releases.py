"""Who is champion: derived from the release entries, each of which carries the state it led to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tasks.ledger.entries import Entry, unreadable

RELEASE_STEP = "release"
Action = Literal["promote", "approve", "rollback", "propose", "hold", "reject"]


@dataclass(frozen=True)
class Champion:
    """The version that scores, since when (UTC), and the champions below it.

    `before` is a stack, the newest last: a promotion puts the champion on it, a rollback takes from it. So one
    rollback after the other goes further back, and not back and forth between two versions.
    """

    version: int
    before: tuple[int, ...]
    since: datetime
    seq: int  # the entry that made it champion

    @property
    def previous(self) -> int | None:
        """The version that a rollback goes to; None where there is none."""
        return self.before[-1] if self.before else None


@dataclass(frozen=True)
class Release:
    """Where a project's releases stand. `challenger` waits for evidence or for a person; it never decides."""

    champion: Champion | None = None
    challenger: int | None = None


@dataclass(frozen=True)
class ChampionChanged:
    """A release that was refused: the champion is no longer the one that the challenger was compared with."""

    version: int
    expected: int | None
    found: int | None

    @property
    def sentence(self) -> str:
        """The refusal for a person."""
        return (
            f"Version {self.version} was compared with {_named(self.expected)}, but the champion is now "
            f"{_named(self.found)}; nothing was changed. Evaluate it against the present champion."
        )


def follow(state: Release, action: Action, version: int, seq: int, at: datetime) -> Release:
    """The state after a decision.

    promote, approve and rollback make `version` the champion; propose (waits for a person) and hold (waits for
    evidence) make it the challenger; reject only ends its being challenger. A rollback to a version on the stack takes
    off all that came after it; one to a version that was itself rolled back puts that one on top again.
    """
    old = state.champion
    challenger = None if state.challenger == version else state.challenger
    if action in ("propose", "hold"):
        return Release(old, version)
    if action == "reject" or (old is not None and old.version == version):
        return Release(old, challenger)
    before = (*old.before, old.version) if old is not None else ()
    if action == "rollback" and version in before:
        before = before[: len(before) - 1 - before[::-1].index(version)]
    return Release(Champion(version, before, at, seq), challenger)


def find_rolled_back(decisions: Iterable[Entry]) -> dict[int, Entry]:
    """Versions that a rollback took out of service and that nobody brought back since, each with that rollback.

    `decisions` are a project's release entries, in order. InfrastructureError for one that cannot be read.
    """
    gone: dict[int, Entry] = {}
    old: Champion | None = None
    for entry in decisions:
        new = read_release(entry).champion
        if entry.outcome == "rollback" and old is not None and new is not None and new.version in old.before:
            kept = {*new.before, new.version}
            gone |= {version: entry for version in (*old.before, old.version) if version not in kept}
            gone[old.version] = entry
        if new is not None:
            gone.pop(new.version, None)
        old = new
    return gone


def write_release(state: Release) -> dict[str, Any]:
    """The state as it stands in an entry's payload."""
    champion = state.champion
    return {
        "champion": champion.version if champion else None,
        "previous": champion.previous if champion else None,
        "before": list(champion.before) if champion else [],
        "since": champion.since.isoformat() if champion else None,
        "seq": champion.seq if champion else None,
        "challenger": state.challenger,
    }


def read_release(entry: Entry) -> Release:
    """The state that an entry led to; InfrastructureError for one that was edited so that it cannot be read."""
    try:
        stated = entry.payload["release"]
        challenger = stated["challenger"]
        if stated["champion"] is None:
            return Release(None, challenger)
        since = datetime.fromisoformat(stated["since"])
        # Entries of a trueup that knew only the previous champion have no stack.
        before = stated.get("before", [p for p in (stated["previous"],) if p is not None])
        return Release(Champion(stated["champion"], tuple(before), since, stated["seq"]), challenger)
    except (KeyError, TypeError, ValueError):
        # Fail closed: who cannot read the champion promotes nothing.
        raise unreadable(entry.project, entry.seq) from None


def _named(version: int | None) -> str:
    return "no champion" if version is None else f"version {version}"
