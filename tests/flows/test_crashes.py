"""It survives the night: killed anywhere, or started twice at once, a turn ends as one that nothing disturbed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.flows.forking import ROOT, Forks
from tests.flows.outcome import Outcome, flow_runs, read_outcome
from tests.flows.turns import (
    ALERT,
    APPROVAL,
    DECISION,
    FIRST,
    FIRST_TURN,
    REFIT,
    RETRAIN,
    SECOND,
    SECOND_TURN,
    SHADOW,
    both_at_once,
    kill_one_after_the_other,
)

pytestmark = [pytest.mark.timeout(900)]


def test_every_crash_point_is_tried() -> None:
    named = set()
    for folder in ("flows", "tasks"):
        for path in (ROOT / folder).rglob("*.py"):
            named |= set(re.findall(r'crash_point\("([^"]+)"\)', path.read_text()))
    assert named == {*FIRST_TURN, *SECOND_TURN, *DECISION, *APPROVAL, *REFIT, *RETRAIN, *SHADOW, *ALERT}


def test_killed_at_one_point_after_the_other(
    forks: Forks, shop: str, undisturbed: tuple[Outcome, Outcome], tmp_path: Path
) -> None:
    kill_one_after_the_other(forks, shop, undisturbed, tmp_path / "home", every=False)


def test_two_at_once_have_one_outcome(
    forks: Forks, shop: str, undisturbed: tuple[Outcome, Outcome], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    both_at_once(forks, home, ("run", shop, *FIRST), ("run", shop, *FIRST))
    assert read_outcome(home) == undisturbed[0]
    both_at_once(forks, home, ("run", shop, *SECOND), ("train", shop, *SECOND))
    assert read_outcome(home) == undisturbed[1]

    back = ("rollback", shop, "1", "--reason", "the second one is worse")
    commands = [forks.start(*back, TRUEUP_HOME=str(home)) for _ in range(2)]
    ended = sorted((forks.wait(command) for command in commands), key=lambda e: e.code)
    assert [e.code for e in ended] == [0, 2], ended
    assert "version 1 is champion again" in ended[0].out
    assert "version 1 is the champion already" in ended[1].error
    after = read_outcome(home)
    assert after.champion == 1 and after.releases == (*undisturbed[1].releases, ("1", "rollback"))
    assert set(flow_runs(home)) == {"COMPLETED", "FAILED"}
