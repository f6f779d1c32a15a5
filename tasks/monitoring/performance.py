"""What the predictions of a window were worth, on the rows whose labels are known by now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import Project
from tasks.monitoring.sample import RowSample
from tasks.results import MetricValue
from tasks.stats.intervals import block_rows, deal_rows, replicate, two_sided
from tasks.stats.metrics import METRICS, OperatingPoint, TaskType, find_metric

CONFIDENCE = 0.95
FEWEST_LABELS = 200
FEWEST_OF_A_CLASS = 20
MOST_ROWS = 1_000_000  # metrics of ranking need the rows themselves; beyond, a random sample bounds the memory


@dataclass(frozen=True)
class Performance:
    """Metrics on `labelled` rows; the first is the one that is compared with what the gate promised.

    `doubt` says why they are too few to judge by, and is empty where they are not.
    """

    labelled: int
    metrics: tuple[MetricValue, ...]
    doubt: str
    positives: float | None = None  # share of the positive class among the labelled rows of a binary target


class LabelledRows:
    """Collects predictions beside known labels while rows stream by; holds at most twice MOST_ROWS of them."""

    def __init__(self, task: TaskType, classes: Sequence[Any], seed: int) -> None:
        self._task = task
        self._seed = seed
        self._codes = {label: code for code, label in enumerate(classes)}
        self._sample = RowSample(MOST_ROWS, seed)

    def add(
        self,
        labels: pd.Series[Any],
        prediction: NDArray[np.float64],
        blocks: pd.Series[Any] | None,
        positions: NDArray[np.int64],
    ) -> None:
        """Offer rows (n,): labels in their original form, missing where not known; predictions (n,) or (n, classes),
        nan where a row was not scored; the block that each row lies in."""
        if self._task == "regression":
            y = pd.to_numeric(labels, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        else:
            y = labels.map(self._codes).to_numpy(np.float64, na_value=np.nan)
        wide = prediction.reshape(len(y), -1)
        known = ~np.isnan(y) & ~np.isnan(wide).any(axis=1)
        rows = pd.DataFrame({"y": y[known], **{f"p{i}": wide[known, i] for i in range(wide.shape[1])}})
        if blocks is not None:
            rows["block"] = blocks.to_numpy()[known]
        self._sample.add(rows, positions[known])

    def measure(self, spec: Project, threshold: float | None) -> Performance:
        """The project's metric and the task's others, with intervals over blocks of rows that are not independent."""
        labelled, rows = self._sample.rows, self._sample.frame()
        if not labelled:
            return Performance(0, (), "no label is known yet")
        y, of = rows["y"].to_numpy(), rows.filter(regex=r"^p\d+$").to_numpy()
        y = y if self._task == "regression" else y.astype(np.int64)
        prediction = of if self._task == "multiclass" else of[:, 0]
        unit = "groups" if spec.data.group else "days"
        blocks = block_rows(rows["block"].tolist(), unit) if "block" in rows else deal_rows(len(y), self._seed)
        costs = spec.train.costs
        at = OperatingPoint(
            0.5 if threshold is None else threshold,
            costs.false_positive if costs else None,
            costs.false_negative if costs else None,
        )
        main = find_metric(spec.train.metric, self._task)
        others = [m for m in METRICS.values() if self._task in m.tasks and m.name != main.name]
        over = blocks.describe() + (f", {len(y):,} sampled rows" if len(y) < labelled else "")
        values = []
        for metric in (main, *others):
            replicates = replicate(metric, y, prediction, blocks, at, None if self._task == "regression" else y)
            if not math.isfinite(replicates.value):
                continue
            low, high = two_sided(metric, replicates, CONFIDENCE)
            values.append(
                MetricValue(
                    metric.name,
                    replicates.value,
                    low,
                    high,
                    CONFIDENCE,
                    metric.larger_is_better,
                    f"jackknife over {over}",
                )
            )
        positives = float(y.mean()) if self._task == "binary" else None
        return Performance(labelled, tuple(values), self._doubt(y, values, main.name), positives)

    def _doubt(self, y: NDArray[Any], values: Sequence[MetricValue], name: str) -> str:
        if len(y) < FEWEST_LABELS:
            return f"{len(y):,} labels are known, fewer than {FEWEST_LABELS} say too little"
        if self._task != "regression":
            rarest = int(np.bincount(y, minlength=len(self._codes)).min())
            if rarest < FEWEST_OF_A_CLASS:
                return f"a class has {rarest} labelled rows, fewer than {FEWEST_OF_A_CLASS} say too little"
        if not values or values[0].name != name:
            return "the metric is not defined on the labelled rows"
        if not math.isfinite(values[0].low):
            return "the labelled rows lie in too few days or groups for an interval"
        return ""
