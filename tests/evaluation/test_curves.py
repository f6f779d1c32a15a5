"""Curves hold few points and still the area, the ends and the bins of all rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from tasks.evaluation.curves import BINS, MAX_POINTS, draw_curves

rows = st.lists(
    st.tuples(st.integers(0, 1), st.one_of(st.sampled_from([0.0, 0.2, 1.0]), st.floats(0, 1))), min_size=2, max_size=80
).filter(lambda table: len({y for y, _ in table}) == 2)


@given(rows)
def test_small_tables_keep_every_point(table: list[tuple[int, float]]) -> None:
    y, p = np.array([r[0] for r in table]), np.array([r[1] for r in table])
    curves = draw_curves(y, p, "binary")
    roc = curves["roc"]
    assert np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"]) == pytest.approx(sk.roc_auc_score(y, p))
    recall, precision = curves["precision_recall"].values()
    steps = np.diff(recall, prepend=0.0)
    assert float(np.sum(steps * precision)) == pytest.approx(sk.average_precision_score(y, p))
    calibration = curves["calibration"]
    assert sum(calibration["rows"]) == len(y)
    assert len(calibration["rows"]) <= BINS
    assert np.dot(calibration["observed"], calibration["rows"]) == pytest.approx(y.sum())
    assert np.dot(calibration["predicted"], calibration["rows"]) == pytest.approx(p.sum())


def test_large_tables_are_thinned_and_keep_their_shape() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(20_000) < 0.2).astype(int)
    p = np.clip(0.2 + 0.15 * y + 0.2 * rng.normal(size=20_000), 0, 1)
    curves = draw_curves(y, p, "binary")
    roc = curves["roc"]
    for name in ("roc", "precision_recall"):
        assert all(len(values) <= MAX_POINTS for values in curves[name].values())
    assert (roc["false_positive_rate"][0], roc["true_positive_rate"][0]) == (0, 0)
    assert (roc["false_positive_rate"][-1], roc["true_positive_rate"][-1]) == (1, 1)
    assert curves["precision_recall"]["recall"][-1] == 1
    assert curves["precision_recall"]["precision"][-1] == pytest.approx(y.mean())
    area = np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"])
    assert area == pytest.approx(sk.roc_auc_score(y, p), abs=2e-3)


def test_each_of_several_classes_is_ranked_against_the_others() -> None:
    rng = np.random.default_rng(1)
    y, p = rng.integers(0, 3, 150), rng.dirichlet(np.ones(3), 150)
    curves = draw_curves(y, p, "multiclass", ("a", 7, "c"))
    assert [(c["class"], c["rows"]) for c in curves["roc_by_class"]] == [
        (name, int((y == code).sum())) for code, name in enumerate(("a", "7", "c"))
    ]
    for code in range(3):
        roc, pr = curves["roc_by_class"][code], curves["precision_recall_by_class"][code]
        area = np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"])
        assert area == pytest.approx(sk.roc_auc_score(y == code, p[:, code]))
        steps = np.diff(pr["recall"], prepend=0.0)
        assert np.sum(steps * pr["precision"]) == pytest.approx(sk.average_precision_score(y == code, p[:, code]))
    assert curves["confusion"]["classes"] == ["a", "7", "c"]
    np.testing.assert_array_equal(curves["confusion"]["counts"], sk.confusion_matrix(y, p.argmax(axis=1)))
    calibration = curves["calibration"]
    assert np.dot(calibration["observed"], calibration["rows"]) == pytest.approx((p.argmax(axis=1) == y).sum())


@given(st.integers(2, 30), st.integers(1, 300), st.integers(0, 9))
def test_many_and_absent_classes_keep_every_row(classes: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, classes, rows), rng.dirichlet(np.ones(classes), rows)
    curves = draw_curves(y, p, "multiclass", tuple(range(classes)))
    assert np.sum(curves["confusion"]["counts"]) == rows
    assert len(curves["roc_by_class"]) <= 10
    assert len(curves["confusion"]["classes"]) == min(classes, 11)
    assert all(0 < c["rows"] < rows for c in curves["roc_by_class"])


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0]) | st.floats(-1e6, 1e6)), min_size=1))
def test_residuals_keep_every_row(table: list[tuple[float, float]]) -> None:
    y, p = np.array(table).T
    curves = draw_curves(y, p, "regression")
    residuals, quantiles = curves["residuals"], curves["quantiles"]
    assert sum(residuals["rows"]) == len(y)
    assert min(residuals["rows"]) > 0
    assert np.all(np.diff(residuals["predicted"]) >= 0)
    low, median, high = (np.array(residuals[name]) for name in ("low", "median", "high"))
    assert np.all(low <= median) and np.all(median <= high)
    assert (quantiles["actual"][0], quantiles["actual"][-1]) == (y.min(), y.max())
    assert (quantiles["predicted"][0], quantiles["predicted"][-1]) == (p.min(), p.max())
