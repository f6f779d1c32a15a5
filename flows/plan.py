"""What a turn has to do: every step with whether it is due, and why. Reads the ledger and the source's index only.

No flow runs for this, and no vendor is imported: it is also how `up to date` is answered at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from flows.challenger import find_held, find_shadow, plan_shadow, proposed_version
from flows.cut import count_labelled, cut_all, first_cut, narrow_cut
from flows.keys import (
    labels_key,
    monitor_key,
    score_key,
    specification,
    training_key,
    validate_key,
)
from flows.policy import decide_retraining, find_asked, is_told
from tasks.config import LoadedProject
from tasks.data.label_index import LabelIndex
from tasks.data.source import Batch
from tasks.errors import ConfigError
from tasks.ledger import Entry, Ledger
from tasks.table import microseconds

Action = Literal["labels", "validate", "train", "release", "look", "score", "shadow", "monitor", "retrain"]
ASKED = "asked"  # the subject of a training that the policy asks for
DELIVERIES = "deliveries"  # what the entry of labels that came apart from the rows is about
LOOK_GROWTH = 0.5  # a held challenger is looked at again when the rows to judge by have grown by this share


@dataclass(frozen=True)
class Step:
    """One step of a turn: due or not, and why. `subject` is a batch's key, a version, `challenger` or `policy`."""

    action: Action
    subject: str
    due: bool
    why: str


@dataclass(frozen=True)
class Plan:
    """The steps of a turn, in their order."""

    as_of: datetime
    visible: tuple[Batch, ...]
    steps: tuple[Step, ...]
    waiting: tuple[str, ...] = field(default=())  # what a person should know although nothing is due

    @property
    def due(self) -> tuple[Step, ...]:
        """The steps to be done."""
        return tuple(s for s in self.steps if s.due)


def plan_turn(
    project: LoadedProject,
    ledger: Ledger,
    batches: tuple[Batch, ...],
    as_of: datetime,
    labels: LabelIndex | None = None,
) -> Plan:
    """Look at what exists and say what is missing, in order. ConfigError for a moment before the newest batch done.

    `labels` are those that come apart from the rows, where the project has such.
    """
    visible = tuple(b.at(as_of) for b in batches if b.visible(as_of))
    done = done_batches(ledger, project.name)
    _check_forward(project, batches, done, as_of)
    steps: list[Step] = []
    waiting: list[str] = []
    if not visible:
        first = min((b.end for b in batches if b.end), default=None)
        waiting.append(f"no batch is complete yet; the first is on {first:%Y-%m-%d %H:%M %Z}" if first else "no batch")
        return Plan(as_of, visible, (), tuple(waiting))
    if labels is not None:
        steps.extend(_plan_labels(project, ledger, labels, as_of))
    champion = ledger.champion(project.name)
    pending = pending_release(ledger, project.name)
    if pending is not None:
        steps.append(Step("release", str(pending.subject), True, "passed its gates; its release was cut off"))
    elif not aliases_follow(ledger, project.name):
        steps.append(Step("release", "aliases", True, "decided in the ledger, but MLflow's aliases do not follow yet"))
    training = _plan_training(project, ledger, visible, as_of, champion is not None, pending)
    steps.append(training)
    if champion is not None and pending is None and not training.due:
        steps.extend(_plan_look(project, ledger, visible, as_of))
    proposed = proposed_version(ledger, project.name)
    if proposed is not None:
        waiting.append(f"version {proposed} passed its gates and waits for approval: {approval(project, proposed)}")
    elif champion is None and pending is None and not training.due:
        waiting.append(f"no champion yet: {training.why}. New rows or a changed project file train again")
    walked = to_walk(ledger, project.name, visible)
    shadow = find_shadow(ledger, project.name) if pending is None and not training.due else None  # else another is next
    for batch in walked:
        steps.extend(_plan_batch(project, ledger, batch, as_of, champion is not None, shadow))
    if champion is not None and not any(s.due for s in steps):  # else it would be decided on less than is there
        steps.extend(_plan_retraining(project, ledger, visible, as_of, proposed))
    return Plan(as_of, visible, tuple(steps), tuple(waiting))


def to_walk(ledger: Ledger, name: str, visible: tuple[Batch, ...]) -> tuple[Batch, ...]:
    """The batches that are scored and monitored: those after what the first champion learned from."""
    passed = (e for e in ledger.entries(name, step="train") if e.outcome == "promote")
    # What passed at a look met a champion, so the first one was released by a person before.
    first = next((e for e in passed if find_twin(e.payload) is None), None)
    if first is None:
        return visible[-1:]
    learned = set(first.payload["batches"]) | set(first.payload.get("refused", ()))
    last = max((i for i, b in enumerate(visible) if b.key in learned), default=-1)
    after = visible[last + 1 :]
    return visible if not after and len(visible) == 1 else after


