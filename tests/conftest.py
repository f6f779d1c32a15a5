"""Fixtures for all tests: a home of one's own, no telemetry, and small projects to run."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from tasks.config import LoadedProject, load_project

QUIET = {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "OMP_NUM_THREADS": "1",
}
os.environ.update(QUIET)
# Processes that tests start side by side are forked from one that has paid these imports, and has no threads.
multiprocessing.get_context("forkserver").set_forkserver_preload(["tasks.ledger", "mlflow.sklearn", "skops.io"])
ROOT = Path(__file__).resolve().parents[1]


# Files whose tests read one home that takes long to build: it is built once, by the worker that runs them all.
SHARED = {
    f"tests/flows/test_{name}.py": home
    for home, names in {
        "decided": ("history", "release", "refit"),
        "history": ("backup", "cut_off", "overview", "prune"),
        "shops": ("explain", "reproduce"),
    }.items()
    for name in names
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first: a worker that begins it last leaves the other idle."""
    slow = ("tests/test_readme", "tests/flows/")
    items.sort(key=lambda item: next((i for i, start in enumerate(slow) if item.nodeid.startswith(start)), len(slow)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file goes to one worker as a whole, for the fixtures that its tests share; so do files that share a home."""
    from xdist.scheduler import LoadFileScheduling

    class LoadHomeScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return SHARED.get(file, file)

    return LoadHomeScheduling(config, log)


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the user's servers or home, nor another test's."""
    ours = ("TRUEUP_DATABASE_URL", "TRUEUP_LABELS_URL", "TRUEUP_ALERTS", "TRUEUP_CRASH_AT")
    for name in (*ours, "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / "home"))
    before = dict(os.environ)
    yield
    # What a command sets for its process, such as PREFECT_HOME, must not lead the next test into a folder that is gone.
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def make_rows(rows: int = 600, seed: int = 0, months: int = 3, start: str = "2024-01-01") -> pd.DataFrame:
    """A small table with a time, an id, features of every kind and a learnable yes/no target."""
    rng = np.random.default_rng(seed)
    seconds = months * 30 * 86400
    moments = pd.Timestamp(start, tz="UTC") + pd.to_timedelta(np.sort(rng.integers(0, seconds, rows)), unit="s")
    size = rng.normal(size=rows)
    colour = rng.choice(["red", "green", "blue"], rows)
    member = rng.random(rows) < 0.4
    odds = 1.6 * size + np.where(colour == "red", 1.0, -0.4) + 0.5 * member - 0.8
    frame = pd.DataFrame(
        {
            "key": [f"row-{seed}-{i}" for i in range(rows)],
            "at": moments,
            "size": size,
            "count": rng.integers(0, 50, rows),
            "colour": colour,
            "member": member,
            "bought": rng.random(rows) < 1 / (1 + np.exp(-odds)),
        }
    )
    frame.loc[rng.random(rows) < 0.05, "size"] = np.nan
    return frame


MakeProject = Callable[..., LoadedProject]


@pytest.fixture
def make_project(tmp_path: Path) -> MakeProject:
    """Write a project file and its tables into a folder of their own, and load it."""

    def make(frames: dict[str, pd.DataFrame] | None = None, **sections: Any) -> LoadedProject:
        root = tmp_path / "work"
        (root / "configs").mkdir(parents=True, exist_ok=True)
        (root / "tables").mkdir(exist_ok=True)
        for name, frame in ({"rows.parquet": make_rows()} if frames is None else frames).items():
            path = root / "tables" / name
            frame.to_parquet(path) if name.endswith(".parquet") else frame.to_csv(path, index=False)
        data = {"source": "tables/*", "target": "bought", "time": "at", "id": "key", **sections.pop("data", {})}
        train = {"candidates": ["logistic"], "search": {"trials": 1}, "plots": False, **sections.pop("train", {})}
        contract = {"data_docs": False, **sections.pop("contract", {})}
        raw = {"name": "shop", "data": data, "train": train, "contract": contract, **sections}
        raw["data"] = {k: v for k, v in raw["data"].items() if v is not None}
        (root / "configs" / "shop.yaml").write_text(yaml.safe_dump(raw))
        return load_project(root / "configs" / "shop.yaml")

    return make
