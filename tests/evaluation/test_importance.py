"""Permutation importance: right on known models, bounded in rows and calls."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.evaluation.importance import MAX_CELLS, MAX_PREDICTIONS, MAX_ROWS, MIN_ROWS, measure_importance
from tasks.stats.metrics import AT_HALF, METRICS

METRIC = METRICS["roc_auc"]


def table(rows: int, features: int = 3, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, features)), columns=[f"f{i}" for i in range(features)])
    frame.index = pd.Index(rng.permutation(rows) + 7)  # positions and labels differ
    y = (rng.random(rows) < 1 / (1 + np.exp(-2 * frame["f0"] - 0.7 * frame["f1"]))).to_numpy().astype(int)
    return frame, y


def predict(frame: pd.DataFrame) -> np.ndarray:
    return (1 / (1 + np.exp(-2 * frame["f0"] - 0.7 * frame["f1"]))).to_numpy()


def test_what_the_model_needs_comes_first_and_what_it_ignores_costs_nothing() -> None:
    frame, y = table(2000)
    falls = measure_importance(predict, METRIC, frame, y, AT_HALF, 0)
    assert list(falls) == ["f0", "f1", "f2"]
    assert falls["f0"] > 0.2 > falls["f1"] > 0.005
    assert falls["f2"] == 0


def test_it_is_the_fall_when_one_column_is_shuffled() -> None:
    frame, y = table(2000)
    shuffled = frame.assign(f0=np.random.default_rng(5).permutation(frame["f0"].to_numpy()))
    by_hand = METRIC.compute(y, predict(frame)) - METRIC.compute(y, predict(shuffled))
    assert measure_importance(predict, METRIC, frame, y, AT_HALF, 0)["f0"] == pytest.approx(by_hand, abs=0.03)


@pytest.mark.parametrize(("rows", "features"), [(20_000, 4), (20_000, 60), (3_000, 700), (50, 2)])
def test_its_work_is_bounded(rows: int, features: int) -> None:
    frame, y = table(rows, features)
    seen: list[int] = []

    def count(part: pd.DataFrame) -> np.ndarray:
        seen.append(len(part))
        return predict(part)

    falls = measure_importance(count, METRIC, frame, y, AT_HALF, 0)
    assert len(falls) == features
    sample, *stacked = seen
    assert sample <= min(rows, MAX_ROWS)
    assert sum(stacked) == sample * features <= max(MAX_PREDICTIONS, MIN_ROWS * features)
    assert max(stacked) * features <= max(MAX_CELLS, sample * features)


def test_types_and_missing_values_stay_as_they_are() -> None:
    frame, y = table(400)
    frame["text"] = pd.Series(np.where(np.arange(400) % 3 == 0, None, "red"), index=frame.index, dtype="str")
    frame["kind"] = pd.Categorical(np.where(np.arange(400) % 2, "a", "b"))
    frame["flag"] = np.arange(400) % 2 == 0
    frame["when"] = pd.date_range("2024-01-01", periods=400, tz="UTC")

    def check(part: pd.DataFrame) -> np.ndarray:
        assert part.dtypes.to_dict() == frame.dtypes.to_dict()
        assert list(part.columns) == list(frame.columns)
        for name in frame.columns:  # each copy holds the same values, in whatever order
            for start in range(0, len(part), len(frame)):
                copy = part[name].iloc[start : start + len(frame)]
                pd.testing.assert_series_equal(
                    copy.sort_values().reset_index(drop=True), frame[name].sort_values().reset_index(drop=True)
                )
        return predict(part)

    measure_importance(check, METRIC, frame, y, AT_HALF, 0)
