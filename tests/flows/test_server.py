"""Runs are recorded, all of them, with and without a server; and nothing stays behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flows.engine.artifacts import show_markdown
from flows.engine.server import local_api, server_status, start_server, stop_server
from tasks.errors import ConfigError, DataError, InfrastructureError
from tests.flows import toys

pytestmark = pytest.mark.server
Start = Callable[..., "subprocess.Popen[str]"]
Ask = Callable[[str], list[tuple[Any, ...]]]


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert error == ""
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_server_started_later_shows_every_task_run(home: Path, start: Start) -> None:
    answer = finish(start(numbers=60))
    assert answer["result"] == 60 * 59 + 2
    assert set(answer["addresses"]) <= {"127.0.0.1"}, "something asked for an address outside this machine"
    assert not server_status(home).running

    page = start_server(home)
    assert start_server(home) == page, "a second one was started"
    from prefect.client.orchestration import get_client
    from prefect.settings import temporary_settings

    with temporary_settings({"api.url": f"{page}/api"}), get_client(sync_client=True) as client:
        states = {run.name: run.state_name for run in client.read_flow_runs()}
        names = [run.state_name for run in client.read_task_runs() if run.name.startswith("double")]
        assert states["toy 60"] == "Completed" and len(states) == 2
        assert names == ["Completed"] * 61
        automations = client.read_automations_by_name("trueup: mark runs without a heartbeat Crashed")
        assert len(automations) == 1

        # The next command uses the server, which is not stopped under it.
        running = start(numbers=5, seconds=4)
        until = time.monotonic() + 60
        while len(client.read_flow_runs()) < 4 and time.monotonic() < until:
            time.sleep(0.2)
        with pytest.raises(InfrastructureError, match=f"in use by process {running.pid}"):
            stop_server(home)
        finish(running)
        assert len(client.read_flow_runs()) == 4

    pid = server_status(home).pid
    assert pid is not None
    assert "is stopped" in stop_server(home)
    assert "No Prefect server is running" in stop_server(home)
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)


def test_commands_at_once_record_all_their_runs(start: Start, ask: Ask) -> None:
    for process in [start(numbers=40) for _ in range(3)]:
        finish(process)
    assert ask("SELECT state_type, count(*) FROM flow_run GROUP BY 1") == [("COMPLETED", 6)]
    assert ask("SELECT state_type, count(*) FROM task_run WHERE name LIKE 'double%' GROUP BY 1") == [("COMPLETED", 123)]


def test_a_killed_command_leaves_no_process_and_the_next_one_marks_its_run(home: Path, start: Start, ask: Ask) -> None:
    killed = start(numbers=2, seconds=60)
    until = time.monotonic() + 60
    while ("Running",) not in ask("SELECT state_name FROM flow_run WHERE name LIKE 'toy%'"):
        assert time.monotonic() < until and killed.poll() is None
        time.sleep(0.2)
    group = os.getpgid(killed.pid)
    before = subprocess.run(["ps", "-o", "pid=", "--ppid", str(killed.pid)], capture_output=True, text=True).stdout
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert before.split() == [] and group == os.getpgid(0)

    finish(start(numbers=1))
    states = dict(ask("SELECT name, state_name FROM flow_run WHERE name LIKE 'toy%'"))
    assert states == {"toy 2": "Crashed", "toy 1": "Completed"}
    assert list((home / "prefect" / "running").iterdir()) == []


def test_an_error_comes_out_as_it_was_raised(project: str, ask: Ask, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="-1 is negative; expected a count"):
        toys.toy(project, 1, broken=True)
    assert ask("SELECT state_name FROM flow_run WHERE name = 'toy 1'") == [("Failed",)]
    message = "SELECT s.message FROM flow_run r JOIN flow_run_state s ON s.id = r.state_id WHERE r.name = 'toy 1'"
    assert "rows.csv: -1 is negative" in ask(message)[0][0]
    assert ("Failed",) in ask("SELECT state_name FROM task_run")
    for wrong in ({"numbers": "many"}, {"nonsense": 1}):
        with pytest.raises(ConfigError, match="toy: "):
            toys.toy(project, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no such project file"):
        toys.toy(f"{project}.yaml")
    assert len(ask("SELECT id FROM flow_run")) == 2, "a call that was refused made a run"
    captured = capfd.readouterr()
    assert captured.out + captured.err == "", "Prefect's reports belong on the run's page"


def test_calls_from_threads_and_from_an_event_loop(project: str, ask: Ask) -> None:
    async def notebook() -> int:
        return toys.toy(project, 2)

    assert asyncio.run(notebook()) == 4
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda n: toys.toy(project, n), (3, 4))) == [8, 14]
    assert ask("SELECT state_type, count(*) FROM task_run WHERE name LIKE 'double%' GROUP BY 1") == [("COMPLETED", 12)]


def test_artifacts_stand_on_the_run_and_nowhere_else(project: str, ask: Ask) -> None:
    run_id = toys.show(project)
    show_markdown("outside", "of a run")
    found = {key: (kind, data) for key, kind, data in ask("SELECT key, type, data FROM artifact WHERE key IS NOT NULL")}
    assert set(found) == {"summary-of-it", "gates", "page"}
    assert json.loads(json.loads(found["gates"][1]))[0] == {"gate": "size", "value": None}
    assert {row[0].replace("-", "") for row in ask("SELECT flow_run_id FROM artifact")} == {
        str(run_id).replace("-", "")
    }


@pytest.mark.parametrize("silent", [False, True])
def test_a_named_server_that_is_down_is_said_at_once(
    silent: bool, project: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.settings import temporary_settings

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if silent:
            listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        began = time.monotonic()
        with temporary_settings({"api.url": url}), pytest.raises(InfrastructureError) as caught:
            toys.toy(project)
    assert time.monotonic() - began < 6
    assert url in str(caught.value) and "unset PREFECT_API_URL" in str(caught.value)


def test_the_named_database_is_used(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import temporary_settings

    other = tmp_path / "elsewhere.db"
    other.write_bytes((migrated / "prefect" / "prefect.db").read_bytes())
    with (
        temporary_settings({"server.database.connection_url": f"sqlite+aiosqlite:///{other}"}),
        local_api(tmp_path / "home"),
    ):
        pass
    assert not (tmp_path / "home" / "prefect" / "prefect.db").exists()


def test_importing_the_flows_changes_nothing(tmp_path: Path) -> None:
    code = "import os; before = dict(os.environ); import flows.engine.launch; assert dict(os.environ) == before"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path / "prefect")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, cwd=Path(__file__).parents[2])
