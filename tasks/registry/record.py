"""What a training leaves in MLflow, as plain values within MLflow's limits."""

from __future__ import annotations

import hashlib
import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.registry.files import StoredFiles
from tasks.results import Audit, Evaluation, FittedModel, to_json

LONGEST_TEXT = 5000  # of a parameter or tag; what is longer goes into a file
_LONGEST_NAME = 200
_MOST_COLUMNS = 2000  # in a dataset's schema


@dataclass(frozen=True)
class DatasetRecord:
    """Rows that a training used, for MLflow's dataset tracking. `digest` is our own fingerprint: nothing is re-read."""

    name: str
    context: str  # "train", "test" ...
    digest: str
    source: str  # the project file's source
    rows: int
    columns: Mapping[str, str]  # name -> dtype


@dataclass(frozen=True)
class TrainingRecord:
    """One training, ready to be registered.

    `training_key` is the hash of everything that the training read: the same key is registered once. `files` and
    `texts` become the run's artifacts, by path within them; `metrics` that are not finite are left out.
    """

    training_key: str
    snapshot: str
    stored: StoredFiles
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]  # git_commit, lock, code_version, candidate ...
    datasets: Sequence[DatasetRecord] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    actor: str = ""


def list_params(model: FittedModel) -> dict[str, str]:
    """A fitted model's parameters for the run: the estimator's own under `model/`, and how it was made."""
    made = {
        "candidate": model.candidate,
        "task": model.task,
        "metric": model.metric,
        "calibration": model.calibration,
        "threshold": model.threshold,
        "trials": len(model.trials),
        "features": len(model.features),
    }
    own = {f"model/{name}": value for name, value in model.params.items()}
    return {name: value if isinstance(value, str) else to_json(value) for name, value in {**made, **own}.items()}


def list_metrics(evaluation: Evaluation, audit: Audit | None = None) -> dict[str, float]:
    """An evaluation's numbers for the run: `test/<metric>` with the ends of its interval, baseline and champion; and
    an audit's `fairness/<columns>/<measure>`."""
    found: dict[str, float] = {"test/rows": float(evaluation.rows)}
    for value in evaluation.metrics:
        found[f"test/{value.name}"] = value.value
        found[f"test/{value.name}_low"] = value.low
        found[f"test/{value.name}_high"] = value.high
    found[f"baseline/{evaluation.baseline.name}"] = evaluation.baseline.value
    if evaluation.champion is not None:
        found[f"champion/{evaluation.champion.name}"] = evaluation.champion.value
    for groups in audit.groups if audit else ():
        found |= {f"fairness/{' x '.join(groups.by)}/{name}": value for name, value in groups.gaps.items()}
    return found


def clean_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values under names that MLflow takes: column names in them come from strangers."""
    cleaned = {}
    for name, value in values.items():
        parts = [re.sub(r"[^\w\-. :]", "_", part) for part in name.split("/")]
        new = "/".join(part if part.strip(". ") else "_" for part in parts)
        if new != name or len(name) > _LONGEST_NAME:
            mark = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:6]
            new = f"{new[:_LONGEST_NAME]}-{mark}"  # two names may not become one
        cleaned[new] = value
    return cleaned


def write_note(text: str) -> str:
    """A text for MLflow's pages, which read Markdown and HTML in it: a stranger's name may not load a picture."""
    return html.escape(text, quote=False).replace("](", "]&#40;")[:LONGEST_TEXT]


def finite_metrics(values: Mapping[str, float]) -> dict[str, float]:
    """The finite ones among the metrics, under names that MLflow takes."""
    return clean_names({name: float(value) for name, value in values.items() if math.isfinite(value)})


def make_inputs(datasets: Sequence[DatasetRecord]) -> list[Any]:
    """The datasets as MLflow's entities."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for data in datasets:
        columns = list(data.columns.items())[:_MOST_COLUMNS]
        schema = [{"name": name, "type": _column_type(dtype), "required": False} for name, dtype in columns]
        entity = Dataset(
            name=data.name[:500],
            digest=data.digest[:36],  # MLflow's limit; the whole one is in the run's tags
            source_type="local",
            source=json.dumps({"uri": data.source[:LONGEST_TEXT]}),
            schema=json.dumps({"mlflow_colspec": schema}),
            profile=json.dumps({"num_rows": data.rows, "num_elements": data.rows * len(data.columns)}),
        )
        inputs.append(DatasetInput(entity, [InputTag("mlflow.data.context", data.context)]))
    return inputs


def list_columns(frame: pd.DataFrame) -> dict[str, str]:
    """The columns of a frame and their dtypes, for a DatasetRecord."""
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


def _column_type(dtype: str) -> str:
    for start, kind in (("int", "long"), ("float", "double"), ("bool", "boolean"), ("datetime", "datetime")):
        if dtype.lower().startswith(start):
            return kind
    return "string"
