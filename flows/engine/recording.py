"""Prefect's API inside the process that runs a flow: how runs are recorded where there is no server.

Prefect's own answer is a second process that takes some ten CPU seconds and loses task runs at exit. Here the few
routes that a run needs are served from a thread, over the same database that a server started later will show.
There is nothing to find, to share or to leave behind: the API lives and dies with its process, and two processes
meet in the database, which is in WAL mode. Nothing is scheduled and no automation runs; that is a server's work.

Task runs reach Prefect as events, and its recorder keeps them in memory for a while. So events go into a queue of
our own, are written in batches, and the last batch is written before the API is closed. Our own events are posted, and
written at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import queue
import socket
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.engine.environment import uncollected_imports
from tasks.errors import InfrastructureError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

logger = logging.getLogger(__name__)

WRITE_EVERY = 2.0
BATCH = 100
LAST_ATTEMPTS = 6


class Recorder:
    """The API of this process: serves it, and writes the task runs that it hears of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Spelt out, since asyncio turns Nagle's algorithm off only where the protocol is named: 40 ms a request.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/api"
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting: list[Any] = []
        self._writing = asyncio.Lock()
        self._up = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serve from a thread of its own; returns when requests are answered."""
        # The thread takes this one's context along, and with it the settings that name the database.
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(asyncio.run, self._serve()), name="trueup-prefect-api", daemon=True
        )
        self._thread.start()
        self._up.wait()
        if self._failure is not None:
            reason = (str(self._failure).strip().splitlines() or [type(self._failure).__name__])[0]
            raise InfrastructureError(
                f"Prefect's database in {self._folder} could not be opened: {reason}. Check that the folder can be "
                "written to and that the disk is not full."
            ) from self._failure
        from prefect.events.worker import EventsWorker, ProcessPoolForwardingEventsClient

        EventsWorker.set_client_override(ProcessPoolForwardingEventsClient, event_queue=self._events)

    def flush(self) -> None:
        """Return when every task run and log line that was reported so far is in the database."""
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        def drain() -> None:
            EventsWorker.drain_all(timeout=60, at_exit=False)
            APILogWorker.drain_all(timeout=60, at_exit=False)

        # In a thread without an event loop, so that the calls wait also where the caller has one (a notebook).
        with ThreadPoolExecutor(1) as pool:
            pool.submit(contextvars.copy_context().run, drain).result()
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._write(attempts=LAST_ATTEMPTS), self._loop).result()

    def stop(self) -> None:
        """Write what is left and close the API."""
        from prefect.events.worker import EventsWorker

        try:
            self.flush()
        finally:
            EventsWorker.set_client_override(None)
            if self._server is not None and self._thread is not None:
                self._server.should_exit = True
                self._thread.join(timeout=10)
            self._socket.close()

    async def _serve(self) -> None:
        try:
            with uncollected_imports():
                import uvicorn

                application = _application()
            await _ensure_database(self._folder)
            config = uvicorn.Config(
                application, lifespan="off", ws="none", log_config=None, access_log=False, log_level="error"
            )
            self._server = uvicorn.Server(config)
            self._socket.listen(128)
            self._loop = asyncio.get_running_loop()
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits for it
            self._failure = error
            return
        finally:
            self._up.set()
        writing = asyncio.create_task(self._write_regularly())
        await self._server.serve(sockets=[self._socket])
        writing.cancel()

    async def _write_regularly(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY)
            await self._write(attempts=1)

    async def _write(self, attempts: int) -> None:
        from prefect.server.events.schemas.events import ReceivedEvent
        from prefect.server.services.task_run_recorder import record_bulk_task_run_events

        async with self._writing:
            while not self._events.empty():
                _, event = self._events.get()
                if event.event.startswith("prefect.task-run.") and "prefect.orchestration" in event.resource:
                    self._waiting.append(ReceivedEvent(**event.model_dump()))
            failed = 0
            while self._waiting and failed < attempts:
                try:
                    await record_bulk_task_run_events(self._waiting[:BATCH])
                except Exception as error:  # noqa: BLE001 - the work goes on, whatever the record of it says
                    failed += 1
                    if failed == LAST_ATTEMPTS:
                        logger.warning("%d states of task runs are not recorded: %s", len(self._waiting), error)
                    await asyncio.sleep(0.2 * failed)
                else:
                    del self._waiting[:BATCH]


def _application() -> FastAPI:
    """The routes that a flow run asks for. Prefect's whole application costs .6 CPU seconds more and has services."""
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, Response
    from prefect.server.api import admin, artifacts, csrf_token, flow_runs, flows, logs, root, task_runs
    from prefect.server.exceptions import ObjectNotFoundError
    from sqlalchemy.exc import DBAPIError

    async def not_found(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"exception_message": str(error)}, status_code=404)

    async def try_again(_: Request, error: Exception) -> JSONResponse:
        # Another process is writing; Prefect's client repeats a request that was answered so.
        return JSONResponse({"exception_message": f"Service unavailable: {error}"}, status_code=503)

    api = FastAPI(exception_handlers={ObjectNotFoundError: not_found, DBAPIError: try_again})
    for module in (flows, flow_runs, admin, csrf_token, artifacts, logs, task_runs, root):
        api.include_router(module.router)

    async def keep_events(request: Request) -> Response:
        await _write_events(await request.body())
        return Response(status_code=204)

    # A plain route: Prefect's own one for this brings the message bus of a server along.
    api.add_route("/events", keep_events, methods=["POST"])

    @api.get("/health")
    async def health() -> bool:
        return True

    application = FastAPI()
    application.mount("/api", api)
    return application


