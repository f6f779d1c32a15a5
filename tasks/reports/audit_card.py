"""The audit on the model card: the same facts as on the decision page, shorter, and what was not assessed."""

from __future__ import annotations

from typing import Any

from tasks.reports.dossier import Dossier, gate_kind, metric_title
from tasks.reports.fairness import list_columns, tell_fairness
from tasks.reports.findings import Part, counted, entries, named, part, parts
from tasks.reports.groups import GroupRow, view_groups
from tasks.reports.leaks import tell_leaks, view_leaks
from tasks.reports.measures import by_words
from tasks.reports.price import view_price
from tasks.reports.robustness import tell_needless, tell_robustness, view_robustness
from tasks.reports.section import Section, Table
from tasks.reports.slices import Slices, tell_slices, view_slices

_WEAKEST = 5
_MOST_GROUPS = 15
_MOST_COLUMNS = 6
_MOST_SIGNS = 10


def tell_audit(dossier: Dossier) -> list[Section]:
    """The sections that the audit gives a card; none where nothing was audited."""
    audit = dossier.audit
    found = [
        _tell_slices(audit),
        _tell_groups(audit, dossier.record.get("mitigation")),
        _tell_robustness(audit),
        _tell_leaks(audit),
    ]
    return [section for section in found if section is not None]


def list_gaps(dossier: Dossier) -> list[str]:
    """What was not looked at, and how to have it looked at; empty where all of it was."""
    audit, kinds, missing = dossier.audit, {gate_kind(gate) for gate in dossier.gates}, []
    if not parts(audit, "groups") and "fairness" not in kinds:
        how = "; no protected column is stated. Name those that say who a row is about in data.protected"
        missing.append(f"Not assessed: fairness between groups of people{how if audit else ''}.")
    if not parts(part(audit, "slices"), "slices") and "slices" not in kinds:
        how = "; name columns in gates.slices.by" if audit else ""
        missing.append(f"Not assessed: how it does on parts of the rows (slices), beside the overall metric{how}.")
    if audit and not part(audit, "robustness"):
        missing.append("Not assessed: rows that are worse than the test rows.")
    return missing


def _tell_slices(audit: Part) -> Section | None:
    found, view = Slices.read(audit), view_slices(audit)
    if found is None or view is None:
        return None
    every = [row for _, rows in view.groups for row in rows]
    weakest = [str(s.get("name")) for s in found.weakest[:_WEAKEST]]
    kept = sorted((r for r in every if r.name in weakest), key=lambda r: weakest.index(r.name))[:_WEAKEST]
    head = "champion" if found.champion else "all test rows"
    rows: list[tuple[str, ...]] = [
        (r.name, r.rows, r.value, r.interval, r.other, f"{r.worse} ({r.bounds})", r.word) for r in kept
    ]
    heads: tuple[str, ...] = ("slice", "rows", metric_title(found.metric), "interval", head, "worse by", "finding")
    if not view.limited:
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    sentences = [tell_slices(found)]
    if found.small and found.told:
        sentences.append(
            f"{counted(len(found.small), 'slice has', 'slices have')} too few rows or independent days to tell."
        )
    table = Table(f"The {len(rows)} weakest of {len(found.told):,} slices", heads, tuple(rows))
    return Section("Parts of the rows", tuple(sentences), tables=(table,) if rows else ())


def _tell_groups(audit: Part, mitigation: Any) -> Section | None:
    columns, price = list_columns(audit), view_price(mitigation, audit)
    single = [(groups, limits) for groups, limits in columns if len(entries(groups, "by")) < 2]
    points, tables = [], []
    for groups, limits in single[:_MOST_COLUMNS]:
        view = view_groups(groups, limits, _MOST_GROUPS)
        if view.rows:
            left = f" ({view.left:,} smaller groups are not listed)" if view.left else ""
            heads = ("group", "rows", *view.heads)
            tables.append(Table(f"By {view.by}{left}", heads, tuple(_list_cells(row) for row in view.rows)))
    for groups, limits in columns:
        by = by_words(entries(groups, "by"))
        for gap in view_groups(groups, limits, 0).gaps if limits else ():
            if gap.status is not None:
                points.append(f"By {by}, {gap.title}: {gap.value}; {gap.limit} is asked: {gap.status.word}.")
    pairs = len(columns) - len(single)
    if pairs:
        points.append(f"{counted(pairs, 'pair')} of columns too: see the decision page.")
    sentences = [tell_fairness(audit)] if columns else []
    if price is not None:
        sentences += [price.done, price.meaning, price.left, price.answer, price.widened]
        if price.metrics:
            tables.append(Table("What it costs", ("metric", "without", "with", "change"), price.metrics))
        if price.gaps:
            tables.append(Table("What it changes", ("over all groups", "without", "with", "change"), price.gaps))
    if not sentences and not tables:
        return None
    return Section("Groups of people", tuple(filter(None, sentences)), tuple(points), tuple(tables))


def _list_cells(row: GroupRow) -> tuple[str, ...]:
    return (row.name, row.rows, *(f"{c.value} ({c.interval})" if c.interval else c.value for c in row.cells))


def _tell_robustness(audit: Part) -> Section | None:
    view, found = view_robustness(audit), part(audit, "robustness")
    if view is None:
        return None
    said = {str(s.get("kind")): s for s in parts(found, "steps") if s.get("kind") != "lost"}
    whole = [s for s in view.steps if s.what]
    falls = "; ".join(f"{s.what[:1].lower()}{s.what[1:]}: {s.fall}" for s in whole[: len(said)])
    lines = [tell_robustness(found), f"Falls of {view.metric}: {falls}." if falls else "", tell_needless(found)]
    return Section("Worse rows", tuple(filter(None, lines)))


def _tell_leaks(audit: Part) -> Section | None:
    view = view_leaks(audit)
    if view is None:
        return None
    points = tuple(f"{s.weight}, {named(s.what)}: {s.sentence}" for s in view.signs[:_MOST_SIGNS])
    return Section("Leaks", (tell_leaks(audit),), points)
