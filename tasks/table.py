"""A reference to rows on disk that is read in chunks: how production rows pass between stages.

All formats are read to the same few kinds, so that a value, a contract or a fingerprint never depends on the file
format. Labels that are not known yet as of `as_of` read as missing: this is the only door to rows, so nothing
downstream can see the future.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.errors import DataError

Kind = Literal["integer", "number", "boolean", "string", "datetime", "datetime_utc", "empty"]
CHUNK_ROWS = 65_536
ALWAYS, NEVER = -(2**62), 2**62  # moments in microseconds since 1970: before every other, and after
_ARROW: dict[Kind, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "datetime": pa.timestamp("us"),
    "datetime_utc": pa.timestamp("us", "UTC"),
    "empty": pa.null(),
}
_NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A"]
_ZONE_AT_END = re.compile(r"\d(Z|[+-]\d{2}:?\d{2})$")


@dataclass(frozen=True)
class Column:
    """A column's name and kind. `empty` is a column of which no value is known."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Schema:
    """The columns of a table, in their order."""

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(c.name for c in self.columns)

    def kind(self, name: str) -> Kind | None:
        """The kind of a column, None where there is no such column."""
        return next((c.kind for c in self.columns if c.name == name), None)

    def united(self, other: Schema) -> Schema:
        """Both schemas' columns; integer and number become number, kinds that cannot meet become string."""
        kinds = {c.name: c.kind for c in self.columns}
        for c in other.columns:
            kinds[c.name] = unite_kinds(kinds.get(c.name, "empty"), c.kind)
        return Schema(tuple(Column(n, k) for n, k in kinds.items()))


def arrow_type(kind: Kind) -> pa.DataType:
    """The Arrow type that values of a kind are read as."""
    return _ARROW[kind]


def unite_kinds(a: Kind, b: Kind) -> Kind:
    """The narrowest kind that holds both."""
    if a == b or b == "empty":
        return a
    if a == "empty":
        return b
    return "number" if {a, b} == {"integer", "number"} else "string"


class LabelWords(Protocol):
    """What was said about labels elsewhere than in the rows, by id."""

    @property
    def id(self) -> str:
        """The rows' column that labels are joined by."""

    def look_up(
        self, ids: pa.Array, own: pa.Array, known_from: NDArray[np.int64], until: int
    ) -> tuple[pa.Array, NDArray[np.int64]]:
        """The labels (n,) as the last words until a moment have them, in the type of `own`, and since when (n,).

        `own` are the rows' own labels, which count as said at `known_from`. Moments are microseconds since 1970.
        """


