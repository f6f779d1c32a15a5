"""load > validate > split > search > evaluate > judge > register > release: one challenger and its verdict."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.champion import Served, find_opponent, find_unseen_rows, withdraw_unfair
from flows.cut import Cut, narrow_cut
from flows.engine.launch import flow
from flows.engine.usage import cpu_seconds
from flows.evidence import describe_evidence, describe_refit, make_payload, make_record
from flows.keys import digest, training_key, validate_key
from flows.overview import publish_overview
from flows.parameters import AsOf, BatchKey, Force, Overrides, ProjectName
from flows.policy import find_asked
from flows.precheck import check_kind, check_training
from flows.registration import check_numbering, recover_training, register_version, store_model, write_references
from flows.release import settle_verdict
from flows.show import show_verdict
from flows.validate import find_results, quarantines, record_result
from flows.workspace import Workspace, open_workspace
from tasks.config import TaskType
from tasks.data.leakage import look_for_leaks
from tasks.data.seen import describe_seen
from tasks.data.snapshot import load_training_rows
from tasks.data.split import name_blocks, split_rows
from tasks.errors import ConfigError, DataError
from tasks.evaluation.audit import audit_challenger
from tasks.evaluation.challenger import evaluate_challenger
from tasks.evaluation.gates import COMPARED
from tasks.evaluation.plots import draw_plots
from tasks.evaluation.verdict import judge_challenger
from tasks.evaluation.weak_parts import ValidationRows
from tasks.files import scratch_folder
from tasks.ledger import Entry
from tasks.registry import list_metrics
from tasks.results import ContractResult, Split, TrainingFrame, to_json
from tasks.stage import crash_point
from tasks.stats.comparison import split_confidence
from tasks.stats.metrics import find_metric
from tasks.training.model import check_rows, train_model
from tasks.training.refit import Winner, refit_model
from tasks.training.validation import predict_validation

progress = logging.getLogger("trueup.progress")


@flow(name="train", run_name="train {project}")
def train(
    project: ProjectName = "flights",
    as_of: AsOf = "now",
    before: BatchKey = None,
    overrides: Overrides = [],  # noqa: B006 - never changed; a list makes Prefect's form show one
    force: Force = False,
) -> int:
    """Train a challenger on what is known as of a moment, judge it, register it, and release it if it passed.

    `before` leaves that batch and those after it out. Returns the registered version.
    """
    with open_workspace(project, as_of, overrides, "train") as workspace:
        cut = make_cut(workspace, before)
        key = training_key(workspace.project, cut)
        done = workspace.ledger.find(workspace.project.name, "train", key)
        if done is None or force:
            check_training(workspace.project, cut)
            done = train_challenger(workspace, cut, digest(key, workspace.now) if force else key)
            crash_point("before-release")
        settle_verdict(workspace, done)
        publish_overview(workspace.project, workspace.ledger)
        show_verdict(workspace, done)
        return int(str(done.subject))


def make_cut(workspace: Workspace, before: str | None) -> Cut:
    """The batches that are learned from: all that are there, or those before one."""
    batches = workspace.visible
    if before is not None:
        keys = [b.key for b in workspace.source.batches]
        if before not in keys:
            raise ConfigError(f"batch {before!r}: the source has no such batch. Its newest: {', '.join(keys[-12:])}.")
        batches = batches[: keys.index(before)]
    if not batches:
        name, moment = workspace.project.name, f"{workspace.as_of:%Y-%m-%d %H:%M %Z}"
        left = f" before batch {before}" if before else ""
        raise DataError(f"{name}: no batch is complete as of {moment}{left}; expected one at least to train on.")
    timed = any(b.end is not None for b in batches)
    cut = Cut(batches, workspace.as_of if timed else None, before)
    return narrow_cut(workspace.project, workspace.ledger, cut)


def train_challenger(workspace: Workspace, cut: Cut, key: str) -> Entry:
    """Make, judge and register one challenger, and write its training to the ledger. Nothing is released here."""
    project, spec = workspace.project, workspace.project.spec
    known = recover_training(workspace, key)
    if known is not None:
        return known
    check_numbering(workspace)
    trigger = _find_trigger(workspace)  # now: a ledger that goes away meanwhile must not cost the training
    begun, used = time.monotonic(), cpu_seconds()
    rows, refused, checked = load_accepted_rows(workspace, cut)
    check_kind(spec, rows.task)  # where a contract took rows out, only now it is sure
    split = split_rows(rows, project)
    check_rows(rows, split, spec)
    record_checks(workspace, cut, checked)  # only now: rows that cannot be used leave nothing behind
    leaks = look_for_leaks(rows, split, spec)
    progress.info("searching on %s rows; trials: at most %s", f"{len(rows.target):,}", spec.train.search.trials)
    sign = 1 if find_metric(spec.train.metric, rows.task).larger_is_better else -1
    model = train_model(rows, split, spec, progress=lambda done, planned, best: _say_trial(done, planned, sign * best))
    crash_point("after-fit")
    reigning, state = find_opponent(workspace)
    unseen, state = _unseen(workspace, reigning, state, rows, split)
    champion = reigning if state == COMPARED else None
    progress.info("judging %s on %s test rows", model.candidate, f"{len(split.test):,}")
    rule = spec.gates.champion
    beside: dict[str, Any] = {
        "champion": champion.contender if champion else None,
        "champion_unseen": unseen,
        "confidence": split_confidence(rule.confidence, rule.looks) if champion else rule.confidence,
    }
    evaluation = evaluate_challenger(model, rows, split, spec, **beside)
    progress.info("auditing: slices, groups, perturbed rows")
    validation = None
    if spec.gates.slices.find:
        positions, prediction = predict_validation(model, rows, split, spec)
        validation = ValidationRows(positions, prediction, name_blocks(rows, positions, spec))
    audit = replace(audit_challenger(model, rows, split, spec, validation=validation, **beside), leaks=leaks)
    state = withdraw_unfair(state, audit)
    with scratch_folder(workspace.scratch) as folder:
        stored, soundness, prediction = store_model(model, rows, split, folder / "model", spec)
        verdict = judge_challenger(evaluation, soundness, spec, state, audit)
        refit = spec.train.refit and verdict.outcome == "promote"
        if refit:  # the twin has passed: what serves has learned from its test rows too, and must be as sound
            progress.info("fitting %s again on all %s labelled rows", model.candidate, f"{len(rows.target):,}")
            model = refit_model(Winner.of(model), rows, split, spec)
            stored, soundness, _ = store_model(model, rows, split, folder / "refitted", spec)
            verdict = judge_challenger(evaluation, soundness, spec, state, audit)
        seen, listed = describe_seen(rows, split, spec, refit=refit)
        files, texts = write_references(model, rows, split, prediction, listed, spec, folder, cut.batches)
        if spec.train.plots:
            files |= {f"plots/{p.name}": p for p in draw_plots(evaluation, folder / "plots")}
        evidence = {
            **describe_evidence(evaluation, audit, verdict),
            "split": split.how,
            "importance": dict(evaluation.importance),
            "compared_with": reigning.version.version if reigning else None,
            "look": 1 if champion else 0,
            "looks": rule.looks,
            "trigger": trigger,
        }
        payload = make_payload(
            workspace, key, cut, rows, model, verdict, soundness, evidence,
            refused=refused, seconds=time.monotonic() - begun, cpu=cpu_seconds() - used, seen=seen,
            refit=describe_refit(rows, len(rows.target) - len(split.test)) if refit else None,
        )  # fmt: skip
        parts = {"train": len(split.fit), "calibration": len(split.calibration), "test": len(split.test)}
        texts["curves.json"] = to_json(evaluation.curves)
        metrics = list_metrics(evaluation, audit)
        record = make_record(workspace, key, rows, parts, model, metrics, stored, payload, files, texts)
        return register_version(workspace, record, payload)


def load_accepted_rows(
    workspace: Workspace, cut: Cut, like: tuple[TaskType, Sequence[Any]] | None = None
) -> tuple[TrainingFrame, tuple[str, ...], Mapping[str, Entry | ContractResult]]:
    """The labelled rows of the batches that the contract accepts, the keys of those it refuses, and its checks.

    The checks are not recorded yet. `like`: the task and classes of the model that is to be judged on the rows.
    """
    results = find_results(workspace, cut.batches, labels=True, as_of=cut.as_of)
    results |= _refused_before(workspace, cut)
    refused = tuple(key for key, found in results.items() if found.outcome == "refused")
    accepted = [b for b in cut.batches if b.key not in refused]
    if not accepted:
        raise DataError(_all_refused(workspace.project.name, results))
    quarantined = quarantines(workspace, results)
    return load_training_rows(workspace.project, accepted, cut.as_of, quarantined, like), refused, results


def record_checks(workspace: Workspace, cut: Cut, checked: Mapping[str, Entry | ContractResult]) -> None:
    """Append to the ledger what the contract said about the rows of a cut."""
    for batch in cut.batches:
        record_result(workspace, batch, checked[batch.key], labels=True)


def _refused_before(workspace: Workspace, cut: Cut) -> dict[str, Entry]:
    """The batches that were refused when they were to be scored: what nobody may score, nobody learns from."""
    name = workspace.project.name
    found = {b.key: workspace.ledger.find(name, "validate", validate_key(workspace.project, b)) for b in cut.batches}
    return {key: entry for key, entry in found.items() if entry is not None and entry.outcome == "refused"}


def _unseen(
    workspace: Workspace, champion: Served | None, state: str, rows: TrainingFrame, split: Split
) -> tuple[NDArray[np.bool_] | None, str]:
    """Which test rows the champion has not seen (None where there is none to compare with), and what the gate is told.

    A split by a hash keeps test rows for life. One by time moves on: rows before the champion's own test rows may
    have been among those it was fitted on.
    """
    if champion is None or state != COMPARED:
        return None, state
    try:
        return find_unseen_rows(workspace, champion, rows)[np.asarray(split.test)], state
    except DataError as error:
        return None, f"unreadable: {error}"


def _find_trigger(workspace: Workspace) -> str | None:
    """What the policy asked for this training for; None where it did not."""
    asked = find_asked(workspace.ledger, workspace.project.name, workspace.as_of)
    return None if asked is None else str(asked.payload["trigger"])


def _all_refused(name: str, results: Mapping[str, Entry | ContractResult]) -> str:
    reasons = "; ".join(f"{key}: {found.reason}" for key, found in list(results.items())[:3])
    return f"{name}: the contract refused every batch to train on ({reasons}). Mend the source or the contract."


def _say_trial(done: int, planned: int, best: float) -> None:
    if done in (1, planned) or done % 5 == 0:
        progress.info("searching: trial %s of %s, best %.4f", done, planned, best)
