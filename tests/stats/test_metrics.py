"""Every metric against scikit-learn, ties and corners included."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tasks.errors import ConfigError
from tasks.stats.metrics import DEFAULT_METRIC, METRICS, OperatingPoint, count_ties, find_metric
from tasks.stats.prediction import decide_rows, predict_constant, predict_trivially

Array = np.ndarray
AT = OperatingPoint(threshold=0.3, false_positive=1.0, false_negative=4.0, quantile=0.8)
CLASSES = 3
CASES = [(name, task) for name, metric in METRICS.items() for task in metric.tasks]
NEEDS_ALL_CLASSES = {
    "average_precision",
    "average_precision_macro",
    "roc_auc",
    "roc_auc_ovr",
    "balanced_accuracy",
    "f1",
    "f1_macro",
}


def by_sklearn(name: str, task: str, y: Array, p: Array, at: OperatingPoint) -> float:
    if task == "regression":
        return {
            "mae": lambda: sk.mean_absolute_error(y, p),
            "rmse": lambda: sk.root_mean_squared_error(y, p),
            "r2": lambda: sk.r2_score(y, p),
            "mape": lambda: sk.mean_absolute_percentage_error(y, p),
            "pinball": lambda: sk.mean_pinball_loss(y, p, alpha=at.quantile),
        }[name]()
    binary = task == "binary"
    decided = (p >= at.threshold).astype(int) if binary else p.argmax(axis=1)
    labels = range(2 if binary else CLASSES)
    if name == "expected_cost":
        (_, false_positive), (false_negative, _) = sk.confusion_matrix(y, decided, labels=[0, 1])
        return (at.false_positive * false_positive + at.false_negative * false_negative) / len(y)
    return {
        "average_precision": lambda: sk.average_precision_score(y, p),
        "average_precision_macro": lambda: sk.average_precision_score(y, p, average="macro"),
        "roc_auc": lambda: sk.roc_auc_score(y, p),
        "roc_auc_ovr": lambda: sk.roc_auc_score(y, p, multi_class="ovr", labels=labels),
        "log_loss": lambda: sk.log_loss(y, p, labels=labels),
        "brier": lambda: sk.brier_score_loss(y, p, labels=labels, scale_by_half=True),
        "accuracy": lambda: sk.accuracy_score(y, decided),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, decided),
        "f1": lambda: sk.f1_score(y, decided),
        "f1_macro": lambda: sk.f1_score(y, decided, labels=labels, average="macro"),
    }[name]()


# few distinct scores, so that ties are the rule; 0.3 is the threshold itself
scores = st.one_of(st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0]), st.floats(0, 1))
numbers = st.one_of(st.sampled_from([-2.0, 1.0, 1000.5]), st.floats(0.01, 1e4), st.floats(-1e4, -0.01))


@st.composite
def tables(draw: st.DrawFn, task: str) -> tuple[Array, Array]:
    """Labels and predictions of a few rows, in which every class occurs and not all values are the same."""
    if task == "regression":
        rows = draw(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=60))
        if len({y for y, _ in rows}) == 1:
            rows.append((rows[0][0] * 2, 0.5))  # not 0, where MAPE is not defined
        return np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    classes = 2 if task == "binary" else CLASSES
    labels = [*range(classes), *draw(st.lists(st.integers(0, classes - 1), max_size=60))]
    if task == "binary":
        return np.array(labels), np.array([draw(scores) for _ in labels])
    weights = np.array([draw(st.sampled_from([(1, 0, 0), (1, 1, 2), (2, 1, 1), (0, 3, 1), (5, 1, 9)])) for _ in labels])
    return np.array(labels), weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("name", "task"), CASES)
@settings(max_examples=40)
@given(data=st.data())
def test_each_metric_is_scikit_learns(name: str, task: str, data: st.DataObject) -> None:
    y, p = data.draw(tables(task))
    assert METRICS[name].compute(y, p, AT) == pytest.approx(by_sklearn(name, task, y, p, AT), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("name", "task"), CASES)
@settings(max_examples=40)
@given(data=st.data())
def test_the_order_of_rows_does_not_matter(name: str, task: str, data: st.DataObject) -> None:
    y, p = data.draw(tables(task))
    order = np.array(data.draw(st.permutations(range(len(y)))))
    there, back = METRICS[name].compute(y, p, AT), METRICS[name].compute(y[order], p[order], AT)
    assert there == pytest.approx(back, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("name", "task"), CASES)
@settings(max_examples=40)
@given(data=st.data())
def test_without_a_block_is_what_its_other_rows_give(name: str, task: str, data: st.DataObject) -> None:
    y, p = data.draw(tables(task))
    of_row = np.array(data.draw(st.lists(st.integers(0, 6), min_size=len(y), max_size=len(y))))
    found = METRICS[name].compute_without(y, p, of_row, 7, AT)
    for block in range(7):
        kept = of_row != block
        anew = METRICS[name].compute(y[kept], p[kept], AT)
        assert found[block] == pytest.approx(anew, nan_ok=True, rel=1e-9, abs=1e-9)


def test_a_block_with_huge_errors_takes_no_digits_from_the_others() -> None:
    y = np.array([1.0, 2.0, 3.0, 1e9])
    p = np.array([1.0, 2.0, 3.1, -1e9])
    for name, expected in (("rmse", 0.1 / math.sqrt(3)), ("mae", 0.1 / 3), ("r2", 1 - 0.01 / 2)):
        found = METRICS[name].compute_without(y, p, np.array([0, 0, 0, 1]), 2, AT)
        assert found[1] == pytest.approx(expected)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_a_metric_stays_within_its_limits(name: str, task: str) -> None:
    rng = np.random.default_rng(1)
    low, high = METRICS[name].limits
    for share in (0.02, 0.5, 0.98):
        if task == "regression":
            y, p = rng.normal(size=300), rng.normal(size=300)
        elif task == "binary":
            y, p = (rng.random(300) < share).astype(int), rng.random(300)
        else:
            y, p = rng.choice(3, 300, p=[share, 0.01, 0.99 - share]), rng.dirichlet(np.full(3, 0.3), 300)
        value = METRICS[name].compute(y, p, AT)
        assert low <= value <= high


@pytest.mark.parametrize(("name", "task"), CASES)
def test_what_is_not_defined_is_nan_and_never_a_number(name: str, task: str) -> None:
    metric = METRICS[name]
    nothing = np.array([], dtype=int)
    empty = np.empty((0, 3) if task == "multiclass" else 0)
    assert math.isnan(metric.compute(nothing, empty, AT))
    assert np.isnan(metric.compute_without(nothing, empty, nothing, 2, AT)).all()
    y = np.array([0, 1, 1])
    for bad in (np.nan, np.inf):
        p = np.array([0.2, bad, 0.4])
        assert math.isnan(metric.compute(y, np.tile(p, (3, 1)) if task == "multiclass" else p, AT))
    if task != "regression":
        p = np.array([[0.2, 0.8, 0.0]] * 2) if task == "multiclass" else np.array([0.2, 0.9])
        assert math.isnan(metric.compute(np.array([1, 1]), p, AT)) == (name in NEEDS_ALL_CLASSES)


def test_relative_errors_and_r2_are_defined_or_not_by_the_values() -> None:
    p = np.array([1.0, 2.0])
    assert math.isnan(METRICS["mape"].compute(np.array([0.0, 4.0]), p))
    assert math.isnan(METRICS["r2"].compute(np.array([0.1, 0.1]), p))
    assert METRICS["mape"].compute(np.array([2.0, 4.0]), p) == pytest.approx(0.5)


def test_r2_keeps_its_digits_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    y = 1e9 + rng.normal(size=1000)
    p = y + rng.normal(size=1000)
    assert METRICS["r2"].compute(y, p) == pytest.approx(sk.r2_score(y, p), rel=1e-6)


def test_costs_that_are_not_stated_leave_the_cost_undefined() -> None:
    assert math.isnan(METRICS["expected_cost"].compute(np.array([0, 1]), np.array([0.1, 0.2])))


def test_a_gain_is_positive_where_it_is_better() -> None:
    assert METRICS["roc_auc"].gain(0.8, 0.7) == pytest.approx(0.1)
    assert METRICS["log_loss"].gain(0.4, 0.5) == pytest.approx(0.1)


def test_metrics_in_the_unit_of_the_target_or_the_costs_say_so() -> None:
    assert {name for name, metric in METRICS.items() if metric.unit} == {"mae", "rmse", "pinball", "expected_cost"}


def test_ties_are_counted_from_the_top() -> None:
    positives, rows = count_ties(np.array([1, 0, 1, 1]), np.array([0.5, 0.5, 0.9, 0.1]))
    assert positives.tolist() == [1, 1, 1]
    assert rows.tolist() == [1, 2, 1]


@pytest.mark.parametrize("task", DEFAULT_METRIC)
def test_each_task_has_a_default(task: Any) -> None:
    assert task in find_metric(None, task).tasks


@pytest.mark.parametrize(("name", "task"), [("rmse", "binary"), ("roc_auc", "regression"), ("f1", "multiclass")])
def test_a_metric_that_the_task_lacks_is_named(name: str, task: Any) -> None:
    with pytest.raises(ConfigError, match=rf"train\.metric: '{name}' is no metric of a {task}"):
        find_metric(name, task)


def test_decisions_start_at_the_threshold() -> None:
    p = np.array([0.29, 0.3, 0.31, 0.5])
    assert decide_rows(p, "binary", 0.3).tolist() == [0, 1, 1, 1]
    assert decide_rows(p, "binary").tolist() == [0, 0, 0, 1]
    assert decide_rows(np.array([[0.2, 0.5, 0.3]]), "multiclass").tolist() == [1]
    assert decide_rows(p, "regression").tolist() == p.tolist()


def test_the_constant_prediction_is_the_mean_or_the_shares() -> None:
    assert predict_constant(np.array([0, 1, 1, 1]), 2).tolist() == [0.75, 0.75]
    assert predict_constant(np.array([0, 1, 1, 1]), 2, "multiclass", "abc").tolist() == [[0.25, 0.75, 0]] * 2
    assert np.isnan(predict_constant(np.array([]), 1)).all()
    assert np.isnan(predict_constant(np.array([]), 2, "multiclass", "abc")).all()


@pytest.mark.parametrize("name", [name for name, task in CASES if task == "regression"])
@settings(max_examples=40)
@given(y=st.lists(numbers, min_size=3, max_size=30).filter(lambda y: len(set(y)) > 1), other=numbers)
def test_no_other_constant_is_better_for_a_regression(name: str, y: list[float], other: float) -> None:
    metric, values = METRICS[name], np.array(y)
    best = predict_trivially(metric, values, len(y), AT, "regression", ())
    another = np.full(len(y), other)
    gain = metric.gain(metric.compute(values, best, AT), metric.compute(values, another, AT))
    assert gain >= -1e-9 * max(1, abs(metric.compute(values, another, AT)))


@pytest.mark.parametrize(("name", "task"), [(name, task) for name, task in CASES if task != "regression"])
def test_the_trivial_prediction_for_classes_is_the_shares_or_the_best_decision(name: str, task: Any) -> None:
    y = np.array([0, 0, 0, 1, 1] if task == "binary" else [0, 0, 0, 1, 1, 2])
    classes = ("a", "b") if task == "binary" else ("a", "b", "c")
    found = predict_trivially(METRICS[name], y, 4, AT, task, classes)
    assert found.shape == ((4,) if task == "binary" else (4, 3))
    if METRICS[name].needs == "predictions":
        assert np.allclose(found[0], 0.4 if task == "binary" else [1 / 2, 1 / 3, 1 / 6])
    else:
        always = name in ("expected_cost", "f1")  # a missed positive costs four times as much; F1 of none is 0
        assert np.array_equal(found[0], float(always) if task == "binary" else [1, 0, 0])
    nothing = predict_trivially(METRICS[name], y[:0], 4, AT, task, classes)
    assert np.isnan(nothing).all()
