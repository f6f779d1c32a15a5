"""A new user's mistakes: each ends in a message that says what, where and what to do, with the right exit code.

Nothing is written for exit codes 2 and 3: where the fault can be seen before a flow runs, not even a home is made.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from flows.cli import main
from tests.conftest import make_rows

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "127.0.0.1:9"  # the discard port: nothing listens there
WIDEST = 1_500  # characters of a message that a person still reads


@dataclass
class Shop:
    """A small project on disk that is right until a test breaks it."""

    root: Path
    home: Path
    raw: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.root / "configs").mkdir(parents=True)
        (self.root / "tables").mkdir()
        self.raw = {
            "name": "shop",
            "data": {"source": "tables/*", "target": "bought", "time": "at", "id": "key"},
            "train": {"candidates": ["logistic"], "search": {"trials": 1}, "plots": False},
            "contract": {"data_docs": False},
        }
        make_rows(rows=300, months=2).to_csv(self.table, index=False)

    @property
    def file(self) -> Path:
        return self.root / "configs" / "shop.yaml"

    @property
    def table(self) -> Path:
        return self.root / "tables" / "rows.csv"

    def write(self, **data: Any) -> None:
        """Write the project file, with keys of `data` changed; None takes a key out."""
        merged = {**self.raw["data"], **data}
        raw = {**self.raw, "data": {k: v for k, v in merged.items() if v is not None}}
        self.file.write_text(yaml.safe_dump(raw))

    def put(self, frame: pd.DataFrame, name: str = "rows.csv") -> None:
        """Write a table, in the format of its name."""
        path = self.root / "tables" / name
        frame.to_parquet(path) if name.endswith(".parquet") else frame.to_csv(path, index=False)

    def contract(self, text: str) -> None:
        (self.root / "configs" / "shop.contract.yaml").write_text(text)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path / "work", tmp_path / "home")
    shop.write()
    return shop


@dataclass
class Said:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


Trueup = Callable[..., Said]


@pytest.fixture
def trueup(capsys: pytest.CaptureFixture[str]) -> Trueup:
    """The command, in this process."""

    def trueup(*arguments: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        return Said(int(ended.value.code or 0), printed.out, printed.err)

    return trueup


def check_said(said: Said, code: int, *words: str) -> None:
    """The exit code, every word, one message that is not too long, and no traceback."""
    assert said.code == code, said
    assert "Traceback" not in said.err + said.out
    message = "\n".join(line for line in said.err.splitlines() if not line.startswith("  ... "))
    for word in words:
        assert word in message, message
    if code in (2, 3, 4):
        assert message.startswith(("trueup: ", "usage: ")), message
        assert len(message) < WIDEST, message
        assert said.out == ""


def entries(home: Path) -> list[str]:
    """The steps that the ledger holds; none where there is no ledger."""
    if not (home / "ledger.db").exists():
        return []
    with closing(sqlite3.connect(home / "ledger.db")) as connection:
        return [str(row[0]) for row in connection.execute("SELECT step FROM entries")]


def check_unwritten(shop: Shop) -> None:
    """No ledger row, no MLflow run, no prediction and no report; a contract's page of what was found may stay."""
    assert entries(shop.home) == []
    store = shop.home / "mlflow.db"
    if store.exists():
        with closing(sqlite3.connect(store)) as connection:
            assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    folder = shop.home / "shop"
    kept = {p.name for p in folder.iterdir()} if folder.exists() else set()
    assert kept <= {"contract", "quarantine"}


