"""Runs whose process was killed: they would stay Running for ever, so whoever comes next marks them Crashed."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tasks.stage import crash_point

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

logger = logging.getLogger(__name__)

HOME = "home"  # the name of the API that a process without a server serves itself, over the home's own database
AUTOMATION = "trueup: mark runs without a heartbeat Crashed"
HEARTBEAT_SECONDS = 30
SILENCE_SECONDS = 90
_MADE_SECONDS = 60.0

_claim: ContextVar[IO[str] | None] = ContextVar("trueup_claim", default=None)


@contextmanager
def claimed(home: Path, api: str, server: str | None = None) -> Iterator[None]:
    """Hold a claim on the runs that this process makes.

    `api` says where they are recorded: `home`, for the database under the home, or the address of a server that the
    user named. `server` is the address of the server that `trueup up` keeps, where that one does the recording.
    A claim is a file whose lock the kernel frees when its process ends, however that happens.
    """
    folder = home / "prefect" / "running"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{os.getpid()}-{os.urandom(4).hex()}"
    with path.open("x", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps({"api": api, "server": server, "pid": os.getpid()}) + "\n")
        file.flush()
        token = _claim.set(file)
        try:
            yield
        finally:
            _claim.reset(token)
            path.unlink(missing_ok=True)


def note_run(flow: Any, flow_run: Any, state: Any) -> None:
    """A Prefect hook for runs that begin: puts the run on this process's claim, if it holds one."""
    crash_point("before-claim")
    file = _claim.get()
    if file is not None:
        file.write(f"{flow_run.id}\n")
        file.flush()


def users_of(home: Path, server: str) -> list[int]:
    """The processes that record their runs with the home's server right now."""
    return sorted(head["pid"] for head, _ in _claims(home, dead=False) if head.get("server") == server)


def mark_killed_runs(home: Path, api: str) -> int:
    """Mark the runs of dead processes, and their task runs, Crashed; returns how many runs there were.

    Runs that were recorded elsewhere are left for a command that uses that API. Nothing is imported, and nothing is
    asked, where no process died.
    """
    marked, now, died = 0, datetime.now(UTC), False
    for head, path in _claims(home, dead=True):
        if head.get("api") != api:
            continue
        runs = path.read_text(encoding="utf-8").split("\n")[1:]
        if any(runs):
            from prefect.client.orchestration import get_client

            with get_client(sync_client=True) as client:
                marked += sum(_mark(client, run) for run in runs if run)
        path.unlink(missing_ok=True)
        died = True
    if died and api == HOME and set(users_of(home, api)) <= {os.getpid()}:
        marked += _mark_unclaimed(now)
    return marked


def _mark_unclaimed(before: datetime) -> int:
    """Mark what a process had made, but not claimed yet, when it died. Asked where nobody else records."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter

    unclaimed = {
        "state": {"type": {"any_": ["PENDING", "RUNNING"]}},
        "deployment_id": {"is_null_": True},
        "expected_start_time": {"before_": before},
    }
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(unclaimed))
        return sum(_mark(client, str(run.id)) for run in found)


def _mark(client: SyncPrefectClient, run: str) -> bool:
    from uuid import UUID

    from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Crashed

    message = "The process that ran this was killed."
    with suppress(ObjectNotFound):
        found = client.read_flow_run(UUID(run))
        if found.state is None or found.state.is_final():
            return False
        client.set_flow_run_state(found.id, Crashed(message=message), force=True)
        begun = client.read_task_runs(
            flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run]}}),
            task_run_filter=TaskRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}),
        )
        for task_run in begun:
            client.set_task_run_state(task_run.id, Crashed(message=message), force=True)
        logger.info("Flow run %s was killed; it is marked Crashed.", found.name)
        return True
    return False


def _claims(home: Path, dead: bool) -> Iterator[tuple[dict[str, Any], Path]]:
    """The claims of dead processes, each held while it is looked at; or of living ones."""
    folder = home / "prefect" / "running"
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        with suppress(OSError), path.open("r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                free = True
            except BlockingIOError:
                free = False
            head: dict[str, Any] = {}
            with suppress(ValueError):
                head = json.loads(file.readline() or "{}")
            # An empty file is one that is being made, or that a process left that was killed in that instant.
            if free == dead and head:
                yield head, path
            elif free and dead and time.time() - path.stat().st_mtime > _MADE_SECONDS:
                path.unlink(missing_ok=True)


def ensure_crash_automation(url: str) -> None:
    """Have a server mark a run Crashed that sent a heartbeat and then neither another one nor an end.

    For runs made by workers: a worker that lives reports a killed run itself, but worker and run may die together.
    The deployments of `prefect.yaml` send heartbeats every 30 seconds.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import StateType
    from prefect.events import EventTrigger, Posture, ResourceSpecification
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore
    from prefect.settings import temporary_settings

    ends = {
        f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended")
    }
    heartbeat = "prefect.flow-run.heartbeat"
    trigger = EventTrigger(
        match=ResourceSpecification.model_validate({"prefect.resource.id": ["prefect.flow-run.*"]}),
        for_each={"prefect.resource.id"},
        after={heartbeat},
        expect={heartbeat, *ends},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=SILENCE_SECONDS),
    )
    action = ChangeFlowRunState(state=StateType.CRASHED, message="The run sent no heartbeat for 90 seconds.")
    with temporary_settings({"api.url": url}), get_client(sync_client=True) as client:
        if not client.read_automations_by_name(AUTOMATION):
            client.create_automation(AutomationCore(name=AUTOMATION, trigger=trigger, actions=[action]))
        for extra in client.read_automations_by_name(AUTOMATION)[
            1:
        ]:  # Prefect's client asks again where it waited long
            client.delete_automation(extra.id)
