"""labels > performance > drift > health > action, for each scored batch as of a moment."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from flows.alerts import announce_changes
from flows.champion import find_evidence, find_training, version_of
from flows.engine.launch import flow
from flows.keys import monitor_key
from flows.parameters import AsOf, BatchKey, Force, Overrides, ProjectName
from flows.plan import to_walk
from flows.shadow import measure_shadow, publish_measured
from flows.shadow_evidence import Finding
from flows.show import show_window
from flows.validate import check_batches, result_of
from flows.window_facts import find_metric
from flows.workspace import Workspace, open_workspace
from tasks.data.source import Batch, table_of
from tasks.ledger import Entry
from tasks.monitoring.past import PastWindow
from tasks.monitoring.profile import OtherForm, Profile
from tasks.monitoring.trust import Reckoning, describe_trust
from tasks.monitoring.window import History, monitor_window
from tasks.registry import Registry, log_window, open_registry, read_artifact
from tasks.results import MetricValue, ModelVersion, Window
from tasks.stage import crash_point

progress = logging.getLogger("trueup.progress")


@flow(name="monitor", run_name="monitor {project} {batch}")
def monitor(
    project: ProjectName = "flights",
    as_of: AsOf = "now",
    batch: BatchKey = None,
    overrides: Overrides = [],  # noqa: B006 - never changed; a list makes Prefect's form show one
    force: Force = False,
) -> list[str]:
    """Look at scored batches with the labels known as of a moment: performance, drift, health and what to do.

    Every batch that was scored or refused and has no window yet, or whose labels came since; or one that is named.
    Returns `batch: health` for each window.
    """
    with open_workspace(project, as_of, overrides, "monitor") as workspace:
        name = workspace.project.name
        walked = to_walk(workspace.ledger, name, workspace.visible)
        said = []
        for one in walked if batch is None else (workspace.batch(batch),):
            key = monitor_key(workspace.project, one, workspace.as_of)
            if workspace.ledger.find(name, "monitor", key) is not None and not force:
                continue
            scored = workspace.ledger.latest(name, step="score", subject=one.key)
            (checked,) = check_batches(workspace, [one])
            if scored is None and checked.outcome != "refused":
                continue  # nothing was predicted on it, so there is nothing to look at yet
            said.append(f"{one.key}: {_monitor(workspace, one, checked, scored, key)}")
        announce_changes(workspace)
        return said


def _monitor(workspace: Workspace, batch: Batch, checked: Entry, scored: Entry | None, key: str) -> str:
    spec, registry = workspace.project.spec, open_registry(workspace.project.home)
    version = _version(workspace, scored)
    trained = find_training(workspace, version.version).payload if version else None
    end = batch.end or workspace.now
    evidence = find_evidence(workspace, version.version).payload if version else {}
    profile, notes = _profile(registry, version) if version else (None, ())
    progress.info("monitoring %s", batch.key)
    window = monitor_window(
        workspace.project,
        table_of(batch, spec.data, workspace.as_of),
        batch_end=end,
        contract_outcome=result_of(checked),
        predictions=workspace.located(scored.payload["path"]) if scored else None,
        version=version,
        profile=profile,
        reference=_reference(registry, version) if version else None,
        promised=_promised(evidence) if version else None,
        task=trained["task"] if trained else "binary",
        classes=tuple(trained["classes"]) if trained else (),
        features=tuple(trained["features"]) if trained else (),
        threshold=trained["threshold"] if trained else None,
        learned=trained is not None and batch.key in trained["batches"],
        picture=spec.monitor.pictures,
        importance={name: value or 0.0 for name, value in (evidence.get("importance") or {}).items()},
        history=_history(workspace, batch, version),
        start=batch.start,
        expected_rows=batch.rows,
        now=workspace.now,
    )
    shadow, unmeasured = measure_shadow(workspace, batch, scored) if scored else ({}, "")
    notes = (*window.notes, *notes, *([unmeasured] if unmeasured else []))
    window = replace(window, notes=notes, shadow=shadow)
    crash_point("after-window")
    if version is not None:
        log_window(registry, version, window, end)
        crash_point("after-window-logged")
    payload = _payload(workspace, window)
    publish_measured(workspace, Finding("monitor", batch.key, window.health, window.sentence, payload))
    workspace.record("monitor", key, batch.key, window.health, window.sentence, payload)
    show_window(workspace, window)
    return window.health


def _version(workspace: Workspace, scored: Entry | None) -> ModelVersion | None:
    """The version that scored the batch; for a refused one the champion, whose profile shows the fault."""
    if scored is not None:
        return version_of(find_training(workspace, scored.payload["version"]))
    champion = workspace.ledger.champion(workspace.project.name)
    return version_of(find_training(workspace, champion.version)) if champion else None


def _profile(registry: Registry, version: ModelVersion) -> tuple[Profile | None, tuple[str, ...]]:
    """The version's profile, and a note where an earlier trueup wrote it in another form."""
    read = read_artifact(registry, version, "profile.json", _read_profile)
    if isinstance(read, OtherForm):
        return None, (f"drift was not looked for: version {version.version}: {read}",)
    return read, ()


