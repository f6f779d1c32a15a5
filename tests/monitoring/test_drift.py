"""Drift does not cry wolf where nothing drifted, sees what did, and a broken column is told from a season."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.monitoring.drift import find_drift, measure_psi, permute, rank_drifted, reject
from tasks.monitoring.faults import Fault, find_faults
from tasks.monitoring.profile import Profile, WindowCounts, build_profile, column_kinds, count_window


def draw(random: np.random.Generator, rows: int) -> pd.DataFrame:
    """Columns that are hard to test: discrete, skewed, mostly missing, rare, of many levels."""
    return pd.DataFrame(
        {
            "normal": random.normal(size=rows),
            "lognormal": random.lognormal(0, 2, rows),
            "zeros": np.where(random.random(rows) < 0.8, 0.0, random.gamma(1, 1, rows)),
            "rare": (random.random(rows) < 0.01).astype(int),
            "five": random.choice(list("abcde"), rows, p=[0.5, 0.2, 0.15, 0.1, 0.05]),
            "thousand": random.zipf(1.5, rows).clip(max=1_000).astype(str),
            "sparse": np.where(random.random(rows) < 0.9, np.nan, random.normal(size=rows)),
        }
    )


def compare(reference: pd.DataFrame, window: pd.DataFrame) -> tuple[Profile, WindowCounts]:
    profile = build_profile(lambda: [reference], column_kinds(reference, list(reference)))
    return profile, count_window(profile, [(window, None)])


@pytest.mark.parametrize("rows", [50, 200, 1_000])
def test_unchanged_windows_are_left_alone(rows: int) -> None:
    random = np.random.default_rng(rows)
    alarms = faults = 0
    for _ in range(60):  # a fresh reference each time: one that is unlucky alarms often
        profile, counts = compare(draw(random, 1_000), draw(random, rows))
        drifts, _ = find_drift(profile, counts, seed=0)
        alarms += bool(rank_drifted(drifts))
        faults += bool(find_faults(profile, counts))
    assert alarms <= 9  # 5% of 60 are 3; more than 9 has a chance of .0006
    assert faults == 0


def test_a_permutation_p_value_is_uniform_under_the_null() -> None:
    random = np.random.default_rng(0)
    share = np.array([0.9, 0.05, 0.03, 0.01, 0.01])
    p = [permute(random.multinomial(1_000, share), random.multinomial(60, share), 199, random) for _ in range(400)]
    assert np.mean(np.array(p) <= 0.05) < 0.09


def test_what_moved_is_seen_and_ranked() -> None:
    random = np.random.default_rng(1)
    window = draw(random, 2_000)
    window["normal"] += 1.0
    window["five"] = window["five"].replace({"a": "z"})
    window["sparse"] = np.where(random.random(2_000) < 0.5, window["sparse"].fillna(0), np.nan)
    drifts, prediction = find_drift(*compare(draw(random, 5_000), window), seed=0)
    assert set(rank_drifted(drifts)) == {"normal", "five", "sparse"}
    assert list(rank_drifted(drifts)) == sorted(rank_drifted(drifts), key=lambda n: -drifts[n].distance)
    assert prediction is None


def test_a_small_change_of_many_rows_is_not_worth_a_look() -> None:
    random = np.random.default_rng(2)
    reference, window = draw(random, 30_000), draw(random, 30_000)
    window["normal"] += 0.1  # certain at this size, and of no weight
    drifts, _ = find_drift(*compare(reference, window), seed=0)
    assert not rank_drifted(drifts)


def test_predictions_drift_too() -> None:
    random = np.random.default_rng(3)
    frame = draw(random, 2_000)
    profile = build_profile(
        lambda: [frame], column_kinds(frame, list(frame)), prediction=pd.Series(random.beta(2, 8, 2_000))
    )
    _, same = find_drift(profile, profile.count(frame, pd.Series(random.beta(2, 8, 1_000))), seed=0)
    _, moved = find_drift(profile, profile.count(frame, pd.Series(random.beta(5, 5, 1_000))), seed=0)
    assert same is not None
    assert moved is not None
    assert (same.drifted, moved.drifted) == (False, True)


def test_psi_and_corrections() -> None:
    assert measure_psi(np.array([10, 20]), np.array([10, 20])) == 0
    assert measure_psi(np.array([0, 0]), np.array([10, 20])) == 0
    assert measure_psi(np.array([900, 100]), np.array([100, 900])) > 3
    assert reject([0.01, 0.04, 0.9, 0.02], 0.05) == [True, False, False, True]
    assert reject([0.03, 0.04, 0.05, 0.05], 0.05) == [True] * 4
    assert reject([], 0.05) == []


def broken(change: dict[str, object], rows: int = 2_000) -> tuple[Fault, ...]:
    random = np.random.default_rng(4)
    return find_faults(*compare(draw(random, 5_000), draw(random, rows).assign(**change)))


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"normal": np.nan}, "missing", "'normal' is missing throughout (0% in the reference)"),
        ({"five": [None, "a", "b", "c"] * 500}, "missing", "'five' is missing in 25% of rows (0% in the reference)"),
        ({"normal": 1.5}, "constant", "'normal' is the same in all 2,000 rows"),
        ({"five": ["x", "y"] * 1_000}, "unseen", "100% of 'five' are values that the reference never held"),
        ({"five": [f"n{i}" for i in range(2_000)]}, "unseen", "'five' holds far more values than the 5"),
    ],
)
def test_a_broken_column_is_named(change: dict[str, object], kind: str, said: str) -> None:
    (fault,) = broken(change)
    assert fault.kind == kind
    assert fault.clause.startswith(said)


def test_a_column_that_was_so_before_is_not_broken() -> None:
    assert broken({"sparse": np.nan}) == ()  # 90% missing before
    assert broken({"normal": np.nan}, rows=30) == ()  # too few rows to say
    assert broken({"five": [None, "a", "b", "c", "d", "e", "a", "a", "a", "a"] * 200}) == ()  # 10% missing
    assert broken({"rare": 0}) == ()  # 1% ones: such runs happen


def test_a_column_that_stands_still_for_a_window_by_nature_is_not_broken() -> None:
    months = pd.DataFrame({"month": np.repeat([1, 2, 3], 3_000), "name": np.repeat(["jan", "feb", "mar"], 3_000)})
    window = pd.DataFrame({"month": np.repeat(4, 3_000), "name": np.repeat("apr", 3_000)})
    profile, counts = compare(months, window)
    assert find_faults(profile, counts) == ()
    drifts, _ = find_drift(profile, counts, seed=0)
    assert set(rank_drifted(drifts)) == {"month", "name"}
