"""What may be quoted of the values that broke a rule: pages, ledger, artifacts and logs are read by many.

Nothing of a column that looks like personal data. A text only where FEWEST_OF_A_VALUE rows hold it, since a rarer one
may name a person. Numbers, times, true and false always: they show a wrong unit, and name nobody. What is not quoted
is counted, and where its rows are is said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from tasks.stats.people import split_words
from tasks.stats.personal import FEWEST_OF_A_VALUE, is_personal

_QUOTED = 3
_COUNTED = 1_000  # different texts of one rule; of further ones it is only known that there are some
_FIRST_ROWS = 100  # of a chunk, where any value may be quoted
_PIECE = re.compile(r"""(?:(['"`])(.*?)(?:\1|$)|\[(.*?)(?:\]|$)|\((.*?)(?:\)|$)|\{(.*?)(?:\}|$))""")
_TYPES = split_words("str int float bool bytes date datetime Timestamp NoneType object number string")


@dataclass(frozen=True)
class Discretion:
    """Columns of which nothing is quoted, with what they look like, and those that the project file clears."""

    personal: Mapping[str, str]
    cleared: Collection[str] = ()

    def hides(self, columns: Iterable[str]) -> str | None:
        """What the values of a rule's columns look like, where none of them may be seen."""
        kinds = dict.fromkeys(self.personal[c] for c in columns if c in self.personal)
        return " and ".join(kinds) or None

    def shows(self, columns: Iterable[str], value: Any) -> bool:
        """Whether a value by itself may be quoted: it does not look personal, or its column is cleared."""
        return all(c in self.cleared for c in columns) or not is_personal(str(value))


class Examples:
    """The values of the rows that broke a rule. `text` says that there are texts among them."""

    def __init__(self, text: bool) -> None:
        self._text = text
        self._found: dict[tuple[Any, ...], int] = {}
        self._first: dict[tuple[Any, ...], int] = {}
        self._more = False

    def add(self, rows: pd.DataFrame) -> None:
        """Take up rows, with only the columns that the rule is about."""
        if not self._text:
            if len(self._found) >= _QUOTED:
                return
            rows = rows.head(_FIRST_ROWS)
        positions = rows.index.to_numpy()
        for key, (count, first) in _count(_tuples(rows), positions).items():
            if all(value is None for value in key):
                continue
            if key not in self._found and len(self._found) == _COUNTED:
                self._more = True
                continue
            self._found[key] = self._found.get(key, 0) + count
            self._first.setdefault(key, first)

    def quote(self, columns: Sequence[str], discretion: Discretion, quarantined: bool) -> str:
        """The end of a sentence: some values, or how many there are and where."""
        if not self._found:
            return ""
        hidden = discretion.hides(columns)
        if hidden is not None:
            return f"; values not shown: {hidden}"
        often = [key for key, rows in self._found.items() if not self._text or rows >= FEWEST_OF_A_VALUE]
        shown = [key for key in often if all(discretion.shows(columns, value) for value in key)]
        said = f", such as {', '.join(map(_spell, shown[:_QUOTED]))}" if shown else ""
        kept = [key for key in self._found if key not in set(shown)]
        if not kept:
            return said
        number = f"{len(kept):,}{' or more' if self._more else ''} rare {'value' if len(kept) == 1 else 'values'}"
        rows = ", ".join(str(self._first[key]) for key in kept[:_QUOTED])
        where = "in the quarantine file" if quarantined else f"_row {rows}{' and on' if len(kept) > _QUOTED else ''}"
        return f"{said}; {number} not shown ({where})"


def quote_values(
    values: Iterable[Any], frequent: frozenset[str], columns: Sequence[str], discretion: Discretion
) -> tuple[list[Any], int]:
    """Those of some observed values that may be quoted, and how many others there are."""
    listed = list(values)
    shown = [v for v in listed if (not isinstance(v, str) or v in frequent) and discretion.shows(columns, v)]
    return shown, len(listed) - len(shown)


def find_frequent(column: pd.Series[Any]) -> frozenset[str]:
    """The texts of a column that rows enough hold to be quoted."""
    counts = column.value_counts()
    return frozenset(str(v) for v in counts.index[(counts >= FEWEST_OF_A_VALUE).to_numpy()])


def cut_values(message: str, said: str = "") -> str:
    """An error's message up to the first piece in quotes or brackets that may be a value: what is neither in `said`,
    the rule's own words, nor a name or a sign of Python's. Long runs of digits go too."""
    for piece in _PIECE.finditer(message):
        inner = next(group for group in piece.groups()[1:] if group is not None)
        if inner and inner not in said and inner not in _TYPES and any(c.isalnum() for c in inner):
            message = f"{message[: piece.start()].rstrip()} ..."
            break
    return re.sub(r"\d{7,}", "...", message)


def shorten(value: Any) -> str:
    """A value on a line: at most 60 characters, numbers with six digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _tuples(rows: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Each row's values; None for a missing one of a text, since nan is not equal to itself."""
    columns = [rows[name] for name in rows.columns]
    plain = [
        c.astype(object).where(c.notna(), None) if c.dtype.kind in "OSU" or c.dtype == "str" else c for c in columns
    ]
    return list(zip(*(c.tolist() for c in plain), strict=True))


def _count(keys: list[tuple[Any, ...]], positions: NDArray[Any]) -> dict[tuple[Any, ...], tuple[int, int]]:
    counted = Counter(keys)
    first: dict[tuple[Any, ...], int] = {}
    for key, position in zip(keys, positions.tolist(), strict=True):
        first.setdefault(key, position)
    return {key: (count, first[key]) for key, count in counted.items()}


def _spell(key: tuple[Any, ...]) -> str:
    return " / ".join(shorten(value) for value in key)
