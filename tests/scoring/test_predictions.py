"""The predictions of a batch: complete, whole or not there, the same again, and in flat memory."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.config import LoadedProject, load_project
from tasks.errors import DataError, InfrastructureError
from tasks.results import ModelVersion, ScoredBatch
from tasks.scoring.predictions import read_predictions, score_batch, write_predictions
from tasks.table import TableRef, infer_schema

NOW = datetime(2013, 5, 1, 4, tzinfo=UTC)
VERSION = ModelVersion("shop", 3, "run-1", "digest", "key", "snapshot", "models:/shop/3")
NOTHING = np.empty(0, np.int64)


class Share:
    """An estimator whose prediction can be known beforehand: the share of `x` in 100; refuses to see a label."""

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        assert list(frame.columns) == ["x"]
        p = frame["x"].to_numpy() / 100
        return np.column_stack([1 - p, p])

    def predict(self, frame: pd.DataFrame) -> Any:
        return frame["x"].to_numpy() * 2.0


class Three:
    def predict_proba(self, frame: pd.DataFrame) -> Any:
        p = np.full((len(frame), 3), 0.1)
        p[np.arange(len(frame)), frame["x"].to_numpy() % 3] = 0.8
        return p


def make_project(folder: Path, extra: str = "  id: id\n  time: at\n") -> LoadedProject:
    (folder / "configs").mkdir(exist_ok=True)
    path = folder / "configs" / "shop.yaml"
    path.write_text(f"name: shop\ndata:\n  source: rows.parquet\n  target: bought\n{extra}")
    return load_project(path)


def make_table(folder: Path, rows: int = 100, batch: str = "2013-04", **changes: Any) -> TableRef:
    frame = pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(rows)],
            "at": pd.date_range("2013-04-01", periods=rows, freq="s", tz="UTC"),
            "x": np.arange(rows) % 100,
            "bought": np.where(np.arange(rows) % 2, "yes", "no"),
        }
    ).assign(**changes)
    path = folder / "rows.parquet"
    frame.to_parquet(path, index=False)
    return TableRef(batch, (str(path),), infer_schema(str(path)), "bought", time="at")


def score(project: LoadedProject, table: TableRef, estimator: Any = None, **changes: Any) -> ScoredBatch:
    arguments = {
        "version": VERSION,
        "task": "binary",
        "classes": ("no", "yes"),
        "threshold": 0.3,
        "features": ("x",),
        "skip": NOTHING,
        "flow_run_id": "flow-1",
        "content": "abc",
        "now": NOW,
    }
    return write_predictions(project, table, estimator or Share(), **(arguments | changes))


def names(project: LoadedProject) -> list[str]:
    return [p.name for p in (project.folder / "predictions").iterdir()]


def read(path: Path) -> pd.DataFrame:
    return pd.concat(list(read_predictions(path)), ignore_index=True)


def test_every_row_is_scored_once_with_what_names_it(tmp_path: Path) -> None:
    project, table = make_project(tmp_path), make_table(tmp_path)
    skip = np.array([0, 7, 99])
    scored = score(project, table, skip=skip, rows=13)
    frame = read(scored.path)
    assert (scored.rows, scored.skipped, scored.batch, scored.version) == (97, 3, "2013-04", 3)
    assert list(frame["row"]) == [i for i in range(100) if i not in skip]
    assert list(frame["row_id"]) == [f"r{i}" for i in frame["row"]]
    np.testing.assert_allclose(frame["probability"], frame["row"] / 100)
    assert list(frame["prediction"]) == ["yes" if p >= 0.3 else "no" for p in frame["probability"]]
    assert scored.mean_prediction == pytest.approx(frame["probability"].mean())
    assert frame["prediction_id"].is_unique
    assert set(frame["model_version"]) == {3}
    assert set(frame["run_id"]) == {"run-1"}
    assert set(frame["flow_run_id"]) == {"flow-1"}
    assert set(frame["scored_at"]) == {pd.Timestamp(NOW)}
    assert frame["time"].iloc[0] == pd.Timestamp("2013-04-01 00:00:01", tz="UTC")
    assert scored.path.parent == project.folder / "predictions"


def test_the_same_again_gives_the_same_file_however_it_is_cut(tmp_path: Path) -> None:
    project, table = make_project(tmp_path), make_table(tmp_path)
    first = score(project, table, rows=13)
    before = read(first.path)
    second = score(project, table, rows=100, flow_run_id="flow-2")
    after = read(second.path)
    assert first.path == second.path
    same = ["prediction_id", "row_id", "row", "time", "prediction", "probability"]
    pd.testing.assert_frame_equal(before[same], after[same])
    assert names(project) == [first.path.name]


def test_a_revision_another_version_or_another_quarantine_stands_beside(tmp_path: Path) -> None:
    project, table = make_project(tmp_path), make_table(tmp_path)
    other = ModelVersion("shop", 4, "run-2", "digest", "key", "snapshot", "models:/shop/4")
    scored = [
        score(project, table),
        score(project, table, content="changed"),
        score(project, table, version=other),
        score(project, table, skip=np.array([5])),
    ]
    assert len({s.path for s in scored}) == 4
    assert all(s.path.is_file() for s in scored)
    assert not set(read(scored[0].path)["prediction_id"]) & set(read(scored[2].path)["prediction_id"])


def test_repeated_and_missing_ids_still_name_every_prediction(tmp_path: Path) -> None:
    table = make_table(tmp_path, 4, id=pd.array([1, 1, None, 2], "Int64"))
    frame = read(score(make_project(tmp_path), table).path)
    assert list(frame["row_id"]) == ["1", "1", "2", "2"]
    assert frame["prediction_id"].is_unique


def test_without_id_and_time_the_position_names_a_row(tmp_path: Path) -> None:
    table = TableRef("all", make_table(tmp_path, 5).files, make_table(tmp_path, 5).schema, "bought")
    frame = read(score(make_project(tmp_path, ""), table).path)
    assert list(frame["row_id"]) == ["0", "1", "2", "3", "4"]
    assert "time" not in frame


@pytest.mark.parametrize("classes", [(False, True), (0, 1), ("a", "b"), (0.5, 1.5), ("a", 1)])
def test_labels_come_back_in_their_own_form(tmp_path: Path, classes: tuple[Any, Any]) -> None:
    scored = score(make_project(tmp_path), make_table(tmp_path), classes=classes, threshold=None)
    wanted = tuple(map(str, classes)) if classes == ("a", 1) else classes
    assert read(scored.path)["prediction"].tolist() == [wanted[0]] * 50 + [wanted[1]] * 50


def test_other_tasks(tmp_path: Path) -> None:
    project, table = make_project(tmp_path), make_table(tmp_path)
    number = read(score(project, table, task="regression", classes=(), threshold=None).path)
    assert list(number["prediction"]) == [2.0 * i for i in range(100)]
    assert "probability" not in number
    classes = ("a", "b", "c")
    many = read(score(project, table, Three(), task="multiclass", classes=classes, skip=np.arange(99)).path)
    assert many[["prediction", "probability_0", "probability_1", "probability_2"]].values.tolist() == [
        ["a", 0.8, 0.1, 0.1]
    ]


def test_a_batch_all_in_quarantine_gives_an_empty_file(tmp_path: Path) -> None:
    scored = score(make_project(tmp_path), make_table(tmp_path, 10), skip=np.arange(10))
    assert (scored.rows, scored.skipped) == (0, 10)
    assert {"prediction_id", "row", "prediction", "probability"} <= set(pq.read_schema(scored.path).names)
    assert pq.read_metadata(scored.path).num_rows == 0


def test_a_hostile_batch_key_stays_in_its_folder(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    keys = ["../../etc/passwd", "..", "", "a/b", "a\\b", "a\nb", "x" * 500, "ü" * 200, ".hidden", "a-b", "\udce4"]
    paths = [score(project, make_table(tmp_path, 3, batch=key)).path for key in keys]
    assert len(set(paths)) == len(keys)
    assert {p.resolve().parent for p in paths} == {(project.folder / "predictions").resolve()}
    assert all(len(os.fsencode(p.name)) < 100 and not p.name.startswith(".") for p in paths)


def test_a_skip_that_is_of_another_batch_stops_it(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with pytest.raises(DataError, match=r"100 rows were read, 100 scored and 1 are in quarantine"):
        score(project, make_table(tmp_path), skip=np.array([100]))
    assert names(project) == []


def test_a_model_that_gives_no_number_leaves_no_file(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    x = np.arange(100, dtype=float)
    x[[3, 4]] = np.nan
    with pytest.raises(DataError, match=r"no number for 2 of 100 rows"):
        score(project, make_table(tmp_path, x=x))
    assert names(project) == []


def test_a_disk_that_takes_no_more_leaves_no_file(tmp_path: Path) -> None:
    project, table = make_project(tmp_path), make_table(tmp_path, 20_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        with pytest.raises(InfrastructureError, match="cannot be written: File too large"):
            score(project, table, rows=1_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, previous)
    assert names(project) == []
    assert score(project, table).rows == 20_000


@pytest.mark.parametrize("point", ["score-half", "score-written"])
def test_a_kill_leaves_nothing_under_a_final_name_and_the_next_run_cleans_up(tmp_path: Path, point: str) -> None:
    project, table = make_project(tmp_path), make_table(tmp_path)
    code = """
        import sys
        from pathlib import Path
        from tests.scoring.test_predictions import make_project, make_table, score
        folder = Path(sys.argv[1])
        score(make_project(folder), make_table(folder), rows=13)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        env=os.environ | {"TRUEUP_CRASH_AT": point, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    left = names(project)
    assert len(left) == 1
    assert left[0].endswith(".tmp")
    scored = score(project, table)
    assert names(project) == [scored.path.name]
    assert len(read(scored.path)) == 100


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    project = make_project(tmp_path, "  time: at\n")
    part = pd.DataFrame({"at": pd.Timestamp("2013-04-01", tz="UTC"), "x": np.arange(20_000) % 100, "bought": "no"})
    peaks, arrow = [], []
    for parts in (2, 20):
        path = tmp_path / "rows.parquet"
        rows = pa.Table.from_pandas(part, preserve_index=False)
        with pq.ParquetWriter(path, rows.schema) as writer:
            for _ in range(parts):
                writer.write_table(rows)
        del rows
        table = TableRef(str(parts), (str(path),), infer_schema(str(path)), "bought", time="at")
        tracemalloc.start()
        assert score(project, table, rows=20_000).rows == parts * 20_000
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        arrow.append(pa.default_memory_pool().max_memory())
    assert peaks[1] < 1.5 * peaks[0]
    assert arrow[1] < 1.5 * arrow[0]


def test_the_stage_is_the_same_function(tmp_path: Path) -> None:
    project, table = make_project(tmp_path), make_table(tmp_path)
    scored = score_batch(
        project,
        table,
        Share(),
        version=VERSION,
        task="binary",
        classes=("no", "yes"),
        threshold=0.3,
        features=("x",),
        skip=NOTHING,
        flow_run_id="flow-1",
        content="abc",
        now=NOW,
    )
    assert scored == score(project, table)


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "none.parquet")
