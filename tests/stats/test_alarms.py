"""The rule of alarms: budgets, ranks, episodes and promises, by hand and beside what chance does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.stats.alarms import (
    FLOOR,
    Budget,
    Promise,
    find_signal,
    persists,
    rank_window,
    say_rate,
    say_realised,
    windows_per_year,
)
from tasks.stats.multiplicity import step_up
from tests.stats.simulations import bound_rate

NO_PAST = np.zeros((0, 3))


# ---------------------------------------------------------------- what is accepted


@pytest.mark.parametrize(
    ("text", "cut", "alpha"),
    [
        ("1 per year", "month", 1 / 12),
        ("1 per year", "day", 1 / 365),
        ("2 per quarter", "week", 8 / 52),
        ("1 per month", "hour", 12 / 8_760),
        ("5%", "day", 0.05),
        ("0.001%", "day", 1e-4),
        ("1 per day", "month", 0.5),
        ("1 per year", "hour", 1 / 8_760),
        ("0.5 per year", "hour", 1e-4),
    ],
)
def test_what_a_budget_gives_a_window(text: str, cut: str, alpha: float) -> None:
    assert Budget.read(text).find_alpha(windows_per_year(cut)) == pytest.approx(alpha)


def test_windows_without_a_calendar_need_a_share() -> None:
    assert windows_per_year("file") is None
    assert Budget.read("5%").find_alpha(None) == 0.05
    with pytest.raises(ValueError, match="a share"):
        Budget.read("1 per year").find_alpha(None)
    with pytest.raises(ValueError, match="expected"):
        Budget.read("often")


def test_budgets_and_rates_in_words() -> None:
    assert Budget.read("1 per year").say(1 / 12) == "1 false alarm a year"
    assert Budget.read("2 per quarter").say(8 / 52) == "2 false alarms a quarter"
    assert Budget.read("5%").say(0.05) == "a false alarm in 1 window in 20"
    assert Budget.read("1 per day").say(0.5) == "a false alarm in 1 window in 2"
    assert (say_rate(1 / 12), say_rate(8 / 52), say_rate(1.0)) == ("1 window in 12", "15% of windows", "every window")


# ---------------------------------------------------------------- which columns


P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_step_up_by_hand() -> None:
    p = np.array([0.04, 0.9, 0.001, 0.02, np.nan])
    assert step_up(p, 0.05).tolist() == [False, False, True, True, False]  # .02 <= 2/5 of .05, .04 > 3/5 of it
    assert step_up(np.array([]), 0.05).tolist() == []


@given(P_VALUES, st.floats(0.001, 0.5))
def test_step_up_is_its_definition(values: list[float], share: float) -> None:
    p = np.array(values)
    ordered = np.sort(p)
    largest = max((i for i in range(1, len(p) + 1) if ordered[i - 1] <= share * i / len(p)), default=0)
    assert (step_up(p, share) == (p <= (ordered[largest - 1] if largest else -1))).all()


# ---------------------------------------------------------------- rank


def test_a_window_beyond_all_past_ones_stands_out_with_the_columns_that_are() -> None:
    past = np.array([[0.01, 0.2, 0.0], [0.02, 0.3, 0.0], [0.03, 0.1, 0.0]])
    standing = rank_window(np.array([0.5, 0.2, 0.001]), past, 1 / 12)
    assert standing.stands_out
    assert standing.columns.tolist() == [True, False, False], ".2 is what the second column always has"
    assert standing.score == pytest.approx(0.5 / (0.025 + FLOOR))
    assert not rank_window(np.array([0.03, 0.3, 0.0]), past, 1 / 12).stands_out, "as one of them"


def test_with_no_past_window_every_distance_stands_out() -> None:
    assert rank_window(np.array([0.1, 0.0, np.nan]), NO_PAST, 0.1).columns.tolist() == [True, True, False]


def test_columns_that_were_not_there_are_left_out() -> None:
    past = np.array([[np.nan, 0.01], [0.01, 0.02], [np.nan, np.nan]])
    standing = rank_window(np.array([0.2, np.nan]), past, 0.1)
    assert standing.columns.tolist() == [True, False]
    assert standing.past[2] == -math.inf
    assert rank_window(np.array([0.2, 0.1]), np.full((3, 2), np.nan), 0.1).stands_out
    assert not rank_window(np.array([np.nan, np.nan]), past, 0.1).stands_out


def test_the_scale_is_the_median_of_all_windows() -> None:
    rng = np.random.default_rng(0)
    every = rng.random((8, 5))
    every[rng.random((8, 5)) < 0.3] = np.nan
    standing = rank_window(every[0], every[1:], 0.1, floor=0.02)
    assert np.allclose(standing.scaled, every[0] / (np.nanmedian(every, axis=0) + 0.02), equal_nan=True)


@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([0.3, 0.1, 0.01]))
def test_at_most_r_of_all_windows_can_stand_out(seed: int, past: int, alpha: float) -> None:
    """The rate's proof: of K + 1 windows, each in turn the present one, at most r stand out; ties count against it."""
    rng = np.random.default_rng(seed)
    every = np.round(rng.exponential(size=(past + 1, 3)), int(rng.integers(0, 4)))
    out = [rank_window(every[i], np.delete(every, i, axis=0), alpha).stands_out for i in range(past + 1)]
    assert sum(out) <= max(1, math.floor(alpha * (past + 1) + 1e-9))


