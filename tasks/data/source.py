"""What the source holds: its files, the batches they are cut into, and each batch's fingerprint.

A file is read once; what was found is remembered by its size and modification time (the ledger keeps it), so that
asking again whether anything is new costs one look at the file system.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.config import LoadedProject, Project, readable, shown
from tasks.config.project import Data
from tasks.data.finding import FORMATS, match_files, resembling
from tasks.data.fingerprint import Sum, hash_rows, sum_where
from tasks.data.label_index import LabelIndex
from tasks.data.labels import BatchLabels, fit_kind, index_labels
from tasks.errors import DataError
from tasks.stage import stage
from tasks.table import Column, Schema, TableRef, infer_schema, read_file, unite_kinds


@dataclass(frozen=True)
class Part:
    """The rows of one batch within one file."""

    rows: int
    labelled: int
    content: Sum  # all columns
    inputs: Sum  # without the target and what is excluded, but with what is protected: a mitigated model reads it
    first: str | None = None  # ISO times of the first and last row, UTC
    last: str | None = None


@dataclass(frozen=True)
class FileIndex:
    """What one file holds, as of its size and modification time."""

    path: str
    size: int
    mtime_ns: int
    settings: str  # digest of the keys that decide how it is read
    schema: Schema
    parts: Mapping[str, Part]
    untimed: int = 0  # rows without a time: they belong to no batch

    def to_json(self) -> str:
        """As text for the ledger."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> FileIndex:
        """From the ledger's text."""
        raw = json.loads(text)
        parts = {
            key: Part(**{**part, "content": Sum(**part["content"]), "inputs": Sum(**part["inputs"])})
            for key, part in raw.pop("parts").items()
        }
        schema = Schema(tuple(Column(**c) for c in raw.pop("schema")["columns"]))
        return FileIndex(schema=schema, parts=parts, **raw)


@dataclass(frozen=True)
class Batch:
    """One delivery of rows. `start` and `end` (UTC, half-open) are None for a table without time.

    Where labels come apart from the rows, `labelled` and `content` are about those that are known at the moment that
    it was taken `at`.
    """

    key: str
    start: datetime | None
    end: datetime | None
    rows: int
    labelled: int
    content: str
    inputs: str
    schema: Schema
    files: tuple[str, ...]
    last: datetime | None = None
    labels: BatchLabels | None = None

    def at(self, as_of: datetime | None) -> Batch:
        """The batch with the labels that are known as of a moment; itself where it is None, and where all labels are
        in the source."""
        if self.labels is None or as_of is None:
            return self
        return self._told(replace(self.labels, as_of=as_of))

    def _told(self, labels: BatchLabels) -> Batch:
        labelled, content = labels.known()
        return replace(self, labels=labels, labelled=labelled, content=content)

    def joined(self, index: LabelIndex, target: str) -> Batch:
        """The batch as it was delivered with the labels of an index that has surveyed it."""
        kind = unite_kinds(self.schema.kind(target) or "empty", index.kind)
        labels = BatchLabels(index, self.key, self.content, kind, index.last_change(self.key))
        schema = self.schema.united(Schema((Column(target, kind),)))
        return replace(self, schema=schema)._told(labels)

    def visible(self, as_of: datetime) -> bool:
        """Whether its period has ended."""
        return self.end is None or self.end <= as_of

    def labels_complete(self, as_of: datetime, delay: timedelta) -> bool:
        """Whether every label that this delivery holds, or that was said about it, is known."""
        if self.labels is not None:
            return self.visible(as_of) and self.labels.complete(as_of)
        return self.last is None or max(self.last + delay, self.end or self.last) <= as_of


@dataclass(frozen=True)
class Source:
    """All batches in their order, and what was found on the way."""

    batches: tuple[Batch, ...]
    schema: Schema
    untimed: Mapping[str, int] = field(default_factory=dict)  # file -> rows without a time
    scanned: tuple[FileIndex, ...] = ()  # files that were read now, to be remembered
    labels: LabelIndex | None = None  # labels that come apart from the rows

    def visible(self, as_of: datetime) -> tuple[Batch, ...]:
        """The batches that are there as of a moment, with what is known of their labels then."""
        return tuple(b.at(as_of) for b in self.batches if b.visible(as_of))


