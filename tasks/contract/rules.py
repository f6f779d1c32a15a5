"""From a contract to the rules of one batch: what is stated, what is implied, and in which words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from tasks.config import LoadedProject
from tasks.contract.catalog import CATALOG
from tasks.contract.suite import ColumnRules, ContractSpec, Native, Severity, native_columns
from tasks.results import to_json
from tasks.table import Kind, Schema, TableRef

How = Literal["exists", "type", "missing", "rows", "freshness", "known", "chunk", "unique", "column", "table"]
_FITS: dict[str, frozenset[Kind]] = {
    "integer": frozenset({"integer", "number"}),  # a number must then hold whole values
    "number": frozenset({"integer", "number"}),
    "boolean": frozenset({"boolean"}),
    "string": frozenset({"string"}),
    "datetime": frozenset({"datetime", "datetime_utc"}),
}
_WORDS = {"integer": "whole numbers", "number": "numbers", "boolean": "true or false", "string": "text"}


@dataclass(frozen=True)
class Rule:
    """One rule of one batch. `kwargs` are Great Expectations' arguments where it evaluates the rule."""

    name: str
    kind: str
    columns: tuple[str, ...]
    scope: Literal["row", "batch"]
    how: How
    expected: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity = "critical"
    key: str = ""  # where in the contract's file it is stated

    @property
    def column(self) -> str | None:
        """The column, where it is about one."""
        return self.columns[0] if len(self.columns) == 1 else None


def derive_rules(
    project: LoadedProject,
    contract: ContractSpec,
    table: TableRef,
    *,
    label_expected: bool,
    reference: Schema | None,
) -> tuple[Rule, ...]:
    """All rules that apply to a batch. Those about the target are left out where labels are not expected."""
    stated = [*_of_table(contract), *_of_columns(project, contract, table), *_of_expectations(contract, table)]
    rules = _once([*stated, *_implied(project, contract, table, reference)])
    if not label_expected:
        target = project.spec.data.target
        rules = [r for r in rules if target not in r.columns and target not in str(r.kwargs.get("row_condition", ""))]
    return tuple(_with_names_of_their_own(rules))


def fits(expected: str, kind: Kind) -> bool:
    """Whether a column of this kind can hold the type; a column of which no value is known fits any."""
    return kind == "empty" or kind in _FITS[expected]


def words(kind: str) -> str:
    """A kind or type in plain words."""
    plain = {"datetime": "times", "datetime_utc": "times", "empty": "nothing"}
    return _WORDS.get(kind) or plain[kind]


def kind_in(table: TableRef, name: str) -> Kind | None:
    """The kind in which a column reaches the rules: the time column is read as times however it is written."""
    kind = table.schema.kind(name)
    return "datetime_utc" if kind is not None and name == table.time else kind


def span_words(span: timedelta) -> str:
    """A duration in its largest fitting unit, such as 2 days or 1.5 hours."""
    seconds = span.total_seconds()
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}{'' if seconds == size else 's'}"
    return f"{seconds:.3g} seconds"


def _of_table(contract: ContractSpec) -> Iterator[Rule]:
    rows = contract.body.rows
    text = f"at least {rows.min:,}" if rows.max is None else f"{rows.min:,} to {rows.max:,}"
    bounds = {"min_value": rows.min, "max_value": rows.max}
    yield Rule(f"rows: {text}", "expect_table_row_count_to_be_between", (), "batch", "rows", text, bounds, key="rows")
    if contract.body.freshness is not None:
        span = contract.body.freshness
        text = f"newest row at most {span_words(span)} before the end"
        yield Rule(f"freshness: {text}", "freshness", (), "batch", "freshness", text, {"span": span}, key="freshness")
    for number, columns in enumerate(contract.body.unique):
        yield _unique(tuple(columns), f"unique.{number}")


def _of_columns(project: LoadedProject, contract: ContractSpec, table: TableRef) -> Iterator[Rule]:
    for name, rules in contract.body.columns.items():
        key = f"columns.{name}"
        if not rules.required and table.schema.kind(name) is None:
            continue
        yield _exists(name, key)
        if rules.type is not None:
            yield _typed(name, rules.type, f"{key}.type")
        yield from _of_values(name, rules, key, kind_in(table, name), project)


def _of_values(name: str, rules: ColumnRules, key: str, kind: Kind | None, project: LoadedProject) -> Iterator[Rule]:
    if rules.missing is not None:
        yield _missing(name, rules.missing.max, rules.missing.scope, f"{key}.missing")
    if rules.min is not None or rules.max is not None:
        low, high = (_moment(bound, kind, project) for bound in (rules.min, rules.max))
        text = _between(rules.min, rules.max)
        kwargs = {"column": name, "min_value": low, "max_value": high}
        yield _native(
            name, "expect_column_values_to_be_between", text, kwargs, f"{key}.max" if low is None else f"{key}.min"
        )
    if rules.values is not None:
        text = f"one of {_listed(rules.values)}"
        kwargs = {"column": name, "value_set": list(rules.values)}
        yield _native(name, "expect_column_values_to_be_in_set", text, kwargs, f"{key}.values")
    if rules.pattern is not None:
        kwargs = {"column": name, "regex": rf"\A(?:{rules.pattern})\Z"}
        text = f"matches {rules.pattern}"
        yield _native(name, "expect_column_values_to_match_regex", text, kwargs, f"{key}.pattern")
    if rules.unique:
        yield _unique((name,), f"{key}.unique")


