"""Where a row is: in which predictions file or quarantine, and its raw values in the source as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flows.answer import show_plain
from flows.workspace import Workspace
from tasks.contract.quarantine import POSITION, RULES
from tasks.data.source import Batch, table_of
from tasks.errors import ConfigError, DataError, InfrastructureError
from tasks.ledger import Entry
from tasks.scoring.predictions import read_predictions
from tasks.stats.categories import as_text

_LISTED = 5


@dataclass(frozen=True)
class ScoredRow:
    """A row of a predictions file. `prediction` holds that file's values, `batch` the delivery as it is now."""

    entry: Entry  # of the scoring
    batch: Batch
    row_id: str
    position: int
    prediction: pd.Series[Any]

    @property
    def version(self) -> int:
        """The model version that scored it: not always the champion of now."""
        return int(self.entry.payload["version"])


@dataclass(frozen=True)
class Quarantined:
    """A row that broke rules of the contract and was not scored."""

    batch: str
    row_id: str
    position: int
    rules: tuple[str, ...]
    path: Path


def find_row(workspace: Workspace, row: str, batch: str | None) -> ScoredRow | Quarantined:
    """The newest batch's row of that id, position or prediction_id, or that of the batch that is named.

    ConfigError where there is none or where several are meant, InfrastructureError where the predictions are gone.
    """
    name, ledger = workspace.project.name, workspace.ledger
    scored = sorted(ledger.by_subject(name, "score").values(), key=lambda e: -e.seq)
    checks = {str(e.subject): e for e in ledger.entries(name, "validate") if not e.payload["labels"]}
    if batch is not None:
        scored = [e for e in scored if e.subject == batch]
        if not scored:
            raise ConfigError(_tell_not_scored(workspace, batch, checks.get(batch)))
    gone = []
    for entry in scored:
        key = str(entry.subject)
        path = workspace.located(entry.payload["path"])
        if path is None or not path.is_file():
            gone.append(f"{key} ({path})")
            continue
        hits = _read_hits(path, row)
        if len(hits) > 1:
            raise ConfigError(_tell_ambiguous(row, key, hits))
        if len(hits) == 1:
            hit = hits.iloc[0]
            return ScoredRow(entry, _find_batch(workspace, key), str(hit["row_id"]), int(hit["row"]), hit)
        held = _find_in_quarantine(workspace, checks.get(key), row)
        if held is not None:
            return held
    called = f"{name}: row {show_plain(row, 60)}"
    if gone:
        raise InfrastructureError(
            f"{called}: the predictions of batch {show_plain(', '.join(gone[:_LISTED]))} are gone, and it is in no "
            "other. Restore them from a backup, or score again: trueup score --force."
        )
    where = ", ".join(str(e.subject) for e in scored[:12]) or "none yet"
    raise ConfigError(
        f"{called}: no scored row has this {_naming(workspace)}. Batches that were looked through: {show_plain(where)}."
    )


def find_raw_row(workspace: Workspace, found: ScoredRow, features: Sequence[str]) -> pd.DataFrame:
    """The row's features as the source holds them now, a frame of one row.

    It is looked for at its position, and where another row stands there by its id. DataError where it is gone.
    """
    data = workspace.project.spec.data
    columns = list(dict.fromkeys([*features, *([data.id] if data.id else [])]))
    moved: pd.DataFrame | None = None
    for frame in table_of(found.batch, data, None).without_labels().chunks(columns=columns):
        ids = _name_rows(frame[data.id] if data.id else None, np.asarray(frame.index))
        at = found.position - int(frame.index[0])
        if 0 <= at < len(frame) and (data.id is None or ids[at] == found.row_id):
            return frame.loc[[found.position], list(features)].reset_index(drop=True)
        same = np.flatnonzero(ids == found.row_id)
        if data.id and moved is None and len(same):
            moved = frame.iloc[same[:1]][list(features)].reset_index(drop=True)
    if moved is None:
        raise DataError(
            f"{workspace.project.name}: row {show_plain(found.row_id, 60)} was scored in batch "
            f"{show_plain(found.batch.key, 40)} and is not in it any more: its delivery was changed. Restore it; what "
            "the model saw is kept nowhere else."
        )
    return moved


def _read_hits(path: Path, row: str) -> pd.DataFrame:
    """The rows of a predictions file that are called so; where there are none, only the names are read."""

    def pick(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.loc[(frame["row_id"] == row) | (frame["prediction_id"] == row)]

    if all(pick(frame).empty for frame in read_predictions(path, columns=["row_id", "prediction_id"])):
        return pd.DataFrame()
    return pd.concat([pick(frame) for frame in read_predictions(path)])


def _find_in_quarantine(workspace: Workspace, check: Entry | None, row: str) -> Quarantined | None:
    path = workspace.located(check.payload["quarantine"]) if check is not None else None
    if check is None or path is None or not path.is_file():
        return None
    column = workspace.project.spec.data.id
    held = pq.read_table(path).to_pandas()
    positions = held[POSITION].to_numpy(np.int64)
    ids = _name_rows(held[column] if column in held.columns else None, positions)
    at = np.flatnonzero(ids == row)
    if not len(at):
        return None
    first = int(at[0])
    rules = tuple(str(rule) for rule in held[RULES].iloc[first])
    return Quarantined(str(check.subject), row, int(positions[first]), rules, path)


def _name_rows(ids: pd.Series[Any] | None, positions: NDArray[np.int64]) -> NDArray[np.object_]:
    """Each row's name as the predictions have it: its id, or its position where there is none or it is missing."""
    own = positions.astype(str).astype(object)
    if ids is None:
        return own
    texts = as_text(ids)
    return np.where(pd.isna(texts), own, texts)


def _find_batch(workspace: Workspace, key: str) -> Batch:
    for batch in workspace.source.batches:
        if batch.key == key:
            return batch
    raise DataError(
        f"{workspace.project.name}: batch {show_plain(key, 40)} was scored, and is not in "
        f"{workspace.project.spec.data.called} any more. Restore it: what the model saw is kept nowhere else."
    )


def _tell_not_scored(workspace: Workspace, batch: str, check: Entry | None) -> str:
    shown = show_plain(batch, 40)
    if check is not None and check.outcome == "refused":
        return f"batch {shown} was refused by its contract and not scored: {show_plain(check.reason)}"
    if batch in (keys := [b.key for b in workspace.source.batches]):
        return f"batch {shown} was not scored yet: trueup run {workspace.project.argument}"
    return f"batch {shown}: the source has no such batch. Its newest: {show_plain(', '.join(keys[-12:]))}."


def _tell_ambiguous(row: str, batch: str, hits: pd.DataFrame) -> str:
    listed = "; ".join(f"position {r.row:,} ({r.prediction_id})" for r in hits.head(_LISTED).itertuples())
    more = f"; and {len(hits) - _LISTED} more" if len(hits) > _LISTED else ""
    return (
        f"row {show_plain(row, 60)}: {len(hits)} rows of batch {show_plain(batch, 40)} have this id. "
        f"Say which by its prediction_id: {listed}{more}."
    )


def _naming(workspace: Workspace) -> str:
    column = workspace.project.spec.data.id
    return f"{show_plain(column, 40)} or prediction_id" if column else "position (there is no id column)"
