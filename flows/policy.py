"""The policy of the project file, applied to what the ledger and the source's index know. Nothing is written here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flows.cut import Cut, count_known, cut_all
from flows.keys import digest, training_key
from tasks.config import LoadedProject
from tasks.data.source import Batch
from tasks.ledger import Champion, Entry, Ledger
from tasks.retraining.policy import Decision, Facts, Judged, decide, find_earliest, start_of

STEP = "retrain"
FAILED = "failed"  # the outcome where a training was decided on, and the rows cannot be used


def decide_retraining(
    project: LoadedProject, ledger: Ledger, visible: Sequence[Batch], as_of: datetime, awaiting: int | None
) -> tuple[Decision, Facts] | None:
    """What the policy says as of a moment, and what it says it of; None where there is no champion to replace.

    `awaiting` is the version that waits for a person.
    """
    facts = gather_facts(project, ledger, visible, as_of, awaiting)
    if facts is None:
        return None
    return decide(project.spec.retrain, facts, project.spec.data.zone), facts


def gather_facts(
    project: LoadedProject, ledger: Ledger, visible: Sequence[Batch], as_of: datetime, awaiting: int | None = None
) -> Facts | None:
    """What a decision is made of, read from the ledger and the source's index; None where there is no champion."""
    name, champion = project.name, ledger.champion(project.name)
    newest_training = ledger.latest(name, step="train")
    if champion is None or newest_training is None:
        return None
    seen = ledger.by_subject(name, "monitor")
    windows = [seen[b.key] for b in visible if b.key in seen]
    own = [w for w in windows if w.payload["version"] == champion.version and w.outcome != "broken"]
    labelled = [w for w in own if _is_labelled(w)]
    latest = own[-1] if own else None
    cut = cut_all(project, ledger, visible, as_of)
    same = ledger.find(name, "train", training_key(project, cut))
    return Facts(
        as_of=as_of,
        champion=champion.version,
        newest=_judged(windows[-1]) if windows else None,
        labelled=_judged(labelled[-1]) if labelled else None,
        harmful=_judged(latest) if latest is not None and latest.payload.get("harmful") else None,
        new_labels=_count_new(project, ledger, cut, newest_training),
        learned=int(newest_training.payload["rows"]),
        awaiting=awaiting,
        same_rows=None if same is None else int(str(same.subject)),
        **_gather_attempts(project, ledger, as_of, champion),
    )


def find_pause(project: LoadedProject, ledger: Ledger, as_of: datetime) -> tuple[int, datetime | None]:
    """How many challengers the policy has had trained in the quarter of a moment, and until when its bounds of time
    allow no other; None where they allow one."""
    champion = ledger.champion(project.name)
    if champion is None or ledger.latest(project.name, step="train") is None:
        return 0, None
    facts = Facts(as_of, champion.version, **_gather_attempts(project, ledger, as_of, champion))
    return facts.used, find_earliest(project.spec.retrain, facts, project.spec.data.zone)


def _gather_attempts(project: LoadedProject, ledger: Ledger, as_of: datetime, champion: Champion) -> dict[str, Any]:
    """The trainings so far, as the bounds count them: `trained`, `refused`, `failed` and `used` of the facts."""
    name, zone = project.name, project.spec.data.zone
    trainings = ledger.entries(name, step="train")
    attempts = [e for e in ledger.entries(name, step=STEP) if e.outcome == FAILED]
    quarter = start_of("quarter", as_of, zone)
    asked = [e.as_of for e in trainings if e.payload.get("trigger") and e.as_of is not None]
    return {
        "trained": max([*trainings[-1:], *attempts[-1:]], key=lambda e: e.seq).as_of,
        "refused": tuple(int(str(e.subject)) for e in trainings if e.seq > champion.seq),
        "failed": sum(e.seq > champion.seq for e in attempts),
        "used": sum(start_of("quarter", moment, zone) == quarter for moment in asked),
    }


def retraining_key(project: LoadedProject, ledger: Ledger, decision: Decision, as_of: datetime) -> str:
    """The key of a decision: what windows had said until then, the policy, and what was decided. The same is written
    once, however often a turn comes by; one to train is of its moment."""
    newest = ledger.latest(project.name, step="monitor")
    seen = newest.seq if newest is not None else 0
    policy = project.spec.retrain.model_dump_json()
    moment = as_of.isoformat() if decision.outcome == "retrain" else ""
    return digest(STEP, seen, policy, decision.outcome, decision.code, decision.window, moment)


def is_told(project: LoadedProject, ledger: Ledger, decision: Decision, as_of: datetime) -> bool:
    """Whether a decision needs no entry: it is in the ledger, or follows from one to train on the same windows."""
    if ledger.find(project.name, STEP, retraining_key(project, ledger, decision, as_of)) is not None:
        return True
    if decision.outcome == "retrain":
        return False
    before, window = ledger.latest(project.name, step=STEP), ledger.latest(project.name, step="monitor")
    decided = before is not None and before.outcome in ("retrain", FAILED)
    return bool(decided and before is not None and (window is None or window.seq < before.seq))


def find_asked(ledger: Ledger, name: str, as_of: datetime) -> Entry | None:
    """The decision to train that no training has followed yet; None where there is none.

    One that was cut off lapses with its moment: a later turn knows more, and decides anew.
    """
    newest = ledger.latest(name, step=STEP)
    if newest is None or newest.outcome != "retrain" or newest.as_of != as_of:
        return None
    trained = ledger.latest(name, step="train")
    return None if trained is not None and trained.seq > newest.seq else newest


def _judged(window: Entry) -> Judged:
    return Judged(str(window.subject), window.outcome, window.reason)


def _is_labelled(window: Entry) -> bool:
    """Whether labels speak of a window's health; entries of an earlier trueup do not say why they would not."""
    return bool(window.payload["metrics"]) and not window.payload.get("doubt")


def _count_new(project: LoadedProject, ledger: Ledger, cut: Cut, newest: Entry) -> int:
    """About how many labels a training would have that the newest one did not have."""
    delay, made = project.spec.data.label_delay, newest.payload
    refused = {key for key, e in ledger.by_subject(project.name, "validate").items() if e.outcome == "refused"}
    then = datetime.fromisoformat(made["known_as_of"]) if made.get("known_as_of") else None
    new = 0
    for batch in cut.batches:
        if batch.key in refused:
            continue
        before = int(made["labelled"].get(batch.key, 0))
        if not before and batch.labels is None and batch.key in made["batches"]:
            before = count_known(batch, then, delay)  # it was cut before the last of its labels were known
        new += max(0, count_known(batch, cut.as_of, delay) - before)
    return new
