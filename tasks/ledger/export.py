"""A project's rows as lines of JSON, the same from every database, and back. Their hashes go along: the chain holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from tasks.errors import ConfigError, InfrastructureError
from tasks.ledger.chain import entries_of, find_head, take_turn
from tasks.ledger.database import Database, check_project, find_url
from tasks.ledger.entries import Head, check_chain
from tasks.ledger.schema import entries

_COLUMNS = tuple(column.name for column in entries.columns)
_AT_ONCE = 500


def locate_ledger(home: Path) -> Path | None:
    """The SQLite file that a home's ledger is, or would be; None where it is on a server. Nothing is made."""
    url = find_url(home)
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def list_projects(database: Database) -> tuple[str, ...]:
    """The names of all projects that have entries, sorted."""
    with database.read() as connection:
        return tuple(sorted(connection.scalars(select(entries.c.project).distinct())))


def export_rows(database: Database, project: str) -> Iterator[str]:
    """A project's rows in order, one line of JSON each, without a line's end; over one state of the database."""
    query = entries_of(project).order_by(entries.c.seq)
    with database.read() as connection:
        for row in connection.execution_options(yield_per=_AT_ONCE).execute(query).mappings():
            yield json.dumps({name: row[name] for name in _COLUMNS})


def import_rows(database: Database, project: str, lines: Iterable[str]) -> int:
    """Write exported rows as they were, in one transaction; returns how many were written.

    The project must have no rows there. One that has exactly these is left as it is (0): an import that was cut off
    may be asked for again. ConfigError where it has others, InfrastructureError where the lines' chain is broken.
    """
    check_project(project)
    with database.write() as connection:
        take_turn(connection, project)
        there = find_head(connection, project)
        newest: Head | None = None
        pending: list[Mapping[str, Any]] = []

        def walk() -> Iterator[Mapping[str, Any]]:
            nonlocal newest
            for number, line in enumerate(lines, start=1):
                row = _read_line(project, number, line)
                yield row
                newest = Head(row["seq"], row["hash"])
                if there is None:
                    pending.append(row)
                    if len(pending) == _AT_ONCE:
                        _flush(connection, pending)

        found = check_chain(walk())
        if not found.holds:
            raise InfrastructureError(
                f"The rows of project {project!r} are not those that were written: {found.sentence}"
            )
        if there is not None:
            if there == newest:
                return 0
            raise ConfigError(
                f"The ledger {database.shown} has {there.seq} rows of project {project!r} already, and they are not "
                "the backup's. Rows can only be restored where the project has none: name an empty database, or move "
                "the project's rows away."
            )
        _flush(connection, pending)
        return found.rows


def _flush(connection: Connection, rows: list[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(insert(entries), [dict(row) for row in rows])
        rows.clear()


def _read_line(project: str, number: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
        if set(row) == set(_COLUMNS) and row["project"] == project:
            return dict(row)
    except (TypeError, ValueError):
        pass
    raise InfrastructureError(f"Line {number} of the rows of project {project!r} is no row of a ledger.")
