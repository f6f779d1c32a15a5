"""Retraining by itself: what a turn does when a window degrades, what holds it, and what becomes of the challenger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flows.run import run
from flows.train import train
from tasks.config import LoadedProject
from tasks.ledger import Entry, open_ledger
from tests.conftest import MakeProject, make_rows
from tests.flows.forking import Forks
from tests.flows.turns import RETRAIN, crash

APRIL, MAY, JUNE, JULY = (f"2024-{m:02d}-01" for m in range(4, 8))


def turned(months: int = 6, rows: int = 3_000) -> pd.DataFrame:
    """Months of rows whose labels mean the opposite from April on."""
    made = make_rows(rows, months=months)
    late = made["at"] >= pd.Timestamp(APRIL, tz="UTC")
    made.loc[late, "bought"] = ~made.loc[late, "bought"]
    return made


def entries(name: str = "shop", step: str | None = None) -> tuple[Entry, ...]:
    import os

    with open_ledger(Path(os.environ["TRUEUP_HOME"])) as ledger:
        return ledger.entries(name, step)


def decisions() -> list[tuple[str, str]]:
    return [(e.outcome, e.payload["code"]) for e in entries(step="retrain")]


def make(make_project: MakeProject, frame: pd.DataFrame | None = None, **retrain: Any) -> LoadedProject:
    settings = {"min_new_labels": 100, **retrain}
    frames = {"rows.parquet": turned() if frame is None else frame}
    return make_project(frames, split={"how": "random", "test": 0.4}, retrain=settings)


def test_a_degraded_window_is_retrained_in_the_same_turn(make_project: MakeProject) -> None:
    project = make(make_project, rows="all")
    run(str(project.path), APRIL)
    assert decisions() == [("none", "no_reason")]
    report = run(str(project.path), MAY)
    (asked,) = [e for e in entries(step="retrain") if e.outcome == "retrain"]
    assert asked.subject == "2024-04" and asked.payload["trigger"] == "performance"
    assert asked.payload["version"] == 1 and asked.payload["new_labels"] > 100
    assert asked.reason.startswith("2024-04 is degraded: ") and "number 1 of at most 3" in asked.reason
    trained = entries(step="train")[-1]
    assert trained.seq > asked.seq and trained.payload["trigger"] == "performance"
    assert trained.payload["batches"] == ["2024-01", "2024-02", "2024-03", "2024-04"]
    assert any(line.split()[:2] == ["retrain", "decided:"] for line in report.lines), report.lines
    before = [e.step for e in entries()]
    run(str(project.path), MAY)
    assert [e.step for e in entries()] == [*before, "turn"]


def test_what_holds_it_is_told_with_its_reason_and_once(make_project: MakeProject) -> None:
    project = make(make_project, cooldown="40d", max_per_quarter=1)
    run(str(project.path), APRIL)
    run(str(project.path), MAY)
    first = entries(step="train")[-1].payload
    assert first["trigger"] == "performance"
    released = entries(step="release")[-1].outcome == "promote"
    report = run(str(project.path), JUNE)
    outcome, code = decisions()[-1]
    if released:  # the new champion has scored May, and its labels are well
        assert outcome == "none"
    else:
        assert (outcome, code) == ("wait", "cooldown")
        assert any("not now: " in line for line in report.lines), report.lines
        waited = entries(step="retrain")[-1]
        assert "it cools down until 2024-07-20, longer for version 2, not released" in waited.reason
        assert waited.payload["not_before"].startswith("2024-07-20")
    run(str(project.path), JUNE)
    assert len(decisions()) == 3


def test_a_broken_window_is_mended_first_and_never_learned_from(make_project: MakeProject) -> None:
    rows = turned()
    month = rows["at"].dt.strftime("%Y-%m")
    rows["price"] = np.random.default_rng(5).lognormal(3, 0.4, len(rows))
    rows.loc[month == "2024-05", "price"] = np.nan
    project = make(make_project, rows, cooldown="0d", back_off=1)
    run(str(project.path), APRIL)
    run(str(project.path), JUNE)  # April and May in one turn: what April shows, May forbids
    seen = {e.subject: e.outcome for e in entries(step="monitor")}
    assert (seen["2024-04"], seen["2024-05"]) == ("degraded", "broken")
    assert decisions()[-1] == ("wait", "broken")
    waited = entries(step="retrain")[-1].reason
    assert "2024-05 is broken, so fix upstream first: 'price' is missing throughout" in waited
    run(str(project.path), JULY)
    trained = entries(step="train")[-1]
    assert trained.payload["trigger"] == "performance"
    assert "2024-05" not in trained.payload["batches"] and "2024-06" in trained.payload["batches"]
    train(str(project.path), JULY, overrides=["retrain.broken=learn"])
    assert "2024-05" in entries(step="train")[-1].payload["batches"]


def test_rows_that_cannot_be_used_cost_the_turn_nothing(make_project: MakeProject) -> None:
    # Of the newest month alone, 36 rows, nothing can be learned.
    project = make(make_project, turned(rows=216), on="schedule", rows="1d", min_new_labels=10)
    run(str(project.path), APRIL, ["retrain.rows=all", "retrain.on=[]"])
    report = run(str(project.path), MAY)
    assert [e.subject for e in entries(step="score")] == ["2024-03", "2024-04"]
    assert decisions()[-2:] == [("retrain", "schedule"), ("failed", "failed")]
    assert report.exit_code == 1 and any("failed: a challenger was asked for" in line for line in report.lines)
    assert len(entries(step="train")) == 1
    run(str(project.path), MAY)
    assert len(decisions()) == 3


def test_the_newest_span_of_rows_is_learned_from(make_project: MakeProject) -> None:
    project = make(make_project, rows="60d")
    run(str(project.path), APRIL)
    run(str(project.path), MAY)
    first, second = entries(step="train")
    assert first.payload["batches"] == ["2024-01", "2024-02"]  # as of the first of March
    assert second.payload["batches"] == ["2024-03", "2024-04"]


def test_labels_that_never_come_train_nothing(make_project: MakeProject) -> None:
    rows = turned()
    rows["bought"] = rows["bought"].where(rows["at"] < pd.Timestamp("2024-03-01", tz="UTC"))
    rows["bought"] = rows["bought"].astype("boolean")
    project = make(make_project, rows, on=["performance", "harmful_drift", "schedule", "new_labels"], every="day")
    for moment in (APRIL, MAY, JUNE, JULY):
        run(str(project.path), moment)
    assert len(entries(step="train")) == 1
    assert {outcome for outcome, _ in decisions()} <= {"none", "wait"}
    assert decisions()[-1] == ("wait", "few_labels")
    assert "only 0 new labels have come" in entries(step="retrain")[-1].reason


def test_killed_between_decision_and_training(forks: Forks, make_project: MakeProject, tmp_path: Path) -> None:
    project = make(make_project)
    home = tmp_path / "home"
    assert forks.run("run", str(project.path), "--as-of", APRIL, TRUEUP_HOME=str(home)).code == 0
    for point in RETRAIN:
        crash(forks, str(project.path), home, ("--as-of", MAY), point)
    ended = forks.run("run", str(project.path), "--as-of", MAY, TRUEUP_HOME=str(home))
    assert ended.code == 0, ended.error  # that April is degraded was found by the turn that was killed
    assert [outcome for outcome, _ in decisions()].count("retrain") == 1
    assert len(entries(step="train")) == 2 and entries(step="train")[-1].payload["trigger"] == "performance"
    again = forks.run("run", str(project.path), "--as-of", MAY, TRUEUP_HOME=str(home))
    assert "up to date" in again.out, again.out


def test_a_project_without_the_key_says_what_it_does(make_project: MakeProject) -> None:
    resolved = json.dumps(make_project().spec.retrain.model_dump(mode="json"))
    assert '"on": ["performance", "harmful_drift"]' in resolved