# ------------------------------------------------------------------ the command line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["usage: trueup", "COMMAND"]),
        (("rnu", "flights"), ["invalid choice: 'rnu'", "run"]),
        (("run",), ["required: project"]),
        (("run", "flihgts"), ["No project 'flihgts'", "Did you mean 'flights'"]),
        (("run", "configs/none.yaml"), ["configs/none.yaml: no such project file"]),
        (("run", ""), ["is no project name"]),
        (("run", "flights", "--as-of", "yesterday"), ["--as-of yesterday", "now, next", "2013-05-01"]),
        (("run", "flights", "--as-of", "2013-13-45"), ["--as-of 2013-13-45", "ISO date"]),
        (("run", "flights", "--as-of", "2013-05-01T25:00"), ["--as-of", "ISO date"]),
        (("run", "flights", "--as-of", "05/01/2013"), ["--as-of 05/01/2013", "2013-05-01"]),
        (("run", "flights", "--set", "train.search.trials"), ["--set train.search.trials", "key.path=value"]),
        (("run", "flights", "--set", "train.serach.trials=5"), ["train.serach", "unknown key", "'search'"]),
        (("run", "flights", "--set", "train.search.trials=many"), ["train.search.trials", "integer", "'many'"]),
        (("run", "flights", "--set", "train.search.trials=0"), ["train.search.trials", "greater than or equal to 1"]),
        (("run", "flights", "--set", "train.search=[1"), ["--set train.search=[1", "YAML"]),
        (("run", "flights", "--set", "name.first=x"), ["--set name.first=x", "'name' holds a value"]),
        (("run", "flights", "--set", "=5"), ["--set =5", "key.path=value"]),
        (("run", "flights", "--set", "train.metric=auc"), ["train.metric", "'auc'", "roc_auc"]),
        (("run", "flights", "--set", "train.candidates=[xgboost]"), ["train.candidates", "'xgboost'", "logistic"]),
        (("run", "flights", "--set", "data.target=lat"), ["data.target", "no column 'lat'", "'late'"]),
        (("run", "flights", "--set", "data.timezone=New York"), ["data.timezone", "IANA", "'New York'"]),
        (("run", "flights", "--set", "data.label_delay=1 day"), ["data.label_delay", "1d"]),
        (("run", "flights", "--set", "contract.max_quarantine=2 percent"), ["contract.max_quarantine"]),
        (("run", "flights", "--set", "name=Flights!"), ["name", "lower-case", "'Flights!'"]),
        (("score", "flights", "--batch", "2099-01"), ["batch '2099-01'", "2013-12"]),
        (("validate", "flights", "--batch", "2099-01"), ["batch '2099-01'", "2013-12"]),
        (("rollback", "flights", "1", "--reason", "x"), ["--reason", "few words"]),
        (("history", "flights", "--at", "yesterday"), ["yesterday", "ISO"]),
        (("history", "flights"), ["nothing was trained", "TRUEUP_HOME"]),
        (("reproduce", "flights", "1"), ["nothing", "trueup run flights"]),
        (("explain", "flights", "--row", "1"), ["nothing", "trueup run flights"]),
        (("prune", "flights", "--keep", "0"), ["--keep"]),
        (("prune", "flights", "--keep", "2"), ["nothing"]),
        (("backup", "flights", "somewhere"), ["nothing"]),
        (("restore", "flights", "nowhere"), ["nowhere"]),
        (("promote", "flights", "1", "--reason", "because"), ["nothing was trained"]),
        (("rollback", "flights", "--reason", "because"), ["nothing was trained"]),
        (("run", "flights", "--set", "gates.floors.roc_auc=2"), ["gates.floors", "roc_auc"]),
        (("run", "flights", "--set", "gates.ceilings.mae=1"), ["gates.ceilings", "mae"]),
        (("run", "flights", "--set", "gates.champion.margin=1 percent"), ["gates.champion.margin", "0.5%"]),
        (("run", "flights", "--set", "gates.champion.looks=0"), ["gates.champion.looks"]),
        (("run", "flights", "--set", "data.task=ranking"), ["data.task", "regression"]),
        (("approve", "flights", "one", "--reason", "because"), ["invalid int value: 'one'"]),
        (("approve", "flights", "0", "--reason", "because"), ["nothing was trained", "TRUEUP_HOME"]),
        (("approve", "flights", "3", "--reason", "because"), ["nothing was trained", "trueup run flights"]),
    ],
)
def test_a_wrong_command_is_a_usage_error(
    arguments: tuple[str, ...], words: list[str], trueup: Trueup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    said = trueup(*arguments)
    code = 3 if "data.target=lat" in arguments else 2
    check_said(said, code, *words)
    assert not (tmp_path / "home").exists()


# ------------------------------------------------------------------ the project file


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["shop.yaml: expected keys such as name, data", "found nothing"]),
        ("[1, 2]", ["shop.yaml: expected keys", "found a list"]),
        ("name: [", ["shop.yaml: not valid YAML", "line 1"]),
        ("name: shop\n", ["shop.yaml: data: this key is required"]),
        ("name: shop\ndata: {source: tables/*}\n", ["data.target: this key is required"]),
        ("name: shop\ndata: {source: tables/*, target: bought, tiem: at}\n", ["data.tiem: unknown key", "'time'"]),
        ("name: shop\ndata: {source: tables/*, target: [a]}\n", ["data.target: expected a valid string", "a list"]),
        ("name: shop\ndata: {source: tables/*, target: bought, batch: month}\n", ["batch: month needs a time column"]),
        ("name: shop\ndata: {source: tables/*, target: bought, exclude: [bought]}\n", ["'bought' is also in exclude"]),
        ("name: shop\ndata: {source: tables/*, target: at, time: at}\n", ["target 'at' cannot also be"]),
        ("name: shop\ndata: {source: tables/*, target: bought}\nsplit: {test: 120%}\n", ["split.test", "less than"]),
        ("name: shop\ndata: {source: tables/*, target: bought}\nsplit: {how: time}\n", ["split.how: time needs"]),
        ("name: shop\ndata: {source: tables/*, target: bought}\ntrain: {metric: expected_cost}\n", ["train.costs"]),
        ("name: shop\ndata: {source: tables/*, target: bought}\ntrain: {candidates: []}\n", ["train.candidates"]),
        ("name: shop\ndata: {source: tables/*, target: bought}\ntrain: {candidates: forest}\n", ["train.candidates"]),
        ("name: shop\ndata: !!python/object:os.system {}\n", ["not valid YAML"]),
        ("name: shöp\ndata: {source: tables/*, target: bought}\n", ["name: expected lower-case letters"]),
        ("name: 2024\ndata: {source: tables/*, target: bought}\n", ["name: expected a valid string", "2024"]),
    ],
)
def test_a_wrong_project_file_names_the_key(text: str, words: list[str], shop: Shop, trueup: Trueup) -> None:
    shop.file.write_text(text, encoding="utf-8")
    check_said(trueup("run", str(shop.file)), 2, "shop.yaml", *words)
    assert not shop.home.exists()


