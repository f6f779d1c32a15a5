"""Labels that come apart from the rows: what holds does not depend on the order of words, nor on their cutting."""

from __future__ import annotations

import gzip
import os
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.config import LoadedProject, load_project
from tasks.data.labels import count_deliveries
from tasks.data.snapshot import gather_training_rows
from tasks.data.source import Source, index_source, table_of
from tasks.data.words import read_texts, write_texts
from tasks.errors import ConfigError, DataError, InfrastructureError
from tasks.stats.delays import LabelDelay
from tasks.table import TableRef, infer_schema
from tests.conftest import MakeProject, make_rows

LATER = datetime(2025, 1, 1, tzinfo=UTC)
START = datetime(2024, 1, 1, tzinfo=UTC)


def make_home(project: LoadedProject) -> LoadedProject:
    project.home.mkdir(parents=True, exist_ok=True)
    return project


def deliver(project: LoadedProject, name: str, frame: pd.DataFrame) -> Path:
    path = project.root / "labels" / name
    path.parent.mkdir(exist_ok=True)
    frame.to_parquet(path) if name.endswith(".parquet") else frame.to_csv(path, index=False)
    return path


def labels_of(source: Source, project: LoadedProject, as_of: datetime | None = None) -> dict[str, Any]:
    """The known label of each row, by its id."""
    batches = source.batches if as_of is None else source.visible(as_of)
    frames = [table_of(b, project.spec.data, as_of).frame(columns=["key", "bought"]) for b in batches]
    rows = pd.concat(frames)
    return dict(zip(rows["key"], rows["bought"].astype(object).where(rows["bought"].notna(), None), strict=True))


def contents(source: Source) -> dict[str, str]:
    return {b.key: b.content for b in source.batches}


# ---------------------------------------------------------------- any order, any cutting

NAMES = [f"row-0-{i}" for i in range(6)] + ["nobody"]
WORDS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(["yes", "no", None]),
        st.sampled_from([None, *range(5)]),  # days
    ),
    max_size=25,
)


def what_holds(words: Sequence[tuple[str, str | None, int | None]], own: dict[str, Any], day: float) -> dict[str, Any]:
    """By the rule as it is stated, row by row: known labels as of so many days after the rows."""
    known = {}
    for name in NAMES[:-1]:
        said: dict[float, set[str | None]] = {}
        if own[name] is not None:
            said.setdefault(2, set()).add(own[name])  # the label delay
        for who, label, at in words:
            if who == name and (at is not None or label is not None):
                said.setdefault(2 if at is None else at, set()).add(label)
        last = max((at for at in said if at <= day), default=None)
        known[name] = None if last is None or len(said[last]) > 1 else next(iter(said[last]))
    return known


