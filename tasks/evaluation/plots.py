"""The pictures of an evaluation, as PNG. Names of features come from strangers: they are drawn as plain text, cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks.results import Evaluation
from tasks.stats.metrics import METRICS

NAME_LENGTH = 32
MAX_FEATURES = 20
LINE, MUTED, SHADE = "#1f5fa8", "#8a8f98", "#c9d8ea"
LINES = (LINE, "#d1711b", "#2f8f4e", "#b3324a", "#7a57b5", "#8a6248", "#c25a9e", "#5c6470", "#a3a019", "#2a9daf")


def draw_plots(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Draw what the evaluation has curves for into `folder` (made if need be); the files, in a fixed order.

    `roc.png`, `precision_recall.png`, `calibration.png`, `confusion.png`, `quantiles.png`, `residuals.png`,
    `importance.png`. Nothing global of matplotlib is used or changed, so that threads may draw at once.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawers: dict[str, tuple[str, Callable[[Any, Evaluation], None]]] = {
        "roc": ("roc", _draw_roc),
        "roc_by_class": ("roc", _draw_roc_by_class),
        "precision_recall": ("precision_recall", _draw_precision_recall),
        "precision_recall_by_class": ("precision_recall", _draw_precision_recall_by_class),
        "calibration": ("calibration", _draw_calibration),
        "confusion": ("confusion", _draw_confusion),
        "quantiles": ("quantiles", _draw_quantiles),
        "residuals": ("residuals", _draw_residuals),
        "importance": ("importance", _draw_importance),
    }
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, (file, draw) in drawers.items():
        if not (evaluation.importance if name == "importance" else evaluation.curves.get(name)):
            continue
        figure = Figure(figsize=(6.4, 4.8), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure, evaluation)
        path = folder / f"{file}.png"
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


def _draw_roc_by_class(figure: Any, evaluation: Evaluation) -> None:
    title = _title("ROC of each class against the others", "roc_auc_ovr", evaluation)
    axes = _square(figure, "False positive rate", "True positive rate", title)
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="chance")
    for color, curve in zip(LINES, evaluation.curves["roc_by_class"], strict=False):
        axes.plot(curve["false_positive_rate"], curve["true_positive_rate"], color=color, label=_class_label(curve))
    _name_lines(axes, "lower right")


def _draw_precision_recall_by_class(figure: Any, evaluation: Evaluation) -> None:
    title = _title("Precision and recall of each class", "average_precision_macro", evaluation)
    axes = _square(figure, "Recall", "Precision", title)
    for color, curve in zip(LINES, evaluation.curves["precision_recall_by_class"], strict=False):
        axes.step(curve["recall"], curve["precision"], where="pre", color=color, label=_class_label(curve))
    _name_lines(axes, "lower left")


def _class_label(curve: Mapping[str, Any]) -> str:
    return f"{curve['rows']:,} rows: {_drawable(plain_name(curve['class']))}"


def _name_lines(axes: Any, place: str) -> None:
    """The legend, its names as plain text: a dollar sign begins no formula."""
    for text in axes.legend(loc=place, frameon=False, fontsize=8).get_texts():
        text.set_parse_math(False)


def _draw_confusion(figure: Any, evaluation: Evaluation) -> None:
    found = evaluation.curves["confusion"]
    counts = np.asarray(found["counts"], dtype=np.float64)
    names = [_drawable(plain_name(name)) for name in found["classes"]]
    figure.set_size_inches(3.2 + 0.5 * len(names), 2.4 + 0.45 * len(names))
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    places = np.arange(len(names))
    axes.set_xticks(places, names, fontsize=8, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(places, names, fontsize=8, parse_math=False)
    for row, column in np.ndindex(counts.shape):
        color = "white" if share[row, column] > 0.5 else "#20242a"
        axes.text(column, row, f"{counts[row, column]:,.0f}", ha="center", va="center", fontsize=8, color=color)
    title = _title("Actual and decided classes", "accuracy", evaluation)
    axes.set(xlabel="Decided", ylabel="Actual", title=title)
    axes.title.set_fontsize(10)


def _draw_quantiles(figure: Any, evaluation: Evaluation) -> None:
    curve = evaluation.curves["quantiles"]
    ends = [min(*curve["actual"], *curve["predicted"]), max(*curve["actual"], *curve["predicted"])]
    axes = figure.subplots()
    axes.plot(ends, ends, color=MUTED, linestyle="--", linewidth=1, label="the same spread")
    axes.plot(curve["actual"], curve["predicted"], color=LINE, linewidth=2, label="quantiles, 0 to 100%")
    title = _title("Predicted against actual values", "r2", evaluation)
    axes.set(xlabel="Quantile of the actual values", ylabel="Quantile of the predictions", title=title)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.legend(loc="upper left", frameon=False)


def _draw_residuals(figure: Any, evaluation: Evaluation) -> None:
    curve = evaluation.curves["residuals"]
    axes = figure.subplots()
    axes.axhline(0, color=MUTED, linestyle="--", linewidth=1)
    axes.vlines(curve["predicted"], curve["low"], curve["high"], color=SHADE, linewidth=6, label="10 to 90%")
    axes.plot(curve["predicted"], curve["median"], color=LINE, linewidth=2, marker="o", label="median")
    title = _title("Residuals by decile of the prediction", "mae", evaluation)
    axes.set(xlabel="Mean prediction of the decile", ylabel="Actual minus predicted", title=title)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.legend(loc="best", frameon=False)


def _draw_calibration(figure: Any, evaluation: Evaluation) -> None:
    curve = evaluation.curves["calibration"]
    top, bottom = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    top.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="perfect")
    top.plot(curve["predicted"], curve["observed"], color=LINE, linewidth=2, marker="o", label="challenger")
    top.set(ylabel="Observed share", title=_title("Calibration", "brier", evaluation), xlim=(0, 1), ylim=(0, 1))
    top.legend(loc="upper left", frameon=False)
    bottom.vlines(curve["predicted"], 0, curve["rows"], color=LINE, linewidth=3)
    likeliest = " of the likeliest class" if "confusion" in evaluation.curves else ""
    bottom.set(
        xlabel=f"Mean predicted probability{likeliest} of the bin", ylabel="Rows", ylim=(0, max(curve["rows"]) * 1.15)
    )
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
        number = f"{METRICS[metric].title} {_number(value.value)}"
        if np.isfinite(value.low):
            number += f" ({_number(value.low)} to {_number(value.high)})"
        number += ", "
    return f"{what}\n{number}{evaluation.rows:,} test rows"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}"
