"""A held challenger that passed at a look, fitted again on everything labelled by then: a version of its own.

With `train.refit` a challenger that passes at its training is fitted again before it is registered. One that passes
only later is registered already, so what is fitted again becomes the next version, which is released in its place. Its
evidence is that of the version that was judged, its twin; how the stored model behaves is measured anew.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from flows.champion import Served, find_training, find_unseen_rows, load_served
from flows.cut import Cut
from flows.engine.usage import cpu_seconds
from flows.evidence import describe_gates, describe_refit, make_payload, make_record
from flows.keys import refit_key, specification
from flows.recall import read_trials
from flows.registration import recover_training, register_version, store_model, write_references
from flows.release import settle_verdict
from flows.show import show_verdict
from flows.train import load_accepted_rows, make_cut, record_checks
from flows.workspace import Workspace
from tasks.config import Project
from tasks.data.seen import describe_seen
from tasks.data.split import split_rows
from tasks.errors import DataError
from tasks.evaluation.verdict import judge_refit
from tasks.files import scratch_folder
from tasks.ledger import Entry
from tasks.registry import list_metrics, open_registry, read_artifact
from tasks.results import Evaluation, FittedModel, GateResult, MetricValue, Split, TrainingFrame, Trial
from tasks.stage import crash_point
from tasks.stats.prediction import predict_rows
from tasks.training.refit import Winner, refit_model

progress = logging.getLogger("trueup.progress")
_OF_THE_LOOK = (
    "judged", "metric", "metrics", "baseline", "baseline_comparison", "champion", "comparison", "audit", "split",
    "compared_with", "look", "looks", "judged_snapshot",
)  # fmt: skip


def settle_evidence(workspace: Workspace, evidence: Entry) -> Entry:
    """Follow the verdict of a training or a look, where it is due with the model fitted again first.

    Cut off anywhere and asked again it ends the same: what was fitted is found by the look's key. The twin itself is
    released only where its rows do not let it be fitted again; the decision says so.
    """
    if not _is_due(workspace, evidence):
        return settle_verdict(workspace, evidence)
    try:
        made = workspace.ledger.find(evidence.project, "train", refit_key(evidence)) or _refit(workspace, evidence)
    except DataError as error:  # it would be so in every turn from now on, and what was judged may serve
        reason = f"{evidence.reason} It serves as it was judged, for it could not be fitted again: {error}"
        return settle_verdict(workspace, replace(evidence, reason=reason))
    crash_point("before-release")
    decided = settle_verdict(workspace, made)
    show_verdict(workspace, made)
    return decided


def fit_again(
    twin: Mapping[str, Any], trials: Sequence[Trial], rows: TrainingFrame, split: Split, spec: Project
) -> FittedModel:
    """What the record of a training chose among its trials, fitted on all of `rows`; no column is new to it."""
    winner = Winner(twin["candidate"], twin["params"], trials, twin["choice"])
    known = tuple(name for name in rows.features if name in twin["features"])
    return refit_model(winner, replace(rows, features=known), split, spec)


def _is_due(workspace: Workspace, evidence: Entry) -> bool:
    """Whether a version that passed at a look is fitted again before it is released.

    Not one that waits for a person, who approves what was judged; nor one that is a refit itself, or that the project
    file no longer describes.
    """
    project = workspace.project
    if evidence.step != "look" or evidence.outcome != "promote" or not project.spec.train.refit:
        return False
    version = int(str(evidence.subject))
    decided = workspace.ledger.latest(project.name, step="release", subject=str(version))
    trained = find_training(workspace, version).payload
    held = decided is not None and decided.outcome == "hold"
    return held and not trained["refit"] and trained["specification"] == specification(project)


def _refit(workspace: Workspace, look: Entry) -> Entry:
    """Fit, register and record it; the ledger's entry is that of a training. Nothing is released here."""
    key = refit_key(look)
    known = recover_training(workspace, key)
    if known is not None:
        return known
    begun, used = time.monotonic(), cpu_seconds()
    then = replace(workspace, as_of=look.as_of or workspace.as_of)  # of the look, also where a later turn goes on
    spec, registry = workspace.project.spec, open_registry(workspace.project.home)
    number = int(str(look.subject))
    twin = load_served(then, number)
    whole = make_cut(then, None)
    cut = Cut(tuple(b for b in whole.batches if b.key in look.payload["labelled"]), whole.as_of)
    rows, refused, checked = load_accepted_rows(then, cut, like=(twin.task, twin.classes))
    split = split_rows(rows, workspace.project)
    record_checks(then, cut, checked)
    progress.info("fitting version %s again on all %s labelled rows", number, f"{len(rows.target):,}")
    model = fit_again(twin.trained, read_trials(registry, twin.version), rows, split, spec)
    crash_point("after-refit")
    judged = _find_judged(then, twin, rows, look.payload["split"])
    with scratch_folder(workspace.scratch) as folder:
        stored, soundness, _ = store_model(model, rows, judged, folder / "model", spec)
        verdict = judge_refit([GateResult(**gate) for gate in look.payload["gates"]], soundness, spec)
        seen, listed = describe_seen(rows, judged, spec, refit=True)
        # Windows are compared with what the twin predicted on rows that it had not seen, as the gates were.
        before = rows.frame.iloc[list(judged.test)][list(twin.features)]
        prediction = predict_rows(twin.estimator, before, twin.task)
        files, texts = write_references(model, rows, judged, prediction, listed, spec, folder, cut.batches)
        texts["curves.json"] = read_artifact(registry, twin.version, "curves.json", _read_text)
        evidence = {
            **{fact: look.payload[fact] for fact in _OF_THE_LOOK},
            **describe_gates(verdict),
            "importance": twin.trained["importance"],
        }
        fitted_on = twin.trained["rows"] - twin.trained["judged"]
        payload = make_payload(
            then, key, cut, rows, model, verdict, soundness, evidence,
            refused=refused, seconds=time.monotonic() - begun, cpu=cpu_seconds() - used, seen=seen,
            refit={**describe_refit(rows, fitted_on), "twin": number},
        )  # fmt: skip
        metrics = list_metrics(_read_evaluation(look.payload))
        parts = {"train": len(rows.target)}
        record = make_record(then, key, rows, parts, model, metrics, stored, payload, files, texts)
        return register_version(then, record, payload)


def _find_judged(workspace: Workspace, twin: Served, rows: TrainingFrame, how: str) -> Split:
    """The rows that the look judged the twin on, apart from those that it had seen."""
    unseen = find_unseen_rows(workspace, twin, rows)
    if not unseen.any():
        raise DataError("none of the rows that it was judged on is there any more.")
    seen, test = (tuple(np.flatnonzero(part).tolist()) for part in (~unseen, unseen))
    return Split(fit=seen, calibration=(), test=test, folds=(), how=how)


def _read_evaluation(found: Mapping[str, Any]) -> Evaluation:
    """The numbers of a look as they were before the ledger wrote them down."""

    def read(value: Mapping[str, Any]) -> MetricValue:
        unknown = {name: math.nan for name in ("value", "low", "high") if value[name] is None}
        return MetricValue(**{**value, **unknown})

    return Evaluation(
        rows=found["judged"],
        blocks=None,
        metrics=tuple(read(value) for value in found["metrics"]),
        baseline=read(found["baseline"]),
        champion=read(found["champion"]) if found["champion"] else None,
    )


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