def find_files(project: LoadedProject) -> list[Path]:
    """The source's files, sorted by path. DataError where there is none or where one has no known format."""
    return match_files(project, project.spec.data.sources, "data.source")


def index_source(
    project: LoadedProject,
    known: Mapping[str, str],
    progress: Callable[[str], None] = lambda _: None,
    labels: LabelIndex | None = None,
) -> Source:
    """Look at every file, read those that are new or changed since `known` (path -> FileIndex as JSON).

    `labels` are those of data.labels where they were read already. Raises DataError for a file that cannot be read,
    and where the target, time or id column is nowhere.
    """
    settings = _settings_digest(project.spec.data)
    files: list[FileIndex] = []
    scanned: list[FileIndex] = []
    for path in find_files(project):
        stat = path.stat()
        index = _remembered(known.get(str(path)), stat.st_size, stat.st_mtime_ns, settings)
        if index is None:
            progress(shown(path))
            index = scan_file(str(path), stat.st_size, stat.st_mtime_ns, settings, project.spec.data)
            scanned.append(index)
        files.append(index)
    schema = Schema(())
    for file in files:
        schema = schema.united(file.schema)
    data = project.spec.data
    for role in ("target", "time", "id", "group"):
        name = getattr(data, role)
        if name is not None and schema.kind(name) is None and not (role == "target" and data.labels):
            raise DataError(
                f"{shown(project.path)}: data.{role}: no column {name!r} in {data.called}. "
                f"{resembling(name, schema)}Columns found: {', '.join(map(repr, schema.names[:40]))}."
            )
    for key, names in _list_named(project.spec).items():
        absent = next((name for name in names if schema.kind(name) is None), None)
        if absent is not None:
            raise DataError(
                f"{shown(project.path)}: {key}: no column {absent!r} in {data.called}. {resembling(absent, schema)}"
                f"Columns found: {', '.join(map(repr, schema.names[:40]))}."
            )
    batches = _assemble(files, data)
    if not batches:
        where = f"{data.called}: {len(files)} file{'s' if len(files) > 1 else ''}"
        if any(f.untimed for f in files):
            raise DataError(f"{where}: no row has a time: column {data.time!r} is missing throughout.")
        raise DataError(f"{where}, and no rows in {'them' if len(files) > 1 else 'it'}; expected at least one row.")
    untimed = {f.path: f.untimed for f in files if f.untimed}
    source = Source(batches=batches, schema=schema, untimed=untimed, scanned=tuple(scanned))
    return source if data.labels is None else _join(source, labels or index_labels(project), project)


def _join(source: Source, labels: LabelIndex, project: LoadedProject) -> Source:
    """The source with labels that come apart from its rows."""
    data = project.spec.data
    index = fit_kind(labels, source.schema.kind(data.target), project)
    index.survey([(table_of(b, data, None), b.content) for b in source.batches])
    batches = tuple(b.joined(index, data.target) for b in source.batches)
    schema = source.schema.united(Schema((Column(data.target, index.kind),)))
    return replace(source, batches=batches, schema=schema, labels=index)


def _list_named(spec: Project) -> dict[str, tuple[str, ...]]:
    """The columns that the project file asks to be looked at or left alone, by the key that names them: a slip of the
    pen there would go unnoticed."""
    named = {f"gates.fairness.{i}.by": limit.by for i, limit in enumerate(spec.gates.fairness)}
    mitigation = spec.train.mitigation
    data = spec.data
    return {
        **named,
        "train.mitigation.by": mitigation.by if mitigation else (),
        "gates.slices.by": spec.gates.slices.by,
        "data.exclude": data.exclude,
        "data.protected": data.protected,
        "data.known_in_time": data.known_in_time,
        "data.personal": data.personal,
        "data.not_personal": data.not_personal,
        "monitor.segments": spec.monitor.segments,
    }


