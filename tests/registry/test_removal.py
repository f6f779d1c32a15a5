"""Versions and dead runs leave the registry: first their names, then their files, however often it is cut off."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.errors import InfrastructureError
from tasks.registry import (
    Registry,
    Stored,
    list_files,
    mirror_aliases,
    open_registry,
    read_shelf,
    register_training,
    remove_stored,
)
from tests.registry.conftest import Model, make_record


@pytest.fixture(scope="module")
def filled(empty_home: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions, of which the first has an alias, another project's version, and a run that was cut off."""
    home = tmp_path_factory.mktemp("filled") / "home"
    shutil.copytree(empty_home, home)
    registry = open_registry(home, f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    for key in ("k1", "k2", "k3"):
        register_training(
            registry, "flights", make_record(model, key, files={"reference.parquet": model.stored.path / "MLmodel"})
        )
    register_training(registry, "hotels", make_record(model))
    mirror_aliases(registry, "flights", champion=1, challenger=None, previous=None)
    client, experiment = registry.client(), registry.experiment("flights")
    run = client.create_run(experiment, tags={"trueup.kind": "training"}).info.run_id
    client.log_text(run, "half", "project.yaml")
    client.create_run(experiment, tags={"trueup.kind": "monitoring"})
    client.create_run(experiment)  # a person's own
    return home


@pytest.fixture
def shelved(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A copy of it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return open_registry(Path(shutil.copytree(filled, tmp_path / "home")))


def test_the_shelf_tells_versions_from_dead_runs_and_others(shelved: Registry) -> None:
    shelf = read_shelf(shelved, "flights", known=())
    assert set(shelf.versions) == {1, 2, 3} and shelf.named == {1} and len(shelf.dead) == 1
    assert all(len(stored.models) == 1 and stored.digest for stored in shelf.versions.values())
    assert {m for stored in shelf.versions.values() for m in stored.models} == shelf.models
    (dead,) = shelf.dead
    assert read_shelf(shelved, "flights", known=[dead]).dead == {}


@pytest.mark.parametrize("cut_off", [None, "version", "model", "files"])
def test_what_was_named_goes_and_the_run_stays(shelved: Registry, cut_off: str | None) -> None:
    shelf = read_shelf(shelved, "flights", known=())
    going, (dead,) = {2: shelf.versions[2]}, shelf.dead.values()
    (model,) = going[2].models
    client = shelved.client()
    if cut_off is not None:
        client.delete_model_version("flights", "2")
    if cut_off in ("model", "files"):
        client.delete_logged_model(model)
    if cut_off == "files":
        list_files(shelved, going[2])[0].joinpath("artifacts", "MLmodel").unlink()
    before = _files(shelved)
    again = read_shelf(shelved, "flights", known=[going[2].run_id])  # as the next command finds it
    remove_stored(shelved, "flights", again, going, [dead])
    after = read_shelf(shelved, "flights", known=[going[2].run_id])
    assert set(after.versions) == {1, 3} and after.dead == {} and model not in after.models
    assert client.get_run(going[2].run_id).data.metrics["test/roc_auc"] == 0.7
    gone = before - _files(shelved)
    assert gone and all(
        model in p or dead.run_id in p or p.endswith(f"{going[2].run_id}/artifacts/reference.parquet") for p in gone
    )
    assert len(read_shelf(shelved, "hotels", known=()).versions) == 1
    remove_stored(shelved, "flights", after, going, [dead])  # once more does nothing
    assert before - _files(shelved) == gone


def test_numbers_are_not_given_again(shelved: Registry, model: Model) -> None:
    shelf = read_shelf(shelved, "flights", known=())
    remove_stored(shelved, "flights", shelf, {n: shelf.versions[n] for n in (2, 3)}, [])
    assert register_training(shelved, "flights", make_record(model, "k4")).version == 4


def test_another_homes_versions_in_a_shared_store_are_not_ours(shelved: Registry, tmp_path: Path) -> None:
    ours = read_shelf(shelved, "flights", known=()).versions[3].run_id
    shared = open_registry(tmp_path / "second home", shelved.uri)
    shelf = read_shelf(shared, "flights", known=[ours])
    assert set(shelf.versions) == {3} and shelf.dead == {}


def test_ids_that_could_lead_elsewhere_are_refused() -> None:
    for run, model in (("../../etc", "m-" + "0" * 32), ("0" * 32, "../x"), ("", "m-" + "0" * 32)):
        with pytest.raises(InfrastructureError, match="no run or model"):
            Stored(run, (model,))


def _files(registry: Registry) -> set[str]:
    assert registry.artifacts is not None
    return {str(p.relative_to(registry.artifacts)) for p in registry.artifacts.rglob("*") if p.is_file()}
