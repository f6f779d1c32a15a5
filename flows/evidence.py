"""What a training leaves behind: the payload of its ledger entry, and the record of its MLflow run."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.plan import Cut, specification
from flows.workspace import Workspace
from tasks.registry import DatasetRecord, StoredFiles, TrainingRecord, list_columns, list_metrics, list_params
from tasks.results import Evaluation, FittedModel, Soundness, Split, TrainingFrame, Verdict, to_json
from tasks.table import Schema

_LOCK = Path(__file__).resolve().parents[1] / "uv.lock"


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
) -> dict[str, Any]:
    """Everything about a training that a later turn, a page or a person may ask for, as plain values."""
    schema = Schema(())
    for batch in cut.batches:
        if batch.key in rows.batches:
            schema = schema.united(batch.schema)
    by_time = workspace.project.spec.split_how == "time" and rows.time is not None
    unseen_from = rows.time.iloc[list(split.test)].min() if by_time and rows.time is not None else None
    return {
        "training_key": key,
        "snapshot": rows.snapshot,
        "batches": list(rows.batches),
        "refused": list(refused),
        "known_as_of": cut.as_of,
        "rows": len(rows.target),
        "dropped": dict(rows.dropped),
        "split": split.how,
        "unseen_from": unseen_from,
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
        "importance": dict(evaluation.importance),
        "soundness": soundness,
        "gates": list(verdict.gates),
        "deciding": verdict.deciding,
        "verdict": {"outcome": verdict.outcome, "reason": verdict.reason},
        "compared_with": compared_with,
        "specification": specification(workspace.project),
        "seconds": seconds,
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
            "git_commit": find_commit(project.root),
            "lock": lock_digest(),
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


def find_commit(root: Path) -> str:
    """The git commit of the project's folder, with `+changes` where files differ from it; empty outside git."""

    def ask(*words: str) -> str:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = ask("rev-parse", "HEAD")
    return commit + ("+changes" if commit and ask("status", "--porcelain", "--untracked-files=no") else "")


def lock_digest() -> str:
    """Digest of the lock file that pins every library; of the installed versions where there is none."""
    if _LOCK.is_file():
        return hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]
    from importlib.metadata import distributions

    names = sorted(f"{d.metadata['Name']}=={d.version}" for d in distributions())
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
