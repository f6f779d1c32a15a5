"""What a model card is made of."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.reports.advice import Step


@dataclass(frozen=True)
class Table:
    """A table of texts."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A part of the card: sentences, then points, a table, and commands, as far as there are any."""

    title: str
    sentences: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    commands: tuple[Step, ...] = ()
