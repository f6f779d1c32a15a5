"""The same against a real MLflow server, over HTTP and with its artifacts behind it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tasks.registry import (
    find_training,
    list_files,
    load_artifact,
    load_version,
    log_window,
    mirror_aliases,
    open_registry,
    read_shelf,
    register_training,
    remove_stored,
    run_link,
)
from tasks.results import Window
from tests.registry.conftest import Model, make_record
from tests.servers import MlflowServer

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running MLflow server."""
    server = MlflowServer(tmp_path_factory.mktemp("server"))
    server.start()
    yield server.address
    server.stop()


def test_a_training_and_its_release_on_a_server(
    server: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    registry = open_registry(tmp_path / "home")
    version = register_training(registry, "flights", make_record(model))
    assert version.uri.startswith("mlflow-artifacts:") and find_training(registry, "flights", "k1") == version
    assert mirror_aliases(registry, "flights", champion=1, challenger=None, previous=None) == []
    for _ in range(2):  # fetched, then kept
        loaded = load_version(open_registry(tmp_path / "home"), version)
        assert np.array_equal(loaded.predict(model.rows), model.estimator.predict(model.rows))
        assert load_artifact(registry, version, "project.yaml").read_text() == "name: flights\n"
    window = Window("2013-04", 1, "healthy", "as ever", "none", 10, 10, {"roc_auc": 0.7}, {})
    run_id = log_window(registry, version, window, datetime(2013, 5, 1, tzinfo=UTC))
    assert registry.client().get_run(run_id).data.metrics["production/roc_auc"] == 0.7
    assert run_link(registry, version.run_id).startswith(f"{server}/#/experiments/")
    register_training(registry, "flights", make_record(model, "k2"))
    register_training(registry, "flights", make_record(model, "k3"))
    shelf = read_shelf(registry, "flights", known=[version.run_id])
    assert set(shelf.versions) == {1} and shelf.dead == {}, "others use this store too"
    assert list_files(registry, shelf.versions[1]) != []  # what was fetched
    remove_stored(registry, "flights", shelf, shelf.versions, [])
    assert list_files(registry, shelf.versions[1]) == []
    assert {v.version for v in registry.client().search_model_versions("name = 'flights'")} == {"2", "3"}
    assert list(Path.cwd().iterdir()) == []
    output = capfd.readouterr()
    assert output.out == "" and output.err == ""
