"""Drift does not cry wolf where nothing drifted, sees what did, and tells news from what goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.config.monitoring import Monitor
from tasks.config.project import Data
from tasks.monitoring.drift import Drift, find_drift
from tasks.monitoring.past import PastWindow, choose_comparable
from tasks.monitoring.profile import PREDICTION, Profile, WindowCounts, describe_window
from tests.monitoring.rows import compare, draw, profile_of

DATA = Data(source="x.csv", target="y", time="t")


def drift_of(
    profile: Profile, counts: WindowCounts, past: Sequence[PastWindow] = (), key: str = "now", **monitor: Any
) -> Drift:
    return find_drift(profile, counts, key, None, past, DATA, Monitor(**monitor), seed=0)


def remember(profile: Profile, counts: WindowCounts, drift: Drift, key: str) -> PastWindow:
    drifted = tuple(n for n, d in drift.watched.items() if d.drifted)
    window = describe_window(profile, counts, key)
    return dataclasses.replace(window, signal=drift.signal, since=drift.since, drifted=drifted)


@pytest.mark.parametrize("rows", [50, 1_000])
def test_unchanged_windows_are_left_alone(rows: int) -> None:
    random = np.random.default_rng(rows)
    alarms = 0
    for _ in range(60):  # a fresh reference each time: one that is unlucky alarms often
        found = drift_of(*compare(draw(random, 1_000), draw(random, rows)))
        alarms += found.signal == "alarm"
    assert alarms <= 13  # 1/12 of 60 are 5; more than 13 has a chance of .0006


def test_what_moved_is_seen_and_ranked() -> None:
    random = np.random.default_rng(1)
    window = draw(random, 2_000)
    window["normal"] += 10
    window["five"] = window["five"].replace({"a": "z"})
    window["sparse"] = np.where(random.random(2_000) < 0.5, window["sparse"].fillna(0), np.nan)
    found = drift_of(*compare(draw(random, 5_000), window))
    assert set(found.drifted) == {"normal", "five", "sparse"}
    assert list(found.drifted) == sorted(found.drifted, key=lambda n: -found.watched[n].distance)
    assert (found.signal, found.since) == ("alarm", "now")
    assert found.promise is not None and found.promise.learning


def test_a_small_change_of_many_rows_is_not_worth_a_look_unless_asked_for() -> None:
    random = np.random.default_rng(2)
    reference, window = draw(random, 30_000), draw(random, 30_000)
    window["normal"] += 1.0  # a tenth of a standard deviation: certain at this size, and of no weight
    sides = compare(reference, window)
    assert not drift_of(*sides).drifted
    assert drift_of(*sides, smallest_drift=0.005).drifted == ("normal",)


def test_a_quarter_of_a_standard_deviation_is_seen() -> None:
    random = np.random.default_rng(3)
    window = draw(random, 10_000)
    window["normal"] += 2.5
    assert drift_of(*compare(draw(random, 50_000), window)).drifted == ("normal",)


def test_predictions_drift_too() -> None:
    random = np.random.default_rng(3)
    frame = draw(random, 2_000)
    profile = profile_of(frame, prediction=pd.Series(random.beta(2, 8, 2_000)))
    same = drift_of(profile, profile.count(frame, pd.Series(random.beta(2, 8, 1_000))))
    moved = drift_of(profile, profile.count(frame, pd.Series(random.beta(5, 5, 1_000))))
    assert (same.watched[PREDICTION].drifted, moved.watched[PREDICTION].drifted) == (False, True)
    assert moved.signal == "alarm" and not moved.drifted


def moving(steps: Sequence[float], profile: Profile, random: np.random.Generator, **monitor: Any) -> list[Drift]:
    """Windows one after the other whose `normal` lies so far off."""
    seen: list[PastWindow] = []
    found = []
    for number, step in enumerate(steps):
        window = draw(random, 1_000)
        window["normal"] += step
        counts = profile.count(window)
        drift = drift_of(profile, counts, [*profile.past_beside(counts), *seen], f"w{number}", **monitor)
        seen.append(remember(profile, counts, drift, f"w{number}"))
        found.append(drift)
    return found


def batches_that_differ(random: np.random.Generator, count: int, by: float) -> Profile:
    parts = [draw(random, 1_000) for _ in range(count)]
    for part in parts:
        part["normal"] += random.normal(0, by)
    batch = np.repeat(np.arange(count), 1_000)
    return profile_of(pd.concat(parts, ignore_index=True), batch=batch, batches=tuple(f"b{i}" for i in range(count)))


def test_what_differs_by_nature_is_no_alarm_until_it_stands_out() -> None:
    random = np.random.default_rng(5)
    profile = batches_that_differ(random, 12, by=5)
    usual, far = moving([5, 40], profile, random)
    assert usual.signal == "none" and usual.watched["normal"].significant
    assert far.signal == "alarm" and far.drifted == ("normal",)
    assert far.promise is not None and not far.promise.learning


def test_three_batches_that_differ_by_nature_keep_their_rate() -> None:
    random, alarms = np.random.default_rng(9), 0

    def scattered() -> pd.DataFrame:
        means = random.normal(0, 0.3, 5)
        return pd.DataFrame({f"c{i}": random.normal(mean, 1, 500) for i, mean in enumerate(means)})

    for _ in range(60):
        frame = pd.concat([scattered() for _ in range(3)], ignore_index=True)
        profile = profile_of(frame, batch=np.repeat([0, 1, 2], 500), batches=("a", "b", "c"))
        counts = profile.count(scattered())
        alarms += drift_of(profile, counts, profile.past_beside(counts)).signal == "alarm"
    assert alarms <= 27  # 1/4 of 60 are 15; more than 27 has a chance of .0005


def test_a_drift_that_stays_is_one_alarm_and_another_column_is_another() -> None:
    random = np.random.default_rng(6)
    profile = batches_that_differ(random, 12, by=1)
    found = moving([0, 20, 20, 21, 0, 20], profile, random)
    assert [d.signal for d in found[1:4]] == ["alarm", "continues", "continues"]
    assert [d.since for d in found[1:4]] == ["w1"] * 3
    assert found[0].signal == found[4].signal == "none"
    past = [*profile.past]
    for number, drift in enumerate(found[:2]):
        window = draw(random, 1_000)
        window["normal"] += (0, 20)[number]
        past.append(remember(profile, profile.count(window), drift, f"w{number}"))
    window = draw(random, 1_000)
    window["normal"] += 20
    window["five"] = "a"
    assert drift_of(profile, profile.count(window), past, "w2").signal == "alarm"


def test_persistence_waits_for_as_many_windows_as_are_asked_for() -> None:
    random = np.random.default_rng(7)
    profile = batches_that_differ(random, 12, by=1)
    found = moving([20, 0, 20, 20, 20], profile, random, persistence="2 of 2")
    assert [d.signal for d in found] == ["signal", "none", "signal", "alarm", "continues"]


def test_the_rate_is_the_budgets_whatever_the_windows_do() -> None:
    promise = drift_of(*compare(*(draw(np.random.default_rng(i), 200) for i in (0, 1)))).promise
    assert promise is not None and promise.alpha == pytest.approx(1 / 12)
    assert drift_of(*compare(*(draw(np.random.default_rng(i), 200) for i in (0, 1))), false_alarms="5%").promise
    assert promise.say().startswith("learning: with no comparable past window nothing is promised")


def test_days_are_compared_with_their_weekday_once_there_are_enough() -> None:
    start = pd.Timestamp("2024-01-01", tz="UTC")
    past = [PastWindow(f"d{i}", (start + pd.Timedelta(days=i)).to_pydatetime(), 1, {}) for i in range(28)]
    now = (start + pd.Timedelta(days=28)).to_pydatetime()
    zone = DATA.zone
    assert [p.key for p in choose_comparable(past, now, "day", zone, 4)] == ["d0", "d7", "d14", "d21"]
    assert (
        len(choose_comparable(past, now, "day", zone, 5)) == len(choose_comparable(past, now, "month", zone, 1)) == 28
    )


def test_segments_show_where_a_drift_sits() -> None:
    random = np.random.default_rng(8)
    frame = draw(random, 4_000)
    profile = profile_of(frame, segments=["five"])
    window = draw(random, 4_000)
    window.loc[window["five"] == "c", "normal"] += 15
    found = drift_of(profile, profile.count(window))
    assert found.segments[0] == "five=c: normal"
    assert "five=a: normal" not in found.segments
