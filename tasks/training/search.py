"""The search for a candidate and its parameters, on the folds of a split; test and calibration rows play no part."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.config import Project
from tasks.errors import DataError
from tasks.results import Split, TrainingFrame, Trial
from tasks.stats.metrics import Metric, find_metric
from tasks.stats.prediction import predict_rows
from tasks.training.calibration import find_operating_point
from tasks.training.candidates import Candidate, Choice, Setting, find_candidates
from tasks.training.features import FeaturePlan, Preparation, make_preparation, plan_features

log = logging.getLogger(__name__)
Progress = Callable[[int, int, float], None]
"""Called after each trial with the trials done, the trials planned and the best score so far."""
MOST_KEPT = 256 * 2**20  # bytes of predictions on the folds
_RANDOM_TRIALS = 6  # before the sampler learns from what it has seen


@dataclass(frozen=True)
class _Fold:
    train: Any  # matrix
    train_target: NDArray[Any]
    validation: Any  # matrix
    validation_target: NDArray[Any]
    categorical: tuple[int, ...]


class FoldPredictions:
    """What trials predicted for the rows that each fold validates on, so that the winner need not be fitted again.

    Holds at most MOST_KEPT bytes: of the trials beyond them nothing is known.
    """

    def __init__(self) -> None:
        self._of_trial: dict[int, list[NDArray[np.float64]]] = {}
        self._room = MOST_KEPT

    def add(self, trial: int, predictions: Sequence[NDArray[np.float64]]) -> None:
        """Keep a trial's predictions, one array (rows,) or (rows, classes) for each fold."""
        self._room -= sum(made.nbytes for made in predictions)
        if self._room >= 0:
            self._of_trial[trial] = list(predictions)

    def find(self, trial: int) -> tuple[NDArray[np.float64], ...] | None:
        """A trial's predictions, fold by fold; None where they were not kept."""
        found = self._of_trial.get(trial)
        return None if found is None else tuple(found)


def search_candidates(
    frame: TrainingFrame,
    split: Split,
    spec: Project,
    *,
    progress: Progress | None = None,
    kept: FoldPredictions | None = None,
) -> tuple[Trial, ...]:
    """Try candidates and parameters within the budgets of `train.search`; the finished trials in their order.

    First each candidate with its defaults, then what Optuna's seeded sampler asks for. No trial starts after the time
    budget, the first always finishes; for a given number of trials the result does not depend on time. `kept` is given
    what each trial predicted. Raises
    ConfigError for an unknown candidate or metric, DataError where no fold can be judged.
    """
    train = spec.train
    candidates = find_candidates(train.candidates, frame.task)
    metric = find_metric(train.metric, frame.task)
    # The plan reads no target and no row outside `fit`; its few facts are shared by all folds.
    plan = plan_features(frame.frame.iloc[list(split.fit)], frame.features)
    folds = usable_folds(frame, split)
    prepared: dict[tuple[Preparation, int], _Fold] = {}
    begun = time.monotonic()
    trials: list[Trial] = []
    sampler = _Sampler(candidates, train.seed)
    while len(trials) < train.search.trials:
        if trials and time.monotonic() - begun > train.search.seconds:
            log.info("search: time budget of %g s used up after %d trials", train.search.seconds, len(trials))
            break
        started = time.monotonic()
        candidate, params = sampler.ask()
        scores, predictions = [], []
        for number, positions in enumerate(folds):
            key = (candidate.preparation, number)
            if key not in prepared:
                prepared[key] = _prepare_fold(frame, plan, candidate.preparation, positions, train.seed)
            score, prediction = _score(candidate, params, prepared[key], frame, metric, spec)
            scores.append(score)
            predictions.append(prediction)
        if kept is not None:
            kept.add(len(trials), predictions)
        trial = Trial(len(trials), candidate.name, params, tuple(scores), time.monotonic() - started)
        sampler.tell(trial.score)
        trials.append(trial)
        best = max(t.score for t in trials)
        log.info("trial %d: %s %s scored %.5f (best %.5f)", trial.number, trial.candidate, params, trial.score, best)
        if progress is not None:
            progress(len(trials), train.search.trials, best)
    return tuple(trials)