async def _write_events(posted: bytes) -> None:
    """Put posted events into the database, where a server started later shows them; those that are there stay."""
    from prefect.server.database import provide_database_interface
    from prefect.server.events.schemas.events import Event
    from prefect.server.events.storage.database import write_events
    from pydantic import TypeAdapter

    database = provide_database_interface()
    received = [event.receive() for event in TypeAdapter(list[Event]).validate_json(posted)]
    async with database.session_context(begin_transaction=True) as session:
        await write_events(session, [e for e in received if await session.get(database.Event, e.id) is None])


async def _ensure_database(folder: Path) -> None:
    """Bring the database to this Prefect's schema, one process at a time; nothing to do where it was done before.

    Alembic needs half a CPU second to find out that a database is up to date, so what it left is noted in a file.
    """
    import prefect
    from filelock import FileLock
    from prefect.server.database import dependencies

    # Prefect keeps the first database of a process for good; this call's settings may name another one.
    dependencies.set_database_config(None)
    dependencies.set_query_components(None)
    dependencies.set_orm_config(None)
    database = dependencies.provide_database_interface()
    noted = folder / "schema.json"
    with FileLock(folder / "schema.lock"):
        path = database.database_config.connection_url.partition(":///")[2]
        revision = _revision(path)
        if revision is not None and _read(noted) == {"prefect": prefect.__version__, "revision": revision}:
            return
        await database.create_db()
        noted.write_text(json.dumps({"prefect": prefect.__version__, "revision": _revision(path)}))


def _revision(path: str) -> str | None:
    """The schema's revision in an SQLite file; None where there is none, or the database is no such file."""
    if not path or not Path(path).is_file():
        return None
    try:
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


_turn = threading.Condition()
_open: list[tuple[Path, str, Recorder]] = []


@contextmanager
def recording(folder: Path, database: str) -> Iterator[str]:
    """Serve Prefect's API from this process for the duration; gives its address.

    `folder` holds the notes on the database, `database` is its SQLAlchemy URL. Calls that overlap in one process
    share one API where they mean the same database; else the later one waits, as Prefect's events have one way out.
    """
    key = (folder, database)
    with _turn:
        _turn.wait_for(lambda: not _open or _open[0][:2] == key)
        if _open:
            recorder = _open[0][2]
        else:
            folder.mkdir(parents=True, exist_ok=True)
            recorder = Recorder(folder)
            recorder.start()
        _open.append((folder, database, recorder))
    try:
        yield recorder.url
    finally:
        with _turn:
            _open.pop()
            try:
                if _open:
                    recorder.flush()
                else:
                    recorder.stop()
            finally:
                _turn.notify_all()
