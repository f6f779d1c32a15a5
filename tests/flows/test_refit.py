"""With `train.refit`, what passes at a later look is fitted again: a version of its own, on the evidence of its twin.

Version 1 is champion, version 2 is held, and the turn of July looks at it again and finds that it passes.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from flows.champion import load_served
from flows.explain import explain
from flows.history import tell_history
from flows.look import look_again
from flows.publication import DECISION, page_paths
from flows.refit import settle_evidence
from flows.release import decide_by_hand
from flows.reproduce import reproduce
from flows.workspace import open_workspace
from tasks.data.source import Source
from tasks.ledger import Entry, Release, open_ledger
from tests.conftest import make_rows
from tests.flows.forking import Forks
from tests.flows.outcome import Outcome, read_outcome
from tests.flows.test_small_projects import Bench
from tests.flows.turns import REFIT, crash, finish

pytestmark = [pytest.mark.timeout(600)]
DATA = {"time": "at", "id": "key", "batch": "month"}
MARGIN = 0.005  # of which 378 test rows cannot tell whether it is kept, and 746 can
LOOK = ("--as-of", "2024-07-01")


@pytest.fixture(scope="module")
def held(forks: Forks, migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is copied: project and home, with a champion and a challenger that is held."""
    folder = tmp_path_factory.mktemp("building")
    shutil.copytree(migrated, folder / "home")
    bench, environment = Bench("shop", folder / "work", folder / "home"), {"TRUEUP_HOME": str(folder / "home")}
    rows = make_rows(3_000, months=8)
    rows.loc[::150, "count"] = -3
    bench.put("rows.parquet", rows)
    bench.write(data=DATA, train={"candidates": ["random_forest"]})
    Path(bench.file).with_suffix(".contract.yaml").write_text("columns:\n  count: {min: 0}\n")
    assert forks.run("train", bench.file, "--as-of", "2024-06-01", **environment).code == 0
    bench.write(data=DATA, train={"refit": True}, gates={"champion": {"margin": MARGIN}})
    assert forks.run("train", bench.file, "--as-of", "2024-06-01", **environment).code == 0
    assert [(e.subject, e.outcome) for e in bench.entries("release")] == [("1", "promote"), ("2", "hold")]
    return folder.rename(folder.with_name("held"))


