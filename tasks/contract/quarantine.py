"""Rows that broke a row rule, kept as they were delivered, with the names of the rules that they broke."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.config import LoadedProject
from tasks.contract.files import settle, stem, writing
from tasks.errors import DataError
from tasks.table import TableRef

POSITION = "_row"
RULES = "_rules"


def broken_positions(broken: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """The positions of all rows that broke a rule, each once, in order."""
    return np.unique(np.concatenate([np.empty(0, np.int64), *broken.values()]))


def write_quarantine(project: LoadedProject, table: TableRef, broken: Mapping[str, NDArray[np.int64]]) -> Path | None:
    """Write the rows that broke a rule; None where there are none.

    `broken` holds, by rule name, positions in the batch. The file holds the rows' values, `_row` (position in the
    batch) and `_rules` (a list of names); a column of the table that has one of these names gets another `_` in
    front. Its name holds a hash of its content, so that another revision of the batch never takes its place.
    """
    positions = broken_positions(broken)
    if len(positions) == 0:
        return None
    folder = project.folder / "quarantine"
    with writing(folder) as temporary:
        _write(table, positions, _rules_by_row(positions, broken), temporary)
        with temporary.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        return settle(temporary, folder / f"{stem(table.batch, content)}.parquet")


def read_positions(path: Path | None) -> NDArray[np.int64]:
    """Positions in the batch of the rows in a quarantine file, in order; none where there is no file.

    Raises DataError where the file is gone or is none of ours: rows that broke a rule are never taken for sound.
    """
    if path is None:
        return np.empty(0, np.int64)
    try:
        positions = pq.read_table(path, columns=[POSITION]).column(POSITION).to_numpy()
    except (OSError, KeyError, pa.ArrowException):
        raise DataError(
            f"{path}: this quarantine file cannot be read, so the batch's faulty rows are not known. "
            "Validate the batch again with --force."
        ) from None
    return np.sort(positions.astype(np.int64))


def _rules_by_row(positions: NDArray[np.int64], broken: Mapping[str, NDArray[np.int64]]) -> list[list[str]]:
    names: list[list[str]] = [[] for _ in positions]
    for name, rows in broken.items():
        for at in np.searchsorted(positions, np.unique(rows)):
            names[at].append(name)
    return names


def _write(table: TableRef, positions: NDArray[np.int64], rules: list[list[str]], path: Path) -> None:
    writer: pq.ParquetWriter | None = None
    start = 0
    try:
        for batch in table.record_batches():
            first, last = np.searchsorted(positions, [start, start + batch.num_rows])
            if last > first:
                rows = batch.take(pa.array(positions[first:last] - start))
                arrays = [*rows.columns, pa.array(positions[first:last]), pa.array(rules[first:last])]
                part = pa.table(arrays, names=[*_names_beside_ours(rows.schema.names), POSITION, RULES])
                if writer is None:
                    writer = pq.ParquetWriter(path, part.schema, compression="zstd")
                writer.write_table(part)
            start += batch.num_rows
    finally:
        if writer is not None:
            writer.close()


def _names_beside_ours(names: list[str]) -> list[str]:
    taken = {POSITION, RULES, *names}
    renamed = []
    for name in names:
        given = name
        while given in (POSITION, RULES) or (given != name and given in taken):
            given = f"_{given}"
        taken.add(given)
        renamed.append(given)
    return renamed
