"""The policy: what asks for a challenger, what forbids one, and that no world makes the loop run away."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.config.retraining import Retrain
from tasks.retraining.policy import (
    LONGEST_COOLDOWN,
    Facts,
    Judged,
    decide,
    describe_policy,
    find_cooldown,
    say_span,
    start_of,
)
from tests.retraining.worlds import ZONE, World, flapping, gaps, live

AS_OF = datetime(2024, 8, 1, 4, tzinfo=UTC)  # midnight in New York
BAD = Judged("2024-07", "degraded", "average precision fell")
WELL = Judged("2024-07", "healthy", "all is as it was")
FACTS = Facts(
    as_of=AS_OF,
    champion=3,
    newest=BAD,
    labelled=BAD,
    trained=AS_OF - timedelta(days=60),
    new_labels=5_000,
    learned=50_000,
)


def verdict(policy: Retrain | None = None, **facts: Any) -> tuple[str, str, str]:
    found = decide(policy or Retrain(), replace(FACTS, **facts), ZONE)
    return found.outcome, found.code, found.sentence


def test_a_degraded_window_asks_for_a_challenger() -> None:
    found = decide(Retrain(), FACTS, ZONE)
    assert (found.outcome, found.trigger, found.window) == ("retrain", "performance", "2024-07")
    assert found.sentence == (
        "2024-07 is degraded: average precision fell; 5,000 new labels; number 1 of at most 3 in this quarter"
    )


def test_drift_that_seems_to_hurt_asks_for_one_where_labels_do_not_speak() -> None:
    drifted = Judged("2024-08", "drifting", "it seems to hurt")
    outcome, code, said = verdict(labelled=WELL, newest=drifted, harmful=drifted)
    assert (outcome, code) == ("retrain", "harmful_drift") and "2024-08" in said
    assert verdict(Retrain(on=("performance",)), labelled=WELL, newest=drifted, harmful=drifted)[0] == "none"


def test_nothing_asks_where_all_is_well() -> None:
    outcome, _, said = verdict(newest=WELL, labelled=WELL)
    assert (outcome, said) == ("none", "2024-07, the newest window with labels, is healthy")
    assert "no labels speak of version 3 yet" in verdict(newest=WELL, labelled=None)[2]
    assert "nothing that version 3 scored was monitored" in verdict(newest=None, labelled=None)[2]
    assert verdict(Retrain(on=()))[:2] == ("none", "never")


def test_a_schedule_asks_once_in_each_period() -> None:
    monthly = Retrain(on=("schedule",))
    july = datetime(2024, 7, 1, 4, tzinfo=UTC)
    assert verdict(monthly, trained=july)[:2] == ("retrain", "schedule")
    # A second before midnight in New York it is July still, whatever the day is in London.
    outcome, _, said = verdict(monthly, trained=july, as_of=AS_OF - timedelta(seconds=1))
    assert outcome == "none" and said == "the newest training looked from 2024-07-01, in this month already"


def test_enough_new_labels_ask() -> None:
    grown = Retrain(on=("new_labels",))
    assert verdict(grown, new_labels=24_999)[0] == "none"
    assert verdict(grown, new_labels=25_000)[:2] == ("retrain", "new_labels")
    assert verdict(Retrain(on=("new_labels",), enough_new_labels=100), new_labels=200)[0] == "retrain"


@pytest.mark.parametrize(
    ("code", "facts", "said"),
    [
        ("broken", {"newest": Judged("2024-07", "broken", "'temp' is frozen")}, "fix upstream first: 'temp' is frozen"),
        ("awaiting", {"awaiting": 4}, "version 4 waits for a person's approval"),
        ("clock", {"trained": AS_OF + timedelta(days=400)}, "has a clock jumped?"),
        ("few_labels", {"new_labels": 199}, "only 199 new labels have come since the newest training, and 200 are"),
        ("same_rows", {"same_rows": 4}, "version 4 was trained of exactly these rows"),
        ("cooldown", {"trained": AS_OF - timedelta(days=13)}, "it cools down until 2024-08-02"),
        ("cooldown", {"refused": (4, 5, 6)}, "longer for versions 4, 5, 6, not released"),
        ("cooldown", {"failed": 3}, "it cools down until"),
        ("quarter", {"used": 3}, "3 were trained in this quarter, which is all it allows until 2024-10-01"),
    ],
)
def test_each_bound_forbids_it_and_says_so(code: str, facts: dict[str, Any], said: str) -> None:
    outcome, found, sentence = verdict(**facts)
    assert (outcome, found) == ("wait", code)
    assert sentence.startswith("2024-07 is degraded: average precision fell, but ") and said in sentence


def test_a_bound_of_time_says_until_when() -> None:
    until = decide(Retrain(), replace(FACTS, trained=AS_OF - timedelta(days=13)), ZONE).not_before
    assert until == AS_OF + timedelta(days=1)
    assert decide(Retrain(), replace(FACTS, trained=AS_OF - timedelta(days=14)), ZONE).outcome == "retrain"


def test_the_cooldown_grows_with_each_refusal_to_a_year() -> None:
    policy = Retrain()
    assert [find_cooldown(policy, n).days for n in range(5)] == [14, 28, 56, 112, 224]
    assert find_cooldown(policy, 5) == find_cooldown(policy, 10**9) == LONGEST_COOLDOWN
    assert find_cooldown(Retrain(back_off=1), 10**9) == policy.cooldown
    assert find_cooldown(Retrain(cooldown="0d"), 9) == timedelta(0)
    assert find_cooldown(Retrain(cooldown="800d"), 9) == timedelta(days=800)


def test_the_policy_reads_as_sentences() -> None:
    said = describe_policy(Retrain(on=("performance", "schedule"), rows="180d"))
    assert said.startswith("A challenger is trained on the newest 180 days of labelled rows when labels show that")
    assert "or a new month has begun" in said and "14 days of the training before (x 2 for each one refused)" in said
    assert describe_policy(Retrain(on=())) == "Nothing is trained by itself (retrain.on is empty)."
    assert (say_span(timedelta(hours=6)), say_span(timedelta(days=1))) == ("6 hours", "1 day")


def test_calendar_periods_begin_at_local_midnight_whatever_the_clocks_do() -> None:
    moment = datetime(2024, 11, 7, 17, 30, tzinfo=UTC)
    begins = {
        period: start_of(period, moment, ZONE).isoformat() for period in ("day", "week", "month", "quarter", "year")
    }
    assert begins == {
        "day": "2024-11-07T00:00:00-05:00",
        "week": "2024-11-04T00:00:00-05:00",
        "month": "2024-11-01T00:00:00-04:00",  # still daylight saving time
        "quarter": "2024-10-01T00:00:00-04:00",
        "year": "2024-01-01T00:00:00-05:00",
    }


# ---------------------------------------------------------------- it cannot run away


def check_bounds(policy: Retrain, world: World, days: int = 730) -> Counter[str]:
    """Every bound holds on every training, and whatever was refused says why. Returns the codes of all decisions."""
    life = live(policy, world, days)
    by_quarter = Counter(start_of("quarter", moment, ZONE) for moment in life.trained)
    assert all(count <= policy.max_per_quarter for count in by_quarter.values())
    for gap, refused in zip(gaps(life.trained), life.refused[1:], strict=True):
        assert gap >= find_cooldown(policy, refused)
    for _, decision in life.decisions:
        assert decision.sentence
        assert decision.outcome != "wait" or (decision.code and ", but " in decision.sentence)
    return Counter(
        decision.code if d.outcome != "retrain" else "retrain" for _, d in life.decisions for decision in (d,)
    )


EVERYTHING = Retrain(on=("performance", "harmful_drift", "schedule", "new_labels"), every="day", enough_new_labels=1)


def test_a_broken_source_is_never_learned_from() -> None:
    codes = check_bounds(EVERYTHING, World(broken=lambda day: True))
    assert codes == {"broken": 730}


def test_a_target_of_pure_noise_is_tried_ever_more_rarely() -> None:
    # Always degraded, and no challenger ever is better.
    codes = check_bounds(Retrain(), World())
    assert codes["retrain"] <= 6, codes  # 14, 28, 56, 112 and 224 days, then a year
    codes = check_bounds(Retrain(back_off=1), World())
    assert codes["retrain"] <= 3 * 9  # without back-off the quarter holds it: 9 quarters are touched


def test_a_flapping_alarm_is_held_by_cooldown_and_quarter() -> None:
    for seed in range(5):
        codes = check_bounds(Retrain(), World(health=flapping(seed), fate=lambda day: "released"))
        assert codes["retrain"] <= 3 * 9 and codes["cooldown"] + codes["quarter"] > 100


def test_labels_that_never_come_train_nothing() -> None:
    codes = check_bounds(EVERYTHING, World(labels=lambda day: 0))
    assert codes == {"few_labels": 730}


def test_a_clock_that_jumps_trains_no_more_than_its_labels_allow() -> None:
    def jumping(day: int) -> float:
        return day + (3_650.0 if day % 10 == 5 else 0.0)

    codes = check_bounds(EVERYTHING, World(clock=jumping, fate=lambda day: "released"))
    assert codes["clock"] > 600  # after the first jump it waits, and says why, until a person trains or time comes by
    back = check_bounds(EVERYTHING, World(clock=lambda day: float(day if day < 100 else day - 90)))
    assert back["retrain"] <= 6


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    on=st.lists(st.sampled_from(["performance", "harmful_drift", "schedule", "new_labels"]), max_size=4, unique=True),
    every=st.sampled_from(["day", "week", "month", "quarter", "year"]),
    cooldown=st.integers(0, 60),
    most=st.integers(1, 5),
    fewest=st.integers(1, 5_000),
    back_off=st.floats(1, 10),
)
def test_no_world_makes_it_run_away(
    seed: int, on: list[Any], every: Any, cooldown: int, most: int, fewest: int, back_off: float
) -> None:
    rng = np.random.default_rng(seed)
    policy = Retrain(
        on=on, every=every, cooldown=f"{cooldown}d", max_per_quarter=most, min_new_labels=fewest, back_off=back_off
    )
    states = rng.choice(["degraded", "healthy", "drifting"], 400)
    labels, fates, broken = rng.integers(0, 2_000, 400), rng.choice(["released", "refused"], 400), rng.random(400) < 0.2
    steps = np.cumsum(rng.choice([0.5, 1.0, 3.0], 400))
    world = World(
        health=lambda day: str(states[day]), labels=lambda day: int(labels[day]), fate=lambda day: fates[day],
        clock=lambda day: float(steps[day]), broken=lambda day: bool(broken[day]),
    )  # fmt: skip
    codes = check_bounds(policy, world, 399)
    assert on or codes == {"never": 399}
