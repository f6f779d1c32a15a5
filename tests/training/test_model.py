"""The finished challenger: replayed it is the same, stored without pickle it is the same, and its base rate is true."""

from __future__ import annotations

import dataclasses
import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.metrics import roc_auc_score

from tasks.errors import ConfigError, DataError
from tasks.results import to_json
from tasks.stats.prediction import predict_rows
from tasks.training.calibration import calibrate
from tasks.training.candidates import CANDIDATES, TRUSTED_TYPES, Setting, make_pipeline
from tasks.training.features import plan_features
from tasks.training.group_thresholds import GroupThresholds
from tasks.training.model import check_task, train_model
from tests.training.rows import make_columns, make_project, make_split, make_training

ALL = [c.name for c in CANDIDATES.values() if "binary" in c.makers]


@pytest.mark.parametrize("calibration", ["none", "sigmoid", "isotonic"])
@pytest.mark.parametrize("name", ALL)
def test_a_stored_model_needs_the_reviewed_types_only_and_predicts_the_same(name: str, calibration: str) -> None:
    frame, target = make_columns(900)
    frame["many"] = [f"v{k}" for k in np.random.default_rng(0).integers(0, 300, 900)]
    costs = {"false_positive": 1, "false_negative": 3} if calibration != "none" else None
    spec = make_project(candidates=[name], search={"trials": 1}, calibrate=calibration, costs=costs)
    model = train_model(make_training(frame, target), make_split(900), spec)
    assert model.calibration.split(":")[0] == calibration
    stored = skops.io.dumps(model.estimator)
    assert set(skops.io.get_untrusted_types(data=stored)) <= set(TRUSTED_TYPES)
    again = skops.io.loads(stored, trusted=list(TRUSTED_TYPES))
    later, _ = make_columns(300, seed=1)
    later["many"] = "never seen"
    for rows in (later, later[list(model.features)], later.assign(count=np.nan, member=None)):
        np.testing.assert_array_equal(again.predict_proba(rows), model.estimator.predict_proba(rows))
        np.testing.assert_array_equal(again.predict(rows), model.estimator.predict(rows))
    assert len(stored) < (12e6 if name == "random_forest" else 3e6)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model.estimator)).predict_proba(later), model.estimator.predict_proba(later)
    )


def test_the_reviewed_types_hold_no_more_than_is_needed() -> None:
    frame, target = make_columns(600)
    frame["many"] = [f"v{k}" for k in np.random.default_rng(0).integers(0, 300, 600)]
    labels = {"binary": target, "multiclass": target + (frame["count"] > 25), "regression": frame["count"] / 2}
    plan, seen = plan_features(frame, list(frame.columns)), set()
    for candidate in CANDIDATES.values():
        for task in candidate.makers:
            for setting in (Setting(0, None), *([Setting(0, None, aim="median")] if task == "regression" else [])):
                estimator = make_pipeline(candidate, candidate.defaults, plan, task, setting).fit(frame, labels[task])
                seen |= set(skops.io.get_untrusted_types(data=skops.io.dumps(estimator)))
            for method in ("sigmoid", "isotonic", "temperature") if task != "regression" else ():
                calibrated = calibrate(estimator, frame, labels[task].to_numpy(), method)
                seen |= set(skops.io.get_untrusted_types(data=skops.io.dumps(calibrated)))
    moved = GroupThresholds(estimator, ["shop"], "{}", 0.5)
    seen |= set(skops.io.get_untrusted_types(data=skops.io.dumps(moved)))
    assert seen == set(TRUSTED_TYPES)


