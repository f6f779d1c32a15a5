"""What a verdict means for a person: one sentence, and what to do next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

from tasks.reports.dossier import RELEASED, Decision, Dossier, metric_title
from tasks.reports.wording import capital, is_number, plain

Tone = Literal["good", "bad", "warn", "na"]
REASON = '--reason "..."'


@dataclass(frozen=True)
class State:
    """How a version stands: a word for the badge, its tone, and one sentence."""

    word: str
    tone: Tone
    sentence: str


@dataclass(frozen=True)
class Step:
    """One thing to do, and the command that does it."""

    text: str
    command: str = ""


def tell_state(dossier: Dossier) -> State:
    """The newest decision about a version, in one sentence."""
    name, newest = f"Version {dossier.version}", dossier.newest
    if newest is None:
        said = {"promote": "passed every gate", "hold": _why(dossier), "reject": _why(dossier)}
        return State("not decided", "na", f"{name} was judged and not decided about yet: {said[dossier.look.outcome]}.")
    tell = _TOLD[newest.action]
    return tell(dossier, name, newest)


def _tell_released(dossier: Dossier, name: str, newest: Decision) -> State:
    place = f" in place of version {newest.previous}" if newest.previous is not None else ""
    if newest.overruled is not None:
        return State("released by override", "bad", f"{name} was released{place} although its gates did not pass.")
    if newest.action == "rollback":
        return State("champion again", "warn", f"{name} was made champion again{place} by {plain(newest.actor)}.")
    if newest.by_gates:
        return State("released", "good", f"{name} passed every gate and was released{place}.")
    return State("released", "good", f"{name} was released{place} by {plain(newest.actor)}.")


def _tell_waiting(dossier: Dossier, name: str, newest: Decision) -> State:
    return State("waits for approval", "warn", f"{name} passed every gate and waits for a person to approve it.")


def _tell_held(dossier: Dossier, name: str, newest: Decision) -> State:
    if dossier.successor is not None:
        said = f"{name} passed every gate at a later look, and was fitted again as version {dossier.successor}"
        return State("fitted again", "na", f"{said}, which is decided about in its place.")
    why = f": {_why(dossier)}" if dossier.look.outcome == "hold" else ""
    return State("held", "warn", f"{name} is held and was not released{why}.")


def _tell_rejected(dossier: Dossier, name: str, newest: Decision) -> State:
    if newest.by_gates:
        return State("rejected", "bad", f"{name} was rejected: {_why(dossier)}.")
    return State("rejected", "bad", f"{name} was rejected by {plain(newest.actor)}.")


def _tell_gone(dossier: Dossier, name: str, newest: Decision) -> State:
    if newest.action == "rolled back":
        return State("rolled back", "bad", f"{name} was rolled back: version {newest.champion} took its place again.")
    return State("replaced", "na", f"{name} was released, and version {newest.champion} has taken over since.")


_TOLD = {
    **dict.fromkeys(RELEASED, _tell_released),
    "propose": _tell_waiting,
    "hold": _tell_held,
    "reject": _tell_rejected,
    "replaced": _tell_gone,
    "rolled back": _tell_gone,
}


def _why(dossier: Dossier) -> str:
    """The gate that decided against a version, in a clause."""
    gate = next((g for g in dossier.gates if g.get("name") == dossier.evidence.get("deciding")), None)
    if gate is None:
        return "its gates do not allow it"
    name, failed = str(gate.get("name")), gate.get("status") == "fail"
    better = (gate.get("evidence") or {}).get("rule") == "better"
    said = {
        "baseline": ("it is not better than a constant prediction by as much as is asked",
                     "whether it is better than a constant prediction by as much as is asked cannot be told yet"),
        "champion": ("it is not better than the champion" if better
                     else "it is worse than the champion by more than is allowed",
                     f"whether it is {'better' if better else 'as good as'} {'than ' if better else ''}the champion "
                     "cannot be told yet"),
        "sound": ("the stored model does not behave as it should", "the stored model could not be tried"),
        "speed": ("it predicts too slowly", "its speed was not measured"),
        "size": ("it is too large", "its size was not measured"),
    }  # fmt: skip
    kind, _, metric = name.partition(" ")
    if kind in ("floor", "ceiling"):
        title = metric_title(metric)
        said[name] = (f"{title} does not keep its {kind}", f"whether {title} keeps its {kind} cannot be told yet")
    clauses = said.get(name, (f"the gate {plain(name)!r} failed", f"the gate {plain(name)!r} could not be decided"))
    return clauses[0] if failed else clauses[1]


def tell_steps(dossier: Dossier) -> list[Step]:
    """What a person may do next, the likeliest first."""
    newest, project, version = dossier.newest, shlex.quote(dossier.argument), dossier.version
    undo = Step("To go back to the champion before it:", f"trueup rollback {project} {REASON}")
    watch = Step("Each turn says whether it keeps what it promised:", f"trueup run {project}")
    if newest is None:
        return [Step("Bring the project up to date; that decides:", f"trueup run {project}")]
    if newest.overruled is not None:
        later = Step("Train again when there are more rows; that version is compared with this one:",
                     f"trueup train {project}")  # fmt: skip
        first = Step("Watch it closely: it serves without the evidence that the gates ask for.")
        return [first, *([undo] if newest.previous is not None else []), later]
    if newest.action in RELEASED:
        first = Step("Nothing has to be done: the next batches are scored with it.")
        return [first, watch, *([undo] if newest.previous is not None else [])]
    if newest.action == "propose":
        return [
            Step("Read the evidence below, then approve it:", f"trueup approve {project} {version} {REASON}"),
            Step("Or turn it down:", f"trueup reject {project} {version} {REASON}"),
        ]
    if newest.action == "hold":
        return _steps_held(dossier, project)
    if newest.action == "reject":
        stays = f"Version {newest.champion} stays champion" if newest.champion is not None else "There is no champion"
        if not newest.by_gates:
            return [Step(f"{stays}; nothing has to be done.")]
        return [
            Step(f"{stays}. See below which gate failed, and what would have to change."),
            Step("Change the data or the project file and train again:", f"trueup train {project}"),
        ]
    return [Step("Who is champion now, and why:", f"trueup history {project}")]


def _steps_held(dossier: Dossier, project: str) -> list[Step]:
    if dossier.successor is not None:
        return [Step(f"See what became of version {dossier.successor}:", f"trueup history {project}")]
    newest, version = dossier.newest, dossier.version
    stays = newest.champion if newest else None
    first = f"Version {stays} stays champion meanwhile." if stays is not None else "There is no champion meanwhile."
    steps = [Step(first)]
    if dossier.look.outcome == "promote":  # the world moved on between the comparison and the release
        return [*steps, Step("Train again, so that it is compared with that one:", f"trueup train {project} --force")]
    evidence, look = dossier.evidence, dossier.look.number
    looks = evidence.get("looks")
    if is_number(looks) and look < looks:
        left = int(looks) - look
        more = "once more" if left == 1 else f"up to {left} times more"
        steps.append(Step(f"It is judged again by itself {more} as labels come:", f"trueup run {project}"))
    steps.append(Step("Turn it down if it is not worth the wait:", f"trueup reject {project} {version} {REASON}"))
    if any(g.get("name") == "sound" and g.get("status") != "pass" for g in dossier.gates):
        return steps  # what does not load cannot serve, whatever a person says
    steps.append(
        Step("Release it against the gates, on your own responsibility; that is recorded and shown:",
             f"trueup promote {project} {version} --override {REASON}")
    )  # fmt: skip
    return steps


def decided_line(decision: Decision) -> str:
    """Who decided: the gates, or a person."""
    return f"the gates, run by {plain(decision.actor)}" if decision.by_gates else plain(decision.actor)


def action_word(action: str) -> str:
    """A decision's action as a word for people."""
    known = {
        "promote": "promoted",
        "approve": "approved",
        "rollback": "rolled back to",
        "propose": "waits for approval",
        "hold": "held",
        "reject": "rejected",
    }
    return known.get(action, capital(action).lower())