@pytest.mark.parametrize(("past", "alpha", "rate"), [(3, 1 / 12, 1 / 4), (11, 1 / 12, 1 / 12), (40, 1 / 12, 3 / 41)])
def test_windows_that_differ_by_nature_stand_out_as_seldom_as_their_rank_says(
    past: int, alpha: float, rate: float
) -> None:
    rng = np.random.default_rng(1)
    simulations, out = 3_000, 0
    for _ in range(simulations):
        every = rng.standard_cauchy(size=(past + 1, 1)) ** 2 * rng.exponential(size=(past + 1, 4))
        out += rank_window(every[0], every[1:], alpha).stands_out
    low, high = bound_rate(out, simulations)
    assert low <= rate <= high


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="rank"):
        rank_window(np.zeros(2), NO_PAST, 0.1)


# ---------------------------------------------------------------- episodes


def walk(distances: list[float], known: int, alpha: float = 0.1) -> list[str]:
    """The signals of windows of one column, after `known` past ones."""
    episode, signals, running = np.zeros(len(distances), bool), [], False
    for i in range(known, len(distances)):
        found = find_signal(
            np.array(distances[i : i + 1]),
            np.array(distances[:i])[:, None],
            np.array([distances[i] > 0.02]),
            alpha,
            carried=np.array([running]),
            episode=episode[:i],
        )
        if found.signal == "new":
            episode[:] = False
        running = episode[i] = found.signal != "none"
        signals.append(found.signal)
    return signals


def test_a_drift_that_stays_is_one_alarm() -> None:
    usual = [0.01, 0.02, 0.015, 0.03]
    assert walk([*usual, 0.2, 0.18, 0.25, 0.01, 0.02], 4) == ["new", "continues", "continues", "none", "none"]


def test_another_column_is_news_and_one_that_was_no_part_of_it_does_not_go_on() -> None:
    past = np.array([[0.01, 0.01], [0.02, 0.02], [0.015, 0.3], [0.5, 0.02]])
    told = {"significant": np.full(2, True), "alpha": 0.1, "episode": np.array([False, False, False, True])}
    both = find_signal(np.array([0.4, 0.9]), past, carried=np.array([True, False]), **told)
    assert (both.signal, both.columns.tolist(), both.news.tolist()) == ("continues", [True, True], [False, True])
    lesser = find_signal(np.array([0.02, 0.25]), past, carried=np.array([True, False]), **told)
    assert lesser.signal == "none"


