"""Projects with a target of several classes, or of numbers, and turns of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn import metrics as sk

from flows.preview import preview_turn
from flows.run import run
from flows.summary import TurnReport
from tasks.config import load_project
from tasks.data.snapshot import gather_training_rows
from tasks.data.source import index_source
from tasks.data.split import split_training_rows
from tasks.ledger import Entry, open_ledger
from tasks.registry import load_version, open_registry
from tasks.results import ModelVersion
from tasks.stats.prediction import predict_rows
from tests.conftest import make_rows

FIRST, SECOND = "2024-06-01", "2024-07-01"
UNTIMED: dict[str, Any] = {"data": {"time": None, "id": None, "batch": None}}


class Bench:
    """One project with its tables; several may share a home, as those of one team do."""

    def __init__(self, name: str, root: Path, home: Path) -> None:
        self.name, self.root, self.home = name, root, home
        self.file = str(root / "configs" / f"{name}.yaml")

    def write(self, frame: pd.DataFrame, **sections: Any) -> None:
        (self.root / "configs").mkdir(parents=True, exist_ok=True)
        (self.root / "tables").mkdir(exist_ok=True)
        frame.to_parquet(self.root / "tables" / "rows.parquet")
        data = {"source": "tables/*", "target": "y", "time": "at", "id": "key", "batch": "month"}
        train = {"search": {"trials": 1, "seconds": 1e6}, "plots": False, **sections.pop("train", {})}
        raw = {"name": self.name, "data": {**data, **sections.pop("data", {})}, "train": train,
               "contract": {"data_docs": False}, **sections}  # fmt: skip
        raw = {"split": {"test": 0.4}, **raw}
        raw["data"] = {key: value for key, value in raw["data"].items() if value is not None}
        Path(self.file).write_text(yaml.safe_dump(raw))

    def turn(self, as_of: str) -> TurnReport:
        report = run(self.file, as_of)
        assert preview_turn(self.file, as_of, []).due == (), "a second turn has nothing to do"
        return report

    def entries(self, step: str) -> list[Entry]:
        with open_ledger(self.home) as ledger:
            return list(ledger.entries(self.name, step=step))

    def champion(self) -> int | None:
        with open_ledger(self.home) as ledger:
            champion = ledger.champion(self.name)
        return champion.version if champion else None

    def predictions(self, batch: str) -> pd.DataFrame:
        (scored,) = [e for e in self.entries("score") if e.subject == batch]
        return pd.read_parquet(self.home / scored.payload["path"])

    def check_metrics(self, trained: Entry, measures: dict[str, Any]) -> None:
        """Each test metric that was recorded is what scikit-learn makes of the stored model on the test rows."""
        project, made = load_project(self.file), trained.payload
        batches = [b for b in index_source(project, {}).batches if b.key in made["batches"]]
        moment = None if made["known_as_of"] is None else pd.Timestamp(made["known_as_of"]).to_pydatetime()
        rows = gather_training_rows(project, batches, moment, {})
        test = list(split_training_rows(rows, project).test)
        keys = ("run_id", "digest", "training_key", "snapshot", "uri")
        stored = ModelVersion(self.name, int(str(trained.subject)), *(made[k] for k in keys))
        estimator = load_version(open_registry(self.home), stored)
        y, p = rows.target.iloc[test], predict_rows(estimator, rows.frame.iloc[test], rows.task)
        found = {m["name"]: m["value"] for m in made["metrics"]}
        assert set(found) == set(measures)
        for name, measure in measures.items():
            assert found[name] == pytest.approx(measure(y, p), rel=1e-9), name


def make_classes(rows: int = 2_700, names: tuple[Any, ...] = ("cat", "dog", "owl"), **more: Any) -> pd.DataFrame:
    """Six months of rows whose class depends on `size` and `colour`."""
    frame = make_rows(rows, months=6, **more).drop(columns="bought")
    random = np.random.default_rng(5)
    score = 2.5 * frame["size"].fillna(0).to_numpy() + (frame["colour"] == "red") + random.normal(size=rows) / 2
    codes = np.searchsorted(np.quantile(score, np.arange(1, len(names)) / len(names)), score)
    return frame.assign(y=[names[c] for c in codes])


def make_numbers(rows: int = 2_700, scale: float = 1e6) -> pd.DataFrame:
    """Six months of rows with a heavy-tailed number that depends on `size` and `colour`."""
    frame = make_rows(rows, months=6).drop(columns="bought")
    random = np.random.default_rng(5)
    away = frame["size"].fillna(0) + 0.5 * (frame["colour"] == "red") + random.standard_t(3, rows) / 5
    return frame.assign(y=scale * np.exp(away.clip(-8, 8)))


CLASS_METRICS: dict[str, Any] = {
    "log_loss": lambda y, p: sk.log_loss(y, p),
    "brier": lambda y, p: ((p - np.eye(3)[y]) ** 2).sum(axis=1).mean() / 2,
    "accuracy": lambda y, p: sk.accuracy_score(y, p.argmax(axis=1)),
    "balanced_accuracy": lambda y, p: sk.balanced_accuracy_score(y, p.argmax(axis=1)),
    "f1_macro": lambda y, p: sk.f1_score(y, p.argmax(axis=1), average="macro"),
    "roc_auc_ovr": lambda y, p: sk.roc_auc_score(y, p, multi_class="ovr"),
    "average_precision_macro": lambda y, p: sk.average_precision_score(np.eye(3)[y], p, average="macro"),
}
NUMBER_METRICS: dict[str, Any] = {
    "r2": sk.r2_score,
    "mae": sk.mean_absolute_error,
    "rmse": sk.root_mean_squared_error,
    "mape": sk.mean_absolute_percentage_error,
    "pinball": sk.mean_pinball_loss,
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def bench(shared: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("TRUEUP_HOME", str(shared))
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:60]
    return Bench(name, tmp_path / "work", shared)
