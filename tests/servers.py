"""Real servers that tests start, stop in the middle, and start again: MLflow and PostgreSQL."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

_numbers = itertools.count()


class MlflowServer:
    """`mlflow server` as a team would run it: a database of its own, artifacts only through the server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it where it is not running; returns when it answers."""
        if self._process is not None:
            return
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
        command += ["--port", str(self._port), "--backend-store-uri", f"sqlite:///{self._folder / 'server.db'}"]
        log = self._folder / "log"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*command, "--artifacts-destination", str(self._folder / "artifacts")],
                cwd=self._folder,
                env={k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
                | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self._process.poll() is None, log.read_text()
            with suppress(OSError), urllib.request.urlopen(f"{self.address}/health", timeout=2):
                return
            time.sleep(0.2)
        pytest.fail(log.read_text())

    def stop(self) -> None:
        """End it with all that it started."""
        if self._process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self._process = None


class PostgresServer:
    """A PostgreSQL server on a socket in a folder of its own.

    The folder is not one of pytest's: every session closes those to other users, and as root the server is one.
    """

    def __init__(self) -> None:
        pgserver = pytest.importorskip("pgserver")
        self._server: Any = pgserver.get_server(tempfile.mkdtemp(prefix="trueup-postgres-"), cleanup_mode="delete")
        self.running = True

    def make_database(self) -> str:
        """The URL of a new, empty database."""
        import psycopg

        name = f"ledger_{next(_numbers)}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return str(self._server.get_uri()).replace("/postgres?", f"/{name}?")

    def start(self) -> None:
        """Start it again."""
        if not self.running:
            self._server.ensure_postgres_running()
            self.running = True

    def stop(self) -> None:
        """Stop it at once, whoever is connected."""
        from pgserver import pg_ctl

        if self.running:
            pg_ctl(["-w", "-m", "fast", "stop"], pgdata=self._server.pgdata, user=self._server.system_user)
            self.running = False

    def close(self) -> None:
        """Stop it for good and remove its folder."""
        self.start()
        self._server.cleanup()
