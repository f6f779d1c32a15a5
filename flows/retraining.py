"""Decisions to train a challenger or not, written to the ledger with their reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.challenger import proposed_version
from flows.keys import digest
from flows.policy import FAILED, STEP, decide_retraining, retraining_key
from flows.workspace import Workspace
from tasks.errors import DataError
from tasks.ledger import Entry
from tasks.retraining.policy import Decision, Facts


def record_decision(workspace: Workspace) -> Entry | None:
    """Decide, and write it to the ledger; None where there is no champion to replace."""
    ledger, project = workspace.ledger, workspace.project
    awaiting = proposed_version(ledger, project.name)
    made = decide_retraining(project, ledger, workspace.visible, workspace.as_of, awaiting)
    if made is None:
        return None
    decision, facts = made
    key = retraining_key(project, ledger, decision, workspace.as_of)
    return _record(workspace, key, decision.outcome, decision.sentence, _payload(decision, facts))


def record_failure(workspace: Workspace, asked: Entry, error: DataError) -> Entry:
    """Write down that the rows cannot be used for the training that was decided on: the turn has gone on without."""
    reason = f"a challenger was asked for, and could not be trained: {error}"
    return _record(workspace, digest(asked.key, FAILED), FAILED, reason, {**asked.payload, "code": FAILED})


def _record(workspace: Workspace, key: str, outcome: str, reason: str, payload: Mapping[str, Any]) -> Entry:
    windows = workspace.ledger.by_subject(workspace.project.name, "monitor")
    seen = [b.key for b in workspace.visible if b.key in windows]
    return workspace.record(STEP, key, seen[-1] if seen else "-", outcome, reason, payload)


def _payload(decision: Decision, facts: Facts) -> dict[str, Any]:
    return {
        "code": decision.code,
        "trigger": decision.trigger,
        "window": decision.window,
        "version": facts.champion,
        "new_labels": facts.new_labels,
        "not_before": decision.not_before,
        "refused_in_a_row": len(facts.refused),
        "used_this_quarter": facts.used,
    }
