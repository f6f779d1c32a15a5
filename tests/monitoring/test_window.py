"""A window from files to verdict: labels that come late, quarantine, refusal, broken columns, and flat memory."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tasks.config import LoadedProject, load_project
from tasks.errors import DataError
from tasks.monitoring.join import join_predictions
from tasks.monitoring.reference import RoleNames, make_profile, make_reference
from tasks.monitoring.window import monitor_window
from tasks.results import ContractResult, MetricValue, ModelVersion, Split, TrainingFrame, Window, to_json
from tasks.table import TableRef, infer_schema

FEATURES = ("x", "kind", "flag")
VERSION = ModelVersion("shop", 3, "run-1", "digest", "key", "snapshot", "models:/shop/3")
END = datetime(2013, 5, 1, tzinfo=UTC)
CLASSES = ("no", "yes")


def draw(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Rows of April whose label depends on x, and the true probabilities as predictions."""
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    p = 1 / (1 + np.exp(1 - 1.5 * x))
    frame = pd.DataFrame(
        {
            "at": pd.Timestamp("2013-04-01", tz="UTC") + pd.to_timedelta(np.sort(random.random(rows)) * 30, unit="D"),
            "x": x,
            "kind": random.choice(["a", "b", "c"], rows),
            "flag": random.random(rows) < 0.4,
            "bought": np.where(random.random(rows) < p, "yes", "no"),
        }
    )
    return frame, p


class World:
    """A project with a champion, and a batch of 4,000 rows that it scored."""

    def __init__(self, folder: Path) -> None:
        (folder / "configs").mkdir()
        path = folder / "configs" / "shop.yaml"
        path.write_text("name: shop\ndata: {source: rows.parquet, target: bought, time: at, label_delay: 1d}\n")
        self.project: LoadedProject = load_project(path)
        self.folder = folder
        trained, p = draw(4_000, seed=1)
        target = (trained["bought"] == "yes").astype(int)
        frame = TrainingFrame(
            trained.drop(columns="bought"), target, "binary", CLASSES, FEATURES, trained["at"], None, "snapshot", ("b",)
        )
        test = tuple(range(2_000, 4_000))
        self.profile = make_profile(frame, test, p[2_000:], self.project.spec)
        split = Split(tuple(range(2_000)), (), test, (), "time")
        self.reference = make_reference(frame, split, p[2_000:], rows=500, seed=0)
        self.rows, self.p = draw(4_000, seed=2)

    def table(self, as_of: datetime | None = None) -> TableRef:
        path = self.folder / "rows.parquet"
        self.rows.to_parquet(path, index=False, row_group_size=1_000)
        delay = timedelta(days=1)
        return TableRef("2013-04", (str(path),), infer_schema(str(path)), "bought", time="at", as_of=as_of,
                        label_delay=delay)  # fmt: skip

    def predictions(self, skip: Any = ()) -> Path:
        frame = pd.DataFrame({"row": np.arange(len(self.p)), "probability": self.p}).drop(index=list(skip))
        frame.to_parquet(self.folder / "predictions.parquet", index=False)
        return self.folder / "predictions.parquet"

    def watch(self, as_of: datetime | None = None, **changes: Any) -> Window:
        arguments: dict[str, Any] = {
            "batch_end": END,
            "contract_outcome": None,
            "version": VERSION,
            "profile": self.profile,
            "reference": self.reference,
            "promised": MetricValue("average_precision", 0.6, 0.55, 0.65, 0.95, True, "x"),
            "task": "binary",
            "classes": CLASSES,
            "features": FEATURES,
            "now": END,
            "picture": False,
        }
        if "predictions" not in changes:
            arguments["predictions"] = self.predictions()
        return monitor_window(self.project, self.table(as_of), **(arguments | changes))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_realised_metrics_are_those_of_scikit_learn(world: World) -> None:
    window = world.watch()
    y = world.rows["bought"] == "yes"
    assert window.health == "healthy"
    assert window.action == "none"
    assert (window.rows, window.labelled, window.version) == (4_000, 4_000, 3)
    assert window.metrics["average_precision"] == pytest.approx(average_precision_score(y, world.p))
    assert window.metrics["roc_auc"] == pytest.approx(roc_auc_score(y, world.p))
    low, high = window.metrics["average_precision_low"], window.metrics["average_precision_high"]
    assert low < window.metrics["average_precision"] < high
    assert window.performance[0].method == "jackknife over 30 days"
    assert window.promised == {
        "average_precision": 0.6, "average_precision_low": 0.55, "average_precision_high": 0.65
    }  # fmt: skip
    assert set(window.drift) == {*FEATURES, "prediction", "target"}
    json.loads(to_json(window))


