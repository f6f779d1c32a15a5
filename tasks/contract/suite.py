"""The contract's file: its format, how it is read, and what is refused.

    rows: {min: 20000, max: 40000}
    freshness: 2d                         # the newest row, before the batch's end
    unique: [[carrier, number, day]]      # columns that are unique together
    columns:
      flight_id: {type: string, missing: 0, unique: true, pattern: '[A-Z0-9]{2}\\d+'}
      origin: {type: string, missing: 0, values: [EWR, JFK, LGA]}
      temp: {type: number, missing: {max: 10%}, min: -40, max: 130}
    expectations:                         # anything that Great Expectations knows
      - {type: expect_column_mean_to_be_between, kwargs: {column: temp, min_value: 0}, severity: warning}

A rule about rows sends the rows that break it to quarantine; a rule about the batch refuses the batch.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from tasks.config import LoadedProject, shown
from tasks.config.loading import describe_yaml_error, explain
from tasks.config.values import Section, Share, Span
from tasks.contract.catalog import CATALOG, NEEDS_SQL, columns_of
from tasks.errors import ConfigError
from tasks.results import to_json

ColumnType = Literal["integer", "number", "boolean", "string", "datetime"]
Severity = Literal["critical", "warning", "info"]
_IS = {"integer": "number", "number": "number", "boolean": "boolean", "string": "string", "datetime": "datetime"}


def _missing(value: Any) -> Any:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        never = value in (0, "0", "0%")
        return {"max": value, "scope": "row" if never else "batch"}
    return value


def _bound(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, date)) or value != value:
        raise ValueError(f"a number or a date such as 2013-01-31 is expected, found {value!r}")
    return value


def _above(low: Any, high: Any) -> bool:
    """Whether two bounds are the wrong way round; a date is its midnight, and zones are left for the check."""
    if isinstance(low, date):
        return str(low)[:10] > str(high)[:10]
    return bool(low > high)


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"a regular expression is expected, {value!r} is none: {error}") from None
    return value


def _family(value: Any) -> str:
    """What a YAML scalar is, in the words of `type:`."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return {str: "string", type(None): "nothing"}.get(type(value), "datetime" if isinstance(value, date) else "a list")


class Missing(Section):
    """How many values of a column may be missing."""

    max: Share
    """The largest share of the batch's rows; above it the batch is refused."""
    scope: Literal["row", "batch"] = "batch"
    """`row`, with max 0, sends the rows to quarantine instead. `missing: 0` is short for that."""

    @model_validator(mode="after")
    def _coherent(self) -> Missing:
        if self.scope == "row" and self.max > 0:
            raise ValueError("scope: row is for columns of which no value may be missing; set max: 0 or scope: batch")
        return self


class ColumnRules(Section):
    """What one column's values must look like. Rules but `missing` judge the values that are there."""

    type: ColumnType | None = None
    """A whole number, any number, true or false, text, or a time. Judged on what the values mean, not on how the
    file format stores them: whole numbers that are stored as 3.0 are integers."""
    required: bool = True
    """Whether the column must be there."""
    missing: Annotated[Missing, BeforeValidator(_missing)] | None = None
    """0 sends rows without a value to quarantine; 5% refuses a batch where more than that are missing."""
    min: Annotated[Any, AfterValidator(_bound)] = None
    """The smallest value allowed."""
    max: Annotated[Any, AfterValidator(_bound)] = None
    """The largest value allowed."""
    values: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    """The values allowed."""
    pattern: Annotated[str, AfterValidator(_pattern)] | None = None
    """A regular expression that the whole text must match."""
    unique: bool = False
    """No value twice in a batch; all rows of a repeated value go to quarantine."""

    @model_validator(mode="after")
    def _coherent(self) -> ColumnRules:
        family = _IS[self.type] if self.type else None
        bounds = {key: _family(getattr(self, key)) for key in ("min", "max") if getattr(self, key) is not None}
        for key, found in bounds.items():
            if family is not None and family != found:
                raise ValueError(f"{key}: {getattr(self, key)!r} does not fit type: {self.type}")
        if len(bounds) == 2:
            if len(set(bounds.values())) > 1:
                raise ValueError("min and max must both be numbers, or both dates")
            if _above(self.min, self.max):
                raise ValueError(f"min {self.min} lies above max {self.max}")
        if self.pattern is not None and family not in (None, "string"):
            raise ValueError(f"pattern is for text, not for type: {self.type}")
        if self.values is not None:
            families = {_family(v) for v in self.values}
            hint = " (quote words such as no, on and 007, which YAML does not read as text)"
            if len(families) > 1 or families & {"nothing", "a list"}:
                raise ValueError(f"values must all be of one kind, found {', '.join(sorted(families))}{hint}")
            if family is not None and families != {family}:
                raise ValueError(f"values {list(self.values)!r} do not fit type: {self.type}{hint}")
        return self


class Rows(Section):
    """How many rows a batch has."""

    min: Annotated[int, Field(ge=0)] = 1
    max: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _coherent(self) -> Rows:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"min {self.min} lies above max {self.max}")
        return self