def _of_expectations(contract: ContractSpec, table: TableRef) -> Iterator[Rule]:
    absent = {n for n, r in contract.body.columns.items() if not r.required and table.schema.kind(n) is None}
    for number, native in enumerate(contract.body.expectations):
        key, columns = f"expectations.{number}", native_columns(native)
        if absent & set(columns):
            continue
        if CATALOG[native.type].how != "table":
            for column in columns:
                yield replace(_exists(column, key), severity=native.severity)
        yield _stated(native, columns, key)


def _stated(native: Native, columns: tuple[str, ...], key: str) -> Rule:
    how: How = CATALOG[native.type].how
    if how == "unique" and set(native.kwargs) & {"row_condition", "ignore_row_if"}:
        how = "column"  # which rows count is then for Great Expectations to say
    arguments = {k: v for k, v in native.kwargs.items() if k not in ("column", "column_A", "column_B", "column_list")}
    short = native.type.removeprefix("expect_").replace("_", " ")
    text = short + "".join(f", {k} {_listed(v) if isinstance(v, (list, tuple)) else v}" for k, v in arguments.items())
    name = native.name or f"{', '.join(columns)}: {text}".removeprefix(": ")
    return Rule(name[:200], native.type, columns, native.where, how, text[:500], native.kwargs, native.severity, key)


def _implied(
    project: LoadedProject, contract: ContractSpec, table: TableRef, reference: Schema | None
) -> Iterator[Rule]:
    data = project.spec.data
    if data.id is not None:
        yield _exists(data.id, "")
        yield _missing(data.id, 0, "row", "")
        yield _unique((data.id,), "")
    if data.time is not None:
        yield _exists(data.time, "")
        yield _missing(data.time, 0, "row", "")
    yield _exists(data.target, "")
    if reference is None:
        return
    stated = {name for name, rules in contract.body.columns.items() if rules.type is not None}
    optional = {name for name, rules in contract.body.columns.items() if not rules.required}
    for column in reference.columns:
        if column.name not in optional:
            yield _exists(column.name, "")
        there = table.schema.kind(column.name) is not None
        if column.kind != "empty" and column.name not in stated and column.name != data.time and there:
            # Whether a file's numbers happen to be whole is chance; a contract that cares says `type: integer`.
            kind = {"integer": "number", "datetime_utc": "datetime"}.get(column.kind, column.kind)
            yield _typed(column.name, kind, "")
    known = {*reference.names, *data.not_features}
    extra = tuple(n for n in table.schema.names if n not in known)
    text = "no columns that training did not know"
    yield Rule(f"columns: {text}", "new columns", (), "batch", "known", text, {"extra": extra}, "info")


def _exists(name: str, key: str) -> Rule:
    return Rule(
        f"{name}: is there",
        "expect_column_to_exist",
        (name,),
        "batch",
        "exists",
        "a column of this name",
        {"column": name},
        key=key,
    )


def _typed(name: str, kind: str, key: str) -> Rule:
    text = words(kind)
    return Rule(f"{name}: {text}", "type", (name,), "batch", "type", text, {"type": kind}, key=key)


def _missing(name: str, share: float, scope: Literal["row", "batch"], key: str) -> Rule:
    kind = "expect_column_values_to_not_be_null"
    if scope == "row":
        return Rule(f"{name}: not missing", kind, (name,), "row", "chunk", "not missing", {"column": name}, key=key)
    text = f"at most {share * 100:.4g}% missing"
    kwargs = {"column": name, "mostly": 1 - share}
    return Rule(f"{name}: {text}", kind, (name,), "batch", "missing", text, {**kwargs, "share": share}, key=key)


def _unique(columns: tuple[str, ...], key: str) -> Rule:
    if len(columns) == 1:
        kind, kwargs = "expect_column_values_to_be_unique", {"column": columns[0]}
        return Rule(f"{columns[0]}: unique", kind, columns, "row", "unique", "unique", kwargs, key=key)
    kind, text = "expect_compound_columns_to_be_unique", "unique together"
    return Rule(
        f"{', '.join(columns)}: {text}", kind, columns, "row", "unique", text, {"column_list": list(columns)}, key=key
    )


def _native(name: str, kind: str, text: str, kwargs: Mapping[str, Any], key: str) -> Rule:
    given = {k: v for k, v in kwargs.items() if v is not None}
    return Rule(f"{name}: {text}", kind, (name,), "row", "chunk", text, given, key=key)


def _once(rules: Iterable[Rule]) -> list[Rule]:
    """The rules without repeats; what the contract states comes before what is implied."""
    kept: dict[str, Rule] = {}
    for rule in rules:
        key = to_json([rule.kind, rule.columns, rule.kwargs, rule.scope, rule.severity])
        kept.setdefault(key, rule)
    return list(kept.values())


def _with_names_of_their_own(rules: Iterable[Rule]) -> Iterator[Rule]:
    taken: dict[str, int] = {}
    for rule in rules:
        taken[rule.name] = taken.get(rule.name, 0) + 1
        yield rule if taken[rule.name] == 1 else replace(rule, name=f"{rule.name} ({taken[rule.name]})")


def _moment(bound: Any, kind: Kind | None, project: LoadedProject) -> Any:
    """A bound as the column's values can be compared with it: a date means 00:00 in the project's time zone."""
    if not isinstance(bound, date):
        return bound
    moment = bound if isinstance(bound, datetime) else datetime(bound.year, bound.month, bound.day)
    if kind == "datetime_utc":
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=project.spec.data.zone)
        return aware.astimezone(UTC)
    return moment.replace(tzinfo=None)


def _between(low: Any, high: Any) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"between {low} and {high}"


def _listed(values: Iterable[Any]) -> str:
    shown = [str(v) for v in values]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")
