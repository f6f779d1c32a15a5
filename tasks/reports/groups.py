"""Groups of people as a table: what each one gets, and the usual measures over all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.reports.figures import Axis, draw_row
from tasks.reports.findings import TOO_FEW, Part, Status, count, entries, figure, find_status, part, parts
from tasks.reports.measures import MEASURES, RATES, by_words, measure_title, rate_title, write_rate, write_rates
from tasks.reports.wording import is_number, number, spoken

_MOST_RATES = 8


@dataclass(frozen=True)
class Cell:
    """A rate of one group with its interval; that there are too few rows where nothing can be told."""

    head: str
    value: str
    interval: str


@dataclass(frozen=True)
class GroupRow:
    """One group: its rates, and the first of them drawn."""

    name: str
    rows: str
    cells: tuple[Cell, ...]
    drawn: Markup


@dataclass(frozen=True)
class Gap:
    """One measure over all groups; `limit` and `status` where one is stated."""

    title: str
    name: str
    value: str
    limit: str
    status: Status | None


@dataclass(frozen=True)
class GroupsView:
    """The groups that a column or two tell apart."""

    by: str
    heads: tuple[str, ...]
    rows: tuple[GroupRow, ...]
    left: int
    gaps: tuple[Gap, ...]
    limited: bool


def view_groups(groups: Part, limits: Sequence[Part], most: int) -> GroupsView:
    """The largest groups, at most so many; `limits` are those that are stated for them."""
    rates, every = list_rates(groups), parts(groups, "groups")
    largest = sorted(every, key=lambda g: -count(g, "rows"))[:most]
    shown = [g for g in every if any(g is kept for kept in largest)]
    first = rates[0] if rates else ""
    seen = [v for g in shown if is_told(g, first) for v in read_rate(g, first)]
    axis = Axis(0.0, max(seen)) if seen and min(seen) >= 0 and max(seen) > 0 else Axis.around([0.0, *seen])
    return GroupsView(
        by=by_words(entries(groups, "by")),
        heads=tuple(map(rate_title, rates)),
        rows=tuple(
            GroupRow(
                name=str(g.get("group")),
                rows=number(count(g, "rows")),
                cells=tuple(view_cell(g, name) for name in rates),
                drawn=_draw(g, first, axis),
            )
            for g in shown
        ),
        left=len(every) - len(shown),
        gaps=tuple(_view_gaps(groups, limits)),
        limited=bool(limits),
    )


def list_rates(groups: Part) -> list[str]:
    """The rates that any group has, in the order in which they are shown."""
    seen = dict.fromkeys(str(n) for g in parts(groups, "groups") for n in part(g, "rates"))
    return [*(n for n in RATES if n in seen), *(n for n in seen if n not in RATES)][:_MOST_RATES]


def view_cell(group: Part, name: str) -> Cell:
    """A rate of a group; nothing of it where the group has too few rows: it would tell of persons."""
    if not is_told(group, name):
        return Cell(rate_title(name), TOO_FEW, "")
    value, low, high = read_rate(group, name)
    return Cell(rate_title(name), write_rate(name, value), write_rates(name, low, high))


def is_told(group: Part, name: str) -> bool:
    """Whether the rate and both of its ends are known."""
    return not group.get("too_small") and all(map(math.isfinite, read_rate(group, name)))


def read_rate(group: Part, name: str) -> tuple[float, float, float]:
    """A group's rate with its ends; nan where it is not known."""
    found = [float(v) if is_number(v) else math.nan for v in entries(part(group, "rates"), name)[:3]]
    value, low, high = (*found, math.nan, math.nan, math.nan)[:3]
    return value, low, high


def tell_limit(found: Part) -> str:
    """What a stated limit asks, such as "at least 0.8"."""
    return f"{'at least' if found.get('kind') == 'ratio' else 'at most'} {number(figure(found, 'limit'))}"


def _view_gaps(groups: Part, limits: Sequence[Part]) -> list[Gap]:
    """The measures over all groups, those with a limit first."""
    gaps = part(groups, "gaps")
    stated = {str(f.get("metric")): f for f in limits}
    names = [*stated, *(n for n in MEASURES if n in gaps and n not in stated)]
    return [
        Gap(
            title=measure_title(name),
            name=spoken(name),
            value=number(gaps[name]) if is_number(gaps.get(name)) else TOO_FEW,
            limit=tell_limit(stated[name]) if name in stated else "",
            status=find_status(stated[name]) if name in stated else None,
        )
        for name in names
    ]


def _draw(group: Part, name: str, axis: Axis) -> Markup:
    if not is_told(group, name):
        return Markup("")
    value, low, high = read_rate(group, name)
    return draw_row(f"{rate_title(name)}: {write_rate(name, value)}", axis, value, (low, high), "pass")
