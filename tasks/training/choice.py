"""Which trial the model is built from: the best of the search, or a simpler candidate that is shown not to be worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.config import Project
from tasks.config.gates import resolve_amount
from tasks.results import Split, TrainingFrame, Trial
from tasks.stats.comparison import split_confidence
from tasks.stats.intervals import student_quantile
from tasks.stats.metrics import Metric
from tasks.stats.prediction import predict_trivially
from tasks.training.calibration import find_operating_point
from tasks.training.candidates import CANDIDATES
from tasks.training.search import usable_folds


@dataclass(frozen=True)
class Leeway:
    """How far a simpler candidate may be behind the best: `margin` in the metric's own units, shown at `confidence`.

    `overlap` is how many rows a fold judges for each that it learns from: the folds share the latter, so what they
    find differs less than what fresh rows would.
    """

    margin: float
    confidence: float
    overlap: float


def find_leeway(frame: TrainingFrame, split: Split, spec: Project, metric: Metric) -> Leeway:
    """The champion's margin and confidence, for the rows that the search's folds were judged on.

    A percentage is one of what the constant prediction of each fold's training rows reaches on its validation rows,
    on average.
    """
    target, rule = frame.target.to_numpy(), spec.gates.champion
    reached, overlaps = [], []
    for train, validation in usable_folds(frame, split):
        known, judged = target[train], target[validation]
        at = find_operating_point(spec.train, known, frame.task)
        constant = predict_trivially(metric, known, len(judged), at, frame.task, frame.classes)
        reached.append(metric.compute(judged, constant, at))
        overlaps.append(len(validation) / len(train))
    margin = resolve_amount(rule.settle_margin(metric.unit), float(np.mean(reached)))
    return Leeway(margin, rule.confidence, float(np.mean(overlaps)))


def choose_trial(trials: Sequence[Trial], metric: Metric, leeway: Leeway) -> tuple[Trial, str]:
    """The trial to build the model from, and a sentence that says why.

    The best mean over the folds wins, unless a simpler candidate's own best trial is shown to be behind by less than
    the margin: by the upper bound of the paired difference over the folds, after Nadeau and Bengio (2003), whose
    standard error allows for the rows that the folds share. Of several simpler ones the simplest that is shown to be
    so, with the error split over them. It takes a difference that is much the same in all folds: with three, a spread
    of about a third of the margin. In simulations a simpler one that is truly worse by the margin is preferred to a
    better mean at most 3 times in 100, and by twice the margin at most once.
    """
    best = max(trials, key=lambda t: t.score)  # the first of equals
    rivals = {t.candidate: t for t in sorted(trials, key=lambda t: (t.score, -t.number))}
    folds, sign = len(best.scores), 1 if metric.larger_is_better else -1
    said = f"mean {metric.title} {sign * best.score:.4g} on {folds} search fold{'s' if folds > 1 else ''}"
    if len(rivals) == 1:
        return best, f"{best.candidate}, the only candidate tried: {said}, the best of {_count(len(trials))}."
    order = [name for name in CANDIDATES if name in rivals]  # from simple to complex
    simpler = order[: order.index(best.candidate)]
    if not simpler:
        return best, f"{best.candidate}: the best {said} in {_count(len(trials))}; it is also the simplest."
    confidence = split_confidence(leeway.confidence, len(simpler))
    asked = f"the margin of {leeway.margin:.3g} (gates.champion.margin)"
    lost = []
    for name in simpler:
        gap, most = _bound_gap(best, rivals[name], confidence, leeway.overlap)
        if most <= leeway.margin:
            return rivals[name], (
                f"{name}: {best.candidate} has the best {said}, but {name} is only {gap:.3g} behind, with"
                f" {confidence * 100:.4g}% confidence at most {most:.3g}, which is within {asked}; it is the simpler."
            )
        might = f"maybe by {most:.3g}" if math.isfinite(most) else "and one fold shows no spread"
        lost.append(f"{name} is {gap:.3g} behind, {might}")
    behind = ", ".join(lost)
    return (
        best,
        f"{best.candidate}: the best {said} in {_count(len(trials))}; {behind}: not shown to be within {asked}.",
    )


def _bound_gap(best: Trial, simpler: Trial, confidence: float, overlap: float) -> tuple[float, float]:
    """How far `simpler` is behind on average, and its upper bound at that confidence; infinite with one fold."""
    differences = np.subtract(best.scores, simpler.scores)
    folds, gap = len(differences), float(differences.mean())
    if folds < 2:
        return gap, math.inf
    error = float(differences.std(ddof=1)) * math.sqrt(1 / folds + overlap)
    return gap, gap + student_quantile(confidence, folds - 1) * error


def _count(trials: int) -> str:
    return f"{trials} trial{'s' if trials > 1 else ''}"
