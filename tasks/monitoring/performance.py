"""What the predictions of a window were worth, on the rows whose labels are known by now."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import Project
from tasks.monitoring.calibration import Bias, measure_bias
from tasks.monitoring.sample import RowSample
from tasks.results import MetricValue
from tasks.stats.intervals import Blocks, block_rows, deal_rows, needs_each_class, replicate, two_sided
from tasks.stats.metrics import METRICS, Metric, OperatingPoint, TaskType, find_metric
from tasks.stats.personal import FEWEST_OF_A_VALUE, find_personal

CONFIDENCE = 0.95
FEWEST_LABELS = 200  # of a reference
FEWEST_JUDGED = 50  # of a window: its interval tells how little they say, but not of fewer
FEWEST_OF_A_CLASS = 20
MOST_ROWS = 1_000_000  # metrics of ranking need the rows themselves; beyond, a random sample bounds the memory
MOST_NUMBERS = 4_000_000  # of several classes fewer rows: each has a number per class
NAMED = 3
MOST_STRANGERS = 1_000


@dataclass(frozen=True)
class Performance:
    """Metrics on `labelled` rows; the first is the one that is compared with what the gate promised.

    `doubt` says why they are too few to judge by, and is empty where they are not.
    """

    labelled: int
    metrics: tuple[MetricValue, ...]
    doubt: str
    positives: float | None = None  # share of the positive class among the labelled rows of a binary target
    strange: int = 0  # further scored rows whose label the model does not know: another class, or no finite number
    strangers: tuple[str, ...] = ()  # some of these labels
    bias: Bias | None = None
    single: bool = False  # of one day or group: the interval does not know how these differ

    @property
    def strange_share(self) -> float:
        """Of all rows that came with a label."""
        return self.strange / (self.strange + self.labelled) if self.strange else 0.0


def find_operating_point(spec: Project, threshold: float | None) -> OperatingPoint:
    """Where decisions are made, and what wrong ones cost; without a threshold at .5."""
    costs = spec.train.costs
    return OperatingPoint(
        0.5 if threshold is None else threshold,
        costs.false_positive if costs else None,
        costs.false_negative if costs else None,
        spec.train.quantile,
    )


def find_blocks(rows: pd.DataFrame, spec: Project, seed: int) -> tuple[Blocks, bool]:
    """The blocks of `rows` (n) that are not independent, named in their column `block`; dealt at random where there is
    none, and where all are of one, which is said."""
    if "block" in rows:
        unit = "groups" if spec.data.group else "days"
        blocks = block_rows(rows["block"].tolist(), unit, ordered=spec.data.group is None)
        if blocks.count != 1:
            return blocks, False
    return deal_rows(len(rows), seed), "block" in rows


class LabelledRows:
    """Collects predictions beside known labels while rows stream by; holds at most twice MOST_ROWS of them."""

    def __init__(self, task: TaskType, classes: Sequence[Any], seed: int) -> None:
        self._task = task
        self._seed = seed
        self._codes = {label: code for code, label in enumerate(classes)}
        self._sample = RowSample(min(MOST_ROWS, MOST_NUMBERS // max(len(classes), 1)), seed)
        self._scored = 0
        self._strange = 0
        self._strangers: Counter[Any] = Counter()

    def add(
        self,
        labels: pd.Series[Any],
        prediction: NDArray[np.float64],
        blocks: pd.Series[Any] | None,
        positions: NDArray[np.int64],
    ) -> None:
        """Offer rows (n,): labels in their original form, missing where not known; predictions (n,) or (n, classes),
        nan where a row was not scored; the block that each row lies in. A label that the model does not know is
        counted, and measured by nothing."""
        if self._task == "regression":
            y = pd.to_numeric(labels, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        else:
            y = labels.map(self._codes).to_numpy(np.float64, na_value=np.nan)
        wide = prediction.reshape(len(y), -1)
        scored = ~np.isnan(wide).any(axis=1)
        known = np.isfinite(y) & scored
        self._scored += int(scored.sum())
        self._note_strange(labels[scored & ~known & labels.notna().to_numpy()])
        rows = pd.DataFrame({"y": y[known], **{f"p{i}": wide[known, i] for i in range(wide.shape[1])}})
        if blocks is not None:
            rows["block"] = blocks.to_numpy()[known]
        self._sample.add(rows, positions[known])

    def measure(self, spec: Project, threshold: float | None, metric: str | None = None) -> Performance:
        """`metric` (None: the project's) and the task's others, with intervals over blocks of rows that are not
        independent. A metric that the task does not have gives way to the task's default: the project file may have
        changed since the version was trained."""
        labelled, rows, strange = self._sample.rows, self._sample.frame(), (self._strange, self._name_strange(spec))
        if not labelled:
            said = "no label is known yet" if not self._strange else "every label is one that the model does not know"
            return Performance(0, (), said, None, *strange)
        y, of = rows["y"].to_numpy(), rows.filter(regex=r"^p\d+$").to_numpy()
        y = y if self._task == "regression" else y.astype(np.int64)
        prediction = of if self._task == "multiclass" else of[:, 0]
        blocks, single = find_blocks(rows, spec, self._seed)
        at = find_operating_point(spec, threshold)
        named = METRICS.get(metric or spec.train.metric or "")
        main = named if named and self._task in named.tasks else find_metric(None, self._task)
        others = [m for m in METRICS.values() if self._task in m.tasks and m.name != main.name]
        over = blocks.describe() + (f", {len(y):,} sampled rows" if len(y) < labelled else "")
        values = []
        by_class = {m.name: needs_each_class(m, y, prediction, self._task, at) for m in (main, *others)}
        for one in (main, *others):
            replicates = replicate(one, y, prediction, blocks, at, y if by_class[one.name] else None)
            if not math.isfinite(replicates.value):
                continue
            low, high = two_sided(one, replicates, CONFIDENCE)
            values.append(
                MetricValue(
                    one.name,
                    replicates.value,
                    low,
                    high,
                    CONFIDENCE,
                    one.larger_is_better,
                    f"jackknife over {over}",
                )
            )
        positives = float(y.mean()) if self._task == "binary" else None
        doubt = self._doubt(y, values, main, by_class[main.name]) or self._doubt_share(labelled, spec)
        bias = measure_bias(y, prediction, self._task, blocks)
        return Performance(labelled, tuple(values), doubt, positives, *strange, bias, single)

    def _doubt_share(self, labelled: int, spec: Project) -> str:
        share = (labelled + self._strange) / max(self._scored, 1)
        if share >= spec.monitor.labels_needed:
            return ""
        return (
            f"{share:.0%} of the scored rows have their label, and those that come first may be of one kind; "
            f"{spec.monitor.labels_needed:.0%} are needed"
        )

    def _note_strange(self, labels: pd.Series[Any]) -> None:
        self._strange += len(labels)
        for value, rows in labels.value_counts().head(MOST_STRANGERS).items():
            if value in self._strangers or len(self._strangers) < MOST_STRANGERS:
                self._strangers[value] += int(rows)

    def _name_strange(self, spec: Project) -> tuple[str, ...]:
        """Some of the strange labels: numbers, and texts that enough rows have and that name no person."""
        texts = pd.Series([v for v in self._strangers if isinstance(v, str)], dtype=object, name=spec.data.target)
        data = spec.data
        if len(texts) and find_personal(texts.to_frame(), stated=data.personal, cleared=data.not_personal):
            return ()
        told = [v for v, n in self._strangers.most_common() if not isinstance(v, str) or n >= FEWEST_OF_A_VALUE]
        return tuple(repr(v.item() if hasattr(v, "item") else v)[:40] for v in told[:NAMED])

    def _doubt(self, y: NDArray[Any], values: Sequence[MetricValue], main: Metric, by_class: bool) -> str:
        if len(y) < FEWEST_JUDGED:
            return f"{len(y):,} labels are known, fewer than {FEWEST_JUDGED} say too little"
        if by_class:
            rarest = int(np.bincount(y, minlength=len(self._codes)).min())
            if rarest < FEWEST_OF_A_CLASS:
                return f"a class has {rarest} labelled rows, fewer than {FEWEST_OF_A_CLASS} say too little"
        if not values or values[0].name != main.name:
            return f"{main.title} is not defined on the labelled rows"
        if not math.isfinite(values[0].low):
            return "the labelled rows lie in too few days or groups for an interval"
        return ""
