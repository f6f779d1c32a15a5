"""What a rule adds up to over the chunks of a batch, and the sentence that it ends in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tasks.contract.duplicates import KeyHashes
from tasks.contract.engine import Finding
from tasks.contract.rules import Rule, fits, kind_in, span_words, words
from tasks.results import RuleResult
from tasks.table import Kind, TableRef

_EXAMPLES = 3


@dataclass
class Counts:
    """What the pass over all rows counts for the rules that Great Expectations does not evaluate."""

    rows: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    broken_integers: dict[str, int] = field(default_factory=dict)  # values that are not whole
    newest: pd.Timestamp | None = None
    keys: dict[tuple[str, ...], KeyHashes] = field(default_factory=dict)

    @staticmethod
    def of(rules: Iterable[Rule]) -> Counts:
        """Counters for what these rules need."""
        counts = Counts()
        for rule in rules:
            if rule.how == "missing":
                counts.missing[rule.columns[0]] = 0
            elif rule.how == "type" and rule.kwargs["type"] == "integer":
                counts.broken_integers[rule.columns[0]] = 0
            elif rule.how == "unique":
                counts.keys[rule.columns] = KeyHashes(rule.columns)
        return counts

    def take(self, batch: pa.RecordBatch, frame: pd.DataFrame, table: TableRef) -> None:
        """Count one chunk, given both as Arrow and as pandas."""
        self.rows += len(frame)
        for name in self.missing:
            self.missing[name] += int(frame[name].isna().sum())
        for name in self.broken_integers:
            if table.schema.kind(name) == "number":
                values = frame[name].to_numpy()
                known = values[~np.isnan(values)]
                self.broken_integers[name] += int((~np.isfinite(known) | (np.mod(known, 1) != 0)).sum())
        for hashes in self.keys.values():
            hashes.add(batch)
        if table.time is not None and table.time in frame:
            newest = frame[table.time].max()
            if not pd.isna(newest) and (self.newest is None or newest > self.newest):
                self.newest = newest


@dataclass
class Tally:
    """One rule's findings so far. `blocked` says why it cannot be evaluated at all."""

    rule: Rule
    blocked: str | None = None
    checked: int = 0
    passed: bool = True
    observed: Any = None
    error: str | None = None
    examples: list[str] = field(default_factory=list)
    _positions: list[NDArray[np.int64]] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Whether there is still something to evaluate."""
        return self.blocked is None and self.error is None

    @property
    def quarantines(self) -> bool:
        """Whether the rows that broke the rule go to quarantine."""
        return self.open and self.rule.scope == "row" and self.rule.severity == "critical"

    @property
    def failed(self) -> int:
        """Rows that broke the rule."""
        return sum(len(p) for p in self._positions)

    def positions(self) -> NDArray[np.int64]:
        """Positions in the batch of the rows that broke the rule."""
        return np.concatenate([np.empty(0, np.int64), *self._positions])

    def take(self, finding: Finding, frame: pd.DataFrame | None) -> None:
        """Add what one frame showed."""
        self.checked += finding.checked
        self.passed &= finding.passed
        self.observed = finding.observed
        self.error = finding.error
        if len(finding.positions):
            self._positions.append(finding.positions)
            if frame is not None and len(self.examples) < _EXAMPLES:
                rows = frame.loc[finding.positions[:100], list(self.rule.columns)]
                found = [" / ".join(_short(v) for v in row) for row in rows.itertuples(index=False)]
                self.examples = list(dict.fromkeys([*self.examples, *found]))[:_EXAMPLES]

    def type_fault(self, kind: Kind | None) -> str | None:
        """What is wrong with a column's kind, None where it fits the type or the column is not there."""
        if kind is None or fits(self.rule.kwargs["type"], kind):
            return None
        return f"the column holds {words(kind)}, not {self.rule.expected}"


