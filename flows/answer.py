"""What a command that only answers gives back: lines for a person, and the exit code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """`lines` as a terminal shows them; `exit_code` as DESIGN and `trueup --help` state it."""

    lines: tuple[str, ...]
    exit_code: int = 0
