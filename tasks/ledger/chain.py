"""Reading and appending entries within a transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select

from tasks.ledger.database import check_project
from tasks.ledger.entries import NO_ENTRY, Entry, Head, hash_row, read_entry
from tasks.ledger.schema import entries, write_time
from tasks.results import to_json
from tasks.stage import crash_point

LONGEST_KEY = 255  # what every database's index takes; keys are hashes


def take_turn(connection: Connection, project: str) -> None:
    """Let one writer of a project in at a time, until the transaction ends."""
    if connection.dialect.name == "sqlite":
        return  # its write transactions follow one another in any case
    number = int.from_bytes(hashlib.sha256(f"trueup append {project}".encode()).digest()[:8], "big", signed=True)
    connection.execute(select(func.pg_advisory_xact_lock(number)))


def entries_of(project: str, step: str | None = None) -> Select[Any]:
    """The query for a project's entries, of one step where it is given."""
    query = select(entries).where(entries.c.project == check_project(project))
    return query if step is None else query.where(entries.c.step == step)


def find_newest(connection: Connection, query: Select[Any]) -> Entry | None:
    """The newest entry of a query; None where it has none."""
    row = connection.execute(query.order_by(entries.c.seq.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else read_entry(dict(row))


def find_head(connection: Connection, project: str) -> Head | None:
    """The newest entry's number and hash; None where there is none."""
    query = select(entries.c.seq, entries.c.hash).where(entries.c.project == project)
    row = connection.execute(query.order_by(entries.c.seq.desc()).limit(1)).one_or_none()
    return None if row is None else Head(row.seq, row.hash)


def append_entry(
    connection: Connection,
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
    payload: Mapping[str, Any],
    code_version: str,
) -> Entry:
    """Write the project's next entry, hashed over the one before. The caller has taken its turn."""
    if len(key) > LONGEST_KEY:
        raise ValueError(f"a key has at most {LONGEST_KEY} characters; hash the step's inputs")
    head = find_head(connection, project)
    row = {
        "project": project,
        "seq": (head.seq if head else 0) + 1,
        "step": step,
        "key": key,
        "subject": subject,
        "outcome": outcome,
        "reason": reason,
        "actor": actor,
        "as_of": None if as_of is None else write_time(as_of),
        "at": write_time(at),
        "payload": to_json(payload),
        "code_version": code_version,
        "previous_hash": head.hash if head else NO_ENTRY,
    }
    row["hash"] = hash_row(row)
    connection.execute(insert(entries).values(row))
    crash_point("in-ledger")
    return read_entry(row)
