"""Calibrated probabilities give the base rate back; costs set the threshold that the classes obey."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from tasks.config.project import Costs
from tasks.training.calibration import calibrate, carry_threshold, choose_calibration, choose_threshold


def labels(positives: int, negatives: int) -> np.ndarray:
    return np.repeat([1, 0], [positives, negatives])


def test_auto_takes_what_the_rarer_class_allows() -> None:
    def choose(positives: int, negatives: int = 9_000) -> str:
        method, text = choose_calibration("auto", labels(positives, negatives), 2, False)
        assert text.startswith(method)
        return method

    assert choose(2_000) == choose(9_000, 2_000) == "isotonic"
    assert choose(1_999) == choose(100) == "sigmoid"
    assert choose(99) == choose(0) == "none"


def test_several_classes_share_a_temperature() -> None:
    few = np.repeat([0, 1, 2], [900, 60, 3])
    assert choose_calibration("auto", few, 3, False) == ("temperature", "temperature")
    assert choose_calibration("auto", few, 3, True)[1].startswith("none: 3 of the 963 calibration rows are of the rare")
    assert choose_calibration("auto", np.repeat([0, 1, 2], 5_000), 3, True)[0] == "sigmoid"
    assert choose_calibration("auto", few[:960], 3, False)[1].startswith("none: 960 calibration rows lack a class")
    assert choose_calibration("auto", few[::10], 3, False)[0] == "none", "97 rows"
    assert choose_calibration("temperature", labels(5, 50), 2, False) == ("temperature", "temperature")


@pytest.mark.parametrize("method", ["temperature", "sigmoid", "isotonic"])
def test_calibration_mends_an_overconfident_model_of_several_classes(method: str) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(6_000, 3))
    true = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    y = (true.cumsum(axis=1) < random.random((6_000, 1))).sum(axis=1)
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    model = LogisticRegression().fit(frame.iloc[:3_000], y[:3_000])
    model.coef_, model.intercept_ = 4 * model.coef_, 4 * model.intercept_
    mended = calibrate(model, frame.iloc[3_000:], y[3_000:], method)  # type: ignore[arg-type]
    after = mended.predict_proba(frame)
    assert np.allclose(after.sum(axis=1), 1)
    assert np.abs(after - true).mean() < 0.04 < 0.1 < np.abs(model.predict_proba(frame) - true).mean()


def test_none_says_why_and_warns_of_class_weights() -> None:
    method, text = choose_calibration("auto", labels(7, 50), 2, True)
    assert method == "none"
    assert "7 of the 57 calibration rows are of the rarest class, sigmoid needs 100" in text
    assert "not the true base rate; set train.calibrate: sigmoid" in text
    assert "base rate" in choose_calibration("none", labels(500, 500), 2, True)[1]
    assert choose_calibration("none", labels(500, 500), 2, False)[1] == "none: train.calibrate asks for none."


def test_what_is_asked_for_is_done_where_it_can_be() -> None:
    assert choose_calibration("isotonic", labels(5, 50), 2, False) == ("isotonic", "isotonic")
    method, text = choose_calibration("isotonic", labels(4, 50), 2, False)
    assert method == "none" and "isotonic needs 5" in text
    assert choose_calibration("sigmoid", labels(0, 50), 2, False)[0] == "none"


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_mends_probabilities_of_weighted_rows(method: str) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(8_000, 1))
    y = (random.random(8_000) < 1 / (1 + np.exp(-(2 * x[:, 0] - 3)))).astype(int)
    frame = pd.DataFrame({"x": x[:, 0]})
    first, rest = frame.iloc[:4_000], frame.iloc[4_000:]
    weighted = LogisticRegression(class_weight="balanced").fit(first, y[:4_000])
    raw = weighted.predict_proba(first)[:, 1]
    assert raw.mean() > 1.7 * y.mean()
    mended = calibrate(weighted, rest, y[4_000:], method)  # type: ignore[arg-type]
    after = mended.predict_proba(first)[:, 1]
    assert abs(after.mean() - y[:4_000].mean()) < 0.015
    for low, high in ((0, 0.1), (0.1, 0.4), (0.4, 1.01)):
        band = (after >= low) & (after < high)
        assert abs(after[band].mean() - y[:4_000][band].mean()) < 0.05
    np.testing.assert_array_equal(weighted.predict_proba(first)[:, 1], raw, "the fitted model is left as it was")


def test_the_threshold_follows_from_the_costs() -> None:
    assert choose_threshold(None, True)[0] == 0.5
    assert choose_threshold(Costs(false_positive=1, false_negative=4), True)[0] == pytest.approx(0.2)
    value, how = choose_threshold(Costs(false_positive=1, false_negative=4), False, weight_ratio=4)
    assert value == pytest.approx(0.5) and "weighs 4 times" in how


@pytest.mark.parametrize("weight", [None, "balanced"])
@pytest.mark.parametrize("calibrated", [True, False])
def test_the_threshold_costs_no_more_than_the_best_one_on_many_new_rows(weight: str | None, calibrated: bool) -> None:
    random = np.random.default_rng(2)
    x = random.normal(size=60_000)
    y = (random.random(60_000) < 1 / (1 + np.exp(-(1.5 * x - 2)))).astype(int)
    frame, fit, held, new = pd.DataFrame({"x": x}), slice(0, 5_000), slice(5_000, 10_000), slice(10_000, None)
    model = LogisticRegression(class_weight=weight).fit(frame[fit], y[fit])
    if calibrated:
        model = calibrate(model, frame[held], y[held], "sigmoid")
    ratio = (1 - y[fit].mean()) / y[fit].mean() if weight else 1.0
    threshold, _ = choose_threshold(Costs(false_positive=1, false_negative=6), calibrated, ratio)
    carrier = carry_threshold(model, threshold, frame[fit], y[fit])
    probability, predicted, truth = carrier.predict_proba(frame[new])[:, 1], carrier.predict(frame[new]), y[new]
    np.testing.assert_array_equal(predicted, (probability >= threshold).astype(int))

    def cost(decided: np.ndarray) -> float:
        return float(((decided == 1) & (truth == 0)).sum() + 6 * ((decided == 0) & (truth == 1)).sum())

    best = min(cost((probability >= t).astype(int)) for t in np.quantile(probability, np.linspace(0, 1, 200)))
    assert cost(predicted) <= 1.01 * best
    assert cost(predicted) < 0.9 * cost((probability >= 0.5).astype(int)) or weight == "balanced"
