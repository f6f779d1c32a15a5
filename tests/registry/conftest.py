"""A small fitted model, its stored files, and an empty MLflow store per test."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tasks.registry import DatasetRecord, Registry, StoredFiles, TrainingRecord, open_registry, save_model_files

TRUSTED = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor", "numpy.dtype", "functools.partial")


@dataclass(frozen=True)
class Model:
    """A fitted pipeline, rows it takes, and its stored files."""

    estimator: Any
    rows: pd.DataFrame
    stored: StoredFiles


def make_rows(count: int = 400) -> pd.DataFrame:
    """Numbers, whole numbers, and text with missing values."""
    rng = np.random.default_rng(3)
    text = pd.Series(rng.choice(["x", "y", "<b>z"], count), dtype="str")
    text[::17] = None
    return pd.DataFrame({"a": rng.normal(size=count), "n": np.arange(count), "s": text})


def fit(rows: pd.DataFrame) -> Any:
    """A small pipeline of the kind that trueup trains."""
    encode = ColumnTransformer([("s", OneHotEncoder(handle_unknown="ignore"), ["s"])], remainder="passthrough")
    model = HistGradientBoostingClassifier(max_iter=5, random_state=0)
    return make_pipeline(encode, model).fit(rows, (rows.a > 0).astype(int))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """One model for all tests that only read it."""
    rows = make_rows()
    estimator = fit(rows)
    folder = tmp_path_factory.mktemp("model") / "files"
    stored = save_model_files(
        estimator,
        folder,
        input_example=rows.head(3),
        pip_requirements=["scikit-learn==1.9.1"],
        trusted_types=[*TRUSTED, "sklearn.utils.validation.check_array"],
    )
    return Model(estimator, rows, stored)


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose MLflow store was just created: a template, since the migrations take a second."""
    home = tmp_path_factory.mktemp("template")
    open_registry(home).client()
    return home


@pytest.fixture
def registry(tmp_path: Path, empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty store in a home of its own; the current folder is another one and must stay empty."""
    import shutil

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = tmp_path / "home"
    (home / "mlflow").mkdir(parents=True)
    shutil.copyfile(empty_home / "mlflow" / "mlflow.db", home / "mlflow" / "mlflow.db")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return open_registry(home)


def make_record(model: Model, key: str = "k1", **changes: Any) -> TrainingRecord:
    """A training of the model."""
    values: dict[str, Any] = {
        "training_key": key,
        "snapshot": "s" * 64,
        "stored": model.stored,
        "params": {"candidate": "hist_gradient_boosting", "model/max_iter": 5},
        "metrics": {"test/roc_auc": 0.7, "test/roc_auc.low": 0.6, "test/undefined": float("nan")},
        "tags": {"git_commit": "abc123", "lock": "l" * 64, "code_version": "0.1.0"},
        "datasets": [DatasetRecord("flights", "train", "s" * 64, "data/*.parquet", 400, {"a": "float64", "s": "str"})],
        "files": {"profile.json": model.stored.path / "MLmodel"},
        "texts": {"project.yaml": "name: flights\n", "plots/roc.svg": "<svg/>"},
        "description": "The first one.",
        "actor": "ada",
    }
    return TrainingRecord(**{**values, **changes})


def environment() -> dict[str, str]:
    """The environment for a child process, with this code importable from anywhere."""
    code = str(Path(__file__).resolve().parents[2])
    return {**{k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}, "PYTHONPATH": code}
