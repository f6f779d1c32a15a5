"""What broke on its way here, told apart from a population that changed: these are mended upstream.

A season moves a column's values; it does not blank them, freeze them, multiply them or rename a category. Each rule
asks for more than chance and for more than the past windows have done by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tasks.monitoring.counts import ColumnCounts, read_quantiles, read_sizes
from tasks.monitoring.past import PastWindow
from tasks.monitoring.profile import ColumnProfile, Profile, WindowCounts

FEWEST_ROWS = 50  # below, a window is too small to call anything broken
CHANCE = 1e-6  # that a share of missing or unseen values came about by chance
MISSING_JUMP, UNTOLD_JUMP = 0.10, 0.20  # beyond what was natural; with fewer than FEW_WINDOWS past ones, and
FEW_WINDOWS = 3
UNSEEN_JUMP = 0.30  # are broken; less, where the column drifted by it, is a cause to be mended upstream
SMALL_JUMP = 0.005
SPARSE = 0.5  # a column that lacked so much before may lack all
USUAL = 0.05  # a value that so many rows of the reference have may be the only one for a while
FOREIGN_SHARE = 0.05
STILL = 10  # a column that stood still this many times longer than ever before is frozen
REPEATED_JUMP = 0.10
DELIVERED_BEFORE = 0.95  # a snapshot that is delivered each month changes by less
REPEATED_BY_NATURE = 0.05  # rows that are alike anyway tell nothing of a second delivery
FEW_ROWS = 0.5  # of the least past window
GAP = 0.25  # of the period: the days after Christmas are fewer
NATURAL = 2.0  # a jump counts beyond the largest past share plus so many times the past shares' range
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
FACTOR, LARGE_FACTOR = 2.0, 3.0  # a known unit's factor, and any other, that is no growth
FACTOR_LIKE, UNIT_LIKE = 0.1, 0.012  # how alike the quantiles' factors must be, and a factor to a unit's
APART, LIKE = 0.5, 0.25  # standard deviations that quantiles moved at least, and that remain once a shift is undone
UNITS = {
    60: ("minutes", "seconds"), 3_600: ("hours", "seconds"), 24: ("days", "hours"), 1_440: ("days", "minutes"),
    7: ("weeks", "days"), 12: ("years", "months"), 100: ("wholes", "hundredths"), 1_000: ("thousands", "units"),
    1_000_000: ("millions", "units"), 2.54: ("inches", "centimetres"), 3.281: ("metres", "feet"),
    2.205: ("kilograms", "pounds"), 2.237: ("m/s", "mph"), 3.6: ("m/s", "km/h"),
}  # fmt: skip
Kind = Literal[
    "missing", "type", "constant", "unseen", "renamed", "unit", "repeated", "delivered before", "volume", "incomplete"
]


@dataclass(frozen=True)
class Fault:
    """What broke, and one clause that says how. `column` None: the delivery as a whole. `broken` False: too small to
    call the window broken by itself, but the cause of the column's drift."""

    column: str | None
    kind: Kind
    clause: str
    broken: bool = True


def find_faults(
    profile: Profile,
    window: WindowCounts,
    past: Sequence[PastWindow] = (),
    drifted: Collection[str] = (),
    *,
    learned: bool = False,
    rows: Sequence[int] = (),
) -> tuple[Fault, ...]:
    """What broke: the delivery first, then columns. `past`: comparable windows before this one, those of the reference
    among them. `drifted`: columns of which a smaller fault is named too. `learned`: the reference holds these rows.
    `rows`: of further past windows, which were broken by something else: fewer rows from now on are a fault once."""
    few = _few_rows(window, [*(p.rows for p in past), *rows])
    if window.rows < FEWEST_ROWS:
        return tuple(f for f in (few,) if f)
    found = [few, _incomplete(window, past), _repeated(profile, window, past)]
    found += [None if learned else _delivered_before(profile, window, past)]
    for name, column in profile.columns.items():
        reference, counts, moved = column.counts, window.columns[name], name in drifted
        if reference.rows:
            found.append(
                _foreign(name, reference, counts)
                or _missing(name, reference, counts, [p.missing.get(name, 0.0) for p in past], moved)
                or _constant(name, reference, counts)
                or _unseen(name, column, counts, [p.unseen.get(name, 0.0) for p in past], moved)
                or (_unit(name, column, counts, [p.middles.get(name, math.nan) for p in past]) if moved else None)
            )
    return tuple(f for f in found if f)


