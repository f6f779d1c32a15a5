"""A version trained again from what was recorded of it, beside what is there: identical or not, and why not.

Nothing is registered, released or written to the ledger, and nobody is waited for: other turns may run meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.answer import Answer, label_line, show_plain
from flows.champion import find_training, version_of
from flows.engine.artifacts import show_markdown
from flows.engine.launch import flow
from flows.keys import specification
from flows.parameters import ModelNumber, ProjectName
from flows.provenance import compare_environments, describe_environment
from flows.recall import Recording, find_batches, find_quarantines, read_recording
from flows.refit import fit_again
from flows.show import describe_turn
from flows.summary import MOST_LINES, TurnReport
from flows.workspace import Workspace, look_in
from tasks.config import Project
from tasks.data.snapshot import load_training_rows
from tasks.data.source import Batch
from tasks.data.split import split_rows
from tasks.errors import InfrastructureError
from tasks.evaluation.challenger import evaluate_challenger
from tasks.evaluation.reproduction import Finding, compare_metrics, compare_predictions, compare_values
from tasks.monitoring.reference import RoleNames, make_reference
from tasks.registry import digest_estimator, digest_stored, load_version, locate_model, open_registry
from tasks.results import FittedModel, Split, TrainingFrame
from tasks.stats.prediction import predict_rows
from tasks.training.model import train_model
from tasks.training.refit import Winner, refit_model

progress = logging.getLogger("trueup.progress")
_SHOWN = 12  # letters of a digest


@flow(name="reproduce", run_name="reproduce {project} version {version}")
def reproduce(project: ProjectName, version: ModelNumber) -> Answer:
    """Train a version again from its recorded rows, settings, seed and finished trials, and compare.

    The answer's exit code is 0 where everything is identical, 1 where something differs.
    """
    with look_in(project, reads=False) as workspace:
        then = read_recording(workspace, version)
        batches = find_batches(workspace, then)
        progress.info("reading the rows of %s", show_plain(", ".join(then.made["batches"]), 100))
        like = (then.made["task"], then.made["classes"]) if then.twin is not None else None
        rows = load_training_rows(then.project, batches, then.moment, find_quarantines(workspace, then), like)
        split = split_rows(rows, then.project)
        findings: dict[str, list[Finding]] = {"data": [compare_rows(then, rows, batches)]}
        if then.twin is None:
            findings |= train_again(workspace, then, rows, split)
        else:  # fitted again after its twin had passed at a look: it has no evidence of its own to compare
            progress.info("fitting %s again on all rows; nothing is searched", then.made["candidate"])
            before = find_training(workspace, then.twin).payload
            model = fit_again(before, then.trials, rows, split, then.project.spec)
            findings["settings"] = compare_settings(then, model)
            findings["model"] = compare_models(workspace, then, rows, split, model)
        moved = compare_environments(then.made.get("environment"), describe_environment(workspace.project.root))
        answer = tell(workspace, then, findings, moved)
        show_answer(then.project.name, answer)
        return answer


def train_again(workspace: Workspace, then: Recording, rows: TrainingFrame, split: Split) -> dict[str, list[Finding]]:
    """The model that its recorded trials lead to, and its evidence, beside what is there."""
    spec = then.project.spec
    progress.info("fitting %s again on %s rows; nothing is searched", then.made["candidate"], f"{len(split.fit):,}")
    twin = train_model(rows, split, spec, trials=then.trials)
    # What serves may have been fitted once more on all rows; the evidence is its twin's.
    model = refit_model(Winner.of(twin), rows, split, spec) if then.made.get("refit") else twin
    progress.info("comparing on %s test rows", f"{len(split.test):,}")
    evaluation = evaluate_challenger(twin, rows, split, spec)
    return {
        "settings": [compare_values("split", then.made["split"], split.how), *compare_settings(then, model)],
        "model": [*compare_models(workspace, then, rows, split, model), compare_reference(then, rows, split, twin)],
        "metrics": [compare_metrics(then.made["metrics"], evaluation.metrics)],
    }


def show_answer(name: str, answer: Answer) -> None:
    """The answer on the flow run's page."""
    title, _, outcome = answer.lines[0].rpartition(": ")
    report = TurnReport(name, title, outcome, answer.exit_code, (title, *answer.lines[1:]))
    show_markdown(f"{name}-reproduction", describe_turn(report), answer.lines[0])


def compare_rows(then: Recording, rows: TrainingFrame, batches: Sequence[Batch]) -> Finding:
    """The rows by their fingerprint, and where they differ, the batches whose content changed."""
    count, snapshot = then.made["rows"], then.made["snapshot"]
    called = f"snapshot {snapshot[:_SHOWN]} ({count:,} rows of {len(batches)} batch{'es' if len(batches) > 1 else ''})"
    if rows.snapshot == snapshot:
        return Finding(called)
    changed = [b.key for b in batches if b.content != then.made["batch_contents"][b.key]]
    if not changed:
        return Finding(called, "no batch changed its content, so their rows came in another order")
    named = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
    return Finding(called, f"batch {named} changed since; {len(rows.target):,} rows now")


def compare_settings(then: Recording, model: FittedModel) -> list[Finding]:
    """What the rows and the recorded project file and trials led to, short of the model itself."""
    made = then.made
    names = [n for n in {**made["params"], **model.params} if made["params"].get(n) != model.params.get(n)]
    params = ", ".join(f"{n} {made['params'].get(n)} then, {model.params.get(n)} now" for n in names)
    other = "" if made["candidate"] == model.candidate else f"{made['candidate']} then, {model.candidate} now"
    features = [show_plain(name, 30) for name in sorted(set(made["features"]) ^ set(model.features))][:5]
    return [
        Finding(
            f"{len(made['features'])} features", f"not both then and now: {', '.join(features)}" if features else ""
        ),
        Finding(f"parameters of {made['candidate']}", other or params),
        compare_values("calibration", made["calibration"], model.calibration),
        compare_values("threshold", made["threshold"], model.threshold),
    ]