def _read_profile(path: Path) -> Profile | OtherForm:
    try:
        return Profile.from_json(path.read_text(encoding="utf-8"))
    except OtherForm as error:
        return error


def _history(workspace: Workspace, batch: Batch, version: ModelVersion | None) -> History:
    """The windows before this one, as their newest entries have them."""
    seen = workspace.ledger.by_subject(workspace.project.name, "monitor")
    order = [b.key for b in workspace.source.batches]
    before = [seen[key] for key in order[: order.index(batch.key)] if key in seen]
    past, alarms, reckoned, broken, realised = [], 0, [], [], []
    for entry in before:
        reckoned += _reckon(entry)
        if version is not None and entry.payload["version"] == version.version:
            value = entry.payload["metrics"].get(find_metric(entry))
            realised += [] if value is None else [float(value)]
        trace = entry.payload.get("trace")
        if entry.outcome == "broken":
            broken.append(int(entry.payload["rows"]))
            continue
        alarms += bool(trace and trace["signal"] == "alarm")
        if trace and version is not None and entry.payload["version"] == version.version:
            past.append(PastWindow.from_plain(trace))
    trust = describe_trust(reckoned) if reckoned else ""
    return History(tuple(past), alarms, len(before), tuple(broken), tuple(realised), trust)


def _reckon(window: Entry) -> list[Reckoning]:
    """What was estimated of a window's first metric, beside what came true; none where one is missing."""
    made, metric = window.payload, find_metric(window)
    known = {side: (made.get(side) or {}).get(metric) for side in ("estimated", "metrics", "promised")}
    values = [float(value) for value in known.values() if value is not None]
    return [Reckoning(*values)] if len(values) == len(known) else []


def _reference(registry: Registry, version: ModelVersion) -> pd.DataFrame:
    return read_artifact(registry, version, "reference.parquet", pd.read_parquet)


def _promised(evidence: Any) -> MetricValue | None:
    """The version's own metric on the rows that decided about it, as the gate saw it."""
    found = next((m for m in evidence["metrics"] if m["name"] == evidence["metric"]), None)
    if not found or found["value"] is None:
        return None
    ends = {end: math.nan if found[end] is None else found[end] for end in ("low", "high")}  # JSON has no nan
    return MetricValue(**{**found, **ends})


def _payload(workspace: Workspace, window: Window) -> dict[str, Any]:
    return {
        "version": window.version,
        "action": window.action,
        "rows": window.rows,
        "labelled": window.labelled,
        "metrics": dict(window.metrics),
        "promised": dict(window.promised),
        "drift": dict(window.drift),
        "drifted": list(window.drifted),
        "cause": window.cause,
        "alarm": window.alarm,
        "promise": window.promise,
        "realised": window.realised,
        "prediction_drifted": window.prediction_drifted,
        "label_drifted": window.label_drifted,
        "parts": dict(window.parts),
        "effects": dict(window.effects),
        "skew": dict(window.skew),
        "estimated": {m.name: m.value for m in window.estimated},
        "estimated_interval": {m.name: [m.low, m.high] for m in window.estimated},
        "doubt": window.doubt,
        "harmful": window.harmful,
        "delays": [list(point) for point in window.delays],
        "trace": dict(window.trace),
        "faults": list(window.faults),
        "shadow": dict(window.shadow),
        "notes": list(window.notes),
        "report": workspace.stored(window.report),
        "counts": workspace.stored(window.counts),
    }
