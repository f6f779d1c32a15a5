"""Small pictures in SVG, made of shapes and text alone.

Positions along an axis are percentages of the width, so that a picture fits any page while its text keeps its size.
What a picture says is also in its title and description, and nowhere told by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.reports.wording import number, plain, shorten

_EDGE = 3.0  # per cent of the width left free on either side


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers, drawn from left to right."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float]) -> Axis:
        """The axis that shows all of these, and something beside them."""
        low, high = min(values), max(values)
        room = (high - low) * 0.06 or abs(high) * 0.5 or 1.0
        return cls(low - room, high + room)

    def at(self, value: float) -> float:
        """Where a value lies, in per cent of the width."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(_EDGE + share * (100 - 2 * _EDGE), 2)

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers along the axis, at most so many steps apart."""
        raw = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= raw * 0.999)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [0.0 if i == 0 else i * step for i in range(first, last + 1)]


@dataclass(frozen=True)
class Line:
    """Points (x, y), what the two axes are, and the line's name where there are several."""

    name: str
    axes: tuple[str, str]
    points: tuple[tuple[float, float], ...]


def draw_gate(
    title: str,
    desc: str,
    status: str,
    point: float,
    bounds: tuple[float, float] | None,
    limit: float,
    *,
    below: bool,
    zero: bool = True,
) -> Markup:
    """An estimate against its limit: the shaded side passes, `below` the limit or above it.

    With bounds: passed where the whole bar lies in the shade, failed where all of it lies outside, undecided where
    it crosses the limit's line. Without: a bar from zero to the value. `zero` puts zero on the axis.
    """
    axis = Axis.around([point, limit, *(bounds or ()), *([0.0] if zero else [])])
    at, origin, edge = axis.at(point), axis.at(0.0), axis.at(limit)
    zone = (0.0, edge) if below else (edge, 100.0)
    bar = (axis.at(bounds[0]), axis.at(bounds[1])) if bounds else (min(origin, at), max(origin, at))
    parts = [
        _rect("zone", zone[0], 18, zone[1] - zone[0], 42),
        *([_line("zero", origin, 18, origin, 64)] if axis.low <= 0 <= axis.high else []),
        _rect(f"bar {status}", bar[0], 33, max(bar[1] - bar[0], 0.3), 12),
        *([_line("cap", x, 30, x, 48) for x in bar] if bounds else []),
        _line("limit", edge, 14, edge, 64),
        _mark(status, at, 39),
        _line("axis", 0, 60, 100, 60),
    ]
    arrow = "◂ passes up to {}" if below else "passes from {} ▸"
    parts.append(_text("limit-text", edge, 11, arrow.format(number(limit)), _anchor(edge)))
    parts += [_text("tick", axis.at(t), 78, number(round(t, 12)), "middle") for t in axis.ticks()]
    return _picture("gate-figure", title, desc, 84, parts)


def draw_spread(title: str, axis: Axis, point: float, low: float, high: float) -> Markup:
    """One estimate with its interval on an axis that several share."""
    left, right = axis.at(low), axis.at(high)
    parts = [
        _line("axis", 0, 11, 100, 11),
        _rect("bar plain", left, 7, max(right - left, 0.3), 8),
        _line("cap", left, 5, left, 17),
        _line("cap", right, 5, right, 17),
        _mark("pass", axis.at(point), 11, 4),
    ]
    return _picture("spread", title, f"from {number(low)} to {number(high)}", 22, parts)


def draw_row(
    title: str,
    axis: Axis,
    point: float,
    ends: tuple[float, float] | None,
    status: str,
    *,
    lines: Sequence[tuple[str, float]] = (),
    limit: float | None = None,
    rival: float | None = None,
) -> Markup:
    """One row of a forest plot: an estimate, its interval where it has one, and what it is held to.

    `lines` (kind "zero" or "limit", value) are those of the whole plot: they reach far beyond the row, and the table's
    cell cuts them off, so that they join those of its neighbours. `limit` and `rival` are this row's own.
    """
    drawn = [_line(kind, axis.at(value), -400, axis.at(value), 400) for kind, value in lines]
    if limit is not None:
        drawn.append(_line("limit", axis.at(limit), 1, axis.at(limit), 21))
    if ends is not None:
        left, right = axis.at(ends[0]), axis.at(ends[1])
        drawn.append(_rect(f"bar {status}", left, 8, max(right - left, 0.3), 6))
        drawn += [_line("cap", x, 5, x, 17) for x in (left, right)]
    if rival is not None:
        shape = _shape("rect", "rival", x=-4, y=-4, width=8, height=8, transform="rotate(45)")
        drawn.append(Markup('<svg x="{}%" y="11" overflow="visible">{}</svg>').format(axis.at(rival), shape))
    drawn.append(_mark(status, axis.at(point), 11, 4))
    return _picture(
        "spread", title, f"from {number(ends[0])} to {number(ends[1])}" if ends else "no interval", 22, drawn
    )


def draw_scale(title: str, axis: Axis) -> Markup:
    """The scale above the rows of a forest plot."""
    parts = [_line("axis", 0, 18, 100, 18)]
    parts += [_text("tick", axis.at(t), 13, number(round(t, 12)), "middle") for t in axis.ticks(5)]
    return _picture("spread", title, f"from {number(axis.low)} to {number(axis.high)}", 20, parts)


