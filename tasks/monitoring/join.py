"""A window's rows beside their predictions, streamed: both files are in the order of the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.stats.metrics import TaskType
from tasks.table import CHUNK_ROWS, TableRef, read_file, to_frame

Joined = tuple[pd.DataFrame, NDArray[np.float64], NDArray[np.int64]]


def join_predictions(
    table: TableRef,
    columns: Sequence[str],
    path: Path | None,
    task: TaskType,
    classes: int,
    rows: int = CHUNK_ROWS,
    prefix: str = "",
) -> Iterator[Joined]:
    """Yield rows of the batch, their predictions, and their positions in the batch, some rows at a time.

    Predictions are (n,) or for a multiclass target (n, classes), as `predict_rows` gives them; nan for rows that
    were not scored, and for all where `path` is None. Raises DataError where the file holds rows that the batch does
    not: it is of another batch, or the batch changed. `prefix` stands before the names of the file's columns where
    its model serves nobody.
    """
    width = classes if task == "multiclass" else 1
    waiting = _Predictions(path, task, width, rows, prefix) if path else None
    start = 0
    for frame in table.chunks(rows, columns):
        prediction = np.full((len(frame), width), np.nan)
        if waiting is not None:
            at, values = waiting.take(start + len(frame))
            prediction[at - start] = values
        positions = np.arange(start, start + len(frame))
        start += len(frame)
        yield frame, prediction if task == "multiclass" else prediction[:, 0], positions
    if waiting is not None and waiting.left():
        raise DataError(
            f"{path}: holds predictions for rows beyond the {start:,} of batch {table.batch}: the batch changed since "
            "it was scored. Score it again."
        )


class _Predictions:
    """Reads a predictions file along the batch's positions."""

    def __init__(self, path: Path, task: TaskType, width: int, rows: int, prefix: str) -> None:
        by_class = [f"probability_{i}" for i in range(width)]
        names = {"binary": ["probability"], "regression": ["prediction"], "multiclass": by_class}[task]
        self._columns = [prefix + name for name in names]
        batches = read_file(str(path), None, rows, ["row", *self._columns])
        self._frames = (to_frame(b) for b in batches)
        self._held = pd.DataFrame({name: [] for name in ("row", *self._columns)}).astype({"row": np.int64})

    def take(self, end: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Positions (n,) below `end` that were not taken yet, and their values (n, width)."""
        parts = [self._held]
        while len(parts[-1]) == 0 or parts[-1]["row"].iloc[-1] < end:
            following = next(self._frames, None)
            if following is None:
                break
            parts.append(following)
        held = pd.concat([p for p in parts if len(p)]) if any(map(len, parts)) else self._held
        cut = int(np.searchsorted(held["row"].to_numpy(), end))
        self._held = held.iloc[cut:]
        taken = held.iloc[:cut]
        return taken["row"].to_numpy(np.int64), taken[self._columns].to_numpy(np.float64)

    def left(self) -> bool:
        """Whether predictions remain that were not taken."""
        return len(self._held) > 0 or any(len(frame) for frame in self._frames)
