"""Trainings, promotions, rollbacks and scorings, one or two at once, killed at random instants, in one long life.

`TRUEUP_SOAK_RUNS` says how many commands are started, `TRUEUP_SOAK_SEED` which. What was counted is printed.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tasks.ledger import open_ledger
from tests.flows.decided import Decided, kill_overruling
from tests.flows.forking import Forks
from tests.flows.outcome import PROJECT, flow_runs, read_outcome
from tests.flows.turns import DECISION, FIRST, SECOND, write_shop
from tests.soak.test_kills import check_instant, wait_until_alone

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]
RUNS = int(os.environ.get("TRUEUP_SOAK_RUNS", "200"))
SEED = int(os.environ.get("TRUEUP_SOAK_SEED", time.time_ns() % 1_000_000))
WHY = ("--reason", "drawn at random")
DONE, REFUSED, KILLED = 0, 2, -9


def test_overruling_killed_at_every_point(decided: Decided, forks: Forks) -> None:
    points = (DECISION[0], "in-ledger", *DECISION[1:], "after-pages", "after-head")
    kill_overruling(decided, forks, points)
    print(f"\noverruling: {len(points)} points")


def test_a_long_life_of_kills(forks: Forks, tmp_path: Path) -> None:
    """After each command one valid champion and a ledger that verifies; the next undisturbed turn finishes the work."""
    home, shop, chance = tmp_path / "home", write_shop(tmp_path / "shop"), random.Random(SEED)
    assert forks.run("run", shop, *FIRST, TRUEUP_HOME=str(home)).code == DONE
    counts: Counter[str] = Counter()
    while counts["started"] < RUNS:
        drawn = [_draw(chance, shop, home) for _ in range(chance.choice((1, 1, 2)))]
        commands = [forks.start(*arguments, TRUEUP_HOME=str(home)) for arguments in drawn]
        killed = [command for command in commands if chance.random() < 0.75]
        for command in killed:
            time.sleep(chance.uniform(0, 6))
            os.kill(command.pid, signal.SIGKILL)
        for arguments, command in zip(drawn, commands, strict=True):
            ended = forks.wait(command)
            wait_until_alone(command.pid)
            assert ended.code in (DONE, REFUSED, KILLED), (arguments, ended.code, ended.error)
            assert "Traceback" not in ended.error, ended.error
            how = {DONE: "came through", REFUSED: "refused", KILLED: "killed"}[ended.code]
            counts.update([f"{arguments[0]} {how}", how, "started"])
        check_instant(home)
        if chance.random() < 0.1:
            _finish(forks, shop, home, counts)
    _finish(forks, shop, home, counts)
    print(f"\na long life, seed {SEED}: {dict(sorted(counts.items()))}")
    assert counts["killed"] > RUNS / 5 and counts["came through"] > RUNS / 10


def _draw(chance: random.Random, shop: str, home: Path) -> tuple[str, ...]:
    """A command: a turn that trains something new, a person's decision, or a scoring that is forced."""
    with open_ledger(home) as ledger:
        versions = [str(e.subject) for e in ledger.entries(PROJECT, "train")]
    kind = chance.choice(("run", "train", "promote", "promote", "rollback", "rollback", "reject", "score"))
    if kind == "run":
        return ("run", shop, *SECOND)
    if kind == "train":
        return ("train", shop, *SECOND, "--set", f"train.seed={chance.randrange(1000)}")
    if kind == "promote":
        return ("promote", shop, chance.choice(versions), "--override", *WHY)
    if kind == "reject":
        return ("reject", shop, chance.choice(versions), *WHY)
    if kind == "rollback":
        return ("rollback", shop, *chance.choice(((), (chance.choice(versions),))), *WHY)
    return ("score", shop, *SECOND)


def _finish(forks: Forks, shop: str, home: Path, counts: Counter[str]) -> None:
    """An undisturbed turn ends well, leaves nothing due and nothing doubled, and MLflow says what the ledger says."""
    ended = forks.run("run", shop, *SECOND, TRUEUP_HOME=str(home))
    assert ended.code == DONE, ended.error
    again = forks.run("run", shop, *SECOND, TRUEUP_HOME=str(home))
    assert again.code == DONE and "up to date" in again.out, again.out + again.error
    # "Up to date" opens nothing; a flow marks the runs that died and removes what they left in the scratch folder.
    assert forks.run("validate", shop, *SECOND, TRUEUP_HOME=str(home)).code == DONE
    outcome = read_outcome(home)
    assert outcome.champion is not None
    verified = forks.run("history", shop, "--verify", TRUEUP_HOME=str(home))
    assert verified.code == DONE, verified.out + verified.error
    assert set(flow_runs(home)) <= {"COMPLETED", "CRASHED", "FAILED"}
    counts["undisturbed turns"] += 1
