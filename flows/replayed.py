"""What a replay has come to: read from the ledgers of its homes, published as a page and as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from flows.ages import Measured
from flows.answer import Answer, label_line
from flows.past import START_TURNS, TURNS, read_ages, read_turns
from flows.replay_tables import NEVER, write_tables
from flows.walk import PAGE, POLICIES, Replay
from tasks.config import LoadedProject, load_project
from tasks.data.source import Batch
from tasks.files import whole_file
from tasks.ledger import Entry, Ledger, open_ledger
from tasks.retraining.policy import describe_policy, say_day
from tasks.stats.metrics import METRICS
from tasks.stats.staleness import Aged, measure_staleness

if TYPE_CHECKING:
    from tasks.reports.lived import Happening, Lived, LivedWindow, Replayed

DAY = timedelta(days=1)


def publish_replay(asked: Replay) -> Path:
    """Write the page and its tables into the replay's folder. Returns the page's path.

    The same pasts give the same page. InfrastructureError where the disk refuses.
    """
    from tasks.reports.replay import write_replay_page

    replayed = gather_replay(asked)
    entries = {}
    for policy in asked.policies:
        with _open(asked, policy) as ledger:
            entries[policy] = ledger.entries(asked.project.name)
    page = asked.folder / PAGE
    files = {PAGE: write_replay_page(replayed)}
    files |= {f"{name}.csv": table for name, table in write_tables(replayed, entries, _read_measured(asked)).items()}
    for name, content in files.items():
        with whole_file(asked.folder / name) as file:
            file.write(content.encode("utf-8", "replace"))
    return page


def describe_replay(asked: Replay) -> Answer:
    """What a terminal shows of a replay that is done: what it shows, and where the page is."""
    from tasks.reports.lived import conclude, conclude_ages, spent, trainings

    replayed = gather_replay(asked)
    concluded = conclude(replayed)
    lines = [f"{replayed.project}: {replayed.batches[0]} to {replayed.batches[-1]}, {len(replayed.batches)} windows"]
    for one in replayed.lived:
        said = f"{trainings(one.trained)}, {one.promoted} promoted; mean {replayed.title} {one.mean:.4g}"
        lines += label_line(one.policy, f"{said}; {len(one.bad)} windows degraded; {spent(one.training_seconds)} CPU")
    lines += label_line("shows", concluded.headline)
    for reason in concluded.reasons:
        lines += label_line("", reason)
    lines += label_line("ages", conclude_ages(replayed))
    lines += label_line("look at", str(asked.folder / PAGE))
    return Answer(tuple(lines))


def gather_replay(asked: Replay) -> Replayed:
    """What the ledgers of a replay's homes have. Every policy has to be lived through."""
    from tasks.reports.lived import Replayed

    metric = _find_metric(asked)
    ages, windows = _measure_ages(asked)
    return Replayed(
        project=asked.project.name,
        argument=asked.project.argument,
        command=_say_command(asked),
        metric=metric,
        title=METRICS[metric].title,
        larger_is_better=METRICS[metric].larger_is_better,
        batches=tuple(batch.key for batch in asked.walk.batches),
        known_until=say_day(asked.walk.closing, asked.project.spec.data.zone),
        settings=asked.overrides,
        lived=tuple(_gather_lived(asked, policy, metric) for policy in asked.policies),
        ages=ages,
        aged_windows=windows,
        versions=len({m.key for m in _read_measured(asked)}),
    )


def _open(asked: Replay, policy: str) -> Ledger:
    """A home's own ledger, whatever database the environment names for the project's."""
    home = asked.home(policy)
    return open_ledger(home, f"sqlite:///{home / 'ledger.db'}")


def _find_metric(asked: Replay) -> str:
    """What the first version was chosen by; every policy begins with it."""
    with _open(asked, asked.policies[0]) as ledger:
        first = ledger.entries(asked.project.name, step="train")[0]
    return str(first.payload["metric"])


def _gather_lived(asked: Replay, policy: str, metric: str) -> Lived:
    from tasks.reports.lived import Lived

    home, name = asked.home(policy), asked.project.name
    settings = load_project(str(asked.project.path), asked.settings(policy))
    with _open(asked, policy) as ledger:
        trained = ledger.entries(name, step="train")
        keys = {int(str(e.subject)): e.key for e in trained}
        seen = ledger.by_subject(name, "monitor")
        windows = tuple(_gather_window(batch, seen.get(batch.key), keys, metric) for batch in asked.walk.batches)
        decided = [e for e in ledger.entries(name, step="retrain") if e.payload.get("code") != NEVER]
        released = {str(e.subject) for e in ledger.entries(name, step="release") if e.outcome in ("promote", "approve")}
        happenings = _tell_turns(asked.project, asked.walk.moments, ledger)
    later = trained[1:]
    unreleased = [e for e in later if e.subject not in released]
    return Lived(
        policy=policy,
        says=describe_policy(settings.spec.retrain),
        section=_say_section(policy),
        windows=windows,
        happenings=happenings,
        trained=len(later),
        promoted=len(later) - len(unreleased),
        held=sum(e.outcome != "reject" for e in unreleased),
        rejected=sum(e.outcome == "reject" for e in unreleased),
        failed=sum(e.outcome == "failed" for e in decided),
        held_back=sum(e.outcome == "wait" for e in decided),
        training_seconds=sum(float(e.payload.get("cpu_seconds") or 0.0) for e in later),
        seconds=sum(turn.cpu_seconds for file in (TURNS, START_TURNS) for turn in read_turns(home, file)),
    )


