"""A challenger over a batch that the champion has scored: its predictions serve nobody, and are set beside the
champion's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import LoadedProject, TaskType
from tasks.results import ModelVersion, PredictionFile, ScoredBatch
from tasks.scoring.predictions import SHADOW, read_predictions, write_predictions
from tasks.stage import stage
from tasks.stats.disagreement import Disagreement, compare_classes, compare_values
from tasks.table import CHUNK_ROWS, TableRef


def measure_disagreement(served: PredictionFile, other: PredictionFile, rows: int = CHUNK_ROWS) -> Disagreement:
    """How far another model's file lies from the served one, over the rows that both hold; read `rows` rows at a time.

    Each model decides as it would serve, at its own threshold. Where one gives classes and the other values nothing is
    compared, and no row is counted. DataError for a file that cannot be read.
    """
    by_class = served.task != "regression"
    total = Disagreement(by_class)
    if by_class != (other.task != "regression"):
        return total
    labels = list(dict.fromkeys([*served.classes, *other.classes]))
    for one, two in _pair_rows(_read(served, rows), _read(other, rows)):
        ours, theirs = one[served.prefix + "prediction"].to_numpy(), two[other.prefix + "prediction"].to_numpy()
        if by_class:
            otherwise = np.asarray(ours.astype(object) != theirs.astype(object), bool)
            given = _read_probabilities(served, one, labels), _read_probabilities(other, two, labels)
            total = total.then(compare_classes(*given, otherwise))
        else:
            total = total.then(compare_values(ours.astype(np.float64), theirs.astype(np.float64)))
    return total


def _read(of: PredictionFile, rows: int) -> Iterator[pd.DataFrame]:
    """A file's rows, what was decided on them and its numbers, some at a time."""
    return read_predictions(of.path, rows, list(dict.fromkeys(["row", of.prefix + "prediction", *of.numbers])))


def _read_probabilities(of: PredictionFile, frame: pd.DataFrame, labels: Sequence[Any]) -> NDArray[np.float64]:
    """The probabilities (n, labels) of some rows of a file; 0 for a label that its model does not know."""
    own = frame[of.numbers].to_numpy(np.float64)
    own = np.column_stack([1 - own, own]) if of.task == "binary" else own
    found = np.zeros((len(frame), len(labels)))
    for column, label in enumerate(of.classes):
        found[:, labels.index(label)] = own[:, column]
    return found


def _pair_rows(
    left: Iterator[pd.DataFrame], right: Iterator[pd.DataFrame]
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """The rows that both files hold, some at a time; both are in the order of `row`."""
    nothing = pd.DataFrame({"row": []})
    one, two = next(left, nothing), next(right, nothing)
    while len(one) and len(two):
        end = min(one["row"].iloc[-1], two["row"].iloc[-1])
        first, second = one[one["row"] <= end], two[two["row"] <= end]
        yield first[first["row"].isin(second["row"])], second[second["row"].isin(first["row"])]
        one, two = one[one["row"] > end], two[two["row"] > end]
        one, two = (one if len(one) else next(left, nothing)), (two if len(two) else next(right, nothing))


@stage("score in shadow")
def score_shadow(
    project: LoadedProject,
    table: TableRef,
    estimator: Any,
    *,
    beside: PredictionFile,
    version: ModelVersion,
    task: TaskType,
    classes: Sequence[Any],
    threshold: float | None,
    features: Sequence[str],
    skip: NDArray[np.int64],
    flow_run_id: str,
    content: str,
    now: datetime,
) -> tuple[ScoredBatch, Disagreement]:
    """A challenger's predictions of a batch, apart from the served ones (`write_predictions`), and how far they lie
    from those, which `beside` holds."""
    made = write_predictions(
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
        shadow=True,
    )
    return made, measure_disagreement(beside, PredictionFile(made.path, task, tuple(classes), threshold, SHADOW))
