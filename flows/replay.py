"""The loop over the past: the same flows, batch by batch, once for each policy, and nothing visible that came later."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock, Timeout
from pydantic import Field

from flows.engine.artifacts import show_link, show_markdown
from flows.engine.launch import flow
from flows.parameters import Overrides, ProjectName
from flows.past import ERROR, START_TURNS, TURNS, read_turns
from flows.walk import POLICIES, Replay, note_asked, plan_replay
from tasks import errors
from tasks.config import shown
from tasks.errors import InfrastructureError, TrueupError

progress = logging.getLogger("trueup.progress")
# Of the environment nothing that a past turn could write to, or that would take it for a part of the run around it.
PRIVATE = ("TRUEUP_DATABASE_URL", "TRUEUP_ALERTS", "MLFLOW_", "PREFECT_")
KEPT = ("MLFLOW_DISABLE_TELEMETRY",)
START = "start"  # the folder of the first turn, which is the same for every policy
POLL_SECONDS = 0.2
END_SECONDS = 20.0


@flow(name="replay", run_name="replay {project} {begin} to {end}")
def replay(
    project: ProjectName = "flights",
    begin: Annotated[
        str | None, Field(title="From", description="The first batch to live through, such as 2013-04.")
    ] = None,
    end: Annotated[
        str | None, Field(title="To", description="The last batch to live through. Empty: the newest complete one.")
    ] = None,
    policies: Annotated[
        list[str],
        Field(
            title="Policies",
            description=f"When to retrain, side by side: {', '.join(POLICIES)}; own is what the project file says.",
            examples=[["never", "monthly", "on-health"]],
        ),
    ] = ["never", "monthly", "on-health"],  # noqa: B006 - never changed; a list makes Prefect's form show one
    overrides: Overrides = [],  # noqa: B006 - never changed; a list makes Prefect's form show one
) -> str:
    """Live through the past under several policies of retraining, and compare them on a page. Returns its path.

    What was lived through is not done again: a replay that was killed goes on, and one asked for again is there.
    """
    asked = plan_replay(project, begin, end, policies, overrides)
    live(asked)
    from flows.replayed import describe_replay, publish_replay

    page = publish_replay(asked)
    title = f"{asked.project.name}: replay from {asked.walk.batches[0].key} to {asked.walk.batches[-1].key}"
    said = "\n".join(f"    {line}" for line in describe_replay(asked).lines[1:])  # as it stands in a terminal
    show_markdown(f"{asked.project.name}-replay", f"# {title}\n\n{said}", title)
    show_link(f"{asked.project.name}-replay-page", page.as_uri(), title, "Page of the replay")
    return str(page)


def live(asked: Replay, workers: int | None = None) -> None:
    """Do what is not done yet of a replay: the first turn once, then each policy in a process of its own.

    So many at once as there are processors. Raises what stopped a policy; what was done stays. InfrastructureError
    where another process lives through the same.
    """
    note_asked(asked)
    lock = FileLock(asked.folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InfrastructureError(
            f"{shown(asked.folder)}: this replay is running already in another process. Wait for it; its result will "
            "be here."
        ) from None
    try:
        # `never` fits nothing, so it is soon done: begun last, it leaves no processor idle while others still train.
        told = [_told(asked, policy) for policy in sorted(asked.policies, key=lambda policy: policy == "never")]
        unbegun = [policy for policy in asked.policies if not asked.home(policy).exists()]
        first = {**_told(asked, "never"), "policy": START, "closing": None}
        first["moments"] = first["moments"][:1]
        if unbegun:
            _run_all(asked, [first], 1)
        for policy in unbegun:
            _copy_home(asked.folder / START, asked.home(policy))
        _run_all(asked, told, workers or os.cpu_count() or 1)
    finally:
        lock.release()


def _told(asked: Replay, policy: str) -> dict[str, Any]:
    """What a process is told to do."""
    return {
        "project": str(asked.project.path),
        "policy": policy,
        "moments": [moment.isoformat() for moment in asked.walk.moments],
        "batches": [batch.key for batch in asked.walk.batches],
        "closing": asked.walk.closing.isoformat(),
        "overrides": asked.settings(policy),
    }


def _copy_home(source: Path, home: Path) -> None:
    """A home with its first turn in it: whole, or not there."""
    half = home.with_name(f"{home.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(source, half, ignore=shutil.ignore_patterns(TURNS, ERROR, "*.lock", "log.txt"))
    (half / START_TURNS).write_bytes((source / TURNS).read_bytes())
    half.rename(home)


def _run_all(asked: Replay, told: Sequence[Mapping[str, Any]], workers: int) -> None:
    waiting = list(told)
    running: dict[str, subprocess.Popen[bytes]] = {}
    counts = {one["policy"]: len(read_turns(asked.home(one["policy"]))) for one in told}
    total = sum(len(one["moments"]) for one in told)
    began = sum(counts.values())
    since = time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                one = waiting.pop(0)
                running[one["policy"]] = _start(asked.home(one["policy"]), one)
            time.sleep(POLL_SECONDS)
            for one in told:
                _tell(asked, one, counts, total, began, since)
            for policy, process in list(running.items()):
                if process.poll() is not None:
                    del running[policy]
                    _check_ended(asked.home(policy), policy, process.returncode)
    finally:
        for process in running.values():
            _end(process)


def _tell(asked: Replay, one: Mapping[str, Any], counts: dict[str, int], total: int, began: int, since: float) -> None:
    """Say how far it is where a turn was done since the last look."""
    policy = one["policy"]
    done = len(read_turns(asked.home(policy)))
    before = counts.get(policy, 0)
    counts[policy] = done
    if done == before or not done or policy == START:
        return
    made = sum(counts.values())
    key = asked.walk.batches[min(done, len(asked.walk.batches)) - 1].key
    rate = (time.monotonic() - since) / max(made - began, 1)
    left = "" if made >= total or made == began else f", about {_minutes(rate * (total - made))} left"
    bar = "#" * round(20 * made / total)
    progress.info("[%-20s] %s of %s turns: %s has lived through %s%s", bar, made, total, policy, key, left)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _start(home: Path, told: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(PRIVATE)}
    environment = {**kept, "TRUEUP_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}
    with (home / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.past"], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
        )
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin:  # where it has died its exit code says so
        process.stdin.write(json.dumps(told).encode())
    return process


def _check_ended(home: Path, policy: str, code: int) -> None:
    """Raise what a process ended with."""
    if code == 0:
        return
    where = f"replay, policy {policy}"
    try:
        said = json.loads((home / ERROR).read_bytes())
    except (OSError, ValueError):
        raise InfrastructureError(
            f"{where}: its process ended with {code} and said nothing. The end of its log is in {home / 'log.txt'}; "
            "asked for again, the replay goes on where it stopped."
        ) from None
    kind: type[TrueupError] = getattr(errors, str(said["kind"]), InfrastructureError)
    raise kind(f"{where}: {said['message']}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
