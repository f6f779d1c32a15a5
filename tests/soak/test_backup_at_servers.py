"""Backup, restore and prune of a home whose models are on an MLflow server and whose ledger is in PostgreSQL."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.backup import back_up
from flows.preview import preview_turn
from flows.prune import prune
from flows.release import release
from flows.restore import restore
from flows.run import run
from flows.train import train
from tasks.errors import ConfigError
from tasks.ledger import Head, Ledger, open_ledger
from tasks.registry import open_registry, read_head
from tests.flows.turns import write_shop
from tests.servers import MlflowServer, PostgresServer

pytestmark = [pytest.mark.soak, pytest.mark.server, pytest.mark.timeout(900)]


def test_a_home_that_holds_neither_models_nor_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "server").mkdir()
    mlflow, postgres = MlflowServer(tmp_path / "server"), PostgresServer()
    try:
        mlflow.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.address)
        monkeypatch.setenv("TRUEUP_DATABASE_URL", postgres.make_database())
        home, shop, kept = tmp_path / "home", write_shop(tmp_path / "work"), tmp_path / "kept"
        run(shop, "2024-04-01")
        held = ["gates.champion.margin=0.0001"]
        assert [train(shop, "2024-04-01", overrides=[*held, f"train.seed={s}"]) for s in (11, 12, 13)] == [2, 3, 4]
        release(shop, action="reject", reason="not needed", version=4)
        last = [*held, "train.seed=13"]

        answer = back_up(shop, str(kept))
        assert any(f"not in it  MLflow's runs, models and aliases at {mlflow.address}" in line for line in answer.lines)
        said = "\n".join(prune(shop, 1, False).lines)
        assert "versions   2, 3 of 4" in said and "`mlflow gc` there" in said, said
        assert {v.version for v in open_registry(home).client().search_model_versions("name = 'shop'")} == {"1", "4"}
        assert "nothing to prune" in prune(shop, 1, False).lines[0]
        with open_ledger(home) as ledger:
            assert _holds(ledger, home)
        assert preview_turn(shop, "2024-04-01", last).due == ()

        # Back to before the prune: into another database, while MLflow has noted what came after.
        shutil.rmtree(home)
        with pytest.raises(ConfigError, match="rows of project 'shop' already"):
            restore(shop, str(kept))
        assert not home.exists()
        monkeypatch.setenv("TRUEUP_DATABASE_URL", postgres.make_database())
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        with pytest.raises(ConfigError, match="set MLFLOW_TRACKING_URI"):
            restore(shop, str(kept))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.address)
        answer = restore(shop, str(kept))
        assert any("version 1 is champion" in line for line in answer.lines)
        assert any("is newer" in line for line in answer.lines), answer.lines
        with open_ledger(home) as ledger:
            restored = ledger.latest("shop", "restore")
            assert restored is not None and restored.outcome == "restored" and _holds(ledger, home)
        assert preview_turn(shop, "2024-04-01", last).due == ()
        assert run(shop, "2024-05-01").exit_code in (0, 1)
    finally:
        mlflow.stop()
        postgres.close()


def _holds(ledger: Ledger, home: Path) -> bool:
    noted = read_head(open_registry(home), "shop")
    assert noted is not None
    return ledger.verify("shop", Head(*noted)).holds
