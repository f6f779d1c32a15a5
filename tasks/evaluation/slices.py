"""The model on parts of the test rows: is it worse there, by more than is allowed, than it should be?

A slice is held to the champion on the same rows or, without a champion, to the model's own metric on all test rows.
One-sided jackknife-t tests of the drop, Holm-corrected over all slices: a slice fails only where its interval lies
beyond the limit, and a model without fault fails by chance at most as often as was accepted, however many there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config.gates import Slices, resolve_amount
from tasks.errors import ConfigError
from tasks.evaluation.judged_rows import JudgedRows
from tasks.evaluation.parts import Part, find_parts
from tasks.results import Finding, SliceAudit, SliceResult
from tasks.stats.comparison import design_level
from tasks.stats.intervals import (
    MIN_EFFECTIVE_BLOCKS,
    Estimate,
    Replicates,
    count_effective,
    needs_each_class,
)
from tasks.stats.measures import mean_of, squared
from tasks.stats.metrics import METRICS, Array, Metric, OperatingPoint, TaskType, find_metric
from tasks.stats.multiplicity import step_down

FEWEST_ROWS = 30  # below, and with fewer than FEWEST_OF_A_CLASS rows of a class, nothing is said of a slice
FEWEST_OF_A_CLASS = 10
_COMPARABLE = {"average_precision": "roc_auc", "f1": "roc_auc", "average_precision_macro": "roc_auc_ovr"}


@dataclass(frozen=True)
class Rival:
    """The champion's predictions on the test rows, where it decides, and on which rows it may be compared."""

    prediction: Array
    at: OperatingPoint
    unseen: NDArray[np.bool_]


def find_slice_metric(slices: Slices, metric: str | None, task: TaskType) -> Metric:
    """What slices are compared by; ConfigError where the task has no such metric.

    Average precision and F1 follow the share of positives: on a slice that has few they are low for any model.
    """
    if slices.metric is not None:
        metrics = [m.name for m in METRICS.values() if task in m.tasks and m.needs != "costs"]
        if slices.metric not in metrics:
            raise ConfigError(
                f"gates.slices.metric: {slices.metric!r} is no metric of a {task} target that slices are compared by; "
                f"expected one of: {', '.join(metrics)}."
            )
        return METRICS[slices.metric]
    chosen = find_metric(metric, task)
    return find_metric(_COMPARABLE.get(chosen.name, chosen.name), task)


def settle_metric(metric: Metric, y: Array) -> Metric:
    """The metric as it can be compared between slices: R2 against the spread of all rows `y` (n,), since against its
    own a slice that has little of it looks bad whatever the model."""
    spread = float(np.var(y)) if metric.name == "r2" else 0.0
    if not spread > 0:
        return metric
    return replace(metric, measure=mean_of(squared, lambda mean: 1 - mean / spread))