def find_skew(profile: Profile, window: WindowCounts, least: float = 0.01) -> dict[str, str]:
    """Where scoring saw what training did not, a clause per column: other types, values outside of the reference's
    range, values that it never held; from a share of `least` of the known values."""
    found = {}
    for name, column in profile.columns.items():
        counts, reference = window.columns[name], column.counts
        if not counts.known or not reference.known:
            continue
        said = []
        other = {form: n for form, n in counts.forms.items() if n and form not in reference.forms}
        if other and (counts.foreign or counts.unseen):  # another type of the same values, as CSV has it, is no matter
            said.append(f"arrives as {_join(sorted(other))}, trained as {_join(sorted(reference.forms))}")
        if counts.kind == "number":
            filled = np.flatnonzero(reference.fine)
            outside = counts.fine[: filled[0]].sum() + counts.fine[filled[-1] + 1 :].sum()
            if outside / counts.known >= least and "time" not in reference.forms:  # time goes on
                # Not the extremes themselves, which may be one person's.
                low, high = read_quantiles(reference.fine, column.gauge, [0.01, 0.99])
                said.append(
                    f"{outside / counts.known:.0%} of values lie beyond all (98% lay in {low:.4g} to {high:.4g})"
                )
        elif counts.unseen_share - (column.singles + 1) / (reference.known + 2) >= least:
            said.append(f"{counts.unseen_share:.0%} are values that training never saw")
        if said:
            found[name] = "; ".join(said)
    return found


# ---------------------------------------------------------------- the delivery


def _few_rows(window: WindowCounts, rows: Sequence[int]) -> Fault | None:
    if len(rows) < 2 or not window.rows or window.rows >= FEW_ROWS * min(rows):
        return None
    return Fault(
        None,
        "volume",
        f"only {window.rows:,} rows came, where {len(rows)} past windows had {min(rows):,} to {max(rows):,}",
    )


def _incomplete(window: WindowCounts, past: Sequence[PastWindow]) -> Fault | None:
    usual = [p.gap for p in past]
    rows = [p.rows for p in past]
    if not usual or window.gap - max(usual) < GAP or window.rows >= 0.8 * float(np.median(rows)):
        return None
    return Fault(
        None,
        "incomplete",
        f"no row is of the last {window.gap:.0%} of the period (before at most {max(usual):.0%}): the delivery is late "
        "or cut off",
    )


def _repeated(profile: Profile, window: WindowCounts, past: Sequence[PastWindow]) -> Fault | None:
    usual = max([profile.sketch.repeated, *(p.repeated for p in past)])
    if usual > REPEATED_BY_NATURE or window.sketch.repeated - usual < REPEATED_JUMP:
        return None
    before = f" ({usual:.0%} before)" if usual else ""
    return Fault(None, "repeated", f"{window.sketch.repeated:.0%} of its rows repeat others{before}: delivered twice?")


def _delivered_before(profile: Profile, window: WindowCounts, past: Sequence[PastWindow]) -> Fault | None:
    if profile.sketch.repeated > REPEATED_BY_NATURE:
        return None
    known = [("the rows that the model learned from", profile.sketch)]
    known += [(f"window {p.key}", p.sketch) for p in past if len(p.sketch.hashes)]
    for where, sketch in known:
        shared = window.sketch.shared_with(sketch)
        if shared >= DELIVERED_BEFORE:
            return Fault(None, "delivered before", f"{shared:.0%} of its rows were delivered before, in {where}")
    return None


# ---------------------------------------------------------------- columns


def _foreign(name: str, reference: ColumnCounts, window: ColumnCounts) -> Fault | None:
    values = window.known + window.foreign if reference.known else 0
    before = reference.foreign / max(reference.known + reference.foreign, 1)
    if not values or window.foreign / values - before < FOREIGN_SHARE:
        return None
    return Fault(name, "type", f"{window.foreign / values:.0%} of the values of {name!r} are no numbers any more")


