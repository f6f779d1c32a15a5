"""The ledger's tables. Any text can be stored, every time is UTC text, and nothing assumes a kind of model."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Index, Integer, MetaData, String, Table, Text, UniqueConstraint
from sqlalchemy.types import TypeDecorator

SCHEMA_VERSION = 1


class AnyText(TypeDecorator[str]):
    """Text that comes back as it went in, on every database.

    File names and category values may hold NUL, which PostgreSQL refuses, or bytes that are not UTF-8 (lone
    surrogates), which both refuse. Such text is stored as its JSON string.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as it is stored."""
        if value is None or not (value.startswith('"') or "\0" in value or _has_surrogates(value)):
            return value
        return json.dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """The text as it was given."""
        if value is None:
            return None
        if not (isinstance(value, str) and value.startswith('"')):
            return str(value)
        try:
            return str(json.loads(value))
        except ValueError:  # edited by hand; `verify` reports it
            return str(value)


def write_time(value: datetime) -> str:
    """A moment in UTC with microseconds, as ISO 8601 text: sorts, hashes and compares alike on every database.

    ValueError for a moment without a time zone.
    """
    if value.tzinfo is None:
        raise ValueError(f"the ledger takes no time without a time zone: {value.isoformat()}")
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _has_surrogates(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))

entries = Table(
    "entries",
    metadata,
    Column("project", AnyText, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("step", AnyText, nullable=False),
    Column("key", AnyText, nullable=False),
    Column("subject", AnyText),
    Column("outcome", AnyText, nullable=False),
    Column("reason", AnyText, nullable=False),
    Column("actor", AnyText, nullable=False),
    Column("as_of", String(40)),
    Column("at", String(40), nullable=False),
    Column("payload", AnyText, nullable=False),
    Column("code_version", AnyText, nullable=False),
    Column("previous_hash", AnyText, nullable=False),
    Column("hash", AnyText, nullable=False),
    UniqueConstraint("project", "seq", name="entries_seq"),
    Index("entries_step", "project", "step", "seq"),
    Index("entries_key", "project", "step", "key"),
)

files = Table(
    "files",
    metadata,
    Column("project", AnyText, nullable=False),
    # A path can be longer than PostgreSQL's index rows: the key is its hash.
    Column("path_hash", String(64), nullable=False),
    Column("path", AnyText, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("payload", AnyText, nullable=False),
    UniqueConstraint("project", "path_hash", name="files_path"),
)

locks = Table(
    "locks",
    metadata,
    Column("project", AnyText, primary_key=True),
    Column("holder", AnyText, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("host", AnyText, nullable=False),
    Column("since", String(40), nullable=False),
)
