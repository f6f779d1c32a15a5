"""Removing what is old and referred to by nothing: `trueup prune`.

What refers to a version: its being champion once (by promotion, approval, rollback or override), its standing as
previous or challenger, an alias, the newest release decision, and its being among the newest. Of the others the ledger
says for ever what they were and how they were judged; their models may go. The ledger's entry of step `prune` names
them before anything is removed: so a prune that was cut off is finished by the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.aliases import note_ledger
from flows.answer import Answer
from flows.champion import find_pruned
from flows.keys import digest
from flows.workspace import Workspace, check_begun, open_workspace
from tasks.config import load_project
from tasks.errors import ConfigError
from tasks.files import sweep_folder
from tasks.ledger import Entry
from tasks.registry import Registry, Shelf, Stored, list_files, open_registry, read_shelf, remove_stored

progress = logging.getLogger("trueup.progress")
MADE_CHAMPION = ("promote", "approve", "rollback")


@dataclass(frozen=True)
class Waste:
    """What goes: versions and dead runs with their files (`stored`), and files of the home by what they are."""

    versions: Mapping[int, Stored]
    dead: Mapping[str, Stored]
    files: Mapping[str, tuple[Path, ...]]
    stored: Mapping[str, tuple[Path, ...]]
    registered: int  # versions that there are

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.versions or self.dead or any(self.files.values()))

    @property
    def size(self) -> int:
        """Bytes on this machine."""
        return sum(_measure(paths) for paths in (*self.files.values(), *self.stored.values()))


def prune(project: str, keep: int, dry_run: bool) -> Answer:
    """Remove versions, dead runs, superseded predictions and pages beyond the newest `keep` of each; say what went.

    With `dry_run` nothing is removed. Whatever a champion, a release decision or an alias refers to stays.
    ConfigError, InfrastructureError.
    """
    if keep < 1:
        raise ConfigError(f"--keep {keep}: expected 1 or more: the newest of each is always kept.")
    check_begun(load_project(project))
    with open_workspace(project, "now", [], "prune", reads=False) as workspace:
        registry = open_registry(workspace.project.home)
        entries = workspace.ledger.entries(workspace.project.name)
        if not entries:
            raise ConfigError(f"{workspace.project.name}: nothing to prune: nothing was done here yet.")
        shelf = read_shelf(registry, workspace.project.name, _known_runs(entries))
        waste = _find_waste(workspace, registry, shelf, entries, keep)
        lines = tuple(_describe(workspace, registry, waste, keep, dry_run))
        if not dry_run and not waste.empty:
            _record(workspace, waste, keep)
            _remove(workspace, registry, shelf, waste)
            note_ledger(workspace)
        return Answer(lines)


def _find_waste(workspace: Workspace, registry: Registry, shelf: Shelf, entries: tuple[Entry, ...], keep: int) -> Waste:
    kept = _find_kept(workspace, shelf, entries, keep)
    versions = {number: stored for number, stored in shelf.versions.items() if number not in kept}
    dead = dict(shelf.dead)
    kept_runs = {stored.run_id for number, stored in shelf.versions.items() if number in kept}
    for entry in entries:  # what an earlier one named and did not get to
        if entry.step == "prune":
            for number, (run_id, models, held) in entry.payload["versions"].items():
                if int(number) not in kept and run_id not in kept_runs:
                    versions.setdefault(int(number), Stored(run_id, tuple(models), held))
            for run_id, models in entry.payload["runs"].items():
                if run_id not in kept_runs:
                    dead.setdefault(run_id, Stored(run_id, tuple(models)))

    def is_left(stored: Stored) -> bool:
        return bool(set(stored.models) & shelf.models) or bool(list_files(registry, stored))

    versions = {n: s for n, s in versions.items() if n in shelf.versions or is_left(s)}
    dead = {run: s for run, s in dead.items() if run in shelf.dead or is_left(s)}
    stored_files = {
        "versions": tuple(path for s in versions.values() for path in list_files(registry, s)),
        "dead runs": tuple(path for s in dead.values() for path in list_files(registry, s)),
    }
    gone = {*versions, *find_pruned(workspace.ledger, workspace.project.name)}
    return Waste(versions, dead, _find_files(workspace, entries, keep, gone), stored_files, len(shelf.versions))


def _find_kept(workspace: Workspace, shelf: Shelf, entries: Iterable[Entry], keep: int) -> set[int]:
    """The versions that something refers to, and the newest."""
    standing = workspace.ledger.standing(workspace.project.name)
    kept = set(sorted(shelf.versions)[-keep:]) | set(shelf.named)
    if standing.champion is not None:
        kept |= {standing.champion.version, standing.champion.previous or 0}
    kept.add(standing.challenger or 0)
    releases = [entry for entry in entries if entry.step == "release"]
    kept |= {int(str(entry.subject)) for entry in releases if entry.outcome in MADE_CHAMPION}
    kept |= {int(str(entry.subject)) for entry in releases[-1:]}  # its pages may still have to be finished
    return kept


def _find_files(
    workspace: Workspace, entries: Iterable[Entry], keep: int, gone: Collection[int]
) -> dict[str, tuple[Path, ...]]:
    """Files of a batch that newer ones took the place of, beyond the newest `keep` of each batch; and what versions
    that are `gone` have predicted in shadow."""
    places: dict[str, tuple[str, Callable[[Mapping[str, object]], list[object]]]] = {
        "score": ("superseded predictions", lambda p: [p["path"]]),
        "shadow": ("predictions in shadow", lambda p: [p.get("path")]),
        "monitor": ("drift reports", lambda p: [p["report"], p["counts"]]),
        "validate": ("contract pages", lambda p: [p["page"]]),
    }
    files: dict[str, tuple[Path, ...]] = {}
    for step, (called, name_files) in places.items():
        series: dict[tuple[str, object], list[list[Path]]] = {}
        forsaken: set[Path] = set()
        for entry in entries:
            if entry.step == step:
                located = list(_locate(workspace, name_files(entry.payload)))
                if step == "shadow" and entry.payload["version"] in gone:
                    forsaken.update(located)
                    continue
                of = (str(entry.subject), entry.payload.get("labels"))  # training's checks are a series of their own
                series.setdefault(of, []).append(located)
        newest = {path for revisions in series.values() for paths in _distinct(revisions)[-keep:] for path in paths}
        old = forsaken | ({path for revisions in series.values() for paths in revisions for path in paths} - newest)
        files[called] = tuple(sorted(path for path in old if path.is_file()))
    return files


def _distinct(revisions: list[list[Path]]) -> list[list[Path]]:
    """Revisions without those whose files a later one has written again."""
    last = {tuple(paths): number for number, paths in enumerate(revisions) if paths}
    return [list(paths) for paths, _ in sorted(last.items(), key=lambda item: item[1])]


def _locate(workspace: Workspace, stored: Iterable[object]) -> Iterable[Path]:
    """The files that an entry names, below the project's own folder; an HTML report's numbers lie beside it."""
    folder = workspace.project.folder.resolve()
    for name in stored:
        path = workspace.located(str(name)) if name else None
        if path is not None and path.resolve().is_relative_to(folder):
            yield path
            if path.parent.name == "reports" and path.suffix == ".html":
                yield path.with_suffix(".json")


def _known_runs(entries: Iterable[Entry]) -> set[str]:
    """The runs that the ledger names as trainings, those of pruned versions among them."""
    known = {str(entry.payload["run_id"]) for entry in entries if entry.step == "train"}
    for entry in entries:
        if entry.step == "prune":
            known |= {run_id for run_id, _, _ in entry.payload["versions"].values()}
    return known


def _record(workspace: Workspace, waste: Waste, keep: int) -> None:
    """Say in the ledger what goes, before it does."""
    name, newest = workspace.project.name, workspace.ledger.latest(workspace.project.name)
    payload = {
        "keep": keep,
        "versions": {str(n): [s.run_id, list(s.models), s.digest] for n, s in waste.versions.items()},
        "runs": {run_id: list(s.models) for run_id, s in waste.dead.items()},
        "files": {called: len(paths) for called, paths in waste.files.items()},
        "mb": waste.size / 1e6,
    }
    workspace.ledger.append(
        name,
        step="prune",
        key=digest("prune", payload, workspace.now),
        subject=None,
        outcome="removed",
        reason="; ".join(_list_waste(waste)),
        actor=workspace.actor,
        as_of=newest.as_of if newest else None,  # it looks from no moment: what `next` goes on from stays
        at=datetime.now(UTC),
        payload=payload,
    )


def _remove(workspace: Workspace, registry: Registry, shelf: Shelf, waste: Waste) -> None:
    if waste.versions or waste.dead:
        progress.info("removing from MLflow: %s", "; ".join(_list_waste(waste)[:2]))
        remove_stored(registry, workspace.project.name, shelf, waste.versions, list(waste.dead.values()))
    for paths in waste.files.values():
        for path in paths:
            path.unlink(missing_ok=True)
    for folder in workspace.project.folder.glob("*/"):
        sweep_folder(folder)


def _list_waste(waste: Waste) -> list[str]:
    parts = []
    if waste.versions:
        parts.append(f"versions {', '.join(map(str, sorted(waste.versions)))}")
    if waste.dead:
        parts.append(f"{len(waste.dead)} training runs without a version")
    parts += [f"{len(paths)} {called}" for called, paths in waste.files.items() if paths]
    return parts


def _describe(workspace: Workspace, registry: Registry, waste: Waste, keep: int, dry_run: bool) -> Iterable[str]:
    name = workspace.project.name
    if waste.empty:
        yield f"{name}: nothing to prune beyond the newest {keep} of each"
        return
    done = "would remove" if dry_run else "removed"
    yield f"{name}: {done} {waste.size / 1e6:,.1f} MB beyond the newest {keep} of each"
    if waste.versions:
        numbers, size = ", ".join(map(str, sorted(waste.versions))), _measure(waste.stored["versions"])
        yield f"  versions   {numbers} of {waste.registered}: never champion; {size / 1e6:,.1f} MB"
    if waste.dead:
        size = _measure(waste.stored["dead runs"])
        yield f"  runs       {len(waste.dead)} of trainings that were cut off; {size / 1e6:,.1f} MB"
    for called, paths in waste.files.items():
        if paths:
            yield f"  files      {len(paths)} {called}; {_measure(paths) / 1e6:,.1f} MB"
    if not registry.is_in_home and waste.versions:
        yield f"  on MLflow  the files at {registry.shown} go with `mlflow gc` there"
    if waste.versions:
        yield "  the ledger keeps what they were: trueup history"


def _measure(paths: Iterable[Path]) -> int:
    files = (file for path in paths for file in (path.rglob("*") if path.is_dir() else (path,)))
    return sum(file.stat().st_size for file in files if file.is_file())
