"""End to end: a window that degrades outside of a turn sends an event, and the automation in prefect.yaml has a worker
do a turn, in which the policy decides."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from flows.engine.environment import prepare_environment
from flows.engine.server import start_server, tail
from flows.monitor import monitor
from flows.run import run
from flows.score import score
from tasks.ledger import open_ledger
from tests.conftest import MakeProject, make_rows
from tests.flows.test_deployments import ROOT, deploy, worker
from tests.servers import Webhook

pytestmark = pytest.mark.server
AUTOMATION = "trueup: a turn where health degrades"
SECONDS = 150.0


def without_schedules(folder: Path) -> None:
    """The repository's prefect.yaml, but for the project's name and the schedule."""
    deployments: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text().replace("flights", "shop"))
    for deployment in deployments["deployments"]:
        deployment.pop("schedules", None)
    (folder / "prefect.yaml").write_text(yaml.safe_dump(deployments))


@pytest.mark.timeout(400)
def test_a_degraded_window_has_a_worker_do_a_turn(
    home: Path, make_project: MakeProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.settings import temporary_settings

    for name in ("PREFECT_LOGGING_LEVEL", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"):
        monkeypatch.delenv(name, raising=False)
    webhook = Webhook()
    monkeypatch.setenv("TRUEUP_ALERTS", f"json://{webhook.place}/token")
    rows = make_rows(2500, months=5)
    turned = rows["at"] >= pd.Timestamp("2024-04-01", tz="UTC")
    rows.loc[turned, "bought"] = ~rows.loc[turned, "bought"]
    project = make_project({"rows.parquet": rows}, split={"how": "random", "test": 0.4})
    without_schedules(project.root)
    prepare_environment()
    url = f"{start_server(home)}/api"
    environment = {**os.environ, "PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path / "client")}
    environment.pop("PREFECT_LOGGING_LEVEL", None)
    deploy(project.root, environment)
    log = tmp_path / "worker.log"

    with ExitStack() as stack:
        stack.enter_context(temporary_settings({"api.url": url}))
        client = stack.enter_context(get_client(sync_client=True))
        stack.enter_context(worker(project.root, environment, log))
        (automation,) = client.read_automations_by_name(AUTOMATION)
        assert automation.enabled
        (turns,) = (d for d in client.read_deployments() if d.name == "run")

        def begun() -> list[Any]:
            return [r for r in client.read_flow_runs() if r.deployment_id == turns.id]

        def health() -> list[str]:
            with open_ledger(home) as ledger:
                return [e.outcome for e in ledger.entries("shop", step="monitor")]

        run(str(project.path), "2024-04-01")
        assert set(health()) <= {"healthy", "drifting"}
        webhook.posted.clear()
        for step in (score, monitor):  # as their own deployments do, between two turns
            step(str(project.path), "2024-06-01")
        assert health()[-2:] == ["degraded", "degraded"]
        assert webhook.titles == ["trueup: shop 2024-04 degraded"], "one alert for both windows"
        until = time.monotonic() + SECONDS
        while not (started := begun()) or started[0].state is None or not started[0].state.is_final():
            assert time.monotonic() < until, f"{started}\n{tail(log, 80)}"
            time.sleep(0.5)
        assert started[0].state.is_completed(), f"{started[0].state}\n{tail(log, 80)}"
        given = {"project": str(project.path), "as_of": "2024-06-01T00:00:00+00:00"}
        assert given.items() <= started[0].parameters.items()
        assert started[0].created_by is not None and started[0].created_by.type == "AUTOMATION"
        with open_ledger(home) as ledger:
            asked = ledger.entries("shop", step="retrain")[-1]
            trained = ledger.entries("shop", step="train")[-1]
        assert (asked.outcome, trained.payload["trigger"]) == ("retrain", "performance")
        assert asked.actor.startswith("deployment run, started by "), asked.actor

        monitor(str(project.path), "2024-06-01", force=True)  # and the same comes out: nothing starts once more
        time.sleep(10)
        assert len(begun()) == 1 and len(webhook.posted) == 1
    webhook.close()