class _Sampler:
    """Optuna's TPE by ask and tell, in memory. The candidates' defaults come first."""

    def __init__(self, candidates: Sequence[Candidate], seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=len(candidates) + _RANDOM_TRIALS)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._candidates = {c.name: c for c in candidates}
        self._defaults = list(candidates)
        self._trial: Any = None

    def ask(self) -> tuple[Candidate, dict[str, Any]]:
        if self._defaults:
            first = self._defaults.pop(0)
            named = {f"{first.name}.{name}": value for name, value in first.defaults.items()}
            self._study.enqueue_trial({"candidate": first.name, **named})
        self._trial = self._study.ask()
        candidate = self._candidates[self._trial.suggest_categorical("candidate", list(self._candidates))]
        return candidate, {name: self._suggest(candidate.name, name, s) for name, s in candidate.space.items()}

    def tell(self, score: float) -> None:
        self._study.tell(self._trial, score)

    def _suggest(self, candidate: str, name: str, space: Any) -> Any:
        label = f"{candidate}.{name}"
        if isinstance(space, Choice):
            return self._trial.suggest_categorical(label, list(space.options))
        if space.whole:
            return self._trial.suggest_int(label, int(space.low), int(space.high), log=space.log)
        return self._trial.suggest_float(label, space.low, space.high, log=space.log)


def usable_folds(frame: TrainingFrame, split: Split) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The folds on which every trial can be fitted and judged: for classes, all to learn from and two to tell apart."""
    target = frame.target.to_numpy()
    classes = set() if frame.task == "regression" else set(target[list(split.fit)].tolist())
    usable = []
    for train, validation in split.folds:
        if len(validation) < 2 or len(train) < 2:
            continue
        if classes and (
            set(target[list(train)].tolist()) != classes or len(set(target[list(validation)].tolist())) < 2
        ):
            continue
        usable.append((np.asarray(train, dtype=np.int64), np.asarray(validation, dtype=np.int64)))
    if not usable:
        raise DataError(
            f"None of the {len(split.folds)} search folds can be judged: each needs every class among its"
            f" {'/'.join(str(len(t)) for t, _ in split.folds)} training rows and two classes among those it is judged"
            " on. More labelled rows of the rarer class are needed, or fewer folds (split.folds)."
        )
    return usable


def _prepare_fold(
    frame: TrainingFrame,
    plan: FeaturePlan,
    how: Preparation,
    positions: tuple[NDArray[np.int64], NDArray[np.int64]],
    seed: int,
) -> _Fold:
    # Preparation has no searched parameters: it is fitted once per fold, on the fold's training rows, for all trials.
    preparation, categorical = make_preparation(plan, how, frame.task, seed)
    train, validation = positions
    target = frame.target.to_numpy()
    return _Fold(
        preparation.fit_transform(frame.frame.iloc[train], target[train]),
        target[train],
        preparation.transform(frame.frame.iloc[validation]),
        target[validation],
        tuple(categorical),
    )


def _score(
    candidate: Candidate,
    params: Mapping[str, Any],
    fold: _Fold,
    frame: TrainingFrame,
    metric: Metric,
    spec: Project,
) -> tuple[float, NDArray[np.float64]]:
    """The score of one fit, larger is better, and its predictions for the rows that the fold validates on."""
    setting = replace(Setting.of(spec.train), categorical=fold.categorical)
    model = candidate.makers[frame.task](params, setting)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # parameters at the edge of the space may not converge; the score tells
        model.fit(fold.train, fold.train_target)
    at = find_operating_point(spec.train, fold.train_target, frame.task)
    prediction = predict_rows(model, fold.validation, frame.task)
    value = metric.compute(fold.validation_target, prediction, at)
    if not math.isfinite(value):
        raise DataError(
            f"train.metric: {metric.name} is not defined on a search fold of {len(fold.validation_target)} rows"
            f" (candidate {candidate.name}). Choose another metric, or train on more rows."
        )
    return (float(value) if metric.larger_is_better else -float(value)), prediction
