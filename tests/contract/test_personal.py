"""Personal data and rare values: named at the check, and quoted nowhere that many may read."""

from __future__ import annotations

import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.contract.check import check_contract
from tasks.contract.personal import RowsSetAside
from tasks.contract.quotation import Discretion, Examples, cut_values
from tasks.results import to_json
from tasks.stats.personal import CARD, EMAIL, NAME, PHONE, SAMPLE_ROWS, SSN, STATED
from tasks.table import TableRef
from tests.contract.conftest import NOW
from tests.stats.people import make_people

ROWS = 60
PEOPLE = make_people(ROWS)
LOOKS = {"mail": EMAIL, "phone": PHONE, "card": CARD, "ssn": SSN, "full_name": NAME, "ward": STATED}


def make_batch() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "mail": PEOPLE["email"],
            "phone": [int(p.replace("-", "")) for p in PEOPLE["phone"]],
            "card": [int(c) for c in PEOPLE["card"]],
            "ssn": PEOPLE["ssn"],
            "full_name": PEOPLE["name"],
            "ward": ["Ward Seven"] * ROWS,  # only the project file knows
            "city": ["Ghent"] * 30 + ["Bruges"] * 24 + ["Little Snoring"] * 4 + ["Nether Wallop"] * 2,
            "price": [10.0] * 57 + [1_234.5] * 3,
            "y": [0, 1] * (ROWS // 2),
        }
    )


def native(kind, column, **more):
    return {"type": kind, "kwargs": {"column": column, **more}, "severity": "warning"}


RULES = {
    "unique": [["mail", "city"]],
    "columns": {
        "mail": {"pattern": ".*@corp[.]example"},
        "phone": {"min": 5_000_000_000},
        "card": {"max": 4_999_999_999_999_999},
        "ssn": {"values": ["none"]},
        "full_name": {"pattern": "[A-Z]"},
        "ward": {"values": ["Ward One"]},
        "city": {"values": ["Ghent"]},
        "price": {"max": 100},
    },
    "expectations": [
        *[native("expect_column_distinct_values_to_be_in_set", c, value_set=["x"]) for c in (*LOOKS, "city")],
        *[native("expect_column_distinct_values_to_contain_set", c, value_set=["x"]) for c in ("mail", "city")],
        *[native("expect_column_most_common_value_to_be_in_set", c, value_set=["x"]) for c in ("ssn", "city")],
        *[native("expect_column_max_to_be_between", c, max_value=1) for c in ("card", "phone", "price")],
        *[native("expect_column_median_to_be_between", c, max_value=1) for c in ("card", "phone")],
        *[native("expect_column_mean_to_be_between", c, max_value=1) for c in ("full_name", "city", "mail")],
        *[native("expect_column_values_to_be_increasing", c) for c in ("mail", "card")],
        native("expect_column_values_to_be_of_type", "mail", type_="int"),
    ],
}


def find_values(text: str, frame: pd.DataFrame, columns) -> list[str]:
    """Values of some columns that stand in a text."""
    return sorted({str(v) for name in columns for v in frame[name] if str(v) in text})


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """The batch through the stage as a flow calls it, with page, quarantine and Data Docs."""
    from tests.contract.conftest import World

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("personal")
        patch.setenv("TRUEUP_HOME", str(folder / "home"))
        world = World(folder)
        data = {"personal": ["ward", "not here"], "exclude": ["ssn"]}
        project = world.project(RULES, data=data, contract={"max_quarantine": 1.0})
        yield project, check_contract(project, world.table(make_batch()), now=NOW, label_expected=True)


