"""The loop over the past: nothing that came later is seen, nothing is done twice, what cannot be is said at once."""

from __future__ import annotations

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from flows.cli import main
from flows.past import read_turns
from flows.replay import live
from flows.replayed import gather_replay, publish_replay
from flows.walk import Replay, plan_replay
from tasks.config import LoadedProject
from tasks.errors import ConfigError, InfrastructureError
from tasks.ledger import Entry, open_ledger
from tests.conftest import MakeProject, make_rows
from tests.flows.forking import NOT_INHERITED, ROOT
from tests.flows.test_retraining import turned

BEGIN, END = "2024-04", "2024-06"
LATER = pd.Timestamp("2024-06-01", tz="UTC")


def make(make_project: MakeProject, frame: pd.DataFrame | None = None) -> LoadedProject:
    """The labels turn in April; what is trained of April and May alone is better, and passes."""
    retrain = {"min_new_labels": 100, "rows": "40d", "cooldown": "7d"}
    frames = {"rows.parquet": turned() if frame is None else frame}
    return make_project(frames, split={"how": "random", "test": 0.4}, retrain=retrain)


def planted() -> pd.DataFrame:
    """The same past until the end of May; then everything is otherwise, and a column tells the label."""
    rows = turned()
    later = rows["at"] >= LATER
    rows.loc[later, "bought"] = ~rows.loc[later, "bought"]
    rows.loc[later, "size"] = rows.loc[later, "bought"].map({True: 9.0, False: -9.0})
    return rows


def entries(asked: Replay, policy: str) -> list[tuple[Any, ...]]:
    """What was done before June, without what is measured by a clock."""
    home = asked.home(policy)
    with open_ledger(home, f"sqlite:///{home / 'ledger.db'}") as ledger:
        every = ledger.entries("shop")
    found = [e for e in every if e.as_of is not None and e.as_of <= LATER and e.step != "turn"]  # which tells seconds
    made = ("validate", "train", "score", "monitor", "retrain")  # their keys are of what they were made of
    return [
        (e.step, e.subject, e.key if e.step in made else "", e.outcome, e.reason, e.as_of, *_facts(e)) for e in found
    ]


def _facts(entry: Entry) -> tuple[Any, ...]:
    return tuple(entry.payload.get(name) for name in ("snapshot", "metrics", "drift", "mean", "new_labels"))


def table(asked: Replay, name: str, policy: str | None = None) -> list[dict[str, str]]:
    with (asked.folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if policy is None or row["policy"] == policy]


