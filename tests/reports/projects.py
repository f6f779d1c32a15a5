"""Projects as their ledgers might have them, for the tests of the project page."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.reports.facts import (
    CheckFacts,
    DecisionFacts,
    PolicyFacts,
    ProjectFacts,
    Reading,
    RetrainingFacts,
    TrainingFacts,
    WindowFacts,
)

START = datetime(2024, 1, 1, tzinfo=UTC)
PROMISED = Reading(0.4, 0.3, 0.5)


def month(number: int) -> datetime:
    return START + timedelta(days=30 * number)


def make_window(number: int, health: str = "healthy", **more: Any) -> WindowFacts:
    """The window of a month: scored by version 1, and labelled, unless `more` says otherwise."""
    given: dict[str, Any] = {
        "key": f"2024-{number:02}",
        "seq": 100 * number,
        "first_seq": 100 * number,
        "found": month(number),
        "health": health,
        "sentence": f"average precision .41 [.3, .5] on 990 labelled rows; promised .40; clause {number}",
        "action": {"degraded": "retrain", "broken": "fix upstream", "drifting": "watch"}.get(health, "none"),
        "version": 1,
        "rows": 1000,
        "labelled": 990,
        "metric": "average_precision",
        "realised": Reading(0.41, 0.3, 0.5),
        "estimated": Reading(0.38, 0.2, 0.6),
        "promised": PROMISED,
        "promise": "at most 1 per year is expected",
        "tally": f"0 alarms in {number} windows; the budget allows {number / 12:.1f} false ones in so many",
    }
    return WindowFacts(**{**given, **more})


def make_decision(version: int, action: str = "promote", seq: int = 10, **more: Any) -> DecisionFacts:
    given: dict[str, Any] = {
        "seq": seq,
        "moment": month(0),
        "written": month(0),
        "version": version,
        "action": action,
        "actor": "anna",
        "reason": "Every gate passed. It is better by .1.",
        "by_gates": True,
        "champion": version if action in ("promote", "approve", "rollback") else None,
        "page": f"decisions/v{version}.html",
    }
    return DecisionFacts(**{**given, **more})


def make_training(version: int, **more: Any) -> TrainingFacts:
    given: dict[str, Any] = {"seq": 9, "moment": month(0), "candidate": "logistic", "rows": 5000, "batches": ("a", "b")}
    return TrainingFacts(**{"version": version, **given, **more})


def make_check(batch: str, outcome: str = "accepted", **more: Any) -> CheckFacts:
    given: dict[str, Any] = {"seq": 5, "moment": month(0), "reason": "every rule held", "rows": 1000}
    return CheckFacts(**{"batch": batch, "outcome": outcome, **given, **more})


def make_retraining(outcome: str, code: str, **more: Any) -> RetrainingFacts:
    given: dict[str, Any] = {"seq": 10_000, "moment": month(3), "sentence": "2024-03 is degraded: x, but it cools down"}
    return RetrainingFacts(**{"outcome": outcome, "code": code, **given, **more})


def make_project(*windows: WindowFacts, **more: Any) -> ProjectFacts:
    """A project with a champion that scored `windows`."""
    released = make_decision(1)
    facts = ProjectFacts(
        project="shop",
        argument="shop",
        as_of=month(6),
        turned=month(6),
        windows=windows,
        trainings=(make_training(1),),
        decisions=(released,),
        checks=tuple(make_check(w.key) for w in windows),
        champion=1,
        since=released,
        policy=PolicyFacts("A challenger is trained when it hurts.", 0, 3, None, "1 per year"),
        links={"champion: decision page": "decisions/v1.html"},
    )
    return replace(facts, **more)