def test_recorded_trials_replay_to_the_identical_model() -> None:
    frame, target = make_columns(600)
    training, split = make_training(frame, target), make_split(600)
    spec = make_project(candidates=ALL, search={"trials": 5, "seconds": 1e6}, seed=5, class_weight="balanced")
    model = train_model(training, split, spec)
    calls: list[int] = []
    again = train_model(training, split, spec, trials=model.trials, progress=lambda *call: calls.append(1))
    assert not calls, "no search is run"
    np.testing.assert_array_equal(again.estimator.predict_proba(frame), model.estimator.predict_proba(frame))
    plain = [
        to_json(dataclasses.replace(m, estimator=None, trials=(), fit_seconds=0.0, fold_predictions=None))
        for m in (model, again)
    ]
    assert plain[0] == plain[1] and again.trials == model.trials
    twice = train_model(training, split, spec)
    np.testing.assert_array_equal(twice.estimator.predict_proba(frame), model.estimator.predict_proba(frame))


@pytest.mark.parametrize("name", ["logistic", "hist_gradient_boosting"])
def test_balanced_weights_do_not_change_the_base_rate(name: str) -> None:
    frame, target = make_columns(6_000)
    rare = target.where(np.random.default_rng(0).random(6_000) < 0.4, 0)
    train = {"candidates": [name], "search": {"trials": 1}, "class_weight": "balanced"}
    split = make_split(6_000)
    model = train_model(make_training(frame, rare), split, make_project(**train))
    assert model.calibration == "sigmoid"
    test = list(split.test)
    predicted = predict_rows(model.estimator, frame.iloc[test], "binary")
    assert abs(predicted.mean() - rare.iloc[test].mean()) < 0.03
    assert roc_auc_score(rare.iloc[test], predicted) > 0.65
    raw = train_model(make_training(frame, rare), split, make_project(**{**train, "calibrate": "none"}))
    assert predict_rows(raw.estimator, frame.iloc[test], "binary").mean() > 1.5 * rare.mean()
    assert "not the true base rate" in raw.calibration


def test_rows_of_the_test_are_not_read_and_calibration_rows_join_the_fit_without_calibration() -> None:
    frame, target = make_columns(600)
    split = make_split(600)
    spec = make_project(candidates=["logistic"], search={"trials": 2}, calibrate="none")
    model = train_model(make_training(frame, target), split, spec)
    poisoned = target.copy()
    poisoned.iloc[list(split.test)] = 1 - poisoned.iloc[list(split.test)]
    columns = frame.copy()
    columns.loc[list(split.test), "amount"] = 1e6
    columns.loc[list(split.test), "shop"] = "poison"
    same = train_model(make_training(columns, poisoned), split, spec)
    np.testing.assert_array_equal(same.estimator.predict_proba(frame), model.estimator.predict_proba(frame))
    poisoned = target.copy()
    poisoned.iloc[list(split.calibration)] = 1 - poisoned.iloc[list(split.calibration)]
    other = train_model(make_training(frame, poisoned), split, spec)
    assert [t.scores for t in other.trials] == [t.scores for t in model.trials]
    assert not np.allclose(other.estimator.predict_proba(frame), model.estimator.predict_proba(frame))


@pytest.mark.parametrize("name", ALL)
def test_fifty_rows_are_enough_for_a_model(name: str) -> None:
    frame, target = make_columns(50)
    spec = make_project(candidates=[name], search={"trials": 2}, class_weight="balanced")
    model = train_model(make_training(frame, target), make_split(50, folds=2), spec)
    later, _ = make_columns(20, seed=9)
    probability = model.estimator.predict_proba(later)
    assert probability.shape == (20, 2) and np.isfinite(probability).all()
    assert list(model.estimator.classes_) == [0, 1]
    assert model.calibration.startswith("none: ") and model.threshold == 0.5


