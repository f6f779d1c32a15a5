"""An audit as the pages read it out of the ledger: what is missing there is empty here, and breaks no page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.reports.wording import fixed, is_number, number, plain, shorten
from tasks.stats.metrics import METRICS

Part = Mapping[str, Any]
TOO_FEW = "too few to tell"
_NAMED = 80  # characters of a name


@dataclass(frozen=True)
class Status:
    """What was found, for a badge: its tone, a glyph and words. `mark` is the shape it is drawn with."""

    tone: str
    glyph: str
    word: str
    mark: str


_STATUS = {
    "pass": Status("good", "✓", "keeps the limit", "pass"),
    "fail": Status("bad", "✗", "breaks the limit", "fail"),
    "undecided": Status("warn", "?", "cannot be told", "inconclusive"),
    "too small": Status("na", "?", TOO_FEW, "inconclusive"),
    "reported": Status("na", "–", "no limit stated", "pass"),  # noqa: RUF001 - the dash of the other tables
}


def find_status(found: Part) -> Status:
    """The finding of a slice, a comparison, a limit or a step."""
    return _STATUS.get(str(found.get("finding")), _STATUS["undecided"])


def part(of: Any, name: str) -> Part:
    """A part of the audit; empty where it is not there."""
    value = of.get(name) if isinstance(of, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def parts(of: Any, name: str) -> list[Part]:
    """Parts that are listed under a name."""
    return [entry for entry in entries(of, name) if isinstance(entry, Mapping)]


def entries(of: Any, name: str) -> Sequence[Any]:
    """What is listed under a name; empty where it is no list."""
    value = of.get(name) if isinstance(of, Mapping) else None
    return value if isinstance(value, list | tuple) else ()


def figure(of: Any, name: str) -> float:
    """A number of the audit; nan where there is none."""
    value = of.get(name) if isinstance(of, Mapping) else None
    return float(value) if is_number(value) else math.nan


def count(of: Any, name: str) -> int:
    """A whole number of the audit, such as rows; 0 where there is none."""
    value = figure(of, name)
    return int(value) if math.isfinite(value) else 0


def ends(of: Any) -> tuple[float, float] | None:
    """The ends `low` and `high`; None where they cannot be told."""
    found = figure(of, "low"), figure(of, "high")
    return found if all(map(math.isfinite, found)) else None


def named(text: object) -> str:
    """A stranger's name in a sentence, shortened."""
    return shorten(plain(text), _NAMED)


def list_names(names: Sequence[Any], most: int = 3) -> str:
    """The first names in a row, the others counted."""
    shown = [named(name) for name in names[:most]]
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left:,} more" if left > 0 else "")


def counted(number_of: int, one: str, many: str = "") -> str:
    """Such as "1 slice" and "3 slices"."""
    return f"{number_of:,} {one if number_of == 1 else many or one + 's'}"


def between(found: tuple[float, float] | None, decimals: int | None = None) -> str:
    """Both ends in words; that there are too few rows where they are not known."""
    if found is None:
        return TOO_FEW
    low, high = (number(v) if decimals is None else fixed(v, decimals) for v in found)
    return f"{low} to {high}"


def rises(metric: object) -> bool:
    """Whether more of a metric is better; True for one that is not known any more."""
    known = METRICS.get(str(metric))
    return known is None or known.larger_is_better
