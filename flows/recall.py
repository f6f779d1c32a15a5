"""What was recorded of a training, read again: the project as it was then, its trials, and the rows it learned from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from flows.answer import show_plain
from flows.champion import version_of
from flows.plan import find_twin
from flows.validate import quarantined_rows
from flows.workspace import Workspace
from tasks.config import LoadedProject, Project
from tasks.data.source import Batch, read_source
from tasks.errors import ConfigError, DataError, InfrastructureError
from tasks.ledger import Entry
from tasks.registry import Registry, open_registry, read_artifact
from tasks.results import ModelVersion, Trial


@dataclass(frozen=True)
class Recording:
    """What a training left: its ledger entry, the project as it was then, finished trials, sampled test rows."""

    entry: Entry
    project: LoadedProject
    trials: tuple[Trial, ...]
    reference: pd.DataFrame

    @property
    def made(self) -> Mapping[str, Any]:
        """The payload of the training's entry."""
        return self.entry.payload

    @property
    def twin(self) -> int | None:
        """The version whose evidence is this one's, where it was fitted again after a look; else None."""
        return find_twin(self.made)

    @property
    def moment(self) -> datetime | None:
        """As of when labels were known; None for rows without time."""
        text = self.made["known_as_of"]
        return None if text is None else datetime.fromisoformat(text)


def read_recording(workspace: Workspace, version: int) -> Recording:
    """What was recorded of a version; ConfigError for one that the ledger does not know."""
    name = workspace.project.name
    entry = workspace.ledger.latest(name, step="train", subject=str(version))
    if entry is None:
        versions = [e.subject for e in workspace.ledger.entries(name, step="train")]
        known = f"Known: {', '.join(map(str, versions[-12:]))}" if versions else "Nothing was trained in this home yet"
        raise ConfigError(f"{name}: there is no version {version}. {known}. Check TRUEUP_HOME if there should be.")
    if "checks" not in entry.payload:
        raise InfrastructureError(
            f"{name}: version {version} was trained by a trueup that did not record which rows were in quarantine; "
            "only versions trained since can be reproduced."
        )
    registry, stored = open_registry(workspace.project.home), version_of(entry)
    text = read_artifact(registry, stored, "project.yaml", lambda path: path.read_text(encoding="utf-8"))
    try:
        spec = Project.model_validate(yaml.safe_load(text))
        trials = read_trials(registry, stored)
    except (ValidationError, yaml.YAMLError, ValueError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InfrastructureError(
            f"{name}: what was recorded of version {version} cannot be read by this trueup: {reason}. "
            f"It was trained by trueup {entry.code_version}; install that, or restore the run's files from a backup."
        ) from None
    # Where the rows are may have changed; which rows they were is told by the snapshot's fingerprint.
    now = workspace.project.spec.data
    where = now.labels.model_dump(include={"source", "query"}) if now.labels else {}
    labels = spec.data.labels.model_copy(update=where) if spec.data.labels else None
    data = spec.data.model_copy(update={"source": now.source, "labels": labels})
    project = replace(workspace.project, spec=spec.model_copy(update={"data": data}))
    columns = [*entry.payload["features"]]
    reference = read_artifact(registry, stored, "reference.parquet", lambda path: _read_reference(path, columns))
    return Recording(entry, project, trials, reference)


def _read_reference(path: Path, features: Sequence[str]) -> pd.DataFrame:
    rows = pd.read_parquet(path)
    return rows[[*features, *(name for name in rows if name not in features)]]  # KeyError where one is not in it


def read_trials(registry: Registry, version: ModelVersion) -> tuple[Trial, ...]:
    """The finished trials of the search that a version comes from."""
    return read_artifact(registry, version, "trials.json", _read_trials)


def _read_trials(path: Path) -> tuple[Trial, ...]:
    made = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Trial(**{**trial, "scores": tuple(trial["scores"])}) for trial in made)


def find_batches(workspace: Workspace, then: Recording) -> list[Batch]:
    """The batches that were learned from, as they are now; DataError where rows of them are gone."""
    known = {path: file.payload for path, file in workspace.ledger.known_files(then.project.name).items()}
    moment = then.moment or then.entry.as_of
    there = {b.key: b.at(moment) for b in read_source(then.project, known).batches}
    gone = []
    for key in then.made["batches"]:
        count = find_check(workspace, then, key).payload["rows"]
        if key not in there:
            gone.append(f"batch {key} with {count:,} rows")
        elif there[key].rows < count:
            gone.append(f"{count - there[key].rows:,} of the {count:,} rows of batch {key}")
    if gone:
        raise DataError(
            f"{then.project.name}: version {then.entry.subject} cannot be trained again: {show_plain(', '.join(gone))} "
            f"are gone from {then.project.spec.data.called}. Restore them, and ask again."
        )
    return [there[key] for key in then.made["batches"]]


def find_check(workspace: Workspace, then: Recording, key: str) -> Entry:
    """The check against the contract that the training of a batch relied on."""
    found = workspace.ledger.find(then.project.name, "validate", then.made["checks"][key])
    if found is None:
        raise InfrastructureError(
            f"{then.project.name}: the ledger has no check of batch {key} as version {then.entry.subject} relied on: "
            "which of its rows were in quarantine is not known. Restore the ledger from a backup."
        )
    return found


def find_quarantines(workspace: Workspace, then: Recording) -> dict[str, NDArray[np.int64]]:
    """Per batch the positions of the rows that were in quarantine then."""
    return {key: quarantined_rows(workspace, find_check(workspace, then, key)) for key in then.made["batches"]}
