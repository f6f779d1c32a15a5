"""Whether all is well with a project, in one sentence, and what to do now."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tasks.reports.advice import REASON, Step, Tone
from tasks.reports.facts import ProjectFacts, RetrainingFacts, WindowFacts
from tasks.reports.wording import capital, plain, shorten

NAMED = 2  # columns in a sentence
_LONGEST_CLAUSE = 220
_ORDER = {"bad": 0, "warn": 1, "na": 2, "good": 3}


@dataclass(frozen=True)
class Errand(Step):
    """A thing to do, and the page to read before it."""

    page: str | None = None


@dataclass(frozen=True)
class Matter:
    """Something that a person should know, how grave it is, and what to do about it.

    `yours`: somebody has to do something; else it is in hand, or only to be watched.
    """

    tone: Tone
    clause: str
    steps: tuple[Errand, ...] = ()
    yours: bool = True
    word: str = ""


@dataclass(frozen=True)
class Headline:
    """A word for the badge, its tone, the sentence that stands on top, what else there is, and what to do now."""

    word: str
    tone: Tone
    sentence: str
    beside: tuple[str, ...] = ()
    steps: tuple[Errand, ...] = field(default=())


def tell_headline(facts: ProjectFacts) -> Headline:
    """The gravest matter in a sentence, the others beside it, and the steps of all."""
    matters = sorted(_find_matters(facts), key=lambda m: (not m.yours, _ORDER[m.tone]))
    go_on = _go_on(facts)
    if not matters:
        return _tell_calm(facts, go_on)
    first = matters[0]
    steps = [step for matter in matters for step in matter.steps]
    beside = tuple(f"{capital(m.clause)}." for m in matters[1:])
    if first.yours:
        head = "Needs you"
    elif first.tone == "bad":
        head = "Not well, and in hand"
    else:
        head = "All is well so far, and worth a look"
    tone: Tone = min((m.tone for m in matters), key=lambda tone: _ORDER[tone])
    if not any(step.command == go_on.command for step in steps):
        steps.append(go_on)
    return Headline(first.word or "needs you", tone, f"{head}: {first.clause}.", beside, tuple(steps))


def first_clauses(window: WindowFacts) -> str:
    """How monitoring's sentence on a window begins; of its performance with what was promised. The table has it all."""
    clauses = [c.split(", estimated without labels ")[0] for c in plain(window.sentence).split("; ")]
    most = 2 if window.health == "degraded" and window.cause != "calibration" else 1
    return shorten("; ".join(clauses[:most]), _LONGEST_CLAUSE).rstrip(".")


def _tell_cause(window: WindowFacts) -> str:
    """The same for the headline: of numbers without their intervals, which stand below."""
    said = first_clauses(window)
    return re.sub(r" \[[^\]]*\]", "", said) if window.health == "degraded" else said


def _tell_calm(facts: ProjectFacts, go_on: Errand) -> Headline:
    newest = facts.newest
    if newest is None:
        said = f"All is well so far: version {facts.champion} serves, and no window was monitored yet."
    else:
        said = f"All is well: version {facts.champion} serves, and {_name(newest)} is {newest.health}."
    return Headline("all is well", "good", said, (), (Errand("Nothing has to be done."), go_on))


def _find_matters(facts: ProjectFacts) -> list[Matter]:
    matters = [*_about_champion(facts), *_about_window(facts), *_about_performance(facts)]
    if facts.unreached:
        step = Errand("Look at the addresses in TRUEUP_ALERTS; the next turn tries again:", _go_on(facts).command)
        matters.append(Matter("warn", f"an alert did not reach {facts.unreached}", (step,), word="alert not heard"))
    if facts.faulty_deliveries:
        clause = f"labels were delivered that cannot be used: {_short(facts.deliveries)}"
        matters.append(Matter("warn", clause, (Errand("Mend them where they are made, and deliver them again."),),
                              word="labels"))  # fmt: skip
    if facts.personal:
        matters.append(_about_personal(facts))
    return matters


def _about_champion(facts: ProjectFacts) -> list[Matter]:
    project, waiting = facts.quoted, facts.waiting
    if waiting is not None:
        steps = (
            _read_why(facts, waiting, "Then approve it:", f"trueup approve {project} {waiting} {REASON}"),
            Errand("Or turn it down:", f"trueup reject {project} {waiting} {REASON}"),
        )
        clause = f"version {waiting} passed its gates and waits for approval"
        return [Matter("warn", clause, steps, word="waits for approval")]
    if facts.champion is not None:
        if facts.since is None or facts.since.overruled is None:
            return []
        gates = ", ".join(map(plain, facts.since.overruled)) or "its gates"
        clause = f"version {facts.champion} serves by override: {plain(facts.since.actor)} overruled {gates}"
        return [Matter("warn", _short(clause), yours=False, word="override")]
    if any(c.outcome == "refused" for c in facts.checks) and not facts.decisions:
        return []  # the refusal says it
    if not facts.decisions:
        clause = "no model was trained yet"
        return [Matter("na", clause, word="not begun")]
    newest = facts.decisions[-1]
    done = {"hold": "is held", "reject": "was rejected"}.get(newest.action, "was decided about")
    step = _read_why(facts, newest.version, "New rows or a changed project file train again:", _go_on(facts).command)
    clause = f"no model serves yet, since version {newest.version} {done}: {_short(newest.reason)}"
    return [Matter("bad", clause, (step,), word="no champion")]


