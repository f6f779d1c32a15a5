"""What a search's winner predicts for rows that it was not fitted on, and that no test reads."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from tasks.config import Project
from tasks.results import FittedModel, Split, TrainingFrame
from tasks.stage import stage
from tasks.stats.prediction import predict_rows
from tasks.training.candidates import Setting, find_candidates, make_pipeline
from tasks.training.features import plan_features
from tasks.training.search import usable_folds


def predict_folds(
    model: FittedModel, frame: TrainingFrame, split: Split, spec: Project
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Positions (n,) of the rows that the search's folds validate on, each once, and the predictions for them.

    These are what the search has kept. Where it has not, the winner's candidate and parameters are fitted once more on
    each fold's training rows, which costs as much as one trial. What is not searched (calibration, mitigation) plays
    no part.
    """
    (candidate,) = find_candidates([model.candidate], frame.task)
    plan = plan_features(frame.frame.iloc[list(split.fit)], frame.features)
    target = frame.target.to_numpy()
    positions, predictions = [], []
    seen = np.zeros(len(target), bool)
    for number, (train, validation) in enumerate(usable_folds(frame, split)):
        new = ~seen[validation]
        fresh = validation[new]
        if not len(fresh):
            continue
        seen[fresh] = True
        positions.append(fresh)
        if model.fold_predictions is not None:
            predictions.append(model.fold_predictions[number][new])
            continue
        estimator = make_pipeline(candidate, model.params, plan, frame.task, Setting.of(spec.train))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in the search
            estimator.fit(frame.frame.iloc[train], target[train])
        predictions.append(predict_rows(estimator, frame.frame.iloc[fresh], frame.task))
    return np.concatenate(positions), np.concatenate(predictions)


@stage("predict validation rows")
def predict_validation(
    model: FittedModel, frame: TrainingFrame, split: Split, spec: Project
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rows that the search validated on, and what its winner predicts for them; see `predict_folds`."""
    return predict_folds(model, frame, split, spec)
