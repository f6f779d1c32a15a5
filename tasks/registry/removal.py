"""Taking versions and dead runs out of the registry: first what names them, then their files.

What is to go is written down elsewhere before (the ledger); every call does what of it is still to be done, so one
that was cut off is finished by the next. The caller holds the project's lock.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import InfrastructureError
from tasks.registry.connection import Registry
from tasks.registry.versions import TAG

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_SAMPLE = "reference.parquet"  # of a run: the rows that monitoring would compare a champion's windows with
_AT_ONCE = 1000


@dataclass(frozen=True)
class Stored:
    """What MLflow keeps of one training: its run, the models logged by it, and their digest (None: no version)."""

    run_id: str
    models: tuple[str, ...]
    digest: str | None = None

    def __post_init__(self) -> None:
        """InfrastructureError for ids that are none of MLflow's: they name folders."""
        if not _RUN_ID.fullmatch(self.run_id) or not all(_MODEL_ID.fullmatch(m) for m in self.models):
            raise InfrastructureError(f"no run or model of MLflow: {self.run_id!r}, {self.models!r}")


@dataclass(frozen=True)
class Shelf:
    """What a project has in the registry now. `named` are the versions that an alias names; `dead` the training runs
    without a version, by run id; `models` all logged models that are not deleted."""

    versions: Mapping[int, Stored]
    named: frozenset[int]
    dead: Mapping[str, Stored]
    models: frozenset[str]


def read_shelf(registry: Registry, project: str, known: Collection[str]) -> Shelf:
    """The versions that trueup registered, and the training runs that led to none; others' are left out.

    `known` are the runs of trainings that are on record. A store that is not the home's own may serve other homes
    too: there only these count, and no run is dead.
    """
    client = registry.client()
    experiment = registry.experiment(project)
    with registry.errors():
        found = list(_pages(client.search_model_versions, f"name = '{project}'"))
        models = list(_pages(client.search_logged_models, [experiment]))
        runs = list(_pages(client.search_runs, [experiment], f"tags.`{TAG}kind` = 'training'"))
        registered = client.get_registered_model(project) if found else None
    made: dict[str, list[str]] = {}
    for model in models:
        made.setdefault(model.source_run_id or "", []).append(model.model_id)
    versions = {
        int(v.version): Stored(v.run_id, tuple(sorted(made.get(v.run_id, ()))), v.tags[f"{TAG}digest"])
        for v in found
        if f"{TAG}digest" in v.tags and (v.run_id in known or registry.is_in_home)
    }
    living = {*known, *(v.run_id for v in found)}
    dead = [r for r in runs if r.info.run_id not in living] if registry.is_in_home else []
    return Shelf(
        versions,
        frozenset(int(number) for number in registered.aliases.values()) if registered else frozenset(),
        {r.info.run_id: Stored(r.info.run_id, tuple(sorted(made.get(r.info.run_id, ())))) for r in dead},
        frozenset(model.model_id for model in models),
    )


def list_files(registry: Registry, stored: Stored) -> list[Path]:
    """The files and folders on this machine that go with a training; those of a dead run with all its artifacts."""
    there = [registry.home / "mlflow" / "fetched" / stored.run_id]
    if stored.digest is not None:
        there.append(registry.home / "mlflow" / "models" / stored.digest)
    if registry.artifacts is not None:
        run = registry.artifacts / stored.run_id
        there += [registry.artifacts / "models" / model for model in stored.models]
        there.append(run if stored.digest is None else run / "artifacts" / _SAMPLE)
    return [path for path in there if path.exists()]


def remove_stored(
    registry: Registry, project: str, shelf: Shelf, versions: Mapping[int, Stored], dead: Sequence[Stored]
) -> None:
    """Take versions and dead runs out of MLflow and remove their files from this machine.

    A version's run stays, with its parameters, metrics and pages: it is the record of what was tried. Of a dead run
    all goes. Files that an MLflow server keeps are left to `mlflow gc` there.
    """
    client = registry.client()
    going = [*versions.values(), *dead]
    with registry.errors():
        for number in sorted(versions):
            if number in shelf.versions:
                client.delete_model_version(project, str(number))
        for model in sorted({m for stored in going for m in stored.models} & shelf.models):
            client.delete_logged_model(model)
        for stored in dead:
            if stored.run_id in shelf.dead:
                client.delete_run(stored.run_id)
    for stored in going:
        for path in list_files(registry, stored):
            _remove(path)


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InfrastructureError(
            f"{path}: cannot be removed: {error.strerror or error}. Nothing names it any more; mend its permissions "
            "and prune again."
        ) from None
    with suppress(OSError):  # the folder it was in, where that is empty now
        path.parent.rmdir()


def _pages(search: Any, *arguments: Any) -> Iterator[Any]:
    token = None
    while True:
        found = search(*arguments, max_results=_AT_ONCE, page_token=token)
        yield from found
        token = found.token
        if not token:
            return
