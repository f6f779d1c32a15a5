"""What a version did in shadow, batch by batch, as its decision page shows it: evidence that releases nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tasks.reports.dossier import Dossier, ShadowBatch, metric_title
from tasks.reports.figures import Axis, draw_row
from tasks.reports.wording import NOTHING, is_number, number, percent, plain, shorten, signed

_MOST = 30  # batches, the newest


@dataclass(frozen=True)
class ShadowRow:
    """One batch as a row of the table. What is not known is empty, and `failed` where it was scored."""

    batch: str
    rows: str
    apart: str
    mean: str
    champion: int | None
    labelled: str
    value: str
    champion_value: str
    gain: str
    ends: str
    figure: Markup
    failed: str


@dataclass(frozen=True)
class ShadowView:
    """The section: its rows, how many earlier batches are left out, and what their numbers are."""

    rows: tuple[ShadowRow, ...]
    earlier: int
    metric: str
    confidence: str
    twin: int | None  # the version that was in shadow, where it is not that of the page


def view_shadow(dossier: Dossier) -> ShadowView | None:
    """The section of a version that scored in shadow; None for one that did not."""
    batches = dossier.shadow
    if not batches:
        return None
    shown = list(batches)[-_MOST:]
    ends = [end for b in shown for end in (b.low, b.gain, b.high) if is_number(end)]
    axis = Axis.around([0.0, *ends])
    measured = next((b for b in reversed(shown) if b.metric), None)
    level = next((b.confidence for b in reversed(shown) if is_number(b.confidence)), None)
    others = {b.version for b in batches} - {dossier.version}
    return ShadowView(
        rows=tuple(_view(b, axis) for b in shown),
        earlier=len(batches) - len(shown),
        metric=metric_title(measured.metric) if measured else metric_title(dossier.metric),
        confidence=percent(level) if level is not None else "",
        twin=max(others) if others else None,
    )


def _view(batch: ShadowBatch, axis: Axis) -> ShadowRow:
    low, gain, high = batch.low, batch.gain, batch.high
    ends, figure = "", Markup("")
    if is_number(low) and is_number(gain) and is_number(high):
        ends = f"{signed(low)} to {signed(high)}"
        title = f"gain in {shorten(plain(batch.batch), 80)}: {signed(gain)}"
        figure = draw_row(title, axis, gain, (low, high), "pass", limit=0.0)
    apart, mean = _tell_apart(batch.disagreement)
    return ShadowRow(
        batch=shorten(plain(batch.batch), 80),
        rows="" if batch.failed else number(batch.rows),
        apart=apart,
        mean=mean,
        champion=batch.champion,
        labelled=number(batch.labelled) if batch.labelled else "",
        value=number(batch.value),
        champion_value=number(batch.champion_value),
        gain=signed(gain),
        ends=ends,
        figure=figure,
        failed=f"Could not be scored: {shorten(plain(batch.failed), 200)}" if batch.failed else "",
    )


def _tell_apart(found: Mapping[str, Any]) -> tuple[str, str]:
    """How far predictions lie from the champion's: what matters most, and the other number."""
    decisions, distance, relative = (found.get(name) for name in ("decisions", "distance", "relative"))
    mean = f"{number(distance)} on average" if is_number(distance) else ""
    if is_number(decisions):
        return f"{percent(round(decisions, 4))} of decisions", mean
    return mean or NOTHING, f"{percent(round(relative, 4))} of its spread" if is_number(relative) else ""