def scan_file(path: str, size: int, mtime_ns: int, settings: str, data: Data) -> FileIndex:
    """Read one file once: which batches it holds, how many rows of each, and their fingerprints."""
    schema = infer_schema(path)
    columns = list(schema.names)
    inputs = [c for c in columns if c != data.target and (c not in data.exclude or c in data.protected)]
    parts: dict[str, Part] = {}
    untimed = 0
    time = data.time if data.time in columns else None
    if data.time and time is None:
        raise DataError(
            f"{path}: no time column {data.time!r}; expected it in every file. "
            f"{resembling(data.time, schema)}Columns found: {', '.join(map(repr, columns[:40]))}."
        )
    for batch in read_file(path, schema, time=time, time_format=data.time_format, timezone=data.timezone):
        keys, missing = _keys(batch, path, data)
        untimed += int(missing.sum())
        content, narrow = hash_rows(batch, columns), hash_rows(batch, inputs)
        labels = batch.schema.get_field_index(data.target)
        labelled = np.zeros(batch.num_rows, bool) if labels < 0 else ~_missing(batch.column(labels))
        stamps = _stamps(batch, time)
        for key in pd.unique(keys[~missing]):
            mask = (keys == key) & ~missing
            part = Part(
                rows=int(mask.sum()),
                labelled=int((labelled & mask).sum()),
                content=sum_where(content, mask),
                inputs=sum_where(narrow, mask),
                first=None if stamps is None else _iso(stamps[mask].min()),
                last=None if stamps is None else _iso(stamps[mask].max()),
            )
            parts[key] = _merge(parts[key], part) if key in parts else part
    return FileIndex(path, size, mtime_ns, settings, schema, parts, untimed)


def table_of(batch: Batch, data: Data, as_of: datetime | None) -> TableRef:
    """A reference to the batch's rows, with the labels that are known as of a moment (None: all)."""
    by_time = data.time is not None and data.cut not in ("file", "all")
    if batch.labels is not None and batch.labels.as_of is not None:
        as_of = min(as_of or batch.labels.as_of, batch.labels.as_of)  # a word is not heard before it is said
    return TableRef(
        batch=batch.key,
        files=batch.files,
        schema=batch.schema,
        target=data.target,
        time=data.time,
        time_format=data.time_format,
        timezone=data.timezone,
        start=batch.start if by_time else None,
        end=batch.end if by_time else None,
        as_of=as_of,
        label_delay=data.label_delay,
        labels=batch.labels.index if batch.labels is not None else None,
    )


def _remembered(text: str | None, size: int, mtime_ns: int, settings: str) -> FileIndex | None:
    if text is None:
        return None
    index = FileIndex.from_json(text)
    same = (index.size, index.mtime_ns, index.settings) == (size, mtime_ns, settings)
    return index if same else None