def _gather_window(batch: Batch, entry: Entry | None, keys: Mapping[int, str], metric: str) -> LivedWindow:
    from tasks.reports.lived import LivedWindow

    made: Mapping[str, Any] = entry.payload if entry is not None else {}
    metrics = made.get("metrics") or {}
    value, low, high = (_finite(metrics.get(f"{metric}{end}")) for end in ("", "_low", "_high"))
    version = made.get("version")
    return LivedWindow(
        batch=batch.key,
        version=version,
        training=keys.get(version, "") if version is not None else "",
        value=value,
        low=low,
        high=high,
        rows=int(made.get("rows") or 0),
        labelled=int(made.get("labelled") or 0),
        health=entry.outcome if entry is not None else "not looked at",
        alarm=(made.get("trace") or {}).get("signal") == "alarm" and entry is not None and entry.outcome != "broken",
        cause=str(made.get("cause") or ""),
        action=str(made.get("action") or ""),
        why=entry.reason if entry is not None else "it was not scored",
    )


def _tell_turns(project: LoadedProject, moments: Sequence[datetime], ledger: Ledger) -> tuple[Happening, ...]:
    """What the turns decided about challengers, in order: trained, promoted at a later look, or held back."""
    from tasks.reports.lived import Happening

    entries = ledger.entries(project.name)
    place = {moment: i + 0.5 for i, moment in enumerate(moments)}
    told: list[Happening] = []
    asked, first = "", True
    for entry in entries:
        at = place.get(entry.as_of) if entry.as_of is not None else None
        kind, says = "", ""
        if entry.step == "retrain" and entry.payload.get("code") != NEVER:
            asked = entry.reason if entry.outcome == "retrain" else ""
            if entry.outcome in ("wait", "failed"):
                kind, says = "wait", entry.reason
        elif entry.step == "train":
            if not first:
                why = f"{asked}. " if asked else ""
                kind, says = entry.outcome, f"{why}Version {entry.subject} was trained; {entry.outcome}: {entry.reason}"
            asked, first = "", False
        elif entry.step == "look" and entry.outcome == "promote":
            kind, says = "promote", f"Version {entry.subject} was looked at again and promoted: {entry.reason}"
        if kind and at is not None and entry.as_of is not None:
            told.append(Happening(at, say_day(entry.as_of, project.spec.data.zone), kind, says))
    return tuple(told)


def _measure_ages(asked: Replay) -> tuple[tuple[Any, ...], int]:
    """The curve of staleness, over all versions of all policies; a training that several made is one."""
    metric = METRICS[_find_metric(asked)]
    batches = {batch.key: (i, batch) for i, batch in enumerate(asked.walk.batches)}
    spans = [(b.end - b.start) / DAY for b in asked.walk.batches if b.start is not None and b.end is not None]
    aged = []
    for made in _read_measured(asked):
        number, batch = batches[made.batch]
        if batch.start is not None:
            aged.append(Aged(number, (batch.start - datetime.fromisoformat(made.trained)) / DAY, made.value))
    return measure_staleness(aged, median(spans) if spans else 0.0, larger_is_better=metric.larger_is_better)


def _read_measured(asked: Replay) -> list[Measured]:
    """What each version was worth on later windows; a training that several policies made is one."""
    found = {(m.key, m.batch): m for policy in asked.policies for m in read_ages(asked.home(policy))}
    return list(found.values())


def _say_command(asked: Replay) -> str:
    keys = [batch.key for batch in asked.walk.batches]
    given = "".join(f" --set {one}" for one in asked.overrides)
    policies = ",".join(asked.policies)
    return f"trueup replay {asked.project.argument} --from {keys[0]} --to {keys[-1]} --policy {policies}{given}"


def _say_section(policy: str) -> str:
    """A policy as a section of the project file; empty for what is there."""
    keys = [text.removeprefix("retrain.").replace("=", ": ", 1) for text in POLICIES[policy]]
    return f"retrain: {{{', '.join(keys)}}}" if keys else ""


def _finite(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan
