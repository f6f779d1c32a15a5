"""What is identical to the last bit, and how the rest is told."""

from __future__ import annotations

import math

import numpy as np

from tasks.evaluation.reproduction import compare_metrics, compare_predictions, compare_values
from tasks.results import MetricValue


def metric(value: float, low: float = 0.1, name: str = "roc_auc") -> MetricValue:
    return MetricValue(name, value, low, 0.9, 0.95, True, "jackknife")


def recorded(value: float | None, low: float | None = 0.1, name: str = "roc_auc") -> dict[str, object]:
    return {"name": name, "value": value, "low": low, "high": 0.9}


def test_predictions() -> None:
    a = np.array([0.1, 0.2, np.nan])
    assert compare_predictions("rows", a, a.copy()).difference == ""
    found = compare_predictions("rows", a, np.array([0.1, np.nextafter(0.2, 1), np.nan]))
    assert found.what == "3 rows" and found.difference == "1 differ, by at most 2.78e-17"
    both = np.array([[0.1, 0.9], [0.3, 0.7]])
    assert (
        compare_predictions("rows", both, both + np.array([[0, 0], [0.1, -0.1]])).difference
        == "1 differ, by at most 0.1"
    )
    assert compare_predictions("rows", a, a[:2]).difference == "3 then, 2 now"
    assert compare_predictions("rows", np.array(["a", "b"]), np.array(["a", "c"])).difference == "1 differ"


def test_metrics_to_the_last_bit() -> None:
    assert compare_metrics([recorded(0.5)], [metric(0.5), metric(0.3, name="new")]).difference == ""
    assert compare_metrics([recorded(None, None)], [metric(math.nan, math.nan)]).difference == ""
    other = compare_metrics([recorded(0.5)], [metric(np.nextafter(0.5, 1))]).difference
    assert other == "roc_auc 0.5 then, 0.5000000000000001 now"
    assert compare_metrics([recorded(0.5, 0.2)], [metric(0.5)]).difference == "roc_auc the same, its interval not"
    assert compare_metrics([recorded(0.5)], []).difference == "roc_auc is not computed any more"
    assert compare_metrics([recorded(None)], [metric(0.5)]).difference == "roc_auc None then, 0.5 now"


def test_values() -> None:
    assert compare_values("split", "a", "a").difference == ""
    assert compare_values("split", "a", "b").difference == "a then, b now"