def test_every_fault_of_a_project_file_is_named_at_once(shop: Shop, trueup: Trueup) -> None:
    shop.raw["train"]["candidates"] = []
    shop.raw["promotion"] = "always"
    shop.write(tiem="at")
    check_said(trueup("run", str(shop.file)), 2, "data.tiem", "train.candidates", "promotion", "'auto' or 'manual'")


def test_a_project_file_that_is_no_text(shop: Shop, trueup: Trueup) -> None:
    shop.file.write_bytes(b"name: \xff\xfe\x00")
    check_said(trueup("run", str(shop.file)), 2, "shop.yaml: not valid YAML")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read(shop: Shop, trueup: Trueup) -> None:
    shop.table.chmod(0)
    check_said(trueup("run", str(shop.file)), 3, "rows.csv", "Permission denied")
    shop.file.chmod(0)
    check_said(trueup("run", str(shop.file)), 2, "shop.yaml", "Permission denied")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colums: {}", ["shop.contract.yaml: colums: unknown key", "'columns'"]),
        ("columns: {size: {typ: number}}", ["columns.size.typ: unknown key", "'type'"]),
        ("columns: {size: {type: float}}", ["columns.size.type", "'number'", "'float'"]),
        ("columns: {size: {min: 3, max: 1}}", ["columns.size", "min"]),
        ("columns: {colour: {pattern: '['}}", ["columns.colour.pattern", "regular expression"]),
        ("columns: {size: {missing: 200%}}", ["columns.size.missing"]),
        ("rows: {min: many}", ["rows.min", "integer", "'many'"]),
        (
            "expectations: [{type: expect_column_to_be_nice, kwargs: {}}]",
            ["expectations.0", "expect_column_to_be_nice"],
        ),
        (
            "expectations: [{type: expect_column_mean_to_be_between, kwargs: {colum: size}}]",
            ["expectations.0", "colum"],
        ),
        ("- size", ["shop.contract.yaml: expected keys such as rows, columns"]),
        ("rows: [", ["shop.contract.yaml: not valid YAML"]),
    ],
)
def test_a_wrong_contract_names_the_key(text: str, words: list[str], shop: Shop, trueup: Trueup) -> None:
    shop.contract(text)
    check_said(trueup("run", str(shop.file)), 2, *words)
    check_said(trueup("validate", str(shop.file)), 2, *words)
    assert not shop.home.exists()


def test_a_contract_that_is_not_there(shop: Shop, trueup: Trueup) -> None:
    shop.raw["contract"] = {"file": "none.yaml"}
    shop.write()
    check_said(trueup("run", str(shop.file)), 2, "none.yaml", "contract.file", "No such file")
    assert not shop.home.exists()


# ------------------------------------------------------------------ the rows


def _no_files(shop: Shop) -> None:
    shop.table.unlink()


def _empty_file(shop: Shop) -> None:
    shop.table.write_bytes(b"")


