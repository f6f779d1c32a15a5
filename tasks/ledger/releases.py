"""Who is champion: derived from the release entries, each of which carries the state it led to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tasks.ledger.entries import Entry, unreadable

RELEASE_STEP = "release"
Action = Literal["promote", "approve", "rollback", "propose", "hold", "reject"]


@dataclass(frozen=True)
class Champion:
    """The version that scores, since when (UTC), and the one it took over from."""

    version: int
    previous: int | None
    since: datetime
    seq: int  # the entry that made it champion


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
    evidence) make it the challenger; reject only ends its being challenger.
    """
    old = state.champion
    challenger = None if state.challenger == version else state.challenger
    if action in ("propose", "hold"):
        return Release(old, version)
    if action == "reject" or (old is not None and old.version == version):
        return Release(old, challenger)
    return Release(Champion(version, old.version if old else None, at, seq), challenger)


def write_release(state: Release) -> dict[str, Any]:
    """The state as it stands in an entry's payload."""
    champion = state.champion
    return {
        "champion": champion.version if champion else None,
        "previous": champion.previous if champion else None,
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
        return Release(Champion(stated["champion"], stated["previous"], since, stated["seq"]), challenger)
    except (KeyError, TypeError, ValueError):
        # Fail closed: who cannot read the champion promotes nothing.
        raise unreadable(entry.project, entry.seq) from None


def _named(version: int | None) -> str:
    return "no champion" if version is None else f"version {version}"
