"""The profile: the same however rows are cut, of fixed size, and readable again."""

from __future__ import annotations

import dataclasses
import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.monitoring.counts import MAX_LEVELS, Runs, count_column, cut_gauge, read_quantiles
from tasks.monitoring.profile import Profile
from tasks.monitoring.profiling import ReferenceRows, build_profile
from tasks.monitoring.sample import RowSample, SpreadSample
from tasks.stats.divergence import measure_distance
from tasks.stats.moments import Moments, read_units, write_units
from tests.monitoring.rows import count_window


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


def rows_of(frame: pd.DataFrame, **changes: Any) -> ReferenceRows:
    return ReferenceRows(frame, tuple(c for c in frame if c != "part"), **changes)


def profile_of(frame: pd.DataFrame, **changes: Any) -> Profile:
    return build_profile(rows_of(frame), **changes)


PROFILE = profile_of(make_rows(1_000, seed=1).assign(part=list("abcde") * 200), segments=["part"])
PROFILE = dataclasses.replace(PROFILE, prediction=PROFILE.columns["number"], label=PROFILE.columns["level"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=6), st.integers(0, 5))
def test_a_window_counts_the_same_to_the_last_bit_however_it_is_cut(cuts: list[int], seed: int) -> None:
    frame = make_rows(400, seed).assign(part=list("abcd") * 100)
    profile = PROFILE
    prediction, label = pd.Series(np.linspace(0, 1, 400)), frame["level"]
    phases = np.arange(400) % 49 - 1
    cut = profile.nothing()
    for a, b in itertools.pairwise([0, *sorted(cuts), 400]):
        part = profile.count(frame.iloc[a:b], prediction.iloc[a:b], label.iloc[a:b], phases[a:b])
        cut = cut.then(part)
    assert cut.to_json() == profile.nothing().then(profile.count(frame, prediction, label, phases)).to_json()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e149, 1e149) | st.sampled_from([0.0, -0.0, 5e-324, 0.1]), max_size=30), st.randoms())
def test_moments_are_exact_in_any_order(values: list[float], random: Any) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    whole = Moments.of(np.array(values, np.float64))
    parts = Moments()
    for value in shuffled:
        parts = parts.plus(Moments.of(np.array([value])))
    assert whole == parts
    assert read_units(write_units(whole.total)) == whole.total
    if values:
        assert whole.mean == float(sum(map(Fraction, values)) / len(values))


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
    assert number.counts.moments.deviation == pytest.approx(frame["number"].std(ddof=0))
    assert few.counts.cells.tolist() == [*frame["few"].value_counts().sort_index(), 0]
    assert profile.columns["level"].counts.levels == frame["level"].value_counts().to_dict()
    assert profile.columns["flag"].counts.levels == {
        "true": int((frame["flag"] == True).sum()),  # noqa: E712 - None is among the values
        "false": int((frame["flag"] == False).sum()),  # noqa: E712
    }
    assert profile.columns["nothing"].counts.known == 0
    assert profile.columns["when"].counts.known == 3_000
    assert profile.prediction is not None and profile.prediction.counts.rows == 500
    text = profile.to_json()
    assert Profile.from_json(text).to_json() == text
    assert count_window(Profile.from_json(text), [frame]).to_json() == count_window(profile, [frame]).to_json()


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_quantiles_are_read_from_the_fine_grid_wherever_the_window_lies(scale: float) -> None:
    random = np.random.default_rng(0)
    x = scale * random.normal(70, 12, 20_000)
    gauge = cut_gauge(pd.Series(x))
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    for moved, within in ((x, 0.02 * 12 * scale), (60 * x, 0.04 * 60 * 70 * scale), (-x, 0.04 * 140 * scale)):
        found = read_quantiles(count_column(pd.Series(moved), gauge).fine, gauge, shares)
        assert np.abs(found - np.quantile(moved, shares)).max() < within


def test_its_size_does_not_follow_rows_and_values_and_rare_names_stay_out() -> None:
    small, large = (profile_of(make_rows(rows)).to_json() for rows in (20_000, 60_000))
    assert len(large) < 1.1 * len(small) < 100_000
    assert '"v17"' not in large
    counts = profile_of(make_rows(2_000)).columns["many"].counts
    assert counts.levels is None
    assert counts.cells.sum() == 2_000


def test_values_of_few_rows_and_of_personal_columns_are_not_named() -> None:
    frame = pd.DataFrame({"who": ["Ann"] * 50 + ["Bob"] * 50, "town": ["X"] * 97 + ["Rare"] * 3})
    text = profile_of(frame, personal=["who"]).to_json()
    assert "Ann" not in text and "Rare" not in text and '"X"' in text
    assert "Ann" not in count_window(profile_of(frame, personal=["who"]), [frame]).to_json()


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
    number, level = counts.columns["number"], counts.columns["level"]
    assert (number.missing, number.foreign, number.forms) == (2, 1, {"text": 3})
    assert counts.columns["few"].missing == 1
    assert level.levels is not None and sum(level.levels.values()) == level.unseen == 4
    assert level.forms == {"number": 4}
    assert counts.columns["flag"].missing == 4  # not delivered at all


