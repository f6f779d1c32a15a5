"""The model on parts of the rows, as the pages tell it: the answer, a forest plot, and what is too small to tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.reports.dossier import metric_title
from tasks.reports.figures import Axis, draw_row, draw_scale
from tasks.reports.findings import (
    Part,
    Status,
    between,
    count,
    counted,
    ends,
    figure,
    find_status,
    list_names,
    named,
    part,
    parts,
    rises,
)
from tasks.reports.wording import capital, find_decimals, fixed, number, percent, plain, sentence, shorten

_MOST_DRAWN = 40
_MOST_LISTED = 30  # of those that are too small
FOUND = "Found by search"
_WORDS = {"fail": "worse than allowed", "pass": "within the limit"}


@dataclass(frozen=True)
class Row:
    """One slice, or one step of the robustness ladder, in numbers and drawn. `worse` is by how much."""

    name: str
    rows: str
    value: str
    interval: str
    other: str
    worse: str
    bounds: str
    drawn: Markup
    status: Status | None
    word: str


@dataclass(frozen=True)
class SlicesView:
    """The section "Slices". `groups` are rows under the column that tells them apart; empty where none is drawn."""

    answer: str
    caption: str
    champion: bool
    limited: bool
    scale: Markup
    groups: tuple[tuple[str, tuple[Row, ...]], ...]
    left: int
    small: tuple[tuple[str, int], ...]
    small_left: int


@dataclass(frozen=True)
class Slices:
    """What an audit says of slices, the weakest first; `small` are those too small to tell."""

    metric: str
    limit: float | None
    champion: bool
    confidence: float
    told: tuple[Part, ...]
    small: tuple[Part, ...]
    problem: str

    @classmethod
    def read(cls, audit: Part) -> Slices | None:
        """None where the audit has none, nor a reason why."""
        found = part(audit, "slices")
        every, problem = parts(found, "slices"), plain(found.get("problem") or "")
        if not every and not problem:
            return None
        limit = figure(found, "max_drop")
        told = [s for s in every if s.get("finding") != "too small" and math.isfinite(_point(s))]
        told.sort(key=lambda s: (s.get("finding") != "fail", -_drop(s), str(s.get("name"))))
        small = tuple(s for s in every if s not in told)
        return cls(
            metric=str(found.get("metric")),
            limit=limit if math.isfinite(limit) else None,
            champion=found.get("against") == "champion",
            confidence=figure(found, "confidence"),
            told=tuple(told),
            small=small,
            problem=problem,
        )

    @property
    def weakest(self) -> list[Part]:
        """The slices that can be told, by how much worse it is there."""
        return sorted(self.told, key=lambda s: -_drop(s))

    @property
    def decimals(self) -> tuple[int, int]:
        """With how many decimals the metric and its drop are written."""
        shown = self.told
        return find_decimals(_point(s) for s in shown), find_decimals(figure(s, "drop") for s in shown)

    @property
    def held_to(self) -> str:
        """What a slice is compared with, in words."""
        return "the champion's on the same rows" if self.champion else "that on all test rows"

    @property
    def whole(self) -> float | None:
        """The metric on all test rows; None where slices are held to the champion."""
        found = (figure(s, "other") for s in (*self.told, *self.small))
        return None if self.champion else next((v for v in found if math.isfinite(v)), None)


def tell_slices(found: Slices) -> str:
    """The answer, in a sentence or two."""
    title = metric_title(found.metric)
    if found.problem:
        return f"The slices could not be judged: {sentence(found.problem)}"
    if not found.told:
        few = len(found.small)
        return (
            "The only slice has too few rows or independent days to tell."
            if few == 1
            else (f"All {few:,} slices have too few rows or independent days to tell.")
        )
    failed = [s for s in found.told if s.get("finding") == "fail"]
    of = f"{counted(len(found.told), 'slice')} that {'is' if len(found.told) == 1 else 'are'} large enough"
    if failed:
        return (
            f"On {len(failed):,} of {of}, the model is shown to be worse than allowed: "
            f"{list_names([s.get('name') for s in failed])}."
        )
    if found.limit is not None:
        open_ = sum(s.get("finding") == "undecided" for s in found.told)
        rest = f" For {counted(open_, 'slice')} it cannot be told yet." if open_ else ""
        return f"On none of {of}, the model is shown to be worse than allowed.{rest}"
    weakest = found.told[0]
    if not _drop(weakest) > 0:
        return f"On none of {of}, {title} is worse than {found.held_to}."
    return (
        f"Of {of}, the model is weakest on {named(weakest.get('name'))}: {title} is {number(_point(weakest))} there, "
        f"against {number(figure(weakest, 'other'))} {'by the champion' if found.champion else 'on all test rows'}. "
        "No limit is stated (gates.slices.max_drop), so slices are shown and do not hold a release."
    )


def view_slices(audit: Part) -> SlicesView | None:
    """The section; None where the audit has no slices."""
    found = Slices.read(audit)
    if found is None:
        return None
    drawn = found.told[:_MOST_DRAWN]
    axis = _find_axis(found, drawn)
    columns = dict.fromkeys(_find_column(s) for s in parts(part(audit, "slices"), "slices"))
    order = sorted(columns, key=lambda column: column == FOUND)  # the others in the order of the project file
    weakest = sorted(drawn, key=lambda s: -_drop(s))
    groups = [(c, tuple(_view(s, found, axis) for s in weakest if _find_column(s) == c)) for c in order]
    return SlicesView(
        answer=tell_slices(found),
        caption=_tell_caption(found),
        champion=found.champion,
        limited=found.limit is not None,
        scale=draw_scale(metric_title(found.metric), axis),
        groups=tuple((column, rows) for column, rows in groups if rows),
        left=len(found.told) - len(drawn),
        small=tuple((str(s.get("name")), count(s, "rows")) for s in found.small[:_MOST_LISTED]),
        small_left=max(0, len(found.small) - _MOST_LISTED),
    )


def _find_axis(found: Slices, drawn: Sequence[Part]) -> Axis:
    seen = [_point(s) for s in drawn] + [figure(s, "other") for s in drawn]
    seen += [end for s in drawn for end in ends(s.get("metric")) or ()]
    seen += [_allow(found, figure(s, "other")) for s in drawn]
    return Axis.around([v for v in seen if math.isfinite(v)] or [0.0, 1.0])


def _view(one: Part, found: Slices, axis: Axis) -> Row:
    value, other, interval, drop = _point(one), figure(one, "other"), ends(one.get("metric")), _drop(one)
    of_metric, of_drop = found.decimals
    status = find_status(one)
    limit = _allow(found, other)
    own_limit = limit if found.champion and math.isfinite(limit) else None
    word = _WORDS.get(str(one.get("finding")), status.word)
    title = f"{shorten(plain(one.get('name')), 40)}: {number(value)}"
    return Row(
        name=str(one.get("name")),
        rows=counted(count(one, "rows"), "row"),
        value=fixed(value, of_metric),
        interval=between(interval, of_metric),
        other=fixed(other, of_metric),
        worse=fixed(drop, of_drop, sign=True),
        bounds=between(ends(one), of_drop),
        drawn=draw_row(
            title,
            axis,
            value,
            interval,
            status.mark,
            lines=_find_lines(found),
            limit=own_limit,
            rival=other if found.champion and math.isfinite(other) else None,
        ),
        status=status if found.limit is not None else None,
        word=word,
    )


def _find_lines(found: Slices) -> list[tuple[str, float]]:
    whole = found.whole
    if whole is None:
        return []
    return [("zero", whole), *([("limit", _allow(found, whole))] if found.limit is not None else [])]


def _allow(found: Slices, other: float) -> float:
    """The metric that a slice may have at the worst; nan without a limit."""
    if found.limit is None:
        return math.nan
    return other - found.limit if rises(found.metric) else other + found.limit


def _tell_caption(found: Slices) -> str:
    title, whole = capital(metric_title(found.metric)), found.whole
    said = f"{title} on each slice, with its two-sided 95% interval."
    if found.champion:
        said += " Diamond: the champion on the same rows."
        said += " Dashed: the worst that is allowed there." if found.limit is not None else ""
    elif whole is not None:
        said += f" Solid line: all test rows, {number(whole)}."
        said += (
            f" Dashed: the worst that is allowed, {number(_allow(found, whole))}." if found.limit is not None else ""
        )
    sure = percent(found.confidence) if math.isfinite(found.confidence) else "the stated"
    if found.limit is None:
        each = f"each at {sure} by itself: among many slices some look weak by chance"
    else:
        each = f"at {sure} confidence for all slices together; the lower one decides"
    return f"{said} Worse by: than {found.held_to}, with one-sided bounds, {each}."


def _find_column(one: Part) -> str:
    if one.get("found"):
        return FOUND
    columns = [str(c.get("column")) for c in parts(one, "conditions")]
    return " and ".join(dict.fromkeys(columns)) or "Other slices"


def _point(one: Part) -> float:
    return figure(one.get("metric"), "value")


def _drop(one: Part) -> float:
    found = figure(one, "drop")
    return found if math.isfinite(found) else -math.inf