@settings(max_examples=30, deadline=None)
@given(WORDS, st.lists(st.integers(0, 25), max_size=4), st.randoms(use_true_random=False), st.booleans())
def test_any_order_and_any_cutting_end_the_same(
    words: list[tuple[str, str | None, int | None]], cuts: list[int], random: Random, in_source: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        root = Path(folder)
        patch.setenv("TRUEUP_HOME", str(root / "home"))
        for name in ("configs", "tables", "labels", "home"):
            (root / name).mkdir()
        rows = make_rows(6).assign(at=START)[["key", "at", "size", "bought"]]
        rows["bought"] = rows["bought"].map({True: "yes", False: "no"}).where(rows.index < 3)
        own = {
            key: label if isinstance(label, str) else None
            for key, label in zip(rows["key"], rows["bought"], strict=True)
        }
        if not in_source:
            rows, own = rows.drop(columns="bought"), dict.fromkeys(own)
        rows.iloc[::2].to_parquet(root / "tables" / "a.parquet")
        rows.iloc[1::2].to_parquet(root / "tables" / "b.parquet")
        data = {
            "source": "tables/*", "target": "bought", "time": "at", "id": "key", "batch": "file", "label_delay": "2d",
            "labels": {"source": "labels/*", "time": "said"},
        }  # fmt: skip
        (root / "configs" / "shop.yaml").write_text(yaml.safe_dump({"name": "shop", "data": data}))
        project = load_project(root / "configs" / "shop.yaml")
        ends = sorted({0, len(words), *(cut for cut in cuts if cut < len(words))})
        shuffled = list(words)
        random.shuffle(shuffled)
        found = []
        for order, parts in ((words, [(0, len(words))]), (shuffled, list(pairwise(ends)))):
            for path in (root / "labels").iterdir():
                path.unlink()
            for number, (start, end) in enumerate(parts):
                frame = pd.DataFrame(order[start:end], columns=["key", "bought", "day"])
                frame["said"] = pd.Timestamp(START) + pd.to_timedelta(frame.pop("day").astype("Float64"), unit="D")
                kind = random.choice(["csv", "csv.gz", "parquet"])
                deliver(project, f"{random.random()}-{number}.{kind}", frame.astype({"bought": "str"}))
                index_source(project, {})  # a turn after each delivery
            source = index_source(project, {})
            moments = [START + timedelta(days=days) for days in (0, 1.5, 2, 3, 9)]
            for days, moment in zip((0, 1.5, 2, 3, 9), moments, strict=True):
                known = labels_of(source, project, moment)
                assert known == what_holds(words, own, days)
                assert sum(b.labelled for b in source.visible(moment)) == sum(v is not None for v in known.values())
            found.append(
                [
                    contents(source),
                    [[(b.key, b.content, b.labelled) for b in source.visible(moment)] for moment in moments],
                    [count_deliveries(project, source.labels, moment) for moment in moments],  # type: ignore[arg-type]
                ]
            )
        assert found[0] == found[1]


# ---------------------------------------------------------------- what changes, and what does not


@pytest.fixture
def project(make_project: MakeProject) -> LoadedProject:
    """Three months of rows without labels, which are delivered apart with their times."""
    rows = make_rows().drop(columns="bought")
    labels = {"source": "labels/*", "time": "said"}
    project = make_home(make_project({"rows.parquet": rows}, data={"labels": labels, "label_delay": "1d"}))
    (project.root / "labels").mkdir()
    return project


def draw_words(days: float = 3) -> pd.DataFrame:
    rows = make_rows()
    said = rows["at"] + pd.Timedelta(days=days)
    return pd.DataFrame({"key": rows["key"], "bought": rows["bought"], "said": said, "at": rows["at"]})


def test_a_delivery_changes_the_batches_that_it_is_about(project: LoadedProject) -> None:
    words = draw_words()
    empty = index_source(project, {})
    assert [b.labelled for b in empty.batches] == [0, 0, 0]
    february = words["at"].dt.month == 2
    deliver(project, "a.csv", words[february])
    first = index_source(project, {})
    changed = [a.key for a, b in zip(empty.batches, first.batches, strict=True) if a.content != b.content]
    assert changed == ["2024-02"]
    assert [b.labelled for b in first.batches] == [0, february.sum(), 0]
    assert [b.inputs for b in first.batches] == [b.inputs for b in empty.batches], "what a model sees is the same"
    deliver(project, "b.parquet", words[february].iloc[::2])  # said again, to no effect
    deliver(project, "c.csv.gz", words.head(3).assign(key="nobody"))
    again = index_source(project, {})
    assert contents(again) == contents(first)
    found = count_deliveries(project, again.labels, LATER)  # type: ignore[arg-type]
    assert (found.duplicates, found.unknown, found.contradictions) == (len(words[february].iloc[::2]), 1, 0)
    assert found.newest == words[february]["said"].max()
    deliver(
        project, "b.parquet", words[february].iloc[:1].assign(said=LATER, bought=~words["bought"][february].iloc[0])
    )
    corrected = index_source(project, {})
    assert contents(corrected) != contents(first)


def test_a_word_is_not_heard_before_it_is_said(project: LoadedProject) -> None:
    words = draw_words(days=20)
    deliver(project, "a.csv", words)
    source = index_source(project, {})
    moment = datetime(2024, 3, 1, tzinfo=UTC)
    known = labels_of(source, project, moment)
    heard = set(words["key"][words["said"] <= moment])
    assert {key for key, label in known.items() if label is not None} == heard & set(known)
    january, february = source.visible(moment)
    assert february.labelled == len(heard & set(words["key"][words["at"].dt.month == 2]))
    assert not february.labels_complete(moment, project.spec.data.label_delay)
    assert january.labels_complete(datetime(2024, 2, 21, tzinfo=UTC), project.spec.data.label_delay)
    later = source.visible(LATER)
    assert later[0].content == january.content and later[1].content != february.content
    assert january.at(LATER).content == january.content == source.batches[0].content
    rows = gather_training_rows(project, source.visible(moment), moment, {})
    assert len(rows.target) == len(heard)
    hidden = table_of(february, project.spec.data, moment).without_labels()
    assert hidden.frame(columns=["bought", hidden.said_at]).isna().all(axis=None)


def test_without_times_a_label_is_known_as_one_in_the_source(make_project: MakeProject) -> None:
    rows = make_rows()
    inside = make_home(make_project(data={"label_delay": "5d"}))
    moment = datetime(2024, 3, 1, tzinfo=UTC)
    wanted = labels_of(index_source(inside, {}), inside, moment)
    (inside.root / "tables" / "rows.parquet").unlink()
    apart = make_project(
        {"rows.csv": rows.drop(columns="bought")}, data={"label_delay": "5d", "labels": {"source": "labels/a.csv"}}
    )
    deliver(apart, "a.csv", pd.concat([rows[["key", "bought"]], rows[["key"]].assign(bought=None)]))
    source = index_source(apart, {})
    assert labels_of(source, apart, moment) == wanted
    assert sum(v is None for v in wanted.values()) > 10
    deliver(apart, "a.csv", pd.concat([rows[["key", "bought"]], rows[["key", "bought"]].head(4).assign(bought=True)]))
    source = index_source(apart, {})
    found = count_deliveries(apart, source.labels, LATER)  # type: ignore[arg-type]
    wrong = sorted(rows["key"].head(4)[~rows["bought"].head(4)])
    assert (found.contradictions, list(found.examples)) == (len(wrong), wrong[:3])
    assert {key for key, label in labels_of(source, apart).items() if label is None} == set(wrong)


def test_the_sources_own_label_is_a_word_too(make_project: MakeProject) -> None:
    rows = make_rows()
    project = make_home(make_project(data={"label_delay": "2d", "labels": {"source": "labels/*", "time": "said"}}))
    changed = pd.DataFrame({"key": rows["key"], "bought": ~rows["bought"]})
    early, late = rows["at"] + pd.Timedelta(days=1), rows["at"] + pd.Timedelta(days=3)
    deliver(project, "early.csv", changed.iloc[:100].assign(said=early))
    deliver(project, "late.csv", changed.iloc[100:200].assign(said=late))
    known = labels_of(index_source(project, {}), project)
    assert [known[k] for k in rows["key"]] == [*rows["bought"][:100], *~rows["bought"][100:200], *rows["bought"][200:]]
    deliver(project, "late.csv", rows[["key"]].iloc[100:200].assign(bought=None, said=late))
    known = labels_of(index_source(project, {}), project)
    assert all(known[k] is None for k in rows["key"][100:200]), "taken back"


def test_a_table_without_time_hears_nothing_from_the_future(make_project: MakeProject) -> None:
    rows = make_rows(400).drop(columns="at")
    data = {"time": None, "labels": {"source": "labels/*", "time": "said"}}
    project = make_home(make_project({"rows.csv": rows.drop(columns="bought")}, data=data))
    said = pd.Timestamp(START) + pd.to_timedelta(range(400), unit="h")
    deliver(project, "a.csv", rows[["key", "bought"]].assign(said=said))
    (batch,) = index_source(project, {}).visible(START + timedelta(hours=99))
    assert (batch.labelled, batch.labels_complete(START + timedelta(hours=99), timedelta(0))) == (100, False)
    training = gather_training_rows(project, [batch], None, {})
    assert len(training.target) == 100, "a training of rows without time has no moment of its own"
    deliver(project, "b.csv", rows[["key", "bought"]].assign(said=None))  # known from the beginning
    (batch,) = index_source(project, {}).visible(START - timedelta(days=1))
    assert batch.labelled == 400
    frame = table_of(batch, project.spec.data, None).frame(columns=["bought", "said_at"])
    assert frame["bought"].notna().all() and frame["said_at"].isna().all()


@pytest.mark.parametrize("form", ["integer", "float", "text"])
def test_an_id_is_the_same_however_it_is_written(make_project: MakeProject, form: str) -> None:
    rows = make_rows(300).assign(key=range(300))
    project = make_home(
        make_project({"rows.parquet": rows.drop(columns="bought")}, data={"labels": {"source": "labels/*"}})
    )
    words = rows[["key", "bought"]]
    kind = {"integer": "int64", "float": "float64", "text": "str"}[form]
    deliver(project, "a.csv", words.iloc[:150].astype({"key": kind}))
    deliver(project, "b.parquet", words.iloc[150:].astype({"key": kind}))
    source = index_source(project, {})
    assert labels_of(source, project) == dict(zip(rows["key"], rows["bought"], strict=True))
    assert count_deliveries(project, source.labels, LATER).unknown == 0  # type: ignore[arg-type]


def test_values_come_back_as_they_were() -> None:
    for array in (
        pa.array([5, None, -(2**60)]),
        pa.array([5.0, 0.1, None, 1e300, -0.5, 2.0**70]),
        pa.array([True, None, False]),
        pa.array(["a", None, "007"]),
        pa.array([datetime(2024, 1, 1), None], pa.timestamp("us")),
    ):
        assert read_texts(write_texts(array).to_pylist(), array.type).equals(array)
    assert write_texts(pa.array([5.0])) == write_texts(pa.array([5])) == write_texts(pa.array(["5"]))


def test_numbers_beside_truth_values_and_kinds_that_cannot_meet(make_project: MakeProject) -> None:
    rows = make_rows()
    project = make_home(make_project(data={"labels": {"source": "labels/*", "time": "said"}}))
    words = rows[["key"]].assign(bought=(~rows["bought"]).astype(int), said=LATER)
    deliver(project, "a.csv", words)
    known = labels_of(index_source(project, {}), project)
    assert known == dict(zip(rows["key"], ~rows["bought"], strict=True))
    deliver(project, "b.csv", words.head(1).assign(bought="perhaps"))
    with pytest.raises(DataError, match=r"holds string values, the target 'bought' in tables/\* boolean ones"):
        index_source(project, {})


def test_said_at_and_the_delay_curve(project: LoadedProject, make_project: MakeProject) -> None:
    words = draw_words(days=2.5)
    deliver(project, "a.csv", words.iloc[::2])
    deliver(project, "b.csv", words.iloc[::2].assign(said=words["said"] + pd.Timedelta(days=9)))  # said again
    moment = datetime(2024, 3, 15, tzinfo=UTC)
    table = table_of(index_source(project, {}).batches[1], project.spec.data, moment)
    assert table.said_at == "said_at"
    delay, whole = LabelDelay(as_of=moment), LabelDelay(as_of=moment)
    for rows in (50, 10_000):
        delay = LabelDelay(as_of=moment)
        for frame in table.chunks(rows, ["at", "bought", table.said_at]):
            assert ((frame["said_at"] - frame["at"]).dropna() == pd.Timedelta(days=2.5)).all()
            delay = delay.add(frame["at"], frame["bought"].notna().to_numpy(), frame["said_at"])
        whole = delay if rows == 50 else whole
    assert delay == whole
    february = words["at"].dt.month == 2
    assert (delay.rows, delay.known) == (february.sum(), february[::2].sum())
    assert delay.share == pytest.approx(0.5, abs=0.01)
    assert [(days, round(share, 1)) for days, _, share in delay.curve] == [(0, 0), (1, 0), (2, 0), (3, 0.5)]
    young = LabelDelay(as_of=datetime(2024, 3, 2, tzinfo=UTC)).add(
        frame["at"], frame["bought"].notna().to_numpy(), frame["said_at"]
    )
    old = (frame["at"] <= pd.Timestamp("2024-02-28", tz="UTC")).sum()
    assert young.curve[3][:2] == (3, old), "rows of yesterday cannot have had a label for three days"
    assert LabelDelay().add(None, np.array([True, False]), None).curve == ()


def test_said_at_of_labels_in_the_source(make_project: MakeProject) -> None:
    rows = make_rows().assign(said_at=1)
    project = make_project({"rows.parquet": rows}, data={"label_delay": "2d"})
    batch = index_source(project, {}).batches[0]
    assert batch.end is not None
    table = table_of(batch, project.spec.data, batch.end)
    assert table.said_at == "said_at_", "a column of that name is there"
    frame = table.frame(columns=["at", "bought", "said_at", "said_at_"])
    known = frame["bought"].notna()
    assert (frame["said_at_"] - frame["at"])[known].eq(pd.Timedelta(days=2)).all()
    assert frame["said_at_"][~known].isna().all() and 0 < known.sum() < len(frame)


# ---------------------------------------------------------------- the index


def test_deliveries_are_read_once(project: LoadedProject) -> None:
    path = deliver(project, "a.csv", draw_words())
    before = index_source(project, {})
    assert before.labels is not None
    stamp = before.labels.path.stat()
    assert index_source(project, {}).labels == before.labels
    assert before.labels.path.stat().st_mtime_ns == stamp.st_mtime_ns
    os.utime(path, ns=(1, 1))
    after = index_source(project, {})
    assert after.labels is not None and after.labels.path != before.labels.path
    assert contents(after) == contents(before)


def test_where_there_is_no_home_none_is_made(make_project: MakeProject) -> None:
    project = make_project(data={"labels": {"source": "labels/*"}})
    deliver(project, "a.csv", make_rows()[["key", "bought"]])
    source = index_source(project, {})
    assert not project.home.exists()
    assert source.labels is not None and source.labels.path.exists()
    assert sum(b.labelled for b in source.batches) == 600
    path = source.labels.path
    del source
    assert not path.exists()


def test_personal_ids_are_not_shown(make_project: MakeProject) -> None:
    rows = make_rows().assign(key=[f"ann.{i}@example.org" for i in range(600)])
    apart = {"labels": {"source": "labels/*"}}
    for stated in ({}, {"personal": ["key"]}, {"not_personal": ["key"]}):
        project = make_home(make_project({"rows.parquet": rows}, data={**apart, **stated}))
        deliver(project, "a.csv", rows[["key"]].assign(bought=~rows["bought"]))
        source = index_source(project, {})
        found = count_deliveries(project, source.labels, LATER)  # type: ignore[arg-type]
        assert found.contradictions == 600
        assert len(found.examples) == (3 if "not_personal" in stated else 0)
    plain = make_home(make_project({"rows.parquet": make_rows()}, data={**apart, "personal": ["key"]}))
    deliver(plain, "a.csv", make_rows()[["key"]].assign(bought=~make_rows()["bought"]))
    assert count_deliveries(plain, index_source(plain, {}).labels, LATER).examples == ()  # type: ignore[arg-type]


def test_memory_and_time_do_not_follow_the_words(project: LoadedProject) -> None:
    """One batch of 600 rows, and 200,000 words about others: the words are looked up, not loaded."""
    import tracemalloc

    words = draw_words()
    deliver(project, "a.csv", words)
    many = pd.DataFrame({"key": [f"other-{i}" for i in range(200_000)], "bought": True, "said": LATER})
    deliver(project, "b.parquet", many)
    source = index_source(project, {})
    tracemalloc.start()
    known = labels_of(source, project)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(v is not None for v in known.values()) == 600
    assert peak < 8e6


def test_a_database_is_asked(make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_rows().assign(key=range(600), bought=lambda f: f["bought"].map({True: "yes", False: "no"}))
    query = "SELECT number, bought, said FROM outcomes WHERE said > '2000-01-01 00:00:00'"
    labels = {"query": query, "id": "number", "time": "said"}
    project = make_home(make_project({"rows.parquet": rows.drop(columns="bought")}, data={"labels": labels}))
    with pytest.raises(ConfigError, match="TRUEUP_LABELS_URL"):
        index_source(project, {})
    monkeypatch.setenv("TRUEUP_LABELS_URL", f"sqlite:///{tmp_path}/labels.db")
    with pytest.raises(InfrastructureError, match="no such file"):
        index_source(project, {})
    words = pd.DataFrame({"number": rows["key"], "bought": rows["bought"], "said": rows["at"].astype(str)})
    with closing(sqlite3.connect(tmp_path / "labels.db")) as database:
        words.iloc[::-1].to_sql("outcomes", database, index=False)
    asked = index_source(project, {})
    assert labels_of(asked, project) == dict(zip(rows["key"], rows["bought"], strict=True))
    assert index_source(project, {}).labels == asked.labels
    with closing(sqlite3.connect(tmp_path / "labels.db")) as database:
        words.head(1).assign(bought="no", said="2024-09-01").to_sql(
            "outcomes", database, index=False, if_exists="append"
        )
    assert labels_of(index_source(project, {}), project)[0] == "no"
    monkeypatch.setenv("TRUEUP_LABELS_URL", "nosuchdialect://somewhere/labels")
    with pytest.raises(ConfigError, match="no driver"):
        index_source(project, {})


def test_a_file_that_breaks_off_leaves_no_index(project: LoadedProject) -> None:
    path = deliver(project, "a.csv.gz", draw_words())
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()))[:-200])
    with pytest.raises(DataError, match=r"a\.csv\.gz: cannot be read"):
        index_source(project, {})
    assert not list(project.home.rglob("*.sqlite"))
    path.unlink()
    path.with_suffix("").write_text("key,bought,said\nrow-0-1,yes,2024-05-01\nrow-0-2,no,2024-05-01\n,no,2024-05-02\n")
    source = index_source(project, {})
    assert count_deliveries(project, source.labels, LATER).nameless == 1  # type: ignore[arg-type]


def test_tables_without_labels_from_elsewhere_read_as_before(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    make_rows(50).to_parquet(path)
    table = TableRef("b", (str(path),), infer_schema(str(path)), "bought", time="at", as_of=START)
    assert list(table.frame()) == list(make_rows(1))
    assert table.frame()["bought"].isna().all()