def kill_when_done(project: LoadedProject, home: Path, asked: Replay, turns: int) -> None:
    """Start a replay in a process group of its own, and kill all of it once so many turns were done."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    command = [sys.executable, "-m", "flows", "replay", str(project.path), "--from", BEGIN, "--to", END]
    process = subprocess.Popen(
        [*command, "--policy", "on-health"], cwd=ROOT, env={**kept, "TRUEUP_HOME": str(home)}, start_new_session=True
    )
    try:
        until = time.monotonic() + 240
        while len(read_turns(asked.home("on-health"))) < turns:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.timeout(600)
def test_the_past_is_lived_through_and_the_future_changes_nothing(
    make_project: MakeProject, migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / "one"))
    # A database and servers of the project's own are none of a replay's business.
    monkeypatch.setenv("TRUEUP_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    one = plan_replay(str(make(make_project).path), BEGIN, END, ["never,on-health"], [])
    shutil.copytree(migrated, one.folder / "start")
    live(one)
    page = publish_replay(one).read_text(encoding="utf-8")
    first = gather_replay(one)

    windows = {w.batch: w for w in first.lived[1].windows}
    assert [w.health for w in first.lived[0].windows] == ["degraded"] * 3
    assert first.lived[0].trained == 0 and first.lived[1].trained >= 1
    assert windows["2024-04"].version == 1 and windows["2024-06"].version in (2, 3)
    trained = next(row for row in table(one, "decisions", "on-health") if row["outcome"] == "retrain")
    assert trained["as_of"].startswith("2024-05-01") and trained["reason"].startswith("2024-04 is degraded")
    assert not [r for r in table(one, "decisions", "on-health") if r["code"] == "never"]
    assert {row["window"] for row in table(one, "ages")} == {"2024-04", "2024-05", "2024-06"}
    assert len(page.encode()) < 1_000_000 and "2024-04 is degraded" in page

    turns = {policy: (one.home(policy) / "turns.jsonl").read_bytes() for policy in one.policies}
    live(one)
    assert publish_replay(one).read_text(encoding="utf-8") == page
    assert turns == {policy: (one.home(policy) / "turns.jsonl").read_bytes() for policy in one.policies}

    # The same past with another future, killed in the middle and gone on with.
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / "other"))
    project = make(make_project, planted())
    other = plan_replay(str(project.path), BEGIN, END, ["on-health"], [])
    assert other.folder.name != one.folder.name
    shutil.copytree(migrated, other.folder / "start")
    kill_when_done(project, tmp_path / "other", other, turns=1)
    done = read_turns(other.home("on-health"))
    live(other)
    publish_replay(other)
    assert read_turns(other.home("on-health"))[: len(done)] == done and len(read_turns(other.home("on-health"))) == 3

    assert entries(other, "on-health") == entries(one, "on-health")
    unchanged = [r for r in table(one, "windows", "on-health") if r["window"] != "2024-06"]
    assert [r for r in table(other, "windows", "on-health") if r["window"] != "2024-06"] == unchanged
    assert table(other, "windows")[-1] != table(one, "windows")[-1], (
        "the future has to differ for this to show anything"
    )
    assert {(r["window"], r["value"]) for r in table(other, "ages") if r["window"] != "2024-06"} == {
        (r["window"], r["value"]) for r in table(one, "ages") if r["window"] != "2024-06"
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--policy", "sometimes"], "--policy: 'sometimes' is no policy; expected one or several of never, weekly"),
        (["--policy", ","], "--policy: no policy is named"),
        (["--from", "2031"], "--from 2031: the source has no such complete batch. It has 2024-01, 2024-02"),
        (["--from", "2024-01"], "2024-01 is the first batch, so there is nothing before it to learn from"),
        (["--from", "2024-05", "--to", "2024-04"], "--from 2024-05 lies after --to 2024-04"),
        (["--set", "retrain.on=[schedule]"], "the policies say when to retrain; use --policy own with it"),
        (["--set", "train.search.tirals=3"], "tirals"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_and_nothing_written(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    project = make_project({"rows.parquet": make_rows(400, months=5)})
    with pytest.raises(SystemExit) as ended:
        main(["replay", str(project.path), *arguments])
    assert ended.value.code == 2
    assert said in re.sub(r"\s+", " ", capsys.readouterr().err)
    assert not project.home.exists()


def test_a_table_without_time_has_no_past(make_project: MakeProject) -> None:
    project = make_project({"rows.csv": make_rows(300).drop(columns="at")}, data={"time": None})
    with pytest.raises(ConfigError, match="a replay needs two batches at least that are cut by time"):
        plan_replay(str(project.path), None, None, ["never"], [])


def test_two_at_once_are_one(make_project: MakeProject) -> None:
    from filelock import FileLock

    asked = plan_replay(str(make_project({"rows.parquet": make_rows(400, months=4)}).path), None, None, ["never"], [])
    asked.folder.mkdir(parents=True)
    with (
        FileLock(asked.folder / "lock"),
        pytest.raises(InfrastructureError, match="running already in another process"),
    ):
        live(asked)


def test_what_stops_a_policy_is_told_as_it_is(make_project: MakeProject) -> None:
    rows = make_rows(600, months=4)
    project = make_project({"rows.parquet": rows})
    raw = yaml.safe_load(project.path.read_text(encoding="utf-8"))
    raw["train"]["metric"] = "mae"  # which this target does not have: only a training can tell
    project.path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    asked = plan_replay(str(project.path), "2024-03", "2024-03", ["never"], [])
    with pytest.raises(ConfigError, match="replay, policy start: "):
        live(asked)