def test_only_labels_that_are_known_count(world: World) -> None:
    as_of = END  # the batch has ended, but its last day's labels are a day late
    window = world.watch(as_of=as_of)
    known = world.rows["at"] <= as_of - timedelta(days=1)
    assert window.labelled == known.sum() < 4_000
    y = (world.rows["bought"] == "yes")[known]
    assert window.metrics["roc_auc"] == pytest.approx(roc_auc_score(y, world.p[known]))
    none = world.watch(as_of=datetime(2013, 4, 1, tzinfo=UTC))
    assert (none.labelled, none.metrics, none.health) == (0, {}, "healthy")
    assert none.sentence.startswith("no label is known yet; average precision estimated without labels ")
    assert none.sentence.endswith("; none of 3 columns drifted")


def test_rows_in_quarantine_are_profiled_and_not_judged(world: World) -> None:
    world.rows.loc[:99, "x"] = 1e6
    window = world.watch(predictions=world.predictions(skip=range(100)), picture=True)
    assert window.report is not None, window.notes
    assert (window.rows, window.labelled) == (4_000, 3_900)
    y = (world.rows["bought"] == "yes")[100:]
    assert window.metrics["roc_auc"] == pytest.approx(roc_auc_score(y, world.p[100:]))
    assert window.counts is not None
    assert json.loads(window.counts.read_text())["columns"]["x"]["moments"][-1] == 1e6


def test_worthless_predictions_are_degraded(world: World) -> None:
    world.p = np.random.default_rng(0).permutation(world.p)
    window = world.watch()
    assert (window.health, window.action) == ("degraded", "retrain")
    assert "on 4,000 labelled rows; promised .600 [.550, .650]" in window.sentence


def test_too_few_labels_do_not_degrade(world: World) -> None:
    world.p = np.random.default_rng(0).permutation(world.p)
    world.rows.loc[40:, "bought"] = None
    window = world.watch()
    assert window.health == "healthy"
    assert "(40 labels are known, fewer than 50 say too little; average precision estimated" in window.sentence


def test_a_moved_population_is_drifting(world: World) -> None:
    world.rows["x"] += 1.0
    window = world.watch()
    assert (window.health, window.action, window.drifted) == ("drifting", "watch", ("x",))


def test_a_column_that_broke_is_broken(world: World) -> None:
    world.rows["kind"] = None
    window = world.watch()
    assert (window.health, window.action) == ("broken", "fix upstream")
    assert window.faults == ("'kind' is missing throughout (0% in the reference)",)


def test_a_refused_batch_is_a_broken_window_with_its_profile(world: World) -> None:
    refused = ContractResult("2013-04", "refused", "9% of rows break a rule; at most 2% may", 4_000, 360, (), "c")
    window = world.watch(contract_outcome=refused, predictions=None)
    assert window.sentence == "the contract refused the batch: 9% of rows break a rule; at most 2% may"
    assert (window.health, window.labelled, window.metrics) == ("broken", 0, {})
    assert set(window.drift) == {*FEATURES, "target"}
    assert window.counts is not None


def test_without_a_champion(world: World) -> None:
    window = world.watch(version=None, profile=None, reference=None, promised=None, predictions=None)
    assert (window.version, window.drift, window.counts) == (None, {}, None)
    assert "no model is released yet" in window.sentence


