"""End to end: prefect.yaml on a real server with a real worker: months by the schedule alone, a run through the API."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from flows.engine.environment import prepare_environment
from flows.engine.server import start_server, tail
from tasks.ledger import open_ledger
from tests.conftest import MakeProject
from tests.flows.test_retraining import turned

pytestmark = pytest.mark.server
ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240.0


@contextmanager
def worker(folder: Path, environment: dict[str, str], log: Path) -> Iterator[None]:
    """A process worker of the pool; ended with all that it started. From Python, so that it listens to signals."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "trueup", "--name", "tester"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)


def deploy(folder: Path, environment: dict[str, str]) -> None:
    """Prefect's own commands, as the README gives them."""
    for command in (["work-pool", "create", "trueup", "--type", "process"], ["--no-prompt", "deploy", "--all"]):
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *command], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def own_deployments(folder: Path) -> None:
    """The repository's prefect.yaml, word for word but for the project's name and a schedule that is due at once."""
    text = (ROOT / "prefect.yaml").read_text().replace("flights", "shop")
    deployments: dict[str, Any] = yaml.safe_load(text)
    (turn,) = [d for d in deployments["deployments"] if d["name"] == "run"]
    (nightly,) = turn["schedules"]
    assert nightly["parameters"] == {"project": "shop", "as_of": "next"} and nightly["timezone"] == "America/New_York"
    due = datetime.now(UTC) + timedelta(seconds=30)
    seconds = ",".join(str((due.second + more) % 60) for more in (0, 30))
    nightly.update(cron=f"* * * * * {seconds}", timezone="UTC")
    (folder / "prefect.yaml").write_text(yaml.safe_dump(deployments))


@pytest.mark.timeout(600)
def test_the_schedule_and_the_api_make_runs_that_complete(
    home: Path, make_project: MakeProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import temporary_settings

    for name in ("PREFECT_LOGGING_LEVEL", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"):
        monkeypatch.delenv(name, raising=False)
    project = make_project(
        {"rows.parquet": turned(rows=2_000)}, split={"how": "random", "test": 0.4}, retrain={"min_new_labels": 100}
    )
    own_deployments(project.root)
    prepare_environment()
    url = f"{start_server(home)}/api"
    environment = {**os.environ, "PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path / "client")}
    environment.pop("PREFECT_LOGGING_LEVEL", None)
    deploy(project.root, environment)
    log = tmp_path / "worker.log"

    with ExitStack() as stack:
        stack.enter_context(temporary_settings({"api.url": url}))
        client = stack.enter_context(get_client(sync_client=True))
        deployed = {d.name: d for d in client.read_deployments()}
        assert set(deployed) == {"run", "validate", "train", "score", "monitor", "release", "replay"}
        for deployment in deployed.values():
            assert deployment.description and deployment.tags and deployment.work_pool_name == "trueup"
            assert deployment.parameters["project"] == "shop"
            fields = deployment.parameter_openapi_schema["properties"]
            assert all(f.get("description") for f in fields.values()), "the run form must explain each field"
        for name, wrong in (
            ("run", {"as_of": "the day before yesterday"}),
            ("run", {"force": "perhaps"}),
            ("train", {"overrides": ["nonsense"]}),
            ("release", {"version": 0, "action": "praise", "reason": "none"}),
            ("release", {"version": 1, "action": "approve", "reason": "   "}),
            ("release", {"version": 1, "action": "approve"}),
        ):
            with pytest.raises(PrefectHTTPStatusError, match=r"4\d\d"):
                client.create_flow_run_from_deployment(deployed[name].id, parameters=wrong)
        assert all(run.state_type == "SCHEDULED" for run in client.read_flow_runs())

        stack.enter_context(worker(project.root, environment, log))
        wanted = {"project": "shop", "as_of": "2024-02-01", "overrides": ["contract.max_quarantine=3%"]}
        # Prefect Cloud says who started a run; its own server knows automations only, by these headers.
        automation = {"Prefect-Automation-Id": str(UUID(int=7)), "Prefect-Automation-Name": "QWRh"}
        client._client.headers.update(automation)
        by_hand = client.create_flow_run_from_deployment(deployed["validate"].id, parameters=wanted)
        for header in automation:
            del client._client.headers[header]

        def finished(of: Callable[[Any], bool]) -> Any:
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                runs = [r for r in client.read_flow_runs() if r.state is not None and of(r)]
                for run in runs:
                    if run.state.is_final():
                        assert run.state.is_completed(), f"{run.name}: {run.state}\n{tail(log, 80)}"
                        return run
                time.sleep(1)
            raise AssertionError(f"no run of it ended\n{tail(log, 80)}")

        asked = finished(lambda run: run.id == by_hand.id)
        assert (
            asked.parameters == wanted | {"batch": None, "force": False} or wanted.items() <= asked.parameters.items()
        )
        with open_ledger(home) as ledger:
            assert {e.actor for e in ledger.entries("shop", step="validate")} >= {"deployment validate, started by Ada"}
        scheduled = finished(lambda run: run.auto_scheduled and run.deployment_id == deployed["run"].id)
        assert scheduled.parameters["as_of"] == "next"

        def trained_by_itself() -> bool:
            with open_ledger(home) as ledger:
                return any(e.payload["trigger"] for e in ledger.entries("shop", step="train"))

        until = time.monotonic() + SECONDS
        while not trained_by_itself():
            assert time.monotonic() < until, f"no challenger was trained\n{tail(log, 80)}"
            time.sleep(1)
        with open_ledger(home) as ledger:
            months = [str(e.subject)[:7] for e in ledger.entries("shop", step="turn")]
            assert months[:2] == ["2024-03", "2024-04"], "each night the moment moves on by a month"
            (asked, *_) = [e for e in ledger.entries("shop", step="retrain") if e.outcome == "retrain"]
            assert asked.subject == "2024-04" and asked.payload["trigger"] == "performance"
            done = [e for e in ledger.entries("shop") if e.step in ("train", "score", "monitor", "retrain")]
        assert all(e.actor.startswith("deployment run") for e in done), "no hand on it"
        ended = [r.state for r in client.read_flow_runs() if r.state is not None and r.state.is_final()]
        assert all(state.is_completed() for state in ended), ended
        parts = {run.name: run for run in client.read_flow_runs() if run.parent_task_run_id is not None}
        assert any(name.startswith("train") for name in parts), sorted(parts)
        states = [run.state for run in client.read_task_runs() if run.state is not None and run.state.is_final()]
        assert len(states) > 5 and {state.name for state in states} == {"Completed"}  # the next night goes on meanwhile
        keys = {artifact.key for artifact in client.read_artifacts()}
        assert {"shop-summary", "shop-page"} <= keys, keys
        lines = [line.message for line in client.read_logs()]
        assert lines and not any("Traceback" in line for line in lines)
    assert (home / "shop").is_dir(), "the worker kept its state elsewhere"
