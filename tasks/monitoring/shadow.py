"""What a challenger in shadow was worth beside the champion, on a window's rows whose labels are known by now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import LoadedProject
from tasks.monitoring.join import join_predictions
from tasks.monitoring.performance import MOST_NUMBERS, MOST_ROWS, find_blocks, find_operating_point
from tasks.monitoring.sample import RowSample
from tasks.monitoring.window import name_blocks
from tasks.results import PredictionFile
from tasks.stage import stage
from tasks.stats.comparison import compare
from tasks.stats.intervals import needs_each_class, replicate
from tasks.stats.metrics import METRICS
from tasks.table import TableRef


@dataclass(frozen=True)
class LiveComparison:
    """Both models' `metric` on the same `rows`, which have a label and were predicted by both.

    `gain` above 0 speaks for the challenger; `low` and `high` are one-sided bounds, each at `confidence` by itself,
    paired over days or groups, and nan where these are too few. Without rows all numbers are nan.
    """

    metric: str
    rows: int = 0
    value: float = math.nan
    champion_value: float = math.nan
    gain: float = math.nan
    low: float = math.nan
    high: float = math.nan
    confidence: float = math.nan


def compare_live(
    project: LoadedProject, table: TableRef, champion: PredictionFile, challenger: PredictionFile, metric: str
) -> LiveComparison:
    """Compare the two on the labels that `table` shows, in a pass over the label, the time and the group alone.

    Of very many rows a random sample is compared, as everywhere in monitoring. What only one of the two could be
    measured on is left out. Nothing is compared where one gives classes and the other values, or where the task has no
    such metric. DataError for a file that cannot be read or that is not of this batch.
    """
    spec, chosen = project.spec, METRICS.get(metric)
    nothing = LiveComparison(metric)
    kinds = {champion.task == "regression", challenger.task == "regression"}
    if chosen is None or len(kinds) > 1 or champion.task not in chosen.tasks or challenger.task not in chosen.tasks:
        return nothing
    sample = _collect(project, table, champion, challenger)
    rows = sample.frame()
    if rows.empty:
        return nothing
    blocks, single = find_blocks(rows, spec, spec.train.seed)
    taken = []
    for model, name in ((challenger, "own"), (champion, "other")):
        y = rows[f"{name}_y"].to_numpy()
        of = rows.filter(regex=rf"^{name}\d+$").to_numpy()
        y = y if model.task == "regression" else y.astype(np.int64)
        taken.append((y, of if model.task == "multiclass" else of[:, 0], find_operating_point(spec, model.threshold)))
    by_class = any(needs_each_class(chosen, y, p, challenger.task, at) for y, p, at in taken)
    own, other = (replicate(chosen, y, p, blocks, at, taken[0][0] if by_class else None) for y, p, at in taken)
    confidence = spec.gates.champion.confidence
    found = compare(chosen, own, other, confidence)
    low, high = (
        (math.nan, math.nan) if single else (found.low, found.high)
    )  # how one day differs from others is unknown
    return LiveComparison(metric, sample.rows, own.value, other.value, found.gain, low, high, confidence)


def _collect(
    project: LoadedProject, table: TableRef, champion: PredictionFile, challenger: PredictionFile
) -> RowSample:
    """The rows with a label that both have predicted: labels and predictions of each, and the block."""
    data, target = project.spec.data, project.spec.data.target
    widths = [max(len(m.classes), 1) if m.task == "multiclass" else 1 for m in (champion, challenger)]
    sample = RowSample(min(MOST_ROWS, MOST_NUMBERS // sum(widths)), project.spec.train.seed)
    beside = [c for c in (data.time, data.group) if c]
    served = _join(table, [target, *beside], champion)
    for (frame, theirs, positions), (_, own, _) in zip(served, _join(table, [target], challenger), strict=True):
        columns: dict[str, Any] = {}
        for name, model, prediction in (("own", challenger, own), ("other", champion, theirs)):
            columns[f"{name}_y"] = _read_labels(model, frame[target])
            wide = prediction.reshape(len(frame), -1)
            columns |= {f"{name}{i}": wide[:, i] for i in range(wide.shape[1])}
        rows = pd.DataFrame(columns)
        known = rows.notna().all(axis=1).to_numpy()
        blocks = name_blocks(frame, data)
        if blocks is not None:
            rows["block"] = blocks.to_numpy()
        sample.add(rows[known], positions[known])
    return sample


def _read_labels(model: PredictionFile, labels: pd.Series[Any]) -> NDArray[np.float64]:
    """Labels (n,) as the model's codes or as values; nan where not known, or not known to it."""
    if model.task == "regression":
        y = pd.to_numeric(labels, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        return np.where(np.isfinite(y), y, np.nan)
    codes = {label: code for code, label in enumerate(model.classes)}
    return labels.map(codes).to_numpy(np.float64, na_value=np.nan)


def _join(table: TableRef, columns: Sequence[str], model: PredictionFile) -> Any:
    wanted = list(dict.fromkeys(columns))
    return join_predictions(table, wanted, model.path, model.task, len(model.classes), prefix=model.prefix)


@stage("compare in shadow")
def compare_shadow(
    project: LoadedProject, table: TableRef, *, champion: PredictionFile, challenger: PredictionFile, metric: str
) -> LiveComparison:
    """A challenger's live performance beside the champion's; see `compare_live`."""
    return compare_live(project, table, champion, challenger, metric)