def done_batches(ledger: Ledger, name: str) -> frozenset[str]:
    """Keys of the batches that were scored or monitored."""
    entries = [*ledger.entries(name, step="score"), *ledger.entries(name, step="monitor")]
    return frozenset(str(e.subject) for e in entries)


def passed_batches(ledger: Ledger, name: str, batches: Sequence[Batch]) -> frozenset[str]:
    """Keys of the batches that `next` goes on from: monitored, which is a batch's last step, or seen by a whole turn.

    A turn that was cut off did neither for the batch that it was at, so `next` means that moment again.
    """
    monitored = frozenset(str(e.subject) for e in ledger.entries(name, step="monitor"))
    turn = ledger.latest(name, step="turn")
    looked = turn.as_of if turn is not None else None
    return monitored | {b.key for b in batches if looked is not None and b.end is not None and b.end <= looked}


def pending_release(ledger: Ledger, name: str) -> Entry | None:
    """The newest verdict, of a training or a look, that no release entry follows: it was cut off in between."""
    verdicts = [e for step in ("train", "look") if (e := ledger.latest(name, step=step)) is not None]
    if not verdicts:
        return None
    newest = max(verdicts, key=lambda e: e.seq)
    decided = any(e.seq > newest.seq for e in ledger.entries(name, step="release") if e.subject == newest.subject)
    return None if decided else newest


def approval(project: LoadedProject, version: int | str) -> str:
    """The command that releases a version that waits."""
    return f"trueup approve {project.argument} {version} --reason '...'"


def aliases_follow(ledger: Ledger, name: str) -> bool:
    """Whether MLflow's aliases were moved after the newest release decision."""
    decided, moved = ledger.latest(name, step="release"), ledger.latest(name, step="alias")
    return decided is None or (moved is not None and moved.seq > decided.seq)


def find_twin(trained: Mapping[str, Any]) -> int | None:
    """The version that a training fitted again after it had passed at a look, by the payload; None for any other."""
    return (trained.get("refit") or {}).get("twin")


def _plan_labels(project: LoadedProject, ledger: Ledger, labels: LabelIndex, as_of: datetime) -> Sequence[Step]:
    """Whether labels were delivered that no turn has told of yet."""
    said = labels.words_until(microseconds(as_of))
    newest = ledger.latest(project.name, step="labels", subject=DELIVERIES)
    if not said and newest is None:
        return ()
    if ledger.find(project.name, "labels", labels_key(labels, as_of)) is not None:
        return (Step("labels", DELIVERIES, False, f"{said:,} words, told before"),)
    why = "not told of yet" if newest is None else "more than were told of"
    return (Step("labels", DELIVERIES, True, f"{said:,} words, {why}"),)


def _plan_training(
    project: LoadedProject,
    ledger: Ledger,
    visible: tuple[Batch, ...],
    as_of: datetime,
    has_champion: bool,
    pending: Entry | None,
) -> Step:
    if pending is not None:
        return Step("train", "challenger", False, f"version {pending.subject} is trained and waits for its release")
    newest = ledger.latest(project.name, step="train")
    if has_champion:
        if newest is not None and newest.payload.get("specification") != specification(project):
            same = ledger.find(project.name, "train", training_key(project, cut_all(project, ledger, visible, as_of)))
            if same is not None:  # the file was changed back
                why = f"version {same.subject} was made of these rows by these settings, and decided about"
                return Step("train", "challenger", False, why)
            return Step("train", "challenger", True, "the project file changed what is trained since the last training")
        return Step("train", "challenger", False, "there is a champion, and the project file asks for the same model")
    cut = narrow_cut(project, ledger, first_cut(visible, as_of))
    done = ledger.find(project.name, "train", training_key(project, cut))
    if done is None:
        return Step("train", "challenger", True, "no champion yet")
    return Step("train", "challenger", False, f"version {done.subject} of the same rows ended {done.outcome}")


