"""One turn of a project at a time, across processes. The operating system or the database server lets go of the
lock when its holder dies, however it dies; a row beside it says who holds it."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, delete, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from tasks.errors import InfrastructureError
from tasks.ledger.database import Database
from tasks.ledger.schema import locks, write_time

_POLL_SECONDS = 0.1
# `lock_holder` touches a file lock for an instant: even who does not want to wait tries for longer than that.
_LEAST_WAIT_SECONDS = 0.2
_TELL_AFTER_SECONDS = 1.0
_progress = logging.getLogger("trueup.progress")


@dataclass(frozen=True)
class LockHolder:
    """Who holds a project's lock: a name, a process on a host, since when (UTC)."""

    holder: str
    pid: int
    host: str
    since: datetime

    @property
    def sentence(self) -> str:
        """The holder for a person."""
        return f"{self.holder} (process {self.pid} on {self.host}) since {self.since.isoformat(timespec='seconds')}"


@dataclass
class _Hold:
    """A lock that is held, as the code that runs under it sees it."""

    key: tuple[str, str]  # database, project
    lock: ProjectLock
    pid: int = field(default_factory=os.getpid)
    active: bool = True


# Nested use is found through the context, so that another thread of the same process still has to wait.
_held: ContextVar[tuple[_Hold, ...]] = ContextVar("held_locks", default=())


class ProjectLock(Protocol):
    """The exclusive lock of one project, as one process sees it."""

    def try_take(self) -> bool:
        """Take it without waiting; False where another holds it."""

    def let_go(self) -> None:
        """Give it back, and whatever was opened for it."""

    def is_held(self) -> bool:
        """Whether anyone holds it now."""

    def is_lost(self) -> bool:
        """Whether it went although its holder lives and did not let go."""


class FileLock:
    """A lock on a file beside a SQLite ledger."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def try_take(self) -> bool:
        """Lock the file, made where it is missing."""
        import fcntl

        if self._descriptor is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise InfrastructureError(
                    f"The lock {self._path} cannot be opened: {error.strerror}. "
                    "Check that the folder can be written to."
                ) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise InfrastructureError(
                f"The lock {self._path} cannot be taken: {error.strerror}. Put TRUEUP_HOME on a disk that knows "
                "file locks, or keep the ledger in PostgreSQL (TRUEUP_DATABASE_URL)."
            ) from None
        return True

    def let_go(self) -> None:
        """Unlock and close the file."""
        import fcntl

        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # also where a forked child still has the file open
            os.close(self._descriptor)
            self._descriptor = None

    def is_held(self) -> bool:
        """Whether the file is locked exclusively; looks that are shared do not disturb each other."""
        import fcntl

        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def is_lost(self) -> bool:
        """Never: the operating system keeps it as long as the process lives."""
        return False


class AdvisoryLock:
    """PostgreSQL's advisory lock, held by a connection of its own and gone with it."""

    def __init__(self, database: Database, project: str) -> None:
        self._database = database
        digest = hashlib.sha256(f"trueup project lock {project}".encode()).digest()
        self._number = int.from_bytes(digest[:8], "big", signed=True)
        self._connection: Connection | None = None

    def try_take(self) -> bool:
        """Take the lock in a session that lasts as long as the lock, or as the wait for it."""
        with self._database.errors():
            if self._connection is None:
                connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                connection.detach()  # closing it must end the session, not hand it back to the pool
                self._connection = connection
                # A machine that vanished without a word loses its lock after about a minute.
                for setting in ("idle = 30", "interval = 10", "count = 3"):
                    connection.execute(text(f"SET tcp_keepalives_{setting}"))
            return bool(self._connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._number}))

    def let_go(self) -> None:
        """End the session, which lets go of the lock at once."""
        if self._connection is None:
            return
        try:
            self._connection.scalar(text("SELECT pg_advisory_unlock(:key)"), {"key": self._number})
            self._connection.close()
        except SQLAlchemyError:  # the session has ended already, and the lock with it
            self._connection.invalidate()
        self._connection = None

    def is_held(self) -> bool:
        """Whether a session of this database holds the lock."""
        number = self._number % 2**64
        query = text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
            "AND classid::bigint = :high AND objid::bigint = :low "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        with self._database.read() as connection:
            return bool(connection.scalar(query, {"high": number >> 32, "low": number % 2**32}))

    def is_lost(self) -> bool:
        """Whether the session that holds it has ended, as when the server was restarted."""
        try:
            return self._connection is None or self._connection.scalar(text("SELECT 1")) != 1
        except SQLAlchemyError:
            return True


@contextmanager
def hold_lock(database: Database, project: str, holder: str, wait_seconds: float, at: datetime) -> Iterator[None]:
    """Hold a project's lock; nested use by the same thread of control goes through.

    InfrastructureError, saying who holds it since when, where it is not free within `wait_seconds`.
    """
    key = (str(database.url), project)
    if any(h.active and h.key == key and h.pid == os.getpid() for h in _held.get()):
        yield
        return
    row = {"project": project, "holder": holder, "pid": os.getpid(), "host": platform.node(), "since": write_time(at)}
    lock = _make_lock(database, project)
    hold = _Hold(key, lock)
    try:
        _take(database, lock, project, wait_seconds)
        with database.write() as connection:
            connection.execute(delete(locks).where(locks.c.project == project))
            connection.execute(insert(locks).values(row))
        token = _held.set((*_held.get(), hold))
        try:
            yield
        finally:
            hold.active = False
            _held.reset(token)
    finally:
        lock.let_go()


def check_lock(database: Database, project: str) -> None:
    """InfrastructureError where this thread of control holds the project's lock and has lost it.

    Asked within a transaction that writes: other connections come back by themselves when a server does, and would
    write beside the turn that took the lock since.
    """
    key = (str(database.url), project)
    for hold in _held.get():
        if hold.active and hold.key == key and hold.pid == os.getpid() and hold.lock.is_lost():
            raise InfrastructureError(
                f"The ledger {database.shown} ended the session that held the lock of {project!r}, as a restart of the "
                "server does. Another turn may have gone on since, so nothing more was written; run again."
            )


def find_holder(database: Database, project: str) -> LockHolder | None:
    """Who holds the project's lock now; None where it is free."""
    if not _make_lock(database, project).is_held():
        return None
    with database.read() as connection:
        row = connection.execute(select(locks).where(locks.c.project == project)).mappings().one_or_none()
    if row is None:
        return None
    return LockHolder(row["holder"], row["pid"], row["host"], datetime.fromisoformat(row["since"]))


def _make_lock(database: Database, project: str) -> ProjectLock:
    if database.is_sqlite:
        return FileLock(Path(str(database.url.database)).parent / "locks" / f"{project}.lock")
    return AdvisoryLock(database, project)


def _take(database: Database, lock: ProjectLock, project: str, wait_seconds: float) -> None:
    began = time.monotonic()
    deadline = began + max(wait_seconds, _LEAST_WAIT_SECONDS)
    told = False
    while not lock.try_take():
        if not told and time.monotonic() - began > _TELL_AFTER_SECONDS:
            told = True
            who = find_holder(database, project)
            _progress.info("waiting for %s", who.sentence if who else "another process")
        left = deadline - time.monotonic()
        if left <= 0:
            who = find_holder(database, project)
            raise InfrastructureError(
                f"Project {project!r} is being worked on by {who.sentence if who else 'another process'}; "
                f"waited {wait_seconds:g} s. Try again when it is done, or stop it: its lock goes with its process."
            )
        time.sleep(min(_POLL_SECONDS, left))