def judge(tally: Tally, counts: Counts, table: TableRef, moment: datetime) -> RuleResult:
    """The rule's result on the batch. `moment` is what freshness is judged against."""
    rule = tally.rule
    if tally.blocked is not None and rule.how != "type":
        return _result(tally, False, 0, f"not checked: {tally.blocked}", batch=True)
    if tally.error is not None:
        return _result(tally, False, 0, f"could not be checked: {tally.error}", batch=True)
    passed, observed, checked = _own(tally, counts, table, moment) or _library(tally)
    return _result(tally, passed, checked, observed)


def _own(tally: Tally, counts: Counts, table: TableRef, moment: datetime) -> tuple[bool, str, int] | None:
    """Passed, what was observed, rows checked; None where Great Expectations is the judge."""
    rule, rows = tally.rule, counts.rows
    if rule.how == "exists":
        there = kind_in(table, rule.columns[0]) is not None
        return there, "there" if there else "the column is not there", rows
    if rule.how == "type":
        return *_type(tally, counts, table), rows
    if rule.how == "missing":
        missing = counts.missing[rule.columns[0]]
        share = missing / rows if rows else 0.0
        return share <= rule.kwargs["share"], f"{share:.2%} missing ({missing:,} of {rows:,})", rows
    if rule.how == "rows":
        least, most = rule.kwargs["min_value"], rule.kwargs["max_value"]
        return least <= rows and (most is None or rows <= most), f"{rows:,} rows", rows
    if rule.how == "known":
        extra = rule.kwargs["extra"]
        return not extra, f"new: {', '.join(map(_short, extra[:10]))}" if extra else "none", rows
    if rule.how == "freshness":
        if counts.newest is None:
            return False, "no row has a time", rows
        age = max(pd.Timestamp(moment) - counts.newest, pd.Timedelta(0))
        utc = moment.astimezone(UTC)
        text = f"newest row {counts.newest:%Y-%m-%d %H:%M} UTC, {span_words(age)} before {utc:%Y-%m-%d %H:%M}"
        return age <= pd.Timedelta(rule.kwargs["span"]), text, rows
    return None


def _type(tally: Tally, counts: Counts, table: TableRef) -> tuple[bool, str]:
    rule = tally.rule
    kind = kind_in(table, rule.columns[0])
    fault = tally.type_fault(kind)
    if kind is None or fault is not None:
        return False, fault or "the column is not there"
    broken = counts.broken_integers.get(rule.columns[0], 0)
    if broken:
        return False, f"{broken:,} values are not whole numbers"
    return True, words(kind) if kind != "empty" else "no value in the whole batch"


def _library(tally: Tally) -> tuple[bool, str, int]:
    rule, failed, checked = tally.rule, tally.failed, tally.checked
    if rule.how in ("column", "table") and rule.scope == "batch" and not failed:
        otherwise = "as expected" if tally.passed else "not as expected"
        return tally.passed, otherwise if tally.observed is None else _short(tally.observed), checked
    mostly = float(rule.kwargs.get("mostly", 1.0))
    share = failed / checked if checked else 0.0
    # The same comparison as Great Expectations', over the batch instead of a chunk.
    passed = failed == 0 or (rule.scope == "batch" and 1 - share >= mostly)
    if failed == 0:
        return passed, f"all of {checked:,}" if checked else "no value to check", checked
    such = f", such as {', '.join(tally.examples)}" if tally.examples else ""
    return passed, f"{failed:,} of {checked:,} ({share:.2%}){such}", checked


def _result(tally: Tally, passed: bool, checked: int, observed: str, batch: bool = False) -> RuleResult:
    """`batch` turns a row rule that could not be evaluated into a failure of the batch: no row is known to be sound."""
    rule = tally.rule
    scope = "batch" if batch else rule.scope
    failed = tally.failed if scope == "row" else int(not passed)
    return RuleResult(
        name=rule.name,
        kind=rule.kind,
        column=rule.column,
        scope=scope,
        passed=passed,
        checked=checked,
        failed=failed,
        expected=rule.expected,
        observed=observed,
        severity=rule.severity,
    )


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