def _plan_look(project: LoadedProject, ledger: Ledger, visible: tuple[Batch, ...], as_of: datetime) -> Sequence[Step]:
    """Whether a held challenger is decided again: rows alone kept it, looks are left, and there are new ones enough."""
    name, held = project.name, find_held(ledger, project.name)
    if held is None:
        return ()
    evidence, look, subject = held.evidence, held.look, str(held.version)
    if look > held.looks:
        return (
            Step("look", subject, False, f"held, and all looks are used ({evidence['looks']}); only a person decides"),
        )
    share = project.spec.split.test if project.spec.split_how != "time" else 1.0
    compared = evidence["comparison"] or {}
    before = compared.get("rows") or evidence["judged"]
    now = count_labelled(cut_all(project, ledger, visible, as_of), project.spec.data.label_delay)
    refused = {key for key, e in ledger.by_subject(name, "validate").items() if e.outcome == "refused"}
    new = (
        sum(max(0, rows - evidence["labelled"].get(key, 0)) for key, rows in now.items() if key not in refused) * share
    )
    if new < LOOK_GROWTH * before:
        why = f"held; look {look} of {evidence['looks']} when {LOOK_GROWTH:.0%} more labelled rows are there"
        return (Step("look", subject, False, f"{why}: {new:,.0f} of {LOOK_GROWTH * before:,.0f} so far"),)
    return (
        Step(
            "look",
            subject,
            True,
            f"held, and about {new:,.0f} new labelled rows came: look {look} of {evidence['looks']}",
        ),
    )


def _plan_retraining(
    project: LoadedProject, ledger: Ledger, visible: tuple[Batch, ...], as_of: datetime, awaiting: int | None
) -> Sequence[Step]:
    """What the policy decides once nothing else is left to do, and the training that it asks for."""
    asked = find_asked(ledger, project.name, as_of)
    if asked is not None:
        return (Step("train", ASKED, True, asked.reason),)
    made = decide_retraining(project, ledger, visible, as_of, awaiting)
    if made is None:
        return ()
    decision, _ = made
    told = is_told(project, ledger, decision, as_of)
    return (Step("retrain", "policy", not told, f"{decision.outcome}: {decision.sentence}"),)


def _plan_batch(
    project: LoadedProject, ledger: Ledger, batch: Batch, as_of: datetime, has_champion: bool, shadow: int | None
) -> Sequence[Step]:
    """`shadow` is the version that scores beside the champion."""
    name, key = project.name, batch.key
    checked = ledger.find(name, "validate", validate_key(project, batch))
    scored = ledger.latest(name, step="score", subject=key)
    steps = []
    score_due = scored is None or scored.key != score_key(batch)
    window = ledger.find(name, "monitor", monitor_key(project, batch, as_of))
    refused = checked is not None and checked.outcome == "refused"
    if checked is not None:
        steps.append(Step("validate", key, False, f"{checked.outcome} before, and neither rows nor contract changed"))
    elif score_due or window is None:
        seen = ledger.latest(name, step="validate", subject=key)
        steps.append(
            Step(
                "validate",
                key,
                True,
                "new" if seen is None else "its rows or the contract changed, or only training checked it",
            )
        )
    if refused:
        steps.append(Step("score", key, False, "the batch was refused by its contract"))
    elif score_due and not has_champion:
        steps.append(Step("score", key, False, "no champion yet; follows in the turn that releases one"))
    elif score_due:
        why = "not scored yet" if scored is None else "its inputs changed: a new revision"
        steps.append(Step("score", key, True, why))
    else:
        steps.append(Step("score", key, False, f"scored by version {scored.payload['version']}" if scored else ""))
    if shadow is not None and not refused and (found := plan_shadow(ledger, name, batch, shadow)) is not None:
        steps.append(Step("shadow", key, *found))
    if window is not None:
        steps.append(Step("monitor", key, False, f"{window.outcome}, and no label came since"))
    elif has_champion or refused:
        seen = ledger.latest(name, step="monitor", subject=key)
        steps.append(Step("monitor", key, True, "not monitored yet" if seen is None else "labels came since"))
    return steps


def _check_forward(project: LoadedProject, batches: tuple[Batch, ...], done: frozenset[str], as_of: datetime) -> None:
    late = [b for b in batches if b.key in done and b.end is not None and b.end > as_of]
    if late:
        zone = project.spec.data.zone
        raise ConfigError(
            f"as of {as_of.astimezone(zone):%Y-%m-%d %H:%M} lies before the end of batch {late[-1].key} "
            f"({late[-1].end.astimezone(zone):%Y-%m-%d %H:%M}), which is already done. "  # type: ignore[union-attr]
            "Expected that moment or a later one; to look at the past again, use another TRUEUP_HOME."
        )