def _blank_file(shop: Shop) -> None:
    shop.table.write_bytes(b"\n\n  \n")


def _header_only(shop: Shop) -> None:
    shop.table.write_text("key,at,size,bought\n")


def _empty_parquet(shop: Shop) -> None:
    shop.table.unlink()
    shop.put(make_rows(rows=300).iloc[:0], "rows.parquet")


def _cut_off_parquet(shop: Shop) -> None:
    shop.table.unlink()
    shop.put(make_rows(rows=300), "rows.parquet")
    path = shop.root / "tables" / "rows.parquet"
    path.write_bytes(path.read_bytes()[:-200])


def _torn_parquet(shop: Shop) -> None:
    shop.table.unlink()
    shop.put(make_rows(rows=300), "rows.parquet")
    path = shop.root / "tables" / "rows.parquet"
    content = bytearray(path.read_bytes())
    content[100:400] = b"\xa5" * 300  # the footer is whole, a page is not
    path.write_bytes(bytes(content))


def _no_parquet(shop: Shop) -> None:
    shop.table.rename(shop.table.with_suffix(".parquet"))


def _no_gzip(shop: Shop) -> None:
    shop.table.rename(shop.table.with_suffix(".csv.gz"))


def _no_target(shop: Shop) -> None:
    shop.put(make_rows(rows=300).drop(columns="bought"))


def _no_header(shop: Shop) -> None:
    shop.table.write_text("39,State-gov,77516,13,True\n" * 60)


def _semicolons(shop: Shop) -> None:
    shop.table.write_text(shop.table.read_text().replace(",", ";"))


def _no_time(shop: Shop) -> None:
    shop.put(make_rows(rows=300).drop(columns="at"))


def _no_id(shop: Shop) -> None:
    shop.put(make_rows(rows=300).rename(columns={"key": "Key"}))


def _no_group(shop: Shop) -> None:
    shop.write(group="household")


def _one_file_lacks_the_time(shop: Shop) -> None:
    shop.put(make_rows(rows=100).drop(columns="at"), "second.csv")


def _no_labels(shop: Shop) -> None:
    shop.put(make_rows(rows=300).assign(bought=np.nan))


def _labels_of_the_future(shop: Shop) -> None:
    shop.write(label_delay="5000d")


def _one_class(shop: Shop) -> None:
    shop.put(make_rows(rows=300).assign(bought=True))


def _rare_class(shop: Shop) -> None:
    shop.put(make_rows(rows=300).assign(bought=["maybe", *np.resize(["yes", "no"], 299)]))


def _ids(shop: Shop) -> None:
    shop.put(make_rows(rows=300).assign(bought=lambda f: [f"order {n}" for n in range(len(f))]))


def _numbers_with_units(shop: Shop) -> None:
    shop.put(make_rows(rows=300).assign(bought=lambda f: [f"{1000 + 7 * n:,} €" for n in range(len(f))]))


def _infinite(shop: Shop) -> None:
    shop.put(make_rows(rows=300).assign(bought=lambda f: [np.inf, *np.linspace(0.5, 99.5, len(f) - 1)]))


def _dates(shop: Shop) -> None:
    shop.put(make_rows(rows=300).assign(bought=lambda f: f["at"].dt.strftime("%Y-%m-%d")))


def _positive_is_nowhere(shop: Shop) -> None:
    shop.write(positive="bought")


def _few_rows(shop: Shop) -> None:
    shop.put(make_rows(rows=30, months=2))


def _few_positives(shop: Shop) -> None:
    shop.put(make_rows(rows=300, months=2).assign(bought=lambda f: np.arange(len(f)) % 100 == 0))


def _folder(shop: Shop) -> None:
    shop.write(source="tables")


def _unknown_format(shop: Shop) -> None:
    shop.table.rename(shop.table.with_suffix(".xlsx"))


def _not_utf8(shop: Shop) -> None:
    text = shop.table.read_text().replace("red", "röd")
    shop.table.write_bytes(text.encode("latin-1"))


def _not_utf8_header(shop: Shop) -> None:
    shop.table.write_bytes(shop.table.read_text().replace("colour", "größe", 1).encode("latin-1"))


def _utf16(shop: Shop) -> None:
    shop.table.write_bytes(shop.table.read_text().encode("utf-16"))


def _ragged(shop: Shop) -> None:
    lines = shop.table.read_text().splitlines()
    lines[7] += ",one more"
    shop.table.write_text("\n".join(lines))


