"""What is predicted in shadow: apart from what is served, aligned with it row by row, and in memory that is flat."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.errors import DataError
from tasks.results import ModelVersion, PredictionFile
from tasks.scoring.predictions import SHADOW, write_predictions
from tasks.scoring.shadow import measure_disagreement, score_shadow
from tests.scoring.test_predictions import NOTHING, Share, Three, make_project, make_table

NOW = datetime(2013, 5, 1, 4, tzinfo=UTC)


class Less(Share):
    """Another share of `x` in 100, and never more than the champion's."""

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        p = frame["x"].to_numpy() / 200
        return np.column_stack([1 - p, p])


def arguments(number: int, **changes: Any) -> dict[str, Any]:
    given = {
        "version": ModelVersion("shop", number, f"run-{number}", "digest", "key", "snapshot", f"models:/shop/{number}"),
        "task": "binary",
        "classes": ("no", "yes"),
        "threshold": 0.3,
        "features": ("x",),
        "skip": NOTHING,
        "flow_run_id": "flow",
        "content": "content",
        "now": NOW,
    }
    return {**given, **changes}


def test_nobody_takes_it_for_served(tmp_path: Path) -> None:
    project, table = make_project(tmp_path), make_table(tmp_path)
    skip = np.array([3, 50])
    served = write_predictions(project, table, Share(), **arguments(1, skip=skip))
    beside = PredictionFile(served.path, "binary", ("no", "yes"), 0.3)
    made, apart = score_shadow(project, table, Less(), beside=beside, **arguments(2, skip=skip, threshold=0.2))
    assert made.path.parent.name == "shadow" and made.path.name.endswith("-v2.shadow.parquet")
    assert list((project.folder / "predictions").iterdir()) == [served.path]
    one, two = pd.read_parquet(served.path), pd.read_parquet(made.path)
    assert not {"prediction", "probability", "prediction_id"} & set(two)
    assert {"shadow_prediction", "shadow_probability", "shadow_prediction_id", "row_id", "row"} <= set(two)
    assert list(one["row"]) == list(two["row"]) and len(two) == 98 == made.rows
    assert set(two["model_version"]) == {2}
    again = write_predictions(project, table, Less(), **arguments(2, skip=skip, threshold=0.2))
    ids = set(pd.read_parquet(again.path)["prediction_id"])
    assert not ids & set(two["shadow_prediction_id"]), "served later, the same version's predictions have other names"
    differing = (one["probability"] >= 0.3) != (two["shadow_probability"] >= 0.2)
    assert apart.differing == differing.sum() > 0
    assert apart.describe()["distance"] == pytest.approx((one["probability"] - two["shadow_probability"]).abs().mean())


@pytest.mark.parametrize("rows", [1, 7, 64, 10_000])
def test_only_rows_of_both_are_compared_however_they_come(tmp_path: Path, rows: int) -> None:
    project, table = make_project(tmp_path), make_table(tmp_path, rows=300)
    one = write_predictions(project, table, Share(), **arguments(1, skip=np.arange(0, 100, 7)), rows=40)
    two = write_predictions(project, table, Less(), **arguments(2, skip=np.arange(250, 300)), shadow=True, rows=31)
    files = (
        PredictionFile(one.path, "binary", ("no", "yes")),
        PredictionFile(two.path, "binary", ("no", "yes"), None, SHADOW),
    )
    found = measure_disagreement(*files, rows=rows)
    both = pd.read_parquet(one.path).merge(pd.read_parquet(two.path), on="row")
    assert found.rows == len(both) == 300 - 15 - 50
    assert found.distance == pytest.approx((both["probability"] - both["shadow_probability"]).abs().sum())
    assert found.differing == (both["prediction"] != both["shadow_prediction"]).sum()


def test_classes_that_one_of_them_does_not_know(tmp_path: Path) -> None:
    """Champion of a, b, c; challenger of b, c, d: what only one knows has no probability in the other."""
    project, table = make_project(tmp_path), make_table(tmp_path)
    how: dict[str, Any] = {"task": "multiclass", "threshold": None}
    one = write_predictions(project, table, Three(), **arguments(1, classes=("a", "b", "c"), **how))
    beside = PredictionFile(one.path, "multiclass", ("a", "b", "c"))
    same, none = score_shadow(project, table, Three(), beside=beside, **arguments(2, classes=("a", "b", "c"), **how))
    assert none.describe()["distance"] == 0 == none.differing and same.rows == 100
    _, apart = score_shadow(project, table, Three(), beside=beside, **arguments(3, classes=("b", "c", "d"), **how))
    assert apart.differing == 100
    # (.8, .1, .1, 0) against (0, .8, .1, .1) for x % 3 = 0, and so on.
    by_x = {0: 0.8, 1: 0.8, 2: 0.8}
    assert apart.distance == pytest.approx(sum(by_x[x % 3] for x in range(100)))


def test_values_beside_classes_are_not_compared(tmp_path: Path) -> None:
    project, table = make_project(tmp_path), make_table(tmp_path)
    served = write_predictions(project, table, Share(), **arguments(1, task="regression", classes=(), threshold=None))
    values = PredictionFile(served.path, "regression")
    made, apart = score_shadow(project, table, Share(), beside=values, **arguments(2))
    assert made.rows == 100 and apart.rows == 0
    _, near = score_shadow(
        project, table, Share(), beside=values, **arguments(3, task="regression", classes=(), threshold=None)
    )
    assert near.describe()["distance"] == 0 and near.describe()["spread"] == pytest.approx(np.arange(0, 200, 2).std())


def test_nothing_to_compare(tmp_path: Path) -> None:
    project, table = make_project(tmp_path), make_table(tmp_path)
    served = write_predictions(project, table, Share(), **arguments(1))
    beside = PredictionFile(served.path, "binary", ("no", "yes"))
    made, apart = score_shadow(project, table, Share(), beside=beside, **arguments(2, skip=np.arange(100)))
    assert made.rows == 0 == apart.rows and apart.describe()["distance"] is None
    with pytest.raises(DataError, match="no such file"):
        measure_disagreement(PredictionFile(tmp_path / "gone.parquet", "binary", ("no", "yes")), beside)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def measure(rows: int) -> int:
        files = []
        for name, prefix in (("one", ""), ("two", SHADOW)):
            path = tmp_path / f"{name}-{rows}.parquet"
            p = np.linspace(0, 1, rows)
            columns = {"row": np.arange(rows), f"{prefix}probability": p, f"{prefix}prediction": p > 0.5}
            pq.write_table(pa.table(columns), path, row_group_size=20_000)
            files.append(PredictionFile(path, "binary", (False, True), None, prefix))
        tracemalloc.start()
        assert measure_disagreement(*files, rows=20_000).rows == rows
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    small, large = measure(60_000), measure(600_000)
    assert large < 1.5 * small, (small, large)
