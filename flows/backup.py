"""A verifiable copy of a home: `trueup backup`; flows/restore.py brings it back.

The copy is of the whole home, not of one project: MLflow's database, Prefect's and Evidently's history are shared by
all projects of a home, so a part of them would be no state that ever was. The project that is named says which home.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from flows.answer import Answer
from flows.champion import version_of
from flows.workspace import LOCK_SECONDS, find_actor
from tasks.backup.copying import check_space, copy_files, list_files, sync_folders
from tasks.backup.manifest import KeptFile, KeptProject, Manifest, digest_file
from tasks.backup.places import name_backup, unfinished
from tasks.config import LoadedProject, load_project
from tasks.errors import ConfigError, InfrastructureError
from tasks.ledger import Head, Ledger, Verification, open_ledger
from tasks.registry import Registry, check_digest, locate_model, open_registry, place_here, read_head

progress = logging.getLogger("trueup.progress")
FILES, ROWS = "home", "ledger"  # the parts of a backup
TELL_SECONDS = 2.0


def back_up(project: str, folder: str) -> Answer:
    """Copy the project's home into a new dated folder below `folder`, whole or not at all.

    Taken under the locks of all its projects. Refused where a champion's files or a ledger's chain are not what was
    recorded: what cannot be restored is no backup. ConfigError, InfrastructureError.
    """
    loaded = load_project(project)
    home, target = loaded.home.resolve(), Path(folder).expanduser().resolve()
    if not home.is_dir():
        raise ConfigError(f"{loaded.name}: nothing to back up: {home} is not there. Check TRUEUP_HOME.")
    if target.is_relative_to(home):
        raise ConfigError(f"{folder}: lies inside the home {home}; expected a folder outside, best on another disk.")
    progress.setLevel(logging.INFO)
    with open_ledger(home) as ledger, _locked(ledger, loaded) as names, unfinished(target) as scratch:
        made = scratch / "backup"
        made.mkdir()
        manifest = _copy_home(home, ledger, names, made)
        manifest.write(made)
        sync_folders(made)
        final = name_backup(made, target, lambda: datetime.now(UTC))
        sync_folders(target, deep=False)
    return Answer(_describe_backup(loaded, manifest, final))


def _copy_home(home: Path, ledger: Ledger, names: Sequence[str], made: Path) -> Manifest:
    """Ledger first, then databases, then files: each refers only to what is copied after it."""
    registry = open_registry(home)
    left = [ledger.file] if ledger.file else []
    files = list_files(home, left)
    check_space(made, sum(path.stat().st_size for path, _ in files))
    projects, kept = {}, []
    for name in names:
        verified, head, champion = verify_rows(ledger, registry, name), ledger.head(name), ledger.champion(name)
        if not verified.holds:
            raise InfrastructureError(f"{name}: no backup was made of a ledger that was changed. {verified.sentence}")
        head = head or Head(0, "")
        projects[name] = KeptProject(head.seq, head.hash, champion.version if champion else None)
        kept.append(_export_rows(ledger, name, made))
    databases = [(path, name) for path, name in files if path.suffix == ".db"]
    kept += copy_files(databases, made, FILES)
    others = [pair for pair in list_files(home, left) if pair not in databases]
    kept += copy_files(others, made, FILES, teller("copied"))
    for name in names:
        check_champion(ledger, name, made / FILES, home, check_digest)
    return Manifest(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        trueup=version("trueup"),
        home=str(home),
        registry=called(registry),
        projects=projects,
        missing=_list_missing(home, registry),
        files=tuple(kept),
    )


def _list_missing(home: Path, registry: Registry) -> tuple[str, ...]:
    missing = ["project files, contracts and source tables: they are yours, and not in the home"]
    if not registry.is_in_home:
        missing.append(f"MLflow's runs, models and aliases at {registry.shown}: back that store up by its own means")
    if (home / "replays").is_dir():
        missing.append("what replays lived through, but for their pages and tables: trueup replay makes it again")
    if not (home / "prefect" / "prefect.db").is_file():
        missing.append("Prefect's history of runs: its database is not in the home")
    return tuple(missing)


def check_champion(ledger: Ledger, name: str, copied: Path, home: Path, check: Callable[[Path, str], object]) -> None:
    """Whether the champion's files in a copy of the home pass `check`; a model on a server is looked for there."""
    champion = ledger.champion(name)
    if champion is None:
        return
    trained = ledger.latest(name, step="train", subject=str(champion.version))
    try:
        if trained is None:
            raise InfrastructureError("The ledger has no training of it.")
        model = version_of(trained)
        here = place_here(copied / "mlflow" / "artifacts", model.uri)
        check(here if here is not None else locate_model(open_registry(home), model), model.digest)
    except InfrastructureError as error:
        raise InfrastructureError(
            f"{name}: the champion, version {champion.version}, is not whole, so nothing was kept. {error}"
        ) from None


def _export_rows(ledger: Ledger, name: str, made: Path) -> KeptFile:
    path = made / ROWS / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("x", encoding="ascii") as file:
        for line in ledger.export(name):
            file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    return KeptFile(path.relative_to(made).as_posix(), path.stat().st_size, digest_file(path))


def _describe_backup(loaded: LoadedProject, manifest: Manifest, final: Path) -> tuple[str, ...]:
    return (
        f"{loaded.name}: backup of {manifest.home} in {final}",
        f"  files      {len(manifest.files):,}, {manifest.size / 1e6:,.1f} MB, each with its SHA-256 in the manifest",
        *describe_projects(manifest),
        *(f"  not in it  {sentence}" for sentence in manifest.missing),
        f"  back       trueup restore {loaded.argument} {final}",
    )


def describe_projects(manifest: Manifest) -> Iterator[str]:
    for name, kept in manifest.projects.items():
        champion = f"version {kept.champion} is champion, its files fit" if kept.champion else "no champion yet"
        yield f"  {name:<10} {kept.rows:,} rows in the ledger, the chain holds; {champion}"


def verify_rows(ledger: Ledger, registry: Registry, name: str) -> Verification:
    noted = read_head(registry, name)
    return ledger.verify(name, Head(*noted) if noted else None)


def called(registry: Registry) -> str:
    return "home" if registry.is_in_home else registry.shown


@contextmanager
def _locked(ledger: Ledger, loaded: LoadedProject) -> Iterator[list[str]]:
    """The projects of the home, all held: nothing is trained, scored or released while they are copied."""
    names = {loaded.name}
    inside = ledger.file is not None and ledger.file.is_relative_to(loaded.home.resolve())
    # A ledger elsewhere may serve other homes too: a project of this one has its folder here.
    names |= {name for name in ledger.projects() if inside or (loaded.home / name).is_dir()}
    holder, now = f"trueup backup by {find_actor()}", datetime.now(UTC)
    with ExitStack() as stack:
        for name in sorted(names):  # in one order, so that two backups do not wait for each other for ever
            stack.enter_context(ledger.lock(name, holder=holder, wait_seconds=LOCK_SECONDS, at=now))
        if ledger.latest(loaded.name) is None:
            raise ConfigError(f"{loaded.name}: nothing to back up: nothing was done in {loaded.home} yet.")
        yield sorted(names)


def teller(what: str) -> Callable[[int, int], None]:
    """Says how far a copy is, every few seconds."""
    told = time.monotonic()

    def tell(done: int, whole: int) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            progress.info("%s %s of %s MB", what, f"{done / 1e6:,.0f}", f"{whole / 1e6:,.0f}")

    return tell
