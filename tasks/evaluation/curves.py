"""The points of the curves that a person looks at, few enough to be stored and drawn anywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.stats.metrics import Array, TaskType, count_ties

MAX_POINTS = 200
BINS = 10
Curves = dict[str, dict[str, list[float]]]


def draw_curves(y: Array, prediction: Array, task: TaskType) -> Curves:
    """Curve name -> axis name -> values; what there is depends on the task. Empty where the task has no curve.

    Binary, with both classes in `y`: `roc` (false_positive_rate, true_positive_rate), `precision_recall` (recall,
    precision), `calibration` (predicted, observed, rows: up to 10 bins of about equally many rows).
    """
    draw = _DRAWN.get(task)
    return {} if draw is None else draw(y, prediction)


def _draw_binary(y: Array, p: Array) -> Curves:
    positives, rows = count_ties(y, p)
    found, named = np.cumsum(positives), np.cumsum(rows)
    missed_negatives = named[-1] - found[-1]
    true_rate = np.append(0.0, found / found[-1])
    false_rate = np.append(0.0, (named - found) / missed_negatives)
    recall, precision = found / found[-1], found / named
    return {
        "roc": _thin({"false_positive_rate": false_rate, "true_positive_rate": true_rate}),
        "precision_recall": _thin({"recall": recall, "precision": precision}),
        "calibration": _calibration(y, p),
    }


def _calibration(y: Array, p: Array) -> dict[str, list[float]]:
    edges = np.unique(np.quantile(p, np.linspace(0, 1, BINS + 1)[1:-1]))
    of_row = np.searchsorted(edges, p, side="right")
    rows = np.bincount(of_row, minlength=len(edges) + 1)
    kept = rows > 0
    predicted = np.bincount(of_row, p, len(edges) + 1)[kept] / rows[kept]
    observed = np.bincount(of_row, y, len(edges) + 1)[kept] / rows[kept]
    return {"predicted": predicted.tolist(), "observed": observed.tolist(), "rows": rows[kept].tolist()}


def _thin(curve: dict[str, Array]) -> dict[str, list[float]]:
    """At most MAX_POINTS points at even steps along the curve's length, its ends among them."""
    x, y = curve.values()
    if len(x) > MAX_POINTS:
        length = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
        steps = np.linspace(0.0, length[-1], MAX_POINTS)
        kept = np.unique(np.minimum(np.searchsorted(length, steps), len(x) - 1))
        kept[-1] = len(x) - 1
        curve = {name: values[kept] for name, values in curve.items()}
    return {name: values.tolist() for name, values in curve.items()}


_DRAWN: dict[TaskType, Callable[[Array, Array], Curves]] = {"binary": _draw_binary}
