"""Labels that come apart from the rows: read from files or a database, joined by id, as of a moment.

What is read is kept in an index (`label_index`) under the project's folder, and read again only when deliveries
changed. A batch is told what the words make of its labels; its content changes exactly when they do.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from tasks.config import LoadedProject, shown
from tasks.data.finding import match_files, resembling
from tasks.data.fingerprint import Sum
from tasks.data.label_index import Delivered, LabelIndex, open_index, read_known, write_index
from tasks.data.words import write_texts
from tasks.errors import DataError
from tasks.files import scratch_folder
from tasks.results import LabelDeliveries
from tasks.stats.personal import SAMPLE_ROWS, find_personal
from tasks.table import (
    NEVER,
    Column,
    Kind,
    Schema,
    as_canonical,
    infer_schema,
    microseconds,
    parse_time,
    read_file,
    unite_kinds,
)

_FORM = 1  # of the index; another one is made anew
_QUERY = "data.labels.query"


@dataclass(frozen=True)
class BatchLabels:
    """What is said about one batch's labels, as of a moment (None: ever)."""

    index: LabelIndex
    batch: str
    delivered: str  # the content of its rows as they were delivered
    kind: Kind
    last: int | None  # when the last thing changes that is known of them, in microseconds since 1970
    as_of: datetime | None = None

    def known(self) -> tuple[int, str]:
        """How many labels are known, and the content of the batch with them."""
        until = NEVER if self.as_of is None else microseconds(self.as_of)
        known = _known(self.index.path, self.batch, f"{self.delivered} {self.kind}", until)
        names = Schema((Column("label", self.kind),))
        text = f"{self.delivered}|{known.digest(names, names.names if known.rows else [])}"
        return known.rows, hashlib.sha256(text.encode()).hexdigest()[:32]

    def complete(self, as_of: datetime) -> bool:
        """Whether nothing that was said about them is still to be heard after a moment."""
        return self.last is None or self.last <= microseconds(as_of)


@functools.lru_cache(maxsize=8192)
def _known(path: Path, batch: str, stamp: str, until: int) -> Sum:
    """What an index says of a batch. A plan asks this of every batch for every step, and `stamp` settles the answer."""
    return read_known(path, batch, until)


def index_labels(project: LoadedProject) -> LabelIndex:
    """The words of all deliveries; they are read where they changed since the index was made.

    Raises DataError for files that cannot be read, and for a query ConfigError or InfrastructureError. Where the
    project has no home yet, none is made: the index lies in a temporary folder for as long as it is held.
    """
    labels = project.spec.data.labels
    if labels is None:
        raise ValueError(f"{project.name}: no data.labels")
    holder = None if project.home.exists() else tempfile.TemporaryDirectory(prefix="trueup-labels-")
    folder = Path(holder.name) if holder is not None else project.folder / "labels"
    column = str(project.spec.data.id)
    if labels.query is not None:
        return _keep(folder, None, _ask(project), project, column, holder)
    files = match_files(project, labels.sources, "data.labels.source", may_lack=True)
    stats = [(_relative(path, project), path.stat()) for path in files]
    name = _digest(project, [(called, stat.st_size, stat.st_mtime_ns) for called, stat in stats])
    if (folder / f"{name}.sqlite").is_file():
        return open_index(folder / f"{name}.sqlite", column, holder)
    schemas = _read_schemas(project, files)
    return _keep(folder, name, _read(project, files, schemas), project, column, holder)


def fit_kind(index: LabelIndex, own: Kind | None, project: LoadedProject) -> LabelIndex:
    """The index, read so that its labels fit the source's own; DataError where they are of another kind."""
    data = project.spec.data
    kind = own or "empty"
    if kind == "boolean" and index.kind == "integer" and index.is_numbered():
        return replace(index, kind="boolean", as_boolean=True)
    if unite_kinds(kind, index.kind) == "string" and "empty" not in (kind, index.kind) and kind != index.kind:
        where = data.labels.called if data.labels else ""
        raise DataError(
            f"{shown(project.path)}: data.labels: column {data.labels_label!r} of {where} holds {index.kind} values, "
            f"the target {data.target!r} in {data.called} {kind} ones. Expected one kind, since either may be the last "
            "word; mend the deliveries, or leave the target out of the source."
        )
    return index


def count_deliveries(project: LoadedProject, index: LabelIndex, as_of: datetime) -> LabelDeliveries:
    """What was said until a moment. Ids are shown only where they are no personal data."""
    found = dict(index.count(microseconds(as_of)))
    if found["examples"] and _are_personal(project, index):
        found["examples"] = ()
    newest = found.pop("newest")
    moment = None if newest is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=newest)
    return LabelDeliveries(**found, newest=moment)


def remove_superseded(project: LoadedProject, index: LabelIndex) -> None:
    """Remove the indexes of earlier deliveries. Only who holds the project's lock may: a turn may be reading them."""
    folder = project.folder / "labels"
    if index.path.parent == folder:
        for path in folder.glob("*.sqlite*"):
            if not path.name.startswith(index.path.name):
                path.unlink(missing_ok=True)


