"""What an evaluation reports is what an independent computation on the same rows gives."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier

from tasks.evaluation.challenger import evaluate_challenger, evaluate_stored, evaluate_test_rows
from tasks.evaluation.contender import Contender
from tasks.results import Evaluation, to_json
from tests.evaluation.rows import FEATURES, fit_model, make_frame, make_spec, make_split, wrap


def sklearn_numbers(y: Any, p: Any, threshold: float) -> dict[str, float]:
    decided = (p >= threshold).astype(int)
    wrong = sk.confusion_matrix(y, decided)
    return {
        "average_precision": sk.average_precision_score(y, p),
        "roc_auc": sk.roc_auc_score(y, p),
        "log_loss": sk.log_loss(y, p),
        "brier": sk.brier_score_loss(y, p),
        "accuracy": sk.accuracy_score(y, decided),
        "balanced_accuracy": sk.balanced_accuracy_score(y, decided),
        "f1": sk.f1_score(y, decided),
        "expected_cost": (2 * wrong[0, 1] + 5 * wrong[1, 0]) / len(y),
    }


@pytest.mark.parametrize("blocks", [True, False])
def test_every_reported_metric_is_scikit_learns_on_the_test_rows(blocks: bool) -> None:
    frame = make_frame()
    split = make_split(frame, blocks=blocks)
    model = fit_model(frame, split, threshold=0.3)
    spec = make_spec(train={"costs": {"false_positive": 2, "false_negative": 5}})
    evaluation = evaluate_challenger(model, frame, split, spec)

    test = list(split.test)
    p = model.estimator.predict_proba(frame.frame.iloc[test][list(FEATURES)])[:, 1]
    expected = sklearn_numbers(frame.target.iloc[test], p, 0.3)
    assert {m.name: m.value for m in evaluation.metrics} == pytest.approx(expected, abs=1e-9)
    for m in evaluation.metrics:
        assert m.low < m.value < m.high, m
    assert evaluation.rows == len(test) == 1200
    assert evaluation.blocks == (30 if blocks else None)
    assert evaluation.block_unit == ("30 days" if blocks else "50 random blocks of rows")
    prior = np.full(len(test), frame.target.iloc[list(split.fit)].mean())
    assert evaluation.baseline.value == pytest.approx(sk.average_precision_score(frame.target.iloc[test], prior))
    json.loads(to_json(evaluation))


def test_only_test_rows_are_looked_at() -> None:
    frame = make_frame()
    split = make_split(frame)
    model = fit_model(frame, split)
    before = evaluate_test_rows(model, frame, split, make_spec())
    elsewhere = frame.frame.copy()
    for name, value in zip(FEATURES, (99.0, "blue", 99.0), strict=True):
        elsewhere.loc[list(split.fit), name] = value
    changed = type(frame)(**{**vars(frame), "frame": elsewhere})
    after = evaluate_test_rows(model, changed, split, make_spec())
    assert to_json(after) == to_json(before)


def test_without_costs_there_is_no_expected_cost() -> None:
    frame = make_frame()
    evaluation = evaluate_test_rows(fit_model(frame, make_split(frame)), frame, make_split(frame), make_spec())
    assert "expected_cost" not in {m.name for m in evaluation.metrics}
    with pytest.raises(KeyError):
        evaluation.metric("expected_cost")


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "f1", "roc_auc"])
def test_any_metric_may_be_the_one_that_decides(metric: str) -> None:
    frame = make_frame()
    split = make_split(frame)
    evaluation = evaluate_test_rows(fit_model(frame, split, metric=metric), frame, split, make_spec())
    y = frame.target.iloc[list(split.test)].to_numpy()
    prior = frame.target.iloc[list(split.fit)].mean()
    trivial = {
        "accuracy": max(y.mean(), 1 - y.mean()),
        "f1": sk.f1_score(y, np.ones(len(y))),  # the better constant decision
        "log_loss": sk.log_loss(y, np.full(len(y), prior)),
        "roc_auc": 0.5,
    }[metric]
    assert evaluation.baseline.value == pytest.approx(trivial)
    assert evaluation.against_baseline is not None
    assert evaluation.against_baseline.gain == pytest.approx(abs(evaluation.metric(metric).value - trivial))
    assert evaluation.against_baseline.low > 0


def test_the_champion_is_scored_on_the_same_rows_with_its_own_features_and_threshold() -> None:
    frame = make_frame()
    split = make_split(frame)
    champion = fit_model(frame, split, features=("size",))
    evaluation = evaluate_challenger(
        fit_model(frame, split, metric="accuracy"),
        frame,
        split,
        make_spec(),
        champion=Contender(champion.estimator, ("size",), 0.7),
    )
    test = list(split.test)
    p = champion.estimator.predict_proba(frame.frame.iloc[test][["size"]])[:, 1]
    assert evaluation.champion is not None
    assert evaluation.against_champion is not None
    assert evaluation.champion.value == pytest.approx(sk.accuracy_score(frame.target.iloc[test], p >= 0.7))
    gain = evaluation.metric("accuracy").value - evaluation.champion.value
    assert evaluation.against_champion.gain == pytest.approx(gain)
    assert evaluation.against_champion.low < gain < evaluation.against_champion.high
    assert evaluation.against_champion.rows_needed is not None


class Broken:
    """A model that misbehaves in the way it was made for."""

    def __init__(self, how: str) -> None:
        self.how = how

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        if self.how == "raises":
            raise ValueError("input has 3 features,\nbut 4 are expected")
        half = np.full((len(frame), 2), 0.5)
        if self.how == "nan":
            half[0, 1] = np.nan
        return half[:-1] if self.how == "short" else half


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raises", "fails on them with ValueError: input has 3 features,"),
        ("nan", "not finite"),
        ("short", "1,199 pred"),
    ],
)
def test_a_model_that_breaks_is_reported_and_not_raised(how: str, said: str) -> None:
    frame = make_frame()
    split = make_split(frame)
    as_challenger = evaluate_test_rows(wrap(Broken(how)), frame, split, make_spec())
    assert said in as_challenger.problem
    assert math.isnan(as_challenger.metric("average_precision").value)
    as_champion = evaluate_test_rows(
        fit_model(frame, split), frame, split, make_spec(), champion=Contender(Broken(how), FEATURES)
    )
    assert said in as_champion.champion_problem
    assert as_champion.against_champion is None
    assert as_champion.champion is None


def test_a_champion_whose_column_is_gone_is_reported() -> None:
    frame = make_frame()
    split = make_split(frame)
    model = fit_model(frame, split)
    evaluation = evaluate_test_rows(
        model, frame, split, make_spec(), champion=Contender(model.estimator, ("size", "weight"))
    )
    assert "column 'weight'" in evaluation.champion_problem


def unjudged(kind: str) -> Evaluation:
    frame = make_frame(600)
    split = make_split(frame)
    model = fit_model(frame, split)
    if kind == "no test row":
        split = type(split)(**{**vars(split), "test": (), "blocks": ()})
    if kind == "hold 1 of the target's 2 classes":
        frame = type(frame)(**{**vars(frame), "target": frame.target * 0})
    if kind == "have no label":
        frame = type(frame)(**{**vars(frame), "target": frame.target.astype(float).where(frame.target.index < 590)})
    if kind == "names blocks for 3":
        split = type(split)(**{**vars(split), "blocks": ("a", "b", "c")})
    return evaluate_test_rows(model, frame, split, make_spec())


@pytest.mark.parametrize(
    "kind", ["no test row", "hold 1 of the target's 2 classes", "have no label", "names blocks for 3"]
)
def test_rows_that_cannot_judge_say_so(kind: str) -> None:
    evaluation = unjudged(kind)
    assert kind in evaluation.problem
    assert evaluation.against_baseline is None
    assert math.isnan(evaluation.baseline.value)
    json.loads(to_json(evaluation))


def test_a_constant_model_gains_exactly_nothing() -> None:
    frame = make_frame()
    split = make_split(frame)
    fit = list(split.fit)
    dummy = DummyClassifier(strategy="prior").fit(frame.frame.iloc[fit], frame.target.iloc[fit])
    comparison = evaluate_test_rows(wrap(dummy), frame, split, make_spec()).against_baseline
    assert comparison is not None
    assert (comparison.gain, comparison.low, comparison.high) == (0, 0, 0)


def test_the_same_inputs_give_the_same_evaluation() -> None:
    frame = make_frame()
    split = make_split(frame, blocks=False)
    model = fit_model(frame, split)
    one, again = (to_json(evaluate_test_rows(model, frame, split, make_spec())) for _ in range(2))
    assert one == again


def test_a_cost_that_decides_must_be_stated() -> None:
    with pytest.raises(ValueError, match=r"needs train\.costs"):
        make_spec(train={"metric": "expected_cost"})


def test_rows_that_the_champion_has_seen_do_not_compare() -> None:
    frame = make_frame()
    split = make_split(frame)
    model, champion = fit_model(frame, split), fit_model(frame, split, features=("size",))
    unseen = np.arange(len(split.test)) >= 600
    evaluation = evaluate_challenger(
        model,
        frame,
        split,
        make_spec(),
        champion=Contender.of(champion),
        champion_unseen=unseen,
    )
    test = np.asarray(split.test)[unseen]
    p = champion.estimator.predict_proba(frame.frame.iloc[test][["size"]])[:, 1]
    assert evaluation.champion is not None
    assert evaluation.champion.value == pytest.approx(sk.average_precision_score(frame.target.iloc[test], p))
    assert evaluation.against_champion is not None
    assert evaluation.against_champion.rows == 600
    assert evaluation.rows == 1200
    nothing = evaluate_challenger(
        model, frame, split, make_spec(), champion=Contender.of(champion),
        champion_unseen=np.zeros(len(split.test), bool),
    )  # fmt: skip
    assert nothing.against_champion is None
    assert "it has seen all but 0 of the 1,200 test rows" in nothing.champion_problem


def test_a_stored_model_is_judged_as_the_one_that_was_just_fitted() -> None:
    frame = make_frame()
    split = make_split(frame)
    model, champion = fit_model(frame, split, threshold=0.4), fit_model(frame, split, features=("size",))
    fresh = evaluate_test_rows(model, frame, split, make_spec(), champion=Contender.of(champion))
    fit_target = frame.target.iloc[list(split.fit)].to_numpy()
    stored = evaluate_stored(
        Contender.of(model), frame, split.test, fit_target, make_spec(), metric=model.metric, blocks=split.blocks,
        champion=Contender.of(champion), importance=True,
    )  # fmt: skip
    assert to_json(stored) == to_json(fresh)


def test_each_one_sided_bound_is_at_the_confidence_that_is_asked() -> None:
    frame = make_frame()
    split = make_split(frame)
    model, champion = fit_model(frame, split), fit_model(frame, split, features=("size",))
    usual, strict = (
        evaluate_test_rows(model, frame, split, make_spec(), champion=Contender.of(champion), confidence=level)
        for level in (None, 0.99)
    )
    for name in ("against_baseline", "against_champion"):
        one, other = getattr(usual, name), getattr(strict, name)
        assert (one.confidence, other.confidence) == (0.95, 0.99)
        assert other.low < one.low < one.gain == other.gain < one.high < other.high
        assert other.rows_needed >= one.rows_needed
