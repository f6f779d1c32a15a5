"""The challenger in shadow: it scores what the champion has scored, serves nobody, and is measured as labels come.

Nothing here releases anything, and nothing here stops a turn: what the champion serves comes first, and a challenger
that cannot be read or that breaks is written down with its reason.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from flows.challenger import find_shadow, plan_shadow
from flows.champion import Served, find_training, load_served
from flows.engine.launch import current_run_id
from flows.keys import score_key, shadow_key
from flows.publication import publish_shadow
from flows.shadow_evidence import FAILED, SCORED, STEP, Finding
from flows.validate import check_batches, quarantined_rows
from flows.workspace import Workspace
from tasks.data.source import Batch, table_of
from tasks.errors import InfrastructureError, TrueupError
from tasks.ledger import Entry
from tasks.monitoring.shadow import compare_shadow
from tasks.results import PredictionFile
from tasks.scoring.predictions import SHADOW
from tasks.scoring.shadow import score_shadow
from tasks.stage import crash_point
from tasks.stats.disagreement import say_disagreement

log = logging.getLogger(__name__)
progress = logging.getLogger("trueup.progress")


def score_shadows(workspace: Workspace, batches: Sequence[Batch], force: bool = False) -> list[str]:
    """Score by the held challenger those of `batches` that the champion has scored and that it has not, and that were
    not there when it was trained. Returns the keys of those that were tried; InfrastructureError for a full disk."""
    name, ledger = workspace.project.name, workspace.ledger
    version = find_shadow(ledger, name)
    tried: list[str] = []
    if version is None:
        return tried
    loaded: Served | str | None = None
    for batch in batches:
        served = ledger.latest(name, step="score", subject=batch.key)
        found = plan_shadow(ledger, name, batch, version)
        if served is None or served.key != score_key(batch) or found is None or not (found[0] or force):
            continue
        (checked,) = check_batches(workspace, [batch])
        if checked.outcome == "refused":
            continue
        loaded = loaded or _load(workspace, version)
        _record(workspace, batch, version, _score(workspace, batch, checked, served, loaded))
        tried.append(batch.key)
    return tried


def measure_shadow(workspace: Workspace, batch: Batch, scored: Entry) -> tuple[dict[str, Any], str]:
    """What was predicted of a batch in shadow, beside the predictions that `scored` is about: how far apart they are,
    and what both are worth on the labels known by now. Empty where nobody scored it in shadow beside these.

    And a note where it could not be measured.
    """
    entry = _find_beside(workspace, batch, scored)
    path = workspace.located(entry.payload["path"]) if entry is not None else None
    if entry is None or path is None or not path.is_file():  # a prune may have removed it
        return {}, ""
    version, served = int(entry.payload["version"]), int(scored.payload["version"])
    found = {"version": version, "champion": served, "disagreement": entry.payload["disagreement"]}
    trained = find_training(workspace, version).payload
    metric = str(trained["metric"])
    nothing = {"metric": metric, "rows": 0}
    if batch.key in find_training(workspace, served).payload["batches"]:
        return {**found, **nothing}, ""  # it learned from these rows, and would look better than it is
    try:
        live = compare_shadow(
            workspace.project,
            table_of(batch, workspace.project.spec.data, workspace.as_of),
            champion=_describe_served(workspace, scored),
            challenger=PredictionFile(path, trained["task"], tuple(trained["classes"]), trained["threshold"], SHADOW),
            metric=metric,
        )
    except TrueupError as error:
        return {**found, **nothing}, f"version {version} in shadow was not measured: {error}"
    known = {k: v for k, v in asdict(live).items() if not isinstance(v, float) or math.isfinite(v)}
    return {**found, **dict.fromkeys(asdict(live)), **known}, ""


def publish_measured(workspace: Workspace, window: Finding) -> None:
    """Put what a window is about to say of the version in shadow on its decision page, while it is the challenger."""
    version = window.payload["shadow"].get("version")
    if version is not None and version == workspace.ledger.standing(workspace.project.name).challenger:
        _publish(workspace, version, window)


def _load(workspace: Workspace, version: int) -> Served | str:
    """The challenger, or why it cannot be read."""
    try:
        return load_served(workspace, version)
    except Exception as error:  # noqa: BLE001 - whatever its files hold, the champion's turn goes on
        return _tell(error)


def _score(
    workspace: Workspace, batch: Batch, checked: Entry, served: Entry, challenger: Served | str
) -> dict[str, Any] | str:
    """What is recorded of a batch, or why there is nothing. InfrastructureError where the disk refuses."""
    if isinstance(challenger, str):
        return challenger
    progress.info("scoring %s in shadow by version %s", batch.key, challenger.version.version)
    try:
        made, disagreement = score_shadow(
            workspace.project,
            table_of(batch, workspace.project.spec.data, workspace.as_of),
            challenger.estimator,
            beside=_describe_served(workspace, served),
            version=challenger.version,
            task=challenger.task,
            classes=challenger.classes,
            threshold=challenger.threshold,
            features=challenger.features,
            skip=quarantined_rows(workspace, checked),
            flow_run_id=current_run_id() or "",
            content=batch.inputs,
            now=workspace.now,
        )
    except InfrastructureError:  # a full disk is mended, and the next turn tries again
        raise
    except Exception as error:  # noqa: BLE001 - a model may raise anything on rows that it has not seen
        return _tell(error)
    return {
        "version": made.version,
        "champion": served.payload["version"],
        "rows": made.rows,
        "skipped": made.skipped,
        "path": workspace.stored(made.path),
        "mean": made.mean_prediction,
        "champion_mean": served.payload.get("mean"),
        "disagreement": disagreement.describe(),
    }


def _record(workspace: Workspace, batch: Batch, version: int, found: dict[str, Any] | str) -> None:
    key = shadow_key(batch, version)
    if isinstance(found, str):
        log.warning(
            "%s: version %s could not score batch %s in shadow: %s", workspace.project.name, version, batch.key, found
        )
        payload: dict[str, Any] = {"version": version, "champion": None, "rows": 0, "path": None}
        finding = Finding(STEP, batch.key, FAILED, found, payload)
    else:
        reason = (
            f"{found['rows']:,} rows scored in shadow by version {version} beside version {found['champion']}: "
            f"{say_disagreement(found['disagreement'])}"
        )
        finding = Finding(STEP, batch.key, SCORED, reason, found)
    crash_point("after-shadow")
    _publish(workspace, version, finding)
    workspace.record(STEP, key, batch.key, finding.outcome, finding.reason, finding.payload)


def _publish(workspace: Workspace, version: int, finding: Finding) -> None:
    """The version's pages with what is about to be written. Where MLflow does not take them the turn goes on: the next
    decision or batch makes them anew."""
    try:
        publish_shadow(workspace, version, finding)
    except InfrastructureError as error:
        log.warning("%s: the pages of version %s could not be written: %s", workspace.project.name, version, error)


def _find_beside(workspace: Workspace, batch: Batch, scored: Entry) -> Entry | None:
    """The newest scoring in shadow of the batch as it is now, beside the version whose scoring is `scored`."""
    found = [
        e
        for e in workspace.ledger.entries(workspace.project.name, step=STEP)
        if e.subject == batch.key and e.outcome == SCORED and e.payload["champion"] == scored.payload["version"]
    ]
    current = [e for e in found if e.key == shadow_key(batch, e.payload["version"])]
    return current[-1] if current else None


def _describe_served(workspace: Workspace, scored: Entry) -> PredictionFile:
    trained = find_training(workspace, scored.payload["version"]).payload
    path = workspace.project.home / scored.payload["path"]
    return PredictionFile(path, trained["task"], tuple(trained["classes"]), trained["threshold"])


def _tell(error: Exception) -> str:
    """What went wrong in a line: our own errors say it, another's is named."""
    said = " ".join(str(error).split())[:300] or "no message"
    return said if isinstance(error, TrueupError) else f"it fails on the rows with {type(error).__name__}: {said}"
