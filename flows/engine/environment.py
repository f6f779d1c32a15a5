"""What the libraries under trueup read from the process environment, set when something is called, never at import."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEFAULTS = {
    # Nothing phones home. The word, not 1: MLflow takes nothing else.
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    # A call that forgot to open an API must fail, not start Prefect's own server, which loses task runs at exit.
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # A library below Prefect's API, whose stores nothing here uses, compiles itself anew at each import to check types.
    "PY_KEY_VALUE_DISABLE_BEARTYPE": "true",
    # Two OpenMP threads on two shared cores burned 1.85 times the CPU of one, and the order of a parallel sum is
    # not fixed: one thread is the cheapest and the reproducible choice. Whoever has a machine to themselves sets more.
    "OMP_NUM_THREADS": "1",
}


def prepare_environment(home: Path | None = None) -> None:
    """Telemetry off, one OpenMP thread, a quiet Prefect: for this process and all that it starts.

    Defaults only: a variable that is set already keeps its value. Call it before Prefect, MLflow or a library that
    uses OpenMP is imported where that is possible, as the command line does; later, what is read on use still holds.
    Given the `home` of its one project, a command also keeps Prefect's own files in there, unless the user has a
    Prefect profile in the usual place: importing Prefect makes the folder `~/.prefect` otherwise.
    """
    if home is not None and not (Path.home() / ".prefect" / "profiles.toml").exists():
        os.environ.setdefault("PREFECT_HOME", str(home / "prefect"))
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if os.environ["DO_NOT_TRACK"] == "1":
        os.environ["DO_NOT_TRACK"] = "true"


@contextmanager
def untracked_import() -> Iterator[None]:
    """Import Prefect without its first-use notice and event, and leave the environment as it was.

    In a terminal Prefect's analytics start while it is imported and ask `DO_NOT_TRACK` then and never again.
    """
    before = os.environ.get("DO_NOT_TRACK")
    os.environ["DO_NOT_TRACK"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["DO_NOT_TRACK"]
        else:
            os.environ["DO_NOT_TRACK"] = before


def collect_rarely() -> None:
    """Have the garbage collector look seldom: for a process that does one thing and ends, as a command does.

    Nearly all that a command makes are modules, classes and schemas, which live as long as it does. Looked over at
    Python's own pace they cost half a CPU second.
    """
    gc.set_threshold(20_000, 50, 100)


@contextmanager
def uncollected_imports() -> Iterator[None]:
    """Import large libraries without the garbage collector, and keep it off what they made.

    Modules, classes and schemas live as long as the process. Collections while they are made, and one more at exit,
    walk over all of them for nothing: a third of the CPU that importing Prefect's API costs.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