@dataclass(frozen=True)
class TableRef:
    """Rows of one batch: which files, which period of them, and as of when.

    `start` and `end` (UTC, half-open) select rows by `time`; None takes the whole files. Rows come in the order of
    the files and of the rows within them. With `labels` the target is filled from there, whether or not the files
    have such a column; `schema` holds it in any case.
    """

    batch: str
    files: tuple[str, ...]
    schema: Schema
    target: str
    time: str | None = None
    time_format: str | None = None
    timezone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    as_of: datetime | None = None
    label_delay: timedelta = timedelta(0)
    labels_hidden: bool = False  # hides every label: what scoring sees
    labels: LabelWords | None = None  # labels from elsewhere, joined by id

    @property
    def said_at(self) -> str:
        """The name of a further column that may be asked for: since when the label that is shown is known.

        UTC; missing where no label is shown, and where it was known from the beginning. No column of the rows is
        called so.
        """
        name = "said_at"
        while name in self.schema.names:
            name += "_"
        return name

    def without_labels(self) -> TableRef:
        """The same rows with every label missing."""
        return replace(self, labels_hidden=True)

    def chunks(self, rows: int = CHUNK_ROWS, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield frames of at most `rows` rows; the index is the row's running number within the batch.

        integer reads as int64 (float64 where values are missing), number as float64, boolean as bool (object where
        values are missing), string as str, datetimes with microseconds. A column that a file lacks reads as
        missing. Raises DataError for a file that cannot be read.
        """
        position = 0
        for batch in self.record_batches(rows, columns):
            frame = to_frame(batch)
            frame.index = pd.RangeIndex(position, position + len(frame))
            position += len(frame)
            yield frame

    def frame(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """All rows at once. For training and for small tables only."""
        frames = list(self.chunks(columns=columns))
        if frames:
            return pd.concat(frames)
        wanted = self.schema.names if columns is None else columns
        return pd.DataFrame({name: pd.Series(dtype=object) for name in wanted})

    def record_batches(self, rows: int = CHUNK_ROWS, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The same rows as Arrow record batches of the canonical types."""
        wanted = list(self.schema.names if columns is None else columns)
        told = self.said_at in wanted
        labelled = told or self.target in wanted
        needed = [name for name in wanted if name != self.said_at]
        needed += [self.time] if self.time else []
        needed += [self.target] if told else []
        needed += [self.labels.id] if self.labels is not None and labelled else []
        needed = list(dict.fromkeys(needed))
        for path in self.files:
            for batch in read_file(path, self.schema, rows, needed, self.time, self.time_format, self.timezone):
                kept = self._in_period(batch)
                if labelled and kept.num_rows:
                    kept = self._with_labels(kept, told)
                if kept.num_rows:
                    yield kept.select(wanted)

    def known_from(self, batch: pa.RecordBatch) -> NDArray[np.int64]:
        """When each row's own label counts as said, in microseconds since 1970; ALWAYS in a table without time, NEVER
        for a row that has none. Before the batch's end nothing of it is seen. Shape (rows,)."""
        if self.time is None:
            return np.full(batch.num_rows, ALWAYS, np.int64)
        times = batch.column(self.time)
        moments: NDArray[np.int64] = pc.fill_null(times.cast(pa.int64()), NEVER).to_numpy(zero_copy_only=False)
        return np.where(moments == NEVER, NEVER, moments + self.label_delay // timedelta(microseconds=1))

    def _in_period(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if self.time is not None and (self.start is not None or self.end is not None):
            times = batch.column(self.time)
            mask = None
            if self.start is not None:
                mask = pc.greater_equal(times, pa.scalar(self.start, times.type))
            if self.end is not None:
                before = pc.less(times, pa.scalar(self.end, times.type))
                mask = before if mask is None else pc.and_(mask, before)
            batch = batch.filter(mask)  # a missing time belongs to no period
        return batch

    def _with_labels(self, batch: pa.RecordBatch, told: bool) -> pa.RecordBatch:
        """The rows with the labels that are known as of the moment, and `told`, since when."""
        index = batch.schema.get_field_index(self.target)
        own, since = batch.column(index), self.known_from(batch)
        until = NEVER if self.as_of is None else microseconds(self.as_of)
        if self.as_of is not None and self.end is not None and self.end > self.as_of:
            until = ALWAYS - 1  # the batch is not there yet
        if self.labels_hidden:
            shown: pa.Array = pa.nulls(batch.num_rows, own.type)
        elif self.labels is not None:
            shown, since = self.labels.look_up(batch.column(self.labels.id), own, since, until)
        elif self.as_of is None or self.time is None:
            shown = own
        else:
            shown = pc.if_else(pa.array(since <= until), own, pa.scalar(None, own.type))
        batch = batch.set_column(index, batch.schema.field(index).with_type(shown.type), shown)
        if not told:
            return batch
        missing = np.asarray(shown.is_null(nan_is_null=True)) | (since <= ALWAYS) | (since >= NEVER)
        moments = pa.array(np.where(missing, 0, since), pa.timestamp("us", "UTC"), mask=missing)
        return batch.append_column(self.said_at, moments)


def microseconds(moment: datetime) -> int:
    """A moment as microseconds since 1970, as Arrow counts them."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def to_frame(batch: pa.RecordBatch) -> pd.DataFrame:
    """A canonical record batch as pandas."""
    frame: pd.DataFrame = batch.to_pandas()
    for name, field in zip(frame.columns, batch.schema, strict=True):
        if pa.types.is_null(field.type):
            frame[name] = np.full(len(frame), np.nan)
        elif pa.types.is_string(field.type):
            frame[name] = frame[name].astype("str")
    return frame


def read_file(
    path: str,
    schema: Schema | None,
    rows: int = CHUNK_ROWS,
    columns: Sequence[str] | None = None,
    time: str | None = None,
    time_format: str | None = None,
    timezone: str = "UTC",
) -> Iterator[pa.RecordBatch]:
    """Yield record batches of one file in canonical types; `schema` None reads the file by its own."""
    own = infer_schema(path) if schema is None else schema
    names = list(own.names if columns is None else columns)
    for raw in _raw_batches(path, rows, names):
        arrays = []
        for name in names:
            kind = own.kind(name) or "empty"
            at = raw.schema.get_field_index(name)
            array = pa.nulls(raw.num_rows) if at < 0 else raw.column(at)
            if name == time:
                array = parse_time(array, time_format, timezone, path, name)
            else:
                array = _cast(array, kind, path, name)
            arrays.append(array)
        yield pa.RecordBatch.from_arrays(arrays, names=names)


def as_canonical(array: pa.Array, where: str, name: str) -> tuple[pa.Array, Kind]:
    """Values of any Arrow type as one of the canonical kinds. DataError, naming `where`, for what is none."""
    kind = _kind_of(array.type)
    return _cast(array, kind, where, name), kind


def infer_schema(path: str) -> Schema:
    """The kinds of a file's columns. CSV is read once in full, so that no late value comes as a surprise."""
    if _is_parquet(path):
        with _data_errors(path):
            arrow = pq.read_schema(path)
        _no_repeats(path, arrow.names)
        return Schema(tuple(Column(f.name, _kind_of(f.type)) for f in arrow))
    with _data_errors(path):
        kinds: dict[str, Kind] = dict.fromkeys(_csv_names(path), "empty")
    for batch in _raw_batches(path, CHUNK_ROWS, None):
        for name in batch.schema.names:
            kinds[name] = unite_kinds(kinds.get(name, "empty"), _text_kind(batch.column(name), kinds.get(name)))
    return Schema(tuple(Column(n, k) for n, k in kinds.items()))


def parse_time(array: pa.Array, form: str | None, timezone: str, path: str, name: str) -> pa.Array:
    """The time column as UTC microseconds. Times without a zone are read in `timezone`; of an hour that a clock
    change repeats, the earlier is taken, and of one it skips, the moment after."""
    kind = _kind_of(array.type)
    try:
        if form is not None and kind in ("string", "integer"):
            series = pd.to_datetime(array.cast(pa.string()).to_pandas(), format=form)
        elif kind == "string":
            text = array.to_pandas()
            first = text.dropna()
            zoned = len(first) > 0 and bool(_ZONE_AT_END.search(str(first.iloc[0])))
            series = pd.to_datetime(text, format="ISO8601", utc=zoned)
        elif kind in ("datetime", "datetime_utc"):
            series = _cast(array, kind, path, name).to_pandas()
        elif kind == "empty":
            return pa.nulls(len(array), pa.timestamp("us", "UTC"))
        else:
            found = next((v for v in array.to_pylist() if v is not None), None)
            raise ValueError(f"the column holds {kind} values such as {found!r}, which need a time_format such as '%Y'")
        if series.dt.tz is None:
            earlier = np.ones(len(series), bool)
            series = series.dt.tz_localize(timezone, ambiguous=earlier, nonexistent="shift_forward")
        return pa.Array.from_pandas(series.dt.tz_convert("UTC"), type=pa.timestamp("us", "UTC"), safe=False)
    except (ValueError, TypeError, pa.ArrowInvalid) as error:
        want = f"times written as {form!r}" if form else "ISO 8601 times (or set data.time_format, as to '%d/%m/%Y')"
        found = _first_line(error).removesuffix(" You might want to try:").rstrip(".")
        raise DataError(f"{path}: time column {name!r}: expected {want}; {found}.") from None


def _raw_batches(path: str, rows: int, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    if _is_parquet(path):
        with _data_errors(path), pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            there = None if columns is None else [c for c in columns if c in file.schema_arrow.names]
            yield from file.iter_batches(batch_size=rows, columns=there)
        return
    with _data_errors(path), pa.input_stream(path, compression="detect", buffer_size=1 << 20) as stream:
        names = _csv_names(path)
        reader = pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(block_size=8 << 20, use_threads=False),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types={n: pa.string() for n in names},
                null_values=_NULLS,
                strings_can_be_null=True,
                include_columns=None if columns is None else [c for c in columns if c in names],
            ),
        )
        for batch in reader:
            for start in range(0, batch.num_rows, rows):
                yield batch.slice(start, rows)


def _csv_names(path: str) -> list[str]:
    with pa.input_stream(path, compression="detect") as stream:
        head = stream.read(1 << 20)
    if not head.strip():
        raise DataError(f"{path}: the file is empty; expected a header line and rows.")
    end = head.find(b"\n")
    quotes = head.count(b'"', 0, end)
    while end >= 0 and quotes % 2:  # a line break within a quoted name does not end the header
        start, end = end, head.find(b"\n", end + 1)
        quotes += head.count(b'"', start, end)
    line = pa.py_buffer(head if end < 0 else head[: end + 1])
    parsing = pacsv.ParseOptions(newlines_in_values=True)
    names: list[str] = pacsv.read_csv(pa.BufferReader(line), parse_options=parsing).column_names
    _no_repeats(path, names)
    return names


def _no_repeats(path: str, names: Sequence[str]) -> None:
    repeated = sorted({n for n in names if list(names).count(n) > 1})
    if repeated:
        raise DataError(f"{path}: column {repeated[0]!r} is there twice; every column needs a name of its own.")


def _is_parquet(path: str) -> bool:
    return path.endswith((".parquet", ".pq"))


def _kind_of(arrow: pa.DataType) -> Kind:
    types = pa.types
    if types.is_dictionary(arrow):
        return _kind_of(arrow.value_type)
    if types.is_boolean(arrow):
        return "boolean"
    if types.is_integer(arrow) and not types.is_uint64(arrow):
        return "integer"
    if types.is_floating(arrow) or types.is_decimal(arrow) or types.is_uint64(arrow):
        return "number"
    if types.is_timestamp(arrow):
        return "datetime_utc" if arrow.tz else "datetime"
    if types.is_date(arrow):
        return "datetime"
    if types.is_null(arrow):
        return "empty"
    return "string"


def _cast(array: pa.Array, kind: Kind, path: str, name: str) -> pa.Array:
    wanted = _ARROW[kind]
    if array.type == wanted:
        return array
    try:
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_null(array.type):
            return pa.nulls(len(array), wanted)
        if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            return _cast_text(array, kind)
        if kind == "string" and (pa.types.is_nested(array.type) or pa.types.is_binary(array.type)):
            return pa.array([None if v is None else str(v) for v in array.to_pylist()], pa.string())
        return array.cast(wanted, safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{path}: column {name!r}: expected {kind} values; {_first_line(error)}") from None


def _cast_text(array: pa.Array, kind: Kind) -> pa.Array:
    if kind == "string":
        return array.cast(pa.string())
    if kind == "empty":
        return pa.nulls(len(array))
    trimmed = pc.utf8_trim_whitespace(array)
    if kind == "boolean":
        return pc.equal(pc.utf8_lower(trimmed), "true")
    return trimmed.cast(_ARROW[kind])


def _text_kind(array: pa.Array, known: Kind | None) -> Kind:
    """The kind of a block of text values. Codes with leading zeros (007, 02134) stay text."""
    values = pc.utf8_trim_whitespace(array.drop_null())
    if len(values) == 0:
        return "empty"
    if known == "string":
        return "string"
    lowered = pc.utf8_lower(values)
    if pc.all(pc.is_in(lowered, pa.array(["true", "false"]))).as_py():
        return "boolean"
    if pc.any(pc.match_substring_regex(values, r"^[+-]?0\d")).as_py():
        return "string"
    kinds: tuple[Kind, ...] = ("integer", "number", "datetime", "datetime_utc")
    for kind in kinds:
        try:
            values.cast(_ARROW[kind])
        except pa.ArrowInvalid:
            continue
        return kind
    return "string"


class _data_errors:
    """Turn what pyarrow and the file system raise into a DataError that names the file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        if not Path(self.path).is_file():
            raise DataError(f"{self.path}: no such file.")
        if Path(self.path).stat().st_size == 0:
            raise DataError(f"{self.path}: the file is empty; expected a header line and rows.")

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UnicodeDecodeError) or "invalid UTF8" in str(error):
            at = re.search(r"CSV column #(\d+): Row #(\d+)", str(error))
            where = f"column {_csv_names(self.path)[int(at[1])]!r}, line {at[2]}," if at else "its header"
            raise DataError(
                f"{self.path}: cannot be read as CSV: {where} is not text in UTF-8. Save the file as UTF-8 "
                "(spreadsheets: CSV UTF-8), or convert it, as by iconv -f LATIN1 -t UTF-8."
            ) from None
        if isinstance(error, DataError) or not isinstance(error, (pa.ArrowException, OSError)):
            return
        sort = "Parquet" if _is_parquet(self.path) else "CSV"
        hint = "" if sort == "Parquet" else " Columns are parted by commas, and a text that holds one is quoted."
        raise DataError(
            f"{self.path}: cannot be read as {sort}: {_first_line(error)}.{hint} Deliver the file again, or move it "
            "away."
        ) from None


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:300].rstrip(".")
