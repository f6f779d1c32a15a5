"""Windows of every task type: metrics, drift of the predictions, labels that no model knows, and the picture."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from tasks.config import load_project
from tasks.monitoring.performance import MOST_NUMBERS, LabelledRows
from tasks.monitoring.reference import make_profile, make_reference
from tasks.monitoring.window import monitor_window
from tasks.results import MetricValue, ModelVersion, Split, TrainingFrame, Window
from tasks.table import TableRef, infer_schema

VERSION = ModelVersion("zoo", 1, "run-1", "digest", "key", "snapshot", "models:/zoo/1")
FEATURES = ("x", "kind")
Task = Literal["multiclass", "regression"]


class Zoo:
    """A champion of several classes (named by `classes`) or of numbers of size 1e6, and a batch that it scored."""

    def __init__(self, folder: Path, task: Task, classes: tuple[Any, ...] = ()) -> None:
        self.folder, self.task, self.classes = folder, task, classes
        (folder / "configs").mkdir()
        metric = "log_loss" if classes else "mae"
        path = folder / "configs" / "zoo.yaml"
        path.write_text(
            "name: zoo\ndata: {source: rows.parquet, target: y, time: at}\nmonitor: {sample_rows: 800}\n"
            f"train: {{metric: {metric}}}\n"
        )
        self.project = load_project(path)
        trained, prediction = self.draw(4_000, 1)
        codes = {label: code for code, label in enumerate(classes)}
        target = trained["y"].map(codes) if classes else trained["y"]
        frame = TrainingFrame(
            trained.drop(columns="y"), target, task, classes, FEATURES, trained["at"], None, "snapshot", ("b",)
        )
        test = tuple(range(2_000, 4_000))
        self.profile = make_profile(frame, test, prediction[2_000:], self.project.spec)
        split = Split(tuple(range(2_000)), (), test, (), "time")
        self.reference = make_reference(frame, split, prediction[2_000:], rows=800, seed=0)
        self.reference.to_parquet(folder / "reference.parquet")
        self.reference = pd.read_parquet(folder / "reference.parquet")
        self.rows, self.prediction = self.draw(4_000, 2)
        self.promised = MetricValue(metric, 0.0, 0.0, 1e9, 0.95, False, "x")

    def draw(self, rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
        random = np.random.default_rng(seed)
        at = pd.Timestamp("2013-04-01", tz="UTC") + pd.to_timedelta(np.sort(random.random(rows)) * 30, unit="D")
        x = random.normal(size=rows)
        frame = pd.DataFrame({"at": at, "x": x, "kind": random.choice(["a", "b"], rows)})
        if not self.classes:
            return frame.assign(y=1e6 * np.exp(x + random.normal(size=rows) / 3)), 1e6 * np.exp(x)
        score = np.exp(np.outer(x, np.linspace(-2, 2, len(self.classes))) + np.array([0, 1, 0]))
        p = score / score.sum(axis=1, keepdims=True)
        code = (p.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1)
        return frame.assign(y=[self.classes[c] for c in code]), p

    def watch(self, picture: bool = False) -> Window:
        path, scored = self.folder / "rows.parquet", self.folder / "p.parquet"
        self.rows.to_parquet(path, index=False)
        table = TableRef("2013-04", (str(path),), infer_schema(str(path)), "y", time="at")
        if self.classes:
            values = {f"probability_{i}": self.prediction[:, i] for i in range(len(self.classes))}
        else:
            values = {"prediction": self.prediction}
        pd.DataFrame({"row": np.arange(len(self.rows)), **values}).to_parquet(scored, index=False)
        return monitor_window(
            self.project, table, batch_end=datetime(2013, 5, 1, tzinfo=UTC), contract_outcome=None, predictions=scored,
            version=VERSION, profile=self.profile, reference=self.reference, promised=self.promised, task=self.task,
            classes=self.classes, features=FEATURES, now=datetime(2013, 5, 1, tzinfo=UTC), picture=picture,
        )  # fmt: skip


@pytest.mark.parametrize("classes", [("cat", "dog", "owl"), (1, 2, 3), (1.5, 2.5, 4)])
def test_several_classes(tmp_path: Path, classes: tuple[Any, ...]) -> None:
    zoo = Zoo(tmp_path, "multiclass", classes)
    assert set(zoo.reference["target"]) == set(zoo.reference["prediction"]) == set(classes)
    window = zoo.watch(picture=True)
    y, p = zoo.rows["y"].map({label: code for code, label in enumerate(classes)}), zoo.prediction
    assert window.health == "healthy" and window.performance[0].name == "log_loss"
    assert window.metrics["log_loss"] == pytest.approx(sk.log_loss(y, p))
    assert window.metrics["accuracy"] == pytest.approx(sk.accuracy_score(y, p.argmax(axis=1)))
    assert window.metrics["f1_macro"] == pytest.approx(sk.f1_score(y, p.argmax(axis=1), average="macro"))
    assert window.metrics["roc_auc_ovr"] == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr"))
    assert set(window.drift) == {*FEATURES, "prediction", "target"} and not window.prediction_drifted
    assert window.report is not None, window.notes
    assert "Confusion Matrix" in window.report.read_text() and not window.notes


def test_numbers(tmp_path: Path) -> None:
    zoo = Zoo(tmp_path, "regression")
    window = zoo.watch(picture=True)
    y, p = zoo.rows["y"], zoo.prediction
    assert window.health == "healthy" and window.performance[0].name == "mae"
    assert window.metrics["mae"] == pytest.approx(sk.mean_absolute_error(y, p))
    assert window.metrics["rmse"] == pytest.approx(sk.root_mean_squared_error(y, p))
    assert window.metrics["r2"] == pytest.approx(sk.r2_score(y, p))
    assert window.sentence.startswith("MAE ") and "promised" in window.sentence
    assert window.report is not None, window.notes
    assert "Error Distribution" in window.report.read_text() or "Regression" in window.report.read_text()
    zoo.prediction = 3 * zoo.prediction
    assert zoo.watch().prediction_drifted


def test_labels_of_another_class_are_counted_and_measured_by_nothing(tmp_path: Path) -> None:
    zoo = Zoo(tmp_path, "multiclass", ("cat", "dog", "owl"))
    known = np.arange(4_000) >= 200
    zoo.rows.loc[~known, "y"] = "<b>emu</b>"
    window = zoo.watch(picture=True)
    assert (window.health, window.action, window.labelled) == ("drifting", "watch", 3_800)
    assert "5% of the labels in 'y' are none that the model knows: '<b>emu</b>'" in window.sentence
    codes = zoo.rows["y"][known].map({"cat": 0, "dog": 1, "owl": 2})
    assert window.metrics["log_loss"] == pytest.approx(sk.log_loss(codes, zoo.prediction[known]))
    assert window.report is not None and not window.notes
    zoo.rows["y"] = zoo.rows["y"].str.upper()
    window = zoo.watch(picture=True)
    assert (window.health, window.action, window.labelled) == ("broken", "fix upstream", 0)


def test_labels_that_are_no_finite_numbers(tmp_path: Path) -> None:
    zoo = Zoo(tmp_path, "regression")
    zoo.rows.loc[:99, "y"] = np.inf
    zoo.rows.loc[100:149, "y"] = np.nan  # not known, which is no fault
    window = zoo.watch(picture=True)
    assert (window.health, window.labelled) == ("drifting", 3_850)
    assert "3% of the labels in 'y' are none that the model knows: inf" in window.sentence
    assert window.metrics["mae"] < 1e6 and window.report is not None
    zoo.rows["y"] = [f"{value:,.0f} EUR" for value in zoo.rows["y"].fillna(1).replace(np.inf, 1)]
    assert zoo.watch(picture=True).health == "broken"


def test_a_rare_class_holds_back_only_what_needs_each_class(tmp_path: Path) -> None:
    zoo = Zoo(tmp_path, "multiclass", ("cat", "dog", "owl"))
    owls = np.flatnonzero(zoo.rows["y"] == "owl")
    zoo.rows.loc[owls[4:], "y"] = "dog"
    window = zoo.watch()
    assert "too little" not in window.sentence and np.isfinite(window.performance[0].low)
    zoo.promised = MetricValue("f1_macro", 0.6, 0.5, 0.7, 0.95, True, "x")
    assert "a class has 4 labelled rows" in zoo.watch().sentence
    zoo.promised = MetricValue("average_precision", 0.6, 0.5, 0.7, 0.95, True, "of a target that was binary")
    assert zoo.watch().performance[0].name == "log_loss"


def test_many_classes_stay_within_bounds() -> None:
    rows = LabelledRows("multiclass", tuple(range(100)), 0)
    prediction = np.full((50_000, 100), 0.01)
    for part in range(4):
        labels = pd.Series(np.arange(50_000) % 100)
        rows.add(labels, prediction, None, np.arange(part * 50_000, (part + 1) * 50_000))
    assert len(rows._sample.frame()) * 100 <= MOST_NUMBERS