def test_no_rows(world: World) -> None:
    world.rows, world.p = world.rows.iloc[:0], world.p[:0]
    assert world.watch().sentence == "the batch holds no rows"


def test_predictions_of_another_batch_are_refused(world: World) -> None:
    world.rows = world.rows.iloc[:3_999]
    with pytest.raises(DataError, match=r"beyond the 3,999 of batch 2013-04"):
        world.watch()


@pytest.mark.parametrize("rows", [7, 1_000, 5_000])
def test_the_join_holds_however_both_are_cut(world: World, rows: int) -> None:
    skip = np.random.default_rng(0).choice(4_000, 500, replace=False)
    joined = join_predictions(world.table(), ["x"], world.predictions(skip), "binary", 2, rows)
    frames = [(frame.assign(p=p), positions) for frame, p, positions in joined]
    together = pd.concat([f for f, _ in frames])
    expected = world.p.copy()
    expected[skip] = np.nan
    np.testing.assert_array_equal(together["p"], expected)
    np.testing.assert_array_equal(np.concatenate([p for _, p in frames]), np.arange(4_000))


def test_regression_and_multiclass_predictions_join(tmp_path: Path, world: World) -> None:
    path = tmp_path / "p.parquet"
    pd.DataFrame({"row": [0, 2], "prediction": [1.5, 2.5]}).to_parquet(path)
    world.rows = world.rows.iloc[:3]
    (only,) = join_predictions(world.table(), ["x"], path, "regression", 0)
    np.testing.assert_array_equal(only[1], [1.5, np.nan, 2.5])
    pd.DataFrame({"row": [1], "probability_0": [0.2], "probability_1": [0.8]}).to_parquet(path)
    (only,) = join_predictions(world.table(), ["x"], path, "multiclass", 2)
    np.testing.assert_array_equal(only[1], [[np.nan] * 2, [0.2, 0.8], [np.nan] * 2])


def test_the_reference_is_test_rows_in_their_original_labels(world: World) -> None:
    reference = world.reference
    assert list(reference) == [*FEATURES, "target", "prediction", "probability"]
    assert len(reference) == 500
    assert set(reference["target"]) == set(reference["prediction"]) == set(CLASSES)
    assert ((reference["probability"] >= 0.5) == (reference["prediction"] == "yes")).all()
    trained, p = draw(4_000, seed=1)
    of_test = dict(zip(trained["x"][2_000:], p[2_000:], strict=True))
    assert [of_test[x] for x in reference["x"]] == reference["probability"].tolist()


def test_roles_never_take_a_features_name() -> None:
    assert RoleNames.beside(["target", "target_", "probability"]) == RoleNames("target__", "prediction", "probability_")


def test_memory_does_not_grow_with_the_rows(world: World) -> None:
    part = pa.Table.from_pandas(world.rows.assign(bought=None), preserve_index=False)
    world.project = dataclasses.replace(
        world.project, spec=world.project.spec.model_copy(update={"monitor": world.project.spec.monitor.model_copy(
            update={"sample_rows": 500})})
    )  # fmt: skip
    peaks = []
    for parts in (20, 80):
        path = world.folder / "many.parquet"
        with pq.ParquetWriter(path, part.schema) as writer:
            for _ in range(parts):
                writer.write_table(part)
        table = dataclasses.replace(world.table(), files=(str(path),), start=None)
        scored = world.folder / "p.parquet"
        with pq.ParquetWriter(scored, pa.schema({"row": pa.int64(), "probability": pa.float64()})) as writer:
            for number in range(parts):
                rows = pa.array(np.arange(number * 4_000, (number + 1) * 4_000))
                writer.write_table(pa.table({"row": rows, "probability": world.p}))
        tracemalloc.start()
        window = monitor_window(
            world.project, table, batch_end=END, contract_outcome=None, predictions=scored, version=VERSION,
            profile=world.profile, reference=world.reference, promised=None, task="binary", classes=CLASSES,
            features=FEATURES, now=END, picture=False,
        )  # fmt: skip
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert window.rows == parts * 4_000
    assert peaks[1] < 1.3 * peaks[0]
