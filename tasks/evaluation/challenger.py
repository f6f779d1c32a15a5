"""A challenger on its test rows, beside the trivial prediction and the champion on the same rows."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import Project
from tasks.evaluation.contender import Contender, predict_contender, predict_like
from tasks.evaluation.curves import draw_curves
from tasks.evaluation.importance import measure_importance
from tasks.results import Comparison, Evaluation, FittedModel, MetricValue, Split, TrainingFrame
from tasks.stage import stage
from tasks.stats.comparison import compare, rows_for_power
from tasks.stats.intervals import Blocks, Replicates, block_rows, deal_rows, replicate, two_sided
from tasks.stats.metrics import METRICS, Array, Metric, OperatingPoint, find_metric
from tasks.stats.prediction import predict_constant

log = logging.getLogger(__name__)
INTERVAL_CONFIDENCE = 0.95
Positions = Sequence[int] | NDArray[np.int64]


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
    champion: Contender | None = None,
    champion_unseen: NDArray[np.bool_] | None = None,
    confidence: float | None = None,
    importance: bool = True,
) -> Evaluation:
    """Judge a model that was just fitted on the rows of `split.test`, and on no others; see `evaluate_stored`."""
    return evaluate_stored(
        Contender.of(model),
        frame,
        split.test,
        frame.target.iloc[list(split.fit)].to_numpy(),
        spec,
        metric=model.metric,
        blocks=split.blocks,
        champion=champion,
        champion_unseen=champion_unseen,
        confidence=confidence,
        importance=importance,
    )


def evaluate_stored(
    challenger: Contender,
    rows: TrainingFrame,
    positions: Positions,
    fit_target: Array,
    spec: Project,
    *,
    metric: str | None = None,
    blocks: Sequence[str] | None = None,
    champion: Contender | None = None,
    champion_unseen: NDArray[np.bool_] | None = None,
    confidence: float | None = None,
    importance: bool = False,
) -> Evaluation:
    """Judge any fitted model on the rows at `positions` (n,) of `rows`, and on no others.

    `fit_target` (m,) are the labels, written as in `rows.target`, that the trivial prediction is made of: those of
    the rows that the challenger was fitted on. `metric` is the one that gates compare; None takes the project's.
    `blocks` names for each position the day or group whose rows are not independent; None where all are.
    `champion` is compared on the rows that `champion_unseen` (n,) marks as outside its own fit and search; None marks
    all. `confidence` is that of each one-sided bound by itself; None takes `gates.champion.confidence`.

    Where the challenger or the champion cannot be judged, the Evaluation says why in `problem` or
    `champion_problem`, its numbers are nan or absent, and no gate passes on them; nothing is raised for it.
    ConfigError where the task has no such metric.
    """
    chosen = find_metric(metric or spec.train.metric, rows.task)
    at_level = spec.gates.champion.confidence if confidence is None else confidence
    places = np.asarray(positions, dtype=np.int64)
    frame, y = rows.frame.iloc[places], rows.target.iloc[places].to_numpy()
    problem = _find_problem(rows, y, blocks)
    if problem:
        return _unjudged(problem, chosen, spec, len(places))
    prediction, problem = predict_contender(challenger, frame, rows)
    if prediction is None:
        return _unjudged(f"the challenger cannot be judged on its test rows: {problem}", chosen, spec, len(places))

    test = _TestRows(y, _make_blocks(blocks, len(y), rows, spec), y if rows.task != "regression" else None)
    at = _operating_point(challenger.threshold, spec)
    replicates = {
        m.name: test.replicate(m, prediction, at)
        for m in METRICS.values()
        if m is chosen or (rows.task in m.tasks and (m.needs != "costs" or spec.train.costs))
    }
    own = replicates[chosen.name]
    trivial = test.replicate(chosen, _trivial_prediction(chosen, fit_target, len(y), at), at)
    gained = compare(chosen, own, trivial, at_level).gain
    against_champion, champion_value, champion_problem = None, None, ""
    if champion is not None:
        theirs, champion_problem = predict_contender(champion, frame, rows)
        keep = np.ones(len(y), bool) if champion_unseen is None else np.asarray(champion_unseen, bool)
        if theirs is not None and not _covers(y[keep], rows):
            champion_problem = f"it has seen all but {keep.sum():,} of the {len(y):,} test rows, too few to compare on"
        elif theirs is not None:
            shared = test if keep.all() else test.take(keep)
            champion_own = shared.replicate(chosen, theirs[keep], _operating_point(champion.threshold, spec))
            champion_value = _value(chosen, champion_own, shared.blocks)
            mine = own if keep.all() else shared.replicate(chosen, prediction[keep], at)
            margin = spec.gates.champion.margin
            against_champion = _compare(chosen, mine, champion_own, shared, "champion", margin, at_level)
    return Evaluation(
        rows=len(y),
        blocks=None if blocks is None else test.blocks.count,
        metrics=tuple(_value(METRICS[name], r, test.blocks) for name, r in replicates.items()),
        baseline=_value(chosen, trivial, test.blocks),
        champion=champion_value,
        curves=draw_curves(y, prediction, rows.task),
        importance=_importance(challenger, rows, frame, y, chosen, at, spec.train.seed) if importance else {},
        metric_name=chosen.name,
        block_unit=test.blocks.describe(),
        against_baseline=_compare(
            chosen, own, trivial, test, "constant prediction", gained - spec.gates.beat_baseline_by, at_level
        ),
        against_champion=against_champion,
        champion_problem=champion_problem,
    )


def _find_problem(frame: TrainingFrame, y: Array, blocks: Sequence[str] | None) -> str:
    if len(y) == 0:
        return "there is no test row"
    if pd.isna(y).any():
        return f"{int(pd.isna(y).sum()):,} of {len(y):,} test rows have no label"
    if frame.task != "regression" and len(np.unique(y)) < len(frame.classes):
        return f"the {len(y):,} test rows hold {len(np.unique(y))} of the target's {len(frame.classes)} classes"
    if blocks is not None and len(blocks) != len(y):
        return f"the split names blocks for {len(blocks):,} of {len(y):,} test rows"
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


def _make_blocks(blocks: Sequence[str] | None, rows: int, frame: TrainingFrame, spec: Project) -> Blocks:
    if blocks is None:
        return deal_rows(rows, spec.train.seed)
    return block_rows(blocks, "days" if frame.group is None else "groups")


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
    metric: Metric, own: Replicates, other: Replicates, test: _TestRows, name: str, shift: float, confidence: float
) -> Comparison:
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
    challenger: Contender,
    rows: TrainingFrame,
    frame: pd.DataFrame,
    y: Array,
    metric: Metric,
    at: OperatingPoint,
    seed: int,
) -> dict[str, float]:
    def score(sample: pd.DataFrame) -> Array:
        prediction = predict_like(challenger, sample, rows)
        assert prediction is not None  # it predicted these rows before
        return prediction

    return measure_importance(score, metric, frame[list(challenger.features)], y, at, seed)


@stage("evaluate")
def evaluate_challenger(
    model: FittedModel,
    frame: TrainingFrame,
    split: Split,
    spec: Project,
    champion: Contender | None = None,
    champion_unseen: NDArray[np.bool_] | None = None,
    confidence: float | None = None,
) -> Evaluation:
    """The challenger on its test rows; see `evaluate_test_rows`."""
    return evaluate_test_rows(
        model, frame, split, spec, champion=champion, champion_unseen=champion_unseen, confidence=confidence
    )
