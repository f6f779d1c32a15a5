"""The champion as the ledger names it, loaded from the registry: what scores, and what challengers have to meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.workspace import Workspace
from tasks.config import TaskType
from tasks.data.seen import find_unseen
from tasks.errors import ConfigError, DataError, InfrastructureError
from tasks.evaluation.contender import Contender
from tasks.evaluation.fairness import name_limit
from tasks.evaluation.gates import COMPARED, WITHDRAWN
from tasks.ledger import Entry, Ledger
from tasks.registry import load_version, open_registry, read_artifact
from tasks.results import Audit, ModelVersion, TrainingFrame

SEEN = "seen.npy"  # in a version's MLflow run: hashes of the rows that it has seen, where a rule does not tell them


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

    @property
    def contender(self) -> Contender:
        """As it is judged."""
        return Contender(self.estimator, self.features, self.threshold, self.classes)


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
    """Any version that the ledger knows; ConfigError for one that was pruned."""
    entry = find_training(workspace, version)
    pruned = find_pruned(workspace.ledger, workspace.project.name).get(version)
    if pruned is not None:
        raise ConfigError(
            f"{workspace.project.name}: version {version} was pruned on {pruned.at:%Y-%m-%d} by {pruned.actor}: its "
            "model is gone, only its record is left. Restore a backup from before, or train again: "
            f"trueup train {workspace.project.argument} --force"
        )
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


def find_opponent(workspace: Workspace) -> tuple[Served | None, str]:
    """The champion to compare with, and what the gate is told: none, compared, unreadable or withdrawn, and why."""
    if workspace.ledger.champion(workspace.project.name) is None:
        return None, "none"
    try:
        champion = load_champion(workspace)
    except InfrastructureError as error:
        return None, f"unreadable: {error}"
    forbidden = find_forbidden(workspace, champion)
    if forbidden:  # compared on it, no honest challenger could ever replace a model that reads a leak
        return champion, f"{WITHDRAWN}{forbidden}"
    return champion, COMPARED


def withdraw_unfair(state: str, audit: Audit) -> str:
    """What the champion gate is told once the audit is there: a champion that breaks a fairness limit which the
    challenger is shown to keep is no bar to meet, or nothing that treats people more alike could ever replace it."""
    kept = {name_limit(f.by, f.metric) for f in audit.fairness if f.finding == "pass"}
    broken = [name for name in audit.champion_breaks if name in kept]
    if state != COMPARED or not broken:
        return state
    named = ", ".join(broken)
    return f"{WITHDRAWN}breaks the limit that the project file sets for {named}, which this version is shown to keep"


def find_forbidden(workspace: Workspace, served: Served) -> str:
    """Why the project file no longer allows what a version reads; empty where it does."""
    columns = sorted(set(served.features) & workspace.project.spec.unreadable)
    names = ", ".join(map(repr, columns))
    return f"reads {names}, which the project file no longer allows as a feature" if columns else ""


def find_unseen_rows(workspace: Workspace, served: Served, rows: TrainingFrame) -> NDArray[np.bool_]:
    """Which of `rows` (n,) a version's fit, search and calibration have not seen.

    DataError where that cannot be told any more.
    """
    facts = served.trained.get("seen")
    if facts is None:
        raise DataError("which rows it has seen was not recorded when it was trained; train again.")
    listed = None
    if facts["how"] == "list":
        try:
            listed = read_artifact(open_registry(workspace.project.home), served.version, SEEN, _read_hashes)
        except InfrastructureError as error:
            raise DataError(f"the list of the rows that it has seen is not there: {error}") from None
    return find_unseen(facts, listed, rows, workspace.project.spec)


def _read_hashes(path: Path) -> NDArray[np.uint64]:
    hashes = np.load(path, allow_pickle=False)
    if hashes.ndim != 1 or hashes.dtype != np.uint64:
        raise ValueError(f"{hashes.dtype} of {hashes.ndim} dimensions; expected a row of uint64")
    return np.asarray(hashes, np.uint64)


def find_evidence(workspace: Workspace, version: int) -> Entry:
    """What a version's verdict rests on: its training, or the newest look at it since."""
    looked = workspace.ledger.latest(workspace.project.name, step="look", subject=str(version))
    return looked or find_training(workspace, version)


def find_training(workspace: Workspace, version: int) -> Entry:
    """The ledger's entry of the training that made a version."""
    entry = workspace.ledger.latest(workspace.project.name, step="train", subject=str(version))
    if entry is None:
        raise InfrastructureError(
            f"{workspace.project.name}: the ledger has no training of version {version}. "
            "Check TRUEUP_HOME and TRUEUP_DATABASE_URL: they may name another home than the one that trained it."
        )
    return entry


def find_pruned(ledger: Ledger, name: str) -> dict[int, Entry]:
    """The versions whose models were removed for good, each with the entry that says so."""
    return {int(number): entry for entry in ledger.entries(name, step="prune") for number in entry.payload["versions"]}


def version_of(entry: Entry) -> ModelVersion:
    """The registered model that a training made."""
    fields = ("run_id", "digest", "training_key", "snapshot", "uri")
    return ModelVersion(entry.project, int(str(entry.subject)), *(entry.payload[f] for f in fields))
