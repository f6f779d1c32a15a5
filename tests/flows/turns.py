"""A small project, two turns of it, and what is done to them: killed at a point, resumed, started twice at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tests.conftest import make_rows
from tests.flows.forking import Forks
from tests.flows.outcome import Outcome, flow_runs, read_outcome

# In the order in which a turn comes by. The soak tries all of them, `make test` these.
FIRST_TURN = {
    "before-claim": True,
    "registry-made": False,
    "after-quarantine": False,
    "after-check": False,
    "in-ledger": True,
    "after-fit": False,
    "after-run-created": True,
    "before-model": False,
    "before-version": False,
    "after-version": False,
    "before-release": True,
    "after-decision": True,
    "before-alias": False,
    "after-alias": False,
    "after-aliases": False,
    "after-pages": False,
    "after-head": True,
    "score-half": True,
    "score-written": False,
    "after-score": False,
    "window-drawn": False,
    "after-window": False,
    "after-window-logged": False,
    "before-turn": True,
    "before-page": True,
}
# A turn with a champion: another model is trained, compared with it, and takes over.
SECOND_TURN = {
    "after-register": True,
    "after-decision": False,
    "before-alias": True,
    "after-alias": False,
    "after-aliases": True,
    "score-half": False,
    "score-written": True,
    "after-window": False,
    "after-window-logged": True,
    "before-turn": False,
}
# A person's decision that overrules a gate: it comes by these, and by those of the aliases.
DECISION = ("before-decision", "after-decision", "before-alias", "after-alias", "after-aliases", "after-override")
# An approval after the champion changed: the version is compared anew first.
APPROVAL = ("before-look", "after-look")
# A look that a challenger passes with `train.refit`: what comes before the release of what was fitted again.
REFIT = ("after-look", "after-refit", "after-register", "before-release")
# The policy asks for a challenger: only where a window is degraded, so test_retraining.py brings one about.
RETRAIN = ("after-retrain-decision", "after-fit", "after-register")
# A batch that a challenger scores in shadow: test_shadow.py.
SHADOW = ("after-shadow",)
# A change of health is told: only where there is one, so test_alerts.py brings one about.
ALERT = ("after-alert",)
FIRST = ("--as-of", "2024-04-01")
SECOND = ("--as-of", "2024-05-01", "--set", "train.seed=8")


def run_undisturbed(forks: Forks, shop: str, home: Path) -> tuple[Outcome, Outcome]:
    """What a home holds after the first turn, and after the second."""
    outcomes = []
    for turn in (FIRST, SECOND):
        ended = forks.run("run", shop, *turn, TRUEUP_HOME=str(home))
        assert ended.code == 0, ended.error
        outcomes.append(read_outcome(home))
    first, second = outcomes
    assert first.champion == 1 and second.champion == 2, "the tests below need a model that is released in each turn"
    assert set(first.predictions) == {"2024-03"} and set(second.predictions) == {"2024-03", "2024-04"}
    assert any("quarantine/" in page for page in second.pages)
    return first, second


def write_shop(folder: Path) -> str:
    """Four months of rows, some of which break the contract; returns the path of the project file."""
    (folder / "configs").mkdir(parents=True)
    (folder / "tables").mkdir()
    rows = make_rows(1200, months=4)
    rows.loc[::150, "count"] = -3
    rows.to_parquet(folder / "tables" / "rows.parquet")
    spec = {
        "name": "shop",
        "data": {"source": "tables/*", "target": "bought", "time": "at", "id": "key", "batch": "month"},
        "contract": {"data_docs": False},
        "train": {"candidates": ["logistic"], "search": {"trials": 1}, "plots": False},
        "gates": {"champion": {"margin": 0.3}},
    }
    (folder / "configs" / "shop.yaml").write_text(yaml.safe_dump(spec))
    (folder / "configs" / "shop.contract.yaml").write_text("columns:\n  count: {min: 0}\n")
    return str(folder / "configs" / "shop.yaml")


def finish(forks: Forks, shop: str, home: Path, turn: tuple[str, ...], wanted: Outcome) -> None:
    """Run the turn again, undisturbed; it must end as `wanted`, and there must be nothing more to do."""
    ended = forks.run("run", shop, *turn, TRUEUP_HOME=str(home))
    assert ended.code == 0, ended.error
    assert read_outcome(home) == wanted
    again = forks.run("run", shop, *turn, TRUEUP_HOME=str(home))
    assert again.code == 0 and "up to date" in again.out, again.out + again.error
    assert read_outcome(home) == wanted


def crash(forks: Forks, shop: str, home: Path, turn: tuple[str, ...], point: str) -> None:
    command = forks.start("run", shop, *turn, TRUEUP_HOME=str(home), TRUEUP_CRASH_AT=point)
    ended = forks.wait(command)
    assert ended.code == -9, f"{point}: {ended.code} {ended.out} {ended.error}"
    with pytest.raises(ProcessLookupError):
        os.killpg(command.pid, 0)


def kill_one_after_the_other(
    forks: Forks, shop: str, undisturbed: tuple[Outcome, Outcome], home: Path, every: bool
) -> None:
    """Both turns in one home, each cut off at each point by a run that resumes the one before."""
    for points, turn, wanted in zip((FIRST_TURN, SECOND_TURN), (FIRST, SECOND), undisturbed, strict=True):
        for point, often in points.items():
            if often or every:
                crash(forks, shop, home, turn, point)
        finish(forks, shop, home, turn, wanted)
    # What was killed last is marked by the next flow run; `up to date` is answered without one.
    assert forks.run("validate", shop, *SECOND, TRUEUP_HOME=str(home)).code == 0
    states = flow_runs(home)
    assert set(states) == {"COMPLETED", "CRASHED"}, states


def both_at_once(forks: Forks, home: Path, *commands: tuple[str, ...]) -> None:
    """Start commands in the same instant: all end well, and who had to wait has said for whom."""
    started = [forks.start(*command, TRUEUP_HOME=str(home)) for command in commands]
    ended = [forks.wait(command) for command in started]
    assert [e.code for e in ended] == [0] * len(ended), ended
    said = [e.error for e in ended if "waiting for trueup" in e.error]
    assert len(said) == len(ended) - 1, ended
    assert any(f"(process {command.pid} on" in said[0] for command in started)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def undisturbed(forks: Forks, shop: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Outcome]:
    return run_undisturbed(forks, shop, tmp_path_factory.mktemp("undisturbed") / "home")