def test_columns_are_named_and_none_of_their_values_is_quoted(checked):
    _, result = checked
    assert dict(result.personal) == LOOKS
    assert result.quarantined == ROWS and result.quarantine is not None
    frame = make_batch()
    page = result.page.read_text(encoding="utf-8")
    for text in (to_json(result), page):
        assert not find_values(text, frame, LOOKS)
    assert "Columns of personal data" in page and "data.not_personal" in page and "data.exclude" in page
    assert "<code>ssn</code>: US social-security numbers; in <code>data.exclude</code>" in page
    assert "Say what &#39;mail&#39; and 3 more may be used for" in page
    observed = {r.name: r.observed for r in result.rules}
    assert observed["mail: matches .*@corp[.]example"] == f"60 of 60 (100.00%); values not shown: {EMAIL}"
    assert observed["card: column max to be between, max_value 1"] == f"not as expected; values not shown: {CARD}"
    assert observed["ward: one of Ward One"].endswith(STATED)
    assert observed["mail: column values to be of type, type_ int"] != "not as expected"
    errors = [text for name, text in observed.items() if "column mean" in name]
    assert len(errors) == 3 and all(text.startswith("could not be checked: ") for text in errors)


def test_rare_texts_are_counted_and_not_quoted(checked):
    _, result = checked
    rare = ["Little Snoring", "Nether Wallop"]
    text = to_json(result) + result.page.read_text(encoding="utf-8")
    assert not [value for value in rare if value in text]
    observed = {r.name: r.observed for r in result.rules}
    assert observed["city: one of Ghent"] == (
        "30 of 60 (50.00%), such as Bruges; 2 rare values not shown (in the quarantine file)"
    )
    assert observed["city: column distinct values to be in set, value_set x"] == (
        "unexpected: Bruges, Ghent; 2 rare values not shown"
    )
    assert observed["price: at most 100"] == "3 of 60 (5.00%), such as 1234.5"  # a number names nobody
    assert observed["price: column max to be between, max_value 1"] == "1234.5"
    assert set(pd.read_parquet(result.quarantine)["city"]) >= set(rare)  # that file is not for many


def test_data_docs_show_no_value_either(checked):
    project, result = checked
    assert result.data_docs is not None
    frame = make_batch()
    files = [p for p in (project.folder / "data_docs").rglob("*") if p.suffix in (".html", ".json")]
    assert len(files) > 3
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not find_values(text, frame, LOOKS), path
        assert "Little Snoring" not in text and "Nether Wallop" not in text, path
    page = result.data_docs.read_text(encoding="utf-8")
    assert "unexpected values found" in page and "1234.5" in page  # counts, and the observed maximum of prices


def test_the_project_file_has_the_last_word(check):
    frame = make_batch()
    rules = {"columns": {"mail": {"values": ["x"]}, "ward": {"values": ["x"]}, "card": {"max": 1}}}
    found = check(rules, frame, data={"not_personal": ["mail", "phone", "card", "ssn"]})
    assert dict(found.result.personal) == {"full_name": NAME}
    assert found.rule("ward: one of x").observed == "60 of 60 (100.00%), such as Ward Seven"
    assert found.rule("mail: one of x").observed.endswith("60 rare values not shown (in the quarantine file)")
    assert found.rule("card: at most 1").observed.endswith(f"such as {', '.join(PEOPLE['card'][:3])}")


def test_roles_are_looked_at_too(check):
    frame = pd.DataFrame({"id": PEOPLE["email"], "at": pd.date_range("2024-01-01", periods=ROWS), "y": PEOPLE["ssn"]})
    data = {"id": "id", "time": "at", "batch": "all"}
    doubled = pd.concat([frame, frame])
    found = check(None, doubled, data=data)
    assert dict(found.result.personal) == {"id": EMAIL, "y": SSN}
    assert found.rule("id: unique").observed == f"120 of 120 (100.00%); values not shown: {EMAIL}"
    assert dict(check(None, frame, data={**data, "personal": ["at"]}).result.personal) == {
        "id": EMAIL, "at": STATED, "y": SSN,
    }  # fmt: skip
    hidden = check(None, frame, data=data, table={"labels_hidden": True}, label_expected=False)
    assert dict(hidden.result.personal) == {"id": EMAIL}


def test_where_rows_are_not_in_quarantine_their_positions_are_named(check):
    rules = {"expectations": [native("expect_column_values_to_be_in_set", "t", value_set=["a"])]}
    frame = {"t": ["a"] * 5 + ["p", "q", "p", "r", None], "y": [0, 1] * 5}
    observed = check(rules, frame).rule("t: column values to be in set, value_set a").observed
    assert observed == "4 of 9 (44.44%); 3 rare values not shown (_row 5, 6, 8)"


