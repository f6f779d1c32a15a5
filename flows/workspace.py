"""What every flow opens first: the project, its ledger under the project's lock, and the source as it is now."""

from __future__ import annotations

import getpass
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.engine.notices import read_addresses
from flows.moment import next_moment, parse_moment
from flows.plan import passed_batches
from tasks.config import LoadedProject, load_project, shown
from tasks.data.label_index import LabelIndex
from tasks.data.labels import remove_superseded
from tasks.data.source import Batch, Source, read_source
from tasks.errors import ConfigError
from tasks.files import sweep_folder
from tasks.ledger import Entry, Ledger, ledger_exists, open_ledger
from tasks.registry import follow_home
from tasks.table import Schema

log = logging.getLogger(__name__)
# What the turn around has read of labels that come apart from the rows, by project file.
_held_labels: ContextVar[Mapping[Path, LabelIndex]] = ContextVar("held_labels", default={})  # noqa: B039 - never changed
ANNOUNCING = ("run", "monitor")  # the commands that tell of a change of health
LOCK_SECONDS = 6 * 3600.0  # a turn may wait for another one that trains; the lock goes with its holder


@dataclass(frozen=True)
class Workspace:
    """One project, opened for one flow run."""

    project: LoadedProject
    ledger: Ledger
    source: Source
    as_of: datetime
    now: datetime
    actor: str

    @property
    def visible(self) -> tuple[Batch, ...]:
        """The batches that are there as of the moment."""
        return self.source.visible(self.as_of)

    @property
    def scratch(self) -> Path:
        """Where unfinished files are that are no batch's; what killed processes left there is removed."""
        return self.project.home / "scratch"

    def batch(self, key: str) -> Batch:
        """The batch of that key; ConfigError with the known ones where it is not there as of the moment."""
        for batch in self.visible:
            if batch.key == key:
                return batch
        known = ", ".join(b.key for b in self.visible[-12:]) or "none"
        raise ConfigError(f"batch {key!r}: not there as of {self.as_of:%Y-%m-%d %H:%M %Z}. Known then: {known}.")

    def record(
        self,
        step: str,
        key: str,
        subject: str,
        outcome: str,
        reason: str,
        payload: Mapping[str, Any],
    ) -> Entry:
        """Append what was done to the ledger."""
        return self.ledger.append(
            self.project.name,
            step=step,
            key=key,
            subject=subject,
            outcome=outcome,
            reason=reason,
            actor=self.actor,
            as_of=self.as_of,
            at=datetime.now(UTC),
            payload=payload,
        )

    def stored(self, path: Path | None) -> str | None:
        """A path as the ledger keeps it: relative to the home, so that the home may be moved."""
        if path is None:
            return None
        return str(path.relative_to(self.project.home)) if path.is_relative_to(self.project.home) else str(path)

    def located(self, stored: str | None) -> Path | None:
        """The path that the ledger's text means."""
        return None if stored is None else self.project.home / stored


@contextmanager
def open_workspace(
    project: str,
    as_of: str,
    overrides: Sequence[str],
    command: str,
    wait_seconds: float = LOCK_SECONDS,
    reads: bool = True,
) -> Iterator[Workspace]:
    """Open a project for `command`. Config and source are read first: where they are bad, nothing is written.

    `reads` False leaves the source alone: a release must be possible while the source is not.
    """
    loaded = load_project(project, overrides)
    if command in ANNOUNCING:
        read_addresses()
    logging.getLogger("trueup.progress").setLevel(logging.INFO)  # heard only where someone listens
    now = datetime.now(UTC)
    actor = find_actor()
    if as_of not in ("now", "next"):
        parse_moment(as_of, loaded, now)
    found = Source((), Schema(())) if not reads else None if loaded.home.exists() else read_source(loaded, {})
    with (
        open_ledger(loaded.home) as ledger,
        ledger.lock(loaded.name, holder=f"trueup {command} by {actor}", wait_seconds=wait_seconds, at=now),
    ):
        follow_home(loaded.home)
        source = look_at_source(loaded, ledger, found)
        moment = resolve_moment(as_of, loaded, ledger, source.batches, now)
        workspace = Workspace(loaded, ledger, source, moment, now, actor)
        sweep_folder(workspace.scratch)
        with _holding_labels(workspace):
            yield workspace


