"""What a training leaves behind: the payload of its ledger entry, and the record of its MLflow run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.plan import Cut, count_labelled, specification, validate_key
from flows.provenance import describe_environment
from flows.workspace import Workspace
from tasks.registry import DatasetRecord, StoredFiles, TrainingRecord, list_columns, list_metrics, list_params
from tasks.results import Evaluation, FittedModel, Soundness, Split, TrainingFrame, Verdict, to_json
from tasks.table import Schema


def make_payload(
    workspace: Workspace,
    key: str,
    cut: Cut,
    rows: TrainingFrame,
    split: Split,
    model: FittedModel,
    evaluation: Evaluation,
    verdict: Verdict,
    soundness: Soundness,
    *,
    refused: tuple[str, ...],
    compared_with: int | None,
    seconds: float,
    seen: Mapping[str, Any],
    refit: bool,
    first_look: bool,
) -> dict[str, Any]:
    """Everything about a training that a later turn, a page or a person may ask for, as plain values."""
    schema = Schema(())
    for batch in cut.batches:
        if batch.key in rows.batches:
            schema = schema.united(batch.schema)
    gates = workspace.project.spec.gates
    return {
        "training_key": key,
        "snapshot": rows.snapshot,
        "target": workspace.project.spec.data.target,
        "batches": list(rows.batches),
        "refused": list(refused),
        "known_as_of": cut.as_of,
        "rows": len(rows.target),
        "dropped": dict(rows.dropped),
        "split": split.how,
        "seen": dict(seen),
        "labelled": count_labelled(cut, workspace.project.spec.data.label_delay),
        "refit": _describe_refit(rows, split) if refit else None,
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
        "metric": evaluation.metric_name,
        "metrics": list(evaluation.metrics),
        "baseline": evaluation.baseline,
        "champion": evaluation.champion,
        "comparison": evaluation.against_champion,
        "baseline_comparison": evaluation.against_baseline,
        "judged": evaluation.rows,
        "look": 1 if first_look else 0,
        "looks": gates.champion.looks,
        "importance": dict(evaluation.importance),
        "soundness": soundness,
        "gates": list(verdict.gates),
        "deciding": verdict.deciding,
        "verdict": {"outcome": verdict.outcome, "reason": verdict.reason},
        "compared_with": compared_with,
        "specification": specification(workspace.project),
        "batch_contents": {b.key: b.content for b in cut.batches if b.key in rows.batches},
        "checks": {b.key: validate_key(workspace.project, b, labels=True) for b in cut.batches},
        "environment": describe_environment(workspace.project.root),
        "seconds": seconds,
    }


def _describe_refit(rows: TrainingFrame, split: Split) -> dict[str, Any]:
    """What a released model saw beyond its evaluated twin."""
    return {
        "rows": len(rows.target),
        "twin_rows": len(rows.target) - len(split.test),
        "batches": list(rows.batches),
        "until": None if rows.time is None else rows.time.max(),
    }


def make_record(
    workspace: Workspace,
    key: str,
    rows: TrainingFrame,
    split: Split,
    model: FittedModel,
    evaluation: Evaluation,
    stored: StoredFiles,
    payload: Mapping[str, Any],
    files: Mapping[str, Path],
    texts: Mapping[str, str],
) -> TrainingRecord:
    """The training as MLflow gets it."""
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
    parts = {"train": len(split.fit), "calibration": len(split.calibration), "test": len(split.test)}
    datasets = [
        DatasetRecord(f"{project.name} {part}", part, rows.snapshot, source, count, columns)
        for part, count in parts.items()
    ]
    return TrainingRecord(
        training_key=key,
        snapshot=rows.snapshot,
        stored=stored,
        params=list_params(model),
        metrics={**list_metrics(evaluation), "training/seconds": payload["seconds"]},
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
        f"Chosen: {model.choice}\n\nSplit {split.how}",
        actor=workspace.actor,
    )
