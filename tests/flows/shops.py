"""Three small projects, one of each task, trained and scored in one home: what questions are asked about."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from tasks.ledger import Entry, open_ledger
from tests.conftest import make_rows

AS_OF, SCORED = "2024-04-01", "2024-03"  # two months to learn from, one to score
HOSTILE = "red\x1b[31m\x07 <b>"
TRAIN: dict[str, dict[str, Any]] = {
    "binary": {"candidates": ["logistic"], "calibrate": "sigmoid", "costs": {"false_positive": 1, "false_negative": 2}},
    "multiclass": {"candidates": ["hist_gradient_boosting"], "calibrate": "none"},
    "regression": {"candidates": ["ridge"], "refit": True},
}


@dataclass(frozen=True)
class Shops:
    """A folder with the projects, their tables and the home."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    def file(self, name: str) -> Path:
        return self.root / "configs" / f"{name}.yaml"

    def table(self, name: str) -> Path:
        return self.root / "tables" / f"{name}.parquet"

    def entries(self, name: str) -> tuple[Entry, ...]:
        with open_ledger(self.home) as ledger:
            return ledger.entries(name)

    def predictions(self, name: str) -> pd.DataFrame:
        (path,) = (self.home / name / "predictions").glob("*.parquet")
        return pd.read_parquet(path)

    def change(self, name: str, **sections: dict[str, Any]) -> None:
        """Give keys of the project file other values."""
        raw = yaml.safe_load(self.file(name).read_text())
        for section, values in sections.items():
            raw[section] = {**raw.get(section, {}), **values}
        self.file(name).write_text(yaml.safe_dump(raw))

    def copy(self, to: Path, monkeypatch: pytest.MonkeyPatch) -> Shops:
        """The same, elsewhere: a test may do to it what it likes."""
        shutil.copytree(self.root, to)
        monkeypatch.setenv("TRUEUP_HOME", str(to / "home"))
        return Shops(to)


def open_shops(root: Path) -> Shops:
    """Write, train and score them; TRUEUP_HOME must name `root`/home."""
    from flows.score import score
    from flows.train import train

    shops = Shops(root)
    for folder in ("configs", "tables"):
        (root / folder).mkdir(parents=True)
    for name, how in TRAIN.items():
        _make_table(name).to_parquet(shops.table(name))
        raw = {
            "name": name,
            "data": {
                "source": f"tables/{name}.parquet",
                "target": "bought",
                "time": "at",
                "id": "key",
                "label_delay": "1d",
            },
            "contract": {"data_docs": False},
            "split": {"test": 0.3},
            "train": {"search": {"trials": 1}, "plots": False, **how},
            "gates": {"beat_baseline_by": 0},
        }
        shops.file(name).write_text(yaml.safe_dump(raw))
        (root / "configs" / f"{name}.contract.yaml").write_text("columns:\n  count: {min: 0}\n")
        # Outside a flow run, which would cost more than the rest: Prefect has no part in what is asked.
        train.fn(str(shops.file(name)), AS_OF, before=SCORED)
        score.fn(str(shops.file(name)), AS_OF)
    return shops


def _make_table(task: str) -> pd.DataFrame:
    rows = make_rows(2000, months=3)
    noise = np.random.default_rng(1).normal(size=len(rows))
    if task == "regression":
        rows["bought"] = 3 * rows["size"].fillna(0) + np.where(rows["colour"] == "red", 2.0, 0.0) + noise
    elif task == "multiclass":
        rows["bought"] = np.where(rows["size"] > 0, "yes", np.where(rows["count"] + 5 * noise > 25, "no", "perhaps"))
    rows["colour"] = rows["colour"].replace("red", HOSTILE)
    rows["when"] = pd.Timestamp("1990-01-01") + pd.to_timedelta(np.random.default_rng(2).integers(0, 9000, 2000), "D")
    rows.loc[::150, "count"] = -3  # into quarantine
    return rows
