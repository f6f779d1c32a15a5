"""A model taken apart: the sum behind it is its score, and each step of a column is told as it was."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.errors import InfrastructureError
from tasks.stats.prediction import predict_rows
from tasks.training import calibration as cal
from tasks.training.anatomy import find_linear_form, score_raw, take_apart, trace_columns
from tasks.training.candidates import CANDIDATES, Setting, make_pipeline
from tasks.training.features import plan_features
from tests.conftest import make_rows

FEATURES = ["size", "count", "colour", "member", "code", "when"]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rows = make_rows(2000)
    rng = np.random.default_rng(0)
    rows["code"] = [f"c{i}" for i in rng.integers(0, 400, len(rows))]
    rows["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, len(rows)), unit="D")
    return rows


def build(rows: pd.DataFrame, name: str, method: Any = None, threshold: bool = False) -> Any:
    target = rows["bought"].astype(int).to_numpy()
    plan = plan_features(rows, FEATURES)
    estimator = make_pipeline(CANDIDATES[name], CANDIDATES[name].defaults, plan, "binary", Setting(0, None))
    estimator.fit(rows.iloc[:1400], target[:1400])
    if method:
        estimator = cal.calibrate(estimator, rows.iloc[1400:], target[1400:], method)
    return cal.carry_threshold(estimator, 0.3, rows.iloc[:1400], target[:1400]) if threshold else estimator


@pytest.mark.parametrize(("method", "threshold"), [(None, False), ("sigmoid", False), ("sigmoid", True)])
def test_the_sum_behind_a_linear_score(rows: pd.DataFrame, method: str | None, threshold: bool) -> None:
    estimator = build(rows, "logistic", method, threshold)
    row, reference = rows.iloc[[5]], rows.iloc[100:160]
    form = find_linear_form(take_apart(estimator), row, reference)
    assert form is not None and set(form.parts) == set(FEATURES)
    (p,) = predict_rows(estimator, row, "binary")
    assert form.intercept + form.weights @ form.row == pytest.approx(math.log(p / (1 - p)), abs=1e-9)
    given = predict_rows(estimator, reference, "binary")
    sums = form.intercept + form.reference @ form.weights
    assert sums == pytest.approx(np.log(given / (1 - given)), abs=1e-9)


@pytest.mark.parametrize(("name", "method"), [("logistic", "isotonic"), ("hist_gradient_boosting", None)])
def test_a_score_that_is_no_sum(rows: pd.DataFrame, name: str, method: str | None) -> None:
    anatomy = take_apart(build(rows, name, method))
    assert find_linear_form(anatomy, rows.iloc[[5]], rows.iloc[:50]) is None
    assert anatomy.calibration == (method or "none")


def test_the_raw_score_before_calibration(rows: pd.DataFrame) -> None:
    row = rows.iloc[[5]]
    plain, mapped = build(rows, "logistic"), build(rows, "logistic", "isotonic")
    (p,) = predict_rows(plain, row, "binary")
    for estimator in (plain, mapped):
        score, called = score_raw(take_apart(estimator), row)
        assert called == "log-odds" and score == pytest.approx([math.log(p / (1 - p))])
    forest = build(rows, "random_forest")
    assert score_raw(take_apart(forest), row)[0] == pytest.approx(predict_rows(forest, row, "binary"))


def test_each_column_as_it_was_read_and_encoded(rows: pd.DataFrame) -> None:
    row = rows.iloc[[5]].copy()
    row["size"], row["colour"], row["code"] = np.nan, "violet", "c7"
    linear = trace_columns(take_apart(build(rows, "logistic")), row)
    assert linear["size"].read == "missing" and linear["size"].encoded.endswith(" scaled, marked missing")
    assert linear["colour"].read == "not seen in training"
    assert linear["code"].encoded.startswith("mean ") and linear["code"].encoded.endswith(" scaled")
    assert "month" in linear["when"].encoded and linear["when"].read.startswith("20")
    tree = trace_columns(take_apart(build(rows, "hist_gradient_boosting")), row)
    assert tree["size"].encoded == "missing" and tree["colour"].encoded == "no value that was learned"
    assert tree["code"].encoded.startswith("mean 0")
    row["colour"] = "red"
    assert trace_columns(take_apart(build(rows, "logistic")), row)["colour"].encoded == "red (1 of 3 columns)"


def test_an_estimator_of_another_make() -> None:
    with pytest.raises(InfrastructureError, match="A model of type object has no steps"):
        take_apart(object())
