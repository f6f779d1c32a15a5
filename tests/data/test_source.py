"""Files, batches, visibility: what is there as of a moment."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from tasks.data.source import FileIndex, index_source, table_of
from tasks.errors import DataError
from tests.conftest import MakeProject, make_rows


def known(source: object) -> dict[str, str]:
    return {f.path: f.to_json() for f in source.scanned}  # type: ignore[attr-defined]


def test_months_are_cut_in_the_projects_time_zone(make_project: MakeProject) -> None:
    times = ["2024-02-01T04:59:59Z", "2024-02-01T05:00:00Z", "2024-03-10T06:59:00Z", "2024-03-10T07:01:00Z"]
    frame = make_rows(4).assign(at=pd.to_datetime(times))
    project = make_project({"rows.parquet": frame}, data={"timezone": "America/New_York"})
    january, february, march = index_source(project, {}).batches
    assert [b.key for b in (january, february, march)] == ["2024-01", "2024-02", "2024-03"]
    assert (january.rows, february.rows, march.rows) == (1, 1, 2)
    assert february.start == datetime(2024, 2, 1, 5, tzinfo=UTC)
    assert march.end == datetime(2024, 4, 1, 4, tzinfo=UTC), "summer time began in March"
    assert not february.visible(datetime(2024, 3, 1, 4, 59, tzinfo=UTC))
    assert february.visible(datetime(2024, 3, 1, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    ("cut", "keys"),
    [
        ("hour", ["2024-11-03T01-0400", "2024-11-03T01-0500"]),
        ("day", ["2024-11-03"]),
        ("week", ["2024-W44"]),
        ("file", ["rows"]),
        ("all", ["all"]),
    ],
)
def test_other_cuts_and_the_hour_that_comes_twice(make_project: MakeProject, cut: str, keys: list[str]) -> None:
    frame = make_rows(2).assign(at=pd.to_datetime(["2024-11-03T05:30:00Z", "2024-11-03T06:30:00Z"]))
    project = make_project({"rows.parquet": frame}, data={"timezone": "America/New_York", "batch": cut})
    source = index_source(project, {})
    assert [b.key for b in source.batches] == keys
    assert sum(b.rows for b in source.batches) == 2
    for batch in source.batches:
        assert len(table_of(batch, project.spec.data, None).frame()) == batch.rows


def test_one_batch_may_lie_in_many_files(make_project: MakeProject) -> None:
    frame = make_rows(500)
    whole = index_source(make_project({"rows.parquet": frame}), {})
    parts = {"rows.csv": frame.iloc[::2], "more.parquet": frame.iloc[1::2]}
    project = make_project(parts)
    (project.root / "tables" / "rows.parquet").unlink()
    cut = index_source(project, {})
    assert [(b.key, b.rows, b.content, b.inputs) for b in cut.batches] == [
        (b.key, b.rows, b.content, b.inputs) for b in whole.batches
    ]
    rows = pd.concat(table_of(b, project.spec.data, None).frame() for b in cut.batches)
    assert sorted(rows["key"]) == sorted(frame["key"])


def test_a_label_is_not_seen_before_it_is_known(make_project: MakeProject) -> None:
    project = make_project(data={"label_delay": "2d"})
    batch = index_source(project, {}).batches[0]
    assert batch.end is not None
    rows = table_of(batch, project.spec.data, batch.end).frame()
    late = rows["at"] > batch.end - pd.Timedelta(days=2)
    assert late.any()
    assert rows.loc[late, "bought"].isna().all()
    assert rows.loc[~late, "bought"].notna().all()
    before = table_of(batch, project.spec.data, batch.end - pd.Timedelta(seconds=1)).frame()
    assert before["bought"].isna().all(), "the batch's period has not ended"
    assert table_of(batch, project.spec.data, None).without_labels().frame()["bought"].isna().all()


def test_a_file_is_read_once(make_project: MakeProject) -> None:
    project = make_project()
    first = index_source(project, {})
    again = index_source(project, known(first))
    assert again.scanned == ()
    assert again.batches == first.batches
    path = project.root / "tables" / "rows.parquet"
    make_rows(600, seed=1).to_parquet(path)
    os.utime(path, ns=(1, 1))
    changed = index_source(project, known(first))
    assert len(changed.scanned) == 1
    assert changed.batches != first.batches
    assert FileIndex.from_json(changed.scanned[0].to_json()) == changed.scanned[0]


def test_late_labels_change_the_content_and_not_the_inputs(make_project: MakeProject) -> None:
    frame = make_rows()
    unlabelled = frame.assign(bought=frame["bought"].astype("boolean").mask(frame.index > 300))
    before = index_source(make_project({"rows.parquet": unlabelled}), {}).batches[-1]
    after = index_source(make_project({"rows.parquet": frame}), {}).batches[-1]
    assert before.inputs == after.inputs
    assert before.content != after.content


def test_rows_without_a_time_are_counted(make_project: MakeProject) -> None:
    frame = make_rows()
    frame.loc[:4, "at"] = pd.NaT
    source = index_source(make_project({"rows.parquet": frame}), {})
    assert list(source.untimed.values()) == [5]
    assert sum(b.rows for b in source.batches) == len(frame) - 5


def refusal(project: object) -> str:
    with pytest.raises(DataError) as caught:
        index_source(project, {})  # type: ignore[arg-type]
    return str(caught.value)


def test_unusable_sources_are_named(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project({"rows.csv": make_rows(50)})
    table = project.root / "tables" / "rows.csv"
    table.write_text("")
    assert "rows.csv: the file is empty" in refusal(project)
    table.write_text("key,at,bought\n")
    assert "no rows" in refusal(project)
    table.write_text("key,at,bought\na,01/02/2024 10:00,1\n")
    assert "data.time_format" in refusal(project)
    table.write_text("key,key,at,bought\na,b,2024-01-01,1\n")
    assert "'key' is there twice" in refusal(project)
    table.write_text("key,bought\na,1\n")
    assert "no time column 'at'" in refusal(project)
    table.write_text("key,at\na,2024-01-01\n")
    assert "data.target: no column 'bought'" in refusal(project)
    table.write_text("key,at,bought\na,2024-01-01,1\nb,2\n")
    assert "cannot be read as CSV" in refusal(project)
    table.unlink()
    assert "matches no file" in refusal(project)
    (project.root / "tables" / "rows.parquet").write_bytes(b"PAR1 this is not Parquet PAR1")
    assert "cannot be read as Parquet" in refusal(project)
    (project.root / "tables" / "rows.parquet").rename(project.root / "tables" / "rows.xlsx")
    assert "expected a file that ends in" in refusal(project)


def test_csv_keeps_codes_and_reads_what_is_plain(make_project: MakeProject) -> None:
    project = make_project({}, data={"time": None, "id": None})
    (project.root / "tables" / "rows.csv").write_text(
        'zip,price,flag,when,note,bought\n02134,1.50,true,2024-01-01 10:00:00,"a, b",yes\n00501,NA,False,,,no\n'
    )
    (batch,) = index_source(project, {}).batches
    assert {c.name: c.kind for c in batch.schema.columns} == {
        "zip": "string", "price": "number", "flag": "boolean", "when": "datetime", "note": "string", "bought": "string",
    }  # fmt: skip
    assert table_of(batch, project.spec.data, None).frame()["zip"].tolist() == ["02134", "00501"]


def test_time_formats(make_project: MakeProject) -> None:
    frame = make_rows(100)
    german = frame.assign(at=frame["at"].dt.strftime("%d.%m.%Y %H:%M"))
    project = make_project({"rows.csv": german}, data={"time_format": "%d.%m.%Y %H:%M"})
    assert [b.key for b in index_source(project, {}).batches] == ["2024-01", "2024-02", "2024-03"]
    years = frame.assign(at=2015 + frame.index // 50)
    project = make_project({"rows.csv": years}, data={"time_format": "%Y"})
    assert [b.key for b in index_source(project, {}).batches] == ["2015-01", "2016-01"]
