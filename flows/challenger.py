"""The version that may take the champion's place: what it waits for, and which batches it scores in shadow.

Reads the ledger only, like the plan of a turn, which is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.keys import refit_key, score_key, shadow_key
from tasks.data.source import Batch
from tasks.ledger import Entry, Ledger

SETTLED = ("leaks", "robust", "sound", "speed", "size")  # gates on which new labels have no bearing


@dataclass(frozen=True)
class Held:
    """A version that new labels may decide about, and what its newest verdict rests on."""

    version: int
    evidence: Mapping[str, Any]

    @property
    def look(self) -> int:
        """The number of its next look."""
        return int(self.evidence["look"]) + 1

    @property
    def looks(self) -> int:
        """How many it may have."""
        return int(self.evidence["looks"])


def find_held(ledger: Ledger, name: str) -> Held | None:
    """The challenger that rows alone kept from its release; None where there is none, or where it was passed over."""
    standing = ledger.standing(name)
    version, champion = standing.challenger, standing.champion
    if version is None or champion is None or version < champion.version:
        return None  # what is older than the champion was passed over by it
    decided = ledger.latest(name, step="release", subject=str(version))
    if decided is None or decided.outcome != "hold":
        return None
    verdicts = [e for step in ("train", "look") if (e := ledger.latest(name, step=step, subject=str(version)))]
    newest = max(verdicts, key=lambda e: e.seq)
    if ledger.find(name, "train", refit_key(newest)) is not None:
        return None  # it passed, and the version that it was fitted again as is decided about in its place
    kept_by = [g for g in newest.payload["gates"] if g["status"] == "inconclusive"]
    if any(g["name"] in SETTLED or g["evidence"].get("withdrawn") for g in kept_by):
        return None
    return Held(version, newest.payload)


def proposed_version(ledger: Ledger, name: str) -> int | None:
    """The version that waits for a person's approval."""
    challenger = ledger.standing(name).challenger
    if challenger is None:
        return None
    decided = ledger.latest(name, step="release", subject=str(challenger))
    return challenger if decided is not None and decided.outcome == "propose" else None


def find_shadow(ledger: Ledger, name: str) -> int | None:
    """The version that scores in shadow: one that has a look left, or that waits for a person; None without a champion
    that it could stand beside."""
    if ledger.champion(name) is None:
        return None
    held = find_held(ledger, name)
    if held is not None:
        return held.version if held.look <= held.looks else None
    return proposed_version(ledger, name)


def plan_shadow(ledger: Ledger, name: str, batch: Batch, version: int) -> tuple[bool, str] | None:
    """Whether a version is to score a batch in shadow, and why; None where the batch is none for it: it was there when
    the version was trained, or the version served it."""
    trained = ledger.latest(name, step="train", subject=str(version))
    scored = ledger.latest(name, step="score", subject=batch.key)
    if trained is None or _was_there(trained, batch, scored):
        return None
    if scored is not None and scored.payload["version"] == version and scored.key == score_key(batch):
        return None
    done = ledger.find(name, "shadow", shadow_key(batch, version))
    if done is None:
        return True, f"version {version} may take the champion's place, and has not scored it yet"
    if done.outcome == "failed":
        return False, f"version {version} could not score it: {done.reason}"
    return False, f"scored by version {version} beside version {done.payload['champion']}"


def _was_there(trained: Entry, batch: Batch, scored: Entry | None) -> bool:
    """Whether a training may have seen rows of a batch: it learned from it, or looked from a moment at which it was
    complete. Of a batch without times: that was scored before."""
    made = trained.payload
    if batch.key in made["batches"] or batch.key in made.get("refused", ()):
        return True
    known = made.get("known_as_of")
    if known is not None and batch.end is not None:
        return batch.end <= datetime.fromisoformat(known)
    return scored is not None and scored.seq < trained.seq
