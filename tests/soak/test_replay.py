"""The flights' year under three policies, a year of noise in which the loop may not run away, and a replay that is
killed again and again.

`TRUEUP_SOAK_SECONDS` says how long the kills go on, `TRUEUP_SOAK_SEED` which ones they are.
"""

from __future__ import annotations

import csv
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.past import read_turns
from flows.replay import live
from flows.replayed import gather_replay, publish_replay
from flows.run import run
from flows.walk import plan_replay
from tests.conftest import MakeProject, make_rows
from tests.flows.forking import NOT_INHERITED, ROOT
from tests.flows.test_retraining import entries, make, turned

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]
SECONDS = float(os.environ.get("TRUEUP_SOAK_SECONDS", "600"))
SEED = int(os.environ.get("TRUEUP_SOAK_SEED", time.time_ns() % 1_000_000))


def test_the_command_of_the_readme_gives_the_same_numbers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"soak/test_replay\.py runs it -->\n```bash\ntrueup (.*)\n```", text)
    tables: list[dict[str, list[dict[str, str]]]] = []
    for home in ("one", "two"):
        monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / home))
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "flows", *shlex.split(line)], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        print(f"{time.monotonic() - begun:.0f} s\n{done.stdout}")
        (folder,) = (tmp_path / home / "replays").iterdir()
        assert (folder / "replay.html").stat().st_size < 1_000_000
        tables.append({path.stem: _read_table(path) for path in folder.glob("*.csv")})
    one, two = tables
    assert set(one) == {"windows", "decisions", "policies", "comparisons", "staleness", "ages"}
    assert one == two
    trainings = {row["policy"]: int(row["trainings"]) for row in one["policies"]}
    assert trainings["never"] == 0 < trainings["on-health"] < trainings["monthly"]


def _read_table(path: Path) -> list[dict[str, str]]:
    """A table without what a clock measured."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if not name.startswith("cpu_")} for row in rows]


def test_a_target_that_turns_to_noise_is_given_up_on_step_by_step(make_project: MakeProject) -> None:
    """From April on nothing can be learned: each month asks, each challenger fails, and the loop tries ever less."""
    rows = make_rows(6_000, months=15)
    late = rows["at"] >= pd.Timestamp("2024-04-01", tz="UTC")
    rows.loc[late, "bought"] = np.random.default_rng(3).random(int(late.sum())) < 0.4
    project = make(make_project, rows, rows="60d")
    for moment in pd.date_range("2024-04-01", "2025-03-01", freq="MS"):
        run(str(project.path), f"{moment:%Y-%m-%d}")
    trained = [e for e in entries(step="train") if e.payload["trigger"]]
    decided = entries(step="retrain")
    print(f"{len(trained)} challengers in 11 months: {[str(e.as_of)[:10] for e in trained]}")
    assert 1 <= len(trained) <= 5, "14, 28, 56, 112 and 224 days of cooling down do not fit more into a year"
    assert not [e for e in entries(step="release") if e.outcome == "promote" and e.subject != "1"]
    assert all(e.reason for e in decided)
    waited = [e for e in decided if e.outcome == "wait"]
    assert {e.payload["code"] for e in waited} == {"cooldown"} and "not released" in waited[-1].reason
    assert len(waited) + len(trained) >= 8, "each month that asks is answered in the ledger"


def test_a_replay_that_is_killed_again_and_again_ends_as_one_that_is_not(
    make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(
        {"rows.parquet": turned()},
        split={"how": "random", "test": 0.4},
        retrain={"min_new_labels": 100, "rows": "40d", "cooldown": "7d"},
    )
    names = ["never", "monthly", "on-health"]
    homes = {}
    for home in ("calm", "killed"):
        monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / home))
        homes[home] = plan_replay(str(project.path), "2024-03", None, names, [])
    live(homes["calm"])
    page = publish_replay(homes["calm"]).with_suffix(".html")
    chance = random.Random(SEED)
    kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    command = [sys.executable, "-m", "flows", "replay", str(project.path), "--from", "2024-03"]
    until, kills, done = time.monotonic() + SECONDS, 0, -1
    while time.monotonic() < until:
        process = subprocess.Popen(
            [*command, "--policy", ",".join(names)],
            cwd=ROOT,
            env={**kept, "TRUEUP_HOME": str(tmp_path / "killed")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(chance.uniform(5, 60))
        except subprocess.TimeoutExpired:
            kills += 1
            # The group, or whoever waits alone: what it began has to see that, and end.
            os.killpg(process.pid, signal.SIGKILL) if chance.random() < 0.5 else process.kill()
            process.wait()
        else:
            assert process.returncode == 0
            break
        turns = sum(len(read_turns(homes["killed"].home(name))) for name in names)
        assert turns >= done, "a month that was lived through is not lost"
        done = turns
    live(homes["killed"])
    publish_replay(homes["killed"])
    print(f"{kills} kills (seed {SEED})")
    calm, killed = (gather_replay(homes[home]) for home in ("calm", "killed"))
    for one, other in zip(calm.lived, killed.lived, strict=True):
        assert one.windows == other.windows
        assert [(h.at, h.kind) for h in one.happenings] == [(h.at, h.kind) for h in other.happenings]
    assert calm.ages == killed.ages
    assert page.is_file()
