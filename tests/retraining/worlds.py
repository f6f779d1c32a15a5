"""Worlds for the policy to live in: what a turn would know of them, day after day, without a model being fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from tasks.config.retraining import Retrain
from tasks.retraining.policy import Decision, Facts, Judged, decide, start_of

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
ZONE = ZoneInfo("America/New_York")
Fate = Literal["released", "refused"]


@dataclass
class World:
    """A source that delivers daily, and what becomes of challengers.

    `health` gives the state of the newest labelled window by day, `labels` how many become known each day, `fate` what
    the gates say of a challenger, `clock` what a turn takes the day for.
    """

    health: Callable[[int], str] = lambda day: "degraded"
    labels: Callable[[int], int] = lambda day: 1_000
    fate: Callable[[int], Fate] = lambda day: "refused"
    clock: Callable[[int], float] = lambda day: float(day)
    broken: Callable[[int], bool] = lambda day: False


@dataclass
class Life:
    """What came of it: each day's decision, and the moments of the trainings."""

    decisions: list[tuple[datetime, Decision]] = field(default_factory=list)
    trained: list[datetime] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)  # in a row, before each training


def live(policy: Retrain, world: World, days: int) -> Life:
    """Decide once a day; where it says so a challenger is trained on all labels, and released or refused."""
    life = Life()
    labels = learned = 0
    newest = BEGIN
    version = champion = 1
    released_on = 0
    refused: list[int] = []
    for day in range(1, days + 1):
        labels += world.labels(day)
        as_of = BEGIN + timedelta(days=world.clock(day))
        quarter = start_of("quarter", as_of, ZONE)
        speaks = world.labels(day) > 0 and day > released_on  # of the champion only what it scored
        state = Judged(f"day {day}", world.health(day), "it is so")
        facts = Facts(
            as_of=as_of,
            champion=champion,
            newest=Judged(f"day {day}", "broken", "a column broke") if world.broken(day) else state,
            labelled=state if speaks and not world.broken(day) else None,
            trained=newest,
            new_labels=labels - learned,
            learned=learned,
            refused=tuple(refused),
            used=sum(start_of("quarter", moment, ZONE) == quarter for moment in life.trained),
        )
        decision = decide(policy, facts, ZONE)
        life.decisions.append((as_of, decision))
        if decision.outcome != "retrain":
            continue
        life.refused.append(len(refused))
        life.trained.append(as_of)
        version, newest, learned = version + 1, as_of, labels
        if world.fate(day) == "released":
            champion, refused, released_on = version, [], day
        else:
            refused = [*refused, version]
    return life


def flapping(seed: int) -> Callable[[int], str]:
    """An alarm that comes and goes at random."""
    states = np.random.default_rng(seed).choice(["degraded", "healthy"], size=10_000)
    return lambda day: str(states[day])


def gaps(moments: list[datetime]) -> Iterator[timedelta]:
    """The time between neighbours."""
    yield from (later - earlier for earlier, later in pairwise(moments))