def _open_quote(shop: Shop) -> None:
    lines = shop.table.read_text().splitlines()
    lines[7] = '"' + lines[7]
    shop.table.write_text("\n".join(lines))


def _column_twice(shop: Shop) -> None:
    shop.table.write_text(shop.table.read_text().replace("colour", "size", 1))


def _column_twice_in_parquet(shop: Shop) -> None:
    shop.table.unlink()
    rows = pa.table({"at": pa.array([1]), "bought": pa.array([True])})
    pq.write_table(rows.append_column("bought", pa.array([False])), shop.root / "tables" / "rows.parquet")


def _times_of_no_kind(shop: Shop) -> None:
    shop.put(make_rows(rows=300).assign(at=lambda f: [f"{i % 28 + 1}/3/2024" for i in range(len(f))]))


def _times_of_another_format(shop: Shop) -> None:
    shop.write(time_format="%d.%m.%Y")


def _numbers_as_time(shop: Shop) -> None:
    shop.put(make_rows(rows=300).assign(at=range(300)))


def _no_times(shop: Shop) -> None:
    shop.put(make_rows(rows=300).assign(at=None))


def _types_that_clash(shop: Shop) -> None:
    rows = make_rows(rows=600, months=3)
    shop.table.unlink()
    january, later = rows[rows["at"] < "2024-02"], rows[rows["at"] >= "2024-02"]
    shop.put(january.assign(size=january["size"].astype(str)), "january.parquet")
    shop.put(later, "later.parquet")


def _one_feature_too_few(shop: Shop) -> None:
    shop.write(exclude=["size", "count", "colour", "member"])


def _same_stem(shop: Shop) -> None:
    shop.put(make_rows(rows=100), "rows.parquet")
    shop.write(batch="file")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (_no_files, ["shop.yaml: data.source: 'tables/*' matches no file", ".csv"]),
        (_empty_file, ["rows.csv: the file is empty", "header line"]),
        (_blank_file, ["rows.csv: the file is empty", "header line"]),
        (_header_only, ["1 file, and no rows in it"]),
        (_empty_parquet, ["1 file, and no rows in it"]),
        (_cut_off_parquet, ["rows.parquet: cannot be read as Parquet", "Deliver the file again"]),
        (_torn_parquet, ["rows.parquet: cannot be read as Parquet", "Deliver the file again"]),
        (_no_parquet, ["rows.parquet: cannot be read as Parquet", "Deliver the file again"]),
        (_no_gzip, ["rows.csv.gz: cannot be read as CSV", "Deliver the file again"]),
        (_no_target, ["shop.yaml: data.target: no column 'bought'", "'size'"]),
        (_no_header, ["no time column 'at'", "needs a line with the columns' names", "'State-gov'"]),
        (_semicolons, ["no time column 'at'", "separated by ';'; commas are expected"]),
        (_no_time, ["no time column 'at'", "size"]),
        (_no_id, ["shop.yaml: data.id: no column 'key'", "Did you mean 'Key'"]),
        (_no_group, ["shop.yaml: data.group: no column 'household'"]),
        (_one_file_lacks_the_time, ["second.csv: no time column 'at'", "in every file"]),
        (_no_labels, ["target 'bought': no row has a known label", "data.label_delay"]),
        (_labels_of_the_future, ["target 'bought': no row has a known label", "data.label_delay"]),
        (_one_class, ["target 'bought': all", "True", "two classes"]),
        (_rare_class, ["1 of 3 classes are too rare", "'maybe', has 1 rows", "expected 8", "'other'"]),
        (_ids, ["185 different values in 185 rows", "'order 0'", "at most 100 classes", "An id is no target"]),
        (_numbers_with_units, ["text that reads as numbers: '1,000 €'", "without separators"]),
        (_infinite, ["1 of 185 known labels are infinite", "contract"]),
        (_dates, ["target 'bought': holds dates such as '2024-01-0"]),
        (_positive_is_nowhere, ["data.positive: 'bought' is not a value", "False", "True"]),
        (_few_rows, ["target 'bought'", "rows with a known label", "expected 40"]),
        (_few_positives, ["the rarer of False and True has", "expected 8"]),
        (_folder, ["data.source: 'tables' is a folder", "tables/*.csv"]),
        (_unknown_format, ["rows.xlsx: expected a file that ends in", ".parquet"]),
        (_not_utf8, ["rows.csv: cannot be read as CSV: column 'colour', line ", "UTF-8"]),
        (_not_utf8_header, ["rows.csv: cannot be read as CSV", "UTF-8"]),
        (_utf16, ["rows.csv: cannot be read as CSV", "UTF-8"]),
        (_ragged, ["rows.csv: cannot be read as CSV", "Expected 7 columns, got 8"]),
        (_open_quote, ["rows.csv: cannot be read as CSV"]),
        (_column_twice, ["rows.csv: column 'size' is there twice"]),
        (_column_twice_in_parquet, ["rows.parquet: column 'bought' is there twice"]),
        (_times_of_no_kind, ["rows.csv: time column 'at': expected ISO 8601", "data.time_format"]),
        (_times_of_another_format, ["rows.csv: time column 'at': expected times written as '%d.%m.%Y'"]),
        (_numbers_as_time, ["rows.csv: time column 'at'", "Time data 0", "data.time_format"]),
        (_no_times, ["no row has a time", "'at'"]),
        (_same_stem, ["two files are named 'rows'", "rows.csv", "rows.parquet"]),
        (_types_that_clash, ["column 'size'", "number in batch 2024-02", "string in the batches before"]),
        (_one_feature_too_few, ["no feature column is left", "exclude"]),
    ],
)
def test_data_that_cannot_be_used(broken: Callable[[Shop], None], words: list[str], shop: Shop, trueup: Trueup) -> None:
    broken(shop)
    check_said(trueup("run", str(shop.file), "--as-of", "2024-06-01"), 3, *words)
    check_unwritten(shop)
    assert not shop.home.exists()


