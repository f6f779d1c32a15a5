"""The batches that were not scored yet, each by the champion of its turn, and then by the challenger in shadow."""

from __future__ import annotations

import logging

from flows.champion import Served, load_champion
from flows.engine.launch import current_run_id, flow
from flows.keys import score_key
from flows.parameters import AsOf, BatchKey, Force, Overrides, ProjectName
from flows.plan import to_walk
from flows.shadow import score_shadows
from flows.validate import check_batches, quarantined_rows
from flows.workspace import Workspace, open_workspace
from tasks.data.source import Batch, table_of
from tasks.ledger import Entry
from tasks.scoring.predictions import score_batch
from tasks.stage import crash_point

progress = logging.getLogger("trueup.progress")


@flow(name="score", run_name="score {project} {batch}")
def score(
    project: ProjectName = "flights",
    as_of: AsOf = "now",
    batch: BatchKey = None,
    overrides: Overrides = [],  # noqa: B006 - never changed; a list makes Prefect's form show one
    force: Force = False,
) -> list[str]:
    """Score batches with the champion: those not scored yet, or one that is named. Refused batches are left out.

    A challenger that is held or waits for a person then scores in shadow what it has not seen: its predictions are kept
    apart, and whatever becomes of it stops nothing. Returns the keys of the batches that the champion scored now.
    """
    with open_workspace(project, as_of, overrides, "score") as workspace:
        name = workspace.project.name
        walked = to_walk(workspace.ledger, name, workspace.visible)
        batches = walked if batch is None else (workspace.batch(batch),)
        champion: Served | None = None
        scored = []
        for one in batches:
            before = workspace.ledger.latest(name, step="score", subject=one.key)
            if before is not None and before.key == score_key(one) and not force:
                continue
            (checked,) = check_batches(workspace, [one])
            if checked.outcome == "refused":
                continue
            champion = champion or load_champion(workspace)
            _score(workspace, one, checked, champion)
            scored.append(one.key)
        score_shadows(workspace, batches, force)
        return scored


def _score(workspace: Workspace, batch: Batch, checked: Entry, champion: Served) -> None:
    progress.info("scoring %s: %s rows", batch.key, f"{batch.rows:,}")
    result = score_batch(
        workspace.project,
        table_of(batch, workspace.project.spec.data, workspace.as_of),
        champion.estimator,
        version=champion.version,
        task=champion.task,
        classes=champion.classes,
        threshold=champion.threshold,
        features=champion.features,
        skip=quarantined_rows(workspace, checked),
        flow_run_id=current_run_id() or "",
        content=batch.inputs,
        now=workspace.now,
    )
    crash_point("after-score")
    workspace.record(
        "score",
        score_key(batch),
        batch.key,
        "scored",
        f"{result.rows:,} rows scored by version {result.version}",
        {
            "version": result.version,
            "rows": result.rows,
            "skipped": result.skipped,
            "path": workspace.stored(result.path),
            "mean": result.mean_prediction,
        },
    )
