"""The profile: the same however rows are cut, of fixed size, and readable again."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.monitoring.counts import MAX_LEVELS, Moments, Runs
from tasks.monitoring.profile import Profile, WindowCounts, build_profile, column_kinds, count_window
from tasks.monitoring.sample import RowSample


def make_rows(rows: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    number = random.normal(50, 10, rows)
    number[random.random(rows) < 0.1] = np.nan
    flag = pd.Series(random.random(rows) < 0.3).astype(object)
    flag[::7] = None
    return pd.DataFrame(
        {
            "number": number,
            "few": random.integers(0, 4, rows),
            "flag": flag,
            "plain flag": random.random(rows) < 0.5,
            "level": random.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2]),
            "many": [f"v{i}" for i in random.integers(0, 5_000, rows)],
            "when": pd.Timestamp("2013-01-01", tz="UTC") + pd.to_timedelta(random.integers(0, 10**6, rows), unit="s"),
            "nothing": np.full(rows, np.nan),
            "huge": random.choice([1.0, np.inf, -np.inf, 1e300], rows),
        }
    )


def profile_of(frame: pd.DataFrame, **changes: Any) -> Profile:
    return build_profile(lambda: [frame], column_kinds(frame, list(frame)), **changes)


def counters(counts: WindowCounts) -> dict[str, Any]:
    """All that is counted; moments are sums of floats and may differ in the last digit."""
    raw = json.loads(counts.to_json())
    return {name: {k: v for k, v in column.items() if k != "moments"} for name, column in raw["columns"].items()}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=6))
def test_a_window_counts_the_same_however_it_is_cut(cuts: list[int]) -> None:
    frame = make_rows(400)
    profile = profile_of(make_rows(1_000, seed=1))
    ends = [0, *sorted(cuts), 400]
    parts = [(frame.iloc[a:b], None) for a, b in itertools.pairwise(ends)]
    whole, cut = count_window(profile, [(frame, None)]), count_window(profile, parts)
    assert counters(whole) == counters(cut)
    moments, others = whole.columns["number"].moments, cut.columns["number"].moments
    assert (moments.n, moments.low, moments.high) == (others.n, others.low, others.high)
    assert moments.m2 == pytest.approx(others.m2)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), max_size=5), max_size=5))
def test_runs_join_over_parts(parts: list[list[int]]) -> None:
    total = Runs()
    for part in parts:
        total = total.then(Runs.of(np.array(part, float)))
    assert total == Runs.of(np.array([v for part in parts for v in part], float))


def test_a_profile_counts_what_is_there_and_reads_back_the_same() -> None:
    frame = make_rows(3_000)
    profile = profile_of(frame, prediction=pd.Series(np.linspace(0, 1, 500)))
    number, few = profile.columns["number"], profile.columns["few"]
    assert number.counts.missing == frame["number"].isna().sum()
    assert number.counts.cells.sum() == frame["number"].notna().sum()
    assert number.counts.cells.max() < 1.5 * number.counts.cells.mean()
    assert number.counts.moments.mean == pytest.approx(frame["number"].mean())
    assert few.counts.cells.tolist() == [*frame["few"].value_counts().sort_index(), 0]
    assert profile.columns["level"].counts.levels == frame["level"].value_counts().to_dict()
    assert profile.columns["flag"].counts.levels == {
        "true": int((frame["flag"] == True).sum()),  # noqa: E712 - None is among the values
        "false": int((frame["flag"] == False).sum()),  # noqa: E712
    }
    assert profile.columns["nothing"].counts.known == 0
    assert profile.columns["when"].counts.known == 3_000
    assert profile.prediction is not None
    assert profile.prediction.counts.rows == 500
    text = profile.to_json()
    assert Profile.from_json(text).to_json() == text
    assert counters(count_window(Profile.from_json(text), [(frame, None)])) == counters(
        count_window(profile, [(frame, None)])
    )


def test_its_size_does_not_follow_rows_and_values_and_rare_names_stay_out() -> None:
    small, large = (profile_of(make_rows(rows)).to_json() for rows in (2_000, 20_000))
    assert len(large) < 1.2 * len(small)
    assert '"v17"' not in large
    counts = profile_of(make_rows(2_000)).columns["many"].counts
    assert counts.levels is None
    assert counts.cells.sum() == 2_000


def test_types_may_change_between_reference_and_window() -> None:
    profile = profile_of(make_rows(500))
    window = pd.DataFrame(
        {
            "number": ["1.5", "oops", None, "3"],
            "few": [1.0, np.nan, 2.0, 3.0],
            "level": [1, 2, 3, 4],
            "when": ["2013-01-01"] * 4,
        }
    )
    counts = profile.count(window)
    assert counts.columns["number"].missing == 2
    assert counts.columns["few"].missing == 1
    assert counts.columns["level"].levels == {"1": 1, "2": 1, "3": 1, "4": 1}
    assert counts.columns["flag"].missing == 4  # not delivered at all


def test_too_many_levels_are_told_apart_only_in_cells() -> None:
    frame = pd.DataFrame({"level": [f"v{i}" for i in range(MAX_LEVELS)]})
    assert profile_of(frame).columns["level"].counts.levels is not None
    assert profile_of(pd.concat([frame, pd.DataFrame({"level": ["more"]})])).columns["level"].counts.levels is None


def test_no_rows() -> None:
    profile = profile_of(make_rows(300))
    empty = count_window(profile, [])
    assert counters(empty) == counters(count_window(profile, [(make_rows(300).iloc[:0], None)]))
    assert profile_of(make_rows(300).iloc[:0]).columns["number"].counts.rows == 0
    assert Moments().plus(Moments()) == Moments()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 9, "columns": {}, "prediction": null}'])
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="profile: "):
        Profile.from_json(text)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 1_000), max_size=5))
def test_a_sample_is_the_same_however_rows_are_cut(cuts: list[int]) -> None:
    frame = pd.DataFrame({"x": np.arange(1_000)})
    ends = [0, *sorted(cuts), 1_000]
    sample = RowSample(50, seed=3)
    for a, b in itertools.pairwise(ends):
        sample.add(frame.iloc[a:b], np.arange(a, b))
    whole = RowSample(50, seed=3)
    whole.add(frame, np.arange(1_000))
    assert sample.frame()["x"].tolist() == whole.frame()["x"].tolist()
    assert len(sample.frame()) == 50


def test_a_sample_is_spread_over_all_rows_and_bounded() -> None:
    sample = RowSample(1_000, seed=0)
    for start in range(0, 100_000, 5_000):
        sample.add(pd.DataFrame({"x": np.arange(start, start + 5_000)}), np.arange(start, start + 5_000))
        assert sum(map(len, sample._parts)) <= 7_000
    x = sample.frame()["x"]
    assert len(x) == 1_000
    assert x.mean() == pytest.approx(50_000, rel=0.06)
    assert x.is_monotonic_increasing