def _about_window(facts: ProjectFacts) -> list[Matter]:
    """The newest delivery: refused, broken, drifting."""
    newest, check = facts.newest, facts.checks[-1] if facts.checks else None
    if check is not None and check.outcome == "refused":
        clause = f"the contract refused {shorten(plain(check.batch), 60)}: {_short(check.reason)}"
        return [Matter("bad", clause, (_mend(facts),), word="refused")]
    if newest is None:
        return []
    clause = f"{_name(newest)} is {newest.health}: {_tell_cause(newest)}"
    if newest.health == "broken":
        return [Matter("bad", clause, (_mend(facts),), word="broken")]
    if newest.health == "drifting" and newest.action == "fix upstream":
        return [Matter("warn", clause, (_mend(facts),), word="drifting")]
    if newest.health == "drifting" and newest.action == "watch":
        steps = (Errand("Nothing has to be done about the drift: the next windows say whether it hurts."),)
        if newest.speaks:
            clause += f"; version {newest.version} delivers what it promised all the same"
        return [Matter("warn", clause, steps, yours=False, word="drifting")]
    return []


def _about_performance(facts: ProjectFacts) -> list[Matter]:
    """The newest window with labels is degraded, or the newest one drifts and seems to hurt: is it in hand?"""
    window = facts.labelled
    if window is None or window.health != "degraded":
        window = facts.newest
        if window is None or window.action != "retrain" or window.version != facts.champion:
            return _about_failure(facts)
    clause = f"{_name(window)} is {window.health}: {_tell_cause(window)}"
    newest = facts.retrainings[-1] if facts.retrainings else None
    word = window.health
    since = [d for d in facts.decisions if newest is not None and d.seq > newest.seq and d.action in ("hold", "reject")]
    if newest is not None and newest.outcome == "retrain" and since:
        made = since[-1]
        done = "was rejected" if made.action == "reject" else "is held"
        clause += f". Version {made.version} was trained for it and {done}"
        again = "Another one is trained by itself as labels come:"
        if made.action == "hold":
            again = "As labels come it is judged again by itself, or another one is trained:"
        step = _read_why(facts, made.version, again, _go_on(facts).command)
        return [Matter("bad", clause, (step,), yours=made.action == "reject", word=word)]
    if newest is not None and newest.outcome == "wait" and newest.code in ("cooldown", "quarter", "few_labels"):
        when = f"from {facts.day(newest.not_before)} on" if newest.not_before else "when there are new labels enough"
        steps = (
            Errand(f"A challenger is trained by itself {when}, by a turn:", _go_on(facts).command),
            _train(facts, "To have it sooner, against the policy:"),
        )
        clause += f". A challenger is trained by itself {when}"
        return [Matter("bad", clause, steps, yours=False, word=word)]
    if newest is not None and newest.outcome == "wait" and newest.code == "awaiting":
        return [Matter("bad", clause, yours=False, word=word)]  # the version that waits says what to do
    step = _train(facts, f"Train a challenger{_why_by_hand(newest)}; the gates decide whether it takes over:")
    return [Matter("bad", clause, (step,), word=word)]


def _about_failure(facts: ProjectFacts) -> list[Matter]:
    """A challenger was asked for, and could not be trained."""
    newest = facts.retrainings[-1] if facts.retrainings else None
    if newest is None or newest.outcome != "failed":
        return []
    return [Matter("warn", _short(newest.sentence), (_mend(facts),), word="not trained")]


def _about_personal(facts: ProjectFacts) -> Matter:
    named = [f"{shorten(plain(c), 60)!r} looks like {plain(k)}" for c, k in list(facts.personal.items())[:NAMED]]
    more = f" and {len(facts.personal) - NAMED} more columns" if len(facts.personal) > NAMED else ""
    step = Errand("Settle in the project file what looks like personal data: data.exclude keeps a column from the "
                "model, data.personal its values from all pages, data.not_personal says that it is none.")  # fmt: skip
    return Matter("warn", f"{', '.join(named)}{more}", (step,), yours=False, word="worth a look")


def _why_by_hand(newest: RetrainingFacts | None) -> str:
    if newest is None:
        return ""
    return {
        "never": " (the policy trains nothing by itself)",
        "same_rows": " when there are new rows (one was made of these already)",
        "failed": " once the rows can be used (the last attempt failed)",
        "clock": " by hand once (a clock has jumped)",
    }.get(newest.code, "")


def _mend(facts: ProjectFacts) -> Errand:
    text = (
        "Mend what is named where the rows are made (or the contract, where the rows are right), deliver again, then:"
    )
    return Errand(text, _go_on(facts, at_once=True).command)


def _train(facts: ProjectFacts, text: str) -> Errand:
    moment = f" --as-of {_argument(facts)}" if facts.past else ""
    return Errand(text, f"trueup train {facts.quoted}{moment}")


def _go_on(facts: ProjectFacts, at_once: bool = False) -> Errand:
    """The next turn; `at_once`: as of the moment of the newest one."""
    moment = ""
    if facts.past:
        moment = f" --as-of {_argument(facts)}" if at_once else " --as-of next"
    return Errand("Go on with the next turn:", f"trueup run {facts.quoted}{moment}")


def _argument(facts: ProjectFacts) -> str:
    """The page's moment as `--as-of` takes it."""
    said = facts.day(facts.as_of)
    return said if len(said) == len("2013-05-01") or facts.as_of is None else facts.as_of.isoformat(timespec="seconds")


def _read_why(facts: ProjectFacts, version: int, then: str, command: str) -> Errand:
    page = next((d.page for d in facts.decisions if d.version == version and d.page), None)
    where = f"the decision page of version {version}" if page else f"the history of version {version}"
    return Errand(f"Read why in {where}. {then}" if page is None else f"Read {where}. {then}", command, page)


def _name(window: WindowFacts) -> str:
    return shorten(plain(window.key), 60)


def _short(text: str) -> str:
    return shorten(plain(text), _LONGEST_CLAUSE).rstrip(".")
