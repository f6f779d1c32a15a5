"""The words about labels in a file that is looked up by id, and what they make of each batch from when on.

A SQLite file of its own beside the project's other files: memory does not grow with the words, and whether anything
is new is answered without reading a row. It is made from the deliveries and may be removed at any time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.data.fingerprint import Sum, hash_rows, split_lanes, sum_rows
from tasks.data.words import (
    CONTRADICTED,
    WITHDRAWN,
    Changes,
    Words,
    follow,
    gather_words,
    hash_words,
    read_texts,
    write_texts,
)
from tasks.errors import InfrastructureError
from tasks.table import ALWAYS, NEVER, Kind, TableRef, unite_kinds

_TABLES = """
CREATE TABLE words (id TEXT NOT NULL, at INTEGER NOT NULL, label TEXT NOT NULL, times INTEGER NOT NULL,
                    PRIMARY KEY (id, at, label)) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batches (batch TEXT PRIMARY KEY, stamp TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE changes (batch TEXT NOT NULL, at INTEGER NOT NULL, known INTEGER NOT NULL, first INTEGER NOT NULL,
                      second INTEGER NOT NULL, PRIMARY KEY (batch, at)) WITHOUT ROWID;
CREATE TABLE contradicted (batch TEXT NOT NULL, id TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE TABLE seen (id TEXT NOT NULL, batch TEXT NOT NULL, PRIMARY KEY (id, batch)) WITHOUT ROWID;
"""
# Words without a time are said at ALWAYS here; when they are known is for the row's own time to say.
_SAY = "INSERT INTO words VALUES (?, ?, ?, 1) ON CONFLICT (id, at, label) DO UPDATE SET times = times + 1"
_BUSY_SECONDS = 120.0
_MODULUS = 2**64
_AT_ONCE = 10_000


@dataclass(frozen=True)
class Delivered:
    """Some words as they were delivered: ids and labels as text, moments in microseconds; (n,) each, null where
    missing. `kind` is of the labels' values."""

    ids: pa.Array
    labels: pa.Array
    at: pa.Array
    kind: Kind


@dataclass(frozen=True)
class LabelIndex:
    """All words in one file. `content` names them, whatever their order and cutting."""

    path: Path
    id: str  # the rows' column that labels are joined by
    kind: Kind
    content: str
    as_boolean: bool = False  # 0 and 1 are read as false and true, as the source has the target
    holder: object = field(default=None, compare=False, repr=False)  # keeps the file's folder while it is in use

    def look_up(
        self, ids: pa.Array, own: pa.Array, known_from: NDArray[np.int64], until: int
    ) -> tuple[pa.Array, NDArray[np.int64]]:
        """The labels (n,) as the last words until a moment have them, in the type of `own`, and since when (n,)."""
        with self._open() as database:
            words = self._listen(database, write_texts(ids), own, known_from).until(until)
        changes = follow(words)
        holds = changes.last & (changes.code > WITHDRAWN)
        shown = np.full(len(ids), WITHDRAWN, np.int64)
        shown[changes.row[holds]] = changes.code[holds]
        since = np.full(len(ids), NEVER, np.int64)
        since[changes.row[holds]] = changes.at[holds]
        distinct = read_texts([None, *words.texts[1:]], own.type)
        return distinct.take(pa.array(shown)), since

    def survey(self, tables: Sequence[tuple[TableRef, str]]) -> None:
        """Find out what the words make of each batch from when on, where that is not known yet of the same content.

        `tables` are all batches of the source, each with the content of its rows: as they were delivered, with all
        labels of their own. What is known of others is forgotten.
        """
        stamps = {table.batch: f"{content} {self.as_boolean}" for table, content in tables}
        with self._open() as database:
            known = dict(database.execute("SELECT batch, stamp FROM batches").fetchall())
        if known == stamps:
            return
        with self._open(write=True) as database, _transaction(database):
            known = dict(database.execute("SELECT batch, stamp FROM batches").fetchall())
            due = [table for table, _ in tables if known.get(table.batch) != stamps[table.batch]]
            _forget(database, [*(key for key in known if key not in stamps), *(table.batch for table in due)])
            for table in due:
                self._survey(database, table)
                database.execute("INSERT INTO batches VALUES (?, ?)", [table.batch, stamps[table.batch]])

    def last_change(self, batch: str) -> int | None:
        """When the last thing changes that is known of a surveyed batch's labels; None where nothing ever does."""
        with self._open() as database:
            found = database.execute("SELECT max(at) FROM changes WHERE batch = ? AND at < ?", [batch, NEVER])
            last: int | None = found.fetchone()[0]
        return last

    def words_until(self, until: int) -> int:
        """How many words were said until a moment."""
        with self._open() as database:
            found = database.execute("SELECT coalesce(sum(times), 0) FROM words WHERE at <= ?", [until]).fetchone()
        words: int = found[0]
        return words

    def count(self, until: int, examples: int = 3) -> Mapping[str, Any]:
        """What was said until a moment: words, duplicates, unknown, contradictions with examples, newest."""
        with self._open() as database:
            words, more, newest = database.execute(
                "SELECT coalesce(sum(times), 0), coalesce(sum(times - 1), 0), max(nullif(at, ?)) FROM words "
                "WHERE at <= ?",
                [ALWAYS, until],
            ).fetchone()
            (unknown,) = database.execute(
                "SELECT count(DISTINCT id) FROM words WHERE at <= ? "
                "AND NOT EXISTS (SELECT 1 FROM seen WHERE seen.id = words.id)",
                [until],
            ).fetchone()
            standing = "FROM contradicted WHERE since <= ? AND until > ?"
            (contradictions,) = database.execute(f"SELECT count(DISTINCT id) {standing}", [until, until]).fetchone()
            ids = database.execute(f"SELECT DISTINCT id {standing} ORDER BY id LIMIT ?", [until, until, examples])
            named = tuple(text for (text,) in ids)
            (nameless,) = database.execute("SELECT value FROM facts WHERE name = 'nameless'").fetchone()
        return {
            "words": words,
            "duplicates": more,
            "unknown": unknown,
            "contradictions": contradictions,
            "examples": named,
            "newest": newest,
            "nameless": int(nameless),
        }

    def sample_ids(self, most: int) -> list[str]:
        """Some ids that words are about."""
        with self._open() as database:
            return [text for (text,) in database.execute("SELECT DISTINCT id FROM words LIMIT ?", [most])]

    def is_numbered(self) -> bool:
        """Whether every label is 0 or 1."""
        with self._open() as database:
            other = database.execute("SELECT 1 FROM words WHERE label NOT IN ('', '0', '1') LIMIT 1").fetchone()
        return other is None

    def _survey(self, database: sqlite3.Connection, table: TableRef) -> None:
        database.execute("CREATE TEMP TABLE pending (at INTEGER, known INTEGER, first INTEGER, second INTEGER)")
        there = [name for name in (self.id, table.time, table.target) if name in table.schema.names]
        for rows in table.record_batches(columns=[str(name) for name in there]):
            ids = write_texts(rows.column(self.id))
            own = rows.column(table.target) if table.target in there else pa.nulls(rows.num_rows)
            words = self._listen(database, ids, own, table.known_from(rows))
            changes, named = follow(words), ids.to_pylist()
            database.executemany("INSERT INTO pending VALUES (?, ?, ?, ?)", _add_up(changes, named, words.texts))
            open_ended = np.where(changes.last, NEVER + 1, changes.until)
            database.executemany(
                "INSERT INTO contradicted VALUES (?, ?, ?, ?)",
                [
                    (table.batch, named[changes.row[i]], int(changes.at[i]), int(open_ended[i]))
                    for i in np.flatnonzero(changes.code == CONTRADICTED)
                ],
            )
            database.execute(
                "INSERT OR IGNORE INTO seen SELECT id, ? FROM asked "
                "WHERE EXISTS (SELECT 1 FROM words WHERE words.id = asked.id)",
                [table.batch],
            )
        sums = _run_through(database.execute("SELECT * FROM pending ORDER BY at"))
        while some := list(islice(sums, _AT_ONCE)):
            database.executemany(
                "INSERT INTO changes VALUES (?, ?, ?, ?, ?)", [(table.batch, *change) for change in some]
            )
        database.execute("DROP TABLE pending")

    def _listen(
        self, database: sqlite3.Connection, ids: pa.Array, own: pa.Array, known_from: NDArray[np.int64]
    ) -> Words:
        """The words about rows of those ids, with the rows' own labels among them."""
        database.execute("CREATE TEMP TABLE IF NOT EXISTS asked (row INTEGER PRIMARY KEY, id TEXT NOT NULL)")
        database.execute("DELETE FROM asked")
        asked = ((row, text) for row, text in enumerate(ids.to_pylist()) if text is not None)
        database.executemany("INSERT INTO asked VALUES (?, ?)", asked)
        # In this order: a look-up by the key of `words` for each row, however many words there are.
        said = database.execute(
            "SELECT asked.row, words.at, words.label FROM asked CROSS JOIN words ON words.id = asked.id"
        ).fetchall()
        row, at, texts = (list(column) for column in zip(*said, strict=True)) if said else ([], [], [])
        if self.as_boolean:
            named = {"0": "false", "1": "true"}
            texts = [named.get(text, text) for text in texts]
        moments = np.array(at, np.int64)
        rows = np.array(row, np.int64)
        moments = np.where(moments == ALWAYS, known_from[rows], moments)
        filled = pc.fill_null(write_texts(own), "").to_pylist()
        has = np.array([text != "" for text in filled], bool)
        return gather_words(
            [*rows.tolist(), *np.flatnonzero(has).tolist()],
            [*moments.tolist(), *known_from[has].tolist()],
            [*texts, *(text for text in filled if text != "")],
        )

    def _open(self, write: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        return _opened(self.path, "rw" if write else "ro")


def write_index(path: Path, deliveries: Iterable[Delivered]) -> str:
    """Write what was delivered into a new file, and return the name of its content: 32 hexadecimal digits."""
    total, nameless, kind = Sum(), 0, "empty"
    with _opened(path, "rwc") as database:
        # It counts only once it is whole and renamed: until then a crash may do to it what it likes.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_TABLES)
        with _transaction(database):
            for part in deliveries:
                kind = unite_kinds(kind, part.kind)  # type: ignore[arg-type]
                at, labels = pc.fill_null(part.at, ALWAYS), pc.fill_null(part.labels, "")
                named = pc.not_equal(pc.fill_null(part.ids, ""), "")
                nameless += pc.sum(pc.invert(named)).as_py() or 0
                said = pc.and_(named, pc.or_(pc.not_equal(labels, ""), pc.not_equal(at, ALWAYS)))
                columns = [column.filter(said) for column in (part.ids, at, labels)]
                database.executemany(_SAY, zip(*(column.to_pylist() for column in columns), strict=True))
                rows = pa.RecordBatch.from_arrays(columns, names=["id", "at", "label"])
                total = total.plus(sum_rows(hash_rows(rows, rows.schema.names)))
            content = f"{total.rows:x} {total.first:016x} {total.second:016x} {kind}"
            facts = {"kind": kind, "content": content, "nameless": str(nameless)}
            database.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
    return content


def open_index(path: Path, column: str, holder: object = None) -> LabelIndex:
    """An index that was written before; `column` is the rows' that labels are joined by."""
    with _opened(path, "ro") as database:
        facts = dict(database.execute("SELECT name, value FROM facts").fetchall())
    return LabelIndex(path, column, facts["kind"], facts["content"], holder=holder)


def read_known(path: Path, batch: str, until: int) -> Sum:
    """How many labels of a surveyed batch are known at a moment, and the mergeable part of their fingerprint."""
    with _opened(path, "ro") as database:
        found = database.execute(
            "SELECT known, first, second FROM changes WHERE batch = ? AND at <= ? ORDER BY at DESC LIMIT 1",
            [batch, until],
        ).fetchone()
    known, first, second = found or (0, 0, 0)
    return Sum(known, first % _MODULUS, second % _MODULUS)


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    address = f"{path.absolute().as_uri()}?mode={mode}"
    with (
        _errors(path),
        closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)) as database,
    ):
        yield database


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise InfrastructureError(
            f"{path}: the index of the labels cannot be used: {error}. Another command may have made a newer one, or "
            "the disk is full; run again. Where it stays so, remove the file: it is made anew from the deliveries."
        ) from None


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _forget(database: sqlite3.Connection, batches: Sequence[str]) -> None:
    for table in ("batches", "changes", "contradicted", "seen"):
        database.executemany(f"DELETE FROM {table} WHERE batch = ?", [(key,) for key in batches])  # noqa: S608


def _add_up(changes: Changes, ids: Sequence[str | None], texts: Sequence[str]) -> list[tuple[int, ...]]:
    """What changes at each moment: labels that are known, and the two lanes of their fingerprint."""
    moments, group = np.unique(changes.at, return_inverse=True)
    known = np.zeros(len(moments), np.int64)
    lanes = np.zeros((2, len(moments)), np.uint64)
    for codes, sign in ((changes.code, 1), (changes.before, -1)):
        held = codes > WITHDRAWN
        named = [ids[row] or "" for row in changes.row[held]]
        hashes = hash_words(named, [texts[code] for code in codes[held]])
        np.add.at(known, group[held], sign)
        for lane, values in zip(lanes, split_lanes(hashes), strict=True):
            np.add.at(lane, group[held], values if sign > 0 else np.uint64(0) - values)
    signed = lanes.view(np.int64)
    return list(zip(moments.tolist(), known.tolist(), signed[0].tolist(), signed[1].tolist(), strict=True))


def _run_through(pending: Iterable[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Changes in the order of their moments, as what holds from each moment on."""
    moment: int | None = None
    known = first = second = 0
    for at, more, one, two in pending:
        if moment is not None and at != moment:
            yield moment, known, _signed(first), _signed(second)
        moment, known = at, known + more
        first, second = (first + one) % _MODULUS, (second + two) % _MODULUS
    if moment is not None:
        yield moment, known, _signed(first), _signed(second)


def _signed(number: int) -> int:
    return number - _MODULUS if number >= _MODULUS // 2 else number
