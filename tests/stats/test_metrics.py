"""Every metric against scikit-learn, ties and corners included."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from tasks.errors import ConfigError
from tasks.stats.metrics import METRICS, OperatingPoint, count_ties, find_metric
from tasks.stats.prediction import decide_rows, predict_constant

AT = OperatingPoint(threshold=0.3, false_positive=1.0, false_negative=4.0)


def by_sklearn(name: str, y: np.ndarray, p: np.ndarray, at: OperatingPoint) -> float:
    decided = (p >= at.threshold).astype(int)
    if name == "expected_cost":
        (_, false_positive), (false_negative, _) = sk.confusion_matrix(y, decided, labels=[0, 1])
        return (at.false_positive * false_positive + at.false_negative * false_negative) / len(y)
    return {
        "average_precision": lambda: sk.average_precision_score(y, p),
        "roc_auc": lambda: sk.roc_auc_score(y, p),
        "log_loss": lambda: sk.log_loss(y, p, labels=[0, 1]),
        "brier": lambda: sk.brier_score_loss(y, p),
        "accuracy": lambda: sk.accuracy_score(y, decided),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, decided),
        "f1": lambda: sk.f1_score(y, decided),
    }[name]()


# few distinct scores, so that ties are the rule; 0.3 is the threshold itself
scores = st.one_of(st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0]), st.floats(0, 1))
two_class_rows = st.lists(st.tuples(st.integers(0, 1), scores), min_size=2, max_size=60).filter(
    lambda rows: len({y for y, _ in rows}) == 2
)


@pytest.mark.parametrize("name", METRICS)
@given(rows=two_class_rows)
def test_each_metric_is_scikit_learns(name: str, rows: list[tuple[int, float]]) -> None:
    y, p = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    assert METRICS[name].compute(y, p, AT) == pytest.approx(by_sklearn(name, y, p, AT), abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
@given(rows=two_class_rows, data=st.data())
def test_the_order_of_rows_does_not_matter(name: str, rows: list[tuple[int, float]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    one, other = (
        METRICS[name].compute(np.array([r[0] for r in table]), np.array([r[1] for r in table]), AT)
        for table in (rows, shuffled)
    )
    assert one == pytest.approx(other, abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_stays_within_its_limits(name: str) -> None:
    rng = np.random.default_rng(1)
    for share in (0.02, 0.5, 0.98):
        y = (rng.random(300) < share).astype(int)
        value = METRICS[name].compute(y, rng.random(300), AT)
        low, high = METRICS[name].limits
        assert low <= value <= high


@pytest.mark.parametrize("name", METRICS)
def test_what_is_not_defined_is_nan_and_never_a_number(name: str) -> None:
    metric = METRICS[name]
    nothing = np.array([], dtype=int)
    assert math.isnan(metric.compute(nothing, nothing.astype(float), AT))
    for bad in (np.nan, np.inf):
        assert math.isnan(metric.compute(np.array([0, 1, 1]), np.array([0.2, bad, 0.4]), AT))
    one_class = metric.compute(np.array([1, 1]), np.array([0.2, 0.9]), AT)
    needs_two = name in ("average_precision", "roc_auc", "balanced_accuracy", "f1")
    assert math.isnan(one_class) == needs_two


def test_costs_that_are_not_stated_leave_the_cost_undefined() -> None:
    assert math.isnan(METRICS["expected_cost"].compute(np.array([0, 1]), np.array([0.1, 0.2])))


def test_a_gain_is_positive_where_it_is_better() -> None:
    assert METRICS["roc_auc"].gain(0.8, 0.7) == pytest.approx(0.1)
    assert METRICS["log_loss"].gain(0.4, 0.5) == pytest.approx(0.1)


def test_ties_are_counted_from_the_top() -> None:
    positives, rows = count_ties(np.array([1, 0, 1, 1]), np.array([0.5, 0.5, 0.9, 0.1]))
    assert positives.tolist() == [1, 1, 1]
    assert rows.tolist() == [1, 2, 1]


@pytest.mark.parametrize(("name", "task"), [("rmse", "binary"), ("roc_auc", "regression"), (None, "regression")])
def test_a_metric_that_the_task_lacks_is_named(name: str | None, task: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.metric: .* is no metric of a"):
        find_metric(name, task)  # type: ignore[arg-type]


def test_decisions_start_at_the_threshold() -> None:
    p = np.array([0.29, 0.3, 0.31, 0.5])
    assert decide_rows(p, "binary", 0.3).tolist() == [0, 1, 1, 1]
    assert decide_rows(p, "binary").tolist() == [0, 0, 0, 1]
    assert decide_rows(np.array([[0.2, 0.5, 0.3]]), "multiclass").tolist() == [1]
    assert decide_rows(p, "regression").tolist() == p.tolist()


def test_the_constant_prediction_is_the_mean() -> None:
    assert predict_constant(np.array([0, 1, 1, 1]), 2).tolist() == [0.75, 0.75]
    assert np.isnan(predict_constant(np.array([]), 1)).all()