def judge_slices(
    test: JudgedRows,
    prediction: Array,
    at: OperatingPoint,
    frame: pd.DataFrame,
    declared: Sequence[Part],
    found: Sequence[Part],
    slices: Slices,
    metric: Metric,
    constant: Array,
    confidence: float,
    rival: Rival | None = None,
) -> SliceAudit:
    """Every slice of the test rows; `frame` (n rows) has the columns that parts are told by.

    `constant` (n,) or (n, classes) is the constant prediction, which a limit in per cent is one of. `confidence` is
    that of all slices together.
    """
    metric = settle_metric(metric, test.y)
    keep = np.ones(len(test.y), bool) if rival is None else rival.unseen
    rows, own, part_frame = test.take(keep), prediction[keep], frame[keep]
    limit = None
    if slices.max_drop is not None and len(rows.y):
        limit = resolve_amount(slices.max_drop, metric.compute(rows.y, constant[keep], at))
    whole = rows.replicate(metric, own, at)
    theirs = None if rival is None else (rival.prediction[keep], rival.at)
    searched = [part for part in found if part.conditions not in [p.conditions for p in declared]]
    parts = [*((part, False) for part in declared), *((part, True) for part in searched)]
    masks = find_parts([part for part, _ in parts], part_frame)
    cut = [(part, inside, is_found) for (part, is_found), inside in zip(parts, masks, strict=True)
           if inside.any() or (part.is_named and not is_found)]  # fmt: skip
    insides = [inside for _, inside, _ in cut]
    drops = [_measure_drop(rows, metric, own, at, inside, whole, theirs) for inside in insides]
    # Against all rows, what was searched for is weaker by its nature: it is shown, and blamed on nobody.
    held = [limit is not None and not (is_found and rival is None) for _, _, is_found in cut]
    against = [
        d.by.test_above(limit) if h and limit is not None else math.nan for d, h in zip(drops, held, strict=True)
    ]
    told = np.array([not math.isnan(p) for p in against], bool)
    error = design_level(confidence)
    holm = step_down(np.array(against, np.float64)[told], error)
    level = np.full(len(drops), error / max(int(told.sum()), 1))
    failed = np.zeros(len(drops), bool)
    level[told], failed[told] = holm.level, holm.failed
    results = []
    for number, ((part, _, is_found), drop) in enumerate(zip(cut, drops, strict=True)):
        inside = insides[number]
        low, high = drop.by.bounds(float(level[number]))
        finding = _find(drop, limit if held[number] else None, bool(failed[number]), high)
        results.append(
            SliceResult(
                name=part.name,
                conditions=() if part.hidden else part.conditions,
                found=is_found,
                rows=drop.rows,
                metric=rows.take(inside).judge(metric, own[inside], at),
                other=drop.other,
                drop=drop.by.value,
                low=low,
                high=high,
                confidence=1 - float(level[number]),
                p_value=against[number],
                finding=finding,
            )
        )
    if limit is not None and not math.isfinite(limit):
        problem = f"max_drop is a percentage of the constant prediction's {metric.title}, which is not defined here"
        return SliceAudit(metric.name, _against(rival), None, confidence, tuple(results), problem)
    return SliceAudit(metric.name, _against(rival), limit, confidence, tuple(results))


@dataclass(frozen=True)
class _Drop:
    """How much worse the metric is on a slice than what it is held to."""

    rows: int
    other: float
    by: Estimate


def _measure_drop(
    rows: JudgedRows,
    metric: Metric,
    own: Array,
    at: OperatingPoint,
    inside: NDArray[np.bool_],
    whole: Replicates,
    theirs: tuple[Array, OperatingPoint] | None,
) -> _Drop:
    count, y = int(inside.sum()), rows.y[inside]
    if not count:
        return _Drop(0, math.nan, Estimate(math.nan))
    there = metric.compute(y, own[inside], at)
    other = whole.value if theirs is None else metric.compute(y, theirs[0][inside], theirs[1])
    drop = _Drop(count, other, Estimate(metric.gain(other, there)))
    blocks = rows.blocks
    if not _is_large_enough(rows, inside, needs_each_class(metric, y, own[inside], rows.task, at)):
        return drop
    # Over the blocks of all rows: one without a row of the slice leaves it as it is, and moves only what it is held to.
    of_row = blocks.of_row[inside]
    without = metric.compute_without(y, own[inside], of_row, blocks.count, at)
    if theirs is None:
        held_to = whole.without
    else:
        held_to = metric.compute_without(y, theirs[0][inside], of_row, blocks.count, theirs[1])
    sign = 1.0 if metric.larger_is_better else -1.0
    effective = count_effective(blocks.take(inside), y if rows.task == "binary" else None)
    spread = Replicates(drop.by.value, sign * (held_to - without), effective, blocks.ordered).spread()
    return replace(drop, by=Estimate(drop.by.value, *spread))


def _is_large_enough(rows: JudgedRows, inside: NDArray[np.bool_], by_class: bool) -> bool:
    """Whether a slice has rows, rows of each class where that matters, and blocks enough for a test."""
    y = rows.y[inside]
    if len(y) < FEWEST_ROWS:
        return False
    if by_class:
        counts = np.unique(y, return_counts=True)[1]
        if len(counts) < 2 or counts.min() < FEWEST_OF_A_CLASS:
            return False
    effective = count_effective(rows.blocks.take(inside), y if by_class else None)
    return effective >= MIN_EFFECTIVE_BLOCKS - 1e-9


def _find(drop: _Drop, limit: float | None, failed: bool, high: float) -> Finding:
    if not drop.by.told:
        return "too small"
    if limit is None or not math.isfinite(limit):
        return "reported"
    if failed:
        return "fail"
    return "pass" if high <= limit else "undecided"


def _against(rival: Rival | None) -> Literal["champion", "all test rows"]:
    return "all test rows" if rival is None else "champion"
