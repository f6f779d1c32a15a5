"""Windows drawn in their order: everything that happened is there, whatever the names and numbers are."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from tasks.reports.timeline import GLYPHS, Band, Course, Dot, Lane, Mark, draw_key, draw_timeline

WINDOWS = [f"2013-{month:02}" for month in range(1, 13)]


def test_every_value_and_mark_is_drawn_where_it_belongs() -> None:
    course = Course("realised", tuple(Dot(i, 0.5 + i / 100, (0.4, 0.7), f"window {i}") for i in range(12)))
    marks = Lane("model", (Mark(3, "promote", "version 2"), Mark(3, "alarm", "an alarm"), Mark(5, "reject", "no")))
    drawn = draw_timeline("t", "d", WINDOWS, [course], bands=[Band(0, 3, 0.5, 0.6, "promised")], lanes=[marks])
    picture = ElementTree.fromstring(drawn)
    titles = [e.text for e in picture.iter("title")]
    assert {"window 0", "window 11", "version 2", "an alarm", "promised"} <= set(titles)
    signs = [e for e in picture.iter("text") if (e.get("class") or "").startswith("sign")]
    assert [s.get("x") for s in signs[:2]] == [signs[0].get("x")] * 2, "two at one place"
    assert signs[0].get("dx") != signs[1].get("dx"), "are drawn beside each other"


@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [1e300, -1e300], [5.0, 5.0], [math.inf, 1.0]])
def test_any_numbers_can_be_drawn(values: list[float]) -> None:
    course = Course("<b>&", tuple(Dot(i, v, (math.nan, math.inf)) for i, v in enumerate(values)))
    drawn = draw_timeline("<t>", '"d"', ["<script>", *WINDOWS][: max(1, len(values))], [course], zero=True)
    ElementTree.fromstring(drawn)
    assert "<script>" not in drawn


def test_a_gap_is_not_joined() -> None:
    dots = (Dot(0, 1.0), Dot(1, 2.0), Dot(4, 3.0))
    assert draw_timeline("t", "d", WINDOWS, [Course("c", dots)]).count('class="curve') == 1


def test_the_key_names_each_sign_once() -> None:
    key = draw_key([Course("realised", (), 1)], ["promote", "promote", "hold"])
    assert key.count("<li>") == 3
    assert GLYPHS["promote"][1] in key