def compare_models(
    workspace: Workspace, then: Recording, rows: TrainingFrame, split: Split, model: FittedModel
) -> list[Finding]:
    """The registered model's content and predictions beside those of the one trained now.

    A stored model that is gone or was changed is a difference, in words: the training can be judged without it.
    """
    registry, version = open_registry(workspace.project.home), version_of(then.entry)
    try:
        same = digest_stored(locate_model(registry, version)) == digest_estimator(model.estimator)
        stored = load_version(registry, version)
    except InfrastructureError as error:
        return [Finding("stored model", str(error))]
    content = Finding("model content", "" if same else "what would be stored is not what is stored")
    asked = list(then.made["features"])
    if set(asked) - set(rows.frame.columns):
        return [content]  # the columns that are missing are told with the settings
    test = rows.frame.iloc[list(split.test)]
    now = predict_rows(model.estimator, test[list(model.features)], model.task)
    return [content, compare_predictions("test predictions", predict_rows(stored, test[asked], model.task), now)]


def compare_reference(then: Recording, rows: TrainingFrame, split: Split, twin: FittedModel) -> Finding:
    """The predictions on test rows that were kept with the version: they need no stored model."""
    spec = then.project.spec
    names = RoleNames.beside(twin.features)
    kept = "predictions kept with the version"
    column = names.probability if twin.task == "binary" else names.prediction
    prediction = predict_rows(twin.estimator, rows.frame.iloc[list(split.test)][list(twin.features)], twin.task)
    again = make_reference(
        replace(rows, features=twin.features),
        split,
        prediction,
        rows=spec.monitor.sample_rows,
        seed=spec.train.seed,
        threshold=twin.threshold,
    )
    if column not in then.reference:
        return Finding(kept, "those then are of other features")
    return compare_predictions(
        "predictions kept with the version", _column(then.reference, column), _column(again, column)
    )


def tell(
    workspace: Workspace, then: Recording, findings: Mapping[str, list[Finding]], moved: list[str] | None
) -> Answer:
    """The answer, in at most 15 lines."""
    every = [f for group in findings.values() for f in group]
    differing = {name: [f for f in group if f.difference] for name, group in findings.items()}
    identical = not any(differing.values())
    moment = then.moment
    zone = then.project.spec.data.zone
    known = f", as of {moment.astimezone(zone):%Y-%m-%d %H:%M}" if moment else ""
    title = (
        f"{then.project.name} version {then.entry.subject}, trained {then.entry.at:%Y-%m-%d %H:%M %Z}{known}: "
        f"{'identical' if identical else 'differs'}"
    )
    said: list[tuple[str, str]] = []
    if any(not f.difference for f in every):
        said.append(("identical", ", ".join(f.what for f in every if not f.difference)))
    for group in differing.values():
        if group:
            said.append(("differs", "; ".join(f"{f.what}: {f.difference}" for f in group)))
    if then.twin is not None:
        asked = f"trueup reproduce {workspace.project.argument} {then.twin}"
        said.append(("evidence", f"its evidence is that of version {then.twin}, which was fitted before: {asked}"))
    changed = _changed_keys(then.project.spec, workspace.project.spec)
    if changed:
        named = ", ".join(changed[:4]) + (f" and {len(changed) - 4} more" if len(changed) > 4 else "")
        said.append(("project", f"its file says otherwise now ({named}); the recorded one was used"))
    if then.made["specification"] != specification(then.project):
        said.append(("recorded", "its recorded project file is not word for word what it was trained with"))
    if moved is None:
        said.append(("platform", "not recorded"))
    elif moved:
        said.append(("changed", "; ".join(moved)))
    else:
        said.append(("same", "code, lock, libraries, Python, platform and threads"))
    said.append(("so", _conclude(identical, bool(differing["data"]), moved)))
    return Answer((title, *_fit(said)), 0 if identical else 1)


def _fit(said: Sequence[tuple[str, str]]) -> list[str]:
    """The labelled texts on as many lines each as there is room for below the first."""
    lines: list[str] = []
    for most in (3, 2, 1):
        lines = [line for label, text in said for line in label_line(label, text, most)]
        if len(lines) < MOST_LINES:
            break
    return lines


def _conclude(identical: bool, other_rows: bool, moved: list[str] | None) -> str:
    if identical and moved:
        return "the same model comes out, also with what changed around it"
    if identical:
        return "the same rows, settings and seed give the same model"
    if other_rows:
        return "the rows are not those that it was trained on, so another model was to be expected"
    if moved is None:
        return "rows and settings are the same; what the training ran on was not recorded"
    if moved:
        return "rows and settings are the same: look for the cause in what changed around them"
    return "nothing that is recorded changed: the order of rows may have, or stored files, or how sums are computed"


def _column(frame: pd.DataFrame, name: str) -> NDArray[Any]:
    return np.asarray(frame[name].to_numpy())


def _changed_keys(then: Project, now: Project) -> list[str]:
    """Keys of the project file that have another value now, where the rows are aside."""
    before, after = _flatten(then.model_dump()), _flatten(now.model_dump())
    return [key for key in {**before, **after} if before.get(key) != after.get(key)]


def _flatten(section: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in section.items():
        flat |= _flatten(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return flat
