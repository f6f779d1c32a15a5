"""The curves of an evaluation as a page shows them, and which class was taken for which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tasks.reports.figures import Line, draw_curve
from tasks.reports.wording import is_number, number, plain, shorten, spoken

_MOST_POINTS = 400
_MOST_LINES = 4
_MOST_CLASSES = 12


@dataclass(frozen=True)
class Curve:
    """A curve's picture, and what it shows."""

    title: str
    caption: str
    figure: Markup


@dataclass(frozen=True)
class Confusion:
    """Rows of each actual class by the class that was decided, in the order of `classes`."""

    classes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...], str], ...]  # actual class, its counts, the share that is right


def view_curves(curves: Mapping[str, Any]) -> list[Curve]:
    """The pictures of the curves that are known and complete; what is missing or broken is left out."""
    views = []
    for key, (title, caption, ideal, read) in _KNOWN.items():
        lines = read(curves.get(key))
        if not lines:
            continue
        axes = lines[0].axes
        desc = f"{axes[1]} against {axes[0]}, {sum(len(line.points) for line in lines)} points"
        shown = lines[:_MOST_LINES]
        if len(lines) > len(shown):
            caption = f"{caption} The {len(shown)} most frequent of {len(lines)} classes."
        views.append(Curve(title, caption, draw_curve(title, desc, shown, ideal)))
    return views


def view_confusion(curves: Mapping[str, Any]) -> Confusion | None:
    """The table of actual and decided classes; None where there is none, or it is not complete."""
    found = curves.get("confusion")
    if not isinstance(found, Mapping):
        return None
    classes, counts = found.get("classes") or [], found.get("counts") or []
    whole = len(classes) == len(counts) and all(len(row) == len(classes) for row in counts)
    if not classes or not whole or len(classes) > _MOST_CLASSES or not all(is_number(n) for row in counts for n in row):
        return None
    names = tuple(shorten(plain(name), 80) for name in classes)
    rows = []
    for i, name in enumerate(names):
        total = sum(counts[i])
        right = f"{counts[i][i] / total:.0%}" if total else "no rows"
        rows.append((name, tuple(number(n) for n in counts[i]), right))
    return Confusion(names, tuple(rows))


def _read_one(x: str, y: str) -> Callable[[Any], list[Line]]:
    def read(curve: Any) -> list[Line]:
        return _read_line("", curve, x, y)

    return read


def _read_classes(x: str, y: str) -> Callable[[Any], list[Line]]:
    """One line for each class, the most frequent first."""

    def read(curves: Any) -> list[Line]:
        parts = [c for c in curves if isinstance(c, Mapping)] if isinstance(curves, list | tuple) else []
        parts.sort(key=lambda c: -c["rows"] if is_number(c.get("rows")) else 0)
        return [line for part in parts for line in _read_line(plain(part.get("class", "")), part, x, y)]

    return read


def _read_band(x: str, *ys: str) -> Callable[[Any], list[Line]]:
    """Several values over one axis."""

    def read(curve: Any) -> list[Line]:
        return [line for y in ys for line in _read_line(_BAND.get(y, y), curve, x, y)]

    return read


def _read_line(name: str, curve: Any, x: str, y: str) -> list[Line]:
    if not isinstance(curve, Mapping):
        return []
    across, up = curve.get(x), curve.get(y)
    if not isinstance(across, Sequence) or not isinstance(up, Sequence):
        return []
    pairs = [(float(a), float(b)) for a, b in zip(across, up, strict=False) if is_number(a) and is_number(b)]
    title = "residual" if name in _BAND.values() else spoken(y)
    return [Line(name, (spoken(x), title), tuple(pairs[:_MOST_POINTS]))] if pairs else []


_BAND = {"low": "10%", "median": "median", "high": "90%"}
_KNOWN: dict[str, tuple[str, str, str, Callable[[Any], list[Line]]]] = {
    "roc": (
        "ROC",
        "The share of positive rows that is found, against the share of others that is taken for them; the diagonal is "
        "guessing.",
        "diagonal",
        _read_one("false_positive_rate", "true_positive_rate"),
    ),
    "roc_by_class": (
        "ROC, each class against all others",
        "The diagonal is guessing.",
        "diagonal",
        _read_classes("false_positive_rate", "true_positive_rate"),
    ),
    "precision_recall": (
        "Precision and recall",
        "How many of those named are right, against how many are found.",
        "",
        _read_one("recall", "precision"),
    ),
    "precision_recall_by_class": (
        "Precision and recall, each class",
        "How many of those named are right, against how many are found.",
        "",
        _read_classes("recall", "precision"),
    ),
    "calibration": (
        "Calibration",
        "Predicted against observed frequency; on the diagonal both are the same.",
        "diagonal",
        _read_one("predicted", "observed"),
    ),
    "quantiles": (
        "Predicted and actual values",
        "The quantiles of each by itself; on the diagonal they are spread alike.",
        "diagonal",
        _read_one("actual", "predicted"),
    ),
    "residuals": (
        "Residuals",
        "What was missing from the prediction, actual minus predicted: its median and where 80% of the rows lie.",
        "zero",
        _read_band("predicted", "median", "low", "high"),
    ),
}
