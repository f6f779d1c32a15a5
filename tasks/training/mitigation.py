"""Decisions made more alike between groups of people: a threshold for each group, carried by the scores.

Every group should have the same rate on the calibration rows: the model's own over all of them, or the one that
fairlearn's ThresholdOptimizer (after Hardt, Price and Srebro, 2016) finds to be best, which reaches it by drawing lots
near the threshold. Here it is reached without: each group has the one threshold from which that share of its rows lies
above. A row's log-odds are then moved by as much as its
group's threshold lies away from the model's own, so that one threshold serves all, and everything that reads scores
goes on as before. What is given is then a score, and no longer the probability within each group.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin

from tasks.config.project import Mitigation
from tasks.errors import ConfigError
from tasks.training.group_thresholds import NEAR, GroupThresholds, name_groups

Floats = NDArray[np.float64]
FEWEST_ROWS = 50  # calibration rows of a group, and FEWEST_OF_A_CLASS of those that its rate is one of
FEWEST_OF_A_CLASS = 20
FEWEST_NAMED = 20
_MOST_GROUPS = 50


@dataclass(frozen=True)
class Repair:
    """A mitigated model, and what was done, as the record of its training keeps it."""

    estimator: GroupThresholds
    record: Mapping[str, Any]


def check_groups(frame: pd.DataFrame, target: NDArray[Any], mitigation: Mitigation) -> None:
    """ConfigError where the columns tell too many groups apart to give each a threshold, or of the calibration rows
    (`frame`, and `target` (n,), 0/1) fewer than two groups have enough."""
    names = np.array(name_groups(frame, mitigation.by), dtype=object)
    by = ", ".join(map(repr, mitigation.by))
    count = len(set(names) - {""})
    if not 2 <= count <= _MOST_GROUPS:
        raise ConfigError(
            f"train.mitigation.by: {by} tells {count:,} groups apart; expected 2 to {_MOST_GROUPS}. Name a column of "
            "categories, or bin a number beforehand."
        )
    large = _list_large(names, target, _find_counted(target, mitigation))
    if len(large) < 2:
        raise ConfigError(
            f"train.mitigation.by: fewer than two groups of {by} have {FEWEST_ROWS} of the {len(target):,} calibration "
            f"rows, and {FEWEST_OF_A_CLASS} of each class; found {len(large)}. More rows are needed, or a larger "
            "split.calibration."
        )


def equalise_groups(
    estimator: Any, frame: pd.DataFrame, target: NDArray[Any], mitigation: Mitigation, threshold: float
) -> Repair:
    """`estimator` (fitted, left as it is) with a shift for each group, learned on rows that its fit has not seen.

    `frame` (n rows) has the model's columns and those of the groups, `target` (n,) is 0/1. Groups with too few rows
    keep the model's own threshold. ConfigError as from `check_groups`.
    """
    check_groups(frame, target, mitigation)
    names = np.array(name_groups(frame, mitigation.by), dtype=object)
    counted = _find_counted(target, mitigation)
    large = _list_large(names, target, counted)
    used = np.isin(names, large)
    given = np.clip(np.asarray(estimator.predict_proba(frame), np.float64)[:, 1], NEAR, 1 - NEAR)
    rates = _find_rates(given[used], target[used], names[used], counted[used], mitigation, threshold)
    shifts, record = {}, []
    for group in large:
        own = names[used] == group
        rate = rates[group]
        at = _find_threshold(given[used][own & counted[used]], rate)
        shifts[group] = float(mitigation.strength * (logit(threshold) - logit(at)))
        moved = float(expit(logit(threshold) - shifts[group]))
        record.append({"group": json.loads(group), "rows": int(own.sum()), "threshold": moved, "rate": rate})
    left = sorted(set(names) - {""} - set(large))
    made = GroupThresholds(estimator, list(mitigation.by), json.dumps(shifts, sort_keys=True), threshold)
    done = {
        "how": "thresholds",
        "by": list(mitigation.by),
        "parity": mitigation.parity,
        "strength": mitigation.strength,
        "groups": record,
        "left": [json.loads(g) for g in left if (names == g).sum() >= FEWEST_NAMED],  # a rarer one may name a person
    }
    return Repair(made, done)


def _find_rates(
    given: Floats, target: NDArray[Any], names: NDArray[np.object_], counted: NDArray[np.bool_], mitigation: Mitigation,
    threshold: float,
) -> dict[str, float]:  # fmt: skip
    """The rate that each group should have among the rows that count: the same for all, but for rounding."""
    groups = sorted(set(names))
    if mitigation.objective == "same_rate":
        return dict.fromkeys(groups, float((given[counted] >= threshold).mean()))
    from fairlearn.postprocessing import ThresholdOptimizer

    optimizer = ThresholdOptimizer(
        estimator=_Given(),
        constraints=mitigation.parity,
        objective=mitigation.objective,
        prefit=True,
        predict_method="predict_proba",
    )
    people = pd.Series(names)
    optimizer.fit(given[:, None], target, sensitive_features=people)
    chance = optimizer._pmf_predict(given[:, None], sensitive_features=people)[:, 1]
    return {group: float(chance[(names == group) & counted].mean()) for group in groups}


class _Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Probabilities that are there already, for the optimizer, which wants a fitted model to ask."""

    classes_ = np.array([0, 1])

    def fit(self, X: Any, y: Any = None) -> _Given:
        """Nothing to fit."""
        return self

    def predict_proba(self, X: Any) -> Floats:
        """The one column given, beside its complement."""
        given = np.asarray(X, np.float64).ravel()
        return np.stack([1 - given, given], axis=1)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _find_counted(target: NDArray[Any], mitigation: Mitigation) -> NDArray[np.bool_]:
    """The rows (n,) that the rate is one of."""
    if mitigation.parity == "demographic_parity":
        return np.ones(len(target), bool)
    return np.asarray(target == (1 if mitigation.parity == "true_positive_rate_parity" else 0))


def _list_large(names: NDArray[np.object_], target: NDArray[Any], counted: NDArray[np.bool_]) -> list[str]:
    return [g for g in sorted(set(names) - {""}) if _is_large_enough(names == g, target, counted)]


def _is_large_enough(own: NDArray[np.bool_], target: NDArray[Any], counted: NDArray[np.bool_]) -> bool:
    positives = int(target[own].sum())
    enough = min(positives, int(own.sum()) - positives, int((own & counted).sum())) >= FEWEST_OF_A_CLASS
    return bool(own.sum() >= FEWEST_ROWS and enough)


def _find_threshold(given: Floats, rate: float) -> float:
    """The probability from which a share of the rows as near to `rate` as can be lies above: halfway between two
    values, since rows of one value are decided alike."""
    values, counts = np.unique(given, return_counts=True)
    edges = np.concatenate([[0.0], values, [1.0]])
    middles = (edges[1:] + edges[:-1]) / 2
    above = np.concatenate([[len(given)], len(given) - np.cumsum(counts)]) / len(given)
    return float(np.clip(middles[np.argmin(np.abs(above - rate))], NEAR, 1 - NEAR))