@pytest.fixture(scope="module")
def looked(forks: Forks, held: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The same after the turn of the look, undisturbed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "copy"
    bench = copy_bench(held, folder)
    ended = forks.run("run", bench.file, *LOOK, TRUEUP_HOME=str(bench.home))
    assert ended.code == 0, ended
    assert "version 3: version 2 fitted again, logistic on" in " ".join(ended.out.split()), ended.out
    return folder, read_outcome(bench.home)


def copy_bench(folder: Path, to: Path) -> Bench:
    shutil.copytree(folder, to, dirs_exist_ok=True)
    return Bench("shop", to / "work", to / "home")


@pytest.fixture
def bench(held: Path, tmp_path: Path) -> Bench:
    """Before the look, in the home that this test's environment names."""
    return copy_bench(held, tmp_path)


@pytest.fixture
def after(looked: tuple[Path, Outcome], tmp_path: Path) -> Bench:
    return copy_bench(looked[0], tmp_path)


def steps(bench: Bench) -> list[tuple[str, str | None, str]]:
    return [(e.step, e.subject, e.outcome) for e in bench.entries() if e.step in ("train", "look", "release")]


def standing(bench: Bench) -> Release:
    with open_ledger(bench.home) as ledger:
        return ledger.standing(bench.name)


def test_a_look_that_passes_leads_to_a_version_of_its_own(after: Bench) -> None:
    assert steps(after)[-3:] == [("look", "2", "promote"), ("train", "3", "promote"), ("release", "3", "promote")]
    (look,), (_, twin, made) = after.entries("look"), (e.payload for e in after.entries("train"))
    for fact in ("metrics", "baseline", "comparison", "compared_with", "judged", "look", "looks", "split"):
        assert made[fact] == look.payload[fact], fact
    measured = {"sound", "speed", "size"}
    ours, theirs = ({g["name"]: g for g in found["gates"]} for found in (made, look.payload))
    assert {n: g for n, g in ours.items() if n not in measured} == {
        n: g for n, g in theirs.items() if n not in measured
    }
    assert ours["speed"]["observed"] != theirs["speed"]["observed"], "measured anew, on the model that serves"
    assert made["refit"]["twin"] == 2 and made["refit"]["twin_rows"] == twin["rows"] - twin["judged"]
    assert (made["candidate"], made["params"], made["digest"] != twin["digest"]) == ("logistic", twin["params"], True)

    rows = pd.read_parquet(after.root / "tables" / "rows.parquet")
    learned = rows[(rows["at"] < "2024-07-01") & (rows["count"] >= 0)]
    assert made["rows"] == made["refit"]["rows"] == len(learned) > twin["rows"]
    assert pd.Timestamp(made["seen"]["until"]) == learned["at"].max() == pd.Timestamp(made["refit"]["until"])
    with open_workspace(after.file, "2024-07-01", [], "test") as workspace:
        before, served = load_served(workspace, 2), load_served(workspace, 3)
        page = page_paths(workspace.project, 3)[DECISION].read_text()
        twins_page = page_paths(workspace.project, 2)[DECISION].read_text()
    judged = learned[learned["at"] > pd.Timestamp(twin["seen"]["until"])]
    measure = [
        average_precision_score(judged["bought"], m.estimator.predict_proba(judged[list(m.features)])[:, 1])
        for m in (before, served)
    ]
    (value,) = (m["value"] for m in made["metrics"] if m["name"] == "average_precision")
    assert value == pytest.approx(measure[0], abs=1e-9) and value != measure[1], "the evidence is that of the twin"

    assert "All evidence here is that of its twin, version 2, which was fitted on" in page
    assert "curves and the columns below are those of version 2" in page
    assert "passed every gate at a later look, and was fitted again as version 3" in twins_page
    assert {e.payload["version"] for e in after.entries("score", "2024-06")} == {3}
    assert "learned from these rows" in after.newest("monitor", "2024-06").reason
    after.turn("2024-07-01")
    assert len(after.entries("look")) == 1


def test_what_people_ask_about_it(after: Bench) -> None:
    for version, code in ((3, 0), (2, 0)):
        answer = reproduce.fn(after.file, version)
        text = " ".join(" ".join(answer.lines).split())
        assert answer.exit_code == code and answer.lines[0].endswith("identical"), answer
        assert "model content" in text and ("its evidence is that of version 2" in text) == (version == 3)
    row = after.predictions("2024-06")["row_id"].iloc[0]
    assert "version 3" in " ".join(explain(after.file, str(row), None).lines)
    told = " ".join(" ".join(tell_history(after.file, None, False, None).lines).split())
    assert "version 2 fitted again after look 2 of 3" in told


@pytest.mark.soak
def test_killed_at_one_point_after_the_other(forks: Forks, bench: Bench, looked: tuple[Path, Outcome]) -> None:
    """Each run resumes the one before; the twin is never released meanwhile."""
    for point in REFIT:
        crash(forks, bench.file, bench.home, LOOK, point)
        assert bench.champion() == 1 and len(bench.entries("release")) == 2, point
    finish(forks, bench.file, bench.home, LOOK, looked[1])
    assert looked[1].trainings == (("1", "promote"), ("2", "hold"), ("3", "promote"))


def pass_the_look(bench: Bench, settings: list[str], waits: bool = False) -> Entry:
    """The look, and what follows from it, at a project where `waits` says that a person was asked about version 2."""
    with open_workspace(bench.file, "2024-07-01", settings, "test") as workspace:
        if waits:
            trained = workspace.ledger.latest("shop", "train", "2")
            assert trained is not None
            workspace.ledger.release(
                "shop", action="propose", version=2, expected_champion=1, key="asked", reason="Asked.", actor="ada",
                as_of=None, at=trained.at, payload={},
            )  # fmt: skip
        look = look_again(workspace, 2)
        assert look.outcome == "promote", look.reason
        return settle_evidence(workspace, look)


def test_with_a_person_who_decides_the_refit_waits(bench: Bench) -> None:
    settings = ["promotion=manual"]
    decided = pass_the_look(bench, settings)
    assert (decided.subject, decided.outcome, standing(bench).challenger) == ("3", "propose", 3)
    with open_workspace(bench.file, "2024-07-01", settings, "test") as workspace:
        assert "version 3 is champion" in decide_by_hand(workspace, "approve", 3, "good enough", False, 1)
    assert standing(bench).challenger is None


def test_what_a_person_was_asked_about_is_not_replaced(bench: Bench) -> None:
    decided = pass_the_look(bench, ["promotion=manual"], waits=True)
    assert (decided.subject, decided.outcome, len(bench.entries("train"))) == ("2", "propose", 2)


def test_rows_that_cannot_be_fitted_again_leave_the_twin(bench: Bench) -> None:
    """Between the look and the refit the rows were taken away: what was judged serves, and the decision says why."""
    with open_workspace(bench.file, "2024-07-01", [], "test") as workspace:
        look = look_again(workspace, 2)
        gone = replace(workspace, source=Source((), workspace.source.schema))
        decided = settle_evidence(gone, look)
    assert (decided.subject, decided.outcome) == ("2", "promote")
    assert "It serves as it was judged, for it could not be fitted again: shop: no batch" in decided.reason