def test_the_result_says_what_was_chosen_and_left_out() -> None:
    frame, target = make_columns(600)
    model = train_model(
        make_training(frame, target),
        make_split(600),
        make_project(candidates=["logistic"], search={"trials": 1}, costs={"false_positive": 1, "false_negative": 9}),
    )
    assert model.features == ("amount", "count", "shop", "member", "born", "seen")
    assert set(model.dropped_features) == {"nothing", "always", "label"}
    assert model.metric == "average_precision" and "the only candidate tried" in model.choice
    assert "expected cost" in model.threshold_how
    kept = frame[list(model.features)]
    decided = (model.estimator.predict_proba(kept)[:, 1] >= model.threshold).astype(int)
    np.testing.assert_array_equal(model.estimator.predict(kept), decided)


def test_one_class_and_settings_of_other_tasks_are_refused() -> None:
    frame, target = make_columns(100)
    split = make_split(100)
    with pytest.raises(DataError, match="hold one class only \\(0\\)"):
        train_model(make_training(frame, target * 0), split, make_project())
    with pytest.raises(ConfigError, match=r"train\.costs: .* need a binary target; this one is multiclass"):
        costs = {"false_positive": 1, "false_negative": 1}
        train_model(make_training(frame, target, "multiclass"), split, make_project(costs=costs))
    with pytest.raises(ConfigError, match="no classes to weigh"):
        train_model(make_training(frame, target, "regression"), split, make_project(class_weight="balanced"))