class Native(Section):
    """An expectation of Great Expectations, by its type and arguments."""

    type: str
    """Such as expect_column_mean_to_be_between; see greatexpectations.io/expectations."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Its arguments, as Great Expectations names them."""
    severity: Severity = "critical"
    """A broken `warning` or `info` is reported and has no other consequence."""
    scope: Literal["row", "batch"] | None = None
    """What a breach stops: the rows or the batch. Default: rows where the expectation judges rows and `mostly` is
    not given, else the batch."""
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """What the rule is called on the pages and in the quarantine file."""

    @model_validator(mode="after")
    def _known(self) -> Native:
        if self.type in NEEDS_SQL:
            raise ValueError(f"{self.type} is evaluated by a database only, and rows are read from files here")
        entry = CATALOG.get(self.type)
        if entry is None:
            close = difflib.get_close_matches(self.type.lower(), CATALOG, n=1, cutoff=0.5)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"Great Expectations has no expectation {self.type!r}.{hint}".rstrip("."))
        for key in self.kwargs:
            if key not in entry.arguments:
                close = difflib.get_close_matches(key, entry.arguments, n=1)
                listed = f"did you mean {close[0]!r}?" if close else f"it knows {', '.join(entry.arguments)}"
                raise ValueError(f"{self.type} has no argument {key!r}; {listed}")
        for key in entry.required:
            if self.kwargs.get(key) is None:
                raise ValueError(f"{self.type} needs the argument {key!r} in kwargs")
        if "$PARAMETER" in repr(self.kwargs):
            raise ValueError("$PARAMETER is not supported; write the value")
        mostly = self.kwargs.get("mostly", 1)
        if isinstance(mostly, bool) or not isinstance(mostly, (int, float)) or not 0 <= mostly <= 1:
            raise ValueError(f"kwargs.mostly: a share between 0 and 1 is expected, found {mostly!r}")
        if self.scope == "row" and not entry.maps:
            raise ValueError(f"scope: row does not fit {self.type}, which judges the batch as a whole")
        if self.scope == "row" and mostly < 1:
            raise ValueError("mostly is a share of the batch; leave it out, or set scope: batch")
        return self

    @property
    def where(self) -> Literal["row", "batch"]:
        """The scope, its default resolved."""
        return self.scope or ("row" if CATALOG[self.type].maps and self.kwargs.get("mostly", 1) >= 1 else "batch")


class ContractFile(Section):
    """What the rows of a project must look like: `<name>.contract.yaml`."""

    description: str = ""
    rows: Rows = Rows()
    freshness: Span | None = None
    """How long before the batch's end (or now) its newest row may lie."""
    unique: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()
    """Lists of columns of which no combination may be there twice."""
    columns: dict[str, ColumnRules] = Field(default_factory=dict)
    expectations: tuple[Native, ...] = ()

    @model_validator(mode="after")
    def _coherent(self) -> ContractFile:
        if self.freshness is not None and self.freshness <= timedelta(0):
            raise ValueError("freshness: a duration above zero is expected")
        names = [e.name for e in self.expectations if e.name is not None]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"expectations: the name {name!r} is there twice; every rule needs a name of its own")
        return self


@dataclass(frozen=True)
class ContractSpec:
    """A contract as read. `path` is None where the project has none: the implied rules apply all the same."""

    body: ContractFile
    path: Path | None
    text: str
    max_quarantine: float
    roles: tuple[tuple[str, str | None], ...]  # the columns that the implied rules are about

    @property
    def digest(self) -> str:
        """Names what the contract says: the same for another order of keys, another comment, another spelling."""
        content = {"rules": self.body.model_dump(), "max_quarantine": self.max_quarantine, "roles": dict(self.roles)}
        return hashlib.sha256(to_json(content).encode()).hexdigest()[:16]


def load_contract(project: LoadedProject) -> ContractSpec:
    """Read the project's contract; an empty one where it has none.

    Raises ConfigError naming file, key, what was expected and what was found. Values of native arguments are left
    for Great Expectations to judge when a batch is checked.
    """
    data, path = project.spec.data, project.contract_path
    roles = (("id", data.id), ("time", data.time), ("target", data.target))
    body, text = ContractFile(), ""
    if path is not None:
        where = f"{shown(path)} (contract.file of {shown(project.path)})"
        try:
            text = path.read_text(encoding="utf-8")
            raw = yaml.safe_load(text)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{shown(path)}: not valid YAML: {describe_yaml_error(error)}.") from None
        except OSError as error:
            raise ConfigError(f"{where}: cannot be read: {error.strerror}") from None
        if raw is not None and not isinstance(raw, dict):
            raise ConfigError(
                f"{shown(path)}: expected keys such as rows, columns and expectations; found {raw!r:.60}."
            )
        try:
            body = ContractFile.model_validate(raw or {})
        except ValidationError as error:
            raise ConfigError(explain(path, error, ContractFile)) from None
        if body.freshness is not None and data.time is None:
            raise ConfigError(
                f"{shown(path)}: freshness: a time column is needed to judge it, and {shown(project.path)} names none; "
                "set data.time, or leave freshness out."
            )
    return ContractSpec(body, path, text, project.spec.contract.max_quarantine, roles)


def native_columns(native: Native) -> tuple[str, ...]:
    """The columns that a native expectation reads."""
    return columns_of(native.kwargs)
