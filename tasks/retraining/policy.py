"""Whether a challenger is trained now: what asks for it, and which bound of the policy forbids it. A pure function."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from tasks.config.retraining import Period, Retrain, Trigger

Outcome = Literal["retrain", "wait", "none"]
LONGEST_COOLDOWN = timedelta(days=365)  # however many challengers were refused, it is tried again some day
SHARE_ENOUGH = 0.5  # of the rows learned from, where the project file does not say how many new labels are enough


@dataclass(frozen=True)
class Judged:
    """A window's health, as a decision needs it. `why` is monitoring's sentence."""

    key: str
    health: str
    why: str


@dataclass(frozen=True)
class Facts:
    """What is known as of a moment.

    `newest`: the newest window of all. `labelled`: the newest one that the champion scored and labels speak of.
    `harmful`: the newest one, where the champion scored it, labels do not speak of it yet, an alarm about drift stands
    and the estimated performance lies below what was promised. `trained`: the moment that the newest training, or the
    newest attempt at one, looked from. `new_labels`: labels known now that it did not have; `learned`: those it had.
    `refused`: versions trained since the champion was released, none of which was; `failed`: trainings since
    then for which the rows could not be used. `used`: challengers that the policy
    has had trained in this quarter. `awaiting`: a version that waits for a person. `same_rows`: the version that was
    trained of exactly these rows by these settings.
    """

    as_of: datetime
    champion: int
    newest: Judged | None = None
    labelled: Judged | None = None
    harmful: Judged | None = None
    trained: datetime | None = None
    new_labels: int = 0
    learned: int = 0
    refused: tuple[int, ...] = ()
    failed: int = 0
    used: int = 0
    awaiting: int | None = None
    same_rows: int | None = None


@dataclass(frozen=True)
class Decision:
    """`retrain`, `wait` (something asks for it, a bound forbids it) or `none` (nothing asks for it), and why.

    `code` is what asks for it, or the bound that forbids it, in one word; `not_before` the moment from which on the
    bound does not, where it is one of time.
    """

    outcome: Outcome
    code: str
    sentence: str
    trigger: Trigger | None = None
    window: str | None = None
    not_before: datetime | None = None


def decide(policy: Retrain, facts: Facts, zone: ZoneInfo) -> Decision:
    """What the policy says. The triggers are tried in the order performance, harmful drift, new labels, schedule; the
    first one that applies names the reason. Then every bound has to let it pass."""
    if not policy.on:
        return Decision("none", "never", "retrain.on is empty: nothing is trained by itself")
    found = _find_trigger(policy, facts, zone)
    if found is None:
        return Decision("none", "no_reason", _describe_calm(policy, facts, zone))
    trigger, window, asks = found
    bound = _find_bound(policy, facts, zone)
    if bound is not None:
        code, forbids, until = bound
        return Decision("wait", code, f"{asks}, but {forbids}", trigger, window, until)
    nth = f"number {facts.used + 1} of at most {policy.max_per_quarter} in this quarter"
    return Decision("retrain", trigger, f"{asks}; {facts.new_labels:,} new labels; {nth}", trigger, window)


def find_cooldown(policy: Retrain, refused: int) -> timedelta:
    """The cool-down after so many challengers in a row that were not released."""
    if not policy.cooldown:
        return policy.cooldown
    # In logarithms: a factor to a high power is no number any more.
    days = policy.cooldown / timedelta(days=1)
    grown = math.log(days) + refused * math.log(policy.back_off)
    if grown >= math.log(LONGEST_COOLDOWN / timedelta(days=1)):
        return max(LONGEST_COOLDOWN, policy.cooldown)
    return policy.cooldown * policy.back_off**refused


def find_earliest(policy: Retrain, facts: Facts, zone: ZoneInfo) -> datetime | None:
    """The moment before which the bounds of time forbid a challenger; None where they allow one now."""
    cooled = facts.trained + find_cooldown(policy, len(facts.refused) + facts.failed) if facts.trained else None
    quarter = _next_quarter(facts.as_of, zone) if facts.used >= policy.max_per_quarter else None
    return max((moment for moment in (cooled, quarter) if moment and moment > facts.as_of), default=None)


def start_of(period: Period, moment: datetime, zone: ZoneInfo) -> datetime:
    """The first moment of the calendar day, week (Monday), month, quarter or year that a moment lies in."""
    local = moment.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "week":
        local = local - timedelta(days=local.weekday())
    elif period == "month":
        local = local.replace(day=1)
    elif period == "quarter":
        local = local.replace(month=local.month - (local.month - 1) % 3, day=1)
    elif period == "year":
        local = local.replace(month=1, day=1)
    return local


def describe_policy(policy: Retrain) -> str:
    """The policy in a sentence or two."""
    if not policy.on:
        return "Nothing is trained by itself (retrain.on is empty)."
    asks = {
        "performance": "labels show that the champion got worse",
        "harmful_drift": "an alarm about drift stands and the estimated performance is below what was promised",
        "schedule": f"a new {policy.every} has begun",
        "new_labels": (
            f"{policy.enough_new_labels:,} new labels have come"
            if policy.enough_new_labels
            else "half as many new labels have come as were learned from"
        ),
    }
    when = "; or ".join(asks[name] for name in asks if name in policy.on)
    cool = f"not within {say_span(policy.cooldown)} of the training before" if policy.cooldown else "no cool-down"
    grows = "" if policy.back_off == 1 or not policy.cooldown else f" (x {policy.back_off:g} for each one refused)"
    rows = "all labelled rows" if policy.rows == "all" else f"the newest {say_span(policy.rows)} of labelled rows"
    return (
        f"A challenger is trained on {rows} when {when}. Bounds: {cool}{grows}; at most {policy.max_per_quarter} in a "
        f"quarter; at least {policy.min_new_labels:,} new labels; never twice on the same rows; never while the newest "
        "window is broken."
    )


def say_span(span: timedelta) -> str:
    """A span of time in days or hours: 14 days, 6 hours."""
    hours = span / timedelta(hours=1)
    number, unit = (hours / 24, "day") if hours >= 24 else (hours, "hour")
    return f"{number:.3g} {unit}{'' if number == 1 else 's'}"


def say_day(moment: datetime, zone: ZoneInfo) -> str:
    """A moment where the project is: a date where it is midnight there."""
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%d}" if (local.hour, local.minute) == (0, 0) else f"{local:%Y-%m-%d %H:%M}"


def _find_trigger(policy: Retrain, facts: Facts, zone: ZoneInfo) -> tuple[Trigger, str | None, str] | None:
    labelled, harmful = facts.labelled, facts.harmful
    if "performance" in policy.on and labelled is not None and labelled.health == "degraded":
        return "performance", labelled.key, f"{labelled.key} is degraded: {labelled.why}"
    if "harmful_drift" in policy.on and harmful is not None:
        return "harmful_drift", harmful.key, f"the drift of {harmful.key} seems to hurt: {harmful.why}"
    enough = _enough(policy, facts)
    if "new_labels" in policy.on and facts.new_labels >= enough:
        return "new_labels", None, f"{facts.new_labels:,} new labels have come, and {enough:,} are enough"
    if "schedule" in policy.on and (facts.trained is None or _is_due(policy, facts.trained, facts.as_of, zone)):
        since = f", and the newest training looked from {say_day(facts.trained, zone)}" if facts.trained else ""
        return "schedule", None, f"a new {policy.every} has begun{since}"
    return None


def _find_bound(policy: Retrain, facts: Facts, zone: ZoneInfo) -> tuple[str, str, datetime | None] | None:
    """What forbids it, in one word and in a clause, and until when."""
    newest = facts.newest
    if newest is not None and newest.health == "broken":
        return "broken", f"{newest.key} is broken, so fix upstream first: {newest.why}", None
    if facts.awaiting is not None:
        return "awaiting", f"version {facts.awaiting} waits for a person's approval", None
    if facts.trained is not None and facts.trained > facts.as_of:
        then = say_day(facts.trained, zone)
        return (
            "clock",
            f"the newest training looked from {then}, later than this: has a clock jumped? Train by hand once to go on",
            None,
        )
    if facts.new_labels < policy.min_new_labels:
        few = f"{facts.new_labels:,} new labels have come since the newest training"
        return "few_labels", f"only {few}, and {policy.min_new_labels:,} are asked for", None
    if facts.same_rows is not None:
        return "same_rows", f"version {facts.same_rows} was trained of exactly these rows", None
    if facts.trained is not None:
        until = facts.trained + find_cooldown(policy, len(facts.refused) + facts.failed)
        if facts.as_of < until:
            return "cooldown", f"it cools down until {say_day(until, zone)}{_describe_refused(facts)}", until
    if facts.used >= policy.max_per_quarter:
        following = _next_quarter(facts.as_of, zone)
        were = "1 was trained" if facts.used == 1 else f"{facts.used} were trained"
        said = f"{were} in this quarter, which is all it allows until {say_day(following, zone)}"
        return "quarter", said, following
    return None


def _describe_refused(facts: Facts) -> str:
    if not facts.refused:
        return ""
    named = ", ".join(map(str, facts.refused[-3:])) + (
        f" and {len(facts.refused) - 3} before" * (len(facts.refused) > 3)
    )
    return f", longer for {'version' if len(facts.refused) == 1 else 'versions'} {named}, not released"


def _describe_calm(policy: Retrain, facts: Facts, zone: ZoneInfo) -> str:
    """Why nothing asks for a challenger."""
    said = []
    if "performance" in policy.on or "harmful_drift" in policy.on:
        if facts.labelled is not None:
            said.append(f"{facts.labelled.key}, the newest window with labels, is {facts.labelled.health}")
        elif facts.newest is not None:
            said.append(f"no labels speak of version {facts.champion} yet; {facts.newest.key} is {facts.newest.health}")
        else:
            said.append(f"nothing that version {facts.champion} scored was monitored yet")
    if "new_labels" in policy.on:
        said.append(f"{facts.new_labels:,} of {_enough(policy, facts):,} new labels have come")
    if "schedule" in policy.on and facts.trained is not None:
        said.append(f"the newest training looked from {say_day(facts.trained, zone)}, in this {policy.every} already")
    return "; ".join(said)


def _enough(policy: Retrain, facts: Facts) -> int:
    return policy.enough_new_labels or max(1, math.ceil(SHARE_ENOUGH * facts.learned))


def _is_due(policy: Retrain, trained: datetime, as_of: datetime, zone: ZoneInfo) -> bool:
    return start_of(policy.every, as_of, zone) > start_of(policy.every, trained, zone)


def _next_quarter(moment: datetime, zone: ZoneInfo) -> datetime:
    begun = start_of("quarter", moment, zone)
    month = begun.month + 3
    return begun.replace(year=begun.year + (month > 12), month=month - 12 if month > 12 else month)
