"""A stored model in a process that knows nothing of the one that made it; soundness.py starts it.

Loads the model, predicts the rows, and writes predictions (.npy) and timing (JSON) beside them. MLflow is not
imported: the files must stand for themselves.
"""

from __future__ import annotations

import errno
import gc
import json
import sys
import time
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from tasks.errors import TrueupError
from tasks.registry.files import load_model_files
from tasks.stats.metrics import TaskType
from tasks.stats.prediction import predict_rows

# What says nothing about a model: the disk is full, over quota, or read-only, or a file may not grow.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
DISK_REFUSED = 74  # the exit code that sysexits.h has for it
_TIMED_ROWS = 1000
_REPEATS = 5


def probe(folder: Path, digest: str, exchange: Path, task: TaskType) -> None:
    """Predict `exchange/rows.parquet`; write `predictions.npy` and `timing.json` there."""
    estimator = load_model_files(folder, digest)
    rows = pd.read_parquet(exchange / "rows.parquet")
    predictions = predict_rows(estimator, rows, task)  # also the warm-up
    timed = rows.iloc[np.arange(_TIMED_ROWS) % len(rows)].reset_index(drop=True)
    seconds = []  # the least of them is the model's own time: a busy machine only adds to it
    for _ in range(_REPEATS):
        started = time.perf_counter()
        predict_rows(estimator, timed, task)
        seconds.append(time.perf_counter() - started)
    np.save(exchange / "predictions.npy", predictions)
    timing = {"ms_per_1k_rows": min(seconds) * 1000 * 1000 / _TIMED_ROWS}
    (exchange / "timing.json").write_text(json.dumps(timing))


def main() -> int:
    """Folder, digest, exchange folder and task from the command line; exit code 0 where the model predicted."""
    folder, digest, exchange, task = sys.argv[1:]
    try:
        probe(Path(folder), digest, Path(exchange), cast(TaskType, task))
    except TrueupError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError as error:
        if error.errno is not None and error.errno not in NO_ROOM:  # NumPy's own has no number
            raise
        sys.stderr.write(f"{error.strerror}\n")
        return DISK_REFUSED
    gc.freeze()  # nor is there anything to collect at the exit
    return 0
