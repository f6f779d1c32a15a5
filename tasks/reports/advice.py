"""What a verdict means for a person: one sentence, and what to do next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

from tasks.reports.dossier import RELEASED, Decision, Dossier, gate_kind
from tasks.reports.findings import entries, list_names, part, parts
from tasks.reports.reasons import find_deciding, tell_reason
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
        said = {"promote": "passed every gate", "hold": tell_reason(dossier), "reject": tell_reason(dossier)}
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
    why = f": {tell_reason(dossier)}" if dossier.look.outcome == "hold" else ""
    return State("held", "warn", f"{name} is held and was not released{why}.")


def _tell_rejected(dossier: Dossier, name: str, newest: Decision) -> State:
    if newest.by_gates:
        return State("rejected", "bad", f"{name} was rejected: {tell_reason(dossier)}.")
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
            *_steps_mending(dossier),
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
    of_training = _steps_of_training(dossier, project)
    evidence, look = dossier.evidence, dossier.look.number
    looks = evidence.get("looks")
    steps += of_training
    if is_number(looks) and look < looks and not of_training:
        left = int(looks) - look
        more = "once more" if left == 1 else f"up to {left} times more"
        steps.append(Step(f"It is judged again by itself {more} as labels come:", f"trueup run {project}"))
    steps.append(Step("Turn it down if it is not worth the wait:", f"trueup reject {project} {version} {REASON}"))
    if any(g.get("name") == "sound" and g.get("status") != "pass" for g in dossier.gates):
        return steps  # what does not load cannot serve, whatever a person says
    if _is_withdrawn(dossier):
        said = "Release it, if you find it right: the champion is no bar to it, and all other gates passed:"
        return [steps[0], Step(said, f"trueup promote {project} {version} {REASON}"), steps[-1]]
    steps.append(
        Step("Release it against the gates, on your own responsibility; that is recorded and shown:",
             f"trueup promote {project} {version} --override {REASON}")
    )  # fmt: skip
    return steps


def _is_withdrawn(dossier: Dossier) -> bool:
    """Whether all that is open is the comparison with a champion that is no bar."""
    waiting = [g for g in dossier.gates if g.get("status") not in ("pass", "not_applicable")]
    return bool(waiting) and all((g.get("evidence") or {}).get("withdrawn") is True for g in waiting)


def _steps_of_training(dossier: Dossier, project: str) -> list[Step]:
    """What to do where a gate holds that only a new training changes, and no new label."""
    waiting = {gate_kind(g) for g in dossier.gates if g.get("status") not in ("pass", "not_applicable")}
    if "leaks" in waiting:
        signs = parts(part(dossier.audit, "leaks"), "signs")
        certain = [s for s in signs if s.get("certain") and not s.get("cleared")]
        columns = [s["column"] for s in certain if s.get("column") is not None]
        if not columns:
            said = "Mend what the gate on leaks names, and train again. It is not judged again by itself:"
            return [Step(said, f"trueup train {project}")]
        return [
            Step(
                f"Ask whether {list_names(columns)} is known when predictions are made. If not, leave it out "
                "(data.exclude); if so, say so (data.known_in_time). Then train again, since new labels change nothing "
                "about it:",
                f"trueup train {project}",
            )
        ]
    if "robust" in waiting:
        return [Step("Train again, since it has to be tried on worse rows first:", f"trueup train {project} --force")]
    return []


def _steps_mending(dossier: Dossier) -> list[Step]:
    """What may mend a version that the audit rejected."""
    gate = find_deciding(dossier)
    kind = gate_kind(gate) if gate else ""
    if gate is None or kind not in ("fairness", "slices", "robust"):
        return []
    if kind == "fairness":
        line, found, _ = str(gate.get("sentence", "")).partition("`mitigation: ")[2].partition("` below `train:`")
        if found:
            return [
                Step(
                    "If it is right for your purpose that each group has a threshold of its own, write "
                    f"mitigation: {plain(line)} below train: in the project file, and see what it costs."
                )
            ]
        return [Step("Look under Groups of people at which groups differ, and at what the model reads of them.")]
    if kind == "slices":
        names = entries(gate.get("evidence"), "failed")
        return [
            Step(
                f"Look at the rows of {list_names(names) if names else 'the slices that failed'}: too few of them to "
                "learn from, labels that mean another thing, or columns that do."
            )
        ]
    return [Step("Look under Robustness ladder at what it cannot do without: keep that column alive, or leave it out.")]


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
