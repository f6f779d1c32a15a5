"""Where runs are recorded: the user's own Prefect server, the one that `trueup up` keeps, or this process itself."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flows.engine.environment import prepare_environment
from tasks.errors import InfrastructureError

HEALTH_SECONDS = 3.0
START_SECONDS = 180.0
STOP_SECONDS = 20.0
USUAL_PORT = 4200
# Prefect's pages ask an analytics service for its settings even where analytics are off. The browser may not.
_PAGES_ASK = "connect-src 'self' " + " ".join(
    f"{kind}://{host}:*" for kind in ("http", "ws") for host in ("127.0.0.1", "localhost")
)


@dataclass(frozen=True)
class ServerStatus:
    """The local server over a home: `url` is its API, `page` its pages, None where it is not running."""

    running: bool
    log: Path
    url: str | None = None
    pid: int | None = None

    @property
    def page(self) -> str | None:
        """The address of Prefect's pages."""
        return self.url.removesuffix("/api") if self.url else None


@contextmanager
def local_api(home: Path) -> Iterator[str]:
    """Prefect's API for the duration of a call; gives its address, and Prefect's client talks to it meanwhile.

    A server that the user names (`PREFECT_API_URL`, or the active Prefect profile) is used, or refused if it does
    not answer within three seconds. Else the server that `trueup up` keeps over this home. Else this process
    records its runs itself, in `<home>/prefect/prefect.db`, where a server started later finds them; then every
    task run is in the database when the block ends. `PREFECT_HOME` and `PREFECT_API_DATABASE_CONNECTION_URL` hold.
    Raises InfrastructureError.
    """
    prepare_environment()
    from prefect.settings import get_current_settings, temporary_settings

    from flows.engine.crashes import HOME, claimed, mark_killed_runs

    named = get_current_settings().api.url
    if named:
        _check_named_server(named)
        with claimed(home, named):
            mark_killed_runs(home, named)
            yield named
        return
    # Ad hoc, a killed run is recognised by its claim, and heartbeats make each run wait a second at its end.
    # A request waits for a locked database for a minute: tried five times more, a command would hang for seven.
    ours = {"flows.heartbeat_frequency": None, "client.csrf_support_enabled": False, "client.max_retries": 2}
    kept = server_status(home)
    if kept.url and _answers(kept.url, HEALTH_SECONDS):
        with temporary_settings({**ours, "api.url": kept.url}), claimed(home, "home", kept.url):
            mark_killed_runs(home, HOME)
            yield kept.url
        return
    from flows.engine.recording import recording

    folder = home / "prefect"
    database = database_url(home)
    here = {**ours, "home": prefect_home(home), "server.database.connection_url": database}
    with (
        temporary_settings(here),
        recording(folder, database) as url,
        temporary_settings({"api.url": url}),
        claimed(home, HOME),
    ):
        mark_killed_runs(home, HOME)
        yield url


def prefect_home(home: Path) -> Path:
    """The folder that Prefect keeps its own files in: the user's `PREFECT_HOME`, or `<home>/prefect`."""
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    return settings.home if "home" in settings.model_fields_set else home / "prefect"


def database_url(home: Path) -> str:
    """SQLAlchemy's URL of Prefect's database: what the user set, or an SQLite file in Prefect's folder."""
    from prefect.settings import get_current_settings

    database = get_current_settings().server.database
    if "connection_url" in database.model_fields_set and database.connection_url is not None:
        return database.connection_url.get_secret_value()
    return f"sqlite+aiosqlite:///{prefect_home(home) / 'prefect.db'}"


def server_status(home: Path) -> ServerStatus:
    """The server that `start_server` left over this home, if it lives. Reads two files; imports nothing large."""
    folder = home / "prefect"
    log = folder / "server.log"
    # The server holds this lock from its first instant to its last, however it ends: no process id to mistake.
    with suppress(OSError), (folder / "server.lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            with suppress(OSError, ValueError):
                note = json.loads((folder / "server.json").read_text())
                return ServerStatus(running=True, log=log, url=note["url"], pid=note["pid"])
            return ServerStatus(running=True, log=log)
    return ServerStatus(running=False, log=log)


def start_server(home: Path, port: int | None = None) -> str:
    """Start Prefect's server over this home, or find the one that runs; gives its pages' address when it answers.

    All services run: schedules are carried out, and runs whose process died are marked Crashed. It lives until
    `stop_server`; its log is `<home>/prefect/server.log`. `port` defaults to 4200, or a free one where that is
    taken. Raises InfrastructureError with the end of the log where it does not come up.
    """
    prepare_environment()
    from filelock import FileLock

    folder = home / "prefect"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "server.starting"), FileLock(folder / "schema.lock"):
        status = server_status(home)
        if status.url and _answers(status.url, HEALTH_SECONDS):
            return status.url.removesuffix("/api")
        if status.running:
            raise InfrastructureError(f"A server over {home} is running but does not answer; see {status.log}.")
        pid, url = _spawn(home, port or free_port())
        _wait_until_up(pid, url, home)
        (folder / "server.json").write_text(json.dumps({"url": url, "pid": pid}))
    from flows.engine.crashes import ensure_crash_automation

    ensure_crash_automation(url)
    return url.removesuffix("/api")


