"""What a replay lives through, under which policies, and where: planned before anything is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.keys import digest
from tasks.config import LoadedProject, load_project
from tasks.data.source import Batch, Source, read_source
from tasks.errors import ConfigError

POLICIES: Mapping[str, tuple[str, ...]] = {
    "never": ("retrain.on=[]",),
    # Its bounds too: those of a project file would hardly let it train every week.
    "weekly": ("retrain.on=[schedule]", "retrain.every=week", "retrain.cooldown=1d", "retrain.max_per_quarter=14"),
    "monthly": ("retrain.on=[schedule]", "retrain.every=month"),
    "quarterly": ("retrain.on=[schedule]", "retrain.every=quarter"),
    "on-health": ("retrain.on=[performance, harmful_drift]",),
    "own": (),  # as the project file has it
}
# What is only looked at costs a replay nothing, and a version that passes needs no person: nobody is there to approve.
UNSEEN = ("train.plots=false", "contract.data_docs=false", "monitor.pictures=false", "promotion=auto")
ASKED, PAGE = "replay.json", "replay.html"


@dataclass(frozen=True)
class Walk:
    """What is lived through: the moments of the turns, the windows, and when the labels of the last one are known."""

    moments: tuple[datetime, ...]
    batches: tuple[Batch, ...]
    closing: datetime
    before: tuple[Batch, ...]  # what the first champion learns from


@dataclass(frozen=True)
class Replay:
    """A replay on disk: its folder, and what was asked."""

    project: LoadedProject
    source: Source
    walk: Walk
    policies: tuple[str, ...]
    overrides: tuple[str, ...]
    folder: Path

    def home(self, policy: str) -> Path:
        """Where a policy lives."""
        return self.folder / policy

    def settings(self, policy: str) -> list[str]:
        """The keys of the project file that are other than there."""
        return [*self.overrides, *UNSEEN, *POLICIES[policy]]


def plan_replay(
    project: str, begin: str | None, end: str | None, policies: Sequence[str], overrides: Sequence[str]
) -> Replay:
    """What is to be lived through, and where. ConfigError for a policy, batch or project that cannot be; nothing is
    written."""
    named = [p for given in policies for p in given.replace(" ", "").split(",") if p]
    unknown = [p for p in named if p not in POLICIES]
    if unknown or not named:
        found = f"{unknown[0]!r} is no policy" if unknown else "no policy is named"
        raise ConfigError(f"--policy: {found}; expected one or several of {', '.join(POLICIES)}, with commas between.")
    given = [o for o in overrides if o.split("=")[0].strip().startswith("retrain.on")]
    if given and named != ["own"]:
        raise ConfigError(f"--set {given[0]}: the policies say when to retrain; use --policy own with it.")
    loaded = load_project(project, overrides)
    source = read_source(loaded, {})
    walk = find_walk(loaded, source, begin, end)
    key = digest(
        load_project(project, [*overrides, *UNSEEN]).resolved,
        loaded.contract_path.read_text(encoding="utf-8") if loaded.contract_path else "",
        [(b.key, b.content) for b in (*walk.before, *walk.batches)],
        walk.closing if loaded.spec.data.labels is None else None,
    )
    name = f"{loaded.name}-{walk.batches[0].key}-{walk.batches[-1].key}-{key[:8]}"
    folder = loaded.home / "replays" / "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    return Replay(loaded, source, walk, tuple(dict.fromkeys(named)), tuple(overrides), folder)


def find_walk(project: LoadedProject, source: Source, begin: str | None, end: str | None) -> Walk:
    """The moments and batches between two keys, or beginnings of keys; ConfigError where there is no such past."""
    now = datetime.now(UTC)
    timed = [b for b in source.batches if b.end is not None and b.start is not None and b.end <= now]
    if len(timed) < 2:
        have = f"{len(timed)} complete batch{'' if len(timed) == 1 else 'es'} with times"
        raise ConfigError(
            f"{project.name}: a replay needs two batches at least that are cut by time, one to learn from and one to "
            f"live through; the source has {have}. Set data.time and data.batch, or wait for another batch."
        )
    keys = [b.key for b in timed]
    first = _find_key(keys, begin, "--from", last=False) if begin else 1
    last = _find_key(keys, end, "--to", last=True) if end else len(keys) - 1
    if first == 0:
        raise ConfigError(
            f"--from {begin}: {keys[0]} is the first batch, so there is nothing before it to learn from. Expected "
            f"{keys[1]} or a later one."
        )
    if first > last:
        raise ConfigError(f"--from {keys[first]} lies after --to {keys[last]}; expected the earlier one first.")
    walked = tuple(timed[first : last + 1])
    ended = max(b.end for b in walked if b.end is not None)
    # Labels that come apart from the rows have no delay that is known: what is known of them now is what is measured.
    closing = now if project.spec.data.labels is not None else min(now, ended + project.spec.data.label_delay)
    moments = tuple(b.end for b in walked if b.end is not None)
    return Walk(moments, walked, max(closing, ended), tuple(timed[:first]))


def note_asked(asked: Replay) -> None:
    """What the folder is of, for a person who finds it."""
    text = {
        "project": asked.project.name,
        "from": asked.walk.batches[0].key,
        "to": asked.walk.batches[-1].key,
        "set": list(asked.overrides),
    }
    asked.folder.mkdir(parents=True, exist_ok=True)
    (asked.folder / ASKED).write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")


def list_replays(home: Path, project: str) -> dict[str, str]:
    """The pages of a project's replays below a home, relative to it, by what they are of."""
    found = {}
    for path in sorted((home / "replays").glob(f"*/{ASKED}")):
        try:
            asked = json.loads(path.read_bytes())
            if asked["project"] == project:
                found[f"replay of {asked['from']} to {asked['to']}"] = f"replays/{path.parent.name}/{PAGE}"
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a person has put something there
    return found


def _find_key(keys: Sequence[str], asked: str, option: str, *, last: bool) -> int:
    """Where the batch is that a key, or the beginning of one, means: its first one, or its last."""
    found = [i for i, key in enumerate(keys) if key == asked] or [i for i, k in enumerate(keys) if k.startswith(asked)]
    if not found:
        shown_keys = ", ".join(keys if len(keys) <= 12 else [*keys[:6], "...", *keys[-6:]])
        raise ConfigError(f"{option} {asked}: the source has no such complete batch. It has {shown_keys}.")
    return found[-1 if last else 0]