def test_too_many_levels_are_told_apart_only_in_cells() -> None:
    frame = pd.DataFrame({"level": [f"v{i}" for i in range(MAX_LEVELS)]})
    assert profile_of(frame).columns["level"].counts.levels is not None
    assert profile_of(pd.concat([frame, pd.DataFrame({"level": ["more"]})])).columns["level"].counts.levels is None


def test_each_batch_of_the_reference_stands_beside_the_others() -> None:
    frame = make_rows(3_000)[["number", "level"]]
    frame.loc[2_000:, "number"] += 20
    batch = np.repeat([0, 1, 2], 1_000)
    profile = build_profile(rows_of(frame, batch=batch, batches=("a", "b", "c")))
    past = {p.key: p for p in profile.past}
    assert list(past) == ["a", "b", "c"]
    assert past["c"].distances["number"] > 3 > past["a"].distances["number"] > 0.2  # beside b and c together
    rest = build_profile(rows_of(frame[batch != 2]))
    alone = build_profile(rows_of(frame)).pair(profile.count(frame[batch == 2]), within=True)["level"]
    apart = rest.pair(rest.count(frame[batch == 2]))["level"]
    assert measure_distance(alone) == pytest.approx(measure_distance(apart))


def test_a_window_takes_the_place_of_the_batch_that_it_is_ranked_with() -> None:
    frame, window = make_rows(3_000)[["number", "level"]], make_rows(800, seed=9)[["number", "level"]]
    batch = np.repeat([0, 1, 2], 1_000)
    profile = Profile.from_json(build_profile(rows_of(frame, batch=batch, batches=("a", "b", "c"))).to_json())
    by_hand = build_profile(rows_of(pd.concat([frame[batch != 1], window], ignore_index=True)))
    (found,) = (p for p in profile.past_beside(profile.count(window)) if p.key == "b")
    part = by_hand.pair(by_hand.count(frame[batch == 1]))
    assert found.distances["level"] == pytest.approx(measure_distance(part["level"]))
    assert (
        len(build_profile(rows_of(frame, batch=np.arange(3_000) // 200, batches=tuple("abcdefghijklmno"))).parts) == 0
    )


def test_segments_are_counted_by_themselves() -> None:
    frame = make_rows(1_000).assign(part=["x"] * 600 + ["y"] * 396 + ["z"] * 4)
    profile = profile_of(frame, segments=["part"])
    assert set(profile.segments["part"]) == {"x", "y"}  # z has too few rows to be named
    cells = profile.segments["part"]["y"]["few"]
    assert cells.tolist() == [*frame["few"][600:996].value_counts().sort_index(), 0, 0]
    assert profile.count(frame.drop(columns="part")).segments["part"]["x"]["few"].sum() == 0


def test_rows_that_repeat_or_were_there_before_are_known_again() -> None:
    frame = make_rows(3_000)
    profile = profile_of(frame)
    assert profile.sketch.repeated == 0
    twice = count_window(profile, [frame, frame])
    assert twice.sketch.repeated == pytest.approx(0.5, abs=0.05)
    assert count_window(profile, [frame.iloc[:700]]).sketch.shared_with(profile.sketch) == 1
    assert count_window(profile, [make_rows(3_000, seed=5)]).sketch.shared_with(profile.sketch) == 0
    half = count_window(profile, [frame.iloc[:1_500], make_rows(1_500, seed=6)])
    assert half.sketch.shared_with(profile.sketch) == pytest.approx(0.5, abs=0.08)


def test_no_rows() -> None:
    profile = profile_of(make_rows(300))
    empty = count_window(profile, [])
    assert empty.to_json() == count_window(profile, [make_rows(300).iloc[:0]]).to_json()
    assert profile_of(make_rows(300).iloc[:0]).columns["number"].counts.rows == 0
    assert Moments().plus(Moments()) == Moments()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "columns": {}, "prediction": null}'])
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="profile: "):
        Profile.from_json(text)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 1_000), max_size=5))
def test_a_spread_sample_is_the_same_however_rows_are_cut(cuts: list[int]) -> None:
    frame = pd.DataFrame({"x": np.arange(1_000)})
    sample = SpreadSample(50, 3, 1_000)
    for a, b in itertools.pairwise([0, *sorted(cuts), 1_000]):
        sample.add(frame.iloc[a:b], np.arange(a, b))
    whole = SpreadSample(50, 3, 1_000)
    whole.add(frame, np.arange(1_000))
    assert sample.frame()["x"].tolist() == whole.frame()["x"].tolist()
    assert (whole.frame()["x"] // 20).tolist() == list(range(50))  # one of each stretch
    small = SpreadSample(50, 3, 7)
    small.add(frame.iloc[:7], np.arange(7))
    assert len(small.frame()) == 7


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
