"""Labels from a database: the one place in this room that knows SQLAlchemy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL, Row, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from tasks.config.labels import LABELS_URL
from tasks.errors import ConfigError, DataError, InfrastructureError

_ROWS = 20_000


def read_query(query: str, columns: Sequence[str], project: str, rows: int = _ROWS) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the result's rows, some at a time, with the values of `columns` in their order.

    ConfigError without an address or for a query that the database refuses, InfrastructureError where it cannot be
    reached, DataError where the result lacks a column. Whatever the query did is rolled back.
    """
    url = find_url(project)
    shown = url.render_as_string(hide_password=True)
    engine = _open(url, project)
    try:
        try:
            connection = engine.connect()
        except (SQLAlchemyError, OSError) as error:
            raise InfrastructureError(_unreachable(project, shown, error)) from None
        with connection:
            # A colon in the query is SQL's own, and names no parameter.
            statement = text(query.replace("\\:", ":").replace(":", "\\:"))
            try:
                result = connection.execution_options(stream_results=True, max_row_buffer=rows).execute(statement)
            except SQLAlchemyError as error:
                if isinstance(error, DBAPIError) and error.connection_invalidated:
                    raise InfrastructureError(_unreachable(project, shown, error)) from None
                raise ConfigError(
                    f"{project}: data.labels.query: the database at {shown} refuses it: {_first_line(error)}. Expected "
                    "a SELECT that this database knows, with the ids and the labels in its result."
                ) from None
            if not result.returns_rows:
                raise ConfigError(f"{project}: data.labels.query: expected a SELECT; this one returns no rows.")
            places = _find_columns(list(result.keys()), columns, project)
            try:
                for part in result.partitions(rows):
                    yield [_pick(row, places) for row in part]
            except SQLAlchemyError as error:
                raise InfrastructureError(_unreachable(project, shown, error)) from None
    finally:
        engine.dispose()


def find_url(project: str) -> URL:
    """The database's address; ConfigError where the environment has none, or none that can be read."""
    given = os.environ.get(LABELS_URL, "").strip()
    if not given:
        raise ConfigError(
            f"{project}: data.labels.query is asked of a database, and the environment variable {LABELS_URL} does not "
            "name it. Set it to an SQLAlchemy URL, such as postgresql+psycopg://user:password@host/name; addresses and "
            "secrets do not stand in the project file."
        )
    try:
        return make_url(given)
    except ArgumentError:
        raise ConfigError(
            f"{project}: {LABELS_URL}: expected an SQLAlchemy URL, such as sqlite:////folder/labels.db or "
            "postgresql+psycopg://user:password@host/name; what it holds is none."
        ) from None


def _open(url: URL, project: str) -> Engine:
    shown = url.render_as_string(hide_password=True)
    file = url.database if url.get_backend_name() == "sqlite" else None
    if file and not file.startswith(("file:", ":memory:")) and not Path(file).is_file():
        # SQLite would make an empty one.
        raise InfrastructureError(f"{project}: {LABELS_URL}: {shown}: no such file. Check the address.")
    try:
        return create_engine(url, poolclass=NullPool)
    except (SQLAlchemyError, ImportError) as error:
        raise ConfigError(
            f"{project}: {LABELS_URL}: there is no driver for {shown}: {_first_line(error)}. Install it beside trueup."
        ) from None


def _find_columns(there: Sequence[str], wanted: Sequence[str], project: str) -> list[int]:
    missing = next((name for name in wanted if name not in there), None)
    if missing is not None:
        raise DataError(
            f"{project}: data.labels.query: no column {missing!r} in its result; columns found: "
            f"{', '.join(map(repr, there[:40]))}. Name it so in the query (AS), or set data.labels.id, label or time."
        )
    return [there.index(name) for name in wanted]


def _pick(row: Row[Any], places: Sequence[int]) -> tuple[Any, ...]:
    return tuple(row[place] for place in places)


def _unreachable(project: str, shown: str, error: BaseException) -> str:
    return (
        f"{project}: the labels' database at {shown} cannot be read: {_first_line(error)}. Nothing was written; check "
        f"that it runs, and {LABELS_URL}."
    )


def _first_line(error: BaseException) -> str:
    told = getattr(error, "orig", None) or error
    lines = str(told).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")