def check_begun(project: LoadedProject) -> None:
    """ConfigError where nothing was done in the project's home yet: opening a ledger would make one."""
    if not ledger_exists(project.home):
        raise ConfigError(
            f"{project.name}: nothing was trained yet, {project.home} holds no ledger. "
            f"Train first: trueup run {project.argument}; or check TRUEUP_HOME."
        )


@contextmanager
def look_in(project: str, reads: bool = True) -> Iterator[Workspace]:
    """Open a project to answer a question about it: nobody is waited for, and nothing is written.

    ConfigError where nothing was done in its home yet. `reads` False leaves the source alone.
    """
    loaded = load_project(project)
    check_begun(loaded)
    now = datetime.now(UTC)
    with open_ledger(loaded.home) as ledger:
        known = {path: file.payload for path, file in ledger.known_files(loaded.name).items()} if reads else {}
        source = read_source(loaded, known) if reads else Source((), Schema(()))
        yield Workspace(loaded, ledger, source, now, now, find_actor())


def look_at_source(project: LoadedProject, ledger: Ledger, found: Source | None = None) -> Source:
    """The source as it is now; only files that are new or changed are read, and the ledger remembers them.

    `found` is what a look just before, without a ledger, has found.
    """
    known = ledger.known_files(project.name)
    held = _held_labels.get().get(project.path)
    source = found or read_source(project, {path: file.payload for path, file in known.items()}, held)
    if found is not None and found.labels is not None:  # what was read before there was a home is kept in it
        kept = read_source(project, {file.path: file.to_json() for file in found.scanned}, held)
        source = replace(kept, scanned=found.scanned)
    if source.scanned:
        there = {path for b in source.batches for path in b.files}
        new = {f.path: (f.size, f.mtime_ns, f.to_json()) for f in source.scanned}
        ledger.remember_files(project.name, new, forget=[p for p in known if p not in there and p not in new])
    for path, rows in source.untimed.items():
        log.warning("%s: %s rows without a time belong to no batch and are left out", shown(Path(path)), rows)
    return source


@contextmanager
def _holding_labels(workspace: Workspace) -> Iterator[None]:
    """All flows of one turn see the same labels, whatever is delivered meanwhile; a database is asked once."""
    project, labels, held = workspace.project, workspace.source.labels, _held_labels.get()
    if labels is None or project.path in held:
        yield
        return
    remove_superseded(project, labels)
    token = _held_labels.set({**held, project.path: labels})
    try:
        yield
    finally:
        _held_labels.reset(token)


def resolve_moment(
    as_of: str, project: LoadedProject, ledger: Ledger, batches: tuple[Batch, ...], now: datetime
) -> datetime:
    """The moment a person means by `now`, `next` or a date. With no next batch, `next` is the newest batch's end."""
    if as_of != "next":
        return parse_moment(as_of, project, now)
    following = next_moment(batches, passed_batches(ledger, project.name, batches), now)
    if following is not None:
        return following
    ends = [b.end for b in batches if b.end is not None]
    newest = ledger.latest(project.name)
    looked = newest.as_of if newest is not None else None
    return max([*ends, *([looked] if looked else [])], default=now)


def find_actor() -> str:
    """Who does this: the deployment that runs the flow and, where Prefect knows, who started it; else who is logged in.

    Prefect's own server has no users: it knows an automation. Prefect Cloud knows the person.
    """
    import sys

    if "prefect.context" in sys.modules:
        from prefect.runtime import deployment

        if deployment.name:
            from prefect.context import FlowRunContext

            context = FlowRunContext.get()
            creator = context.flow_run.created_by if context is not None and context.flow_run is not None else None
            started = f", started by {creator.display_value}" if creator is not None and creator.display_value else ""
            return f"deployment {deployment.name}{started}"
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return "unknown user"
