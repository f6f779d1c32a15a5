"""A model over one batch: one Parquet file of predictions, whole or not there, in memory that does not grow."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.config import LoadedProject, TaskType
from tasks.errors import DataError
from tasks.files import safe_name, whole_file
from tasks.results import ModelVersion, ScoredBatch
from tasks.stage import crash_point, stage
from tasks.stats.prediction import decide_rows, predict_rows
from tasks.table import CHUNK_ROWS, TableRef, read_file, to_frame

SHADOW = "shadow_"  # before the names of what a model that serves nobody has said


def write_predictions(
    project: LoadedProject,
    table: TableRef,
    estimator: Any,
    *,
    version: ModelVersion,
    task: TaskType,
    classes: Sequence[Any],
    threshold: float | None,
    features: Sequence[str],
    skip: NDArray[np.int64],
    flow_run_id: str,
    content: str,
    now: datetime,
    shadow: bool = False,
    rows: int = CHUNK_ROWS,
) -> ScoredBatch:
    """Score the rows of a batch that are not in `skip` (positions within the batch) and write them to one file.

    The estimator never sees a label. Columns of the file, one row per scored row, in the batch's order:
    `prediction_id`, `row_id` (text: the project's id column, or the position where there is none or it is missing),
    `row` (position in the batch), `time` (UTC, where the project has a time column), `prediction` (a label in its
    original form, or a number), `probability` (binary: of the positive class) or `probability_0`, `probability_1`,
    ... (multiclass, in the order of `classes`), `model_version`, `run_id`, `flow_run_id`, `scored_at`.

    The file is named by the batch, its `content`, the rows left out and the model version: scoring the same again
    replaces the file by an equal one, and a batch whose content changed gets a file beside the old one.

    With `shadow` the model serves nobody, and nobody is to take its predictions for served ones: they go into another
    folder, under another ending, with `shadow_prediction_id` (never the id of a served one), `shadow_prediction` and
    `shadow_probability` in the place of these columns. Raises
    DataError where the model gives something that is not a number or the batch is not the one that `skip` was made
    for, InfrastructureError where the file cannot be written.
    """
    left_out = np.unique(np.asarray(skip, np.int64))
    name = safe_name(table.batch, content, left_out.astype("<i8").tobytes())
    folder, ending, called = ("shadow", ".shadow.parquet", SHADOW) if shadow else ("predictions", ".parquet", "")
    path = project.folder / folder / f"{name}-v{version.version}{ending}"
    data = project.spec.data
    columns = list(dict.fromkeys([*features, *(c for c in (data.id, data.time) if c)]))
    prefix = "\0".join((called + project.name, table.batch, str(version.version), "")).encode("utf-8", "surrogatepass")
    constants = {"model_version": version.version, "run_id": version.run_id, "flow_run_id": flow_run_id}
    seen = written = 0
    total = 0.0
    with whole_file(path) as file:
        writer: pq.ParquetWriter | None = None
        for frame in table.without_labels().chunks(rows, columns):
            positions = np.arange(seen, seen + len(frame))
            kept = ~np.isin(positions, left_out[np.searchsorted(left_out, seen) :][: len(frame)])
            seen += len(frame)
            frame, positions = frame.loc[kept], positions[kept]
            values, numbers = _predict(estimator, frame[list(features)], task, classes, threshold, table.batch)
            ids = _row_ids(frame[data.id] if data.id else None, positions)
            fixed = {
                f"{called}prediction_id": pa.array(_prediction_ids(prefix, ids, positions), pa.string()),
                "row_id": pa.array(ids, pa.string()),
                "row": pa.array(positions, pa.int64()),
                **({"time": pa.array(frame[data.time], pa.timestamp("us", "UTC"))} if data.time else {}),
                **{called + k: v for k, v in values.items()},
                **{k: pa.repeat(v, len(frame)) for k, v in constants.items()},
                "scored_at": pa.repeat(pa.scalar(now, pa.timestamp("us", "UTC")), len(frame)),
            }
            part = pa.table(fixed)
            if writer is None:
                writer = pq.ParquetWriter(file, part.schema, compression="zstd")
            if len(frame):
                writer.write_table(part)
            if written == 0 and len(frame):
                crash_point("score-half")
            written += len(frame)
            total += float(numbers.sum())
        if writer is None:
            raise DataError(f"batch {table.batch}: no rows to score; expected one at least.")
        writer.close()
        _check_complete(table.batch, seen, written, left_out)
        crash_point("score-written")
    return ScoredBatch(
        batch=table.batch,
        version=version.version,
        rows=written,
        skipped=len(left_out),
        path=path,
        mean_prediction=total / written if written else math.nan,
        content=content,
    )


def read_predictions(
    path: Path, rows: int = CHUNK_ROWS, columns: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """Yield a predictions file in frames of at most `rows` rows; DataError where it cannot be read."""
    for batch in read_file(str(path), None, rows, columns):
        yield to_frame(batch)


def _predict(
    estimator: Any, frame: pd.DataFrame, task: TaskType, classes: Sequence[Any], threshold: float | None, batch: str
) -> tuple[dict[str, pa.Array], NDArray[np.float64]]:
    """The prediction columns of some rows, and per row the number whose mean is reported."""
    labels = None if task == "regression" else _label_array(classes)
    if frame.empty:
        given = np.empty((0, len(classes)) if task == "multiclass" else 0)
    else:
        given = predict_rows(estimator, frame, task)
        bad = int((~np.isfinite(given)).reshape(len(frame), -1).any(axis=1).sum())
        if bad:
            raise DataError(
                f"batch {batch}: the model gives no number for {bad:,} of {len(frame):,} rows (nan or infinite). "
                "Nothing was written; look at these rows' features, and state their ranges in the contract."
            )
    if labels is None:
        return {"prediction": pa.array(given, pa.float64())}, given
    chosen = labels.take(pa.array(decide_rows(given, task, threshold), pa.int64()))
    if task == "binary":
        return {"prediction": chosen, "probability": pa.array(given, pa.float64())}, given
    by_class = {f"probability_{i}": pa.array(given[:, i], pa.float64()) for i in range(len(classes))}
    return {"prediction": chosen, **by_class}, given.max(axis=1, initial=0.0)


def _label_array(classes: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(list(classes))
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # labels of several types in one column
        return pa.array([str(c) for c in classes])


def _row_ids(ids: pd.Series[Any] | None, positions: NDArray[np.int64]) -> list[str]:
    own = [str(p) for p in positions]
    if ids is None:
        return own
    if pd.api.types.is_float_dtype(ids.dtype):  # whole numbers, of which some are missing
        whole = [str(int(v)) if float(v).is_integer() else str(v) for v in ids.fillna(0)]
    else:
        whole = [str(v) for v in ids]
    return [position if gone else text for position, text, gone in zip(own, whole, ids.isna(), strict=True)]


def _prediction_ids(prefix: bytes, ids: Sequence[str], positions: NDArray[np.int64]) -> list[str]:
    # The position is in it beside the id: where a delivery repeats an id, each prediction still has its own name.
    base = hashlib.blake2b(prefix, digest_size=16)
    made = []
    for text, position in zip(ids, positions, strict=True):
        one = base.copy()
        one.update(f"{position}\0{text}".encode("utf-8", "surrogatepass"))
        made.append(one.hexdigest())
    return made


def _check_complete(batch: str, seen: int, written: int, skip: NDArray[np.int64]) -> None:
    if written + len(skip) != seen:
        raise DataError(
            f"batch {batch}: {seen:,} rows were read, {written:,} scored and {len(skip):,} are in quarantine, which "
            "does not add up: the batch changed since it was validated. Nothing was written; run again."
        )


@stage("score batch")
def score_batch(
    project: LoadedProject,
    table: TableRef,
    estimator: Any,
    *,
    version: ModelVersion,
    task: TaskType,
    classes: Sequence[Any],
    threshold: float | None,
    features: Sequence[str],
    skip: NDArray[np.int64],
    flow_run_id: str,
    content: str,
    now: datetime,
) -> ScoredBatch:
    """The predictions of one batch; see `write_predictions`."""
    return write_predictions(
        project,
        table,
        estimator,
        version=version,
        task=task,
        classes=classes,
        threshold=threshold,
        features=features,
        skip=skip,
        flow_run_id=flow_run_id,
        content=content,
        now=now,
    )
