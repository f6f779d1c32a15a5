"""The champion as the ledger names it, loaded from the registry: what scores, and what challengers have to meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.workspace import Workspace
from tasks.config import TaskType
from tasks.errors import DataError, InfrastructureError
from tasks.ledger import Entry
from tasks.registry import load_version, open_registry
from tasks.results import ModelVersion


@dataclass(frozen=True)
class Served:
    """A registered version, loaded and ready to predict."""

    version: ModelVersion
    estimator: Any
    task: TaskType
    classes: tuple[Any, ...]
    features: tuple[str, ...]
    threshold: float | None
    trained: Mapping[str, Any]  # the payload of its training


def load_champion(workspace: Workspace) -> Served:
    """The champion; DataError where there is none yet, InfrastructureError where it cannot be read or was changed."""
    champion = workspace.ledger.champion(workspace.project.name)
    if champion is None:
        project = workspace.project
        raise DataError(
            f"{project.name}: no champion yet, so nothing can be scored. Train one first: trueup run {project.argument}"
        )
    return load_served(workspace, champion.version)


def load_served(workspace: Workspace, version: int) -> Served:
    """Any version that the ledger knows."""
    entry = find_training(workspace, version)
    stored = version_of(entry)
    trained = entry.payload
    estimator = load_version(open_registry(workspace.project.home), stored)
    return Served(
        version=stored,
        estimator=estimator,
        task=trained["task"],
        classes=tuple(trained["classes"]),
        features=tuple(trained["features"]),
        threshold=trained["threshold"],
        trained=trained,
    )


def find_training(workspace: Workspace, version: int) -> Entry:
    """The ledger's entry of the training that made a version."""
    entry = workspace.ledger.latest(workspace.project.name, step="train", subject=str(version))
    if entry is None:
        raise InfrastructureError(
            f"{workspace.project.name}: the ledger has no training of version {version}. "
            "Check TRUEUP_HOME and TRUEUP_DATABASE_URL: they may name another home than the one that trained it."
        )
    return entry


def version_of(entry: Entry) -> ModelVersion:
    """The registered model that a training made."""
    fields = ("run_id", "digest", "training_key", "snapshot", "uri")
    return ModelVersion(entry.project, int(str(entry.subject)), *(entry.payload[f] for f in fields))
