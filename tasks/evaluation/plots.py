"""The pictures of an evaluation, as PNG. Names of features come from strangers: they are drawn as plain text, cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tasks.results import Evaluation
from tasks.stats.metrics import METRICS

NAME_LENGTH = 32
MAX_FEATURES = 20
LINE, MUTED, SHADE = "#1f5fa8", "#8a8f98", "#c9d8ea"


def draw_plots(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Draw what the evaluation has curves for into `folder` (made if need be); the files, in a fixed order.

    `roc.png`, `precision_recall.png`, `calibration.png`, `importance.png`. Nothing global of matplotlib is used or
    changed, so that threads may draw at once.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawers: dict[str, Callable[[Any, Evaluation], None]] = {
        "roc": _draw_roc,
        "precision_recall": _draw_precision_recall,
        "calibration": _draw_calibration,
        "importance": _draw_importance,
    }
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, draw in drawers.items():
        if not (evaluation.importance if name == "importance" else evaluation.curves.get(name)):
            continue
        figure = Figure(figsize=(6.4, 4.8), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure, evaluation)
        path = folder / f"{name}.png"
        figure.savefig(path)
        made.append(path)
    return made


def plain_name(name: str) -> str:
    """A name that can stand on a picture: printable, one line, at most NAME_LENGTH characters."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(name)) or "(no name)"
    return text if len(text) <= NAME_LENGTH else text[: NAME_LENGTH - 1] + "…"


def _draw_roc(figure: Any, evaluation: Evaluation) -> None:
    curve = evaluation.curves["roc"]
    axes = _square(figure, "False positive rate", "True positive rate", _title("ROC curve", "roc_auc", evaluation))
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="chance")
    axes.plot(curve["false_positive_rate"], curve["true_positive_rate"], color=LINE, linewidth=2, label="challenger")
    axes.legend(loc="lower right", frameon=False)


def _draw_precision_recall(figure: Any, evaluation: Evaluation) -> None:
    curve = evaluation.curves["precision_recall"]
    axes = _square(figure, "Recall", "Precision", _title("Precision and recall", "average_precision", evaluation))
    share = curve["precision"][-1]  # all rows named: the share of positives
    axes.axhline(share, color=MUTED, linestyle="--", linewidth=1, label=f"all rows: {share:.3f}")
    axes.step(curve["recall"], curve["precision"], where="pre", color=LINE, linewidth=2, label="challenger")
    axes.legend(loc="upper right", frameon=False)


def _draw_calibration(figure: Any, evaluation: Evaluation) -> None:
    curve = evaluation.curves["calibration"]
    top, bottom = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    top.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="perfect")
    top.plot(curve["predicted"], curve["observed"], color=LINE, linewidth=2, marker="o", label="challenger")
    top.set(ylabel="Observed share", title=_title("Calibration", "brier", evaluation), xlim=(0, 1), ylim=(0, 1))
    top.legend(loc="upper left", frameon=False)
    bottom.vlines(curve["predicted"], 0, curve["rows"], color=LINE, linewidth=3)
    bottom.set(xlabel="Mean predicted probability of the bin", ylabel="Rows", ylim=(0, max(curve["rows"]) * 1.15))
    for axes in (top, bottom):
        axes.grid(color="#e6e6e6", linewidth=0.6)


def _draw_importance(figure: Any, evaluation: Evaluation) -> None:
    measured = [(n, v) for n, v in evaluation.importance.items() if np.isfinite(v)][:MAX_FEATURES][::-1]
    figure.set_size_inches(6.4, 1.4 + 0.28 * max(len(measured), 4))
    axes = figure.subplots()
    places = np.arange(len(measured))
    axes.barh(places, [v for _, v in measured], color=[LINE if v > 0 else SHADE for _, v in measured], height=0.7)
    axes.set_yticks(places, [_drawable(plain_name(n)) for n, _ in measured], fontsize=9, parse_math=False)
    axes.axvline(0, color=MUTED, linewidth=1)
    metric = METRICS[evaluation.metric_name].title if evaluation.metric_name in METRICS else "the metric"
    left_out = len(evaluation.importance) - len(measured)
    title = "Importance" + (f" (the first {len(measured)}; {left_out} more are not shown)" if left_out else "")
    axes.set_title(title)
    figure.supxlabel(f"Loss in {metric} when the feature is shuffled", fontsize=10)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def _drawable(text: str) -> str:
    """The text with a mark for each character that the font lacks: matplotlib warns of each and draws a box."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    return "".join(c if font.get_char_index(ord(c)) else "\N{REPLACEMENT CHARACTER}" for c in text)


def _square(figure: Any, x: str, y: str, title: str) -> Any:
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y, title=title, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.grid(color="#e6e6e6", linewidth=0.6)
    return axes


def _title(what: str, metric: str, evaluation: Evaluation) -> str:
    found = [m for m in evaluation.metrics if m.name == metric]
    number = ""
    if found:
        value = found[0]
        number = f": {METRICS[metric].title} {value.value:.3f}"
        if np.isfinite(value.low):
            number += f" ({value.low:.3f} to {value.high:.3f})"
    return f"{what}{number}\n{evaluation.rows:,} test rows"