def _missing(
    name: str, reference: ColumnCounts, window: ColumnCounts, past: Sequence[float], drifted: bool
) -> Fault | None:
    from scipy.stats import binom

    jump = window.missing_share - _natural(reference.missing_share, past)
    silent = not window.known and max([reference.missing_share, *past]) < SPARSE
    enough = MISSING_JUMP if len(past) >= FEW_WINDOWS else UNTOLD_JUMP
    expected = (reference.missing + 1) / (reference.rows + 2)
    if not silent and jump < (SMALL_JUMP if drifted else enough):
        return None
    if float(binom.sf(window.missing - 1, window.rows, expected)) > CHANCE:
        return None
    if not silent and jump < enough and not _is_due_to_missing(reference, window):
        return None
    share = "throughout" if not window.known else f"in {_percent(window.missing_share)} of rows"
    before = f"{_percent(reference.missing_share)} in the reference"
    return Fault(name, "missing", f"{name!r} is missing {share} ({before})", silent or jump >= enough)


def _is_due_to_missing(reference: ColumnCounts, window: ColumnCounts) -> bool:
    """Whether the share of missing values moved further than the known ones did, by total variation."""
    if not reference.known or not window.known:
        return True
    known = 0.5 * np.abs(reference.cells / reference.known - window.cells / window.known).sum()
    noise = np.sqrt(len(window.cells) / (2 * np.pi) * (1 / window.known + 1 / reference.known))
    return window.missing_share - reference.missing_share >= float(known) - float(noise)


def _constant(name: str, reference: ColumnCounts, window: ColumnCounts) -> Fault | None:
    # Runs, not shares: a column such as `month` stands still for a whole window by nature, and did so before.
    if not window.constant or reference.constant or window.known < max(FEWEST_ROWS, STILL * reference.runs.longest):
        return None
    if _is_usual(reference, window):
        return None  # as snow is 0 in summer
    return Fault(
        name,
        "constant",
        f"{name!r} is the same in all {window.known:,} rows (in the reference never in more than "
        f"{reference.runs.longest:,} running)",
    )


def _is_usual(reference: ColumnCounts, window: ColumnCounts) -> bool:
    """Whether the one value that a window has is one that many rows of the reference had."""
    if window.kind == "number":
        rows = reference.fine[window.fine > 0].sum()
    elif reference.levels is not None and window.levels is not None:
        rows = sum(reference.levels.get(level, 0) for level in window.levels)
    else:
        rows = reference.cells[window.cells > 0].sum()
    return bool(rows >= USUAL * max(reference.known, 1))


def _unseen(
    name: str, reference: ColumnProfile, window: ColumnCounts, past: Sequence[float], drifted: bool
) -> Fault | None:
    if window.kind != "category" or reference.gauge.known is None or window.known < FEWEST_ROWS:
        return None  # with more values than are kept, unseen cannot be told from rare
    if window.known < STILL * reference.counts.runs.longest or not reference.counts.known:
        return None  # it stands still for long by nature, as a season does, and may have moved on
    # Good and Turing: the mass of values that are yet to be seen is about that of those seen once.
    expected = (reference.singles + 1) / (reference.counts.known + 2)
    jump = window.unseen_share - _natural(expected, past)
    renamed = _find_renamed(reference.counts, window) if jump >= SMALL_JUMP else None
    if renamed and (drifted or renamed[1] >= UNSEEN_JUMP):
        gone, share = renamed
        return Fault(
            name,
            "renamed",
            f"of {name!r} {gone} gone ({_percent(share)} of the reference), and {_percent(window.unseen_share)} are "
            "values that the reference never held: renamed?",
        )
    if jump < (SMALL_JUMP if drifted else UNSEEN_JUMP):
        return None
    clause = f"{_percent(window.unseen_share)} of {name!r} are values that the reference never held"
    return Fault(name, "unseen", clause, jump >= UNSEEN_JUMP)


def _find_renamed(reference: ColumnCounts, window: ColumnCounts) -> tuple[str, float] | None:
    """The values that vanished, where as many rows hold new ones: how they are called, and their share."""
    if reference.levels is None or window.levels is None or not reference.known:
        return None
    gone = {level: n for level, n in reference.levels.items() if level not in window.levels}
    share = sum(gone.values()) / reference.known
    large = [level for level, n in gone.items() if n / reference.known * window.known >= 20]
    if not large or not 0.5 <= window.unseen_share / max(share, 1e-9) <= 2:
        return None
    if len(large) > 1:
        return f"{len(large)} values are", share
    return (f"one value ({large[0]!r}) is" if not large[0].startswith("#") else "one value is"), share