def test_what_comes_back_has_to_exceed_what_there_was() -> None:
    usual = [0.01, 0.02, 0.015, 0.03]
    assert walk([*usual, 0.2, 0.01, 0.15, 0.3], 4) == ["new", "none", "none", "new"]


def test_chance_and_trifles_are_no_signal() -> None:
    found = find_signal(
        np.array([0.5, 0.4]), NO_PAST[:, :2], np.array([False, True]), 0.1,
        carried=np.zeros(2, bool), episode=np.zeros(0, bool),
    )  # fmt: skip
    assert (found.signal, found.columns.tolist()) == ("new", [False, True])
    assert walk([0.001, 0.001, 0.015], 2) == ["none"]


def test_new_alarms_over_time_are_no_more_than_ranks_allow() -> None:
    rng = np.random.default_rng(2)
    series, windows = 400, 30
    new = np.zeros(windows)
    for _ in range(series):
        signals = walk((0.03 + rng.exponential(size=windows)).tolist(), 0, 0.1)
        new += [s == "new" for s in signals]
    allowed = [max(0.1, 1 / (i + 1)) for i in range(windows)]
    assert all(bound_rate(int(n), series)[0] <= a for n, a in zip(new, allowed, strict=True))


def test_persistence() -> None:
    assert persists([True], 1, 1)
    assert not persists([False, True], 2, 2)
    assert persists([True, True], 2, 2)
    assert persists([False, True, False, True], 2, 3)
    assert not persists([True, True, False, False], 2, 3)


# ---------------------------------------------------------------- promises


def test_a_promise_with_enough_past_windows() -> None:
    promise = Promise(Budget.read("1 per year"), 1 / 12, 11)
    assert (promise.needed, promise.learning, promise.differing) == (11, False, pytest.approx(1 / 12))
    assert promise.say() == (
        "at most 1 false alarm a year is expected, averaged over reference samples, for independent rows; 11 "
        "comparable past windows hold it where windows differ by nature too, if their order does not matter"
    )


def test_a_promise_while_learning() -> None:
    promise = Promise(Budget.read("1 per year"), 1 / 12, 3)
    assert (promise.alike, promise.differing, promise.learning) == (1 / 12, 0.25, True)
    assert promise.say() == (
        "learning: with 3 comparable past windows up to 1 window in 4 may alarm falsely where windows differ by "
        "nature, 1 window in 12 where they do not; 11 are needed"
    )
    assert "with 1 comparable past window up to 1 window in 2" in Promise(Budget.read("5%"), 0.05, 1).say()


def test_a_promise_without_a_past_window() -> None:
    promise = Promise(Budget.read("1 per year"), 1 / 365, 0)
    assert (promise.differing, promise.needed) == (None, 364)
    assert promise.say() == (
        "learning: with no comparable past window nothing is promised where windows differ by nature, 1 window in 365 "
        "where they do not; 364 are needed"
    )


@given(st.floats(1e-4, 0.5), st.integers(0, 20_000))
def test_learning_ends_where_the_ranks_keep_the_budget(alpha: float, past: int) -> None:
    promise = Promise(Budget(alpha, None), alpha, past)
    assert promise.learning == (past == 0 or 1 / (past + 1) > alpha * (1 + 1e-8)) or math.isclose(1 / (past + 1), alpha)


def test_what_happened_beside_the_budget() -> None:
    assert say_realised(3, 24, 1 / 12) == "3 alarms in 24 windows; the budget allows 2 false ones in so many"
    assert say_realised(1, 12, 1 / 12) == "1 alarm in 12 windows; the budget allows 1 false one in so many"
    assert say_realised(0, 1, 1 / 12) == "0 alarms in 1 window; the budget allows 0.1 false ones in so many"
    assert say_realised(0, 0, 1 / 12) == "no window yet"
