"""One run and one version per training, whatever is cut off in between."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.errors import InfrastructureError
from tasks.registry import (
    Registry,
    find_training,
    find_version,
    list_columns,
    list_metrics,
    list_params,
    load_artifact,
    load_version,
    open_registry,
    register_training,
    run_link,
)
from tasks.registry.record import clean_names
from tasks.results import Evaluation, FittedModel, MetricValue, Trial
from tests.registry.conftest import Model, make_record

FORK = multiprocessing.get_context("forkserver")


def runs(registry: Registry) -> list[Any]:
    return list(registry.client().search_runs([registry.experiment("flights")], order_by=["attributes.start_time ASC"]))


def test_a_training_is_one_run_with_all_that_belongs_to_it(registry: Registry, model: Model) -> None:
    version = register_training(registry, "flights", make_record(model))
    (run,) = runs(registry)
    assert (version.version, version.run_id, version.digest) == (1, run.info.run_id, model.stored.digest)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"candidate": "hist_gradient_boosting", "model/max_iter": "5"}
    assert run.data.metrics == {"test/roc_auc": 0.7, "test/roc_auc.low": 0.6}
    assert run.data.tags["trueup.snapshot"] == "s" * 64 and run.data.tags["trueup.lock"] == "l" * 64
    assert run.data.tags["mlflow.source.git.commit"] == "abc123" and run.data.tags["mlflow.user"] == "ada"
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest, data.tags[0].value) == ("flights", "s" * 36, "train")
    assert json.loads(data.dataset.profile)["num_rows"] == 400
    paths = {f.path for f in registry.client().list_artifacts(run.info.run_id)}
    assert paths == {"profile.json", "project.yaml", "plots"}
    assert load_artifact(registry, version, "project.yaml").read_text() == "name: flights\n"
    assert [m.model_id for m in run.outputs.model_outputs]
    assert run.info.run_id in run_link(registry, run.info.run_id)
    assert list(Path.cwd().iterdir()) == []


def test_the_registered_model_comes_back_by_version_and_through_mlflow(registry: Registry, model: Model) -> None:
    import mlflow.pyfunc

    register_training(registry, "flights", make_record(model))
    version = find_version(open_registry(registry.home), "flights", 1)
    loaded = load_version(registry, version)
    assert np.array_equal(loaded.predict(model.rows), model.estimator.predict(model.rows))
    registered = registry.client().get_model_version("flights", "1")
    assert registered.tags["trueup.training_key"] == "k1"
    served = mlflow.pyfunc.load_model(registered.source)
    rows = model.rows.head(3).astype({"n": "float64", "s": "object"})
    assert np.allclose(served.predict(rows), model.estimator.predict_proba(rows))
    assert list(Path.cwd().iterdir()) == []


def test_the_same_key_gives_the_same_version(registry: Registry, model: Model) -> None:
    first = register_training(registry, "flights", make_record(model))
    assert find_training(registry, "flights", "k1") == first
    assert register_training(registry, "flights", make_record(model)) == first
    assert find_training(registry, "flights", "k2") is None
    assert register_training(registry, "flights", make_record(model, "k2")).version == 2
    assert len(runs(registry)) == 2


def _register_until(home: Path, model: Model, point: str) -> None:
    os.environ["TRUEUP_CRASH_AT"] = point
    register_training(open_registry(home), "flights", make_record(model))


@pytest.mark.parametrize(
    ("point", "statuses"),
    [
        ("after-run-created", ["KILLED", "FINISHED"]),
        ("before-version", ["KILLED", "FINISHED"]),
        ("after-version", ["FINISHED"]),
    ],
)
def test_a_training_killed_at_any_point_ends_as_one_version(
    registry: Registry, model: Model, point: str, statuses: list[str]
) -> None:
    worker = FORK.Process(target=_register_until, args=(registry.home, model, point))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -9
    version = register_training(registry, "flights", make_record(model))
    assert version.version == 1 and find_training(registry, "flights", "k1") == version
    assert [r.info.status for r in runs(registry)] == statuses
    assert len(registry.client().search_model_versions("name = 'flights'")) == 1
    load_version(registry, version)


def test_another_trainings_dead_run_is_closed_too(registry: Registry, model: Model) -> None:
    for point in ("before-version", "after-version"):
        worker = FORK.Process(target=_register_until, args=(registry.home, model, point))
        worker.start()
        worker.join(60)
    assert find_training(registry, "flights", "other") is None
    assert [r.info.status for r in runs(registry)] == ["KILLED", "FINISHED"]


def test_a_model_that_was_changed_is_neither_registered_nor_loaded(
    registry: Registry, model: Model, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(model.stored.path, tmp_path / "copy"))
    (copied / "extra").touch()
    with pytest.raises(InfrastructureError, match="not the one that was registered"):
        register_training(
            registry, "flights", make_record(model, stored=dataclasses.replace(model.stored, path=copied))
        )
    version = register_training(registry, "flights", make_record(model))
    (Path(version.uri) / "model.skops").write_bytes(b"evil")
    with pytest.raises(InfrastructureError, match="It was not loaded"):
        load_version(registry, version)


def test_versions_of_others_and_versions_that_are_gone_are_said_so(registry: Registry, model: Model) -> None:
    client = registry.client()
    client.create_registered_model("flights")
    client.create_model_version("flights", source=str(model.stored.path))
    with pytest.raises(InfrastructureError, match=r"version 1 of 'flights' has no tag 'trueup\.digest'"):
        find_version(registry, "flights", 1)
    with pytest.raises(InfrastructureError, match="failed"):
        find_version(registry, "flights", 2)
    version = register_training(registry, "flights", make_record(model))
    with pytest.raises(InfrastructureError, match=r"no-such\.json"):
        load_artifact(registry, version, "no-such.json")


def test_a_key_that_could_be_a_query_and_a_path_that_leaves_the_run_are_refused(
    registry: Registry, model: Model
) -> None:
    with pytest.raises(ValueError, match="no training key"):
        find_training(registry, "flights", "x' or '1'='1")
    with pytest.raises(ValueError, match="leaves the run"):
        register_training(registry, "flights", make_record(model, texts={"../out": "x"}))


def test_strangers_names_and_very_many_values_are_taken(registry: Registry, model: Model) -> None:
    names = ["<b>", "a\nb", "../../x", "/abs", "ä", "a'b", "a`b", "nul\0", "x" * 400, "", ".", "a//b"]
    record = make_record(
        model,
        params={**{f"p/{n}": "v" * 9000 for n in names}, **{f"p{i}": i for i in range(150)}},
        metrics={**{f"m/{n}": 1.0 for n in names}, **{f"m{i}": i for i in range(1000)}},
        tags={f"t/{n}": n for n in names},
        description="'<img src=//far>' and '![](http://far)' of [.1, .2]",
    )
    version = register_training(registry, "flights", record)
    run = registry.client().get_run(version.run_id)
    shown = "'&lt;img src=//far&gt;' and '![]&#40;http://far)' of [.1, .2]"
    assert run.data.tags["mlflow.note.content"] == shown
    assert registry.client().get_model_version("flights", "1").description == shown
    assert len(run.data.params) == 150 + len(names) and len(run.data.metrics) == 1000 + len(names)


def test_two_names_never_become_one() -> None:
    assert len(clean_names({"a<": 1, "a>": 2, "a_": 3})) == 3


def _open(home: Path, barrier: Any) -> None:
    barrier.wait()
    open_registry(home).experiment("flights")


def test_four_processes_open_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    barrier = FORK.Barrier(4)
    workers = [FORK.Process(target=_open, args=(tmp_path / "new", barrier)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [w.exitcode for w in workers] == [0] * 4
    assert open_registry(tmp_path / "new").client().get_experiment_by_name("flights")


def test_a_first_creation_that_was_killed_is_done_again(tmp_path: Path) -> None:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    (folder / "mlflow.db.new").write_bytes(b"half")
    open_registry(tmp_path).experiment("flights")
    assert sorted(p.name for p in folder.iterdir()) == ["mlflow.db", "mlflow.db.creating"]


def test_a_store_that_is_broken_or_unreachable_is_said_so_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_text("no database" * 100)
    started = time.monotonic()
    with pytest.raises(InfrastructureError, match=r"MLflow at sqlite:.*not a database"):
        open_registry(tmp_path).experiment("flights")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:s3cret@127.0.0.1:9")
    with pytest.raises(InfrastructureError) as caught:
        open_registry(tmp_path).experiment("flights")
    assert "MLflow at http://ada:***@127.0.0.1:9 failed" in str(caught.value) and "s3cret" not in str(caught.value)
    assert time.monotonic() - started < 15


def test_a_deleted_experiment_is_named(registry: Registry) -> None:
    registry.client().delete_experiment(registry.experiment("flights"))
    with pytest.raises(InfrastructureError, match=r"was deleted\. Restore it"):
        open_registry(registry.home).experiment("flights")


def test_results_become_parameters_and_metrics() -> None:
    fitted = FittedModel(
        estimator=None,
        candidate="logistic",
        params={"C": 0.5},
        trials=(Trial(0, "logistic", {}, (0.1,), 1.0),),
        features=("a",),
        task="binary",
        classes=(0, 1),
        metric="roc_auc",
        threshold=None,
        calibration="none: few rows",
        fit_seconds=1.0,
    )
    params = list_params(fitted)
    assert params["model/C"] == "0.5" and params["threshold"] == "null" and params["calibration"] == "none: few rows"
    value = MetricValue("roc_auc", 0.7, 0.65, 0.75, 0.95, True, "bootstrap")
    found = list_metrics(Evaluation(rows=100, blocks=None, metrics=(value,), baseline=value, champion=value))
    assert found["test/roc_auc_low"] == 0.65 and found["champion/roc_auc"] == 0.7 and found["test/rows"] == 100
    assert list_columns(pd.DataFrame({"a": [1.0]})) == {"a": "float64"}
