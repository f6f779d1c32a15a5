"""A challenger on its test rows, beside the trivial prediction and the champion on the same rows."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import Project
from tasks.evaluation.curves import draw_curves
from tasks.evaluation.importance import measure_importance
from tasks.results import Comparison, Evaluation, FittedModel, MetricValue, Split, TrainingFrame
from tasks.stage import stage
from tasks.stats.comparison import compare, rows_for_power
from tasks.stats.intervals import Blocks, Replicates, block_rows, deal_rows, replicate, two_sided
from tasks.stats.metrics import METRICS, Array, Metric, OperatingPoint, find_metric
from tasks.stats.prediction import predict_constant, predict_rows

log = logging.getLogger(__name__)
INTERVAL_CONFIDENCE = 0.95


@dataclass(frozen=True)
class _TestRows:
    """What every prediction is judged on: labels (n,), blocks, and classes where each class must be there."""

    y: Array
    blocks: Blocks
    classes: Array | None

    def take(self, keep: NDArray[np.bool_]) -> _TestRows:
        """Some of the rows, in the blocks that they leave."""
        kept, of_row = np.unique(self.blocks.of_row[keep], return_inverse=True)
        blocks = Blocks(of_row.astype(np.int64), len(kept), self.blocks.unit)
        return _TestRows(self.y[keep], blocks, None if self.classes is None else self.classes[keep])

    def replicate(self, metric: Metric, prediction: Array, at: OperatingPoint) -> Replicates:
        return replicate(metric, self.y, prediction, self.blocks, at, self.classes)


def evaluate_test_rows(
    model: FittedModel,
    frame: TrainingFrame,
    split: Split,
    spec: Project,
    *,
    champion: Any | None = None,
    champion_features: Sequence[str] | None = None,
    champion_threshold: float | None = None,
    champion_unseen: NDArray[np.bool_] | None = None,
    importance: bool = True,
) -> Evaluation:
    """Judge `model` on the rows of `split.test`, and on no others.

    `champion` is its estimator; `champion_features` the columns that it reads (default: the names it was fitted
    with, else the challenger's) and `champion_threshold` its own decision threshold. The two are compared on the
    test rows that `champion_unseen` (n_test,) marks as outside the champion's own fit and search; None marks all.
    Where the challenger or the champion cannot be judged, the Evaluation says why in `problem` or
    `champion_problem`, its numbers are nan or absent, and no gate passes on them; nothing is raised for it.
    ConfigError where the task has no such metric.
    """
    metric = find_metric(model.metric, model.task)
    positions = np.asarray(split.test, dtype=np.int64)
    rows, y = frame.frame.iloc[positions], frame.target.iloc[positions].to_numpy()
    problem = _find_problem(frame, split, y)
    if problem:
        return _unjudged(problem, metric, spec, len(positions))
    prediction, problem = _predict(model.estimator, rows, model.features, model.task)
    if prediction is None:
        return _unjudged(f"the challenger cannot be judged on its test rows: {problem}", metric, spec, len(positions))

    test = _TestRows(y, _make_blocks(frame, split, spec), y if model.task != "regression" else None)
    at = _operating_point(model.threshold, spec)
    replicates = {
        m.name: test.replicate(m, prediction, at)
        for m in METRICS.values()
        if m is metric or (model.task in m.tasks and (m.needs != "costs" or spec.train.costs))
    }
    own = replicates[metric.name]
    y_fit = frame.target.iloc[list(split.fit)].to_numpy()
    trivial = test.replicate(metric, _trivial_prediction(metric, y_fit, len(y), at), at)
    gained = compare(metric, own, trivial, spec.gates.champion.confidence).gain
    against_champion, champion_value, champion_problem = None, None, ""
    if champion is not None:
        columns = champion_features or getattr(champion, "feature_names_in_", None)
        features = tuple(model.features if columns is None else columns)
        theirs, champion_problem = _predict(champion, rows, features, model.task)
        keep = np.ones(len(y), bool) if champion_unseen is None else np.asarray(champion_unseen, bool)
        if theirs is not None and not _covers(y[keep], frame):
            champion_problem = f"it has seen all but {keep.sum():,} of the {len(y):,} test rows, too few to compare on"
        elif theirs is not None:
            shared = test if keep.all() else test.take(keep)
            their_point = at if champion_threshold is None else _operating_point(champion_threshold, spec)
            champion_own = shared.replicate(metric, theirs[keep], their_point)
            champion_value = _value(metric, champion_own, shared.blocks)
            mine = own if keep.all() else shared.replicate(metric, prediction[keep], at)
            margin = spec.gates.champion.margin
            against_champion = _compare(metric, mine, champion_own, shared, "champion", margin, spec)
    return Evaluation(
        rows=len(y),
        blocks=None if split.blocks is None else test.blocks.count,
        metrics=tuple(_value(METRICS[name], r, test.blocks) for name, r in replicates.items()),
        baseline=_value(metric, trivial, test.blocks),
        champion=champion_value,
        curves=draw_curves(y, prediction, model.task),
        importance=_importance(model, metric, rows, y, at, spec) if importance else {},
        metric_name=metric.name,
        block_unit=test.blocks.describe(),
        against_baseline=_compare(
            metric, own, trivial, test, "constant prediction", gained - spec.gates.beat_baseline_by, spec
        ),
        against_champion=against_champion,
        champion_problem=champion_problem,
    )


def _find_problem(frame: TrainingFrame, split: Split, y: Array) -> str:
    if len(y) == 0:
        return "there is no test row"
    if pd.isna(y).any():
        return f"{int(pd.isna(y).sum()):,} of {len(y):,} test rows have no label"
    if frame.task != "regression" and len(np.unique(y)) < len(frame.classes):
        return f"the {len(y):,} test rows hold {len(np.unique(y))} of the target's {len(frame.classes)} classes"
    if split.blocks is not None and len(split.blocks) != len(y):
        return f"the split names blocks for {len(split.blocks):,} of {len(y):,} test rows"
    return ""


def _unjudged(problem: str, metric: Metric, spec: Project, rows: int) -> Evaluation:
    log.warning("%s: %s", spec.name, problem)
    nothing = MetricValue(
        metric.name, math.nan, math.nan, math.nan, INTERVAL_CONFIDENCE, metric.larger_is_better, "not computed"
    )
    return Evaluation(
        rows=rows,
        blocks=None,
        metrics=(nothing,),
        baseline=nothing,
        champion=None,
        metric_name=metric.name,
        problem=problem,
    )


def _covers(y: Array, frame: TrainingFrame) -> bool:
    """Whether some rows hold every class, or for a regression any value."""
    return len(np.unique(y)) == len(frame.classes) if frame.task != "regression" else len(y) > 0


def _predict(estimator: Any, rows: pd.DataFrame, features: Sequence[str], task: Any) -> tuple[Array | None, str]:
    """Predictions, or None and why there are none."""
    missing = [name for name in features if name not in rows.columns]
    if missing:
        return None, f"it reads column {missing[0]!r}, which the test rows do not have"
    try:
        prediction = predict_rows(estimator, rows[list(features)], task)
    except Exception as error:  # whatever a model raises is evidence against it, and holds the release
        log.exception("a model failed on the test rows")
        return None, f"it fails on them with {type(error).__name__}: {_first_line(error)}"
    if len(prediction) != len(rows):
        return None, f"it gives {len(prediction):,} predictions for {len(rows):,} rows"
    if not np.isfinite(prediction).all():
        return None, f"{int((~np.isfinite(prediction)).sum()):,} of its predictions are not finite numbers"
    return prediction, ""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "no message"


def _make_blocks(frame: TrainingFrame, split: Split, spec: Project) -> Blocks:
    if split.blocks is None:
        return deal_rows(len(split.test), spec.train.seed)
    return block_rows(split.blocks, "days" if frame.group is None else "groups")


def _operating_point(threshold: float | None, spec: Project) -> OperatingPoint:
    costs = spec.train.costs
    return OperatingPoint(
        threshold=0.5 if threshold is None else threshold,
        false_positive=costs.false_positive if costs else None,
        false_negative=costs.false_negative if costs else None,
    )


def _trivial_prediction(metric: Metric, y_fit: Array, rows: int, at: OperatingPoint) -> Array:
    """The mean of the fitting rows; where decisions are judged, the constant decision that is best on those rows."""
    if metric.needs == "predictions":
        return predict_constant(y_fit, rows)
    never, always = (metric.compute(y_fit, np.full(len(y_fit), constant), at) for constant in (0.0, 1.0))
    return np.full(rows, 1.0 if metric.gain(always, never) > 0 else 0.0)


def _value(metric: Metric, replicates: Replicates, blocks: Blocks) -> MetricValue:
    low, high = two_sided(metric, replicates, INTERVAL_CONFIDENCE)
    return MetricValue(
        name=metric.name,
        value=replicates.value,
        low=low,
        high=high,
        confidence=INTERVAL_CONFIDENCE,
        larger_is_better=metric.larger_is_better,
        method=f"jackknife over {blocks.describe()}",
    )


def _compare(
    metric: Metric, own: Replicates, other: Replicates, test: _TestRows, name: str, shift: float, spec: Project
) -> Comparison:
    confidence = spec.gates.champion.confidence
    difference = compare(metric, own, other, confidence)
    return Comparison(
        metric=metric.name,
        other=name,
        gain=difference.gain,
        low=difference.low,
        high=difference.high,
        confidence=confidence,
        method=f"paired jackknife-t over {test.blocks.describe()}",
        rows=len(test.y),
        blocks=test.blocks.count,
        effective_blocks=difference.effective,
        standard_error=difference.standard_error,
        rows_needed=rows_for_power(difference, len(test.y), shift, confidence),
    )


def _importance(
    model: FittedModel, metric: Metric, rows: pd.DataFrame, y: Array, at: OperatingPoint, spec: Project
) -> dict[str, float]:
    def score(frame: pd.DataFrame) -> Array:
        return predict_rows(model.estimator, frame, model.task)

    return measure_importance(score, metric, rows[list(model.features)], y, at, spec.train.seed)


@stage("evaluate")
def evaluate_challenger(
    model: FittedModel,
    frame: TrainingFrame,
    split: Split,
    spec: Project,
    champion: Any | None = None,
    champion_features: Sequence[str] | None = None,
    champion_threshold: float | None = None,
    champion_unseen: NDArray[np.bool_] | None = None,
) -> Evaluation:
    """The challenger on its test rows; see `evaluate_test_rows`."""
    return evaluate_test_rows(
        model,
        frame,
        split,
        spec,
        champion=champion,
        champion_features=champion_features,
        champion_threshold=champion_threshold,
        champion_unseen=champion_unseen,
    )
