"""The exact rows a model is trained on, named by a fingerprint of their content."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tasks.config import LoadedProject, Project, TaskType
from tasks.data.fingerprint import Sum, hash_rows, sum_rows
from tasks.data.source import Batch, table_of
from tasks.data.target import check_enough, encode_labels
from tasks.errors import DataError
from tasks.results import Filled, TrainingFrame
from tasks.stage import stage
from tasks.table import Schema, arrow_type, to_frame


def gather_training_rows(
    project: LoadedProject,
    batches: Sequence[Batch],
    as_of: datetime | None,
    quarantined: Mapping[str, NDArray[np.int64]],
    like: tuple[TaskType, Sequence[Any]] | None = None,
) -> TrainingFrame:
    """The rows of `batches` whose labels are known as of a moment, without those in quarantine, ordered by time.

    With `like`, the task and classes of a model, labels are read as that model's: few rows need not show every
    class, and rows with a label that it does not know are left out and counted. Raises DataError where nothing can be
    learned from the rows, or where a column changes its type between batches.
    """
    data = project.spec.data
    check_columns(batches, project.spec)
    unused = frozenset(data.exclude) - project.spec.audited - frozenset(project.spec.monitor.segments)
    schema = _one_schema(batches, data.target, unused)
    columns = [c for c in schema.names if c not in unused]
    frames, origins, total = [], [], Sum()
    dropped = {"in quarantine": 0, "label not known": 0}
    filled = {name: Filled() for name in columns if name not in data.not_features}
    for number, batch in enumerate(batches):
        skip = quarantined.get(batch.key, np.empty(0, np.int64))
        position = 0
        table = table_of(batch, data, as_of)
        present = [c for c in columns if c in batch.schema.names]
        for rows in table.record_batches(columns=present):
            keep = ~np.isin(np.arange(position, position + rows.num_rows), skip)
            position += rows.num_rows
            dropped["in quarantine"] += int((~keep).sum())
            known = ~np.asarray(rows.column(data.target).is_null(nan_is_null=True))
            dropped["label not known"] += int((keep & ~known).sum())
            for name in filled:
                values = rows.column(name) if name in present else pa.nulls(rows.num_rows)
                there = ~np.asarray(values.is_null(nan_is_null=True))
                filled[name] = filled[name].plus(there[keep & known], there[keep & ~known])
            kept = _complete(rows.filter(pa.array(keep & known)), schema, columns)
            if kept.num_rows:
                total = total.plus(sum_rows(hash_rows(kept, columns)))
                frames.append(to_frame(kept))
                origins.append(np.full(kept.num_rows, number, np.int64))
    keys = tuple(b.key for b in batches)
    if not frames:
        raise DataError(
            f"{data.called}: no row of {', '.join(keys) or 'any batch'} can be trained on "
            f"({dropped['label not known']:,} without a known label, {dropped['in quarantine']:,} in quarantine)"
            + (f" as of {as_of:%Y-%m-%d %H:%M %Z}." if as_of else ".")
            + f" Expected rows with a value in the target {data.target!r}; see data.label_delay and as_of."
        )
    frame, origin = pd.concat(frames, ignore_index=True), np.concatenate(origins)
    if data.time:
        order = [data.time, *([data.id] if data.id else [])]
        frame = frame.sort_values(order, kind="stable")
        origin = origin[frame.index.to_numpy()]
        frame = frame.reset_index(drop=True)
    labels = frame.pop(data.target)
    if like is None:
        target, task, classes = encode_labels(labels, data)
        check_enough(target, classes, data.target)
    else:
        task, classes = like[0], tuple(like[1])
        target = _read_labels(labels, task, classes)
        readable = target.notna()
        dropped["label that the model does not know"] = int((~readable).sum())
        frame, target = frame[readable].reset_index(drop=True), target[readable].reset_index(drop=True)
        origin = origin[readable.to_numpy()]
        target = target if task == "regression" else target.astype("int64")
    features = tuple(c for c in columns if c not in data.not_features)
    return TrainingFrame(
        frame=frame,
        target=target,
        task=task,
        classes=classes,
        features=features,
        time=frame[data.time] if data.time else None,
        group=frame[data.group] if data.group else None,
        snapshot=total.digest(schema, columns),
        batches=keys,
        dropped={reason: count for reason, count in dropped.items() if count},
        filled=filled,
        batch=origin,
    )


def _read_labels(labels: pd.Series[Any], task: TaskType, classes: Sequence[Any]) -> pd.Series[Any]:
    """Labels as a model takes them: the position of each in `classes`, or a number; missing where it is none."""
    if task == "regression":
        return pd.to_numeric(labels, errors="coerce").astype("float64").replace([np.inf, -np.inf], np.nan)
    return labels.map({label: position for position, label in enumerate(classes)}).astype("float64")


def check_columns(batches: Sequence[Batch], spec: Project) -> None:
    """DataError where a column changes its type between batches, where none is left to learn from, or where one that
    is to be audited is not there."""
    data = spec.data
    schema = _one_schema(batches, data.target, frozenset(data.exclude) - spec.audited)
    for column in sorted(spec.audited):
        if schema.kind(column) is None:
            raise DataError(
                f"{data.called}: no column {column!r}, which data.protected, gates.slices.by, gates.fairness or "
                f"train.mitigation names. Columns found: {', '.join(map(repr, schema.names[:40]))}."
            )
    if not set(schema.names) - data.not_features:
        raise DataError(f"{data.called}: no feature column is left besides target, id, time, group and exclude.")


def snapshot_key(batches: Sequence[Batch], as_of: datetime | None) -> tuple[str, ...]:
    """What decides the rows of a snapshot before they are read: the batches' contents and the moment."""
    return (*(b.content for b in batches), as_of.isoformat() if as_of else "")


def _one_schema(batches: Sequence[Batch], target: str, exclude: Collection[str]) -> Schema:
    schema = Schema(())
    for batch in batches:
        for column in batch.schema.columns:
            before = schema.kind(column.name)
            united = schema.united(Schema((column,)))
            clash = before not in (None, "string") and column.kind != "string" and united.kind(column.name) == "string"
            turned = before not in (None, "empty", "string") and column.kind == "string"
            back = before == "string" and column.kind not in ("string", "empty")
            if (clash or turned or back) and column.name not in exclude:
                raise DataError(
                    f"column {column.name!r}: {column.kind} in batch {batch.key}, {before} in the batches before. "
                    "Expected one type throughout: mend the delivery, or state the type in the contract, "
                    "which then refuses it."
                )
            schema = united
    return schema


def _complete(rows: pa.RecordBatch, schema: Schema, columns: Sequence[str]) -> pa.RecordBatch:
    """All columns in one order and type, so that batches can be put together; a column that is not there is missing."""
    arrays: list[Any] = []
    for name in columns:
        wanted = arrow_type(schema.kind(name) or "empty")
        at = rows.schema.get_field_index(name)
        arrays.append(pa.nulls(rows.num_rows, wanted) if at < 0 else rows.column(at).cast(wanted))
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


@stage("gather training rows")
def load_training_rows(
    project: LoadedProject,
    batches: Sequence[Batch],
    as_of: datetime | None,
    quarantined: Mapping[str, NDArray[np.int64]],
    like: tuple[TaskType, Sequence[Any]] | None = None,
) -> TrainingFrame:
    """The snapshot that a model is trained on, or judged on; see `gather_training_rows`."""
    return gather_training_rows(project, batches, as_of, quarantined, like)
