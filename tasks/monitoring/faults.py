"""Columns that broke on their way here, told apart from populations that changed: these are mended upstream.

A season moves a column's values; it does not blank them, freeze them or replace every category. Each rule asks for
more than chance and more than the column has been seen to do by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.monitoring.counts import ColumnCounts
from tasks.monitoring.profile import Profile, WindowCounts

MISSING_JUMP = 0.20
UNSEEN_SHARE = 0.50
FEWEST_ROWS = 50  # below, a window is too small to call a column broken
STILL = 10  # a column that stood still this many times longer than ever before is frozen


@dataclass(frozen=True)
class Fault:
    """One broken column, and one clause that says how."""

    column: str
    kind: Literal["missing", "constant", "unseen"]
    clause: str


def find_faults(profile: Profile, window: WindowCounts) -> tuple[Fault, ...]:
    """The columns that are newly missing, constant, or mostly of values that the reference never held."""
    found = []
    for name, column in profile.columns.items():
        counts = window.columns[name]
        if counts.rows < FEWEST_ROWS or not column.counts.rows:
            continue
        fault = (
            _missing(name, column.counts, counts)
            or _constant(name, column.counts, counts)
            or _unseen(name, column.counts, counts)
        )
        if fault:
            found.append(fault)
    return tuple(found)


def _missing(name: str, reference: ColumnCounts, window: ColumnCounts) -> Fault | None:
    if window.missing_share - reference.missing_share <= MISSING_JUMP:
        return None
    from scipy.stats import binom

    expected = (reference.missing + 1) / (reference.rows + 2)
    if binom.sf(window.missing - 1, window.rows, expected) > 1e-4:
        return None
    all_of_it = "missing throughout" if not window.known else f"missing in {window.missing_share:.0%} of rows"
    return Fault(name, "missing", f"{name!r} is {all_of_it} ({reference.missing_share:.0%} in the reference)")


def _constant(name: str, reference: ColumnCounts, window: ColumnCounts) -> Fault | None:
    # Runs, not shares: a column such as `month` stands still for a whole window by nature, and did so before.
    if not window.constant or reference.constant or window.known < max(FEWEST_ROWS, STILL * reference.runs.longest):
        return None
    return Fault(
        name,
        "constant",
        f"{name!r} is the same in all {window.known:,} rows (in the reference never in more than "
        f"{reference.runs.longest:,} running)",
    )


def _unseen(name: str, reference: ColumnCounts, window: ColumnCounts) -> Fault | None:
    if window.kind != "category" or not reference.levels or window.known < FEWEST_ROWS:
        return None  # with more levels than are kept, unseen cannot be told from rare
    if window.known < STILL * reference.runs.longest:
        return None
    seen = sum(count for level, count in (window.levels or {}).items() if level in reference.levels)
    if window.levels is None:
        return Fault(
            name, "unseen", f"{name!r} holds far more values than the {len(reference.levels)} of the reference"
        )
    share = 1 - seen / window.known
    if share <= UNSEEN_SHARE:
        return None
    return Fault(name, "unseen", f"{share:.0%} of {name!r} are values that the reference never held")
