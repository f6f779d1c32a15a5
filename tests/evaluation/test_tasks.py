"""Several classes, and numbers: judged by the same rules, beside the best constant and a champion that knows less."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from tasks.evaluation.challenger import evaluate_test_rows
from tasks.evaluation.contender import Contender, predict_contender
from tasks.evaluation.verdict import judge_challenger
from tasks.results import Evaluation, Soundness, TrainingFrame, to_json
from tests.evaluation.rows import (
    FEATURES,
    FINE,
    fit_model,
    make_frame,
    make_several,
    make_spec,
    make_split,
    make_values,
)

SOUND = Soundness(loads=True, largest_difference=0.0, predict_ms_per_1k_rows=12.0, size_mb=1.5)


def test_every_metric_of_several_classes_is_scikit_learns() -> None:
    frame = make_several()
    split = make_split(frame)
    model = fit_model(frame, split, metric="log_loss")
    evaluation = evaluate_test_rows(model, frame, split, make_spec())
    test = list(split.test)
    y, p = frame.target.iloc[test].to_numpy(), model.estimator.predict_proba(frame.frame.iloc[test][list(FEATURES)])
    decided, hot = p.argmax(axis=1), np.eye(3)[y]
    expected = {
        "average_precision_macro": sk.average_precision_score(hot, p, average="macro"),
        "roc_auc_ovr": sk.roc_auc_score(y, p, multi_class="ovr", average="macro"),
        "log_loss": sk.log_loss(y, p),
        "brier": ((p - hot) ** 2).sum(axis=1).mean() / 2,
        "accuracy": sk.accuracy_score(y, decided),
        "balanced_accuracy": sk.balanced_accuracy_score(y, decided),
        "f1_macro": sk.f1_score(y, decided, average="macro"),
    }
    assert {m.name: m.value for m in evaluation.metrics} == pytest.approx(expected, abs=1e-9)
    assert all(m.low < m.value < m.high and m.rows == 1200 and m.blocks == 30 for m in evaluation.metrics)
    shares = np.bincount(frame.target.iloc[list(split.fit)]) / len(split.fit)
    assert evaluation.baseline.value == pytest.approx(-np.log(shares)[y].mean())
    assert set(evaluation.importance) == set(FEATURES)
    assert max(evaluation.importance, key=lambda name: evaluation.importance[name]) == "size"
    json.loads(to_json(evaluation))
    assert judge_challenger(evaluation, SOUND, make_spec(), "none", FINE).outcome == "promote"


def test_every_metric_of_a_number_is_scikit_learns() -> None:
    frame = make_values()
    split = make_split(frame)
    model = fit_model(frame, split, metric="mae")
    evaluation = evaluate_test_rows(model, frame, split, make_spec(train={"metric": "mae"}))
    test = list(split.test)
    y, p = frame.target.iloc[test].to_numpy(), model.estimator.predict(frame.frame.iloc[test][list(FEATURES)])
    expected = {
        "r2": sk.r2_score(y, p),
        "mae": sk.mean_absolute_error(y, p),
        "rmse": sk.root_mean_squared_error(y, p),
        "mape": sk.mean_absolute_percentage_error(y, p),
        "pinball": sk.mean_pinball_loss(y, p),
    }
    assert {m.name: m.value for m in evaluation.metrics} == pytest.approx(expected)
    median = np.median(frame.target.iloc[list(split.fit)])
    assert evaluation.baseline.value == pytest.approx(np.abs(y - median).mean())
    assert set(evaluation.importance) == set(FEATURES)
    against = evaluation.against_baseline
    assert against is not None
    assert against.margin == pytest.approx(0.01 * evaluation.baseline.value), "1% where the metric has a unit"
    verdict = judge_challenger(evaluation, SOUND, make_spec(), "none", FINE)
    assert verdict.outcome == "promote"
    assert verdict.reason.endswith(f"{against.margin:.3g} (1% of the constant prediction's) is asked.")


@pytest.mark.parametrize(("margin", "expected"), [(None, 0.005), ("2%", 0.02), (3.5, None), ("0%", 0.0)])
def test_a_margin_may_be_a_share_of_the_constants_value_on_the_same_rows(margin: Any, expected: float | None) -> None:
    frame = make_values()
    split = make_split(frame)
    spec = make_spec(train={"metric": "mae"}, gates={"champion": {"margin": margin}})
    model, champion = fit_model(frame, split, metric="mae"), fit_model(frame, split, features=("size",))
    unseen = np.arange(1200) >= 400
    evaluation = evaluate_test_rows(
        model, frame, split, spec, champion=Contender.of(champion), champion_unseen=unseen, importance=False
    )
    y = frame.target.iloc[np.asarray(split.test)[unseen]]
    constant = np.abs(y - frame.target.iloc[list(split.fit)].median()).mean()
    compared = evaluation.against_champion
    assert compared is not None and compared.rows == 800
    assert compared.margin == pytest.approx(3.5 if expected is None else expected * constant)
    gate = next(g for g in judge_challenger(evaluation, SOUND, spec, "compared", FINE).gates if g.name == "champion")
    assert gate.limit == -compared.margin
    assert gate.status == "pass"


def rare(absent: bool, blocks: bool = True) -> tuple[TrainingFrame, Any]:
    """Three classes of which the third has no test row, or three in one block."""
    frame = make_several(shares=(0.55, 0.45))
    split = make_split(frame, blocks=blocks)
    target = frame.target.copy()
    target.iloc[:30] = 2
    if not absent:
        target.iloc[list(split.test)[:3]] = 2
    return replace(frame, target=target, classes=("a", "b", "c")), split


def test_a_class_without_test_rows_leaves_what_can_be_judged() -> None:
    frame, split = rare(absent=True)
    model = fit_model(frame, split, metric="log_loss")
    evaluation = evaluate_test_rows(model, frame, split, make_spec(), importance=False)
    told = {m.name: math.isfinite(m.value) for m in evaluation.metrics}
    assert told == {
        "average_precision_macro": False, "roc_auc_ovr": False, "log_loss": True, "brier": True, "accuracy": True,
        "balanced_accuracy": False, "f1_macro": False,
    }  # fmt: skip
    assert judge_challenger(evaluation, SOUND, make_spec(), "none", FINE).outcome == "promote"
    assert [c["class"] for c in evaluation.curves["roc_by_class"]] == ["a", "b"]
    bounded = make_spec(gates={"floors": {"roc_auc_ovr": 0.6}})
    held = judge_challenger(evaluate_test_rows(model, frame, split, bounded), SOUND, bounded, "none", FINE)
    assert (held.outcome, held.deciding) == ("hold", "floor roc_auc_ovr")
    assert "ROC AUC one-vs-rest is not defined on 1,200 test rows" in held.reason


def test_a_metric_that_needs_the_absent_class_says_which_it_is() -> None:
    frame, split = rare(absent=True)
    model = fit_model(frame, split, metric="balanced_accuracy")
    evaluation = evaluate_test_rows(model, frame, split, make_spec(), importance=False)
    assert evaluation.problem == (
        "balanced accuracy is not defined on the 1,200 test rows: none is of class 'c'. More rows or a larger "
        "split.test may bring some"
    )
    assert judge_challenger(evaluation, SOUND, make_spec(), "none", FINE).outcome == "hold"


def test_a_class_in_one_block_only_holds_the_metrics_that_need_it() -> None:
    frame, split = rare(absent=False)
    spec = make_spec()
    by_rows = evaluate_test_rows(fit_model(frame, split, metric="log_loss"), frame, split, spec, importance=False)
    assert judge_challenger(by_rows, SOUND, spec, "none", FINE).outcome == "promote", "three rows of 1,200"
    by_class = evaluate_test_rows(fit_model(frame, split, metric="f1_macro"), frame, split, spec, importance=False)
    assert math.isfinite(by_class.metric("f1_macro").value)
    verdict = judge_challenger(by_class, SOUND, spec, "none", FINE)
    assert (verdict.outcome, verdict.deciding) == ("hold", "baseline")
    assert "worth 1.0 independent blocks" in verdict.reason


def test_a_champion_that_knows_other_classes_is_judged_on_those_of_the_rows() -> None:
    frame = make_several()
    split = make_split(frame)
    model = fit_model(frame, split, metric="log_loss")
    fewer = replace(frame, target=frame.target.clip(upper=1), classes=("a", "b"))  # it never saw c
    older = fit_model(fewer, split)
    champion = Contender(older.estimator, FEATURES, classes=("a", "b"))
    evaluation = evaluate_test_rows(model, frame, split, make_spec(), champion=champion, importance=False)
    assert evaluation.champion is not None
    test = list(split.test)
    known = older.estimator.predict_proba(frame.frame.iloc[test][list(FEATURES)])
    p = np.column_stack([known, np.zeros(len(test))])
    y = frame.target.iloc[test].to_numpy()
    loss = -np.log(np.clip(p[np.arange(len(y)), y], np.finfo(float).eps, 1)).mean()
    assert evaluation.champion.value == pytest.approx(loss)
    turned = Contender(model.estimator, FEATURES, classes=("c", "b", "a"))
    prediction, _ = predict_contender(turned, frame.frame.iloc[test], frame)
    assert prediction is not None
    np.testing.assert_allclose(
        prediction[:, ::-1], model.estimator.predict_proba(frame.frame.iloc[test][list(FEATURES)])
    )
    _, why = predict_contender(Contender(model.estimator, FEATURES, classes=("x", "y", "z")), frame.frame, frame)
    assert why == "it predicts 'x', 'y', 'z', and the target of the rows is 'a', 'b', 'c'"


def test_a_champion_of_another_kind_of_target_is_no_bar_and_says_so() -> None:
    values, several = make_values(), make_several()
    split = make_split(values)
    number, label = fit_model(values, split, metric="r2"), fit_model(several, split, metric="log_loss")
    one = evaluate_test_rows(number, values, split, make_spec(), champion=Contender.of(label), importance=False)
    other = evaluate_test_rows(label, several, split, make_spec(), champion=Contender.of(number), importance=False)
    assert one.champion_problem == "it predicts 'a', 'b', 'c', and the target of the rows is numbers"
    assert other.champion_problem == "it predicts numbers, and the target of the rows is 'a', 'b', 'c'"
    for evaluation in (one, other):
        assert judge_challenger(evaluation, SOUND, make_spec(), "compared", FINE).outcome == "hold"


def test_two_classes_in_the_other_order_are_turned() -> None:
    frame = make_frame()
    split = make_split(frame)
    model = fit_model(frame, split)
    rows = frame.frame.iloc[list(split.test)]
    turned, _ = predict_contender(Contender(model.estimator, FEATURES, classes=(True, False)), rows, frame)
    straight, _ = predict_contender(Contender.of(model), rows, frame)
    assert turned is not None and straight is not None
    np.testing.assert_allclose(turned, 1 - straight)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("blocks", [True, False])
def test_the_same_model_is_not_worse_and_not_better(task: str, blocks: bool) -> None:
    frame = make_several() if task == "multiclass" else make_values()
    split = make_split(frame, blocks=blocks)
    model = fit_model(frame, split, metric="log_loss" if task == "multiclass" else "r2")
    evaluation: Evaluation = evaluate_test_rows(
        model, frame, split, make_spec(), champion=Contender.of(model), importance=False
    )
    assert evaluation.against_champion is not None
    assert (evaluation.against_champion.low, evaluation.against_champion.high) == (0, 0)
    assert judge_challenger(evaluation, SOUND, make_spec(), "compared", FINE).outcome == "promote"
    strict = make_spec(gates={"champion": {"rule": "better"}})
    assert judge_challenger(evaluation, SOUND, strict, "compared", FINE).outcome == "reject"
