"""A held challenger is decided again when labels come: when, on which rows, at which confidence, how often."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from flows.champion import load_served
from flows.look import look_again
from flows.preview import preview_turn
from flows.run import run
from flows.workspace import open_workspace
from tasks.errors import ConfigError
from tasks.ledger import Entry, open_ledger
from tests.conftest import make_rows
from tests.flows.test_small_projects import Bench

DATA = {"time": "at", "id": "key"}
FOREST = {"candidates": ["random_forest"]}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / "home"))
    bench = Bench("looked", tmp_path / "work", tmp_path / "home")
    bench.put("rows.parquet", make_rows(6_000, months=12))
    yield bench


def hold_one(bench: Bench, **gates: object) -> Entry:
    """A champion as of May, and a challenger of another kind that so few rows cannot tell from it."""
    bench.write(data=DATA)
    run(bench.file, "2024-05-01")
    bench.write(data=DATA, train=FOREST, gates={"champion": {"margin": 0.058, **gates}})
    run(bench.file, "2024-06-01")
    held = bench.newest("train")
    assert held.outcome == "hold", held.reason
    assert held.payload["look"] == 1
    return held


def test_decided_again_until_the_rows_suffice(bench: Bench) -> None:
    held = hold_one(bench)
    assert held.payload["comparison"]["confidence"] == pytest.approx(1 - 0.05 / 3)
    explained = preview_turn(bench.file, "2024-06-01", []).plan.steps
    (waiting,) = [s for s in explained if s.action == "look"]
    assert not waiting.due and "look 2 of 3 when 50% more labelled rows are there" in waiting.why
    seen = []
    for moment in ("2024-07-01", "2024-08-01", "2024-09-01", "2024-10-01", "2024-11-01"):
        report = bench.turn(moment)
        seen.append(len(bench.entries("look")))
        if bench.champion() == 2:
            assert "look" in str(report)
            break
    looks = bench.entries("look")
    assert 1 <= len(looks) <= 2, "the training's comparison was the first of three looks"
    rows = [held.payload["comparison"]["rows"], *(e.payload["comparison"]["rows"] for e in looks)]
    assert all(later >= 1.5 * earlier for earlier, later in pairwise(rows))
    assert [e.payload["look"] for e in looks] == list(range(2, 2 + len(looks)))
    assert all(e.payload["comparison"]["confidence"] == pytest.approx(1 - 0.05 / 3) for e in looks)
    decisions = [(e.subject, e.outcome) for e in bench.entries("release")]
    assert decisions == [("1", "promote"), ("2", "hold"), *(("2", e.outcome) for e in looks)]
    check_numbers(bench, looks[-1])


def check_numbers(bench: Bench, look: Entry) -> None:
    """The look's metric is scikit-learn's on every labelled row after what the challenger was fitted on."""
    rows = pd.read_parquet(bench.root / "tables" / "rows.parquet")
    with open_workspace(bench.file, "now", [], "test") as workspace:
        served = load_served(workspace, 2)
    unseen = rows["at"] > pd.Timestamp(served.trained["seen"]["until"])
    judged = rows[unseen & (rows["at"] < look.payload["known_as_of"])]
    assert len(judged) == look.payload["judged"]
    probability = served.estimator.predict_proba(judged[list(served.features)])[:, 1]
    (value,) = (m["value"] for m in look.payload["metrics"] if m["name"] == "average_precision")
    assert value == pytest.approx(average_precision_score(judged["bought"], probability), abs=1e-9)


def test_no_more_often_than_allowed(bench: Bench) -> None:
    hold_one(bench, margin=0.0, looks=2)
    bench.turn("2024-08-01")
    with open_workspace(bench.file, "2024-08-01", [], "test") as workspace:
        look_again(workspace, 2)  # the same rows are judged once
    (look,) = bench.entries("look")
    assert look.payload["look"] == 2 and look.outcome in ("hold", "reject")
    if look.outcome == "hold":
        (left,) = [s for s in preview_turn(bench.file, "2024-11-01", []).plan.steps if s.action == "look"]
        assert "all looks are used (2)" in left.why
    with (
        open_workspace(bench.file, "2024-11-01", [], "test") as workspace,
        pytest.raises(ConfigError, match="looked at 2 times"),
    ):
        look_again(workspace, 2)


@pytest.mark.soak
def test_one_look_is_the_whole_error(bench: Bench) -> None:
    held = hold_one(bench, margin=0.0, looks=1)
    assert held.payload["comparison"]["confidence"] == 0.95
    (left,) = [s for s in preview_turn(bench.file, "2024-11-01", []).plan.steps if s.action == "look"]
    assert not left.due and "all looks are used (1)" in left.why


@pytest.mark.parametrize("how", [pytest.param("time", marks=pytest.mark.soak), "random"])
def test_refit(bench: Bench, how: str) -> None:
    """What serves has learned from every row; what was judged is its twin; later comparisons leave those rows out."""
    bench.write(data=DATA, split={"how": how}, train={"refit": True, "calibrate": "sigmoid"})
    assert run(bench.file, "2024-05-01").exit_code == 0
    first = bench.newest("train").payload
    rows = pd.read_parquet(bench.root / "tables" / "rows.parquet")
    learned = rows[rows["at"] < "2024-04-01"]
    assert first["refit"]["rows"] == len(learned) == first["rows"]
    assert first["refit"]["twin_rows"] < len(learned)
    with open_workspace(bench.file, "2024-04-01", [], "test") as workspace:
        served = load_served(workspace, 1)
        probability = served.estimator.predict_proba(rows[list(served.features)])[:, 1]
    (value,) = (m["value"] for m in first["metrics"] if m["name"] == "average_precision")
    on_all = average_precision_score(rows["bought"], probability)
    assert np.isfinite(on_all) and value != on_all

    bench.write(data=DATA, split={"how": how}, train={**FOREST, "refit": True}, gates={"champion": {"margin": 0.5}})
    run(bench.file, "2024-07-01")
    second = bench.newest("train").payload
    shared = second["comparison"]["rows"]
    new = rows[(rows["at"] >= "2024-04-01") & (rows["at"] < "2024-07-01")]
    assert shared < second["judged"] or how == "time"
    assert shared <= len(new), "a row that the refitted champion has learned from was compared on"


@pytest.mark.soak
def test_without_refit_by_hash_the_test_rows_are_shared(bench: Bench) -> None:
    bench.write(data=DATA, split={"how": "random"})
    run(bench.file, "2024-04-01")
    bench.write(data=DATA, split={"how": "random"}, train=FOREST, gates={"champion": {"margin": 0.5}})
    run(bench.file, "2024-05-01")
    second = bench.newest("train").payload
    assert second["comparison"]["rows"] == second["judged"]
    with open_ledger(bench.home) as ledger:
        assert ledger.verify(bench.name).holds
