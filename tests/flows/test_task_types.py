"""Whole turns on targets of several classes and of numbers: trained, released, scored, monitored, and strange ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from flows.preview import preview_turn
from flows.train import train
from tasks.errors import ConfigError, DataError
from tests.flows.zoo import (
    CLASS_METRICS,
    FIRST,
    NUMBER_METRICS,
    SECOND,
    UNTIMED,
    Bench,
    bench,
    make_classes,
    make_numbers,
    shared,
)

__all__ = ["bench", "shared"]


def test_several_classes_live_through_two_months(bench: Bench) -> None:
    frame = make_classes()
    bench.write(frame)
    first = bench.turn(FIRST)
    assert (first.outcome, bench.champion()) == ("done", 1), first
    (trained,) = bench.entries("train")
    made = trained.payload
    assert (made["task"], made["classes"], made["metric"]) == ("multiclass", ["cat", "dog", "owl"], "log_loss")
    assert made["threshold"] is None and made["calibration"] == "temperature"
    assert made["soundness"]["largest_difference"] == 0
    bench.check_metrics(trained, CLASS_METRICS)
    scored = bench.predictions("2024-05")
    assert set(scored["prediction"]) == {"cat", "dog", "owl"}
    shares = scored[["probability_0", "probability_1", "probability_2"]].to_numpy()
    assert np.allclose(shares.sum(axis=1), 1) and (shares.argmax(axis=1) == scored["prediction"].map(
        {"cat": 0, "dog": 1, "owl": 2})).all()  # fmt: skip
    second = bench.turn(SECOND)
    assert second.outcome == "done"
    windows = bench.entries("monitor")
    assert [(e.subject, e.outcome) for e in windows] == [("2024-05", "healthy"), ("2024-06", "healthy")]
    newest = windows[-1].payload
    assert newest["labelled"] == newest["rows"] > 200 and newest["report"] and not newest["notes"]
    of = frame.set_index("key").loc[bench.predictions("2024-06")["row_id"], "y"].map({"cat": 0, "dog": 1, "owl": 2})
    given = bench.predictions("2024-06").filter(regex="^probability_").to_numpy()
    assert newest["metrics"]["log_loss"] == pytest.approx(sk.log_loss(of, given))
    assert "Log loss is" in trained.reason and "better by at least" in trained.reason


def test_numbers_live_through_two_months(bench: Bench) -> None:
    frame = make_numbers()
    bench.write(frame, train={"metric": "mae", "search": {"trials": 2, "seconds": 1e6}})
    first = bench.turn(FIRST)
    assert (first.outcome, bench.champion()) == ("done", 1), first
    (trained,) = bench.entries("train")
    made = trained.payload
    assert (made["task"], made["classes"], made["metric"]) == ("regression", [], "mae")
    assert made["threshold"] is None and made["calibration"].startswith("none")
    assert made["soundness"]["largest_difference"] == 0
    bench.check_metrics(trained, NUMBER_METRICS)
    scored = bench.predictions("2024-05")
    assert scored["prediction"].dtype == "float64" and not scored.filter(regex="^probability").columns.any()
    assert bench.turn(SECOND).outcome == "done"
    newest = bench.entries("monitor")[-1]
    assert newest.outcome in ("healthy", "drifting") and newest.payload["report"] and not newest.payload["notes"]
    of = frame.set_index("key").loc[bench.predictions("2024-06")["row_id"], "y"]
    assert newest.payload["metrics"]["mae"] == pytest.approx(
        sk.mean_absolute_error(of, bench.predictions("2024-06")["prediction"])
    )
    assert re.search(r"MAE [\d,]+ \[[\d,]+, [\d,]+\] on \d+ labelled rows; promised [\d,]+", newest.reason), (
        newest.reason
    )


def test_a_random_split_without_time(bench: Bench) -> None:
    bench.write(make_numbers(600, scale=1e-6).drop(columns=["at", "key"]), **UNTIMED)
    report = bench.turn(FIRST)
    assert bench.champion() == 1, report
    (trained,) = bench.entries("train")
    assert trained.payload["metric"] == "r2" and "hash of the row content" in trained.payload["split"]
    bench.check_metrics(trained, NUMBER_METRICS)
    values = bench.predictions("all")["prediction"]
    assert values.between(0, 1e-3).mean() > 0.8


def test_a_class_that_only_the_newest_batch_has(bench: Bench) -> None:
    """The champion cannot know it, and the window says so; a training that cannot learn it yet names the way out."""
    frame = make_classes(names=(1, 2, 3))
    late = frame["at"] >= "2024-06-01"
    frame.loc[late & (np.arange(len(frame)) % 5 == 0), "y"] = 9
    bench.write(frame)
    bench.turn(SECOND)
    (window,) = bench.entries("monitor")
    assert (window.outcome, window.payload["action"]) == ("drifting", "watch")
    assert "20% of the labels in 'y' are none that the model knows: 9" in window.reason
    assert window.payload["report"] and not window.payload["notes"]
    with pytest.raises(DataError, match=r"y = 9: its \d+ rows begin on 2024-06-0\d, after the fitting rows.*later"):
        train(bench.file, SECOND, overrides=["train.seed=1"])
    assert len(bench.entries("train")) == 1 and bench.champion() == 1


@pytest.mark.parametrize(
    ("change", "sections", "kind", "words"),
    [
        ({"y": lambda f: [f"{int(v):,}" for v in f["n"] * 1_000]}, {}, DataError, "text that reads as numbers: '"),
        ({"y": lambda f: [f"{v} km" for v in f["n"]]}, {}, DataError, "text that reads as numbers: '"),
        ({"y": lambda f: np.where(f["n"] == 7, np.inf, f["n"] / 3)}, {}, DataError, "labels are infinite"),
        ({"y": lambda f: [f"class {v % 300}" for v in f["n"]]}, {}, DataError, "at most 100 classes"),
        ({"y": lambda f: [f"class {v}" if v < 40 else "rest" for v in f["n"] // 2]}, {}, DataError, "too rare"),
        ({"y": lambda f: f["at"].dt.tz_localize(None)}, {}, DataError, "holds dates"),
        ({"y": 3.5}, {}, DataError, "all .* known labels are 3.5"),
        ({}, {"data": {"positive": "cat"}}, ConfigError, "data.positive: it is of a binary target only"),
        ({}, {"data": {"task": "binary"}}, ConfigError, "data.task: binary needs two"),
        ({}, {"data": {"task": "regression"}}, DataError, "a regression needs a column of numbers"),
        ({}, {"train": {"costs": {"false_positive": 1, "false_negative": 2}}}, ConfigError, "train.costs"),
        ({}, {"train": {"metric": "rmse"}}, ConfigError, "'rmse' is no metric of a multiclass target"),
        ({}, {"train": {"candidates": ["ridge"]}}, ConfigError, "'ridge' cannot predict a multiclass target"),
    ],
)
def test_strange_targets_are_refused_before_anything_is_written(
    tmp_path: Path, change: dict[str, Any], sections: dict[str, Any], kind: Any, words: str
) -> None:
    bench = Bench("strange", tmp_path / "work", tmp_path / "home")
    frame = make_classes(800).assign(n=np.arange(800))
    bench.write(frame.assign(**change).drop(columns="n"), **sections)
    with pytest.raises(kind, match=words):
        preview_turn(bench.file, FIRST, [])
    assert not bench.home.exists()
