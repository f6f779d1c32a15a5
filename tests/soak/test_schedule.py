"""The flights live through their summer on a real server with a real worker, by the schedule alone."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from flows.engine.environment import prepare_environment
from flows.engine.server import start_server, stop_server, tail
from flows.run import run
from tasks.ledger import open_ledger
from tests.flows.test_deployments import ROOT, deploy, worker

pytestmark = [pytest.mark.soak, pytest.mark.server, pytest.mark.timeout(3600)]
SECONDS = 1_800.0
QUICK = ["train.search.trials=3"]


def test_three_months_of_flights_by_next_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """May and June bring nothing to do; what June was like trains a challenger, which is released for July."""
    for name in ("PREFECT_LOGGING_LEVEL", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"):
        monkeypatch.delenv(name, raising=False)
    home, root = tmp_path / "home", tmp_path / "root"
    shutil.copytree(ROOT / "configs", root / "configs")
    (root / "data").symlink_to(ROOT / "data")
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    (turn,) = [d for d in deployments["deployments"] if d["name"] == "run"]
    (nightly,) = turn["schedules"]
    assert nightly["parameters"] == {"project": "flights", "as_of": "next"}
    nightly.update(cron="* * * * *", timezone="UTC")  # a night a minute
    nightly["parameters"]["overrides"] = QUICK
    (root / "prefect.yaml").write_text(yaml.safe_dump(deployments), encoding="utf-8")
    prepare_environment()
    run(str(root / "configs" / "flights.yaml"), "2013-05-01", QUICK)
    begun = time.monotonic()
    with ExitStack() as stack:
        stack.callback(stop_server, home, force=True)
        url = f"{start_server(home)}/api"
        environment = {**os.environ, "PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path / "client")}
        deploy(root, environment)
        log = tmp_path / "worker.log"
        stack.enter_context(worker(root, environment, log))
        while True:
            with open_ledger(home) as ledger:
                months = [str(e.subject)[:10] for e in ledger.entries("flights", step="turn")]
            if months and months[-1] >= "2013-08-01":
                break
            assert time.monotonic() - begun < SECONDS, f"{months}\n{tail(log, 60)}"
            time.sleep(2)
    with open_ledger(home) as ledger:
        turns = list(dict.fromkeys(str(e.subject)[:10] for e in ledger.entries("flights", step="turn")))
        trained = [e for e in ledger.entries("flights", step="train") if e.payload["trigger"]]
        asked = [e for e in ledger.entries("flights", step="retrain") if e.outcome == "retrain"]
        windows = {str(e.subject): e.payload["version"] for e in ledger.entries("flights", step="monitor")}
        champion = ledger.champion("flights")
        hands = {e.actor for e in ledger.entries("flights") if e.as_of is not None and str(e.as_of) > "2013-05-02"}
    print(f"{time.monotonic() - begun:.0f} s: {turns}; {[e.reason for e in asked]}")
    assert turns[:4] == ["2013-05-01", "2013-06-01", "2013-07-01", "2013-08-01"]
    assert [str(e.as_of)[:7] for e in trained] == ["2013-07"] and trained[0].outcome == "promote"
    assert [(e.subject, e.payload["trigger"]) for e in asked] == [("2013-06", "performance")]
    assert champion is not None and champion.version == 2 and windows["2013-06"] == 1 and windows["2013-07"] == 2
    assert all(actor.startswith("deployment run") for actor in hands), hands
    assert (home / "flights" / "page.html").is_file()
