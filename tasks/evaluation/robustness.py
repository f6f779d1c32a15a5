"""How far the metric falls where rows are worse than they were: values missing, never seen, noisy, a feature lost.

Each is done to the same bounded sample of test rows, whose values as they are give the metric that it falls from: a
paired difference. Where limits are stated, the one-sided bounds of all falls together are Holm-corrected.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config.gates import Robustness, resolve_amount
from tasks.evaluation.judged_rows import JudgedRows
from tasks.results import Finding, Perturbation, RobustnessAudit
from tasks.stats.comparison import compare, design_level
from tasks.stats.intervals import Estimate, Replicates
from tasks.stats.metrics import Array, Metric, OperatingPoint
from tasks.stats.multiplicity import step_down

log = logging.getLogger(__name__)
MAX_ROWS = 5_000
MIN_ROWS = 1_000
MAX_PREDICTED = 200_000  # rows over all features that are lost in turn; with many features each is lost on fewer rows
NEVER_SEEN = "\N{REPLACEMENT CHARACTER}never seen"  # a category's value that no training had
Predict = Callable[[pd.DataFrame], Array]


@dataclass(frozen=True)
class _Trial:
    """One thing that is done to the rows, and the fall that it is allowed to cause (None: any)."""

    kind: Literal["missing", "unseen", "noise", "lost"]
    column: str | None
    amount: float
    limit: float | None


@dataclass(frozen=True)
class _Outcome:
    """What came of it: the metric and its fall, or how the model broke."""

    value: float
    fall: Estimate
    problem: str = ""


def stress_model(
    predict: Predict,
    test: JudgedRows,
    frame: pd.DataFrame,
    metric: Metric,
    at: OperatingPoint,
    constant: Array,
    asked: Robustness,
    margin: float,
    confidence: float,
    seed: int,
) -> RobustnessAudit:
    """The ladder of perturbations of a model's features.

    `frame` (n rows) holds the features of the rows of `test`; `predict` takes such a frame. Where it raises, or gives
    numbers that are not finite, the model breaks, and that step fails. `constant` as in `judge_slices`; `confidence` is
    that of all steps together. A feature is needless where its loss is shown to cost less than `margin`.
    """
    rng = np.random.default_rng(seed)
    size = min(len(test.y), MAX_ROWS, max(MIN_ROWS, MAX_PREDICTED // max(frame.shape[1], 1)))
    chosen = np.zeros(len(test.y), bool)
    chosen[rng.choice(len(test.y), size, replace=False)] = True
    rows, sample = test.take(chosen), frame[chosen].reset_index(drop=True)
    whole, problem = _predict(predict, sample, rows, metric, at)
    if whole is None:
        return RobustnessAudit(metric.name, size, math.nan, problem=problem)
    trials = _plan(asked, metric.compute(rows.y, constant[chosen], at), [str(name) for name in sample.columns])
    outcomes = []
    for trial in trials:
        found, problem = _predict(predict, _perturb(sample, trial, np.random.default_rng(seed + 1)), rows, metric, at)
        if found is None:
            outcomes.append(_Outcome(math.nan, Estimate(math.nan), problem))
            continue
        difference = compare(metric, whole, found, confidence)
        fall = Estimate(difference.gain, difference.standard_error, difference.effective - 1)
        outcomes.append(_Outcome(found.value, fall))
    error = design_level(confidence)
    held = np.array([t.limit is not None and not o.problem for t, o in zip(trials, outcomes, strict=True)], bool)
    tested = [
        math.nan if t.limit is None else o.fall.test_above(t.limit) for t, o in zip(trials, outcomes, strict=True)
    ]
    holm = step_down(np.array(tested, np.float64)[held], error)
    failed, level = np.zeros(len(trials), bool), np.full(len(trials), error)
    failed[held], level[held] = holm.failed, holm.level
    steps = tuple(
        Perturbation(t.kind, t.column, t.amount, o.value, o.fall.value, *o.fall.bounds(float(level[i])), t.limit,
                     _find(t, o, bool(failed[i]), float(level[i])), o.problem)
        for i, (t, o) in enumerate(zip(trials, outcomes, strict=True))
    )  # fmt: skip
    lost = [(str(t.column), o) for t, o in zip(trials, outcomes, strict=True) if t.kind == "lost"]
    needless = tuple(name for name, o in lost if not o.problem and o.fall.bounds(error)[1] <= margin)
    return RobustnessAudit(metric.name, size, whole.value, steps, needless, margin)


def _plan(asked: Robustness, constant: float, columns: list[str]) -> list[_Trial]:
    one, lost = (None if a is None else resolve_amount(a, constant) for a in (asked.max_drop, asked.max_drop_lost))
    return [
        _Trial("missing", None, asked.missing, one),
        _Trial("unseen", None, asked.unseen, one),
        _Trial("noise", None, asked.noise, one),
        *(_Trial("lost", name, 1.0, lost) for name in columns),
    ]


def _predict(
    predict: Predict, sample: pd.DataFrame, rows: JudgedRows, metric: Metric, at: OperatingPoint
) -> tuple[Replicates | None, str]:
    """The metric of what the model gives for a sample, or None and how it broke."""
    try:
        prediction = predict(sample)
    except Exception as error:  # whatever a model raises is evidence against it
        log.info("a model broke on perturbed rows", exc_info=True)
        lines = str(error).strip().splitlines()
        return None, f"it fails with {type(error).__name__}: {lines[0][:200].rstrip('.') if lines else 'no message'}"
    broken = int((~np.isfinite(prediction.reshape(len(sample), -1))).any(axis=1).sum())
    if broken:
        return None, f"{broken:,} of {len(sample):,} predictions are not finite numbers"
    return rows.replicate(metric, prediction, at), ""


def _find(trial: _Trial, outcome: _Outcome, failed: bool, level: float) -> Finding:
    if failed or outcome.problem:  # a model that breaks on such rows is not sound, whatever it is worth on others
        return "fail"
    if trial.limit is None:
        return "reported"
    if not outcome.fall.told:
        return "too small"
    return "pass" if outcome.fall.bounds(level)[1] <= trial.limit else "undecided"


def _perturb(sample: pd.DataFrame, trial: _Trial, rng: np.random.Generator) -> pd.DataFrame:
    """The rows as the trial has them. Columns keep their types, but for whole numbers that become floats to be lost."""
    if trial.kind == "lost":
        changed = sample.copy()
        changed[trial.column] = _blank(sample[trial.column], np.ones(len(sample), bool))
        return changed
    columns = dict(_perturb_columns(sample, trial, rng))
    return pd.DataFrame({name: columns.get(name, sample[name]) for name in sample.columns}, index=sample.index)


def _perturb_columns(
    sample: pd.DataFrame, trial: _Trial, rng: np.random.Generator
) -> Iterator[tuple[str, pd.Series[Any]]]:
    for name in sample.columns:
        column = sample[name]
        hit = rng.random(len(sample)) < trial.amount
        numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
        textual = not numeric and not pd.api.types.is_datetime64_any_dtype(column.dtype)
        textual = textual and not pd.api.types.is_bool_dtype(column.dtype)
        if trial.kind == "missing":
            yield name, _blank(column, hit)
        elif trial.kind == "unseen" and textual:
            yield name, column.astype(object).where(~hit, NEVER_SEEN)
        elif trial.kind == "noise" and numeric:
            values = column.to_numpy(np.float64, na_value=np.nan)
            finite = values[np.isfinite(values)]
            spread = float(finite.std()) if len(finite) else 0.0
            yield name, pd.Series(values + rng.normal(size=len(values)) * spread * trial.amount, index=column.index)


def _blank(column: pd.Series[Any], hit: NDArray[np.bool_]) -> pd.Series[Any]:
    """The column without the values at `hit` (n,)."""
    dtype = column.dtype
    if pd.api.types.is_bool_dtype(dtype) or (
        pd.api.types.is_integer_dtype(dtype) and isinstance(dtype, np.dtype)  # plain ones cannot be missing
    ):
        column = column.astype("boolean" if pd.api.types.is_bool_dtype(dtype) else "float64")
    return column.mask(pd.Series(hit, index=column.index))
