"""Windows in their order, drawn from left to right: values over time, and below them what happened when.

Made of shapes and text alone, as all pictures here. Places along the windows are percentages of the width, so that the
picture fits any page while its text keeps its size; nothing is told by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from tasks.reports.figures import Axis
from tasks.reports.wording import is_number, number, plain, shorten

LOOKS = 4  # how many courses can be told apart by dashes, dots and colour
GLYPHS = {  # what happened: its sign, the word for it, its tone
    "promote": ("▲", "promoted", "good"),
    "hold": ("△", "trained and held", "warn"),
    "reject": ("✕", "trained and rejected", "bad"),
    "retrain": ("○", "trained", "na"),
    "wait": ("‖", "retraining held back by a bound", "na"),
    "alarm": ("◆", "alarm about drift", "warn"),
    "healthy": ("✓", "healthy", "good"),
    "drifting": ("~", "drifting", "warn"),
    "degraded": ("▼", "degraded", "bad"),
    "broken": ("■", "broken", "bad"),
    "rollback": ("↶", "rolled back", "warn"),
}
_LEFT, _RIGHT = 9.0, 2.0  # per cent of the width; the numbers of the axis stand in the left one
_TOP, _LANE, _FOOT = 10, 22, 20  # pixels
_MOST_TICKS = 6
_SAID = 240  # characters of what a dot or sign says when pointed at; the page has the whole
_APART = 13  # pixels between two signs at one place


@dataclass(frozen=True)
class Dot:
    """A value at a place (0 for the first window, 1 for the next), its interval where it has one, and what it says."""

    at: float
    value: float
    ends: tuple[float, float] | None = None
    says: str = ""


@dataclass(frozen=True)
class Course:
    """Dots of one kind, joined where they lie next to each other. `look` (0 to 3) tells it from the others."""

    name: str
    dots: tuple[Dot, ...]
    look: int = 0


@dataclass(frozen=True)
class Band:
    """A stretch from place to place, ends included, in which values are what was promised."""

    begin: float
    end: float
    low: float
    high: float
    says: str = ""


@dataclass(frozen=True)
class Mark:
    """Something that happened at a place: a key of GLYPHS, and what it says."""

    at: float
    kind: str
    says: str


@dataclass(frozen=True)
class Lane:
    """A row of marks below the values."""

    name: str
    marks: tuple[Mark, ...]


def draw_timeline(
    title: str,
    desc: str,
    windows: Sequence[str],
    courses: Sequence[Course],
    *,
    bands: Sequence[Band] = (),
    lanes: Sequence[Lane] = (),
    height: int = 200,
    zero: bool = False,
) -> Markup:
    """Courses over the windows, with bands behind and lanes of marks below them. `zero` draws its line.

    `windows` are their names in order. Without a single finite value only the lanes are drawn.
    """
    values = [d.value for c in courses for d in c.dots] + [v for b in bands for v in (b.low, b.high)]
    values = [v for v in values if math.isfinite(v)] + ([0.0] if zero else [])
    parts: list[Markup] = []
    foot = _TOP
    if values:
        axis = _find_axis(values, courses)
        parts += _draw_values(axis, len(windows), courses, bands, height, zero)
        foot += height
    for lane in lanes:
        parts.append(_text("lane", 0, foot + 15, shorten(plain(lane.name), 24), "start"))
        parts.append(_line("grid", 0, foot + _LANE, 100, foot + _LANE))
        parts += _draw_marks(lane, len(windows), foot + 15)
        foot += _LANE
    step = math.ceil(len(windows) / _MOST_TICKS) if windows else 1
    for i in range(0, len(windows), step):
        parts.append(_text("tick", _place(i, len(windows)), foot + 15, shorten(plain(windows[i]), 10), "middle"))
    return Markup(
        '<svg class="timeline" width="100%" height="{}" role="img" aria-label="{}. {}"><title>{}</title>'
        "<desc>{}</desc>{}</svg>"
    ).format(foot + _FOOT, title, desc, title, desc, Markup("").join(parts))


def draw_key(courses: Sequence[Course] = (), kinds: Sequence[str] = ()) -> Markup:
    """What the courses and signs of a timeline mean, as a list."""
    items = [
        Markup('<li><svg width="34" height="12" aria-hidden="true">{}{}</svg> <bdi>{}</bdi></li>').format(
            _stroke(f"curve course{c.look}", 0, 6, 34, 6, "px"), _dot(c.look, "50%", 6), shorten(plain(c.name), 60)
        )
        for c in courses
    ]
    items += [
        Markup('<li><span class="sign {}" aria-hidden="true">{}</span> {}</li>').format(tone, glyph, word)
        for glyph, word, tone in (GLYPHS[kind] for kind in dict.fromkeys(kinds))
    ]
    return Markup('<ul class="key">{}</ul>').format(Markup("").join(items)) if items else Markup("")


def _find_axis(values: Sequence[float], courses: Sequence[Course]) -> Axis:
    """The values, and of the intervals what does not press them flat."""
    low, high = min(values), max(values)
    room = (high - low) or abs(high) * 0.25 or 1.0
    ends = [e for c in courses for d in c.dots for e in d.ends or () if math.isfinite(e)]
    return Axis.around([low, high, *(min(max(e, low - room), high + room) for e in ends)])


def _draw_values(
    axis: Axis, windows: int, courses: Sequence[Course], bands: Sequence[Band], height: int, zero: bool
) -> list[Markup]:
    def level(value: float) -> float:
        share = (min(max(value, axis.low), axis.high) - axis.low) / (axis.high - axis.low)
        return round(_TOP + (height - _TOP) * (1 - share), 1)

    parts = []
    for band in bands:
        left, right = _place(band.begin - 0.5, windows), _place(band.end + 0.5, windows)
        top, foot = level(band.high), level(band.low)
        parts.append(
            Markup('<rect class="zone" x="{}%" y="{}" width="{}%" height="{}"><title>{}</title></rect>').format(
                left, top, round(right - left, 2), round(max(foot - top, 1.5), 1), shorten(plain(band.says), _SAID)
            )
        )
    for tick in axis.ticks(5):
        y = level(tick)
        parts.append(_line("grid", _LEFT, y, 100, y))
        parts.append(_text("tick", _LEFT - 1, y + 4, number(round(tick, 12)), "end"))
    if zero and axis.low <= 0 <= axis.high:
        parts.append(_line("zero", _LEFT, level(0.0), 100, level(0.0)))
    for course in courses:
        dots = [d for d in course.dots if math.isfinite(d.value)]
        for one, following in pairwise(dots):
            if following.at - one.at <= 1.001:  # dots beside each other keep their distance but for rounding
                x, x2 = _place(one.at, windows), _place(following.at, windows)
                parts.append(_line(f"curve course{course.look}", x, level(one.value), x2, level(following.value)))
        for dot in dots:
            x = _place(dot.at, windows)
            if dot.ends is not None and all(is_number(e) for e in dot.ends):
                parts.append(_line(f"reach course{course.look}", x, level(dot.ends[0]), x, level(dot.ends[1])))
            parts.append(_dot(course.look, f"{x}%", level(dot.value), dot.says))
    return parts


def _draw_marks(lane: Lane, windows: int, y: float) -> list[Markup]:
    """The signs of a lane; those at one place beside each other."""
    parts = []
    places: dict[float, list[Mark]] = {}
    for mark in lane.marks:
        places.setdefault(mark.at, []).append(mark)
    for at, marks in places.items():
        for i, mark in enumerate(marks):
            glyph, word, tone = GLYPHS[mark.kind]
            x, aside = _place(at, windows), _APART * (i - (len(marks) - 1) / 2)
            parts.append(
                Markup(
                    '<text class="sign {}" x="{}%" dx="{}" y="{}" text-anchor="middle"><title>{}</title>{}</text>'
                ).format(tone, x, aside, y, shorten(plain(mark.says), _SAID) or word, glyph)
            )
    return parts


def _place(at: float, windows: int) -> float:
    """Where a place lies, in per cent of the width."""
    share = (at + 0.5) / max(windows, 1)
    return round(_LEFT + min(max(share, 0.0), 1.0) * (100 - _LEFT - _RIGHT), 2)


def _dot(look: int, x: str, y: float, says: str = "") -> Markup:
    """A dot in the shape of its course: a disc, a square, a diamond, a ring."""
    shape = (
        Markup('<circle r="4"/>'),
        Markup('<rect x="-3.6" y="-3.6" width="7.2" height="7.2"/>'),
        Markup('<rect x="-3.6" y="-3.6" width="7.2" height="7.2" transform="rotate(45)"/>'),
        Markup('<circle r="4"/>'),
    )[look]
    title = Markup("<title>{}</title>").format(shorten(plain(says), _SAID)) if says else Markup("")
    return Markup('<svg x="{}" y="{}" overflow="visible" class="dots course{}">{}{}</svg>').format(
        x, y, look, title, shape
    )


def _line(kind: str, x: float, y: float, x2: float, y2: float) -> Markup:
    return _stroke(kind, x, y, x2, y2, "%")


def _stroke(kind: str, x: float, y: float, x2: float, y2: float, unit: str) -> Markup:
    return Markup('<line class="{}" x1="{}{}" y1="{}" x2="{}{}" y2="{}"/>').format(kind, x, unit, y, x2, unit, y2)


def _text(kind: str, x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text class="{}" x="{}%" y="{}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)
