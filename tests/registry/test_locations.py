"""Where a home's artifacts lie after it was moved, copied, or copied in part."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tasks.errors import InfrastructureError
from tasks.registry import Registry, follow_home, load_version, open_registry, place_here, register_training
from tests.registry.conftest import Model, make_record


def test_only_what_lay_in_a_home_is_looked_for_here() -> None:
    here = Path("/new/mlflow/artifacts")
    model = here / "models" / "m-1" / "artifacts"
    assert place_here(here, "/old/mlflow/artifacts/models/m-1/artifacts") == model
    assert place_here(here, "file:///old%20one/mlflow/artifacts/models/m-1/artifacts") == model
    assert place_here(here, "/a/mlflow/artifacts/b/mlflow/artifacts/models/m-1/artifacts") == model
    for elsewhere in (
        "mlflow-artifacts:/1/models/m-1/artifacts",
        "s3://bucket/mlflow/artifacts/models/m-1",
        "/models/m-1",
        "/old/mlflow/artifacts/",
        "/old/mlflow/artifacts/../../etc",
    ):
        assert place_here(here, elsewhere) is None


def test_records_follow_a_home_that_was_moved(registry: Registry, model: Model, tmp_path: Path) -> None:
    version = register_training(registry, "flights", make_record(model))
    assert follow_home(registry.home) is False
    moved = tmp_path / "moved here"
    registry.home.rename(moved)
    assert load_version(open_registry(moved), version) is not None  # by the path recorded before
    assert follow_home(moved) is True and follow_home(moved) is False
    with closing(sqlite3.connect(moved / "mlflow" / "mlflow.db")) as connection:
        dump = "\n".join(connection.iterdump())
    assert str(registry.home) not in dump and str(moved) in dump
    second = register_training(open_registry(moved), "flights", make_record(model, "k2"))
    assert second.version == 2 and second.uri.startswith(f"{moved}/")
    assert not registry.home.exists()


def test_nothing_is_rewritten_where_models_would_be_lost(
    registry: Registry, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    version = register_training(registry, "flights", make_record(model))
    part = tmp_path / "part"
    shutil.copytree(registry.home, part, ignore=shutil.ignore_patterns("models"))
    assert follow_home(part) is False and "that are not here" in caplog.text
    assert load_version(open_registry(part), version) is not None  # still from the old place
    shutil.rmtree(registry.home)
    assert follow_home(part) is True
    with pytest.raises(InfrastructureError, match="its files are gone"):
        load_version(open_registry(part), version)


def test_a_database_that_is_none_or_locked(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert follow_home(tmp_path / "nowhere") is False
    moved = tmp_path / "moved"
    registry.experiment("flights")
    shutil.copytree(registry.home, moved)
    monkeypatch.setattr("tasks.registry.locations._BUSY_SECONDS", 0.2)
    with closing(sqlite3.connect(moved / "mlflow" / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(InfrastructureError, match=r"was moved to .*locked"):
            follow_home(moved)
    (moved / "mlflow" / "mlflow.db").write_bytes(b"no database")
    assert follow_home(moved) is False
