"""What a training leaves behind: the payload of its ledger entry, and the record of its MLflow run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.cut import Cut, count_labelled
from flows.keys import limits_asked, specification, validate_key
from flows.provenance import describe_environment
from flows.workspace import Workspace
from tasks.registry import DatasetRecord, StoredFiles, TrainingRecord, list_columns, list_params
from tasks.results import Audit, Evaluation, FittedModel, Soundness, TrainingFrame, Verdict, to_json
from tasks.table import Schema


def describe_evidence(evaluation: Evaluation, audit: Audit, verdict: Verdict) -> dict[str, Any]:
    """What a verdict rests on, as the ledger keeps it of a training and of a look."""
    return {
        "judged": evaluation.rows,
        "metric": evaluation.metric_name,
        "metrics": list(evaluation.metrics),
        "baseline": evaluation.baseline,
        "baseline_comparison": evaluation.against_baseline,
        "champion": evaluation.champion,
        "comparison": evaluation.against_champion,
        "audit": audit,
        **describe_gates(verdict),
    }


def describe_gates(verdict: Verdict) -> dict[str, Any]:
    """The gates of a verdict, and the one that settled it."""
    return {"gates": list(verdict.gates), "deciding": verdict.deciding}


def make_payload(
    workspace: Workspace,
    key: str,
    cut: Cut,
    rows: TrainingFrame,
    model: FittedModel,
    verdict: Verdict,
    soundness: Soundness,
    evidence: Mapping[str, Any],
    *,
    refused: tuple[str, ...],
    seconds: float,
    cpu: float,
    seen: Mapping[str, Any],
    refit: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Everything about a training that a later turn, a page or a person may ask for, as plain values.

    `evidence` is what the verdict rests on (`describe_evidence`), with the rows that it is from (`split`), the
    columns' `importance`, `compared_with`, and `look` of at most so many `looks`.
    """
    schema = Schema(())
    for batch in cut.batches:
        if batch.key in rows.batches:
            schema = schema.united(batch.schema)
    return {
        "training_key": key,
        "snapshot": rows.snapshot,
        "target": workspace.project.spec.data.target,
        "batches": list(rows.batches),
        "refused": list(refused),
        "known_as_of": cut.as_of,
        "rows": len(rows.target),
        "dropped": dict(rows.dropped),
        "seen": dict(seen),
        "labelled": count_labelled(cut, workspace.project.spec.data.label_delay),
        "refit": refit,
        "task": model.task,
        "classes": list(model.classes),
        "features": list(model.features),
        "schema": {c.name: c.kind for c in schema.columns if c.name in model.features},
        "dropped_features": dict(model.dropped_features),
        "candidate": model.candidate,
        "choice": model.choice,
        "params": dict(model.params),
        "calibration": model.calibration,
        "threshold": model.threshold,
        "threshold_how": model.threshold_how,
        "mitigation": dict(model.mitigation),
        **evidence,
        "soundness": soundness,
        "verdict": {"outcome": verdict.outcome, "reason": verdict.reason},
        "specification": specification(workspace.project),
        "asked": limits_asked(workspace.project),
        "batch_contents": {b.key: b.content for b in cut.batches if b.key in rows.batches},
        "checks": {b.key: validate_key(workspace.project, b, labels=True) for b in cut.batches},
        "environment": describe_environment(workspace.project.root),
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def describe_refit(rows: TrainingFrame, twin_rows: int) -> dict[str, Any]:
    """What a model that was fitted again saw beyond its evaluated twin, which was fitted on `twin_rows`."""
    return {
        "rows": len(rows.target),
        "twin_rows": twin_rows,
        "batches": list(rows.batches),
        "until": None if rows.time is None else rows.time.max(),
    }


def make_record(
    workspace: Workspace,
    key: str,
    rows: TrainingFrame,
    parts: Mapping[str, int],
    model: FittedModel,
    metrics: Mapping[str, float],
    stored: StoredFiles,
    payload: Mapping[str, Any],
    files: Mapping[str, Path],
    texts: Mapping[str, str],
) -> TrainingRecord:
    """The training as MLflow gets it. `parts` says how many rows were for what."""
    project = workspace.project
    contract = project.contract_path
    more = {
        "project.yaml": project.resolved,
        "trials.json": to_json(model.trials),
        "training.json": to_json({**payload, "digest": stored.digest}),
        **({"contract.yaml": contract.read_text(encoding="utf-8")} if contract else {}),
    }
    source = ", ".join(project.spec.data.sources)
    columns = list_columns(rows.frame)
    datasets = [
        DatasetRecord(f"{project.name} {part}", part, rows.snapshot, source, count, columns)
        for part, count in parts.items()
    ]
    return TrainingRecord(
        training_key=key,
        snapshot=rows.snapshot,
        stored=stored,
        params=list_params(model),
        metrics={**metrics, "training/seconds": payload["seconds"]},
        tags={
            "git_commit": payload["environment"]["git_commit"],
            "lock": payload["environment"]["lock"],
            "candidate": model.candidate,
            "outcome": payload["verdict"]["outcome"],
            "batches": ", ".join(rows.batches),
        },
        datasets=datasets,
        files=files,
        texts={**more, **texts},
        description=f"Verdict: {payload['verdict']['outcome']}. {payload['verdict']['reason']}\n\n"
        f"Chosen: {model.choice}\n\nSplit {payload['split']}",
        actor=workspace.actor,
    )
