"""A challenger on its test rows, beside the trivial prediction and the champion on the same rows."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import Project
from tasks.config.gates import resolve_amount
from tasks.evaluation.bounds import check_gates, list_bounds, name_gate
from tasks.evaluation.contender import Contender, predict_contender, predict_like
from tasks.evaluation.curves import draw_curves
from tasks.evaluation.importance import measure_importance
from tasks.evaluation.judged_rows import JudgedRows, no_value
from tasks.results import Evaluation, FittedModel, Split, TrainingFrame
from tasks.stage import stage
from tasks.stats.intervals import Blocks, block_rows, deal_rows
from tasks.stats.metrics import METRICS, Array, Metric, OperatingPoint, find_metric
from tasks.stats.prediction import predict_trivially

log = logging.getLogger(__name__)
Positions = Sequence[int] | NDArray[np.int64]


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
    ConfigError where the task has no such metric, or the gates ask for what it does not have (`check_gates`).
    """
    check_gates(spec, rows.task)
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

    test = JudgedRows(y, make_blocks(blocks, len(y), rows, spec), rows.task)
    at = find_point(challenger.threshold, spec)
    replicates = {
        m.name: test.replicate(m, prediction, at)
        for m in METRICS.values()
        if m is chosen or (rows.task in m.tasks and (m.needs != "costs" or spec.train.costs))
    }
    own = replicates[chosen.name]
    if not math.isfinite(own.value):
        why = f"{chosen.title} is not defined on the {len(y):,} test rows{_name_absent(rows, y)}"
        return _unjudged(why, chosen, spec, len(places))
    constant = predict_trivially(chosen, fit_target, len(y), at, rows.task, rows.classes)
    trivial = test.replicate(chosen, constant, at)
    asked = resolve_amount(spec.gates.settle_baseline(chosen.unit), trivial.value)
    against_champion, champion_value, champion_problem = None, None, ""
    if champion is not None:
        theirs, champion_problem = predict_contender(champion, frame, rows)
        keep = np.ones(len(y), bool) if champion_unseen is None else np.asarray(champion_unseen, bool)
        if theirs is not None and not _can_tell_apart(y[keep], rows):
            champion_problem = f"it has seen all but {keep.sum():,} of the {len(y):,} test rows, too few to compare on"
        elif theirs is not None:
            shared = test.take(keep)
            champion_own = shared.replicate(chosen, theirs[keep], find_point(champion.threshold, spec))
            champion_value = shared.value(chosen, champion_own)
            reached = chosen.compute(y[keep], constant[keep], at)
            margin = resolve_amount(spec.gates.champion.settle_margin(chosen.unit), reached)
            mine = own if shared is test else shared.replicate(chosen, prediction[keep], at)
            against_champion = shared.compare(chosen, mine, champion_own, "champion", margin, margin, at_level)
    gained = chosen.gain(own.value, trivial.value)
    return Evaluation(
        rows=len(y),
        blocks=None if blocks is None else test.blocks.count,
        metrics=tuple(test.value(METRICS[name], r) for name, r in replicates.items()),
        baseline=test.value(chosen, trivial),
        champion=champion_value,
        curves=draw_curves(y, prediction, rows.task, rows.classes),
        importance=_importance(challenger, rows, frame, y, chosen, at, spec.train.seed) if importance else {},
        metric_name=chosen.name,
        block_unit=test.blocks.describe(),
        against_baseline=test.compare(chosen, own, trivial, "constant prediction", asked, gained - asked, at_level),
        against_champion=against_champion,
        bounded={
            name_gate(kind, name): test.bound(METRICS[name], replicates[name], limit, at_level)
            for kind, name, limit in list_bounds(spec.gates)
        },
        champion_problem=champion_problem,
    )


def _find_problem(frame: TrainingFrame, y: Array, blocks: Sequence[str] | None) -> str:
    if len(y) == 0:
        return "there is no test row"
    if pd.isna(y).any():
        return f"{int(pd.isna(y).sum()):,} of {len(y):,} test rows have no label"
    if not _can_tell_apart(y, frame):
        return f"the {len(y):,} test rows hold 1 of the target's {len(frame.classes)} classes{_name_absent(frame, y)}"
    if blocks is not None and len(blocks) != len(y):
        return f"the split names blocks for {len(blocks):,} of {len(y):,} test rows"
    return ""


def _can_tell_apart(y: Array, frame: TrainingFrame) -> bool:
    """Whether there is a row, and for classes two that differ."""
    return len(np.unique(y)) >= (1 if frame.task == "regression" else 2)


def _name_absent(frame: TrainingFrame, y: Array) -> str:
    """The classes of which no row is there, in words; empty where there is none."""
    if frame.task == "regression":
        return ""
    present = set(np.unique(y).tolist())
    absent = [repr(label)[:40] for code, label in enumerate(frame.classes) if code not in present]
    shown = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
    return f": none is of class {shown}. More rows or a larger split.test may bring some" if absent else ""


def _unjudged(problem: str, metric: Metric, spec: Project, rows: int) -> Evaluation:
    log.warning("%s: %s", spec.name, problem)
    nothing = no_value(metric)
    return Evaluation(
        rows=rows,
        blocks=None,
        metrics=(nothing,),
        baseline=nothing,
        champion=None,
        metric_name=metric.name,
        problem=problem,
    )


def make_blocks(blocks: Sequence[str] | None, rows: int, frame: TrainingFrame, spec: Project) -> Blocks:
    """The blocks that test rows lie in, from the day or group that each is named by; dealt at random where none is."""
    if blocks is None:
        return deal_rows(rows, spec.train.seed)
    by_day = frame.group is None  # days follow each other, and neighbours may be alike
    return block_rows(blocks, "days" if by_day else "groups", ordered=by_day)


def find_point(threshold: float | None, spec: Project) -> OperatingPoint:
    """Where a model decides, and what the project file says that wrong decisions cost."""
    costs = spec.train.costs
    return OperatingPoint(
        threshold=0.5 if threshold is None else threshold,
        false_positive=costs.false_positive if costs else None,
        false_negative=costs.false_negative if costs else None,
        quantile=spec.train.quantile,
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
