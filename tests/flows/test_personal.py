"""What a turn says about columns of personal data: in the ledger, on Prefect's page, and in one line."""

from __future__ import annotations

from typing import Any

import pandas as pd

from flows.show import describe_check
from flows.summary import MOST_LINES, describe
from flows.validate import check_batches, find_results, result_of
from flows.workspace import open_workspace
from tasks.results import ContractResult, to_json
from tests.conftest import MakeProject, make_rows
from tests.stats.people import make_people

PEOPLE = make_people(600)
ROWS = make_rows().assign(mail=PEOPLE["email"], phone=PEOPLE["phone"], ward="Ward Seven")
LOOKS = {"mail": "e-mail addresses", "phone": "phone numbers"}


def check(make_project: MakeProject, rows: pd.DataFrame, **data: Any) -> tuple[list[str], list[Any], str]:
    """The summary's lines about personal data, the ledger's entries, and the headline."""
    project = make_project({"rows.parquet": rows}, data={"batch": "all", "label_delay": "0d", **data})
    with open_workspace(str(project.path), "2024-06-01", [], "validate") as workspace:
        entries = check_batches(workspace, workspace.visible, force=True)
        report = describe(workspace.project, workspace.ledger, entries, "a turn")
    assert len(report.lines) <= MOST_LINES
    assert all(len(line) <= 118 for line in report.lines if "personal" in line)
    return [line for line in report.lines if line.strip().startswith("personal ")], entries, report.headline


def test_columns_are_named_once_until_the_project_file_says_something(make_project: MakeProject) -> None:
    lines, entries, headline = check(make_project, ROWS)
    assert [e.payload["personal"] for e in entries] == [LOOKS]
    assert result_of(entries[0]).personal == LOOKS
    assert [" ".join(line.split()) for line in lines] == [
        "personal 'mail' and 1 more look like personal data: data.exclude, .personal or .not_personal"
    ]
    assert "personal" not in headline
    lines, entries, _ = check(make_project, ROWS, exclude=["phone"])
    assert [" ".join(line.split()) for line in lines] == [
        "personal 'mail' looks like e-mail addresses: data.exclude, .personal or .not_personal"
    ]
    lines, entries, _ = check(make_project, ROWS, exclude=["phone"], personal=["mail", "ward"])
    assert not lines
    assert entries[0].payload["personal"] == {**LOOKS, "ward": "personal data, as the project file says"}
    lines, entries, _ = check(make_project, ROWS, not_personal=["mail", "phone"])
    assert not lines and entries[0].payload["personal"] == {}


def test_the_line_is_one_whatever_the_columns_are_called(make_project: MakeProject) -> None:
    names = {"mail": "\x1b[31m" + "long " * 40, "phone": "another 'quoted' \"name\"\nof a phone"}
    lines, _, _ = check(make_project, ROWS.rename(columns=names))
    assert len(lines) == 1 and "\x1b" not in lines[0] and lines[0].endswith(".personal or .not_personal")
    assert check(make_project, make_rows())[0] == []


def test_no_value_is_in_the_ledger_or_on_prefects_page(make_project: MakeProject) -> None:
    project = make_project({"rows.parquet": ROWS}, data={"batch": "all"}, contract={"max_quarantine": 1.0})
    (project.path.parent / "shop.contract.yaml").write_text(
        "columns: {mail: {values: [x]}, phone: {pattern: x}, colour: {values: [red]}}"
    )
    with open_workspace(str(project.path), "2024-06-01", [], "validate") as workspace:
        (found,) = find_results(workspace, workspace.visible).values()
        (entry,) = check_batches(workspace, workspace.visible)
    assert isinstance(found, ContractResult)
    page = describe_check(found)
    assert "**Personal data**, of which no value is shown: `mail`: e\\-mail addresses" in page
    for text in (page, to_json(entry.payload), entry.reason):
        assert not [v for v in (*PEOPLE["email"], *PEOPLE["phone"]) if v in text]
    assert "such as blue, green" in page or "such as green, blue" in page
