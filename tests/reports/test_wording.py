"""Numbers, moments and names as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tasks.reports.figures import Axis
from tasks.reports.wording import digits_apart, listed, moment, number, plain, signed, span


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.13650529, "0.137"), (1234.5, "1,234"), (76_997, "76,997"), (0, "0"), (-0.005, "-0.005"), (-0.0, "0"),
        (1e-6, "1·10⁻⁶"),
        (2.5e-7, "2.5·10⁻⁷"), (float("nan"), "."), (None, "."), ("text", "text"), (True, "True"),
    ],
)  # fmt: skip
def test_numbers(value: Any, said: str) -> None:
    assert number(value).replace("\u2212", "-").replace("\u2013", ".") == said


def test_differences_have_their_sign() -> None:
    assert [signed(v).replace("\u2212", "-") for v in (0.1, -0.1, 0.0)] == ["+0.1", "-0.1", "0"]


def test_what_differs_is_written_differently() -> None:
    assert digits_apart(13.017, 13.0) == 4 and digits_apart(13.0, 13.0) == digits_apart(0.1, 0.2) == 3
    assert number(13.017, 4) == "13.02" and digits_apart(1.0, 1.0 + 1e-15) == 9


def test_moments_are_told_in_utc() -> None:
    east = datetime(2024, 5, 1, 2, 0, tzinfo=timezone(timedelta(hours=3)))
    assert moment(east) == moment(east.isoformat()) == "2024-04-30 23:00 UTC"
    assert moment("yesterday") == "yesterday"
    assert moment(datetime(2024, 1, 1, tzinfo=UTC)) == "2024-01-01 00:00 UTC"


@pytest.mark.parametrize(
    ("stored", "said"), [("P1D", "1 day"), ("PT1H30M", "1 hour, 30 minutes"), ("P0D", ""), ("PT0S", ""), ("x", "x")]
)
def test_durations(stored: str, said: str) -> None:
    assert span(stored) == said


def test_what_cannot_be_seen_is_shown() -> None:
    assert plain("a\u202eb\x00c\ud800 d\n e") == "a⟨U+202E⟩b⟨U+0000⟩c⟨U+D800⟩ d e"
    assert plain("👩\u200d🚀 naïve עברית") == "👩\u200d🚀 naïve עברית"
    assert len(plain("x" * 10_000)) == 1_000
    assert listed(range(20)) == "0 to 19 (20)" and listed([]) == "none"


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-3.2, 1e-6), (1e-9, 2e-9), (-1e7, 5e8), (4.0, 4.0), (0.0, 0.0)])
def test_an_axis_has_a_few_round_ticks_within(ends: tuple[float, float]) -> None:
    axis = Axis.around(ends)
    ticks = axis.ticks()
    assert 1 < len(ticks) <= 8 and ticks == sorted(ticks)
    assert all(axis.low <= t <= axis.high for t in ticks)
    assert 0 < axis.at(ends[0]) <= axis.at(ends[1]) < 100
