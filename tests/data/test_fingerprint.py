"""A fingerprint follows the content of rows and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.config.project import Data
from tasks.data.fingerprint import Sum, hash_rows, sum_rows
from tasks.data.source import scan_file
from tests.conftest import make_rows

values = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(width=64)),
        st.one_of(st.none(), st.text(max_size=8)),
        st.one_of(st.none(), st.booleans()),
        st.integers(-(2**63), 2**63 - 1),
    ),
    min_size=1,
    max_size=30,
)
SCHEMA = pa.schema([("a", pa.float64()), ("b", pa.string()), ("c", pa.bool_()), ("d", pa.int64())])


def as_batch(rows: list[tuple[object, ...]]) -> pa.RecordBatch:
    columns = [pa.array(list(c), f.type) for c, f in zip(zip(*rows, strict=True), SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def total(rows: list[tuple[object, ...]]) -> Sum:
    return sum_rows(hash_rows(as_batch(rows), SCHEMA.names))


@settings(max_examples=60, deadline=None)
@given(values, st.randoms(use_true_random=False), st.integers(0, 30))
def test_order_and_cutting_do_not_matter(rows: list[tuple[object, ...]], random: object, at: int) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert total(shuffled) == total(rows)
    head, tail = rows[:at], rows[at:]
    if head and tail:
        assert total(head).plus(total(tail)) == total(rows)


@settings(max_examples=60, deadline=None)
@given(values, st.integers(0, 29), st.integers(0, 3))
def test_every_changed_value_shows(rows: list[tuple[object, ...]], at: int, column: int) -> None:
    at %= len(rows)
    old = rows[at][column]
    changed: object = {0: 1.5 if old != 1.5 else 2.5, 1: f"{old}!", 2: not old, 3: 7 if old != 7 else 8}[column]
    if column == 2 and old is None:
        changed = True
    row = list(rows[at])
    row[column] = changed
    assert total([*rows[:at], tuple(row), *rows[at + 1 :]]) != total(rows)


def test_a_doubled_row_and_swapped_columns_show() -> None:
    rows: list[tuple[object, ...]] = [(1.0, "x", True, 2), (3.0, "y", False, 4)]
    assert total([*rows, rows[0]]) != total(rows)
    batch = pa.RecordBatch.from_pydict({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    swapped = pa.RecordBatch.from_pydict({"a": [3.0, 4.0], "b": [1.0, 2.0]})
    assert sum_rows(hash_rows(batch, ["a", "b"])) != sum_rows(hash_rows(swapped, ["a", "b"]))


def test_the_file_format_does_not_matter(tmp_path: Path) -> None:
    frame = make_rows(300)
    frame["count"] = frame["count"].astype("Int64").mask(frame.index % 7 == 0)
    frame["big"] = np.arange(300) + 2**60
    frame["colour"] = frame["colour"].astype("category")
    frame["day"] = frame["at"].dt.tz_localize(None).dt.normalize()
    data = Data(source="x", target="bought", time="at", id="key", batch="month")
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.iloc[::-1].to_csv(tmp_path / "a.csv.gz", index=False)
    found = [scan_file(str(tmp_path / n), 0, 0, "", data) for n in ("a.parquet", "a.csv", "a.csv.gz")]
    digests = [{k: p.content.digest(f.schema, f.schema.names) for k, p in f.parts.items()} for f in found]
    assert digests[0] == digests[1] == digests[2]
    frame.loc[5, "big"] += 1
    frame.to_parquet(tmp_path / "b.parquet")
    other = scan_file(str(tmp_path / "b.parquet"), 0, 0, "", data)
    assert {k: p.content for k, p in other.parts.items()} != {k: p.content for k, p in found[0].parts.items()}


def test_integers_and_whole_numbers_are_one() -> None:
    ints, floats = pd.Series([1, 2, -3]), pd.Series([1.0, 2.0, -3.0])
    batches = [pa.RecordBatch.from_pydict({"a": pa.array(s)}) for s in (ints, floats)]
    assert sum_rows(hash_rows(batches[0], ["a"])) == sum_rows(hash_rows(batches[1], ["a"]))
