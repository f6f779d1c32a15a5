"""The ledger's rows as values, and the chain of hashes that makes an edit show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from tasks.errors import InfrastructureError

NO_ENTRY = ""  # the previous hash of a project's first entry


@dataclass(frozen=True)
class Entry:
    """One row: what was done or decided, for what, by whom and why. Never changed once written.

    `key` is the hash of the step's inputs; `subject` the batch or model version it is about. `as_of` is the moment
    the step looked from (None where it looked from none), `at` the moment it was written, both UTC.
    """

    project: str
    seq: int
    step: str
    key: str
    subject: str | None
    outcome: str
    reason: str
    actor: str
    as_of: datetime | None
    at: datetime
    payload: Mapping[str, Any]
    code_version: str
    hash: str


class Head(NamedTuple):
    """A project's newest entry, as noted elsewhere: an edit of the ledger cannot change both."""

    seq: int
    hash: str


class KnownFile(NamedTuple):
    """What a scan found in a file when it had this size and time of change; `payload` is JSON text."""

    size: int
    mtime_ns: int
    payload: str


@dataclass(frozen=True)
class Verification:
    """Whether a project's rows are those that were written. `broken` is the first row that is not.

    `covered` is how many rows a head that is kept elsewhere vouches for: an edit of these shows, even one that made
    all later hashes anew. Of the rows after them only an edit that did not shows.
    """

    rows: int
    broken: int | None
    sentence: str
    covered: int = 0

    @property
    def holds(self) -> bool:
        """True where no row was changed, removed or put in between."""
        return self.broken is None


def hash_row(row: Mapping[str, Any]) -> str:
    """SHA-256 over a row's canonical content, the hash of the row before included."""
    content = {
        "project": row["project"],
        "seq": row["seq"],
        "step": row["step"],
        "key": row["key"],
        "subject": row["subject"],
        "outcome": row["outcome"],
        "reason": row["reason"],
        "actor": row["actor"],
        "as_of": row["as_of"],
        "at": row["at"],
        "payload": row["payload"],
        "code_version": row["code_version"],
        "previous_hash": row["previous_hash"],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_entry(row: Mapping[str, Any]) -> Entry:
    """A row as an Entry; InfrastructureError for one that was edited: nothing is decided or loaded by it."""
    try:
        if hash_row(row) != row["hash"]:
            raise ValueError("its hash does not fit")
        return Entry(
            **{name: row[name] for name in ("project", "seq", "step", "key", "subject", "outcome", "reason", "actor")},
            as_of=None if row["as_of"] is None else datetime.fromisoformat(row["as_of"]),
            at=datetime.fromisoformat(row["at"]),
            payload=json.loads(row["payload"]),
            code_version=row["code_version"],
            hash=row["hash"],
        )
    except (TypeError, ValueError):
        raise unreadable(row["project"], row["seq"]) from None


def unreadable(project: str, seq: int) -> InfrastructureError:
    """The error for an entry whose content is not what the ledger writes."""
    return InfrastructureError(
        f"The ledger's row {seq} of project {project!r} cannot be read: it was changed after it was written. "
        "`trueup history PROJECT --verify` names the first such row; restore the ledger from a backup."
    )


def check_chain(rows: Iterable[Mapping[str, Any]], noted: Head | None = None) -> Verification:
    """Walk a project's rows in order of `seq` and name the first that is broken.

    `noted` is a head kept outside the database: with it also a chain that was rewritten or cut short shows.
    """
    seq, last, noted_found = 0, NO_ENTRY, noted is None
    for row in rows:
        seq += 1
        if row["seq"] != seq:
            return Verification(seq - 1, seq, f"Row {seq} is missing: the next one is row {row['seq']}.")
        if row["previous_hash"] != last:
            return Verification(seq - 1, seq, f"Row {seq} does not follow row {seq - 1}: one of them was replaced.")
        try:
            found = hash_row(row)
        except (TypeError, ValueError):
            found = "unreadable"
        if found != row["hash"]:
            return Verification(seq - 1, seq, f"Row {seq} was changed after it was written: its hash does not fit.")
        if noted is not None and noted.seq == seq:
            noted_found = True
            if noted.hash != row["hash"]:
                return Verification(seq - 1, seq, f"Row {seq} is not the one that was noted in the model registry.")
        last = row["hash"]
    if noted is not None and not noted_found:
        return Verification(
            seq, seq + 1, f"Row {seq + 1} is missing: the model registry has noted {noted.seq} rows, {seq} are here."
        )
    covered = noted.seq if noted is not None else 0
    return Verification(seq, None, _describe_cover(seq, covered), covered)


def _describe_cover(rows: int, covered: int) -> str:
    if rows == 0:
        return "There are no rows."
    if covered == 0:
        return f"All {rows} rows fit their hashes; no head that is noted elsewhere was compared with them."
    if covered == rows:
        return f"All {rows} rows are as they were written: the head noted in the model registry covers them."
    return (
        f"All {rows} rows fit their hashes: rows 1 to {covered} are covered by the head noted in the model registry, "
        f"the {rows - covered} after it by their hashes alone."
    )
