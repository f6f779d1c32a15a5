"""Whether groups of people are treated alike, as the pages tell it: the answer, each column, and each stated limit."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.reports.findings import (
    Part,
    Status,
    between,
    ends,
    entries,
    figure,
    find_status,
    list_names,
    named,
    parts,
)
from tasks.reports.groups import GroupsView, is_told, list_rates, read_rate, tell_limit, view_groups
from tasks.reports.measures import EXPLAINED, by_words, measure_title, rate_title, write_rate
from tasks.reports.wording import capital, number, plain, sentence

_MOST_COLUMNS, _MOST_PAIRS = 8, 6  # that have a table
_MOST_ROWS, _MOST_OF_ONE = 60, 30  # groups in all tables together, by a pair of columns half as many
_MOST_COMPARISONS = 5


@dataclass(frozen=True)
class Pair:
    """One group against another."""

    group: str
    other: str
    rate: str
    value: str
    bounds: str
    status: Status


@dataclass(frozen=True)
class LimitView:
    """A stated limit, its finding, and the comparisons that speak most against it."""

    title: str
    asked: str
    status: Status
    problem: str
    kind: str
    pairs: tuple[Pair, ...]
    left: int
    small: str


@dataclass(frozen=True)
class ColumnView:
    """What is told by a protected column, or by two."""

    groups: GroupsView
    limits: tuple[LimitView, ...]


@dataclass(frozen=True)
class FairnessView:
    """The section "Groups of people"; `left` counts the columns and pairs of them that have no table."""

    answer: str
    words: str
    columns: tuple[ColumnView, ...]
    pairs: tuple[ColumnView, ...]
    left: int


def view_fairness(audit: Part) -> FairnessView | None:
    """The section; None where no column is protected."""
    every = list_columns(audit)
    if not every:
        return None
    single = [one for one in every if len(entries(one[0], "by")) < 2]
    pairs = sorted((one for one in every if one not in single), key=lambda one: not one[1])
    views = []
    for found, most, rows in ((single, _MOST_COLUMNS, _MOST_ROWS), (pairs, _MOST_PAIRS, _MOST_ROWS // 2)):
        kept = found[:most]
        each = min(_MOST_OF_ONE, rows // max(len(kept), 1))
        views.append(tuple(ColumnView(view_groups(g, f, each), tuple(map(_view_limit, f))) for g, f in kept))
    left = len(every) - len(views[0]) - len(views[1])
    rates = dict.fromkeys(name for groups, _ in every for name in list_rates(groups))
    words = [EXPLAINED[name] for name in rates if name in EXPLAINED]
    return FairnessView(
        tell_fairness(audit), f"{capital('; '.join(words))}." if words else "", views[0], views[1], left
    )


def list_columns(audit: Part) -> list[tuple[Part, list[Part]]]:
    """The groups by each column, or two, and the limits that are stated for them."""
    audits, limits = parts(audit, "groups"), parts(audit, "fairness")
    known = [_by(groups) for groups in audits]
    bare = [{"by": list(by)} for by in dict.fromkeys(map(_by, limits)) if by not in known]
    return [(groups, [f for f in limits if _by(f) == _by(groups)]) for groups in (*audits, *bare)]


def tell_fairness(audit: Part) -> str:
    """The answer, in a sentence or two."""
    limits = parts(audit, "fairness")
    failed = [f for f in limits if f.get("finding") == "fail"]
    if failed:
        said = "; ".join(_tell_value(f) for f in failed[:2])
        more = f"; and {len(failed) - 2} more" if len(failed) > 2 else ""
        return f"The model treats groups more differently than the project file allows. {capital(said)}{more}."
    if not limits:
        rest = "No limit is stated (gates.fairness), so the numbers are shown and do not hold a release."
        return f"{_tell_range(audit)} {rest}"
    open_ = sum(f.get("finding") != "pass" for f in limits)
    told = capital("; ".join(_tell_value(f) for f in limits[:2]))
    if not open_:
        kept = "The stated limit is" if len(limits) == 1 else f"All {len(limits)} stated limits are"
        return f"{kept} shown to be kept. {told}."
    if len(limits) == 1:
        return f"The stated limit is not shown to be broken, nor that every group keeps it. {told}."
    return (
        f"No stated limit is shown to be broken; for {open_} of {len(limits)} it is not shown that all keep it. {told}."
    )


def _tell_value(found: Part) -> str:
    value = f"{measure_title(found.get('metric'))} is {number(figure(found, 'value'))}"
    return f"by {by_words(_by(found))}, the {value}; {tell_limit(found)} is asked"


def _tell_range(audit: Part) -> str:
    """Between what the first rate lies, over the groups of the column by which it differs most."""
    found = []
    for groups in parts(audit, "groups"):
        name = next(iter(list_rates(groups)), "")
        told = [(read_rate(g, name)[0], str(g.get("group"))) for g in parts(groups, "groups") if is_told(g, name)]
        if len(told) > 1 and len(_by(groups)) == 1:
            found.append((max(told)[0] - min(told)[0], name, min(told), max(told)))
    if not found:
        return "Too little can be told of the groups to compare them."
    _, name, (low, one), (high, other) = max(found)
    return (
        f"The widest gap between groups: {rate_title(name)} is {write_rate(name, low)} for {named(one)} and "
        f"{write_rate(name, high)} for {named(other)}."
    )


def _view_limit(found: Part) -> LimitView:
    ratio, pairs = found.get("kind") == "ratio", parts(found, "comparisons")
    broken = [c for c in pairs if c.get("finding") == "fail"]
    # Of two groups the one that gets less is shown against the other; the way back says the same again.
    worse = [c for c in pairs if c not in broken and (figure(c, "value") < 1 if ratio else figure(c, "value") > 0)]
    worst, small = [*broken, *worse] or pairs, entries(found, "too_small")
    return LimitView(
        title=capital(measure_title(found.get("metric"))),
        asked=tell_limit(found),
        status=find_status(found),
        problem=sentence(capital(plain(found.get("problem") or ""))),
        kind="ratio" if ratio else "difference",
        pairs=tuple(_view_pair(c) for c in worst[:_MOST_COMPARISONS]),
        left=max(0, len(worst) - _MOST_COMPARISONS),
        small=list_names(small, 10) if small else "",
    )


def _view_pair(found: Part) -> Pair:
    return Pair(
        group=str(found.get("group")),
        other=str(found.get("other")),
        rate=rate_title(found.get("rate")),
        value=number(figure(found, "value")),
        bounds=between(ends(found)),
        status=find_status(found),
    )


def _by(found: Part) -> tuple[str, ...]:
    return tuple(str(column) for column in entries(found, "by"))
