"""The loop as a team runs it: an MLflow server with artifacts behind it, and PostgreSQL for the ledger."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.config import LoadedProject
from tasks.ledger import Ledger, open_ledger
from tests.conftest import MakeProject, make_rows
from tests.flows.conftest import Rows
from tests.flows.forking import Command, Ended, Forks
from tests.servers import MlflowServer, PostgresServer

pytestmark = [pytest.mark.server]


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@dataclass
class Team:
    """A project of three months whose state is on both servers."""

    project: LoadedProject
    mlflow: MlflowServer
    postgres: PostgresServer
    forks: Forks
    database: str

    def start(self, as_of: str) -> Command:
        """Start a turn."""
        servers = {"MLFLOW_TRACKING_URI": self.mlflow.address, "TRUEUP_DATABASE_URL": self.database}
        home = {"TRUEUP_HOME": str(self.project.home), "PYTHONFAULTHANDLER": "1"}
        return self.forks.start("run", str(self.project.path), "--as-of", as_of, **servers, **home)

    def turn(self, as_of: str) -> Ended:
        """A turn from its start to its end."""
        return self.forks.wait(self.start(as_of))

    def turn_while(self, as_of: str, said: str, happens: Callable[[], None]) -> Ended:
        """A turn during which something happens at the instant at which it says what it is at."""
        command = self.start(as_of)
        deadline = time.monotonic() + 90
        while not (command.error.exists() and said in command.error.read_text()):
            assert time.monotonic() < deadline, command.error.read_text()
            time.sleep(0.02)
        os.killpg(command.pid, signal.SIGSTOP)
        try:
            happens()
        finally:
            os.killpg(command.pid, signal.SIGCONT)
        return self.forks.wait(command)

    def ledger(self) -> Ledger:
        return open_ledger(self.project.home, self.database)

    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.mlflow.address, self.mlflow.address)

    def check(self, scored: list[str]) -> None:
        """One training, one champion, these batches scored once each, and MLflow says the same."""
        name = self.project.name
        with self.ledger() as ledger:
            assert ledger.verify(name).holds
            (trained,) = ledger.entries(name, "train")
            assert [e.subject for e in ledger.entries(name, "score")] == scored
            assert set(ledger.by_subject(name, "monitor")) == set(scored)
            champion = ledger.champion(name)
        assert champion is not None and str(champion.version) == trained.subject
        (version,) = self.client().search_model_versions(f"name = '{name}'")
        assert self.client().get_model_version_by_alias(name, "champion").version == version.version
        experiment = self.client().get_experiment_by_name(name).experiment_id
        runs = self.client().search_runs([experiment], "tags.`trueup.kind` = 'training'")
        assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
        assert [run.info.run_id for run in runs if run.info.status == "FINISHED"] == [version.run_id]
        assert not (self.project.home / "mlflow" / "mlflow.db").exists()
        assert not (self.project.home / "ledger.db").exists()


@pytest.fixture
def team(
    home: Path, make_project: MakeProject, mlflow_server: MlflowServer, postgres: PostgresServer, forks: Forks,
    request: pytest.FixtureRequest,
) -> Team:  # fmt: skip
    mlflow_server.start()
    postgres.start()
    name = request.function.__name__.removeprefix("test_")[:40].strip("_")
    project = make_project({"rows.parquet": make_rows(1500)}, name=name, split={"how": "random", "test": 0.3})
    return Team(project, mlflow_server, postgres, forks, postgres.make_database())


def test_two_turns_and_a_model_that_others_can_load(
    team: Team, ask: Callable[[str], Rows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = team.turn("2024-03-01")
    assert first.code == 0, first
    assert "version 1 is champion" in first.out and "Traceback" not in first.error
    name, called = team.project.name, team.project.path.stem
    runs = {"run {} as of 2024-03-01", "train {}", "validate {} 2024-02", "score {} 2024-02", "monitor {} 2024-02"}
    assert dict(ask("SELECT name, state_type FROM flow_run")) == {r.format(called): "COMPLETED" for r in runs}
    keys = {key for (key,) in ask("SELECT key FROM artifact")}
    parts = ("summary", "page", "verdict", "decision-page", "mlflow-run", "contract", "health", "drift")
    assert keys == {f"{name.replace('_', '-')}-{part}" for part in parts}
    ((link,),) = ask("SELECT data FROM artifact WHERE key LIKE '%mlflow-run'")
    assert f"{team.mlflow.address}/#/experiments/" in link
    said = [line for (line,) in ask("SELECT message FROM log ORDER BY timestamp")]
    assert any(line.startswith("judging") for line in said) and len(said) == len(set(said)), said
    second = team.turn("next")
    assert second.code == 0 and "2024-03" in second.out, second
    team.check(["2024-02", "2024-03"])
    unreachable = replace(team, mlflow=MlflowServer(tmp_path))  # what is done is known without MLflow
    again = unreachable.turn("2024-04-01")
    assert again.code == 0 and "up to date" in again.out, again

    with team.ledger() as ledger:
        entry = ledger.latest(team.project.name, "score", "2024-03")
    assert entry is not None
    scored = pd.read_parquet(team.project.home / entry.payload["path"]).set_index("row_id")
    rows = pd.read_parquet(team.project.root / "tables" / "rows.parquet").set_index("key").loc[scored.index]
    features = rows[["size", "count", "colour", "member"]]
    assert features["size"].isna().any() and features["count"].dtype == np.int64
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.mlflow.address)
    import mlflow

    address = f"models:/{team.project.name}@champion"
    expected = scored["probability"].to_numpy()
    served = mlflow.pyfunc.load_model(address)
    assert np.allclose(served.predict(features)[:, 1], expected, rtol=0, atol=1e-12)
    estimator = mlflow.sklearn.load_model(address)
    assert np.allclose(estimator.predict_proba(features)[:, 1], expected, rtol=0, atol=1e-12)


def test_two_at_once_do_the_work_of_one(team: Team) -> None:
    both = [team.start("2024-03-01"), team.start("2024-03-01")]
    ended = [team.forks.wait(command) for command in both]
    assert [e.code for e in ended] == [0, 0], ended
    assert sorted("version 1 is champion" in e.out for e in ended) == [False, True], ended
    team.check(["2024-02"])


def test_a_server_that_goes_in_the_middle(team: Team) -> None:
    def restart() -> None:
        team.postgres.stop()
        team.postgres.start()

    address = re.escape(team.mlflow.address)
    cases = (
        (team.mlflow.stop, "judging", rf"trueup: MLflow at {address} failed: .*Check that the server runs"),
        (team.postgres.stop, "judging", r"trueup: The ledger postgresql.* failed: .*Check that the server runs"),
        # The training is in MLflow by now and is not done again.
        (restart, "scoring", r"trueup: The ledger postgresql.* ended the session that held the lock .*run again"),
    )
    for happens, said, message in cases:
        ended = team.turn_while("2024-03-01", said, happens)
        assert ended.code == 4, ended
        assert re.search(message, ended.error) and "Traceback" not in ended.error, ended.error
        team.mlflow.start()
        team.postgres.start()
        with team.ledger() as ledger:
            assert ledger.entries(team.project.name, "score") == ()
    assert "searching" not in ended.error
    last = team.turn("2024-03-01")
    assert last.code == 0 and "scored     2024-02" in last.out and "trained" not in last.out, last
    team.check(["2024-02"])
