"""Which rows a model has seen, told later from a few facts: two models are compared only on rows that neither knows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tasks.config import Project
from tasks.data.fingerprint import hash_rows
from tasks.errors import DataError
from tasks.results import Split, TrainingFrame

Hashes = NDArray[np.uint64]


def name_rows(
    rows: TrainingFrame, row_id: str | None, columns: Sequence[str] | None = None
) -> tuple[pd.Series[Any], str]:
    """What a hash goes by, per row (n,) as text, and what it is: the group, else the id, else the row's content.

    `columns` are those that make the content; None takes the features. DataError where one of them is not there.
    """
    if rows.group is not None:
        return rows.group.astype(str), "group"
    if row_id:
        return rows.frame[row_id].astype(str), "id"
    chosen = list(rows.features if columns is None else columns)
    missing = [c for c in chosen if c not in rows.frame.columns]
    if missing:
        raise DataError(
            f"rows without an id are told apart by their content, and column {missing[0]!r}, which was part of it, is "
            "not there any more. Set data.id, so that a row stays the same when columns change."
        )
    return _describe_content(rows.frame[chosen], chosen), "row content"


def share_names(names: pd.Series[Any], salt: str) -> NDArray[np.float64]:
    """A number in [0, 1) per name (n,), the same for ever."""
    return _hash_names(names, salt).astype(np.float64) / 2.0**64


def test_salt(spec: Project) -> str:
    """What the hash that picks test rows is salted with; not with the seed: a test row stays one for life."""
    return f"{spec.name}:test"


def describe_seen(
    rows: TrainingFrame, split: Split, spec: Project, *, refit: bool = False
) -> tuple[dict[str, Any], Hashes | None]:
    """The rows that a model has seen, as facts for its record, and hashes of their names where facts do not do.

    A split by time is told by a moment, one by a hash by the hash. Groups that time has parted, and rows that a
    refit on everything has seen, can only be listed. `refit`: all of `rows`, else those outside `split.test`.
    """
    names, of = name_rows(rows, spec.data.id)
    facts: dict[str, Any] = {"names": of, "columns": list(rows.features) if of == "row content" else None}
    seen = np.arange(len(names)) if refit else np.asarray([*split.fit, *split.calibration], dtype=np.int64)
    if spec.split_how == "time" and rows.time is not None and rows.group is None:
        return {**facts, "how": "time", "until": rows.time.iloc[seen].max().isoformat()}, None
    if spec.split_how == "time" or refit:
        return {**facts, "how": "list"}, np.unique(_hash_names(names.iloc[seen], _LISTED))
    return {**facts, "how": "hash", "salt": test_salt(spec), "test": spec.split.test}, None


def find_unseen(
    facts: Mapping[str, Any], listed: Hashes | None, rows: TrainingFrame, spec: Project
) -> NDArray[np.bool_]:
    """Which of `rows` (n,) a model with these facts has not seen; DataError where that cannot be told any more."""
    if facts["how"] == "time":
        if rows.time is None:
            raise DataError("the rows that it has seen are told by their time, and data.time is no longer set.")
        return np.asarray(rows.time > pd.Timestamp(facts["until"]))
    names, of = name_rows(rows, spec.data.id, facts["columns"])
    if of != facts["names"]:
        raise DataError(
            f"the rows that it has seen are told by their {facts['names']}, and the project file now names rows by "
            f"their {of}. Set data.id and data.group as they were, or train again."
        )
    if facts["how"] == "hash":
        return np.asarray(share_names(names, facts["salt"]) < facts["test"])
    if listed is None:
        raise DataError("the list of the rows that it has seen is gone from its MLflow run.")
    return ~np.isin(_hash_names(names, _LISTED), listed)


_LISTED = "seen"


def _hash_names(names: pd.Series[Any], salt: str) -> Hashes:
    key = hashlib.sha256(salt.encode()).hexdigest()[:16]
    hashed = pd.util.hash_array(names.to_numpy(dtype=object), hash_key=key, categorize=True)
    return np.asarray(hashed, np.uint64)


def _describe_content(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series[Any]:
    table = pa.Table.from_pandas(frame, preserve_index=False)  # text from several batches comes in several chunks
    arrays = [pa.array([]) if not c.num_chunks else c.combine_chunks() for c in table.columns]
    arrays = [a.cast(pa.string()) if pa.types.is_large_string(a.type) else a for a in arrays]
    batch = pa.RecordBatch.from_arrays(arrays, names=list(columns))
    return pd.Series(hash_rows(batch, list(columns)).astype(str))
