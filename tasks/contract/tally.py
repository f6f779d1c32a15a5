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
from tasks.contract.quotation import Discretion, Examples, cut_values, find_frequent, quote_values, shorten
from tasks.contract.rules import Rule, fits, kind_in, span_words, words
from tasks.results import RuleResult, to_json
from tasks.table import Kind, TableRef

# What these observe is a type or a count, never a value.
SAY_NO_VALUE = frozenset(
    {
        "expect_column_type_to_be",
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_be_in_type_list",
        "expect_column_proportion_of_non_null_values_to_be_between",
        "expect_column_proportion_of_unique_values_to_be_between",
        "expect_column_unique_value_count_to_be_between",
    }
)


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
    """One rule's findings so far. `blocked` says why it cannot be evaluated at all, `text` that it is about texts."""

    rule: Rule
    blocked: str | None = None
    text: bool = False
    checked: int = 0
    passed: bool = True
    observed: Any = None
    unexpected: tuple[Any, ...] = ()
    error: str | None = None
    frequent: frozenset[str] = frozenset()  # of a column as a whole: the texts that may be quoted
    _positions: list[NDArray[np.int64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.examples = Examples(self.text)

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
        self.observed, self.unexpected = finding.observed, finding.unexpected
        self.error = finding.error
        if len(finding.positions):
            self._positions.append(finding.positions)
            if frame is not None:
                self.examples.add(frame.loc[finding.positions, list(self.rule.columns)])
        if self.text and frame is not None and (self.observed is not None or self.unexpected):
            self.frequent = frozenset().union(*(find_frequent(frame[name]) for name in self.rule.columns))

    def type_fault(self, kind: Kind | None) -> str | None:
        """What is wrong with a column's kind, None where it fits the type or the column is not there."""
        if kind is None or fits(self.rule.kwargs["type"], kind):
            return None
        return f"the column holds {words(kind)}, not {self.rule.expected}"


def judge(tally: Tally, counts: Counts, table: TableRef, moment: datetime, discretion: Discretion) -> RuleResult:
    """The rule's result on the batch. `moment` is what freshness is judged against.

    Values are quoted as `quotation` says: none of a column that looks personal, and no rare text.
    """
    rule = tally.rule
    if tally.blocked is not None and rule.how != "type":
        return _result(tally, False, 0, f"not checked: {tally.blocked}", batch=True)
    if tally.error is not None:
        said = f"{', '.join(rule.columns)} {to_json(rule.kwargs)}"
        return _result(tally, False, 0, f"could not be checked: {cut_values(tally.error, said)}", batch=True)
    passed, observed, checked = _own(tally, counts, table, moment) or _library(tally, discretion)
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
        return not extra, f"new: {', '.join(map(shorten, extra[:10]))}" if extra else "none", rows
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


def _library(tally: Tally, discretion: Discretion) -> tuple[bool, str, int]:
    rule, failed, checked = tally.rule, tally.failed, tally.checked
    if rule.how in ("column", "table") and rule.scope == "batch" and not failed:
        return tally.passed, _aggregate(tally, discretion), checked
    mostly = float(rule.kwargs.get("mostly", 1.0))
    share = failed / checked if checked else 0.0
    # The same comparison as Great Expectations', over the batch instead of a chunk.
    passed = failed == 0 or (rule.scope == "batch" and 1 - share >= mostly)
    if failed == 0:
        return passed, f"all of {checked:,}" if checked else "no value to check", checked
    such = tally.examples.quote(rule.columns, discretion, tally.quarantines)
    return passed, f"{failed:,} of {checked:,} ({share:.2%}){such}", checked


def _aggregate(tally: Tally, discretion: Discretion) -> str:
    hidden, columns = discretion.hides(tally.rule.columns), tally.rule.columns
    otherwise = "as expected" if tally.passed else "not as expected"
    observed, unexpected = tally.observed, tally.unexpected
    if observed is None and not unexpected:
        return otherwise
    if tally.rule.how == "table" or tally.rule.kind in SAY_NO_VALUE:
        return shorten(observed if observed is not None else list(unexpected))
    if hidden is not None:
        return f"{otherwise}; values not shown: {hidden}"
    if observed is not None and not isinstance(observed, (str, list, tuple, set)):
        return shorten(observed)
    one = isinstance(observed, str)
    values = unexpected if observed is None else [observed] if one else observed
    shown, rare = quote_values(values, tally.frequent, columns, discretion)
    more = f"{rare:,} rare {'value' if rare == 1 else 'values'} not shown" if rare else ""
    if observed is None:
        said = f"unexpected: {', '.join(map(str, shown)) or 'none that may be shown'}"
    else:
        said = shorten(shown[0] if one and shown else shown) if shown else ""
    return "; ".join(part for part in (said, more) if part) or otherwise


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
