"""The search: on the folds only, the same again with the same seed, inside its budgets."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.errors import ConfigError, DataError
from tasks.results import Split, TrainingFrame, Trial
from tasks.training.candidates import CANDIDATES, Choice
from tasks.training.search import search_candidates
from tests.training.rows import make_columns, make_project, make_split, make_training

ALL = [c.name for c in CANDIDATES.values() if "binary" in c.makers]

BOTH = ("logistic", "hist_gradient_boosting")


def told(trials: Sequence[Trial]) -> list[tuple[Any, ...]]:
    return [(t.number, t.candidate, dict(t.params), t.scores) for t in trials]


@pytest.fixture(scope="module")
def rows() -> tuple[TrainingFrame, Split]:
    frame, target = make_columns(500)
    return make_training(frame, target), make_split(500, folds=2)


def test_the_same_seed_gives_the_same_trials_and_defaults_come_first(rows: tuple[TrainingFrame, Split]) -> None:
    spec = make_project(candidates=BOTH, search={"trials": 12, "seconds": 1e6}, seed=3)
    calls: list[tuple[int, int, float]] = []
    trials = search_candidates(*rows, spec, progress=lambda *call: calls.append(call))
    assert told(trials) == told(search_candidates(*rows, spec))
    assert [t.candidate for t in trials[:2]] == list(BOTH)
    for trial in trials[:2]:
        assert dict(trial.params) == dict(CANDIDATES[trial.candidate].defaults)
    assert [call[:2] for call in calls] == [(k, 12) for k in range(1, 13)]
    assert calls[-1][2] == max(t.score for t in trials)
    assert len({str(t.params) for t in trials}) > 8
    other = make_project(candidates=BOTH, search={"trials": 12, "seconds": 1e6}, seed=4)
    assert told(trials)[2:] != told(search_candidates(*rows, other))[2:]


def test_fewer_trials_are_the_first_of_more(rows: tuple[TrainingFrame, Split]) -> None:
    some, more = (search_candidates(*rows, make_project(candidates=["logistic"], search={"trials": k})) for k in (2, 4))
    assert told(some) == told(more)[:2]


def test_test_and_calibration_rows_are_never_read(rows: tuple[TrainingFrame, Split]) -> None:
    frame, split = rows
    held = [*split.calibration, *split.test]
    target = frame.target.copy()
    target.iloc[held] = 1 - target.iloc[held]
    columns = frame.frame.copy()
    for name in columns.columns:
        values = np.array(columns[name].astype(object))
        values[held] = "poison"  # neither number, date nor flag
        columns[name] = pd.Series(values, dtype=object)
    poisoned = dataclasses.replace(frame, frame=columns, target=target)
    spec = make_project(candidates=ALL, search={"trials": 5})
    assert told(search_candidates(poisoned, split, spec)) == told(search_candidates(frame, split, spec))


@pytest.mark.parametrize("name", ALL)
def test_the_time_budget_starts_no_trial_but_lets_the_first_finish(
    rows: tuple[TrainingFrame, Split], name: str
) -> None:
    spec = make_project(candidates=[name, *(n for n in ALL if n != name)], search={"seconds": 1e-9})
    (trial,) = search_candidates(*rows, spec)
    assert trial.candidate == name and len(trial.scores) == 2


def test_unknown_candidates_and_those_that_cannot_do_the_task(rows: tuple[TrainingFrame, Split]) -> None:
    with pytest.raises(ConfigError, match=r"'xgbost'; expected some of logistic, ridge, hist_gradient_boosting"):
        search_candidates(*rows, make_project(candidates=["xgbost"]))
    number = dataclasses.replace(rows[0], task="regression")
    with pytest.raises(ConfigError, match="'logistic' cannot predict a regression target; those that can: ridge"):
        search_candidates(number, rows[1], make_project(candidates=["logistic"]))


def test_folds_without_both_classes_are_left_out_and_none_left_is_an_error(rows: tuple[TrainingFrame, Split]) -> None:
    frame, split = rows
    (train, validation), second = split.folds
    one = dataclasses.replace(frame, target=frame.target.copy())
    one.target.iloc[list(train)] = 0
    one.target.iloc[list(validation)[:20]] = 1
    (trial,) = search_candidates(one, split, make_project(candidates=["logistic"], search={"trials": 1}))
    assert len(trial.scores) == 1
    one.target.iloc[list(second[1])] = 0
    with pytest.raises(DataError, match="None of the 2 search folds can be judged"):
        search_candidates(one, split, make_project(candidates=["logistic"]))


def test_a_metric_where_less_is_better_is_turned_round(rows: tuple[TrainingFrame, Split]) -> None:
    spec = make_project(candidates=["logistic"], metric="log_loss", search={"trials": 1})
    (trial,) = search_candidates(*rows, spec)
    assert all(-1 < score < 0 for score in trial.scores)


def test_a_metric_of_decisions_is_taken_at_the_threshold_of_the_costs() -> None:
    frame, target = make_columns(3_000)
    training, split = make_training(frame, target), make_split(3_000)
    train = {"candidates": ["logistic"], "metric": "expected_cost", "search": {"trials": 1}}
    costs = {"false_positive": 1, "false_negative": 4}
    plain, weighted = (
        search_candidates(training, split, make_project(costs=costs, class_weight=weight, **train))[0].score
        for weight in (None, "balanced")
    )
    trivial = -min((1 - target).mean(), 4 * target.mean())
    assert 0.9 * trivial < plain < 0 and 0.9 * trivial < weighted < 0
    assert abs(plain - weighted) < 0.03, "the threshold makes up for the weights"


def test_every_default_lies_in_its_space() -> None:
    for candidate in CANDIDATES.values():
        assert set(candidate.defaults) == set(candidate.space)
        for name, space in candidate.space.items():
            value = candidate.defaults[name]
            assert value in space.options if isinstance(space, Choice) else space.low <= value <= space.high