def draw_bar(title: str, axis: Axis, value: float) -> Markup:
    """A bar from zero; to the left where the value is below it."""
    zero, at = axis.at(0.0), axis.at(value)
    parts = [_rect("bar plain", min(zero, at), 5, max(abs(at - zero), 0.3), 10), _line("zero", zero, 1, zero, 19)]
    return _picture("spread", title, number(value), 20, parts)


def draw_curve(title: str, desc: str, lines: Sequence[Line], ideal: str = "") -> Markup:
    """Lines over two axes; of several each has its own dashes, and its name below.

    `ideal`: "diagonal" or "zero" for the dotted line that means something there.
    """
    points = [p for line in lines for p in line.points]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    if ideal == "diagonal":
        xs = ys = [*xs, *ys]
    elif ideal == "zero":
        ys.append(0.0)
    if min(*xs, *ys) >= 0 and max(*xs, *ys) <= 1:
        across = up = Axis(0.0, 1.0)
    else:
        across, up = Axis.around(xs), Axis.around(ys)
    left, top, width, height = 46.0, 10.0, 240.0, 190.0

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            round(left + width * (x - across.low) / (across.high - across.low), 1),
            round(top + height * (1 - (y - up.low) / (up.high - up.low)), 1),
        )

    parts = [_shape("rect", "frame", x=left, y=top, width=width, height=height)]
    for tick in across.ticks(5):
        x, y = place(tick, up.low)
        parts += [_line_at("grid", x, top, x, y), _text_at("tick", x, y + 14, number(round(tick, 12)), "middle")]
    for tick in up.ticks(5):
        x, y = place(across.low, tick)
        parts += [
            _line_at("grid", x, y, left + width, y),
            _text_at("tick", x - 4, y + 4, number(round(tick, 12)), "end"),
        ]
    if ideal == "diagonal":
        low, high = max(across.low, up.low), min(across.high, up.high)
        parts.append(_line_at("ideal", *place(low, low), *place(high, high)))
    elif ideal == "zero":
        parts.append(_line_at("ideal", *place(across.low, 0.0), *place(across.high, 0.0)))
    for i, line in enumerate(lines):
        placed = [place(*p) for p in line.points]
        parts.append(_shape("polyline", f"curve dash{i % 4}", points=" ".join(f"{x},{y}" for x, y in placed)))
        if len(placed) <= 12:
            parts += [_shape("circle", "dot", cx=x, cy=y, r=3) for x, y in placed]
    names = lines[0].axes
    parts.append(_text_at("name", left + width / 2, top + height + 33, shorten(names[0], 40), "middle"))
    parts.append(
        Markup('<text class="name" text-anchor="middle" transform="translate(10 {}) rotate(-90)">{}</text>').format(
            top + height / 2, shorten(names[1], 30)
        )
    )
    below = top + height + 50
    for i, line in enumerate(lines if len(lines) > 1 else ()):
        x, y = left + 120 * (i % 2), below + 16 * (i // 2)
        parts.append(_line_at(f"curve dash{i % 4}", x, y - 4, x + 24, y - 4))
        parts.append(_text_at("tick", x + 29, y, shorten(plain(line.name), 14), "start"))
    bottom = top + height + 39 + (0 if len(lines) == 1 else 20 + 16 * ((len(lines) - 1) // 2))
    return Markup(
        '<svg class="curve-figure" viewBox="0 0 296 {}" role="img" aria-label="{}. {}"><title>{}</title>'
        "<desc>{}</desc>{}</svg>"
    ).format(bottom, title, desc, title, desc, Markup("").join(parts))


def _picture(kind: str, title: str, desc: str, height: int, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="{}" width="100%" height="{}" role="img" aria-label="{}: {}"><title>{}</title>'
        "<desc>{}</desc>{}</svg>"
    ).format(kind, height, title, desc, title, desc, Markup("").join(parts))


def _mark(status: str, at: float, y: float, size: float = 6) -> Markup:
    """The estimate: a full dot where it passed, a square where it failed, a hollow dot where nothing can be told."""
    if status == "fail":
        shape = Markup('<rect x="{}" y="{}" width="{}" height="{}"/>').format(-size, -size, 2 * size, 2 * size)
    else:
        shape = Markup('<circle r="{}"/>').format(size)
    return Markup('<svg x="{}%" y="{}" overflow="visible" class="mark {}">{}</svg>').format(at, y, status, shape)


def _anchor(at: float) -> str:
    return "start" if at < 30 else "end" if at > 70 else "middle"


def _rect(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    return Markup('<rect class="{}" x="{}%" y="{}" width="{}%" height="{}"/>').format(
        kind, round(x, 2), y, round(width, 2), height
    )


def _line(kind: str, x: float, y: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{}%" y1="{}" x2="{}%" y2="{}"/>').format(kind, x, y, x2, y2)


def _line_at(kind: str, x: float, y: float, x2: float, y2: float) -> Markup:
    return _shape("line", kind, x1=x, y1=y, x2=x2, y2=y2)


def _text(kind: str, x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text class="{}" x="{}%" y="{}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)


def _text_at(kind: str, x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)


def _shape(element: str, kind: str, **attributes: object) -> Markup:
    given = Markup(" ").join(Markup('{}="{}"').format(name, value) for name, value in attributes.items())
    return Markup('<{} class="{}" {}/>').format(element, kind, given)
