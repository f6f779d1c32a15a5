"""What people look at: the contract's page, the quarantine file, the Data Docs."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.contract.check import check_contract
from tasks.contract.docs import build_data_docs
from tasks.contract.page import write_page
from tasks.contract.quarantine import read_positions
from tasks.errors import DataError, InfrastructureError
from tests.contract.conftest import NOW

COLUMN = '<script>alert("c")</script>'
HOSTILE = {COLUMN: ["ok", "<img src=x onerror=alert(1)>", "ok", "' onload='x"], "n": [1, 2, 3, 4], "y": [0, 1, 0, 1]}
RULES = {
    "columns": {COLUMN: {"values": ["ok"]}, "n": {"min": 0}},
    "expectations": [
        {"type": "expect_column_distinct_values_to_be_in_set", "kwargs": {"column": COLUMN, "value_set": ["<b>"]}},
        {
            "type": "expect_column_quantile_values_to_be_between",
            "kwargs": {"column": "n", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 9]]}},
        },
    ],
}


def test_the_page_escapes_what_the_data_brought_and_loads_nothing(check):
    often = {name: values * 5 for name, values in HOSTILE.items()}  # a rarer value is not quoted
    checked = check(RULES, often, table={"batch": "<i>b</i>"})
    page = write_page(checked.project, checked.result)
    text = page.read_text(encoding="utf-8")
    tags = set(re.findall(r"<(\w+)", text))
    assert not tags & {"script", "img", "i", "b", "link", "iframe"}
    assert "http" not in text and "url(" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "refused" in text and "What to do" in text and "prefers-color-scheme" in text
    assert page.parent == checked.project.folder / "contract"
    assert write_page(checked.project, checked.result) == page
    assert [p.name for p in page.parent.iterdir()] == [page.name]


def test_the_page_says_what_to_do(check):
    def text(result, project):
        return write_page(project, result).read_text(encoding="utf-8")

    good = check({"columns": {"n": {"min": 0}}}, {"n": [1, 2], "y": [0, 1]})
    assert "Nothing: every row may be used." in text(good.result, good.project)
    some = check({"columns": {"n": {"min": 2}}}, {"n": [1, 2], "y": [0, 1]})
    assert some.result.quarantine.name in text(some.result, some.project)
    assert "toy.contract.yaml" in text(some.result, some.project)
    gone = check({"columns": {"z": {}}}, {"n": [1, 2], "y": [0, 1]})
    assert "neither trained on nor scored" in text(gone.result, gone.project)


def test_positions_come_back_from_the_quarantine_file(check, tmp_path):
    checked = check({"columns": {"n": {"max": 1}}}, {"n": [5, 1, 7], "y": [0, 1, 0]})
    positions = read_positions(checked.result.quarantine)
    assert positions.dtype == np.int64 and positions.tolist() == [0, 2]
    assert read_positions(None).tolist() == []
    for name, content in (("gone", None), ("none of ours", b"PAR1")):
        path = tmp_path / name
        if content:
            path.write_bytes(content)
        with pytest.raises(DataError, match="Validate the batch again"):
            read_positions(path)


def test_another_revision_of_a_batch_has_a_file_of_its_own(check):
    rules = {"columns": {"n": {"max": 1}}}
    first = check(rules, {"n": [5, 1], "y": [0, 1]}).result.quarantine
    again = check(rules, {"n": [5, 1], "y": [0, 1]}).result.quarantine
    other = check(rules, {"n": [6, 1], "y": [0, 1]}).result.quarantine
    assert first == again != other
    assert sorted(p.name for p in first.parent.iterdir()) == sorted([first.name, other.name])


def test_a_folder_that_cannot_be_written_is_an_error_of_the_infrastructure(check, tmp_path):
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(InfrastructureError, match="cannot be written"):
        check({"columns": {"n": {"max": 1}}}, {"n": [5, 1], "y": [0, 1]})


def test_data_docs_show_a_sample_and_are_harmless(check, caplog):
    rows = 12_345
    frame = {k: (v * (rows // 4 + 1))[:rows] for k, v in HOSTILE.items()}
    checked = check(RULES, frame, table={"batch": "../<b>x"})
    with caplog.at_level(logging.INFO):
        page = build_data_docs(checked.project, checked.contract, checked.table, checked.result)
    assert not caplog.records
    assert page.is_relative_to(checked.project.folder / "data_docs" / "site" / "validations")
    html = page.read_text(encoding="utf-8")
    assert "sample-of-4115-of-12345-rows" in html
    assert "\u2039script\u203aalert" in html and "6172" not in html and "2057 unexpected values found" in html
    assert "<img src=x" not in html and "<script>alert" not in html
    again = check({"columns": {"n": {"min": 0}}}, HOSTILE, table={"batch": "next"})
    assert build_data_docs(again.project, again.contract, again.table, again.result) is not None


def test_data_docs_that_a_killed_process_left_half_written_are_made_anew(check, caplog):
    checked = check(RULES, HOSTILE)
    with caplog.at_level(logging.WARNING):
        page = build_data_docs(checked.project, checked.contract, checked.table, checked.result)
        for path in (checked.project.folder / "data_docs").rglob("*.*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        again = build_data_docs(checked.project, checked.contract, checked.table, checked.result)
    assert again is not None and again != page and again.read_text().rstrip().endswith("</html>")
    assert caplog.records == []


def test_data_docs_that_fail_are_a_warning_and_can_be_switched_off(check, world, caplog, monkeypatch):
    checked = check(RULES, HOSTILE)
    monkeypatch.setattr("tasks.contract.docs._sample", lambda *_: 1 / 0)
    with caplog.at_level(logging.WARNING):
        assert build_data_docs(checked.project, checked.contract, checked.table, checked.result) is None
    assert [r.message for r in caplog.records] == ["Data Docs for b of toy: ZeroDivisionError: division by zero"]
    off = world.project(RULES, contract={"data_docs": False})
    assert build_data_docs(off, checked.contract, checked.table, checked.result) is None
    assert len(caplog.records) == 1


def test_the_stage_checks_and_writes_everything(world):
    project = world.project({"columns": {"n": {"min": 2}}}, contract={"max_quarantine": 0.5})
    result = check_contract(project, world.table(HOSTILE), now=NOW, label_expected=True)
    assert (result.outcome, result.quarantined) == ("accepted", 1)
    assert result.page is not None and result.page.is_file()
    assert result.data_docs is not None and result.data_docs.is_file()
    assert replace(result, page=None).quarantine.is_file()


def test_reading_a_contract_does_not_import_great_expectations(world):
    project = world.project(RULES)
    code = (
        "import sys; from tasks.config import load_project; from tasks.contract.suite import load_contract; "
        "import tasks.contract.check; load_contract(load_project(sys.argv[1])); "
        "sys.exit('great_expectations' in sys.modules or 'jinja2' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code, str(project.path)], cwd=root, check=False).returncode == 0
