"""Aliases as the ledger's image, and monitoring's numbers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.errors import InfrastructureError
from tasks.registry import (
    Registry,
    has_version,
    log_window,
    mark_override,
    mirror_aliases,
    note_head,
    open_registry,
    read_aliases,
    read_head,
    register_training,
)
from tasks.results import Window
from tests.registry.conftest import Model, make_record


@pytest.fixture
def released(registry: Registry, model: Model) -> Registry:
    """A store with three versions and no alias."""
    for key in ("k1", "k2", "k3"):
        register_training(registry, "flights", make_record(model, key))
    return registry


def aliases(registry: Registry) -> dict[str, int]:
    return {k: int(v) for k, v in registry.client().get_registered_model("flights").aliases.items()}


def mirror(registry: Registry, champion: int | None, challenger: int | None, previous: int | None) -> list[str]:
    """What was found, as `outcome: sentence`."""
    found = mirror_aliases(registry, "flights", champion=champion, challenger=challenger, previous=previous)
    return [f"{f.outcome}: {f.sentence}" for f in found]


def test_aliases_follow_the_ledger_without_a_word(released: Registry) -> None:
    assert mirror(released, 1, None, None) == []
    assert aliases(released) == {"champion": 1}
    assert mirror(released, 2, 3, 1) == []
    assert aliases(released) == {"champion": 2, "challenger": 3, "previous": 1} == read_aliases(released, "flights")
    assert mirror(released, 2, None, 1) == []
    assert aliases(released) == {"champion": 2, "previous": 1}


def test_an_alias_edited_by_hand_is_reported_and_restored(released: Registry) -> None:
    mirror(released, 1, None, None)
    client = released.client()
    client.set_registered_model_alias("flights", "champion", "3")
    client.set_registered_model_alias("flights", "challenger", "2")
    client.set_registered_model_alias("flights", "mine", "2")
    assert mirror(released, 1, None, None) == [
        "restored: The alias 'champion' of 'flights' was moved by hand to version 3; it is set back to version 1, "
        "as the ledger has it.",
        "restored: The alias 'challenger' of 'flights' was moved by hand to version 2; it is set back to nothing, "
        "as the ledger has it.",
    ]
    assert aliases(released) == {"champion": 1, "mine": 2}
    client.delete_registered_model_alias("flights", "champion")
    (sentence,) = mirror(released, 2, None, 1)
    assert "moved by hand to nothing" in sentence
    assert mirror(released, 2, None, 1) == []


def test_a_version_that_was_deleted_is_reported_and_the_other_aliases_are_moved(released: Registry) -> None:
    mirror(released, 2, None, 1)
    assert has_version(released, "flights", 2)
    released.client().delete_model_version("flights", "2")
    assert not has_version(released, "flights", 2)
    for _ in range(2):
        (sentence,) = mirror(released, 2, 3, 1)
        assert sentence.startswith("missing: Version 2 of 'flights' is not in MLflow")
        assert "Restore MLflow from a backup" in sentence
        assert aliases(released) == {"challenger": 3, "previous": 1}
    mark_override(released, "flights", 2, "Overruled size: it must go out")  # says nothing, breaks nothing
    assert mirror(released, 1, None, None) == []
    assert aliases(released) == {"champion": 1}


def test_a_model_that_was_deleted_with_all_versions_is_an_error(released: Registry) -> None:
    mirror(released, 2, None, 1)
    released.client().delete_registered_model("flights")
    with pytest.raises(InfrastructureError, match=r"no registered model 'flights'.*Restore it from a backup"):
        mirror(released, 2, None, 1)
    assert read_head(released, "flights") is None


def test_the_ledgers_head_is_noted(released: Registry, tmp_path: Path) -> None:
    assert read_head(released, "flights") is None
    for head in ((7, "abc"), (7, "abc"), (9, "def")):
        note_head(released, "flights", head)
        assert read_head(released, "flights") == head
    released.client().set_registered_model_tag("flights", "trueup.ledger_head", "spoilt")
    assert read_head(released, "flights") is None
    note_head(released, "trains", (1, "abc"))
    assert read_head(released, "trains") is None
    empty = open_registry(tmp_path / "empty")
    assert read_head(empty, "flights") is None and read_aliases(empty, "flights") == {}
    assert mirror(empty, None, None, None) == []
    assert not (tmp_path / "empty").exists(), "a question made a store"


def test_an_override_stands_on_the_version(released: Registry) -> None:
    for _ in range(2):
        mark_override(released, "flights", 2, "Overruled size: <b>now</b> " + "x" * 6_000)
    text = released.client().get_model_version("flights", "2").tags["trueup.override"]
    assert text.startswith("Overruled size: <b>now</b> xx") and len(text) == 5_000


@pytest.mark.parametrize("moved", [False, True])
def test_a_move_that_was_cut_off_is_finished_without_a_word(released: Registry, moved: bool) -> None:
    mirror(released, 1, None, None)
    client = released.client()
    noted = {"champion": [1, 2], "challenger": [None], "previous": [1, None]}
    client.set_registered_model_tag("flights", "trueup.aliases", json.dumps(noted))
    if moved:
        client.set_registered_model_alias("flights", "champion", "2")
    assert mirror(released, 2, None, 1) == []
    assert aliases(released) == {"champion": 2, "previous": 1}


def test_a_note_that_was_spoilt_does_not_stop_it(released: Registry) -> None:
    mirror(released, 1, None, None)
    for spoilt in ("no json", "[]", '{"champion": 3}'):
        released.client().set_registered_model_tag("flights", "trueup.aliases", spoilt)
        mirror(released, 2, None, None)
        assert aliases(released) == {"champion": 2}
        mirror(released, 1, None, None)


def test_nothing_registered_and_a_version_that_is_gone(registry: Registry, model: Model) -> None:
    assert mirror(registry, None, None, None) == []
    assert read_head(registry, "flights") is None
    with pytest.raises(InfrastructureError):
        mirror(registry, 1, None, None)
    register_training(registry, "flights", make_record(model))
    (sentence,) = mirror(registry, 9, None, None)
    assert sentence.startswith("missing: Version 9")
    assert mirror(registry, 1, None, None) == []


def test_windows_are_steps_of_one_run_per_version(registry: Registry, model: Model) -> None:
    version = register_training(registry, "flights", make_record(model))
    ends = {"2013-04": datetime(2013, 5, 1, tzinfo=UTC), "2013-05": datetime(2013, 6, 1, tzinfo=UTC)}
    for batch in ("2013-04", "2013-05", "2013-05"):  # the last one again, as after a crash
        window = Window(
            batch=batch,
            version=1,
            health="drifting",
            sentence="dep<b> moved",
            action="watch",
            rows=100,
            labelled=90,
            metrics={"roc_auc": 0.7, "brier": float("nan")},
            drift={"dep <b>": 0.2},
            promised={"roc_auc": 0.6},
            report=Path("x.html"),
        )
        run_id = log_window(registry, version, window, ends[batch])
    client = registry.client()
    history = client.get_metric_history(run_id, "production/roc_auc")
    assert [(m.step, m.timestamp) for m in history] == [
        (0, int(ends["2013-04"].timestamp() * 1000)),
        (1, int(ends["2013-05"].timestamp() * 1000)),
    ]
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED" and run.data.tags["mlflow.parentRunId"] == version.run_id
    assert run.data.metrics["window/rows"] == 100 and "production/brier" not in run.data.metrics
    assert run.data.tags["trueup.window"] == "2013-05" and run.data.tags["trueup.health"] == "drifting"
    monitored = client.search_runs([registry.experiment("flights")], "tags.`trueup.kind` = 'monitoring'")
    assert len(monitored) == 1
