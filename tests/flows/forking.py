"""Commands that start at once: one process imports the libraries, and each command is a fork of it.

A command costs ten CPU seconds of imports otherwise, and to be killed at twenty points it has to start that often.
`python -m tests.flows.forking` is that process; `Forks` talks to it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
USED = (
    "evidently.presets",
    "evidently.ui.workspace",
    "flows.run",
    "great_expectations.expectations.core",
    "mlflow.sklearn",
    "mlflow.store.tracking.sqlalchemy_store",
    "optuna",
    "prefect.artifacts",
    "prefect.server.api.artifacts",
    "prefect.server.api.flow_runs",
    "prefect.server.services.task_run_recorder",
    "sklearn.linear_model",
    "skops.io",
    "uvicorn",
)
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "sqlite3.connect")
NOT_INHERITED = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_LOGGING_LEVEL")
NOT_INHERITED += ("TRUEUP_HOME", "TRUEUP_ALERTS", "TRUEUP_CRASH_AT")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal; and what it said."""

    code: int
    out: str
    error: str


@dataclass(frozen=True)
class Command:
    """A command that was started. It leads a process group of its own, whose number is `pid`."""

    pid: int
    out: Path
    error: Path


class Forks:
    """The process that forks commands, as a test sees it."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._started = 0

    def start(
        self, *arguments: str, largest_file: int | None = None, changes: int | None = None, **environment: str
    ) -> Command:
        """Start `trueup <arguments>` with these variables set as well; none of its files may grow larger.

        With `changes` it is killed when it is about to make one more change to files or databases than so many.
        """
        self._started += 1
        out, error = (self._folder / f"{self._started}.{name}" for name in ("out", "error"))
        asked: dict[str, Any] = {
            "arguments": arguments,
            "environment": environment,
            "out": str(out),
            "error": str(error),
        }
        asked |= {"largest_file": largest_file, "changes": changes}
        return Command(self._ask(asked), out, error)

    def wait(self, command: Command) -> Ended:
        """Wait for a command to end."""
        code = self._ask({"wait": command.pid})
        return Ended(code, command.out.read_text(errors="replace"), command.error.read_text(errors="replace"))

    def run(
        self, *arguments: str, largest_file: int | None = None, changes: int | None = None, **environment: str
    ) -> Ended:
        """Start a command and wait for it."""
        return self.wait(self.start(*arguments, largest_file=largest_file, changes=changes, **environment))

    def _ask(self, question: dict[str, Any]) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return int(json.loads(self._process.stdout.readline()))


@contextmanager
def open_forks(folder: Path) -> Iterator[Forks]:
    """Start the process that forks; it ends with the block, or with this process."""
    environment = {k: v for k, v in os.environ.items() if k not in NOT_INHERITED}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.flows.forking"],
        cwd=ROOT,
        env={**environment, "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "true"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        try:
            yield Forks(process, folder)
        finally:
            process.stdin.close()


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with open_forks(tmp_path_factory.mktemp("said")) as forks:
        yield forks


def _serve() -> None:
    from flows.engine.environment import prepare_environment

    prepare_environment()
    for name in USED:
        importlib.import_module(name)
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            _, status = os.waitpid(question["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if answer == 0:
                _become(question)
        print(answer, flush=True)


def _become(question: dict[str, Any]) -> None:
    """Be the command, in a process group of its own; never returns."""
    os.setsid()
    for number, flags, name in ((0, os.O_RDONLY, os.devnull), (1, os.O_WRONLY, "out"), (2, os.O_WRONLY, "error")):
        os.dup2(os.open(question.get(name, name), flags | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.environ.update(question["environment"])
    if question["largest_file"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (question["largest_file"],) * 2)
    if question["changes"] is not None:
        _count_down(question["changes"])
    from flows.cli import main

    code = 99
    try:
        main(question["arguments"])
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:  # noqa: BLE001 - what Python itself would do with it
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _count_down(changes: int) -> None:
    """Kill this process when it has made so many changes to files or databases."""
    left = changes

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        written = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if written or event in CHANGES:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), 9)

    sys.addaudithook(watch)


if __name__ == "__main__":
    _serve()
