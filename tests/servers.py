"""Real servers that tests start, stop in the middle, and start again: MLflow, PostgreSQL, webhooks and mail."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


class Webhook:
    """A web server of one's own that notes what is posted to it, and answers as it is told to."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.status = 200
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.posted.append(json.loads(body))
                webhook.paths.append(self.path)
                self.send_response(webhook.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def titles(self) -> list[str]:
        """The titles of what came so far."""
        return [posted["title"] for posted in self.posted]

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class Mailbox:
    """A mail server of one's own that takes what it is given."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        mailbox = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 ready\r\n")
                while line := self.rfile.readline():
                    verb = line.strip().upper()
                    if verb == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        text = b"".join(iter(self.rfile.readline, b".\r\n"))
                        mailbox.mails.append(message_from_bytes(text, policy=policy.default))  # type: ignore[arg-type]
                    self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Take no more."""
        self._server.shutdown()
        self._server.server_close()