def stop_server(home: Path, force: bool = False) -> str:
    """Stop the server that `start_server` left; says in a sentence what was done, also where none runs.

    While commands record their runs with it, it is left alone and InfrastructureError names them; `force` stops it.
    """
    from flows.engine.crashes import users_of

    status = server_status(home)
    if not status.running:
        return f"No Prefect server is running over {home}."
    users = users_of(home, status.url) if status.url else []
    if users and not force:
        listed = ", ".join(str(pid) for pid in users)
        raise InfrastructureError(
            f"The server at {status.page} is in use by process {listed}; wait for it to end, or stop it by force."
        )
    if status.pid is None:
        raise InfrastructureError(f"The server over {home} is still starting; see {status.log}, then try again.")
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(status.pid, number)
        until = time.monotonic() + STOP_SECONDS
        while time.monotonic() < until:
            if not server_status(home).running:
                (home / "prefect" / "server.json").unlink(missing_ok=True)
                if status.pid in _spawned:
                    _spawned.pop(status.pid).wait()
                return f"The Prefect server at {status.page} is stopped."
            time.sleep(0.1)
    raise InfrastructureError(f"The server at {status.page} (process {status.pid}) could not be stopped.")


def _spawn(home: Path, port: int) -> tuple[int, str]:
    import prefect

    folder = home / "prefect"
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(prefect_home(home)),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url(home),
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_UI_API_URL": url,
        "PREFECT_UI_STATIC_DIRECTORY": str(folder / "pages"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT__SERVER_FINAL": "1",
    }
    # What the user may have set for clients is no business of the server's: it would look for itself there.
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(prefect.__module_path__.parent)]
    command += ["--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--header", f"Content-Security-Policy:{_PAGES_ASK}"]
    with (folder / "server.log").open("ab") as log, (folder / "server.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = subprocess.Popen(
            [*command, "--log-level", "warning"],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
    _spawned[server.pid] = server
    return server.pid, url


# The servers that this process started, so that it can take note of their end.
_spawned: dict[int, subprocess.Popen[bytes]] = {}


def _wait_until_up(pid: int, url: str, home: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while not _answers(url, 1.0):
        status = server_status(home)
        if not status.running or time.monotonic() > until:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            raise InfrastructureError(f"Prefect's server did not come up. The end of {status.log}:\n{tail(status.log)}")
        time.sleep(0.2)


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, for an error message."""
    with suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) or "(it is empty)"
    return "(there is none)"


def free_port(usual: int = USUAL_PORT) -> int:
    """The usual port of a server where it is free, else any free one, on the loopback interface."""
    for port in (usual, 0):
        with suppress(OSError), socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))
            return int(trial.getsockname()[1])
    raise InfrastructureError("No port is free on the loopback interface.")


def _answers(url: str, seconds: float) -> bool:
    """Whether one of our own servers answers; past any proxy, as it is on the loopback interface."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError), opener.open(f"{url}/health", timeout=seconds) as response:
        return bool(response.status == 200)
    return False


def _check_named_server(url: str) -> None:
    """Refuse early, and in words, where Prefect would retry and end in a traceback."""
    from prefect.client.orchestration import get_client
    from prefect.settings import temporary_settings

    with (
        temporary_settings({"client.max_retries": 0}),
        get_client(sync_client=True, httpx_settings={"timeout": HEALTH_SECONDS}) as client,
    ):
        failure = client.api_healthcheck()
    if failure is not None:
        reason = " ".join(str(failure).split()) or type(failure).__name__
        raise InfrastructureError(
            f"Prefect's server at {url} (PREFECT_API_URL, or the active Prefect profile) does not answer: {reason}. "
            "Start it, or unset PREFECT_API_URL (`prefect config unset PREFECT_API_URL` for a profile): trueup then "
            "records its runs without a server."
        )