@pytest.mark.parametrize("name", ALL)
def test_a_category_of_100_000_values_makes_a_small_model(name: str) -> None:
    random = np.random.default_rng(0)
    n = 150_000
    value = random.integers(0, 130_000, n)
    target = pd.Series((random.random(n) < 0.3).astype(int))
    frame = pd.DataFrame({"c": pd.Series([f"level {k}" for k in value], dtype="str"), "x": random.normal(size=n)})
    plan = plan_features(frame, ["c", "x"])
    assert plan.levels["c"] > 80_000
    small = {"max_leaf_nodes": 8} if name == "random_forest" else {}  # to be quick
    params = {**CANDIDATES[name].defaults, **small}
    if name == "random_forest":
        frame, target = frame.iloc[::10], target.iloc[::10]
    pipeline = make_pipeline(CANDIDATES[name], params, plan, "binary", Setting(0, None)).fit(frame, target)
    stored = skops.io.dumps(pipeline)
    again = skops.io.loads(stored, trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(again.predict_proba(frame[:100]), pipeline.predict_proba(frame[:100]))
    assert len(stored) < 6e6


@pytest.mark.parametrize("name", ALL)
def test_odd_rows_are_scored_without_a_warning(name: str) -> None:
    frame, target = make_columns(400)
    spec = make_project(candidates=[name], search={"trials": 1})
    model = train_model(make_training(frame, target), make_split(400), spec)
    later, _ = make_columns(30, seed=3)
    later = later.assign(shop="new", member=None, seen="never", amount=[1e300, -np.inf, "much"] * 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probability = model.estimator.predict_proba(later)
    assert np.isfinite(probability).all()
    with pytest.raises(DataError, match="'shop'"):
        model.estimator.predict_proba(later.drop(columns="shop"))


@pytest.mark.parametrize("name", [c.name for c in CANDIDATES.values() if "regression" in c.makers])
def test_numbers_can_be_predicted_too(name: str) -> None:
    frame, _ = make_columns(600)
    frame["many"] = [f"v{k}" for k in np.random.default_rng(0).integers(0, 300, 600)]
    target = frame["count"] * 2.0 + frame["amount"].fillna(0)
    plan = plan_features(frame, list(frame.columns))
    model = make_pipeline(CANDIDATES[name], CANDIDATES[name].defaults, plan, "regression", Setting(0, None))
    model.fit(frame.iloc[:500], target.iloc[:500])
    prediction = predict_rows(model, frame.iloc[500:], "regression")
    assert np.corrcoef(prediction, target.iloc[500:])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("metric", "quantile", "statistic"), [("r2", 0.5, "mean"), ("mae", 0.5, "median"), ("pinball", 0.9, "quantile")]
)
@pytest.mark.parametrize("name", ["ridge", "hist_gradient_boosting"])
def test_a_regression_aims_at_what_its_metric_rewards(name: str, metric: str, quantile: float, statistic: str) -> None:
    """On skewed noise mean, median and an upper quantile lie far apart."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=3_000), "z": random.normal(size=3_000)})
    noise = random.lognormal(0, 1, 3_000)
    target = pd.Series(5 * frame["x"] + noise)
    spec = make_project(candidates=[name], search={"trials": 1}, metric=metric, quantile=quantile)
    model = train_model(make_training(frame, target, "regression", ()), make_split(3_000), spec)
    assert model.calibration.startswith("none") and model.threshold is None and model.task == "regression"
    test = np.arange(2_400, 3_000)
    left = target.iloc[test] - predict_rows(model.estimator, frame.iloc[test], "regression")
    found = {"mean": left.mean(), "median": left.median(), "quantile": left.quantile(0.9)}
    assert abs(found[statistic]) == min(map(abs, found.values())), found
    again = skops.io.loads(skops.io.dumps(model.estimator), trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(again.predict(frame), model.estimator.predict(frame))


def test_each_task_has_its_own_default_candidates() -> None:
    frame, target = make_columns(600)
    labels = {"binary": target, "multiclass": target + (frame["count"] > 25), "regression": frame["count"] * 1e6}
    tried = {}
    for task, own in labels.items():
        classes = tuple(sorted(own.unique())) if task != "regression" else ()
        spec = make_project(search={"trials": 2, "seconds": 1e6})
        model = train_model(make_training(frame, own, task, classes), make_split(600), spec)
        tried[task] = [t.candidate for t in model.trials]
    linear = {"binary": "logistic", "multiclass": "logistic", "regression": "ridge"}
    assert tried == {task: [linear[task], "hist_gradient_boosting"] for task in labels}


@pytest.mark.parametrize(
    ("task", "train", "words"),
    [
        ("regression", {"class_weight": "balanced"}, "class_weight"),
        ("regression", {"calibrate": "isotonic"}, r"train\.calibrate: a regression has no probabilities"),
        ("regression", {"costs": {"false_positive": 1, "false_negative": 2}}, r"train\.costs"),
        ("regression", {"quantile": 0.9}, "metric: pinball only; found metric: r2"),
        ("regression", {"metric": "roc_auc"}, "'roc_auc' is no metric of a regression"),
        ("multiclass", {"candidates": ["ridge"]}, "'ridge' cannot predict a multiclass"),
        ("multiclass", {"metric": "f1"}, "'f1' is no metric of a multiclass"),
    ],
)
def test_what_a_task_does_not_have_is_refused(task: Any, train: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_task(make_project(**train), task)


@pytest.mark.parametrize("name", [c.name for c in CANDIDATES.values() if "multiclass" in c.makers])
def test_several_classes_can_be_predicted_too(name: str) -> None:
    frame, _ = make_columns(900)
    frame["many"] = [f"v{k}" for k in np.random.default_rng(0).integers(0, 300, 900)]
    target = np.where(frame["count"] < 15, "low", np.where(frame["count"] < 35, "mid", "top")).astype(object)
    plan = plan_features(frame, list(frame.columns))
    model = make_pipeline(CANDIDATES[name], CANDIDATES[name].defaults, plan, "multiclass", Setting(0, "balanced"))
    model = calibrate(model.fit(frame.iloc[:600], target[:600]), frame.iloc[600:750], target[600:750], "sigmoid")
    probability = predict_rows(model, frame.iloc[750:], "multiclass")
    assert probability.shape == (150, 3) and np.allclose(probability.sum(axis=1), 1)
    assert (model.predict(frame.iloc[750:]) == target[750:]).mean() > 0.7
    again = skops.io.loads(skops.io.dumps(model), trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(predict_rows(again, frame, "multiclass"), predict_rows(model, frame, "multiclass"))
