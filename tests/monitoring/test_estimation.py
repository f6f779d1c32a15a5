"""Performance without labels: estimates that stream, what they say where they cannot tell, and how often they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.monitoring.encoding import UNSEEN, FeatureCodes
from tasks.monitoring.estimation import ALONE, Estimate, PerformanceEstimator, make_estimator
from tasks.monitoring.reference import RoleNames, make_reference
from tasks.monitoring.trust import Reckoning, describe_trust, judge_trust
from tasks.results import Split, TrainingFrame
from tasks.stats.metrics import METRICS, OperatingPoint, TaskType
from tests.stats.estimation_simulations import (
    CLASSES,
    FEATURES,
    World,
    count_covered,
    draw_rows,
    estimate_rows,
    find_truth,
    make_rows,
    shift,
    simulate,
)
from tests.stats.simulations import bound_rate

TASKS: tuple[TaskType, ...] = ("binary", "multiclass", "regression")


def learn(
    reference: pd.DataFrame | None, task: TaskType, metric: str | None = None, **more: Any
) -> PerformanceEstimator:
    return make_estimator(reference, FEATURES, task=task, classes=CLASSES[task], metric=metric, **more)


def draw_window(task: TaskType, rows: int, days: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, pd.Series | None]:
    frame, _, prediction, day = draw_rows(World(task, 0.3, days=days), rows, np.random.default_rng(seed))
    dates = (np.datetime64("2024-02-20") + np.arange(max(days, 1))).astype(str)
    return frame, prediction, None if day is None else pd.Series(dates[day])


def read(estimator: PerformanceEstimator, window: tuple, cuts: np.ndarray) -> Estimate:
    """A new estimate of a window that is cut at `cuts`."""
    frame, prediction, days = window
    once = estimator.begin_again()
    for part in np.split(np.arange(len(frame)), cuts):
        once.add(frame.iloc[part], prediction[part], None if days is None else days.iloc[part], part)
    return once.estimate()


# ---------------------------------------------------------------- streaming


@pytest.fixture(scope="module")
def learned() -> dict[tuple[TaskType, int], PerformanceEstimator]:
    rng = np.random.default_rng(0)
    return {(t, days): learn(make_rows(World(t, days=days), 600, rng), t) for t in TASKS for days in (0, 8)}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), days=st.sampled_from([0, 8]), task=st.sampled_from(TASKS))
def test_any_cut_into_chunks_gives_the_same(learned, seed: int, days: int, task: TaskType) -> None:
    rng = np.random.default_rng(seed)
    window = draw_window(task, 700, days, seed % 1_000)
    window[1][rng.random(700) < 0.05] = np.nan  # not scored
    cuts = np.sort(rng.integers(0, 701, rng.integers(1, 9)))
    assert repr(read(learned[task, days], window, cuts)) == repr(read(learned[task, days], window, np.array([], int)))


def test_the_state_does_not_grow_with_rows_or_blocks(learned) -> None:
    once = learned["binary", 8].begin_again()
    for part in range(6):
        frame, prediction, _ = draw_window("binary", 3_000, 0, part)
        days = pd.Series((np.datetime64("2001-01-01") + np.arange(3_000) + 3_000 * part).astype(str))
        once.add(frame, prediction, days, np.arange(3_000) + 3_000 * part)
    found = once.estimate()
    assert found.rows == 18_000 and 30 <= found.metrics[0].blocks <= 60
    assert "blocks of days, and 8 days of the reference" in found.metrics[0].method
    assert len(once._sample._parts) and sum(map(len, once._sample._parts)) <= 8_000


# ---------------------------------------------------------------- what is estimated


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_of_a_task_is_near_its_value(task: TaskType) -> None:
    rng = np.random.default_rng(1)
    at = OperatingPoint(0.3, 1.0, 3.0, 0.8)
    reference = make_rows(World(task), 4_000, rng)
    estimator = learn(reference, task, at=at)
    frame, y, prediction, _ = draw_rows(shift(World(task), 0.2), 20_000, rng)
    estimator.add(frame, prediction, None, np.arange(20_000))
    found = estimator.estimate()
    assert found.doubt == "" and found.rows == 20_000
    assert {m.name for m in found.metrics} == {m.name for m in METRICS.values() if task in m.tasks}
    for value in found.metrics:
        true = METRICS[value.name].compute(y, prediction, at)
        # a relative error is dominated by the few labels next to 0
        near = {"mape": 1.0, "r2": 0.05}.get(value.name, 0.08)
        assert value.value == pytest.approx(true, rel=near), value
        assert value.low <= value.value <= value.high and value.rows == 20_000


def test_the_projects_metric_comes_first_and_one_that_the_task_lacks_gives_way() -> None:
    reference = make_rows(World(), 1_000, np.random.default_rng(2))
    for asked, first in (("brier", "brier"), (None, "average_precision"), ("mae", "average_precision")):
        estimator = learn(reference, "binary", asked)
        frame, prediction, _ = draw_window("binary", 500, 0, 3)
        estimator.add(frame, prediction, None, np.arange(500))
        assert estimator.estimate().metrics[0].name == first


def test_an_estimate_is_nearer_than_the_constant_where_inputs_move() -> None:
    rng = np.random.default_rng(4)
    for task, metric in (("binary", "f1"), ("binary", "brier"), ("regression", "mae")):
        moved = shift(World(task), 0.8)
        truth, constant = find_truth(moved, metric), find_truth(World(task), metric)
        off = []
        for _ in range(5):
            value = estimate_rows(make_rows(World(task), 3_000, rng), moved, 3_000, metric, rng).metrics[0].value
            off.append(abs(value - truth))
        assert np.mean(off) < 0.75 * abs(constant - truth), (task, metric)


def test_a_window_of_one_day_is_taken_as_it_is() -> None:
    reference = make_rows(World(days=12), 1_500, np.random.default_rng(5))
    frame, prediction, _ = draw_window("binary", 900, 0, 6)
    found = read(learn(reference, "binary"), (frame, prediction, pd.Series(["2024-01-01"] * 900)), np.array([], int))
    assert ALONE in found.metrics[0].method and np.isfinite(found.metrics[0].low)


def test_groups_are_blocks_too() -> None:
    reference = make_rows(World(days=12), 1_500, np.random.default_rng(5))
    frame, prediction, _ = draw_window("binary", 900, 0, 6)
    names = pd.Series([f"clinic {i % 9}" for i in range(900)])
    found = read(learn(reference, "binary", ordered=False), (frame, prediction, names), np.array([400]))
    assert found.metrics[0].method.endswith("jackknife over 9 groups, and 12 groups of the reference")


def test_a_share_of_rows_unlike_all_of_the_reference_is_told() -> None:
    reference = make_rows(World(), 1_500, np.random.default_rng(7))
    frame, prediction, _ = draw_window("binary", 1_000, 0, 8)
    usual = read(learn(reference, "binary"), (frame, prediction, None), np.array([], int)).strange
    frame.loc[:399, "kind"] = "new"
    assert usual < 0.02 and read(learn(reference, "binary"), (frame, prediction, None), np.array([], int)).strange > 0.4


# ---------------------------------------------------------------- where nothing can be said


def test_what_cannot_be_told_is_said() -> None:
    rng = np.random.default_rng(9)
    reference = make_rows(World(), 1_000, rng)
    names = RoleNames.beside(FEATURES)
    frame, prediction, _ = draw_window("binary", 500, 0, 10)
    window = (frame, prediction, None)

    def doubt(kept: pd.DataFrame | None, task: TaskType = "binary", metric: str | None = None, **more: Any) -> str:
        found = read(learn(kept, task, metric, **more), window, np.array([], int))
        assert found.rows == 500
        return found.doubt

    assert doubt(reference) == ""
    assert "no reference rows" in doubt(None)
    assert "100 rows, fewer than 200" in doubt(reference.head(100))
    assert "keeps no probabilities" in doubt(reference.drop(columns=names.probability))
    rare = pd.concat([reference[reference["target"] == 0], reference[reference["target"] == 1].head(5)])
    assert "a class has 5 reference rows" in doubt(rare)
    assert "expected cost per row cannot be estimated" in doubt(reference, metric="expected_cost")
    assert doubt(reference, metric="expected_cost", at=OperatingPoint(0.5, 1.0, 2.0)) == ""
    few = reference.assign(**{names.block: np.arange(1_000) // 300})
    assert "too few days or groups for an interval" in doubt(few)
    alone = learn(reference, "binary")
    alone.add(frame, np.full(500, np.nan), None, np.arange(500))
    assert alone.estimate() == Estimate(0, (), "no row was scored")
    small = read(learn(reference, "binary"), (frame.head(50), prediction[:50], None), np.array([], int))
    assert "50 rows were scored, fewer than 200" in small.doubt and small.metrics


def test_a_reference_of_an_older_version_still_serves_where_it_can() -> None:
    rng = np.random.default_rng(11)
    names = RoleNames.beside(FEATURES)
    for task in TASKS:
        old = make_rows(World(task, days=10), 800, rng).drop(
            columns=[names.block, *names.of_classes(3)], errors="ignore"
        )
        frame, prediction, days = draw_window(task, 600, 10, 12)
        found = read(learn(old, task), (frame, prediction, days), np.array([], int))
        if task == "multiclass":
            assert "train again" in found.doubt and not found.metrics
        else:
            assert not found.doubt and "random blocks of rows of the reference" in found.metrics[0].method


# ---------------------------------------------------------------- features of every kind


def make_kinds(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    flag = rng.random(rows) < 0.5
    return pd.DataFrame(
        {
            "number": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
            "whole": rng.integers(0, 9, rows),
            "huge": rng.choice([1e300, -1e300, np.inf, 0], rows),
            "text": pd.Series(rng.choice(["<b>", "b", "ü"], rows), dtype="str").where(rng.random(rows) > 0.1),
            "category": pd.Categorical(rng.choice(["u", "v"], rows)),
            "flag": flag,
            "perhaps": pd.Series(flag).astype(object).where(rng.random(rows) > 0.1, None),
            "at": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 900, rows), unit="h"),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 90, rows), unit="D"),
            "nothing": np.full(rows, np.nan),
            "none": pd.Series([None] * rows, dtype=object),
            "name": [f"id-{i}" for i in range(rows)],
        }
    )


def test_features_of_every_kind_are_read_and_may_be_missing_later() -> None:
    rng = np.random.default_rng(13)
    frame = make_kinds(600, 14)
    features = list(frame)
    p = 0.2 + 0.6 * frame["flag"].to_numpy()
    names = RoleNames.beside(features)
    reference = frame.assign(**{names.target: rng.random(600) < p, names.probability: p})
    estimator = make_estimator(reference, features, task="binary", classes=(False, True))
    window = make_kinds(400, 15)
    window["text"] = "never seen"
    window["whole"] = window["whole"].astype(float).where(window.index > 50)
    window = window.drop(columns=["at", "number"])
    estimator.add(window, 0.2 + 0.6 * window["flag"].to_numpy(), None, np.arange(400))
    found = estimator.estimate()
    assert not found.doubt and found.strange == 1
    assert found.metrics[0].name == "average_precision" and np.isfinite(found.metrics[0].low)


def test_texts_are_ranked_by_what_the_champion_missed() -> None:
    frame = pd.DataFrame({"a": ["x", "y", "z", None] * 5, "b": [f"t{i}" for i in range(20)]})
    miss, prediction = np.tile([0.3, 0.1, 0.2, 0.0], 5), np.linspace(1, 0, 20)
    codes = FeatureCodes(frame, ("a", "b"), miss, prediction)
    read_again = codes.encode(pd.DataFrame({"a": ["x", "y", "z", None, "new"], "b": ["t0", "t19", None, "t1", "t2"]}))
    assert read_again[:, 0].tolist()[:3] == [2, 0, 1] and np.isnan(read_again[3, 0]) and read_again[4, 0] == UNSEEN
    assert read_again[0, 1] == 19 and read_again[1, 1] == 0
    assert codes.find_strange(read_again).tolist() == [False, False, True, False, True]


# ---------------------------------------------------------------- the reference


def test_a_reference_keeps_probabilities_and_blocks_under_free_names() -> None:
    rows = pd.DataFrame({"block": [1.0, 2, 3, 4], "probability_of_0": [0.1] * 4, "target": [0.0] * 4})
    frame = TrainingFrame(
        rows, pd.Series([0, 1, 2, 0]), "multiclass", ("a", "b", "c"), tuple(rows), None, None, "", ("b",)
    )
    split = Split((), (), (0, 1, 2, 3), (), "", blocks=("2024-02-03", "2024-02-01", "2024-02-03", "2024-02-02"))
    prediction = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]])
    kept = make_reference(frame, split, prediction, rows=10, seed=0)
    names = RoleNames.beside(list(rows))
    assert (names.block, names.target, names.by_class) == ("block_", "target_", "probability_of__")
    assert kept[names.block].tolist() == [2, 0, 2, 1]
    assert kept[names.of_classes(3)].to_numpy().tolist() == prediction.tolist()
    assert kept[names.target].tolist() == ["a", "b", "c", "a"] and kept["block"].tolist() == [1, 2, 3, 4]


# ---------------------------------------------------------------- trust


def test_trust_is_one_clause() -> None:
    assert describe_trust([]) == "no window has both an estimate and labels yet" and judge_trust([]) is None
    past = [Reckoning(0.64, 0.63, 0.651), Reckoning(0.62, 0.634, 0.651)]
    assert describe_trust(past[:1]) == (
        "the estimate was off by .010 in the one window whose labels came (the constant .651 by .021)"
    )
    assert describe_trust(past) == "the estimate was off by .012 on average over 2 windows (the constant .651 by .019)"
    other = [*past, Reckoning(0.7, 0.6, 0.62)]
    assert describe_trust(other) == (
        "the estimate was off by .041 on average over 3 windows (what was promised by .019), "
        "so it was no better a guess than the constant"
    )


# ---------------------------------------------------------------- how often intervals hold

FEW = 12


@pytest.mark.parametrize(
    ("task", "metric", "size"),
    [("binary", "roc_auc", 0.5), ("binary", "log_loss", 0.5), ("regression", "mae", 0.3)],
)
def test_intervals_hold_where_inputs_moved(task: TaskType, metric: str, size: float) -> None:
    """A sample; tests/soak/test_estimation_rates.py has more."""
    covered = sum(count_covered(simulate(World(task, days=d), size, metric, 1_000, 2_000, FEW, 3)) for d in (0, 20))
    print(f"covered, {task} {metric}: {covered} of {2 * FEW}")
    assert bound_rate(covered, 2 * FEW)[1] >= 0.9 and covered >= 0.8 * 2 * FEW
