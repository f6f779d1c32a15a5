"""The connection to the ledger's database: SQLite in the home, or PostgreSQL by `TRUEUP_DATABASE_URL`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError, SQLAlchemyError

from tasks.errors import ConfigError, InfrastructureError
from tasks.ledger.schema import SCHEMA_VERSION, metadata, schema_version

_CREATION_LOCK = 0x7472_7565_7570  # PostgreSQL's advisory lock that creation takes; any number, the same for all
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Database:
    """An engine, its name for people, and its transactions. Safe to share between threads, not across a fork."""

    def __init__(self, url: URL, busy_seconds: float) -> None:
        self.url = url
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.shown = shown_url(url)
        self._busy_seconds = busy_seconds
        self.engine = self._make_engine()
        self._writer = self.engine.execution_options(trueup_write=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, over one state of the database."""
        with self.errors(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes: all of it or nothing. On SQLite it is the only one from its start on."""
        with self.errors(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the database raises into an InfrastructureError that names it."""
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            raise InfrastructureError(self._explain(error)) from None

    def prepare(self) -> None:
        """Create the tables where they are missing; refuse those of another schema. Any number may do so at once."""
        found = self._found_version()
        if found is None:
            if self.is_sqlite:
                self._create_sqlite()
            else:
                self._create_postgresql()
            found = self._found_version()
        if found != SCHEMA_VERSION:
            known = f"this trueup knows schema {SCHEMA_VERSION}"
            mend = "update trueup" if found is not None and found > SCHEMA_VERSION else "restore it from a backup"
            raise InfrastructureError(f"The ledger {self.shown} has schema {found}; {known}. To go on, {mend}.")

    def _found_version(self) -> int | None:
        if self.is_sqlite and not Path(str(self.url.database)).exists():
            return None
        with self.errors(), self.engine.connect() as connection:
            try:
                version: int | None = connection.scalar(select(func.max(schema_version.c.version)))
                return version
            except (OperationalError, ProgrammingError) as error:
                undefined_table = getattr(error.orig, "sqlstate", None) == "42P01"
                if undefined_table or "no such table" in str(error.orig):
                    return None
                raise

    def _create_sqlite(self) -> None:
        import fcntl

        path = Path(str(self.url.database))
        with self.errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Switching to WAL does not wait for others as a transaction does, so creation has a lock of its own.
            with path.with_name(path.name + ".creating").open("w") as guard:
                fcntl.flock(guard, fcntl.LOCK_EX)
                if self._found_version() is None:
                    with self.engine.connect() as connection:
                        # The driver's own connection: no transaction may be open for this.
                        connection.connection.dbapi_connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[union-attr]
                    with self.write() as connection:
                        self._create(connection)

    def _create_postgresql(self) -> None:
        with self.write() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(_CREATION_LOCK)))
            self._create(connection)

    @staticmethod
    def _create(connection: Connection) -> None:
        metadata.create_all(connection)
        if connection.scalar(select(func.max(schema_version.c.version))) is None:
            connection.execute(insert(schema_version).values(version=SCHEMA_VERSION))

    def _make_engine(self) -> Engine:
        if not self.is_sqlite:
            wait = {} if "connect_timeout" in self.url.query else {"connect_timeout": 10}
            try:
                # READ COMMITTED whatever the server's default: after waiting for the append lock the newest row
                # must be seen, not the one of the transaction's start.
                return create_engine(
                    self.url, pool_pre_ping=True, pool_size=2, isolation_level="READ COMMITTED", connect_args=wait
                )
            except ImportError:
                raise InfrastructureError(
                    f"The ledger {self.shown} needs the PostgreSQL driver: pip install 'trueup[postgres]'."
                ) from None
        engine = create_engine(self.url, connect_args={"timeout": self._busy_seconds, "check_same_thread": False})

        @event.listens_for(engine, "connect")
        def configure(connection: Any, record: object) -> None:
            connection.isolation_level = None  # the driver must not begin transactions of its own; `begin` does
            # FULL, not WAL's usual NORMAL: a decision that aliases and people have already followed may not vanish
            # in a power cut, and a turn writes so few rows that a sync each does not count.
            connection.execute("PRAGMA synchronous=FULL")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # A writer that began as a reader cannot wait for its turn, it fails: so it says at once that it writes.
            immediate = connection.get_execution_options().get("trueup_write", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

        return engine

    def _explain(self, error: BaseException) -> str:
        orig = getattr(error, "orig", None) or error
        lines = str(orig).strip().splitlines()
        detail = (lines[0] if lines else type(orig).__name__)[:300].rstrip(".")
        if self.url.password:
            detail = detail.replace(str(self.url.password), "***")
        if not self.is_sqlite:
            mend = "Check that the server runs and that TRUEUP_DATABASE_URL names it, its user and its database."
        elif "locked" in detail:
            mend = f"Another process has been writing for over {self._busy_seconds:g} s; wait for it or stop it."
        elif "not a database" in detail or "malformed" in detail:
            mend = "Restore it from a backup, or move it away to start a new one."
        else:
            mend = "Check that the folder (TRUEUP_HOME) can be written to and that the disk is not full."
        return f"The ledger {self.shown} failed: {detail}. {mend}"


def find_url(home: Path, url: str | None = None) -> URL:
    """The database that is meant: `url`, else `TRUEUP_DATABASE_URL`, else `ledger.db` in the home.

    ConfigError for what is neither a SQLite file nor PostgreSQL.
    """
    text = url if url is not None else os.environ.get("TRUEUP_DATABASE_URL", "").strip()
    if not text:
        return URL.create("sqlite", database=str((home / "ledger.db").resolve()))
    expected = "expected postgresql://user:password@host:5432/database, or sqlite:////absolute/path.db"
    try:
        parsed = make_url(re.sub(r"^postgres://", "postgresql://", text))
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise ConfigError(f"TRUEUP_DATABASE_URL: cannot be read as a database URL; {expected}.") from None
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database and Path(parsed.database).is_absolute():
        return URL.create("sqlite", database=parsed.database)
    raise ConfigError(f"TRUEUP_DATABASE_URL: {shown_url(parsed)} cannot hold a ledger; {expected}.")


def shown_url(url: URL) -> str:
    """A database as people may read it: without passwords."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    query = {k: "***" if "password" in k.lower() else v for k, v in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def check_project(project: str) -> str:
    """The project's name, which also names a lock file; ConfigError where it is no slug."""
    if not _SLUG.fullmatch(project):
        raise ConfigError(f"{project!r} is no project name; expected lower-case letters, digits, - and _.")
    return project
