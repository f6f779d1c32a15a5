"""Does the stored model load and predict the same in a fresh process, and how fast and large is it?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.errors import InfrastructureError
from tasks.registry.files import measure_mb
from tasks.registry.probe import DISK_REFUSED, NO_ROOM
from tasks.results import Soundness
from tasks.stats.metrics import TaskType

_CODE = Path(__file__).resolve().parents[2]  # the folder that holds the package `tasks`
# A process that lives for two seconds, most of them imports, has no use for collections of garbage.
_PROBE = "import gc, sys; gc.disable(); from tasks.registry.probe import main; sys.exit(main())"


def predict_in_fresh_process(
    folder: Path,
    digest: str,
    rows: pd.DataFrame,
    expected: NDArray[Any],
    task: TaskType,
    timeout_seconds: float = 120.0,
) -> Soundness:
    """Load the model in a new process, predict `rows` (n >= 1, the model's features) there, and compare.

    `expected` are the predictions here: (n,), or (n, classes) for a multiclass task. The largest difference is of
    probabilities as they are, and of a regression's values in parts of their spread, see `_scale_of`. Milliseconds
    are the least of five warm predictions of 1,000 rows. Whatever goes wrong there, a crash or a timeout too, is
    `loads=False` with the detail, never an exception: the gate that reads it fails. What says nothing about the
    model, a disk that takes no files, is an InfrastructureError.
    """
    size = measure_mb(folder)
    with tempfile.TemporaryDirectory(prefix="probe-", dir=folder.parent) as name:
        exchange = Path(name)
        try:
            rows.reset_index(drop=True).to_parquet(exchange / "rows.parquet")
            detail = _run(folder, digest, exchange, task, timeout_seconds)
            if detail:
                return Soundness(False, None, float("nan"), size, detail)
            predictions = np.load(exchange / "predictions.npy", allow_pickle=False)
            timing = json.loads((exchange / "timing.json").read_text())
            here = np.asarray(expected, dtype=np.float64)
            difference = _largest_difference(here, predictions) / (_scale_of(here) if task == "regression" else 1.0)
            return Soundness(True, difference, float(timing["ms_per_1k_rows"]), size)
        except (OSError, ValueError, TypeError, KeyError) as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise _explain_disk(folder.parent, error.strerror) from None
            return Soundness(False, None, float("nan"), size, f"{type(error).__name__}: {error}"[:500])


def _run(folder: Path, digest: str, exchange: Path, task: TaskType, timeout_seconds: float) -> str:
    """What went wrong there, in one line; empty where nothing did."""
    # -P: the current folder must not be able to put another `tasks` in the place of this one.
    command = [sys.executable, "-P", "-c", _PROBE, str(folder), digest, str(exchange), task]
    path = os.pathsep.join([str(_CODE), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path},
            cwd=exchange,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"It did not load and predict within {timeout_seconds:g} s in a fresh process."
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"The fresh process was ended by signal {-done.returncode}."
    lines = done.stderr.strip().splitlines()
    if done.returncode == DISK_REFUSED:
        raise _explain_disk(folder.parent, lines[-1] if lines else None)
    return (lines[-1] if lines else f"The fresh process ended with exit code {done.returncode}.")[:500]


def _explain_disk(place: Path, reason: str | None) -> InfrastructureError:
    return InfrastructureError(
        f"{place}: files could not be exchanged with the process that tries the model: {reason or 'no reason given'}. "
        "Check the folder and the disk's space."
    )


def _scale_of(values: NDArray[np.float64]) -> float:
    """What a difference between a regression's predictions (n,) is measured by: largest less smallest.

    So a tolerance means the same for prices in millions and for concentrations in millionths. Not less than a
    millionth of the largest: where hardly anything differs, rounding alone would look large. 1 where all are 0.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 1.0
    return float(max(np.ptp(finite), 1e-6 * np.abs(finite).max())) or 1.0


def _largest_difference(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """The largest absolute difference; infinite where the shapes differ or one of two values is missing."""
    if expected.shape != found.shape:
        return float("inf")
    difference = np.where(np.isnan(expected) & np.isnan(found), 0.0, np.abs(expected - found))
    return float(np.max(np.where(np.isnan(difference), np.inf, difference), initial=0.0))
