"""What a champion leaves behind for its windows to be compared with: a profile, and a bounded sample of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.monitoring.profile import Profile, build_profile, column_kinds
from tasks.monitoring.sample import priorities
from tasks.results import Split, TrainingFrame
from tasks.stats.metrics import TaskType
from tasks.stats.prediction import decide_rows


@dataclass(frozen=True)
class RoleNames:
    """Names of the columns that stand beside the features, chosen so that no feature has the same."""

    target: str
    prediction: str
    probability: str

    @staticmethod
    def beside(features: Sequence[str]) -> RoleNames:
        """`target`, `prediction` and `probability`, each with as many _ behind it as it takes."""
        made = []
        for name in ("target", "prediction", "probability"):
            while name in features:
                name += "_"
            made.append(name)
        return RoleNames(*made)


def make_profile(frame: TrainingFrame, prediction: NDArray[np.float64], *, seed: int = 0) -> Profile:
    """The profile of the training rows, and of the predictions on the *test* rows (n_test,) or (n_test, classes)."""
    features = frame.frame[list(frame.features)]
    return build_profile(
        lambda: [features],
        column_kinds(features, frame.features),
        prediction=profiled_prediction(prediction, frame.task, frame.classes),
        seed=seed,
    )


def profiled_prediction(prediction: NDArray[np.float64], task: TaskType, classes: Sequence[Any]) -> pd.Series[Any]:
    """What of a prediction is profiled: the number of a binary target or a regression, else the chosen label."""
    if task != "multiclass":
        return pd.Series(prediction)
    return pd.Series([str(classes[i]) for i in decide_rows(prediction, task)])


def make_reference(
    frame: TrainingFrame,
    split: Split,
    prediction: NDArray[np.float64],
    *,
    rows: int,
    seed: int,
    threshold: float | None = None,
) -> pd.DataFrame:
    """At most `rows` of the test rows: features, target in its original labels, and the champion's predictions.

    `prediction` is on all test rows, in the order of `split.test`. The columns beside the features are named by
    `RoleNames.beside(features)`; the probability is there for a binary target only.
    """
    test = np.asarray(split.test, np.int64)
    chosen = np.sort(np.argsort(priorities(np.arange(len(test)), seed), kind="stable")[:rows])
    names = RoleNames.beside(frame.features)
    sample = frame.frame[list(frame.features)].iloc[test[chosen]].reset_index(drop=True)
    target = frame.target.iloc[test[chosen]].reset_index(drop=True)
    own = prediction[chosen]
    if frame.task == "regression":
        sample[names.target], sample[names.prediction] = target, own
        return sample
    sample[names.target] = [frame.classes[int(v)] for v in target]
    sample[names.prediction] = [frame.classes[int(v)] for v in decide_rows(own, frame.task, threshold)]
    if frame.task == "binary":
        sample[names.probability] = own
    return sample
