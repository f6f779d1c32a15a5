"""A batch against its contract: one streamed pass, then what only the whole batch can tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pandas as pd

from tasks.config import LoadedProject
from tasks.contract.docs import build_data_docs
from tasks.contract.duplicates import KeyHashes, read_rows
from tasks.contract.engine import Finding, configure, evaluate
from tasks.contract.page import write_page
from tasks.contract.personal import RowsSetAside
from tasks.contract.quarantine import broken_positions, write_quarantine
from tasks.contract.quotation import Discretion
from tasks.contract.rules import Rule, derive_rules, kind_in
from tasks.contract.suite import ContractSpec, load_contract
from tasks.contract.tally import Counts, Tally, judge
from tasks.results import ContractResult, RuleResult
from tasks.stage import crash_point, stage
from tasks.table import Schema, TableRef, to_frame

_BY_LIBRARY = ("chunk", "unique", "column", "table")


def check_batch(
    project: LoadedProject,
    contract: ContractSpec,
    table: TableRef,
    *,
    now: datetime,
    label_expected: bool,
    reference: Schema | None = None,
    ends: datetime | None = None,
) -> ContractResult:
    """Check a batch, write its quarantine, and say whether it is accepted.

    The rows are streamed; only hashes of keys that must be unique, and the columns that an aggregate expectation
    names, are held. `label_expected` False leaves out every rule about the target. `reference` are the columns that
    training knew. `ends` is the end of the batch's period: freshness is judged there, or at `now` where that is
    earlier or there is no period. A rule that could not be evaluated has failed.

    Raises ConfigError where Great Expectations refuses an argument of the contract, DataError where the files cannot
    be read, InfrastructureError where the quarantine cannot be written.

    What is said about the values that broke a rule may be read by many, so it quotes none of a column that looks like
    personal data, and texts only where FEWEST_OF_A_VALUE rows hold them; see `tally.judge`.
    """
    rules = derive_rules(project, contract, table, label_expected=label_expected, reference=reference)
    configured = configure([r for r in rules if r.how in _BY_LIBRARY], contract.path)
    blocked = _blocked(rules, table)
    tallies = {r.name: Tally(r, blocked.get(r.name), text=_has_text(r, table)) for r in rules}
    aside = RowsSetAside(table)
    counts = _stream(table, tallies, configured, aside)
    _repeats(table, tallies, configured, counts)
    _columns(table, tallies, configured)
    _shape(table, tallies, configured, counts, None if label_expected else project.spec.data.target)
    reference_time = now if ends is None else min(now, ends)
    personal = aside.find(project.spec.data)
    discretion = Discretion(personal, project.spec.data.not_personal)
    results = tuple(judge(tally, counts, table, reference_time, discretion) for tally in tallies.values())
    broken = {t.rule.name: t.positions() for t in tallies.values() if t.quarantines}
    quarantined = len(broken_positions(broken))
    reason = _refusal(results, quarantined, counts.rows, contract.max_quarantine)
    return ContractResult(
        batch=table.batch,
        outcome="refused" if reason else "accepted",
        reason=reason or _acceptance(results, quarantined, counts.rows),
        rows=counts.rows,
        quarantined=quarantined,
        rules=results,
        contract=contract.digest,
        quarantine=write_quarantine(project, table, broken),
        personal=personal,
    )


def _blocked(rules: tuple[Rule, ...], table: TableRef) -> dict[str, str]:
    """Rules that cannot be evaluated, with the reason: their column is not there or holds something else."""
    faults: dict[str, str] = {}
    for rule in rules:
        if rule.how == "exists" and kind_in(table, rule.columns[0]) is None:
            faults[rule.columns[0]] = "the column is not there"
        elif rule.how == "type":
            fault = Tally(rule).type_fault(kind_in(table, rule.columns[0]))
            if fault is not None:
                faults.setdefault(rule.columns[0], fault)
    judged = (*_BY_LIBRARY, "missing", "type")
    return {r.name: faults[c] for r in rules if r.how in judged and r.how != "table" for c in r.columns if c in faults}


def _has_text(rule: Rule, table: TableRef) -> bool:
    return any(kind_in(table, column) == "string" for column in rule.columns)


def _stream(table: TableRef, tallies: dict[str, Tally], configured: dict[str, Any], aside: RowsSetAside) -> Counts:
    """The one pass over all rows: row rules, what the others need to have counted, and rows set aside to look at."""
    live = {name: configured[name] for name, t in tallies.items() if t.open and t.rule.how == "chunk"}
    counts = Counts.of([t.rule for t in tallies.values() if t.open])
    for batch in table.record_batches():
        frame = to_frame(batch)
        frame.index = pd.RangeIndex(counts.rows, counts.rows + len(frame))
        counts.take(batch, frame, table)
        aside.take(frame)
        for name, finding in evaluate(frame, live).items():
            tallies[name].take(finding, frame)
            if finding.error is not None:
                del live[name]
    return counts


def _repeats(table: TableRef, tallies: dict[str, Tally], configured: dict[str, Any], counts: Counts) -> None:
    """Uniqueness: Great Expectations judges the rows whose hashes meet; no others can repeat anything."""
    for name, tally in tallies.items():
        if not tally.open or tally.rule.how != "unique":
            continue
        hashes: KeyHashes = counts.keys[tally.rule.columns]
        candidates = hashes.candidates()
        checked = hashes.checked()
        if len(candidates) == 0:
            tally.take(Finding(checked, candidates, True), None)
            continue
        frame = read_rows(table, tally.rule.columns, candidates)
        finding = evaluate(frame, {name: configured[name]})[name]
        tally.take(replace(finding, checked=checked), frame)


def _columns(table: TableRef, tallies: dict[str, Tally], configured: dict[str, Any]) -> None:
    """Aggregates, over a frame of only the columns that they name."""
    live = {name: t.rule for name, t in tallies.items() if t.open and t.rule.how == "column"}
    if not live:
        return
    conditional = any(r.kwargs.get("row_condition") for r in live.values())  # it may name any column
    named = {c for r in live.values() for c in r.columns}
    frame = table.frame(columns=None if conditional else [c for c in table.schema.names if c in named])
    for name, finding in evaluate(frame, {name: configured[name] for name in live}, values=True).items():
        tallies[name].take(finding, frame)


def _shape(
    table: TableRef, tallies: dict[str, Tally], configured: dict[str, Any], counts: Counts, absent: str | None
) -> None:
    """Rules about the number of rows or the names of the columns, over frames that have only that."""
    names = list(table.schema.names)
    if absent is not None and absent not in names:
        names.append(absent)  # where labels are not expected, their column need not be delivered either
    for name, tally in tallies.items():
        if tally.open and tally.rule.how == "table":
            by_rows = tally.rule.kind.startswith("expect_table_row_count")
            frame = pd.DataFrame(index=pd.RangeIndex(counts.rows)) if by_rows else pd.DataFrame(columns=names)
            tally.take(evaluate(frame, {name: configured[name]}, values=True)[name], None)


def _refusal(results: tuple[RuleResult, ...], quarantined: int, rows: int, most: float) -> str | None:
    failed = [r for r in results if not r.passed and r.scope == "batch" and r.severity == "critical"]
    if failed:
        # A column that is missing or of another type is named first: other rules fail because of it.
        first = min(failed, key=lambda r: (r.kind not in ("expect_column_to_exist", "type"), r.observed[:4] == "not "))
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return f"{first.name}: {first.observed}{more}"
    if quarantined > most * rows:
        worst = max((r for r in results if r.scope == "row" and not r.passed), key=lambda r: r.failed)
        share = quarantined / rows
        return (
            f"{quarantined:,} of {rows:,} rows ({share:.1%}) broke a row rule, more than the {most * 100:.4g}% allowed "
            f"(contract.max_quarantine); most of them {worst.name}"
        )
    return None


def _acceptance(results: tuple[RuleResult, ...], quarantined: int, rows: int) -> str:
    warned = [r.name for r in results if not r.passed and r.severity == "warning"]
    text = f"{rows:,} rows, every rule held"
    if quarantined:
        broken = [f"{r.name} ({r.failed:,})" for r in results if r.scope == "row" and not r.passed and not warned]
        text = f"{rows - quarantined:,} of {rows:,} rows; {quarantined:,} in quarantine"
        text += f": {'; '.join(broken[:3])}" if broken else ""
    return text + (f"; warning: {'; '.join(warned[:3])}" if warned else "")


@stage("check contract")
def check_contract(
    project: LoadedProject,
    table: TableRef,
    *,
    now: datetime,
    label_expected: bool,
    reference: Schema | None = None,
    ends: datetime | None = None,
) -> ContractResult:
    """Check a batch against the project's contract and write its quarantine, its page and the Data Docs."""
    contract = load_contract(project)
    result = check_batch(
        project, contract, table, now=now, label_expected=label_expected, reference=reference, ends=ends
    )
    crash_point("after-quarantine")
    result = replace(result, data_docs=build_data_docs(project, contract, table, result))
    return replace(result, page=write_page(project, result))
