"""One scored row: from its raw values through the features to the score, and what each column adds to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from flows.answer import Answer, label_line, show_plain
from flows.champion import Served, load_served
from flows.find_row import Quarantined, ScoredRow, find_raw_row, find_row
from flows.keys import score_key
from flows.workspace import Workspace, look_in
from tasks.evaluation.contributions import Contributions, sample_orders, sum_parts
from tasks.registry import open_registry, read_artifact
from tasks.stats.prediction import decide_rows, predict_rows
from tasks.training.anatomy import Anatomy, find_linear_form, score_raw, take_apart, trace_columns

_SHOWN = 12  # columns by name; the others are one line
_SAME = 1e-9  # the same model on the same row, computed in a batch of another size


@dataclass(frozen=True)
class Explanation:
    """A row's number with what adds up to it. `unit` is what contributions are counted in."""

    number: float
    recorded: float
    what: str  # such as "probability of late"
    decision: str
    parts: Contributions
    unit: str
    exact: bool


def explain(project: str, row: str, batch: str | None = None) -> Answer:
    """Explain the score of a row that is named by its id, its position where there is no id, or its prediction_id.

    The newest predictions that hold it are meant, or those of `batch`. Exit code 1 where the row is in quarantine,
    or where model and row do not give the score any more that the predictions file holds.
    """
    with look_in(project) as workspace:
        found = find_row(workspace, row, batch)
        if isinstance(found, Quarantined):
            return _tell_quarantine(workspace, found)
        served = load_served(workspace, found.version)
        raw = find_raw_row(workspace, found, served.features)
        reference = read_artifact(
            open_registry(workspace.project.home),
            served.version,
            "reference.parquet",
            lambda path: pd.read_parquet(path)[list(served.features)],
        )
        anatomy = take_apart(served.estimator)
        explained = explain_score(workspace, served, anatomy, found, raw, reference)
        return _tell(workspace, served, anatomy, found, raw, explained, len(reference))


def explain_score(
    workspace: Workspace,
    served: Served,
    anatomy: Anatomy,
    found: ScoredRow,
    raw: pd.DataFrame,
    reference: pd.DataFrame,
) -> Explanation:
    """The number that was predicted for the row and the contributions to it, against the reference rows (n, features).

    Of several classes it is the predicted one's probability that is explained.
    """
    given = predict_rows(served.estimator, raw, served.task)
    decided = decide_rows(given, served.task, served.threshold)
    at = int(decided[0]) if served.task != "regression" else 0
    seed = workspace.project.spec.train.seed
    if served.task == "multiclass":

        def ask(frame: pd.DataFrame) -> Any:
            return predict_rows(served.estimator, frame, served.task)[:, at]

        number, recorded = float(given[0, at]), float(found.prediction[f"probability_{at}"])
        what = f"probability of {show_plain(served.classes[at], 40)!r}"
    else:

        def ask(frame: pd.DataFrame) -> Any:
            return predict_rows(served.estimator, frame, served.task)

        number = float(given[0])
        recorded = float(found.prediction["probability" if served.task == "binary" else "prediction"])
        target = show_plain(workspace.project.spec.data.target, 40)
        what = (
            target
            if served.task == "regression"
            else f"probability that {target} is {show_plain(served.classes[1], 40)}"
        )
    form = find_linear_form(anatomy, raw, reference)
    if form is not None:
        parts = sum_parts(form.parts, form.weights, form.intercept, form.row, form.reference, served.features)
        unit = "log-odds" if served.task == "binary" else "units of the target"
    else:
        parts = sample_orders(ask, raw, reference, seed)
        unit = "units of the target" if served.task == "regression" else "probability"
    return Explanation(number, recorded, what, _tell_decision(served, given, at), parts, unit, form is not None)


