"""What nothing refers to goes, what something refers to stays, and the loop goes on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flows.champion import load_served
from flows.monitor import monitor
from flows.prune import prune
from flows.release import release
from flows.score import score
from flows.train import train
from flows.workspace import look_in
from tasks.errors import ConfigError
from tasks.ledger import Entry, open_ledger
from tasks.registry import read_shelf
from tests.flows.history import AS_OF, SEED, History

pytestmark = [pytest.mark.timeout(600)]


def entries(history: History, step: str) -> tuple[Entry, ...]:
    with open_ledger(history.home) as ledger:
        return ledger.entries("shop", step)


def files(history: History) -> set[str]:
    return {str(p.relative_to(history.home)) for p in history.home.rglob("*") if p.is_file() and p.suffix != ".db"}


def test_a_dry_run_only_says_what_would_go(history: History) -> None:
    assert history.due() == ()  # makes what every command makes
    before = files(history)
    answer = prune(history.shop, 1, True)
    assert answer.lines[0].startswith("shop: would remove 0.") and answer.exit_code == 0
    said = "\n".join(answer.lines)
    assert "versions   2, 3 of 4: never champion" in said and "runs       1 of trainings that were cut off" in said
    assert "superseded predictions" in said
    assert files(history) - before <= {"locks/shop.lock"} and before <= files(history)
    assert entries(history, "prune") == ()
    assert set(read_shelf(history.registry, "shop", known=()).versions) == {1, 2, 3, 4}


def test_what_nothing_refers_to_goes_and_the_loop_goes_on(history: History) -> None:
    scored = {e.payload["path"] for e in entries(history, "score")}
    newest = {e.subject: e.payload["path"] for e in entries(history, "score")}
    assert len(scored) == 3 and len(newest) == 2
    before = files(history)
    answer = prune(history.shop, 1, False)
    gone = before - files(history)
    assert answer.lines[0].startswith("shop: removed 0.")
    assert gone & scored == scored - set(newest.values()) and set(newest.values()) <= files(history)
    assert {path.split("/")[0] for path in gone} == {"mlflow", "shop"} and not [p for p in gone if "quarantine" in p]

    (entry,) = entries(history, "prune")
    assert set(entry.payload["versions"]) == {"2", "3"} and "versions 2, 3" in entry.reason
    assert set(read_shelf(history.registry, "shop", known=()).versions) == {1, 4}
    held = next(e for e in entries(history, "train") if e.subject == "2")
    run = history.registry.client().get_run(held.payload["run_id"])
    assert run.info.lifecycle_stage == "active" and run.data.metrics, "what was tried stays on record"
    assert history.verify() and history.due() == ()
    assert prune(history.shop, 1, False).lines == ("shop: nothing to prune beyond the newest 1 of each",)

    history.score_by_mlflow()
    assert score(history.shop, AS_OF, batch="2024-04", overrides=SEED, force=True) == ["2024-04"]
    assert monitor(history.shop, AS_OF, batch="2024-03", overrides=SEED, force=True) != []
    with look_in(history.shop, reads=False) as workspace, pytest.raises(ConfigError, match="version 2 was pruned on"):
        load_served(workspace, 2)
    with pytest.raises(ConfigError):
        release(history.shop, action="promote", reason="the held one after all", version=3, override=True)
    assert "1" in release(history.shop, action="rollback", reason="the first was better")
    with open_ledger(history.home) as ledger:
        champion = ledger.champion("shop")
    assert champion is not None and champion.version == 1 and history.verify()


def test_the_newest_and_what_is_referred_to_stay(history: History) -> None:
    assert train(history.shop, AS_OF, overrides=["train.seed=21", "gates.champion.margin=0.0001"]) == 5
    shelf = read_shelf(history.registry, "shop", known=())
    history.registry.client().set_registered_model_alias("shop", "mine", "2")
    assert set(shelf.versions) == {1, 2, 3, 4, 5}
    said = "\n".join(prune(history.shop, 1, False).lines)
    assert "versions   3 of 5" in said  # 1 and 4 were champions, 2 has an alias, 5 waits
    assert set(read_shelf(history.registry, "shop", known=()).versions) == {1, 2, 4, 5}


def test_keep_more_and_less_than_there_is(history: History) -> None:
    with pytest.raises(ConfigError, match="--keep 0: expected 1 or more"):
        prune(history.shop, 0, False)
    said = "\n".join(prune(history.shop, 9, False).lines)
    assert "versions" not in said and "predictions" not in said and "runs       1" in said
    assert set(read_shelf(history.registry, "shop", known=()).versions) == {1, 2, 3, 4}


def test_a_ledger_that_names_files_elsewhere_removes_none(history: History, tmp_path: Path) -> None:
    """Paths are looked for in the project's own folder only, whatever an edited ledger says."""
    outside = tmp_path / "mine.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(outside)
    last = entries(history, "score")[-1]
    with open_ledger(history.home) as ledger:
        for path in (str(outside), "../mine.parquet", "ledger.db", last.payload["path"]):
            payload = {**last.payload, "path": path}
            more = {"subject": last.subject, "outcome": "scored", "reason": "", "actor": "me", "as_of": last.as_of}
            ledger.append("shop", step="score", key=last.key, at=last.at, payload=payload, **more)
    prune(history.shop, 1, False)
    assert outside.exists() and (history.home / "ledger.db").exists()
    assert (history.home / last.payload["path"]).exists()
