"""Further whole turns on targets of several classes and of numbers; the sample is in tests/flows/test_task_types.py."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.flows.zoo import FIRST, SECOND, UNTIMED, Bench, bench, make_classes, make_numbers, shared

__all__ = ["bench", "shared"]

pytestmark = pytest.mark.soak


def test_whole_numbers_as_classes_without_time(bench: Bench) -> None:
    bench.write(make_classes(600, names=(3, 5, 8)).drop(columns=["at", "key"]), **UNTIMED)
    bench.turn(FIRST)
    (trained,) = bench.entries("train")
    assert bench.champion() == 1 and trained.payload["classes"] == [3, 5, 8]
    assert set(bench.predictions("all")["prediction"]) == {3, 5, 8}
    (window,) = bench.entries("monitor")
    assert window.payload["report"] and not window.payload["notes"]


@pytest.mark.parametrize(
    ("metric", "quantile"), [("pinball", 0.9), ("rmse", 0.5), ("f1_macro", 0.5), ("roc_auc_ovr", 0.5)]
)
def test_other_metrics_decide_too(bench: Bench, metric: str, quantile: float) -> None:
    frame = make_numbers() if metric in ("pinball", "rmse") else make_classes()
    bench.write(frame, train={"metric": metric, "quantile": quantile}, split={"test": 0.4})
    bench.turn(FIRST)
    (trained,) = bench.entries("train")
    assert trained.payload["metric"] == metric
    if metric == "rmse":  # a tail so heavy may leave it open; it is not lost
        assert trained.outcome in ("promote", "hold"), trained.reason
        return
    assert bench.champion() == 1, trained.reason
    if metric == "pinball":
        y = frame.set_index("key").loc[bench.predictions("2024-05")["row_id"], "y"].to_numpy()
        assert 0.8 < (y <= bench.predictions("2024-05")["prediction"]).mean() < 0.97


def test_a_contract_takes_strange_labels_out(bench: Bench) -> None:
    """What the task is, is known only after the contract; what then does not fit is refused, and nothing recorded."""
    frame = make_numbers()
    frame.loc[::100, "y"] = np.inf
    bench.write(frame, train={"metric": "mae"})
    (bench.root / "configs" / f"{bench.name}.contract.yaml").write_text("columns:\n  y: {max: 1.0e+12}\n")
    bench.turn(FIRST)
    assert bench.champion() == 1
    (trained,) = bench.entries("train")
    assert trained.payload["dropped"]["in quarantine"] == (frame["y"].eq(np.inf) & frame["at"].lt("2024-05-01")).sum()
    assert np.isfinite(bench.predictions("2024-05")["prediction"]).all()
    assert json.dumps(trained.payload)


def test_rare_classes_are_learned_where_they_can_be(bench: Bench) -> None:
    frame = make_classes()
    frame.loc[frame.index[::40], "y"] = "rare"
    bench.write(frame)
    bench.turn(FIRST)
    (trained,) = bench.entries("train")
    assert trained.payload["classes"] == ["cat", "dog", "owl", "rare"]
    assert bench.champion() == 1, trained.reason


def test_a_class_that_came_is_learned_once_older_rows_have_it(bench: Bench) -> None:
    """The new model knows it, and is compared with the old one, which gives it no chance."""
    frame = make_classes()
    bench.write(frame)
    bench.turn(FIRST)
    frame.loc[(frame["at"] >= "2024-06-01") & (np.arange(len(frame)) % 5 == 0), "y"] = "new"
    bench.write(frame, split={"how": "random"})
    assert bench.turn(SECOND).outcome == "done"
    newest = bench.entries("train")[-1]
    assert newest.payload["classes"] == ["cat", "dog", "new", "owl"]
    (gate,) = [g for g in newest.payload["gates"] if g["name"] == "champion"]
    assert gate["status"] in ("pass", "inconclusive")


def test_a_target_that_becomes_another_kind_is_not_compared(bench: Bench) -> None:
    frame = make_classes(names=(1, 2, 3))
    bench.write(frame)
    bench.turn(FIRST)
    bench.write(frame, data={"task": "regression"})
    report = bench.turn(SECOND)
    newest = bench.entries("train")[-1]
    gates = {g["name"]: g for g in newest.payload["gates"]}
    assert (newest.outcome, bench.champion()) == ("hold", 1), report
    assert "it predicts 1, 2, 3, and the target of the rows is numbers" in gates["champion"]["sentence"]
    assert bench.entries("monitor")[-1].outcome in ("healthy", "drifting"), "the champion serves on"
