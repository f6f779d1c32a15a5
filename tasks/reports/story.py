"""What happened to a project, in sentences: one line for each event, the newest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.reports.facts import DecisionFacts, ProjectFacts, TrainingFacts, WindowFacts
from tasks.reports.headline import first_clauses
from tasks.reports.wording import capital, listed, number, plain, sentence, shorten

_LONGEST = 560  # of a line
_WELL = "healthy"


@dataclass(frozen=True)
class Event:
    """One line: when (in the project's time zone), the sign of the timeline it goes by, what happened, and a page."""

    seq: int
    day: str
    kind: str  # a key of the timeline's signs
    text: str
    page: str | None = None
    loud: bool = False


def tell_story(facts: ProjectFacts, most: int) -> tuple[list[Event], int]:
    """The newest events, and how many earlier ones there are."""
    events = [
        *_tell_decisions(facts),
        *_tell_windows(facts),
        *_tell_retrainings(facts),
        *_tell_refusals(facts),
        *_tell_incidents(facts),
    ]
    events.sort(key=lambda event: -event.seq)
    return events[:most], max(0, len(events) - most)


def _tell_decisions(facts: ProjectFacts) -> Iterator[Event]:
    told: set[int] = set()
    for made in facts.decisions:
        kind, text = _tell_decision(facts, made, first=made.version not in told)
        told.add(made.version)
        day = facts.day(made.moment)
        if facts.past and not made.by_gates:  # decided while the project lived through the past
            day = f"written {facts.day(made.written)}"
        yield Event(made.seq, day, kind, shorten(text, _LONGEST), made.page, made.overruled is not None)


def _tell_decision(facts: ProjectFacts, made: DecisionFacts, first: bool) -> tuple[str, str]:
    training = next((t for t in facts.trainings if t.version == made.version), None)
    made_of = f", {_describe_training(training)}," if first and training is not None else ""
    name, why = f"Version {made.version}{made_of}", sentence(capital(plain(made.reason)))
    place = f" in place of version {made.before}" if made.before not in (None, made.version) else ""
    who = "" if made.by_gates else f" by {plain(made.actor)}"
    if made.overruled is not None:
        gates = ", ".join(map(plain, made.overruled)) or "its gates"
        return "promote", f"{name} was released{place}{who} against {gates}. Reason: {why}"
    if made.action in ("promote", "approve"):
        done = "became champion" if made.by_gates else f"was {'approved' if made.action == 'approve' else 'promoted'}"
        return "promote", f"{name} {done}{place}{who}. {_cut_verdict(why)}"
    if made.action == "rollback":
        return "rollback", f"Version {made.version} became champion again{place}, rolled back{who}. Reason: {why}"
    if made.action == "propose":
        return "hold", f"{name} passed its gates and waits for a person to approve it. {_cut_verdict(why)}"
    stays = f"; version {made.champion} stays champion" if made.champion is not None else "; there is no champion"
    if made.action == "reject":
        return "reject", f"{name} was rejected{who}{stays}. {_cut_verdict(why)}"
    return "hold", f"{name} was held{who}{stays}. {_cut_verdict(why)}"


def _cut_verdict(why: str) -> str:
    """A verdict without what was let pass, which its page tells."""
    return why.partition(" Not told for all")[0]


def _describe_training(training: TrainingFacts) -> str:
    asked = {
        "performance": " because a window was degraded",
        "harmful_drift": " because a drift seemed to hurt",
        "schedule": " by schedule",
        "new_labels": " because labels had come",
    }.get(training.asked or "", "")
    return (
        f"{plain(training.candidate) or 'a model'} trained on {number(training.rows)} rows of "
        f"{listed(training.batches, 3)}{asked}"
    )


def _tell_windows(facts: ProjectFacts) -> Iterator[Event]:
    before: WindowFacts | None = None
    for window in facts.windows:
        name = shorten(plain(window.key), 80)
        if window.health == _WELL:
            if before is not None and before.health in ("degraded", "broken"):
                said = first_clauses(window)
                yield Event(window.seq, facts.day(window.found), _WELL, f"{name} is healthy again: {said}.")
        elif window.cause != "refused":  # which is told where the contract refused it
            action = {"none": "", "watch": " To be watched."}.get(window.action, f" Action: {window.action}.")
            said = f"{name} was {window.health}: {first_clauses(window)}.{action}"
            yield Event(window.seq, facts.day(window.found), window.health, shorten(said, _LONGEST), window.report)
        before = window


def _tell_retrainings(facts: ProjectFacts) -> Iterator[Event]:
    for made in facts.retrainings:
        if made.outcome == "none":
            continue
        why, _, bound = plain(made.sentence).partition(", but ")
        if made.outcome == "wait":
            kind, said = (
                "wait",
                f"A challenger was asked for, since {why.partition(': ')[0]}, and not trained: {bound}.",
            )
        elif made.outcome == "retrain":
            kind, said = "retrain", f"A challenger was asked for: {_ask(why)}."
        else:
            kind, said = "wait", sentence(capital(plain(made.sentence)))
        yield Event(made.seq, facts.day(made.moment), kind, shorten(said, _LONGEST))


def _ask(why: str) -> str:
    """What asks for it, and which one in the quarter it is, without the window's own sentence, which stands below."""
    clauses = why.split("; ")
    return "; ".join(dict.fromkeys([clauses[0].partition(": ")[0], *clauses[1:][-2:]]))


def _tell_refusals(facts: ProjectFacts) -> Iterator[Event]:
    for made in facts.refusals:
        said = f"The contract refused {shorten(plain(made.batch), 80)}: {sentence(plain(made.reason))}"
        text = f"{shorten(said, _LONGEST)} Its rows were neither scored nor learned from."
        yield Event(made.seq, facts.day(made.moment), "broken", text, made.page)


def _tell_incidents(facts: ProjectFacts) -> Iterator[Event]:
    for made in facts.incidents:
        text = shorten(sentence(capital(plain(made.sentence))), _LONGEST)
        yield Event(made.seq, facts.day(made.moment), _SIGNS.get(made.kind, "note"), text)


_SIGNS = {"accepted": _WELL}
