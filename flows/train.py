"""load > validate > split > search > evaluate > judge > register > release: one challenger and its verdict."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.champion import SEEN, Served, find_opponent, find_unseen_rows
from flows.engine.launch import flow
from flows.evidence import make_payload, make_record
from flows.parameters import AsOf, BatchKey, Force, Overrides, ProjectName
from flows.plan import Cut, digest, training_key, validate_key
from flows.precheck import check_kind, check_training
from flows.release import settle_verdict
from flows.show import show_verdict
from flows.validate import find_results, quarantines, record_result
from flows.workspace import Workspace, open_workspace
from tasks.config import TaskType
from tasks.data.seen import describe_seen
from tasks.data.snapshot import load_training_rows
from tasks.data.split import split_rows
from tasks.errors import ConfigError, DataError
from tasks.evaluation.challenger import evaluate_challenger
from tasks.evaluation.gates import COMPARED
from tasks.evaluation.plots import draw_plots
from tasks.evaluation.verdict import judge_challenger
from tasks.files import scratch_folder
from tasks.ledger import Entry
from tasks.monitoring.reference import make_profile, make_reference
from tasks.registry import (
    StoredFiles,
    find_training,
    load_artifact,
    open_registry,
    predict_in_fresh_process,
    register,
    save_model_files,
)
from tasks.results import ContractResult, FittedModel, Soundness, Split, TrainingFrame, to_json
from tasks.stage import crash_point
from tasks.stats.comparison import split_confidence
from tasks.stats.metrics import find_metric
from tasks.stats.prediction import predict_rows
from tasks.training.candidates import TRUSTED_TYPES
from tasks.training.model import train_model
from tasks.training.refit import refit_model

progress = logging.getLogger("trueup.progress")
PROBED_ROWS = 1_000


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
    return Cut(batches, workspace.as_of if timed else None, before)


def train_challenger(workspace: Workspace, cut: Cut, key: str) -> Entry:
    """Make, judge and register one challenger, and write its training to the ledger. Nothing is released here."""
    project, spec, registry = workspace.project, workspace.project.spec, open_registry(workspace.project.home)
    known = find_training(registry, project.name, key)
    if known is not None:  # registered, and cut off before the ledger knew
        payload = json.loads(load_artifact(registry, known, "training.json").read_text(encoding="utf-8"))
        payload |= {"run_id": known.run_id, "digest": known.digest, "uri": known.uri}
        verdict = payload["verdict"]
        return workspace.record("train", key, str(known.version), verdict["outcome"], verdict["reason"], payload)
    begun = time.monotonic()
    rows, refused, checked = load_accepted_rows(workspace, cut)
    check_kind(spec, rows.task)  # where a contract took rows out, only now it is sure
    split = split_rows(rows, project)
    record_checks(workspace, cut, checked)  # only now: rows that cannot be used leave nothing behind
    progress.info("searching on %s rows; trials: at most %s", f"{len(rows.target):,}", spec.train.search.trials)
    sign = 1 if find_metric(spec.train.metric, rows.task).larger_is_better else -1
    model = train_model(rows, split, spec, progress=lambda done, planned, best: _say_trial(done, planned, sign * best))
    crash_point("after-fit")
    reigning, state = find_opponent(workspace)
    unseen, state = _unseen(workspace, reigning, state, rows, split)
    champion = reigning if state == COMPARED else None
    progress.info("judging %s on %s test rows", model.candidate, f"{len(split.test):,}")
    rule = spec.gates.champion
    evaluation = evaluate_challenger(
        model,
        rows,
        split,
        spec,
        champion=champion.contender if champion else None,
        champion_unseen=unseen,
        confidence=split_confidence(rule.confidence, rule.looks) if champion else rule.confidence,
    )
    with scratch_folder(workspace.scratch) as folder:
        stored, soundness, prediction = _store(model, rows, split, folder / "model")
        verdict = judge_challenger(evaluation, soundness, spec, state)
        refit = spec.train.refit and verdict.outcome == "promote"
        if refit:  # the twin has passed: what serves has learned from its test rows too, and must be as sound
            progress.info("fitting %s again on all %s labelled rows", model.candidate, f"{len(rows.target):,}")
            model = refit_model(model, rows, split, spec)
            stored, soundness, _ = _store(model, rows, split, folder / "refitted")
            verdict = judge_challenger(evaluation, soundness, spec, state)
        seen, listed = describe_seen(rows, split, spec, refit=refit)
        files = {f"plots/{p.name}": p for p in draw_plots(evaluation, folder / "plots")} if spec.train.plots else {}
        served = replace(rows, features=model.features)  # what monitoring compares with: only what the model sees
        sample = make_reference(
            served, split, prediction, rows=spec.monitor.sample_rows, seed=spec.train.seed, threshold=model.threshold
        )
        sample.to_parquet(folder / "reference.parquet")
        files["reference.parquet"] = folder / "reference.parquet"
        if listed is not None:
            np.save(folder / SEEN, listed, allow_pickle=False)
            files[SEEN] = folder / SEEN
        payload = make_payload(
            workspace, key, cut, rows, split, model, evaluation, verdict, soundness,
            refused=refused, compared_with=reigning.version.version if reigning else None,
            seconds=time.monotonic() - begun, seen=seen, refit=refit, first_look=champion is not None,
        )  # fmt: skip
        texts = {
            "profile.json": make_profile(served, prediction, seed=spec.train.seed).to_json(),
            "curves.json": to_json(evaluation.curves),
        }
        record = make_record(workspace, key, rows, split, model, evaluation, stored, payload, files, texts)
        progress.info("registering")
        version = register(registry, project.name, record)
    crash_point("after-register")
    payload |= {"run_id": version.run_id, "digest": version.digest, "uri": version.uri}
    return workspace.record("train", key, str(version.version), verdict.outcome, verdict.reason, payload)


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


def _store(
    model: FittedModel, rows: TrainingFrame, split: Split, folder: Path
) -> tuple[StoredFiles, Soundness, NDArray[np.float64]]:
    """The model's files, how they behave in a fresh process, and the predictions on the test rows."""
    features = list(model.features)
    test = rows.frame[features].iloc[list(split.test)]
    prediction = predict_rows(model.estimator, test, model.task)
    stored = save_model_files(
        model.estimator,
        folder,
        input_example=rows.frame[features].head(5),
        pip_requirements=_requirements(),
        trusted_types=TRUSTED_TYPES,
    )
    probed = test.head(PROBED_ROWS)
    soundness = predict_in_fresh_process(stored.path, stored.digest, probed, prediction[: len(probed)], model.task)
    return stored, soundness, prediction


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


def _requirements() -> list[str]:
    """What a process needs to load the model: the libraries in its files, at their versions."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("trueup", "scikit-learn", "pandas", "numpy", "skops")]


def _all_refused(name: str, results: Mapping[str, Entry | ContractResult]) -> str:
    reasons = "; ".join(f"{key}: {found.reason}" for key, found in list(results.items())[:3])
    return f"{name}: the contract refused every batch to train on ({reasons}). Mend the source or the contract."


def _say_trial(done: int, planned: int, best: float) -> None:
    if done in (1, planned) or done % 5 == 0:
        progress.info("searching: trial %s of %s, best %.4f", done, planned, best)
