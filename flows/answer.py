"""What a command that only answers gives back: lines for a person, and the exit code."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from tasks.config import readable

WIDTH = 118
INDENT = 13  # where the text of a line begins, behind its label


@dataclass(frozen=True)
class Answer:
    """`lines` as a terminal shows them; `exit_code` as DESIGN and `trueup --help` state it."""

    lines: tuple[str, ...]
    exit_code: int = 0


def label_text(label: str, text: str) -> str:
    """`text` behind its label, as one line that is not wrapped yet."""
    return f"  {label:<{INDENT - 3}} {text}"


def wrap_text(line: str, most: int = 3) -> list[str]:
    """A labelled line on at most so many lines of a terminal, wrapped under its text."""
    return textwrap.wrap(
        line, WIDTH, subsequent_indent=" " * INDENT, break_long_words=False, break_on_hyphens=False, max_lines=most
    )


def label_line(label: str, text: str, most: int = 3) -> list[str]:
    """A stranger's `text` behind its label, on at most so many lines of a terminal."""
    return wrap_text(label_text(label, show_plain(text)), most)


def show_plain(text: object, most: int | None = None) -> str:
    """A stranger's text on one line of a terminal: what would steer the terminal is shown as an escape.

    Longer than `most` it is cut, with three dots at its end.
    """
    shown = readable(" ".join(str(text).split()))
    return shown if most is None or len(shown) <= most else shown[: most - 3] + "..."
