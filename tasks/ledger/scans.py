"""The scan cache: what was found in a file when it had a certain size and time of change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete, insert, select

from tasks.ledger.entries import KnownFile
from tasks.ledger.schema import files

_AT_ONCE = 500  # values in one IN (...): every database takes that many


def read_files(connection: Connection, project: str) -> dict[str, KnownFile]:
    """What is known of a project's files, by path."""
    rows = connection.execute(select(files).where(files.c.project == project)).all()
    return {row.path: KnownFile(row.size, row.mtime_ns, row.payload) for row in rows}


def write_files(
    connection: Connection, project: str, found: Mapping[str, tuple[int, int, str]], forget: Iterable[str]
) -> None:
    """Put `found` in the place of what was known of these paths, and drop the paths in `forget`."""
    gone = sorted(_hash_path(path) for path in (*found, *forget))
    for start in range(0, len(gone), _AT_ONCE):
        part = gone[start : start + _AT_ONCE]
        connection.execute(delete(files).where(files.c.project == project, files.c.path_hash.in_(part)))
    rows = [
        {"project": project, "path_hash": _hash_path(p), "path": p, "size": size, "mtime_ns": mtime, "payload": payload}
        for p, (size, mtime, payload) in found.items()
    ]
    if rows:
        connection.execute(insert(files), rows)


def _hash_path(path: str) -> str:
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()
