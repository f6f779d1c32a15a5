"""What a champion leaves behind for its windows to be compared with: a profile, and a bounded sample of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import Project
from tasks.monitoring.profile import PHASES, Profile
from tasks.monitoring.profiling import ReferenceRows, build_profile
from tasks.monitoring.sample import priorities
from tasks.results import Split, TrainingFrame
from tasks.stats.metrics import TaskType
from tasks.stats.personal import find_personal
from tasks.stats.prediction import decide_rows


@dataclass(frozen=True)
class RoleNames:
    """Names of the columns that stand beside the features, chosen so that no feature has the same."""

    target: str
    prediction: str
    probability: str
    block: str = "block"  # in a reference: a number per day or group, in their order
    by_class: str = "probability_of"  # of several classes: with `_0` and so on behind it

    @staticmethod
    def beside(features: Sequence[str]) -> RoleNames:
        """`target`, `prediction`, `probability` and so on, each with as many _ behind it as it takes."""
        by_class = "probability_of"
        while any(feature.startswith(by_class) for feature in features):
            by_class += "_"
        target, prediction, probability, block = (
            _free_name(name, features) for name in ("target", "prediction", "probability", "block")
        )
        return RoleNames(target, prediction, probability, block, by_class)

    def of_classes(self, count: int) -> list[str]:
        """The columns of the probabilities of so many classes."""
        return [f"{self.by_class}_{code}" for code in range(count)]


def _free_name(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name


def make_profile(
    frame: TrainingFrame,
    test: Sequence[int],
    prediction: NDArray[np.float64],
    spec: Project,
    periods: Mapping[str, tuple[datetime | None, datetime | None]] | None = None,
) -> Profile:
    """The profile of the training rows and their labels, and of the predictions (n_test,) or (n_test, classes) on the
    rows `test`. `periods`: the start and end of each batch, None where it has none."""
    rows = frame.frame
    personal = find_personal(rows, stated=spec.data.personal, cleared=spec.data.not_personal)
    label = frame.target if frame.task == "regression" else pd.Series([frame.classes[int(v)] for v in frame.target])
    predicted = profiled_prediction(prediction, frame.task, frame.classes)
    return build_profile(
        ReferenceRows(
            rows,
            frame.features,
            label,
            frame.batch,
            frame.batches,
            _locate_phases(frame, periods or {}),
            spec.data.time,
        ),
        prediction=predicted,
        prediction_batch=None if frame.batch is None else frame.batch[np.asarray(test, np.int64)],
        segments=spec.monitor.segments,
        personal=frozenset(personal),
        starts={key: start for key, (start, _) in (periods or {}).items()},
    )


def find_phases(times: pd.Series[Any] | None, start: datetime | None, end: datetime | None) -> NDArray[np.int64] | None:
    """In which of the PHASES parts of a period each row lies (n,), -1 outside; None where there is no period."""
    if times is None or start is None or end is None or end <= start:
        return None
    passed = (times - pd.Timestamp(start)) / (pd.Timestamp(end) - pd.Timestamp(start))
    share = passed.to_numpy(np.float64, na_value=np.nan)
    inside = (share >= 0) & (share < 1)
    phases: NDArray[np.int64] = np.where(inside, np.floor(np.where(inside, share, 0) * PHASES), -1).astype(np.int64)
    return phases


def _locate_phases(
    frame: TrainingFrame, periods: Mapping[str, tuple[datetime | None, datetime | None]]
) -> NDArray[np.int64] | None:
    if frame.time is None or frame.batch is None:
        return None
    phases = np.full(len(frame.frame), -1, np.int64)
    for code, key in enumerate(frame.batches):
        at = np.flatnonzero(frame.batch == code)
        found = find_phases(frame.time.iloc[at], *periods.get(key, (None, None)))
        if found is not None:
            phases[at] = found
    return phases


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
    """At most `rows` of the test rows, drawn by chance: features, target in its original labels, and the champion's
    predictions.

    `prediction` is on all test rows, in the order of `split.test`. The columns beside the features are named by
    `RoleNames.beside(features)`; `probability` is there for a binary target only, for a multiclass one that of each
    class, and `block` where the split knows days or groups: as numbers, which name nobody.
    """
    test = np.asarray(split.test, np.int64)
    chosen = np.sort(np.argsort(priorities(np.arange(len(test)), seed), kind="stable")[:rows])
    names = RoleNames.beside(frame.features)
    sample = frame.frame[list(frame.features)].iloc[test[chosen]].reset_index(drop=True)
    target = frame.target.iloc[test[chosen]].reset_index(drop=True)
    own = prediction[chosen]
    if split.blocks is not None:
        sample[names.block] = np.unique(np.asarray(split.blocks)[chosen], return_inverse=True)[1]
    if frame.task == "regression":
        sample[names.target], sample[names.prediction] = target, own
        return sample
    sample[names.target] = [frame.classes[int(v)] for v in target]
    sample[names.prediction] = [frame.classes[int(v)] for v in decide_rows(own, frame.task, threshold)]
    if frame.task == "binary":
        sample[names.probability] = own
        return sample
    return sample.assign(**dict(zip(names.of_classes(len(frame.classes)), own.T, strict=True)))
