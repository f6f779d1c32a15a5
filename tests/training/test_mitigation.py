"""Decisions made more alike: rates that meet on rows that were not learned from, a stored model, and its limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from tasks.config.project import Mitigation
from tasks.errors import ConfigError
from tasks.results import Trial
from tasks.training.anatomy import find_linear_form, take_apart, trace_columns
from tasks.training.candidates import TRUSTED_TYPES
from tasks.training.group_thresholds import GroupThresholds, name_groups
from tasks.training.mitigation import check_groups, equalise_groups
from tasks.training.model import check_task, fit_model
from tests.training.rows import make_columns, make_project, make_split, make_training

ROWS = 8_000


class Sized(LogisticRegression):  # type: ignore[misc]
    """Reads one column of a frame, as a pipeline would."""

    def fit(self, X: pd.DataFrame, y: Any) -> Sized:
        super().fit(X[["size"]], y)
        return self

    def predict_proba(self, X: pd.DataFrame) -> Any:
        return super().predict_proba(X[["size"]])


def draw(seed: int = 0, rows: int = ROWS) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(seed)
    sex, race = rng.choice(["f", "m"], rows), rng.choice(["a", "b"], rows, p=[0.8, 0.2])
    size = rng.normal(size=rows) + np.where(sex == "f", -0.8, 0.4)
    target = (rng.random(rows) < 1 / (1 + np.exp(-(1.5 * size - 1)))).astype(np.int64)
    return pd.DataFrame({"sex": sex, "race": race, "size": size}), target


FRAME, TARGET = draw()
FRESH, FRESH_TARGET = draw(1)
MODEL = Sized().fit(FRAME, TARGET)


def repair(**asked: Any) -> GroupThresholds:
    return equalise_groups(MODEL, FRAME, TARGET, Mitigation.model_validate({"by": "sex", **asked}), 0.5).estimator


def rates(model: Any, among: Any = None) -> dict[str, float]:
    decided = model.predict_proba(FRESH)[:, 1] >= 0.5
    rows = np.ones(ROWS, bool) if among is None else among
    return {g: float(decided[rows & (FRESH["sex"] == g).to_numpy()].mean()) for g in ("f", "m")}


def test_before_they_differ_and_after_they_meet() -> None:
    before, after = rates(MODEL), rates(repair())
    assert before["f"] < 0.6 * before["m"]
    assert after["f"] == pytest.approx(after["m"], abs=0.03)
    overall = float((MODEL.predict_proba(FRESH)[:, 1] >= 0.5).mean())
    assert after["f"] == pytest.approx(overall, abs=0.03), "as many are decided positive as before"


@pytest.mark.parametrize("objective", ["same_rate", "accuracy_score", "balanced_accuracy_score"])
@pytest.mark.parametrize(
    ("parity", "label"), [("true_positive_rate_parity", 1), ("false_positive_rate_parity", 0)]
)  # fmt: skip
def test_the_rates_given_the_label_can_be_made_to_meet(objective: str, parity: str, label: int) -> None:
    after = rates(repair(objective=objective, parity=parity), label == FRESH_TARGET)
    assert after["f"] == pytest.approx(after["m"], abs=0.04)


def test_halfway_is_between() -> None:
    def gap(model: Any) -> float:
        found = rates(model)
        return found["m"] - found["f"]

    assert gap(repair()) < gap(repair(strength=0.5)) < gap(MODEL)


def test_one_threshold_serves_all_and_the_order_within_a_group_stays() -> None:
    model = repair()
    score, plain = model.predict_proba(FRESH)[:, 1], MODEL.predict_proba(FRESH)[:, 1]
    assert (model.predict(FRESH) == (score >= 0.5)).all()
    for sex in ("f", "m"):
        own = (FRESH["sex"] == sex).to_numpy()
        assert (np.argsort(score[own], kind="stable") == np.argsort(plain[own], kind="stable")).all()
    assert model.unmitigated is MODEL
    assert np.isfinite(score).all()


def test_a_row_without_a_group_or_of_a_new_one_keeps_the_models_own_score() -> None:
    rows = FRESH.head(4).assign(sex=[None, "x", np.nan, ""])
    assert (repair().predict_proba(rows) == MODEL.predict_proba(rows)).all()


def test_two_columns_and_groups_that_are_too_few() -> None:
    frame = FRAME.assign(race=np.where(np.arange(ROWS) < 70, "c", FRAME["race"]))
    found = equalise_groups(MODEL, frame, TARGET, Mitigation(by=("sex", "race")), 0.5).record
    assert [g["group"] for g in found["groups"]] == [["f", "a"], ["f", "b"], ["m", "a"], ["m", "b"]]
    assert sorted(found["left"]) == [["f", "c"], ["m", "c"]]
    with pytest.raises(ConfigError, match="fewer than two groups"):
        equalise_groups(MODEL, FRAME.head(30), TARGET[:30], Mitigation(by=("sex",)), 0.5)


@pytest.mark.parametrize("values", [["x"] * ROWS, [f"p{i}" for i in range(ROWS)]])
def test_columns_that_make_no_groups_are_refused(values: list[str]) -> None:
    with pytest.raises(ConfigError, match="groups apart"):
        check_groups(FRAME.assign(sex=values), TARGET, Mitigation(by=("sex",)))


def test_steps_of_a_calibration_are_decided_alike() -> None:
    class Stepped(Sized):
        def predict_proba(self, X: pd.DataFrame) -> Any:
            given = np.round(super().predict_proba(X)[:, 1] * 8) / 8
            return np.stack([1 - given, given], axis=1)

    after = rates(equalise_groups(Stepped().fit(FRAME, TARGET), FRAME, TARGET, Mitigation(by=("sex",)), 0.5).estimator)
    assert after["f"] == pytest.approx(after["m"], abs=0.12), "as near as steps allow"


def test_it_is_stored_without_pickle_and_read_back_the_same() -> None:
    plain = LogisticRegression().fit(FRAME[["size"]].to_numpy(), TARGET)
    model = GroupThresholds(plain, ["sex"], '{"[\\"f\\"]": 0.5}', 0.5)
    again = skops.io.loads(skops.io.dumps(model), trusted=list(TRUSTED_TYPES))
    assert isinstance(again, GroupThresholds)
    assert (again.shifts, again.by, again.threshold) == (model.shifts, ["sex"], 0.5)


def test_groups_are_texts_that_no_value_can_imitate() -> None:
    frame = pd.DataFrame({"a": ["x", 'x", "y', None], "b": ["y", "", "z"]})
    names = name_groups(frame, ["a", "b"])
    assert len(set(names)) == 3
    assert names[2] == ""


@pytest.mark.parametrize("calibrate", ["none", "sigmoid"])
def test_a_training_carries_it_and_an_explanation_tells_the_shift(calibrate: str) -> None:
    frame, target = make_columns(3_000)
    frame = frame.drop(columns=["nothing", "always", "label"])
    rows = make_training(frame, target)
    rows = replace(rows, features=tuple(c for c in frame.columns if c != "member"))
    split = make_split(3_000)
    frame["member"] = frame["member"].map({True: "yes", False: "no"}).astype(object)
    spec = make_project(candidates=["logistic"], mitigation={"by": "member"}, calibrate=calibrate)
    trials = (Trial(0, "logistic", {"C": 1.0}, (0.5,), 0.1),)
    model = fit_model(rows, split, spec, trials)
    assert model.features[-1] == "member", "it is read for its groups only"
    assert [g["group"] for g in model.mitigation["groups"]] == [["no"], ["yes"]]
    assert "scores are moved by group of member" in model.threshold_how
    test = frame.iloc[list(split.test)]
    decided = model.estimator.predict_proba(test[list(model.features)])[:, 1] >= model.threshold
    shares = [decided[(test["member"] == g).to_numpy()].mean() for g in ("yes", "no")]
    assert shares[0] == pytest.approx(shares[1], abs=0.12)
    anatomy = take_apart(model.estimator)
    row = test.head(1)[list(model.features)].assign(member="yes")
    assert "moves the log-odds by" in trace_columns(anatomy, row)["member"].encoded
    assert find_linear_form(anatomy, row, row) is None, "no sum: a group is no column of the linear model"


def test_only_yes_or_no_can_be_made_alike() -> None:
    with pytest.raises(ConfigError, match="this target is regression"):
        check_task(make_project(mitigation={"by": "member"}), "regression")