def _unit(name: str, reference: ColumnProfile, window: ColumnCounts, past: Sequence[float]) -> Fault | None:
    """Whether the values are those of the reference times a factor (or degrees in another scale). `past`: the median
    sizes of past windows: what grows comes near to the factor before it reaches it."""
    if window.kind != "number" or not window.known or not reference.counts.known:
        return None
    before = read_quantiles(reference.counts.fine, reference.gauge, SHARES)
    here = read_quantiles(window.fine, reference.gauge, SHARES)
    spread = max(reference.counts.moments.deviation, 1e-300)
    spread = min(spread, (before[-1] - before[0]) / 2.563) or spread
    if not np.isfinite(here).all() or np.abs(here - before).max() < APART * spread:
        return None
    if len(np.unique(before)) < 3:
        return None  # a handful of values fits anything
    factor = _find_factor(reference.counts, window)
    alike = min(reference.counts.moments.low, window.moments.low) >= 0
    if factor is not None and not alike:  # of both signs: each quantile has to fit, and not its size alone
        alike = bool(np.abs(here / factor - before).max() < LIKE * spread)
    middle = float(read_sizes(window.sizes, [0.5])[0])
    nearest = min((max(middle / p, p / middle) for p in past if p > 0), default=math.inf)
    if factor is not None and alike and nearest >= FACTOR:
        return Fault(name, "unit", f"{name!r} is {_say_factor(factor)} ({_medians(before, here)}): another unit?")
    if np.abs(here[::-1] + before).max() < LIKE * spread:
        return Fault(name, "unit", f"{name!r} is of the other sign ({_medians(before, here)})")
    for scale, offset, said in ((5 / 9, -160 / 9, "Fahrenheit to Celsius"), (9 / 5, 32.0, "Celsius to Fahrenheit")):
        if np.abs((here - offset) / scale - before).max() < LIKE * spread:
            return Fault(name, "unit", f"{name!r} looks turned from {said} ({_medians(before, here)})")
    return None


def _find_factor(reference: ColumnCounts, window: ColumnCounts) -> float | None:
    """What all of the reference's values were multiplied by; None where they were not.

    Every quantile of their sizes must have moved by the same factor, and as many be zero. A factor that is no known
    unit has to be large: prices and counts grow as well.
    """
    sizes, here = read_sizes(reference.sizes, SHARES), read_sizes(window.sizes, SHARES)
    zero = reference.sizes[0] / reference.known, window.sizes[0] / window.known
    told = sizes > sizes.min() if zero[0] > SHARES[0] else np.full(len(sizes), True)
    if abs(zero[0] - zero[1]) > 0.05 or told.sum() < 3 or len(np.unique(sizes[told])) < 3:
        return None
    ratios = here[told] / sizes[told]
    factor = float(np.median(ratios))
    size = max(factor, 1 / factor)
    within = UNIT_LIKE + 1 / math.sqrt(window.known)  # few rows tell a factor less well
    unit = next((unit for unit in UNITS if abs(size / unit - 1) < within), None)
    if np.abs(np.log(ratios / factor)).max() > FACTOR_LIKE or size < (FACTOR if unit else LARGE_FACTOR):
        return None
    return factor if unit is None else unit if factor > 1 else 1 / unit


def _say_factor(factor: float) -> str:
    size, verb = max(factor, 1 / factor), "multiplied" if factor > 1 else "divided"
    for unit, (one, other) in UNITS.items():
        if abs(size / unit - 1) < 1e-9:
            return (
                f"{verb} by {unit:,g}, as {one} to {other}"
                if factor > 1
                else f"{verb} by {unit:,g}, as {other} to {one}"
            )
    return f"{verb} by {size:.3g}"


def _medians(before: np.ndarray, here: np.ndarray) -> str:
    return f"median {before[2]:.4g} in the reference, {here[2]:.4g} here"


def _natural(reference: float, past: Sequence[float]) -> float:
    """The most of a share that is natural: the largest so far, and a margin that follows how much it has moved."""
    seen = [reference, *past]
    return max(seen) + NATURAL * (max(seen) - min(seen))


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.1%}"


def _join(parts: Sequence[str]) -> str:
    return " and ".join(parts)