def _tell(
    workspace: Workspace,
    served: Served,
    anatomy: Anatomy,
    found: ScoredRow,
    raw: pd.DataFrame,
    explained: Explanation,
    reference_rows: int,
) -> Answer:
    version, parts = found.version, explained.parts
    same = math.isclose(explained.number, explained.recorded, rel_tol=_SAME, abs_tol=_SAME)
    row, batch = show_plain(found.row_id, 60), show_plain(found.batch.key, 40)
    called = f"{workspace.project.name}: row {row} of batch {batch}"
    lines = [f"{called} (position {found.position:,}), scored by version {version}"]
    if same:
        lines += label_line("score", f"{explained.number:.6g}: {explained.what}; the predictions file says the same")
    else:
        changed = score_key(found.batch) != found.entry.key
        why = "the batch changed since it was scored" if changed else "neither file's digest tells why: score it again"
        lines += label_line(
            "MISMATCH",
            f"NOT THE SCORE THAT WAS GIVEN: the predictions file says {explained.recorded:.6g}, model and row now give "
            f"{explained.number:.6g} ({explained.what}); {why}. What follows explains the number of now.",
        )
    lines += label_line("decision", explained.decision)
    lines += label_line("model", _tell_model(served, anatomy, raw, explained))
    used = f"{parts.rows:,}" + (f" of {reference_rows:,}" if parts.rows < reference_rows else "")
    lines += label_line(
        "compared", f"with the average of {used} test rows of version {version}: {_tell_number(parts.base, explained)}"
    )
    how = (
        "exact: each coefficient times the distance to the mean reference row"
        if explained.exact
        else f"Shapley values by sampled orders, 2 for each of {parts.rows:,} reference rows; +- is a standard error"
    )
    lines += label_line("adds", f"each column, in {explained.unit} ({how})")
    lines += _list_columns(anatomy, raw, parts, explained.exact)
    total = parts.base + sum(parts.values.values())
    gained = total - parts.base
    added = f"{'-' if gained < 0 else '+'} {_number(abs(gained))}"
    lines += label_line("together", f"{_number(parts.base)} {added} = {_tell_number(total, explained)}")
    lines += label_line("means", "what the model reads in the row, not what causes the outcome")
    return Answer(tuple(lines), 0 if same else 1)


def _list_columns(anatomy: Anatomy, raw: pd.DataFrame, parts: Contributions, exact: bool) -> list[str]:
    """The columns that move the score most: contribution, name, raw value, how it was read and encoded."""
    steps = trace_columns(anatomy, raw)
    ranked = parts.ranked()
    shown = ranked if len(ranked) <= _SHOWN + 1 else ranked[:_SHOWN]
    rows = []
    for name in shown:
        value = raw[name].iloc[0]
        error = "" if exact else f" +-{parts.errors[name]:.1g}"
        rows.append(
            (
                f"{_number(parts.values[name], True)}{error}",
                show_plain(name, 24),
                "missing" if pd.isna(value) else show_plain(value, 20),
                show_plain(steps[name].read, 20),
                show_plain(steps[name].encoded, 36),
            )
        )
    rows.insert(0, ("adds", "column", "raw value", "read as", "encoded as"))
    if len(shown) < len(ranked):
        left = ranked[len(shown) :]
        rows.append((_number(sum(parts.values[n] for n in left), True), f"{len(left)} others", "", "", ""))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return ["    " + "  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _tell_decision(served: Served, given: Any, at: int) -> str:
    if served.task == "regression":
        return "none: the score is the predicted value"
    chosen = show_plain(served.classes[at], 40)
    if served.task == "binary":
        threshold = 0.5 if served.threshold is None else served.threshold
        return f"{chosen}: {given[0]:.6g} is {'not below' if at else 'below'} the threshold {threshold:.4g}"
    order = np.argsort(-given[0])
    others = ", ".join(f"{show_plain(served.classes[i], 20)} {given[0, i]:.4g}" for i in order[1:5])
    return f"{chosen}: the most probable of {len(served.classes)} classes; then {others}"


def _tell_model(served: Served, anatomy: Anatomy, raw: pd.DataFrame, explained: Explanation) -> str:
    score, called = score_raw(anatomy, raw)
    number = f"{score[0]:.4g}" if len(score) == 1 else ", ".join(f"{s:.4g}" for s in score[:5])
    mapped = f", {anatomy.calibration} calibration makes it {explained.number:.6g}"
    if anatomy.calibration == "none":
        mapped = ", not calibrated" if served.task != "regression" else ""
    if anatomy.moved is not None:
        by = anatomy.moved.find_shifts(raw)[0]
        mapped = f", {anatomy.calibration} calibration and its group's {by:+.4g} make it {explained.number:.6g}"
    return f"{served.trained['candidate']} gives {called} {number}{mapped}"


def _tell_number(value: float, explained: Explanation) -> str:
    if explained.unit == "log-odds":
        return f"log-odds {_number(value)}, a probability of {1 / (1 + math.exp(-value)):.4g}"
    return f"{explained.unit} {_number(value)}" if explained.unit == "probability" else _number(value)


def _number(value: float, signed: bool = False) -> str:
    return f"{value:{'+' if signed else ''}.4f}" if abs(value) < 1e4 else f"{value:{'+' if signed else ''}.5g}"


def _tell_quarantine(workspace: Workspace, found: Quarantined) -> Answer:
    row, batch = show_plain(found.row_id, 60), show_plain(found.batch, 40)
    lines = [
        f"{workspace.project.name}: row {row} of batch {batch} (position {found.position:,}) is in quarantine: "
        "it was not scored, so there is no score to explain"
    ]
    lines += label_line("broke", _join(found.rules), most=5)
    lines += label_line("its values", str(found.path))
    return Answer(tuple(lines), 1)


def _join(rules: Sequence[str]) -> str:
    return "; ".join(show_plain(rule, 120) for rule in rules)
