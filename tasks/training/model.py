"""From labelled rows to a finished challenger: search, fit, calibrate, set the threshold."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tasks.config import Project, TaskType
from tasks.errors import ConfigError, DataError
from tasks.results import FittedModel, Split, TrainingFrame, Trial
from tasks.stage import stage

log = logging.getLogger(__name__)


def fit_model(frame: TrainingFrame, split: Split, spec: Project, trials: Sequence[Trial]) -> FittedModel:
    """Build the model that `trials` speak for, on `split.fit` and `split.calibration`; no test row is read.

    The same rows, trials and seed give the same model. Raises ConfigError for settings that the task does not have,
    DataError where the rows cannot be learned from.
    """
    from tasks.stats.metrics import find_metric
    from tasks.training import calibration as cal
    from tasks.training.candidates import Setting, find_candidates, make_pipeline
    from tasks.training.choice import choose_trial, find_leeway
    from tasks.training.features import plan_features
    from tasks.training.mitigation import equalise_groups

    train = spec.train
    check_rows(frame, split, spec)
    metric = find_metric(train.metric, frame.task)
    trial, choice = choose_trial(trials, metric, find_leeway(frame, split, spec, metric))
    (candidate,) = find_candidates([trial.candidate], frame.task)
    target = frame.target.to_numpy()
    held = np.asarray(split.calibration, dtype=np.int64)
    fit = np.asarray(split.fit, dtype=np.int64)
    begun = time.monotonic()
    method: cal.Method = "none"
    text = "none: a regression target has no probabilities."
    if frame.task != "regression":
        method, text = cal.choose_calibration(
            train.calibrate, target[held], len(np.unique(target[fit])), train.class_weight is not None
        )
    if method == "none" and train.mitigation is None:
        fit = np.sort(np.concatenate([fit, held]))  # positions are in the order of use
    rows = frame.frame.iloc[fit]
    plan = plan_features(rows, frame.features)
    estimator = make_pipeline(candidate, trial.params, plan, frame.task, Setting.of(train))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in the search: the gates judge the result
        estimator.fit(rows, target[fit])
        if method != "none":
            estimator = cal.calibrate(estimator, frame.frame.iloc[held], target[held], method)
    threshold, how = None, ""
    if frame.task == "binary":
        ratio = cal.weigh_positive(train, target[fit])
        threshold, how = cal.choose_threshold(train.costs, method != "none", ratio)
        if train.costs is not None and train.mitigation is None:
            estimator = cal.carry_threshold(estimator, threshold, rows, target[fit])
    features, repaired = plan.features, dict[str, Any]()
    if train.mitigation is not None and threshold is not None:
        repair = equalise_groups(estimator, frame.frame.iloc[held], target[held], train.mitigation, threshold)
        estimator, repaired = repair.estimator, dict(repair.record)
        features = tuple(dict.fromkeys([*features, *train.mitigation.by]))
        how = f"{how.removesuffix('.')}; scores are moved by group of {' and '.join(train.mitigation.by)} beforehand."
    for name, why in plan.dropped.items():
        log.info("feature %r is left out: %s", name, why)
    return FittedModel(
        estimator=estimator,
        candidate=trial.candidate,
        params=trial.params,
        trials=tuple(trials),
        features=features,
        task=frame.task,
        classes=frame.classes,
        metric=metric.name,
        threshold=threshold,
        calibration=text,
        fit_seconds=time.monotonic() - begun,
        choice=choice,
        threshold_how=how,
        dropped_features=plan.dropped,
        mitigation=repaired,
    )


def check_task(spec: Project, task: TaskType) -> None:
    """ConfigError where the project file asks for what a target of this task does not have."""
    from tasks.stats.metrics import find_metric
    from tasks.training.candidates import find_candidates

    train = spec.train
    metric = find_metric(train.metric, task)
    find_candidates(train.candidates, task)
    if task != "binary" and train.costs is not None:
        raise ConfigError(f"train.costs: costs of false positives need a binary target; this one is {task}.")
    if task != "binary" and train.mitigation is not None:
        raise ConfigError(f"train.mitigation: it makes yes-or-no decisions alike; this target is {task}.")
    if task != "regression":
        return
    if train.class_weight is not None:
        raise ConfigError("train.class_weight: a regression target has no classes to weigh.")
    if train.calibrate not in ("auto", "none"):
        raise ConfigError(
            f"train.calibrate: a regression has no probabilities; found {train.calibrate}, expected none."
        )
    if train.quantile != 0.5 and metric.name != "pinball":
        raise ConfigError(
            f"train.quantile: {train.quantile:g} is aimed at with metric: pinball only; found metric: {metric.name}."
        )


def check_rows(frame: TrainingFrame, split: Split, spec: Project) -> None:
    """ConfigError or DataError where no model of these rows can be made as the project file asks."""
    check_task(spec, frame.task)
    if spec.train.mitigation is not None:
        from tasks.training.mitigation import check_groups

        held = list(split.calibration)
        check_groups(frame.frame.iloc[held], frame.target.iloc[held].to_numpy(), spec.train.mitigation)
    if frame.task != "regression":
        found = frame.target.iloc[list(split.fit)].unique()
        if len(found) < 2:
            raise DataError(
                f"The {len(split.fit)} rows to fit on hold one class only ({', '.join(map(str, found))}); two are"
                " needed. Wait for labels of the other, or train on a longer period."
            )


@stage("train")
def train_model(
    frame: TrainingFrame,
    split: Split,
    spec: Project,
    *,
    trials: Sequence[Trial] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> FittedModel:
    """Search on the folds, then build the winner; with recorded `trials` (one at least) the search is not run again.

    `progress` is called after each trial with the trials done, the trials planned and the best score so far.
    """
    from tasks.training.search import FoldPredictions, search_candidates

    check_rows(frame, split, spec)
    kept = FoldPredictions()
    found = trials or search_candidates(frame, split, spec, progress=progress, kept=kept)
    model = fit_model(frame, split, spec, found)
    won = next(t.number for t in found if (t.candidate, t.params) == (model.candidate, model.params))
    return replace(model, fold_predictions=kept.find(won))
