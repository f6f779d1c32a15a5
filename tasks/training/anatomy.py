"""A fitted model taken apart: what each step makes of one row, and the sum that a linear model's score is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.errors import InfrastructureError
from tasks.training.casting import as_times
from tasks.training.features import ColumnKinds

Floats = NDArray[np.float64]
_OUTPUT = re.compile(r"(numbers|values|means)__(missingindicator_)?c(\d+)(?:_(.*))?", re.DOTALL)


@dataclass(frozen=True)
class Anatomy:
    """The steps of a stored model. `calibrators` map raw scores, one per class (one in all for two classes)."""

    columns: ColumnKinds
    encode: Any
    model: Any
    calibration: str  # "none", or the method
    calibrators: Sequence[Any]
    moved: Any = None  # what moves the scores of groups, where a mitigation does


@dataclass(frozen=True)
class ColumnSteps:
    """What became of one raw column of one row, in words of the model: how it was read, and how it was encoded."""

    read: str
    encoded: str


@dataclass(frozen=True)
class LinearForm:
    """A score that is `intercept` + `weights` x `row`, (m,) each; `parts` names the raw column of each term."""

    parts: tuple[str, ...]
    weights: Floats
    intercept: float
    row: Floats
    reference: Floats  # (n, m)


def take_apart(estimator: Any) -> Anatomy:
    """The steps inside a model as `fit_model` makes them: threshold, calibration and pipeline.

    InfrastructureError for an estimator of another make.
    """
    inner, calibration, calibrators = estimator, "none", ()
    moved = estimator if hasattr(estimator, "find_shifts") else None
    while not hasattr(inner, "named_steps"):
        if hasattr(inner, "calibrated_classifiers_"):
            (calibrated,) = inner.calibrated_classifiers_
            inner, calibration, calibrators = calibrated.estimator, calibrated.method, tuple(calibrated.calibrators)
        elif hasattr(inner, "estimator_"):
            inner = inner.estimator_
        elif hasattr(inner, "estimator"):
            inner = inner.estimator
        else:
            raise InfrastructureError(f"A model of type {type(inner).__name__} has no steps that could be told.")
    steps = inner.named_steps
    return Anatomy(steps["columns"], steps["encode"], steps["model"], calibration, calibrators, moved)


def trace_columns(anatomy: Anatomy, row: pd.DataFrame) -> dict[str, ColumnSteps]:
    """How each raw column of a row (a frame of one) is read and encoded."""
    matrix = anatomy.columns.transform(row)
    outputs = anatomy.columns.outputs()
    encoded = _dense(anatomy.encode.transform(matrix))[0]
    pieces: dict[str, list[str]] = {name: [] for name in anatomy.columns.kinds}
    values: dict[tuple[str, str], list[tuple[str, float]]] = {}
    scaled = " scaled" if hasattr(anatomy.model, "coef_") else ""  # what every linear model is given
    for (role, mark, at, suffix), value in zip(_find_origins(anatomy, len(outputs)), encoded, strict=True):
        name, part = outputs[at]
        called = f"{part} " if part else ""
        if mark:
            pieces[name].extend(["marked missing"] if value else [])
        elif role == "values" and suffix:  # one column per value: the one that is 1
            values.setdefault((name, called), []).append((suffix, value))
        elif role == "means":
            shown = f" of class {suffix}" if suffix else ""
            pieces[name].append(f"mean{shown} {value:.4g}{scaled}")
        elif role == "values":
            pieces[name].append(f"code {value:.0f}" if value >= 0 else "no value that was learned")
        else:
            pieces[name].append(f"{called}missing" if np.isnan(value) else f"{called}{value:.4g}{scaled}")
    for (name, called), found in values.items():
        pieces[name].append(called + _name_value(anatomy, name, bool(called), found))
    traced = {
        name: ColumnSteps(_tell_read(anatomy, name, row, matrix[0], outputs), ", ".join(pieces[name]))
        for name in anatomy.columns.kinds
    }
    if anatomy.moved is not None:
        by = f"moves the log-odds by {anatomy.moved.find_shifts(row)[0]:+.4g}"
        for name in anatomy.moved.by:
            before = traced.get(name, ColumnSteps("a group", ""))
            traced[name] = ColumnSteps(before.read, f"{before.encoded}, {by}" if before.encoded else by)
    return traced


def score_raw(anatomy: Anatomy, row: pd.DataFrame) -> tuple[Floats, str]:
    """What the model itself gives for a row, before calibration, (1,) or (classes,), and what that number is."""
    matrix = anatomy.encode.transform(anatomy.columns.transform(row))
    if hasattr(anatomy.model, "decision_function"):
        scores = np.atleast_1d(np.asarray(anatomy.model.decision_function(matrix), dtype=np.float64)[0])
        return scores, "log-odds" if len(scores) == 1 else "scores by class"
    if hasattr(anatomy.model, "predict_proba"):
        shares = np.asarray(anatomy.model.predict_proba(matrix), dtype=np.float64)[0]
        return shares[1:] if len(shares) == 2 else shares, "shares of the trees"
    return np.asarray(anatomy.model.predict(matrix), dtype=np.float64), "value"


def find_linear_form(anatomy: Anatomy, row: pd.DataFrame, reference: pd.DataFrame) -> LinearForm | None:
    """The sum behind a score: log-odds of a binary target, calibration included, or the value of a regression.

    None where the score is no sum: trees, several classes, calibration by steps, groups that are moved.
    """
    weights = np.atleast_2d(np.asarray(getattr(anatomy.model, "coef_", np.empty((0, 0))), dtype=np.float64))
    if anatomy.moved is not None or len(weights) != 1 or anatomy.calibration not in ("none", "sigmoid"):
        return None
    intercept = float(np.ravel(anatomy.model.intercept_)[0])
    outputs = anatomy.columns.outputs()
    parts = tuple(outputs[at][0] for _, _, at, _ in _find_origins(anatomy, len(outputs)))
    scale, shift = 1.0, 0.0
    if anatomy.calibration == "sigmoid":  # p = 1 / (1 + exp(a score + b)): its log-odds are again a sum
        (sigmoid,) = anatomy.calibrators
        scale, shift = -float(sigmoid.a_), -float(sigmoid.b_)
    encoded = [_dense(anatomy.encode.transform(anatomy.columns.transform(frame))) for frame in (row, reference)]
    return LinearForm(parts, weights[0] * scale, intercept * scale + shift, encoded[0][0], encoded[1])


def _find_origins(anatomy: Anatomy, width: int) -> list[tuple[str, bool, int, str]]:
    """Per encoded column: the encoder's name, whether it marks missing values, which cast column, and its suffix.

    The names that are asked for are ours, so that no stranger's column name can look like something else.
    """
    names = anatomy.encode.get_feature_names_out([f"c{i}" for i in range(width)])
    found = []
    for name in names:
        match = _OUTPUT.fullmatch(str(name))
        if match is None:
            raise InfrastructureError(f"A step of the model has an output {str(name)[:60]!r} of unknown origin.")
        found.append((match[1], match[2] is not None, int(match[3]), match[4] or ""))
    return found


def _name_value(anatomy: Anatomy, name: str, is_part: bool, found: list[tuple[str, float]]) -> str:
    """Which of the columns of an encoding by values is 1."""
    taken = next((suffix for suffix, value in found if value), None)
    if taken is None:
        return "no value that was learned"
    if taken == "infrequent_sklearn":
        return "rare or new value"
    if taken == "nan":
        return "missing"
    if is_part:
        return f"{float(taken):g}"
    levels = _read_levels(anatomy.columns.levels_, name)
    at = int(float(taken))
    return f"{levels[at]} (1 of {len(found)} columns)" if 0 <= at < len(levels) else "new value"


def _tell_read(
    anatomy: Anatomy, name: str, row: pd.DataFrame, cast: Floats, outputs: list[tuple[str, str | None]]
) -> str:
    kind = anatomy.columns.kinds[name]
    if kind == "datetime":
        moment = as_times(row[name]).iloc[0]
        return "missing" if pd.isna(moment) else f"{moment:%Y-%m-%d %H:%M:%S}"
    value = cast[outputs.index((name, None))]
    if np.isnan(value):
        return "missing"
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "number":
        return f"{value:.6g}"
    levels = _read_levels(anatomy.columns.levels_, name)
    return f"value {int(value) + 1} of {len(levels)}" if value >= 0 else "not seen in training"


def _read_levels(levels: Mapping[str, str], name: str) -> list[str]:
    found: list[str] = json.loads(levels[name])
    return found


def _dense(matrix: Any) -> Floats:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64)
