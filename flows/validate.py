"""A batch against its contract: quarantine for its bad rows, refusal where there are too many."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from flows.engine.launch import flow
from flows.keys import validate_key
from flows.parameters import AsOf, BatchKey, Force, Overrides, ProjectName
from flows.show import show_check
from flows.workspace import Workspace, open_workspace
from tasks.contract.check import check_contract
from tasks.contract.quarantine import read_positions
from tasks.data.source import Batch, table_of
from tasks.ledger import Entry
from tasks.results import ContractResult
from tasks.stage import crash_point
from tasks.table import Column, Schema

progress = logging.getLogger("trueup.progress")


@flow(name="validate", run_name="validate {project} {batch}")
def validate(
    project: ProjectName = "flights",
    as_of: AsOf = "now",
    batch: BatchKey = None,
    overrides: Overrides = [],  # noqa: B006 - never changed; a list makes Prefect's form show one
    force: Force = False,
) -> list[str]:
    """Check batches against the project's contract and put rows that break a rule into quarantine.

    Returns the keys of the batches that were refused.
    """
    with open_workspace(project, as_of, overrides, "validate") as workspace:
        batches = workspace.visible if batch is None else (workspace.batch(batch),)
        entries = check_batches(workspace, batches, force)
        return [str(e.subject) for e in entries if e.outcome == "refused"]


def check_batches(workspace: Workspace, batches: Sequence[Batch], force: bool = False) -> list[Entry]:
    """Check those batches that were not checked yet, as scoring sees them, and record it; an entry per batch."""
    results = find_results(workspace, batches, force=force)
    return [record_result(workspace, b, results[b.key]) for b in batches]


def find_results(
    workspace: Workspace,
    batches: Sequence[Batch],
    labels: bool = False,
    as_of: datetime | None = None,
    force: bool = False,
) -> dict[str, Entry | ContractResult]:
    """Per batch the entry of an earlier check, or the result of one made now that is not recorded yet.

    With `labels` those known at `as_of` (None: all) are judged too, as for training; without it none is.
    """
    project = workspace.project
    reference = None if labels else _served_schema(workspace)
    results: dict[str, Entry | ContractResult] = {}
    for batch in batches:
        done = workspace.ledger.find(project.name, "validate", validate_key(project, batch, labels))
        if done is not None and not force:
            results[batch.key] = done
            continue
        progress.info("checking %s against the contract", batch.key)
        table = table_of(batch, project.spec.data, as_of)
        results[batch.key] = check_contract(
            project,
            table if labels else table.without_labels(),
            now=workspace.now,
            label_expected=labels,
            reference=reference,
            ends=batch.end,
        )
        crash_point("after-check")
    return results


def _served_schema(workspace: Workspace) -> Schema | None:
    """The columns that the champion reads, as its training knew them: a delivery without one cannot be scored."""
    champion = workspace.ledger.champion(workspace.project.name)
    if champion is None:
        return None
    trained = workspace.ledger.latest(workspace.project.name, step="train", subject=str(champion.version))
    kinds = trained.payload["schema"] if trained else {}
    return Schema(tuple(Column(name, kind) for name, kind in kinds.items())) if kinds else None


def record_result(workspace: Workspace, batch: Batch, result: Entry | ContractResult, labels: bool = False) -> Entry:
    """Append a check's result to the ledger, unless it is there already."""
    if isinstance(result, Entry):
        return result
    show_check(workspace, result)
    broken = [
        {"name": r.name, "scope": r.scope, "failed": r.failed, "observed": r.observed}
        for r in result.rules
        if not r.passed
    ]
    return workspace.record(
        "validate",
        validate_key(workspace.project, batch, labels),
        batch.key,
        result.outcome,
        result.reason,
        {
            "rows": result.rows,
            "quarantined": result.quarantined,
            "labels": labels,
            "broken": broken,
            "personal": dict(result.personal),
            "contract": result.contract,
            "quarantine": workspace.stored(result.quarantine),
            "page": workspace.stored(result.page),
            "data_docs": workspace.stored(result.data_docs),
        },
    )


def result_of(entry: Entry) -> ContractResult:
    """A recorded check as the value it came from; its rules are on its page."""
    made = entry.payload
    return ContractResult(
        batch=str(entry.subject),
        outcome="refused" if entry.outcome == "refused" else "accepted",
        reason=entry.reason,
        rows=made["rows"],
        quarantined=made["quarantined"],
        rules=(),
        contract=made["contract"],
        personal=made.get("personal", {}),
    )


def quarantined_rows(workspace: Workspace, found: Entry | ContractResult) -> NDArray[np.int64]:
    """Positions of a batch's rows that are in quarantine."""
    if isinstance(found, ContractResult):
        return read_positions(found.quarantine)
    return read_positions(workspace.located(found.payload["quarantine"]))


def quarantines(workspace: Workspace, results: Mapping[str, Entry | ContractResult]) -> dict[str, NDArray[np.int64]]:
    """Per batch the positions of its rows in quarantine."""
    return {key: quarantined_rows(workspace, found) for key, found in results.items()}
