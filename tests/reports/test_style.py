"""The pages' style: readable in light, dark and print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tasks.reports

STYLE = (Path(tasks.reports.__path__[0]) / "templates" / "style.css").read_text(encoding="utf-8")
TEXT = [("ink", "paper"), ("ink", "panel"), ("soft", "paper"), ("soft", "panel"), ("ink", "badbg"), ("ink", "zone")]
BADGES = [(tone, f"{tone}bg") for tone in ("good", "bad", "warn")]
SHAPES = [("mark", "paper"), ("mark", "zone"), ("ink", "zone"), ("soft", "paper")]


def themes() -> dict[str, dict[str, str]]:
    light, dark, printed = (
        dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6})", block)) for block in re.findall(r":root \{(.*?)\}", STYLE, re.S)
    )
    return {"light": light, "dark": {**light, **dark}, "print": {**light, **printed}}


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    shares = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_contrast_is_that_of_wcag_aa(theme: str) -> None:
    colours = themes()[theme]
    low = {p: contrast(colours[p[0]], colours[p[1]]) for p in [*TEXT, *BADGES]}
    assert {pair: round(c, 2) for pair, c in low.items() if c < 4.5} == {}
    assert [p for p in SHAPES if contrast(colours[p[0]], colours[p[1]]) < 3] == []


def test_each_theme_sets_every_colour() -> None:
    light, dark, printed = (
        set(re.findall(r"--(\w+):", block)) for block in re.findall(r":root \{(.*?)\}", STYLE, re.S)
    )
    assert light == dark == printed
    assert set(re.findall(r"var\(--(\w+)\)", STYLE)) == light
    assert "size: A4" in STYLE and "prefers-color-scheme: dark" in STYLE and "max-width: 44rem" in STYLE