def _keep(
    folder: Path,
    name: str | None,
    deliveries: Iterator[Delivered],
    project: LoadedProject,
    column: str,
    holder: object,
) -> LabelIndex:
    """Write the index beside its place, and put it there once it is whole. Without a name its content gives one."""
    first = next(deliveries, None)  # before a folder is made: what cannot be read at all leaves nothing behind
    with scratch_folder(folder) as scratch:
        made = scratch / "labels.sqlite"
        content = write_index(made, _chain(first, deliveries))
        path = folder / f"{name or _digest(project, content)}.sqlite"
        if not path.is_file():
            with made.open("rb") as file:
                os.fsync(file.fileno())
            made.replace(path)
    return open_index(path, column, holder)


def _relative(path: Path, project: LoadedProject) -> str:
    return str(path.relative_to(project.root) if path.is_relative_to(project.root) else path)


def _chain(first: Delivered | None, others: Iterator[Delivered]) -> Iterator[Delivered]:
    if first is not None:
        yield first
        yield from others


def _digest(project: LoadedProject, deliveries: Any) -> str:
    """A name for deliveries, and for the settings by which they are read and joined."""
    data, labels = project.spec.data, project.spec.data.labels
    settings = [
        _FORM, data.id, data.target, data.time, data.time_format, data.timezone, data.cut,
        data.label_delay.total_seconds(), labels.model_dump(exclude={"source", "query"}) if labels else None,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps([settings, deliveries], default=str).encode()).hexdigest()[:24]


def _read_schemas(project: LoadedProject, files: Sequence[Path]) -> Schema:
    """The kinds of ids and labels over all files; DataError where a file lacks a column."""
    data = project.spec.data
    united = Schema(())
    for path in files:
        schema = infer_schema(str(path))
        for key, name in _columns(project):
            if schema.kind(name) is None:
                raise DataError(
                    f"{path}: no column {name!r}, which {key} names; expected it in every file of data.labels. "
                    f"{resembling(name, schema)}Columns found: {', '.join(map(repr, schema.names[:40]))}."
                )
        wanted = (data.labels_id, data.labels_label)
        united = united.united(Schema(tuple(c for c in schema.columns if c.name in wanted)))
    return united


def _columns(project: LoadedProject) -> list[tuple[str, str]]:
    """The columns that are read where the labels are, with the keys of the project file that name them."""
    data, labels = project.spec.data, project.spec.data.labels
    assert labels is not None
    named = [
        ("data.labels.id" if labels.id else "data.id", data.labels_id),
        ("data.labels.label" if labels.label else "data.target", data.labels_label),
    ]
    return [*named, *([("data.labels.time", labels.time)] if labels.time else [])]


def _read(project: LoadedProject, files: Sequence[Path], schema: Schema) -> Iterator[Delivered]:
    data, labels = project.spec.data, project.spec.data.labels
    assert labels is not None
    names = [name for _, name in _columns(project)]
    for path in files:
        try:
            parts = read_file(
                str(path), schema, columns=names, time=labels.time, time_format=labels.time_format,
                timezone=data.timezone,
            )  # fmt: skip
            for part in parts:
                at = part.column(labels.time).cast(pa.int64()) if labels.time else pa.nulls(part.num_rows, pa.int64())
                label = part.column(data.labels_label)
                kind = schema.kind(data.labels_label) or "empty"
                yield Delivered(write_texts(part.column(data.labels_id)), write_texts(label), at, kind)
        except DataError as error:
            raise DataError(str(error).replace("data.time_format", "data.labels.time_format")) from None


def _ask(project: LoadedProject) -> Iterator[Delivered]:
    from tasks.data.labels_query import read_query  # SQLAlchemy only where a database is asked

    data, labels = project.spec.data, project.spec.data.labels
    assert labels is not None and labels.query is not None
    names = [name for _, name in _columns(project)]
    for rows in read_query(labels.query, names, project.name):
        columns = list(zip(*rows, strict=True))
        ids, _ = _as_values(columns[0], names[0])
        said, kind = _as_values(columns[1], names[1])
        at = pa.nulls(len(rows), pa.int64())
        if labels.time:
            moments, _ = _as_values(columns[2], labels.time)
            try:
                times = parse_time(moments, labels.time_format, data.timezone, _QUERY, labels.time)
            except DataError as error:
                raise DataError(str(error).replace("data.time_format", "data.labels.time_format")) from None
            at = times.cast(pa.int64())
        yield Delivered(write_texts(ids), write_texts(said), at, kind)


def _as_values(values: Sequence[Any], name: str) -> tuple[pa.Array, Kind]:
    """What a database gives as values of a canonical kind; text where they are of several kinds."""
    try:
        return as_canonical(pa.array(values), _QUERY, name)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.array([None if value is None else _write(value, name) for value in values], pa.string()), "string"


def _write(value: Any, name: str) -> str:
    try:
        text: str = write_texts(as_canonical(pa.array([value]), _QUERY, name)[0])[0].as_py()
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return str(value)
    return text


def _are_personal(project: LoadedProject, index: LabelIndex) -> bool:
    data = project.spec.data
    frame = pd.DataFrame({index.id: index.sample_ids(SAMPLE_ROWS)})
    stated = {index.id} if data.labels_id in data.personal else set(data.personal)
    return bool(find_personal(frame, stated=stated, cleared=data.not_personal))
