"""A person's decisions killed at every named point and at random instants; two of them at once. Counted and printed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tasks.ledger import open_ledger
from tasks.registry import digest_folder
from tests.flows.decided import NAME, Decided, decided, kill_overruling, shared_forks, told
from tests.flows.forking import Forks
from tests.flows.turns import DECISION

__all__ = ["decided", "shared_forks", "told"]
pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200), pytest.mark.xdist_group("decisions")]
SEED = int(os.environ.get("TRUEUP_SOAK_SEED", time.time_ns() % 1_000_000))
RUNS = int(os.environ.get("TRUEUP_SOAK_RUNS", "200"))


def test_overruling_killed_at_every_point(decided: Decided, shared_forks: Forks) -> None:
    points = (DECISION[0], "in-ledger", *DECISION[1:], "after-pages", "after-head")
    kill_overruling(decided, shared_forks, points)
    print(f"\noverruling: {len(points)} points")


def decisions(chance: random.Random) -> Iterator[tuple[str, ...]]:
    while True:
        yield chance.choice(
            (("rollback",), ("rollback", "1"), ("rollback", "2"), ("rollback", "3"), ("approve", "4"),
             ("promote", "4"), ("promote", "5", "--override"), ("reject", "4"))
        )  # fmt: skip


def check_instant(decided: Decided) -> None:
    """One champion whose files are those that were registered, and a record that holds."""
    found = decided.verified()
    assert found.holds, found.sentence
    champion = decided.champion
    assert champion is not None
    (trained,) = (e for e in decided.entries("train") if e.subject == str(champion))
    assert digest_folder(decided.model(champion)) == trained.payload["digest"]


def test_random_instants_and_two_at_once(decided: Decided, shared_forks: Forks) -> None:
    chance, counts = random.Random(SEED), Counter[str]()
    wanted = decisions(chance)
    while counts["started"] < RUNS:
        two = [next(wanted) for _ in range(chance.choice((1, 1, 2)))]
        commands = [
            shared_forks.start(action, decided.file, *more, "--reason", "soak", TRUEUP_HOME=str(decided.home))
            for action, *more in two
        ]
        spared = chance.random() < 0.3
        for command in commands[1:] if spared else commands:
            time.sleep(chance.uniform(0, 3))
            os.kill(command.pid, signal.SIGKILL)
        for command in commands:
            ended = shared_forks.wait(command)
            assert ended.code in (0, 2, -9) and "Traceback" not in ended.error, ended
            counts["started"] += 1
            counts[{0: "done", 2: "refused", -9: "killed"}[ended.code]] += 1
        check_instant(decided)
    with decided.open() as workspace:
        from flows.aliases import move_aliases

        move_aliases(workspace)  # what any next command does
    with open_ledger(decided.home) as ledger:
        standing = ledger.standing(NAME)
    champion = standing.champion
    assert champion is not None
    named = {"champion": champion.version, "previous": champion.previous, "challenger": standing.challenger}
    assert decided.aliases() == {name: version for name, version in named.items() if version is not None}
    check_instant(decided)
    print(f"\ndecisions at random instants, seed {SEED}: {dict(counts)}, {len(decided.entries('release'))} decisions")
