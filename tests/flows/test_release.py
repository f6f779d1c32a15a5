"""A person's decisions: what is looked at again before a version serves, the way back, and gates that are overruled."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from flows.aliases import note_ledger
from flows.plan import pending_release
from flows.preview import preview_turn
from flows.release import decide_by_hand, release, settle_verdict
from flows.train import train
from tasks.errors import ConfigError, DataError, InfrastructureError
from tasks.ledger import open_ledger
from tasks.registry import read_head
from tests.flows.decided import NAME, REJECTED, SECOND, WAITING, Decided, kill_overruling
from tests.flows.forking import Forks
from tests.flows.turns import APPROVAL

pytestmark = [pytest.mark.timeout(600)]


def unchanged(decided: Decided, champion: int = 3) -> bool:
    return decided.champion == champion and len(decided.entries("release")) == 5


# ------------------------------------------------------------------ approval


def test_a_version_that_waits_is_approved(decided: Decided) -> None:
    for action, version, words in (
        ("approve", 9, r"no version 9\. Known: 1, 2, 3, 4, 5"),
        ("approve", REJECTED, r"version 5 does not wait for approval; version 4 waits\.$"),
        ("approve", 3, "version 3 is the champion already"),
        ("promote", 2, "version 2 was compared with version 1, but the champion is now version 3"),
        ("rollback", WAITING, "version 4 never was champion"),
    ):
        with pytest.raises(ConfigError, match=words):
            decided.decide(action, version)
        assert unchanged(decided)
    assert decided.decide("approve", WAITING) == "shop: version 4 is champion."
    entry = decided.entries("release")[-1]
    (trained,) = (e for e in decided.entries("train") if e.subject == str(WAITING))
    assert (entry.outcome, entry.reason, entry.payload["evidence"]) == ("approve", "because I say so", trained.seq)
    assert entry.payload["run_id"] == trained.payload["run_id"] and "override" not in entry.payload
    assert decided.aliases() == {"champion": 4, "previous": 3}
    assert decided.verified().holds
    assert (decided.home / NAME / "decisions" / "v4.html").is_file()


def test_an_approval_after_the_champion_changed_is_compared_anew(decided: Decided) -> None:
    decided.decide("rollback", 1)
    tables = Path(decided.file).parents[1] / "tables"
    tables.rename(tables.with_name("away"))
    with pytest.raises(DataError, match=r"tables"):
        decided.decide("approve", WAITING)
    assert decided.champion == 1 and not decided.entries("look")
    tables.with_name("away").rename(tables)
    decided.edit("gates", champion={"rule": "better", "margin": 0.3})
    with pytest.raises(ConfigError, match=r"version 4 was looked at again beside version 1, and ended (hold|reject)"):
        decided.decide("approve", WAITING)
    (look,) = decided.entries("look")
    assert look.subject == "4" and look.payload["compared_with"] == 1
    assert decided.champion == 1


def test_an_approval_that_stands_in_the_new_look_is_done(decided: Decided) -> None:
    decided.decide("rollback", 1)
    assert decided.decide("approve", WAITING) == "shop: version 4 is champion."
    (look,) = decided.entries("look")
    entry = decided.entries("release")[-1]
    assert (entry.payload["evidence"], entry.payload["compared_with"]) == (look.seq, 1)
    assert decided.aliases() == {"champion": 4, "previous": 1}


def test_a_newer_challenger_took_its_place(decided: Decided) -> None:
    with open_ledger(decided.home) as ledger:
        decision = decided.entries("release")[-1]
        ledger.release(
            NAME, action="hold", version=REJECTED, expected_champion=3, key="held", reason="more rows are needed",
            actor="ada", as_of=None, at=decision.at, payload={**decision.payload},
        )  # fmt: skip
    with pytest.raises(ConfigError, match=r"version 5 took its place and is held.*trueup promote .* 4 --reason"):
        decided.decide("approve", WAITING)
    assert decided.decide("promote", WAITING) == "shop: version 4 is champion."


def test_what_the_project_file_no_longer_allows_is_not_released(decided: Decided) -> None:
    decided.edit("data", exclude=["colour"])
    for action, version, override in (("approve", WAITING, False), ("promote", REJECTED, True)):
        with pytest.raises(ConfigError, match=r"reads 'colour', which the project file no longer allows"):
            decided.decide(action, version, override)
    assert unchanged(decided)
    decided.edit("data", exclude=["colour"], target="member")
    with pytest.raises(ConfigError, match=r"predicts 'bought', but the project file's target is now 'member'"):
        decided.decide("approve", WAITING)
    decided.edit("data", exclude=["colour"], target="bought")
    assert decided.decide("rollback") == (
        "shop: version 2 is champion again. Beware: it reads 'colour', which the project file no longer allows as a "
        "feature."
    )


def test_a_person_who_saw_another_champion_decides_again(decided: Decided) -> None:
    for action, version in (("promote", WAITING), ("approve", WAITING), ("rollback", 1), ("rollback", None)):
        with decided.open() as workspace, pytest.raises(ConfigError, match="was version 2 when this was asked, and is"):
            decide_by_hand(workspace, action, version, "because", False, seen=2)
    assert unchanged(decided)


# ------------------------------------------------------------------ the way back


def test_rollbacks_go_further_back_and_nothing_comes_back_by_itself(decided: Decided) -> None:
    assert decided.decide("rollback") == "shop: version 2 is champion again."
    assert decided.aliases() == {"champion": 2, "previous": 1, "challenger": 4}
    assert decided.decide("rollback") == "shop: version 1 is champion again."
    assert decided.aliases() == {"champion": 1, "challenger": 4}
    with pytest.raises(ConfigError, match="no champion to roll back to; version 1 is the first"):
        decided.decide("rollback")

    def stays() -> bool:
        return decided.champion == 1 and decided.aliases()["champion"] == 1

    with decided.open() as workspace:
        for trained in decided.entries("train"):
            settle_verdict(workspace, trained)
        assert pending_release(workspace.ledger, NAME) is None
    assert stays()
    seed = ["train.seed=9"]
    assert train(decided.file, SECOND[1], overrides=seed) == 3  # the same key is found again
    assert stays()
    assert train(decided.file, SECOND[1], overrides=[*seed, "gates.champion.margin=0.9"], force=True) == 6
    entry = decided.entries("release")[-1]
    assert (entry.subject, entry.outcome) == ("6", "propose")
    assert "version 3, which is the same model, was rolled back by" in entry.reason
    assert stays()
    assert decided.decide("rollback", 3) == "shop: version 3 is champion again."  # a person may
    assert decided.aliases() == {"champion": 3, "previous": 1, "challenger": 6}
    assert decided.verified().holds


def test_a_project_file_changed_back_asks_for_no_training_again(decided: Decided) -> None:
    plan = preview_turn(decided.file, SECOND[1], ["train.seed=9"]).plan
    (step,) = (s for s in plan.steps if s.action == "train")
    assert not step.due and "version 3 was made of these rows by these settings" in step.why
    (step,) = (s for s in preview_turn(decided.file, SECOND[1], ["train.seed=99"]).plan.steps if s.action == "train")
    assert step.due


def test_a_look_does_not_bring_back_what_was_rolled_back(decided: Decided) -> None:
    decided.decide("rollback")
    with decided.open() as workspace:
        (trained,) = (e for e in decided.entries("train") if e.subject == "3")
        look = workspace.record(
            "look", "a look", "3", "promote", "It is better.", {**trained.payload, "compared_with": 2}
        )
        assert settle_verdict(workspace, look).outcome == "propose"
    assert decided.champion == 2
    assert "it was rolled back by" in decided.entries("release")[-1].reason


@pytest.mark.parametrize("harm", ["gone", "changed", "deleted", "no sample"])
def test_a_version_that_cannot_serve_is_not_gone_back_to(decided: Decided, harm: str) -> None:
    folder = decided.model(2)
    if harm == "gone":
        shutil.rmtree(folder)
    elif harm == "changed":
        with (folder / "model.skops").open("ab") as file:
            file.write(b"x")
    elif harm == "deleted":
        decided.registry.client().delete_model_version(NAME, "2")
    else:
        (trained,) = (e for e in decided.entries("train") if e.subject == "2")
        (decided.home / "mlflow" / "artifacts" / trained.payload["run_id"] / "artifacts" / "reference.parquet").unlink()
    with pytest.raises(InfrastructureError, match=r"shop: version 2 cannot serve; nothing was changed\."):
        decided.decide("rollback")
    assert unchanged(decided) and decided.verified().holds
    assert decided.decide("rollback", 1) == "shop: version 1 is champion again."


# ------------------------------------------------------------------ overruling


def test_gates_are_overruled_loudly(decided: Decided) -> None:
    with pytest.raises(ConfigError, match=r"ended reject.*trueup promote .* 5 --override --reason"):
        decided.decide("promote", REJECTED)
    assert unchanged(decided)
    assert decided.decide("promote", REJECTED, override=True) == "shop: version 5 is champion. OVERRULED: baseline."
    entry = decided.entries("release")[-1]
    assert (entry.outcome, entry.reason) == ("promote", "Overruled baseline: because I say so")
    assert (entry.payload["override"], entry.payload["overruled"]) == (True, ["baseline"])
    assert decided.tags(REJECTED)["trueup.override"].startswith("Overruled baseline: because I say so (")
    assert "trueup.override" not in decided.tags(WAITING)


def test_nothing_is_overruled_where_every_gate_passed(decided: Decided) -> None:
    assert decided.decide("promote", WAITING, override=True) == "shop: version 4 is champion. Every gate had passed."
    assert "override" not in decided.entries("release")[-1].payload
    assert "trueup.override" not in decided.tags(WAITING)


def test_what_cannot_serve_and_what_met_another_champion_is_not_overruled(decided: Decided) -> None:
    decided.decide("rollback", 2)
    with pytest.raises(ConfigError, match="version 5 was compared with version 3, but the champion is now version 2"):
        decided.decide("promote", REJECTED, override=True)
    unsound = [{"name": "sound", "status": "fail", "sentence": "It does not load.", "evidence": {}}]
    decided.train_again(REJECTED, gates=unsound, deciding="sound", compared_with=2)
    with pytest.raises(ConfigError, match="The gate 'sound' cannot be overruled: such a model cannot serve"):
        decided.decide("promote", REJECTED, override=True)
    assert decided.champion == 2


def test_a_champion_that_cannot_be_read_may_be_replaced(decided: Decided) -> None:
    gate = {"name": "champion", "status": "inconclusive", "sentence": "Cannot tell: unreadable.", "evidence": {}}
    decided.train_again(REJECTED, gates=[gate], deciding="champion", compared_with=None)
    with pytest.raises(ConfigError, match="was compared with no champion, but the champion is now version 3"):
        decided.decide("promote", REJECTED, override=True)
    shutil.rmtree(decided.model(3))
    assert "version 5 is champion. OVERRULED: champion." in decided.decide("promote", REJECTED, override=True)
    assert decided.champion == REJECTED


# ------------------------------------------------------------------ MLflow, and what others do there


def test_aliases_edited_by_hand_are_set_right_by_the_next_turn(decided: Decided, forks: Forks) -> None:
    client = decided.registry.client()
    client.set_registered_model_alias(NAME, "champion", "1")
    client.delete_registered_model_alias(NAME, "previous")
    same = ("--set", "train.seed=11", "--set", "gates.beat_baseline_by=0.9")  # as of the newest training
    ended = decided.command(forks, "run", *SECOND, *same, "--force")
    assert ended.code == 0 and "moved by hand to version 1; it is set back to version 3" in " ".join(ended.out.split())
    assert decided.aliases() == {"champion": 3, "previous": 2, "challenger": 4}
    assert [e.outcome for e in decided.entries("alias")][-2:] == ["restored", "restored"]
    assert read_head(decided.registry, NAME) == head_of(decided), "the end of a turn is noted"


def head_of(decided: Decided) -> tuple[int, str] | None:
    with open_ledger(decided.home) as ledger:
        return ledger.head(NAME)


def test_a_noted_head_is_not_replaced_by_one_of_another_ledger(
    decided: Decided, caplog: pytest.LogCaptureFixture
) -> None:
    noted = read_head(decided.registry, NAME)
    with decided.open() as workspace:
        note_ledger(workspace)
        assert read_head(decided.registry, NAME) == head_of(decided) != noted
        decided.registry.client().set_registered_model_tag(NAME, "trueup.ledger_head", "3 abc")
        note_ledger(workspace)
    assert read_head(decided.registry, NAME) == (3, "abc")
    assert "row 3, as MLflow has noted it, is not in the ledger" in caplog.text


# ------------------------------------------------------------------ the form


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"action": "approve"}, "approve: which version"),
        ({"action": "rollback", "version": 2, "override": True}, "only promote may overrule"),
    ],
)
def test_what_the_form_cannot_refuse_the_run_does(wrong: dict[str, object], words: str, decided: Decided) -> None:
    with pytest.raises(ConfigError, match=words):
        release.fn(decided.file, reason="because", **wrong)  # type: ignore[arg-type]
    assert unchanged(decided)


def test_the_form_refuses_nonsense() -> None:
    from prefect.utilities.schema_tools import is_valid_schema, validate

    schema = release.parameters.model_dump_for_openapi()
    is_valid_schema(schema)
    assert set(schema["required"]) == {"project", "action", "reason"}
    assert all(f.get("description") and f.get("title") for f in schema["properties"].values())
    fine = {"project": "flights", "action": "rollback", "reason": "it is slow"}
    assert not validate(fine, schema)
    assert not validate({**fine, "version": None, "decided_by": "Ada"}, schema)
    for key, value in (
        ("version", 0), ("version", "two"), ("action", "praise"), ("reason", "  "), ("reason", " x\n y "),
        ("reason", "x" * 2_001), ("override", "perhaps"), ("project", "../flights"), ("decided_by", "x" * 81),
    ):  # fmt: skip
        assert validate({**fine, key: value}, schema), (key, value)


def test_who_decides_is_recorded(decided: Decided) -> None:
    done = release(decided.file, "approve", "looked at it with Bo", WAITING, decided_by=" Ada\nL ")
    assert done == "shop: version 4 is champion."
    actor = decided.entries("release")[-1].actor
    assert actor.startswith("Ada L (stated; ") and actor.endswith(")")


# ------------------------------------------------------------------ kills and races


def test_killed_while_overruling_the_next_command_finishes(decided: Decided, forks: Forks) -> None:
    kill_overruling(decided, forks, ("before-decision", "after-decision", "after-override", "after-pages"))


def test_killed_between_the_new_look_and_the_approval(decided: Decided, forks: Forks) -> None:
    decided.decide("rollback", 1)
    approve = ("approve", str(WAITING), "--reason", "better than that one too")
    for point, looks in zip(APPROVAL, (0, 1), strict=True):
        assert decided.command(forks, *approve, crash_at=point).code == -9
        assert (decided.champion, len(decided.entries("look"))) == (1, looks)
        assert decided.verified().holds
    ended = decided.command(forks, *approve)
    assert ended.code == 0 and "version 4 is champion" in ended.out, ended
    assert (decided.champion, len(decided.entries("look"))) == (WAITING, 1)
    assert decided.aliases() == {"champion": 4, "previous": 1} and decided.verified().holds


def test_two_at_once_one_wins_and_the_other_is_refused(decided: Decided, forks: Forks) -> None:
    """Both have seen version 3 as champion, and wait for the same lock."""
    for commands, champions in (
        ((("promote", "4"), ("promote", "5", "--override")), {4, 5}),
        ((("rollback",), ("rollback",)), {3}),
    ):
        before = len(decided.entries("release"))
        with decided.open():
            started = [
                forks.start(c, decided.file, *more, "--reason", "at once", TRUEUP_HOME=str(decided.home))
                for c, *more in commands
            ]
            until = time.monotonic() + 120
            while not all(c.error.exists() and "waiting for" in c.error.read_text() for c in started):
                assert time.monotonic() < until
                time.sleep(0.1)
        ended = sorted((forks.wait(command) for command in started), key=lambda e: e.code)
        assert [e.code for e in ended] == [0, 2], ended
        assert "nothing was changed" in ended[1].error, ended
        assert decided.champion in champions and decided.aliases()["champion"] == decided.champion
        assert len(decided.entries("release")) == before + 1
        assert decided.verified().holds


def test_a_number_is_not_given_twice(decided: Decided) -> None:
    """MLflow counts on from what it has: without the newest version it would call the next one the same."""
    decided.registry.client().delete_model_version(NAME, str(REJECTED))
    before = len(decided.entries("train"))
    with pytest.raises(InfrastructureError, match=r"does not have version 5.*would give its number to another"):
        train(decided.file, "2024-05-01", overrides=["train.seed=12"])
    assert len(decided.entries("train")) == before and decided.verified().holds
