"""The ledger: the append-only record of every step and decision, and the truth about who is champion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Select

from tasks.errors import InfrastructureError
from tasks.ledger import lock as locking
from tasks.ledger.chain import append_entry, entries_of, find_head, find_newest, take_turn
from tasks.ledger.database import Database, check_project, find_url
from tasks.ledger.entries import Entry, Head, KnownFile, Verification, check_chain, read_entry
from tasks.ledger.export import export_rows, import_rows, list_projects
from tasks.ledger.lock import LockHolder
from tasks.ledger.releases import (
    RELEASE_STEP,
    Action,
    Champion,
    ChampionChanged,
    Release,
    follow,
    read_release,
    write_release,
)
from tasks.ledger.scans import read_files, write_files
from tasks.ledger.schema import entries


class Ledger:
    """One home's record of all its projects. A context manager; may be shared between threads.

    Every method raises InfrastructureError where the database cannot be reached, read or written, and ConfigError
    for a project name that is none.
    """

    def __init__(self, database: Database, code_version: str | None) -> None:
        self._database = database
        self._code_version = code_version

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._database.engine.dispose()

    # ------------------------------------------------------------ entries

    def append(
        self,
        project: str,
        *,
        step: str,
        key: str,
        subject: str | None,
        outcome: str,
        reason: str,
        actor: str,
        as_of: datetime | None,
        at: datetime,
        payload: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Write one entry under the project's next number. Any number of processes may append at once.

        `at` and `as_of` need a time zone. Non-finite numbers in the payload are stored as null.
        """
        check_project(project)
        if step == RELEASE_STEP:
            raise ValueError("a release is decided by `release`, which checks the champion")
        with self._database.write() as connection:
            take_turn(connection, project)
            locking.check_lock(self._database, project)
            return append_entry(
                connection,
                project,
                step=step,
                key=key,
                subject=subject,
                outcome=outcome,
                reason=reason,
                actor=actor,
                as_of=as_of,
                at=at,
                payload=payload or {},
                code_version=self._code(),
            )

    def find(self, project: str, step: str, key: str) -> Entry | None:
        """The newest entry of a step with this key; None where the step was not done on these inputs."""
        return self._newest(entries_of(project, step).where(entries.c.key == key))

    def latest(self, project: str, step: str | None = None, subject: str | None = None) -> Entry | None:
        """The newest entry, of one step and about one subject where these are given."""
        query = entries_of(project, step)
        return self._newest(query if subject is None else query.where(entries.c.subject == subject))

    def entries(self, project: str, step: str | None = None, limit: int | None = None) -> tuple[Entry, ...]:
        """Entries in the order they were written; with `limit` only the newest so many."""
        query = entries_of(project, step).order_by(entries.c.seq.desc()).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return tuple(read_entry(dict(row)) for row in reversed(rows))

    def by_subject(self, project: str, step: str) -> dict[str, Entry]:
        """The newest entry of a step about each subject, in one query."""
        return {e.subject: e for e in self.entries(project, step) if e.subject is not None}

    def head(self, project: str) -> Head | None:
        """The newest entry's number and hash, to be noted outside the database; None where there is none."""
        with self._database.read() as connection:
            return find_head(connection, check_project(project))

    def has(self, project: str, head: Head) -> bool:
        """Whether a head that was noted elsewhere is one of the rows: its number has its hash."""
        query = entries_of(project).where(entries.c.seq == head.seq, entries.c.hash == head.hash)
        with self._database.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def verify(self, project: str, noted: Head | None = None) -> Verification:
        """Walk the chain of hashes and name the first broken row. `noted` is a head kept elsewhere."""
        with self._database.read() as connection:
            rows = connection.execute(entries_of(project).order_by(entries.c.seq)).mappings()
            return check_chain((dict(row) for row in rows), noted)

    # ------------------------------------------------------------ copies

    @property
    def file(self) -> Path | None:
        """The SQLite file that it is; None on a server."""
        return Path(str(self._database.url.database)) if self._database.is_sqlite else None

    @property
    def shown(self) -> str:
        """The database as people may read it: without a password."""
        return self._database.shown

    def projects(self) -> tuple[str, ...]:
        """The names of all projects that have entries, sorted."""
        return list_projects(self._database)

    def export(self, project: str) -> Iterator[str]:
        """A project's rows as lines of JSON; see `export_rows`."""
        return export_rows(self._database, project)

    def restore(self, project: str, lines: Iterable[str]) -> int:
        """Write exported rows as they were, where the project has none; see `import_rows`."""
        return import_rows(self._database, project, lines)

    # ------------------------------------------------------------ releases

    def champion(self, project: str) -> Champion | None:
        """The version that scores now; None where nothing was released yet."""
        return self.standing(project).champion

    def standing(self, project: str) -> Release:
        """Champion, previous and challenger, from the newest release entry."""
        entry = self.latest(project, RELEASE_STEP)
        return Release() if entry is None else read_release(entry)

    def release(
        self,
        project: str,
        *,
        action: Action,
        version: int,
        expected_champion: int | None,
        key: str,
        reason: str,
        actor: str,
        as_of: datetime | None,
        at: datetime,
        payload: Mapping[str, Any] | None = None,
    ) -> Entry | ChampionChanged:
        """Decide about a version, in one transaction with the check that the champion is still `expected_champion`.

        Where it is another by now, nothing is written and ChampionChanged is returned. A key that was already
        decided in the same way answers with that entry, so that a turn that was cut off may ask again.
        """
        same = entries_of(project, RELEASE_STEP).where(
            entries.c.key == key, entries.c.subject == str(version), entries.c.outcome == action
        )
        with self._database.write() as connection:
            take_turn(connection, project)
            locking.check_lock(self._database, project)
            decided = find_newest(connection, same)
            if decided is not None:
                return decided
            newest = find_newest(connection, entries_of(project, RELEASE_STEP))
            state = Release() if newest is None else read_release(newest)
            found = state.champion.version if state.champion else None
            if found != expected_champion:
                return ChampionChanged(version, expected_champion, found)
            head = find_head(connection, project)
            after = follow(state, action, version, (head.seq if head else 0) + 1, at)
            return append_entry(
                connection,
                project,
                step=RELEASE_STEP,
                key=key,
                subject=str(version),
                outcome=action,
                reason=reason,
                actor=actor,
                as_of=as_of,
                at=at,
                payload={**(payload or {}), "release": write_release(after)},
                code_version=self._code(),
            )

    # ------------------------------------------------------------ the scan cache

    def known_files(self, project: str) -> dict[str, KnownFile]:
        """What earlier scans found, by path."""
        with self._database.read() as connection:
            return read_files(connection, check_project(project))

    def remember_files(
        self, project: str, found: Mapping[str, tuple[int, int, str]], forget: Iterable[str] = ()
    ) -> None:
        """Store (size, mtime_ns, JSON text) per path, over what was known of it; drop the paths in `forget`."""
        check_project(project)
        with self._database.write() as connection:
            take_turn(connection, project)
            write_files(connection, project, found, forget)

    # ------------------------------------------------------------ the lock

    def lock(self, project: str, *, holder: str, wait_seconds: float, at: datetime) -> AbstractContextManager[None]:
        """Hold the project alone, across processes and hosts; nested use by the same thread of control goes through.

        `holder` and `at` tell others who holds it since when. The lock goes with its process, however that ends.
        InfrastructureError, naming the holder, where it is not free within `wait_seconds`.
        """
        check_project(project)
        return locking.hold_lock(self._database, project, holder, wait_seconds, at)

    def lock_holder(self, project: str) -> LockHolder | None:
        """Who holds the project's lock now; None where it is free."""
        return locking.find_holder(self._database, check_project(project))

    def _newest(self, query: Select[Any]) -> Entry | None:
        with self._database.read() as connection:
            return find_newest(connection, query)

    def _code(self) -> str:
        if self._code_version is None:
            from importlib.metadata import PackageNotFoundError, version

            try:
                self._code_version = version("trueup")
            except PackageNotFoundError:
                self._code_version = "not installed"
        return self._code_version


def ledger_exists(home: Path, url: str | None = None) -> bool:
    """Whether there is something to open: a SQLite file, or a server that may hold it. Nothing is made."""
    found = find_url(home, url)
    return found.get_backend_name() != "sqlite" or Path(str(found.database)).exists()


def open_ledger(
    home: Path, url: str | None = None, *, code_version: str | None = None, busy_seconds: float = 30.0
) -> Ledger:
    """Open the ledger of a home, made where it is missing: `url`, else `TRUEUP_DATABASE_URL`, else SQLite there.

    `code_version` is recorded in every entry; by default that of the installed package. A SQLite ledger that
    another process keeps locked is waited for for `busy_seconds`. ConfigError for a URL that is none,
    InfrastructureError for a database that cannot be reached or has a newer schema.
    """
    database = Database(find_url(home, url), busy_seconds)
    try:
        database.prepare()
    except InfrastructureError:
        database.engine.dispose()
        raise
    return Ledger(database, code_version)
