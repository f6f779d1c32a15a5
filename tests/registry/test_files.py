"""A model's files: stored without pickle, and not loaded where they differ; and what a fresh process makes of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tasks.errors import ConfigError, InfrastructureError
from tasks.registry import (
    Registry,
    digest_folder,
    load_model_files,
    load_version,
    predict_in_fresh_process,
    register_training,
    save_model_files,
)
from tasks.registry.soundness import _scale_of
from tasks.stats.prediction import predict_rows
from tests.registry.conftest import Model, environment, make_record, make_rows


@pytest.fixture
def copied(model: Model, tmp_path: Path) -> Path:
    """The stored files, free to be damaged."""
    return Path(shutil.copytree(model.stored.path, tmp_path / "copy"))


def test_what_was_stored_predicts_the_same_and_holds_no_pickle(model: Model) -> None:
    loaded = load_model_files(model.stored.path, model.stored.digest)
    assert np.array_equal(loaded.predict_proba(model.rows), model.estimator.predict_proba(model.rows))
    assert not [p for p in model.stored.path.iterdir() if p.suffix in (".pkl", ".pickle")]
    assert model.stored.format == "skops" and 0 < model.stored.size_mb < 1
    assert model.stored.digest == digest_folder(model.stored.path)


def test_mlflow_serves_it_with_whole_numbers_missing(model: Model) -> None:
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    served = mlflow.pyfunc.load_model(str(model.stored.path))
    types = {c["name"]: c["type"] for c in served.metadata.signature.inputs.to_dict()}
    assert types == {"a": "double", "n": "any", "s": "string"}
    rows = model.rows.head(4)
    assert rows["n"].dtype == "int64"
    assert np.allclose(served.predict(rows), model.estimator.predict_proba(rows))
    rows = rows.astype({"n": "float64", "s": "object"})
    rows.loc[1, "n"] = np.nan
    assert np.allclose(served.predict(rows), model.estimator.predict_proba(rows))
    with pytest.raises(MlflowException, match="missing inputs"):
        served.predict(rows.drop(columns="n"))


@pytest.mark.parametrize("damage", ["content", "name", "added", "removed"])
def test_files_that_differ_are_not_loaded(model: Model, copied: Path, damage: str) -> None:
    if damage == "content":
        with (copied / "model.skops").open("r+b") as file:
            file.seek(100)
            file.write(b"\0")
    elif damage == "name":
        (copied / "conda.yaml").rename(copied / "other.yaml")
    elif damage == "added":
        (copied / "extra").touch()
    else:
        (copied / "requirements.txt").unlink()
    with pytest.raises(InfrastructureError, match=f"expected digest {model.stored.digest[:12]}, found .*not loaded"):
        load_model_files(copied, model.stored.digest)


def test_a_load_by_name_through_mlflow_changes_nothing(registry: Registry, model: Model) -> None:
    """MLflow writes a note into the folder of the model that it loads; trueup still knows the model as its own."""
    import mlflow

    version = register_training(registry, "flights", make_record(model))
    mlflow.set_tracking_uri(registry.uri)
    mlflow.sklearn.load_model("models:/flights/1")
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    assert (Path(version.uri) / "registered_model_meta").is_file()
    assert load_version(registry, version) is not None


def test_missing_and_unreadable_models_are_said_so(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="its files are gone"):
        load_model_files(tmp_path / "nowhere", "d" * 64)
    (copied / "model.skops").write_bytes(b"no zip")
    with pytest.raises(InfrastructureError, match=r"cannot be loaded: .*requirements\.txt"):
        load_model_files(copied, digest_folder(copied))


def test_types_that_nobody_reviewed_are_refused_by_name(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nobody has reviewed.*predictor\.TreePredictor"):
        save_model_files(
            model.estimator, tmp_path / "m", input_example=model.rows.head(2), pip_requirements=[], trusted_types=[]
        )


def test_what_skops_cannot_hold_is_refused(tmp_path: Path) -> None:
    rows = make_rows()[["a"]]
    estimator = make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression()).fit(
        rows, (rows.a > 0).astype(int)
    )
    with pytest.raises(ConfigError, match="without pickle"):
        save_model_files(estimator, tmp_path / "m", input_example=rows.head(2), pip_requirements=[], trusted_types=[])


def test_a_fresh_process_predicts_the_same(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text("raise SystemExit('the wrong tasks')")
    monkeypatch.chdir(tmp_path)
    expected = predict_rows(model.estimator, model.rows, "binary")
    sound = predict_in_fresh_process(model.stored.path, model.stored.digest, model.rows, expected, "binary")
    assert sound.loads, sound.detail
    assert sound.largest_difference == 0
    assert 0 < sound.predict_ms_per_1k_rows < 1000 and sound.size_mb == model.stored.size_mb
    assert [p.name for p in tmp_path.iterdir()] == ["tasks"]


def test_predictions_that_differ_are_measured(model: Model) -> None:
    expected = predict_rows(model.estimator, model.rows, "binary").copy()
    expected[3] += 0.25
    sound = predict_in_fresh_process(model.stored.path, model.stored.digest, model.rows, expected, "binary")
    assert sound.loads and sound.largest_difference == pytest.approx(0.25)


def test_whatever_fails_there_is_a_detail_and_no_exception(model: Model, copied: Path) -> None:
    expected = np.zeros(len(model.rows))
    slow = predict_in_fresh_process(model.stored.path, model.stored.digest, model.rows, expected, "binary", 0.05)
    assert not slow.loads and "within 0.05 s" in slow.detail and slow.largest_difference is None
    (copied / "extra").touch()
    changed = predict_in_fresh_process(copied, model.stored.digest, model.rows, expected, "binary")
    assert not changed.loads and "not the one that was registered" in changed.detail
    mixed = pd.DataFrame({"a": [1, "x"]}, dtype=object)
    unwritable = predict_in_fresh_process(copied, model.stored.digest, mixed, expected, "binary")
    assert not unwritable.loads and unwritable.detail


def test_a_disk_that_takes_no_files_says_nothing_about_the_model(model: Model, tmp_path: Path) -> None:
    code = """
        import resource, sys
        from pathlib import Path
        import numpy as np
        import pandas as pd
        from tasks.errors import InfrastructureError
        from tasks.registry.soundness import predict_in_fresh_process
        folder, digest, rows, limit = Path(sys.argv[1]), sys.argv[2], pd.read_parquet(sys.argv[3]), int(sys.argv[4])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            print(predict_in_fresh_process(folder, digest, rows, np.zeros(len(rows)), "binary"))
        except InfrastructureError as error:
            print("refused:", error)
    """
    rows = pd.concat([model.rows] * 40, ignore_index=True)
    rows.to_parquet(tmp_path / "rows.parquet")
    size = (tmp_path / "rows.parquet").stat().st_size
    for limit in (100, size + 100):  # too small for the rows; then for the predictions, 8 bytes each
        assert limit < size or 8 * len(rows) > limit
        words = [sys.executable, "-c", textwrap.dedent(code), model.stored.path, model.stored.digest]
        done = subprocess.run(
            [*words, tmp_path / "rows.parquet", str(limit)],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert done.stdout.startswith("refused:") and "disk's space" in done.stdout, done


def test_a_model_that_cannot_predict_there_does_not_load(model: Model) -> None:
    rows = model.rows.drop(columns="n")
    sound = predict_in_fresh_process(model.stored.path, model.stored.digest, rows, np.zeros(len(rows)), "binary")
    assert not sound.loads and "n" in sound.detail


def test_importing_the_room_imports_no_mlflow() -> None:
    code = "import sys, tasks.registry, tasks.registry.probe\nassert not {'mlflow', 'skops'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("size", [1e6, 1.0, 1e-6])
def test_values_are_compared_in_parts_of_their_spread(tmp_path: Path, size: float) -> None:
    """So one tolerance serves prices in millions and concentrations in millionths."""
    rows = make_rows(40)[["a"]]
    estimator = LinearRegression().fit(rows, size * rows["a"])
    stored = save_model_files(
        estimator, tmp_path / "m", input_example=rows.head(2), pip_requirements=[], trusted_types=[]
    )
    expected = predict_rows(estimator, rows, "regression")
    off = expected.copy()
    off[3] += 0.01 * np.ptp(expected)
    sound = predict_in_fresh_process(stored.path, stored.digest, rows, off, "regression")
    assert sound.loads, sound.detail
    assert sound.largest_difference == pytest.approx(0.01 * np.ptp(expected) / np.ptp(off))


def test_the_scale_of_values_that_hardly_differ() -> None:
    assert _scale_of(np.array([0.0, 0.0])) == _scale_of(np.array([])) == 1.0
    assert _scale_of(np.array([5e6, 5e6])) == 5.0
    assert _scale_of(np.array([np.nan, 2.0, -1.0])) == 3.0
