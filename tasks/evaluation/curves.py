"""The points of the curves that a person looks at, few enough to be stored and drawn anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.stats.metrics import Array, TaskType, count_ties

MAX_POINTS = 200
BINS = 10
MAX_CLASSES = 10
OTHERS = "(others)"
QUANTILES = 101
Curves = dict[str, Any]


def draw_curves(y: Array, prediction: Array, task: TaskType, classes: Sequence[Any] = ()) -> Curves:
    """Curve name -> axis name -> values; what there is depends on the task. All numbers are plain floats.

    Binary, with both classes in `y`: `roc` (false_positive_rate, true_positive_rate), `precision_recall` (recall,
    precision), `calibration` (predicted, observed, rows: up to 10 bins of about equally many rows).

    Multiclass: `roc_by_class` and `precision_recall_by_class`, a list of the same with `class` and `rows` for each of
    the 10 classes with the most rows against all the others; `calibration` of the probability of the likeliest class;
    `confusion` (classes, counts: rows of each actual class by the class decided; classes beyond 10 are one).

    Regression: `quantiles` (actual, predicted: the 0, 1 .. 100% quantiles of each by itself), and `residuals`, actual
    minus predicted, in up to 10 bins by prediction (predicted: its mean; low, median, high: 10, 50, 90%; rows).
    """
    if task == "binary":
        return _draw_binary(y, prediction)
    if task == "multiclass":
        return _draw_several(y, prediction, classes)
    return _draw_values(y, prediction)


def _draw_binary(y: Array, p: Array) -> Curves:
    return {**_draw_ranking(y, p), "calibration": _calibration(y, p)}


def _draw_ranking(y: Array, p: Array) -> dict[str, dict[str, list[float]]]:
    positives, rows = count_ties(y, p)
    found, named = np.cumsum(positives), np.cumsum(rows)
    missed_negatives = named[-1] - found[-1]
    true_rate = np.append(0.0, found / found[-1])
    false_rate = np.append(0.0, (named - found) / missed_negatives)
    recall, precision = found / found[-1], found / named
    return {
        "roc": _thin({"false_positive_rate": false_rate, "true_positive_rate": true_rate}),
        "precision_recall": _thin({"recall": recall, "precision": precision}),
    }


def _draw_several(y: Array, p: Array, classes: Sequence[Any]) -> Curves:
    rows = np.bincount(y, minlength=len(classes))
    largest = np.argsort(-rows, kind="stable")[:MAX_CLASSES]
    shown = np.sort(largest)  # in the order of the classes
    roc, precision_recall = [], []
    for code in shown:
        if not 0 < rows[code] < len(y):
            continue
        drawn = _draw_ranking(y == code, p[:, code])
        named = {"class": str(classes[code]), "rows": int(rows[code])}
        roc.append({**named, **drawn["roc"]})
        precision_recall.append({**named, **drawn["precision_recall"]})
    decided = p.argmax(axis=1)
    return {
        "roc_by_class": roc,
        "precision_recall_by_class": precision_recall,
        "calibration": _calibration(decided == y, p.max(axis=1)),
        "confusion": _confuse(y, decided, shown, classes),
    }


def _confuse(y: Array, decided: Array, shown: Array, classes: Sequence[Any]) -> dict[str, list[Any]]:
    place = np.full(len(classes), len(shown))
    place[shown] = np.arange(len(shown))
    size = len(shown) + (len(shown) < len(classes))
    counts = np.bincount(place[y] * size + place[decided], minlength=size * size).reshape(size, size)
    names = [str(classes[code]) for code in shown] + ([OTHERS] if size > len(shown) else [])
    return {"classes": names, "counts": counts.tolist()}


def _draw_values(y: Array, p: Array) -> Curves:
    shares = np.linspace(0, 1, QUANTILES)
    of_row, bins = _bin(p)
    residual = y - p
    parts = [of_row == k for k in range(bins)]
    low, median, high = np.array([np.quantile(residual[part], (0.1, 0.5, 0.9)) for part in parts]).T
    return {
        "quantiles": {"actual": np.quantile(y, shares).tolist(), "predicted": np.quantile(p, shares).tolist()},
        "residuals": {
            "predicted": [float(p[part].mean()) for part in parts],
            "low": low.tolist(),
            "median": median.tolist(),
            "high": high.tolist(),
            "rows": [int(part.sum()) for part in parts],
        },
    }


def _bin(p: Array) -> tuple[Array, int]:
    """The bin of each row by its prediction, 0..count-1, and their count: none is empty."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, BINS + 1)[1:-1]))
    kept, of_row = np.unique(np.searchsorted(edges, p, side="right"), return_inverse=True)
    return of_row, len(kept)


def _calibration(y: Array, p: Array) -> dict[str, list[float]]:
    of_row, bins = _bin(p)
    rows = np.bincount(of_row, minlength=bins)
    predicted, observed = np.bincount(of_row, p, bins) / rows, np.bincount(of_row, y, bins) / rows
    return {"predicted": predicted.tolist(), "observed": observed.tolist(), "rows": rows.tolist()}


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