def test_an_address_in_a_column_of_other_things_is_not_quoted_however_often(check):
    frame = {"t": ["a"] * 90 + ["jane@mail.example"] * 6 + ["b"] * 6, "y": [0, 1] * 51}
    observed = check({"columns": {"t": {"values": ["a"]}}}, frame).rule("t: one of a").observed
    assert observed == "12 of 102 (11.76%), such as b; 1 rare value not shown (in the quarantine file)"


def test_examples_of_many_texts_are_bounded():
    examples = Examples(text=True)
    for start in range(0, 20_000, 1_000):
        examples.add(pd.DataFrame({"t": [f"text {i}" for i in range(start, start + 1_000)] + ["often"]}))
    assert (
        examples.quote(("t",), Discretion({}), True) == "; 1,000 or more rare values not shown (in the quarantine file)"
    )
    examples = Examples(text=True)
    for start in range(0, 20_000, 1_000):
        examples.add(pd.DataFrame({"t": ["often"] + [f"text {i}" for i in range(start, start + 1_000)]}))
    assert examples.quote(("t",), Discretion({}), True).startswith(", such as often; 999 or more rare values")


def test_the_rows_set_aside_are_spread_over_the_batch_and_bounded():
    files = (str(Path(__file__)),)
    table = TableRef("b", files, _schema(t="string", n="integer", w="datetime", f="boolean"), "y")
    aside = RowsSetAside(table)
    tracemalloc.start()
    for start in range(0, 1_000_000, 50_000):
        rows = range(start, start + 50_000)
        aside.take(
            pd.DataFrame(
                {"t": "x", "n": rows, "w": pd.Timestamp(0), "f": True}, index=pd.RangeIndex(start, start + 50_000)
            )
        )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    held = pd.concat(aside._parts)
    assert SAMPLE_ROWS <= len(held) <= 2 * SAMPLE_ROWS
    assert list(held.columns) == ["t", "n"] and held["n"].max() > 990_000
    assert np.diff(held["n"]).std() == 0
    assert peak < 20e6


def _schema(**kinds):
    from tasks.table import Column, Schema

    return Schema(tuple(Column(n, k) for n, k in kinds.items()))


@pytest.mark.parametrize(
    ("message", "said", "shown"),
    [
        ("could not convert string to float: 'jane'", "", "could not convert string to float: ..."),
        ("Cannot convert ['jane' 'joe'] to numeric", "", "Cannot convert ..."),
        ("Could not convert string 'janejoe", "", "Could not convert string ..."),
        ("'<' not supported between 'str' and 'int'", "", "'<' not supported between 'str' and 'int'"),
        ("name 'nowhere' is not defined", '{"row_condition": "nowhere == 1"}', "name 'nowhere' is not defined"),
        ("bad value 4111111111111111 at 3", "", "bad value ... at 3"),
        ("RuntimeError: no <b>luck</b>", "", "RuntimeError: no <b>luck</b>"),
        ("it doesn't fit 'jane'", "", "it doesn ..."),
        ("call() got (1, 'jane')", "", "call() got ..."),
    ],
)  # fmt: skip
def test_errors_are_told_without_the_values_in_them(message, said, shown):
    assert cut_values(message, said) == shown


def test_nothing_personal_is_logged(world, caplog, monkeypatch):
    project = world.project(RULES, data={"personal": ["ward"]}, contract={"max_quarantine": 1.0})
    fail = ValueError(f"could not convert {PEOPLE['email'][0]!r}")
    monkeypatch.setattr("tasks.contract.docs._sample", lambda *_: (_ for _ in ()).throw(fail))
    with caplog.at_level(logging.DEBUG):
        check_contract(project, world.table(make_batch()), now=NOW, label_expected=True)
    assert "ValueError: could not convert ..." in caplog.text
    assert not find_values(caplog.text, make_batch(), LOOKS)
