"""A fitted model on its way into MLflow and the ledger: its files, tried in a fresh process; then its registration."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.champion import SEEN
from flows.workspace import Workspace
from tasks.config import Project
from tasks.config.project import Data
from tasks.data.seen import Hashes
from tasks.data.source import Batch
from tasks.errors import InfrastructureError
from tasks.ledger import Entry
from tasks.monitoring.reference import make_profile, make_reference
from tasks.registry import (
    StoredFiles,
    TrainingRecord,
    find_training,
    has_version,
    open_registry,
    predict_in_fresh_process,
    read_artifact,
    register,
    save_model_files,
)
from tasks.results import FittedModel, ModelVersion, Soundness, Split, TrainingFrame
from tasks.stage import crash_point
from tasks.stats.personal import FEWEST_OF_A_VALUE, find_personal
from tasks.stats.prediction import predict_rows
from tasks.training.candidates import TRUSTED_TYPES

progress = logging.getLogger("trueup.progress")
PROBED_ROWS = 1_000
NOT_SHOWN = "(not shown)"


def recover_training(workspace: Workspace, key: str) -> Entry | None:
    """Write a training to the ledger that was registered, and cut off before the ledger knew; None where there is none.

    Whoever begins a training asks this first, so that the same key never makes two versions.
    """
    registry = open_registry(workspace.project.home)
    known = find_training(registry, workspace.project.name, key)
    if known is None:
        return None
    payload = read_artifact(registry, known, "training.json", lambda path: dict(json.loads(path.read_bytes())))
    return _record(workspace, key, known, payload)


def check_numbering(workspace: Workspace) -> None:
    """InfrastructureError where MLflow no longer has the newest version: it would give that number a second time."""
    name, registry = workspace.project.name, open_registry(workspace.project.home)
    newest = workspace.ledger.latest(name, step="train")
    if newest is not None and not has_version(registry, name, int(str(newest.subject))):
        raise InfrastructureError(
            f"{name}: MLflow at {registry.shown} does not have version {newest.subject}, the newest in the ledger, and "
            "would give its number to another model. It was deleted there, or MLFLOW_TRACKING_URI names another store. "
            f"Name the right store, or restore MLflow: trueup restore {workspace.project.argument} DIR."
        )


def register_version(workspace: Workspace, record: TrainingRecord, payload: Mapping[str, Any]) -> Entry:
    """Register a training in MLflow, and write it to the ledger."""
    progress.info("registering")
    version = register(open_registry(workspace.project.home), workspace.project.name, record)
    crash_point("after-register")
    return _record(workspace, record.training_key, version, payload)


def store_model(
    model: FittedModel, rows: TrainingFrame, split: Split, folder: Path, spec: Project | None = None
) -> tuple[StoredFiles, Soundness, NDArray[np.float64]]:
    """The model's files, how they behave in a fresh process, and the predictions on the test rows.

    `spec` says which columns hold personal data, and which only look so, for the rows that MLflow shows as an example.
    """
    features = list(model.features)
    test = rows.frame[features].iloc[list(split.test)]
    prediction = predict_rows(model.estimator, test, model.task)
    stored = save_model_files(
        model.estimator,
        folder,
        input_example=make_example(rows.frame[features], spec.data if spec else None),
        pip_requirements=_requirements(),
        trusted_types=TRUSTED_TYPES,
    )
    probed = test.head(PROBED_ROWS)
    soundness = predict_in_fresh_process(stored.path, stored.digest, probed, prediction[: len(probed)], model.task)
    return stored, soundness, prediction


def make_example(rows: pd.DataFrame, data: Data | None = None) -> pd.DataFrame:
    """Five rows that MLflow shows on the model's page, in the types of all: without values of columns that look like
    personal data, and without texts that few rows hold."""
    example = rows.head(5).copy()
    personal = find_personal(rows, stated=data.personal if data else (), cleared=data.not_personal if data else ())
    for name in rows.columns:
        column = example[name]
        if name in personal:
            example[name] = _hide_values(column, column.notna())
        elif column.map(lambda value: isinstance(value, str)).any():
            counts = rows[name][rows[name].isin(column)].value_counts()
            rare = column.map(counts) < FEWEST_OF_A_VALUE
            example[name] = _hide_values(column, rare & column.map(lambda value: isinstance(value, str)))
    return example


def _hide_values(column: pd.Series[Any], hidden: pd.Series[Any]) -> pd.Series[Any]:
    """A neutral value of the same type where one is hidden."""
    dtype = column.dtype
    neutral: Any = NOT_SHOWN
    if pd.api.types.is_bool_dtype(dtype):
        neutral = False
    elif pd.api.types.is_numeric_dtype(dtype):
        neutral = 0
    elif isinstance(dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(dtype):
        neutral = pd.Timestamp(0, tz=getattr(dtype, "tz", None))
    return column.mask(hidden, neutral)


def write_references(
    model: FittedModel,
    rows: TrainingFrame,
    split: Split,
    prediction: NDArray[np.float64],
    listed: Hashes | None,
    spec: Project,
    folder: Path,
    batches: Sequence[Batch],
) -> tuple[dict[str, Path], dict[str, str]]:
    """What later windows and challengers are compared with, as files and texts of the version's run.

    `prediction` is that of the evaluated model on the test rows; `listed` names the rows that the model has seen;
    `batches` are those that the rows come from.
    """
    served = replace(rows, features=model.features)  # what monitoring compares with: only what the model sees
    sample = make_reference(
        served, split, prediction, rows=spec.monitor.sample_rows, seed=spec.train.seed, threshold=model.threshold
    )
    files = {"reference.parquet": folder / "reference.parquet"}
    sample.to_parquet(files["reference.parquet"])
    if listed is not None:
        files[SEEN] = folder / SEEN
        np.save(files[SEEN], listed, allow_pickle=False)
    periods = {b.key: (b.start, b.end) for b in batches}
    return files, {"profile.json": make_profile(served, split.test, prediction, spec, periods).to_json()}


def _record(workspace: Workspace, key: str, version: ModelVersion, payload: Mapping[str, Any]) -> Entry:
    made = {**payload, "run_id": version.run_id, "digest": version.digest, "uri": version.uri}
    verdict = made["verdict"]
    return workspace.record("train", key, str(version.version), verdict["outcome"], verdict["reason"], made)


def _requirements() -> list[str]:
    """What a process needs to load the model: the libraries in its files, at their versions."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("trueup", "scikit-learn", "pandas", "numpy", "skops")]
