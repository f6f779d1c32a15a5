"""A Prefect database to start from, commands in processes of their own, and servers that end with their test."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flows.engine.server import local_api, stop_server
from tests.flows import toys

pytest.register_assert_rewrite("tests.flows.outcome", "tests.flows.turns", "tests.flows.decided")
# ruff: noqa: E402 - rewriting comes before the imports
from tests.flows.decided import decided, told
from tests.flows.forking import forks
from tests.flows.history import history, made
from tests.flows.shops import Shops, open_shops
from tests.flows.turns import shop, undisturbed

__all__ = ["decided", "forks", "history", "made", "shop", "told", "undisturbed"]
ROOT = Path(__file__).resolve().parents[2]
Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose Prefect database is there: making one takes seconds of migrations."""
    home = tmp_path_factory.mktemp("migrated")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        with local_api(home):
            pass
    return home


@pytest.fixture(scope="session")
def shops(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Shops:
    """Projects that are trained and scored, to be read; a test that changes something takes a copy."""
    root = tmp_path_factory.mktemp("shops") / "root"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.setenv("TRUEUP_HOME", str(root / "home"))
        shutil.copytree(migrated, root / "home")
        return open_shops(root)


@pytest.fixture
def home(tmp_path: Path, migrated: Path) -> Iterator[Path]:
    """The test's own home, with a migrated Prefect database in it; its server is stopped in the end."""
    home = tmp_path / "home"
    shutil.copytree(migrated, home)
    yield home
    stop_server(home, force=True)


@pytest.fixture
def project(tmp_path: Path, home: Path) -> str:
    """Path of a project file for the toy flows."""
    return toys.write_project(tmp_path / "toy")


@pytest.fixture
def start(project: str) -> Callable[..., subprocess.Popen[str]]:
    """Start the toy flow in a process of its own, without a Prefect server in its environment."""

    def start(**parameters: Any) -> subprocess.Popen[str]:
        names = ("PREFECT_API_URL", "PREFECT_LOGGING_LEVEL", "PREFECT_HOME")
        return subprocess.Popen(
            [sys.executable, "-m", "tests.flows.toys", json.dumps({"project": project, **parameters})],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name not in names},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def ask(home: Path) -> Callable[[str], Rows]:
    """Ask Prefect's database under the home."""

    def ask(query: str) -> Rows:
        with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as connection:
            return connection.execute(query).fetchall()

    return ask