def test_where_a_contract_may_take_labels_out_it_is_asked_first(shop: Shop, trueup: Trueup) -> None:
    """A label that the contract quarantines is no third class; one that it lets through is, and nothing is kept."""
    _rare_class(shop)
    shop.contract("columns: {colour: {type: string}}")
    check_said(trueup("run", str(shop.file), "--as-of", "2024-06-01"), 3, "'maybe', has 1 rows", "take their rows out")
    check_unwritten(shop)


# ------------------------------------------------------------------ what it stands on


def test_a_ledger_that_cannot_be_reached(shop: Shop, trueup: Trueup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_DATABASE_URL", f"postgresql://me:secret-word@{NOWHERE}/trueup")
    said = trueup("run", str(shop.file))
    check_said(said, 4, "The ledger postgresql+psycopg://me:***@127.0.0.1:9/trueup failed", "TRUEUP_DATABASE_URL")
    assert "secret-word" not in said.err


@pytest.mark.parametrize("url", ["mysql://h/d", "nonsense", "sqlite:///relative.db", "postgresql://h:port/d"])
def test_a_ledger_address_that_is_none(url: str, shop: Shop, trueup: Trueup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_DATABASE_URL", url)
    check_said(trueup("run", str(shop.file)), 2, "TRUEUP_DATABASE_URL", "expected postgresql://")
    assert not shop.home.exists()


def test_a_ledger_that_is_something_else(shop: Shop, trueup: Trueup) -> None:
    shop.home.mkdir()
    (shop.home / "ledger.db").write_bytes(b"this is no database" * 100)
    check_said(trueup("run", str(shop.file)), 4, "ledger.db failed: file is not a database", "backup")


def test_a_home_that_is_a_file(shop: Shop, trueup: Trueup) -> None:
    shop.home.write_text("no folder")
    check_said(trueup("run", str(shop.file)), 4, str(shop.home), "TRUEUP_HOME")


def run_alone(shop: Shop, *arguments: str, **environment: str) -> Said:
    """The command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        cwd=ROOT,
        env={**os.environ, "TRUEUP_HOME": str(shop.home), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def test_a_prefect_server_that_does_not_answer(shop: Shop) -> None:
    said = run_alone(shop, "run", str(shop.file), PREFECT_API_URL=f"http://{NOWHERE}/api")
    check_said(said, 4, NOWHERE, "PREFECT_API_URL")
    check_unwritten(shop)


def test_an_mlflow_server_that_does_not_answer(shop: Shop) -> None:
    said = run_alone(shop, "run", str(shop.file), MLFLOW_TRACKING_URI=f"http://me:secret-word@{NOWHERE}")
    check_said(said, 4, NOWHERE, "MLFLOW_TRACKING_URI")
    assert "secret-word" not in said.err
    check_unwritten(shop)


def test_a_mistake_from_a_shell_ends_the_same_way(shop: Shop) -> None:
    _one_class(shop)
    check_said(run_alone(shop, "run", str(shop.file)), 3, "target 'bought': all", "two classes")
    assert not shop.home.exists()