def _settings_digest(data: Data) -> str:
    keys: dict[str, Any] = {
        "form": 1, "target": data.target, "time": data.time, "time_format": data.time_format,
        "timezone": data.timezone, "cut": data.cut, "exclude": sorted(data.exclude),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()[:16]


def _missing(array: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(array.is_null(nan_is_null=True))


def _stamps(batch: pa.RecordBatch, time: str | None) -> pd.Series[Any] | None:
    return None if time is None else batch.column(time).to_pandas()


def _keys(batch: pa.RecordBatch, path: str, data: Data) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Per row the key of its batch, and whether its time is missing where time cuts batches."""
    none = np.zeros(batch.num_rows, bool)
    if data.cut == "all":
        return np.full(batch.num_rows, "all", object), none
    if data.cut == "file":
        return np.full(batch.num_rows, _stem(path), object), none
    times = batch.column(data.time).to_pandas()
    local = times.dt.tz_convert(data.timezone)
    missing = times.isna().to_numpy()
    form = {"hour": "%Y-%m-%dT%H%z", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}[data.cut]
    if data.cut == "hour":
        floors = times.dt.floor("h").dt.tz_convert(data.timezone)
    else:
        floors = local.dt.tz_localize(None).dt.normalize()
    codes, uniques = pd.factorize(floors)
    names = np.array([*(u.strftime(form) for u in uniques), ""], object)
    return names[codes], missing


def _stem(path: str) -> str:
    """A file's name without its ending, as text that a person can read and type: it names a batch everywhere."""
    name = Path(path).name
    for ending in sorted(FORMATS, key=len, reverse=True):
        if name.endswith(ending):
            return readable(name[: -len(ending)])
    return readable(name)


def _iso(stamp: Any) -> str | None:
    return None if pd.isna(stamp) else stamp.isoformat()


def _merge(a: Part, b: Part) -> Part:
    firsts = [x for x in (a.first, b.first) if x]
    lasts = [x for x in (a.last, b.last) if x]
    return Part(
        rows=a.rows + b.rows,
        labelled=a.labelled + b.labelled,
        content=a.content.plus(b.content),
        inputs=a.inputs.plus(b.inputs),
        first=min(firsts, key=datetime.fromisoformat) if firsts else None,
        last=max(lasts, key=datetime.fromisoformat) if lasts else None,
    )


def _assemble(files: list[FileIndex], data: Data) -> tuple[Batch, ...]:
    parts: dict[str, list[tuple[FileIndex, Part]]] = {}
    for file in files:
        for key, part in file.parts.items():
            parts.setdefault(key, []).append((file, part))
    if data.cut == "file":
        for key, found in parts.items():
            if len(found) > 1:
                raise DataError(
                    f"batch: file: two files are named {key!r}: {found[0][0].path} and {found[1][0].path}. "
                    "Each file is a batch of its own and needs a name of its own."
                )
    batches = [_batch(key, found, data) for key, found in parts.items()]
    earliest = datetime.min.replace(tzinfo=data.zone)
    return tuple(sorted(batches, key=lambda b: (b.start or earliest, b.key)))


def _batch(key: str, found: list[tuple[FileIndex, Part]], data: Data) -> Batch:
    schema = Schema(())
    whole: Part | None = None
    for file, part in found:
        schema = schema.united(file.schema)
        whole = part if whole is None else _merge(whole, part)
    assert whole is not None
    if data.time in schema.names:
        columns = tuple(replace(c, kind="datetime_utc") if c.name == data.time else c for c in schema.columns)
        schema = Schema(columns)
    start, end = _period(key, whole, data)
    inputs = [c for c in schema.names if c != data.target and c not in data.exclude]
    return Batch(
        key=key,
        start=start,
        end=end,
        rows=whole.rows,
        labelled=whole.labelled,
        content=whole.content.digest(schema, schema.names),
        inputs=whole.inputs.digest(schema, inputs),
        schema=schema,
        files=tuple(f.path for f, _ in found),
        last=datetime.fromisoformat(whole.last) if whole.last else None,
    )


def _period(key: str, part: Part, data: Data) -> tuple[datetime | None, datetime | None]:
    if data.time is None or part.first is None or part.last is None:
        return None, None
    if data.cut in ("file", "all"):
        return datetime.fromisoformat(part.first), datetime.fromisoformat(part.last)
    first = pd.Timestamp(part.first)
    if data.cut == "hour":
        start = first.floor("h")
        return start.to_pydatetime(), (start + pd.Timedelta(hours=1)).to_pydatetime()
    day = first.tz_convert(data.timezone).tz_localize(None).normalize()
    if data.cut == "week":
        day, after = day - pd.Timedelta(days=day.weekday()), day + pd.Timedelta(days=7 - day.weekday())
    elif data.cut == "month":
        day, after = day.replace(day=1), (day.replace(day=1) + pd.offsets.MonthBegin(1))
    else:
        after = day + pd.Timedelta(days=1)
    return _utc(day, data), _utc(after, data)


def _utc(wall: pd.Timestamp, data: Data) -> datetime:
    local = wall.tz_localize(data.timezone, ambiguous=True, nonexistent="shift_forward")
    moment: datetime = local.tz_convert("UTC").to_pydatetime()
    return moment


def iterate_tables(batches: tuple[Batch, ...], data: Data, as_of: datetime | None) -> Iterator[TableRef]:
    """The tables of several batches, in their order."""
    for batch in batches:
        yield table_of(batch, data, as_of)


@stage("read source")
def read_source(project: LoadedProject, known: Mapping[str, str], labels: LabelIndex | None = None) -> Source:
    """The source as it is now; see `index_source`."""
    return index_source(project, known, labels=labels)
