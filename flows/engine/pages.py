"""The pages of Prefect, MLflow and Evidently over one home, started together and ended together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from flows.engine.environment import prepare_environment
from flows.engine.server import free_port, server_status, start_server, stop_server, tail
from tasks.errors import InfrastructureError

logger = logging.getLogger(__name__)

START_SECONDS = 180.0
STOP_SECONDS = 10.0


@dataclass
class Pages:
    """The pages that answer: `addresses` by name, in the order in which they should be shown."""

    addresses: dict[str, str] = field(default_factory=dict)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, repr=False)
    _logs: dict[str, Path] = field(default_factory=dict, repr=False)

    def wait(self) -> None:
        """Return never, until Ctrl-C or SIGTERM; InfrastructureError where one of the pages dies."""
        while True:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    log = self._logs[name]
                    raise InfrastructureError(f"{name}'s pages ended by themselves. The end of {log}:\n{tail(log)}")
            time.sleep(0.5)


@contextmanager
def open_pages(home: Path) -> Iterator[Pages]:
    """Start the three servers on free ports of the loopback interface; yields when each answers.

    A server that the user runs is named instead of started: `PREFECT_API_URL`, `MLFLOW_TRACKING_URI`, and what
    `trueup up` keeps. What was started ends with the block, with all its processes, also on SIGTERM.
    Logs are files under the home. Raises InfrastructureError naming the page and its log where one does not come up.
    """
    prepare_environment(home)
    pages = Pages()
    started_prefect = False
    with _sigterm_unwinds():
        try:
            mlflow = _mlflow(home, pages)
            evidently = _evidently(home, pages)
            prefect = _named_prefect()
            if prefect is None:
                started_prefect = not server_status(home).running
                prefect = start_server(home)
            pages.addresses = {"Prefect": prefect, "MLflow": mlflow, "Evidently": evidently}
            _wait_until_up(pages)
            yield pages
        finally:
            for process in pages._processes.values():
                _end(process)
            if started_prefect:
                try:
                    stop_server(home)
                except InfrastructureError as error:  # a command came to rely on it meanwhile
                    logger.warning("It is left running: %s", error)


def _named_prefect() -> str | None:
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    return url.removesuffix("/api") if url else None


def _mlflow(home: Path, pages: Pages) -> str:
    from tasks.registry import open_registry

    store = open_registry(home)
    if store.is_server:
        return store.shown
    store.client()  # made here, under a lock: two processes that make it at once spoil it
    port = free_port(5000)
    command = ["mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", store.uri, "--default-artifact-root", str(home / "mlflow" / "artifacts")]
    # Its job runner is four more processes that do nothing here and outlive the server.
    more = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    _start("MLflow", [*command, "--no-serve-artifacts"], home / "mlflow", more, pages)
    return f"http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning"  # else it opens on prompts and traces


def _evidently(home: Path, pages: Pages) -> str:
    port = free_port(8000)
    command = ["evidently", "ui", "--workspace", str(home / "evidently"), "--host", "127.0.0.1", "--port", str(port)]
    _start("Evidently", command, home / "evidently", {}, pages)
    return f"http://127.0.0.1:{port}"


def _start(name: str, command: list[str], folder: Path, more: Mapping[str, str], pages: Pages) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    program = Path(sys.executable).with_name(command[0])
    log = folder.parent / f"{command[0]}-pages.log"
    with log.open("ab") as file:
        pages._logs[name] = log
        pages._processes[name] = subprocess.Popen(
            [str(program) if program.exists() else command[0], *command[1:]],
            cwd=folder,
            env={**os.environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_up(pages: Pages) -> None:
    until = time.monotonic() + START_SECONDS
    for name, process in pages._processes.items():
        while not _answers(pages.addresses[name]):
            if process.poll() is not None or time.monotonic() > until:
                log = pages._logs[name]
                raise InfrastructureError(f"{name}'s pages did not come up. The end of {log}:\n{tail(log)}")
            time.sleep(0.3)


def _answers(address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and all that it started: it leads a process group of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Make SIGTERM and SIGINT leave through the `finally`s, also where the shell that started us ignores them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
