"""A backup back into an empty home: `trueup restore`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from flows.aliases import move_aliases
from flows.answer import Answer
from flows.backup import FILES, ROWS, called, check_champion, describe_projects, teller, verify_rows
from flows.keys import digest
from flows.workspace import Workspace, open_workspace
from tasks.backup.copying import check_space, put_back, sync_folders
from tasks.backup.manifest import Manifest, find_backup, read_manifest
from tasks.backup.places import take_place, unfinished
from tasks.config import LoadedProject, load_project
from tasks.errors import ConfigError, InfrastructureError
from tasks.ledger import Head, Ledger, locate_ledger, open_ledger
from tasks.registry import Registry, load_model_files, note_head, open_registry

progress = logging.getLogger("trueup.progress")


def restore(project: str, folder: str) -> Answer:
    """Put a backup into the project's home, which must be empty or missing: `folder` is one, or holds several.

    Everything is checked before anything is written: the files against the manifest, the rows' chain, the champions,
    which are loaded. ConfigError, InfrastructureError.
    """
    loaded = load_project(project)
    home, source = loaded.home, find_backup(Path(folder).expanduser().resolve())
    manifest = read_manifest(source)
    _check_target(loaded, manifest, source)
    progress.setLevel(logging.INFO)
    progress.info("checking %s files, %s MB", f"{len(manifest.files):,}", f"{manifest.size / 1e6:,.1f}")
    manifest.check(source)
    with unfinished(home.parent) as scratch:
        check_space(scratch, manifest.size)
        staged = scratch / FILES
        staged.mkdir()
        put_back(source, manifest.below(FILES), FILES, staged, teller("restored"))
        file = locate_ledger(home)
        inside = file is not None and file.is_relative_to(home)
        copied = staged / file.relative_to(home) if file is not None and inside else scratch / "ledger.db"
        with open_ledger(staged, f"sqlite:///{copied}") as ledger:
            _import_rows(ledger, manifest, source)
            for name in manifest.projects:
                check_champion(ledger, name, staged, staged, load_model_files)
        sync_folders(staged)
        if not inside:  # rows first: cut off here, the same command finds them and goes on
            with open_ledger(home) as ledger:
                _import_rows(ledger, manifest, source)
        take_place(staged, home)
        sync_folders(home.parent, deep=False)
    return _look_at_restored(project, manifest, source)


def _check_target(loaded: LoadedProject, manifest: Manifest, source: Path) -> None:
    home, found = loaded.home, called(open_registry(loaded.home))
    if loaded.name not in manifest.projects:
        raise ConfigError(f"{source}: holds {', '.join(manifest.projects)}, and not {loaded.name}.")
    if home.exists() and (not home.is_dir() or any(not path.is_dir() for path in home.rglob("*"))):
        raise ConfigError(
            f"{home}: is not empty; a backup is restored into an empty or missing home only. Move it away "
            f"(mv {home} {home}.before), or name another one with TRUEUP_HOME."
        )
    if manifest.registry == "home" != found:
        raise ConfigError("The backup holds MLflow's own store: unset MLFLOW_TRACKING_URI to restore it.")
    if found == "home" != manifest.registry:
        raise ConfigError(
            f"The backup's models are in MLflow at {manifest.registry}: set MLFLOW_TRACKING_URI to restore it."
        )


def _import_rows(ledger: Ledger, manifest: Manifest, source: Path) -> None:
    for name, kept in manifest.projects.items():
        with (source / ROWS / f"{name}.jsonl").open(encoding="ascii") as lines:
            ledger.restore(name, lines)
        if (ledger.head(name) or Head(0, "")) != Head(kept.rows, kept.head):
            raise InfrastructureError(f"{source}: the rows of {name} are not those that the manifest names.")


def _look_at_restored(project: str, manifest: Manifest, source: Path) -> Answer:
    with open_workspace(project, "now", [], "restore", reads=False) as workspace:
        loaded, registry = workspace.project, open_registry(workspace.project.home)
        lost = [sentence for name in manifest.projects if (sentence := _note_loss(workspace, registry, name, manifest))]
        if not registry.is_in_home:
            move_aliases(workspace)
        return Answer(
            (
                f"{loaded.name}: restored into {loaded.home} from {source}",
                f"  files      {len(manifest.below(FILES)):,}, {manifest.size / 1e6:,.1f} MB, as the manifest has them",
                *describe_projects(manifest),
                *(f"  look at    {sentence}" for sentence in lost),
                f"  next       trueup run {loaded.argument}",
            )
        )


def _note_loss(workspace: Workspace, registry: Registry, name: str, manifest: Manifest) -> str | None:
    """Where MLflow is on a server that went on since the backup, say in the ledger that its rows since are lost."""
    ledger, verified = workspace.ledger, verify_rows(workspace.ledger, registry, name)
    if verified.holds:
        return None
    newest = ledger.latest(name)
    sentence = (
        f"{name}: the ledger is again as of {manifest.made_at}, and MLflow at {registry.shown} is newer: what was done "
        "in between stands there and not in the ledger."
    )
    ledger.append(
        name,
        step="restore",
        key=digest("restore", name, manifest.made_at, workspace.now),
        subject=None,
        outcome="restored",
        reason=f"{sentence} {verified.sentence}",
        actor=workspace.actor,
        as_of=newest.as_of if newest else None,
        at=datetime.now(UTC),
        payload={"made_at": manifest.made_at, "rows": manifest.projects[name].rows},
    )
    head = ledger.head(name)
    if head is not None:
        note_head(registry, name, head)
    return sentence
