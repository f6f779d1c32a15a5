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


def test_a_task_without_curves_has_none() -> None:
    assert draw_curves(np.array([1.0, 2.0]), np.array([1.0, 2.0]), "regression") == {}
