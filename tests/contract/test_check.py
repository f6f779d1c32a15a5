"""A batch against its contract: each form of rule, each kind of fault, and what follows from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from tasks.errors import ConfigError, DataError
from tasks.table import Column, Schema

TEN = {"a": list(range(10)), "t": list("abcdefghij"), "y": [0, 1] * 5}


def native(kind, **more):
    kwargs = more.pop("kwargs", {})
    return {"expectations": [{"type": kind, "kwargs": kwargs, **more}]}


@pytest.mark.parametrize(
    ("rules", "values", "rule", "rows"),
    [
        ({"missing": 0}, [1.0, None, 3.0, None], "a: not missing", [1, 3]),
        ({"min": 2}, [1, 2, 3, 1], "a: at least 2", [0, 3]),
        ({"max": 2.5}, [1.0, 2.5, 2.6, None], "a: at most 2.5", [2]),
        ({"min": 0, "max": 2}, [-1, 0, 2, 3], "a: between 0 and 2", [0, 3]),
        ({"values": ["x", "y"]}, ["x", "z", None, "X"], "a: one of x, y", [1, 3]),
        ({"values": [True]}, [True, None, False, True], "a: one of True", [2]),
        ({"values": [1, 2]}, [1.0, 2.0, 3.0, None], "a: one of 1, 2", [2]),
        ({"pattern": "[a-z]+|7"}, ["ab", "ab1", "7", "a\nb"], "a: matches [a-z]+|7", [1, 3]),
        ({"unique": True}, ["p", "q", None, "p"], "a: unique", [0, 3]),
        ({"unique": True}, [None, None, None, None], "a: unique", []),
        (
            {"min": datetime(2024, 1, 2, tzinfo=UTC).date()},
            pd.to_datetime(["2024-01-01 23:59", "2024-01-02 00:00", None, "2025-01-01 00:00"]),
            "a: at least 2024-01-02",
            [0],
        ),
    ],
)
def test_a_row_rule_sends_the_rows_that_break_it_to_quarantine(check, rules, values, rule, rows):
    checked = check({"columns": {"a": rules}}, {"a": values, "y": [0, 1, 0, 1]})
    assert checked.result.outcome == "accepted"
    assert checked.quarantined() == {row: [rule] for row in rows}
    found = checked.rule(rule)
    assert (found.passed, found.failed, found.scope) == (not rows, len(rows), "row")
    assert checked.result.quarantined == len(rows)


def test_a_date_bound_is_midnight_in_the_projects_time_zone(check):
    times = pd.to_datetime(["2024-01-02T04:59Z", "2024-01-02T05:00Z"])
    rules = {"columns": {"a": {"min": datetime(2024, 1, 2, tzinfo=UTC).date()}}}
    checked = check(rules, {"a": times, "y": [0, 1]}, data={"timezone": "America/New_York"})
    assert list(checked.quarantined()) == [0]


@pytest.mark.parametrize(
    ("rules", "frame", "observed"),
    [
        ({"rows": {"min": 11}}, TEN, "rows: at least 11: 10 rows"),
        ({"rows": {"max": 9}}, TEN, "rows: 1 to 9: 10 rows"),
        ({"columns": {"b": {}}}, TEN, "b: is there: the column is not there"),
        ({"columns": {"b": {"type": "number", "min": 1}}}, TEN, "b: is there: the column is not there (and 2 more)"),
        ({"columns": {"t": {"type": "number"}}}, TEN, "t: numbers: the column holds text, not numbers"),
        ({"columns": {"a": {"type": "string"}}}, TEN, "a: text: the column holds whole numbers, not text"),
        ({"columns": {"a": {"type": "datetime"}}}, TEN, "a: times: the column holds whole numbers, not times"),
        ({"columns": {"a": {"type": "boolean"}}}, TEN, "a: true or false: the column holds whole numbers"),
        (
            {"columns": {"a": {"type": "integer"}}},
            {**TEN, "a": [1.5, *range(9)]},
            "a: whole numbers: 1 values are not whole numbers",
        ),
        (
            {"columns": {"a": {"missing": "10%"}}},
            {**TEN, "a": [None, None, *range(8)]},
            "a: at most 10% missing: 20.00% missing (2 of 10)",
        ),
        ({"columns": {"a": {"missing": {"max": 0}}}}, {**TEN, "a": [None, *range(9)]}, "a: at most 0% missing: 10.00%"),
        (
            native("expect_column_mean_to_be_between", kwargs={"column": "a", "max_value": 4}),
            TEN,
            "a: column mean to be between, max_value 4: 4.5",
        ),
        (
            native("expect_table_columns_to_match_set", kwargs={"column_set": ["a", "y"]}, name="our columns"),
            TEN,
            "our columns: ['a', 't', 'y']",
        ),
        (native("expect_table_row_count_to_equal", kwargs={"value": 3}), TEN, "table row count to equal, value 3: 10"),
        (
            native("expect_column_values_to_be_between", kwargs={"column": "a", "min_value": 2, "mostly": 0.9}),
            TEN,
            "a: column values to be between, min_value 2, mostly 0.9: 2 of 10 (20.00%), such as 0, 1",
        ),
        (
            native("expect_column_values_to_be_between", kwargs={"column": "a", "min_value": 1}, scope="batch"),
            TEN,
            "a: column values to be between, min_value 1: 1 of 10 (10.00%), such as 0",
        ),
        (
            native("expect_column_distinct_values_to_be_in_set", kwargs={"column": "y", "value_set": [1]}, name="n"),
            TEN,
            "n: unexpected: 0",
        ),
    ],
)
def test_a_batch_rule_refuses_the_batch_and_says_why(check, rules, frame, observed):
    checked = check(rules, frame)
    assert checked.result.outcome == "refused"
    assert checked.result.reason.startswith(observed), checked.result.reason
    assert checked.result.quarantine is None


@pytest.mark.parametrize(
    "rules",
    [
        {"columns": {"a": {"type": "number"}, "t": {"type": "string"}}},
        {"columns": {"a": {"type": "integer"}, "b": {"required": False, "type": "string", "missing": 0}}},
        native("expect_column_values_to_be_between", kwargs={"column": "a", "min_value": 1, "mostly": 0.9}),
        native("expect_column_values_to_be_increasing", kwargs={"column": "a"}),
        native(
            "expect_column_pair_values_a_to_be_greater_than_b",
            kwargs={
                "column_A": "a",
                "column_B": "y",
                "or_equal": True,
                "row_condition": "a > 0",
                "condition_parser": "pandas",
            },
        ),
        {"rows": {"min": 10, "max": 10}, "unique": [["a", "y"]]},
    ],
)
def test_what_holds_is_accepted_without_a_quarantine(check, rules):
    checked = check(rules, TEN)
    assert checked.result.outcome == "accepted", checked.broken()
    assert checked.broken() == []
    assert checked.result.quarantine is None


@pytest.mark.parametrize(
    ("kind", "kwargs", "rows"),
    [
        ("expect_column_values_to_be_increasing", {"column": "a", "strictly": True}, [2]),
        ("expect_column_value_z_scores_to_be_less_than", {"column": "a", "threshold": 1.2, "double_sided": True}, [3]),
        ("expect_column_values_to_not_match_regex", {"column": "t", "regex": "^x"}, [0, 3]),
        ("expect_column_value_lengths_to_equal", {"column": "t", "value": 1}, [1]),
        ("expect_compound_columns_to_be_unique", {"column_list": ["t", "y"]}, [0, 3]),
        ("expect_multicolumn_sum_to_equal", {"column_list": ["a", "y"], "sum_total": 2}, [0, 3]),
    ],
)
def test_native_row_expectations_quarantine_and_those_about_a_whole_column_see_all_of_it(check, kind, kwargs, rows):
    frame = {"a": [1, 2, 2, 90], "t": ["x", "yy", "z", "x"], "y": [0, 0, 0, 0]}
    checked = check(native(kind, kwargs=kwargs, name="n"), frame)
    assert checked.quarantined() == {row: ["n"] for row in rows}


def test_a_row_that_breaks_two_rules_is_one_row_with_both_names(check):
    checked = check({"columns": {"a": {"max": 5}, "t": {"pattern": "[a-h]"}}}, TEN)
    assert checked.quarantined()[9] == ["a: at most 5", "t: matches [a-h]"]
    assert checked.result.quarantined == 4
    assert checked.result.reason.startswith("6 of 10 rows; 4 in quarantine: a: at most 5 (4); t: matches")


@pytest.mark.parametrize(("most", "outcome"), [(0.3, "accepted"), (0.29, "refused")])
def test_more_quarantine_than_allowed_refuses_the_batch(check, most, outcome):
    checked = check({"columns": {"a": {"max": 6}}}, TEN, max_quarantine=most)
    assert checked.result.outcome == outcome
    assert list(checked.quarantined()) == [7, 8, 9]
    if outcome == "refused":
        assert "3 of 10 rows (30.0%) broke a row rule, more than the 29% allowed" in checked.result.reason
        assert checked.result.reason.endswith("most of them a: at most 6")


def test_a_warning_is_reported_and_changes_nothing(check):
    rule = native(
        "expect_column_values_to_be_between", kwargs={"column": "a", "max_value": 3}, severity="warning", name="w"
    )
    rule["expectations"].append({"type": "expect_column_to_exist", "kwargs": {"column": "gone"}, "severity": "info"})
    checked = check(rule, TEN)
    assert checked.result.outcome == "accepted"
    assert checked.rule("w").failed == 6
    assert not checked.rule("w").passed
    assert checked.result.quarantined == 0
    assert checked.result.reason.endswith("warning: w")


@pytest.mark.parametrize("rows", [1, 3, 65_536])
def test_repeats_are_found_across_chunks_and_files(check, monkeypatch, rows):
    read = type(check.__self__.table(TEN)).record_batches
    monkeypatch.setattr(
        "tasks.table.TableRef.record_batches", lambda self, _=0, columns=None: read(self, rows, columns)
    )
    big = 2**53
    first = pd.DataFrame({"k": pd.array([1, big, None, 7], "Int64"), "y": [0, 1, 0, 1]})
    second = pd.DataFrame({"k": pd.array([big + 1, 1, None, 8], "Int64"), "y": [0, 1, 0, 1]})
    checked = check({"columns": {"k": {"unique": True}}}, first, second)
    # big and big + 1 are one and the same as floats, which is what pandas makes of integers beside missing values
    assert checked.quarantined() == {0: ["k: unique"], 5: ["k: unique"]}
    assert checked.rule("k: unique").checked == 6


def test_two_keys_with_one_hash_are_no_repeat(check, monkeypatch):
    monkeypatch.setattr(
        "tasks.contract.duplicates.pd.util.hash_array", lambda values, **_: np.zeros(len(values), np.uint64)
    )
    checked = check({"columns": {"t": {"unique": True}}, "unique": [["t", "a"]]}, {**TEN, "t": [*"abcdefghi", "a"]})
    assert checked.quarantined() == {0: ["t: unique"], 9: ["t: unique"]}


def test_the_implied_rules_hold_without_a_contract(check):
    frame = {
        "k": ["p", None, "q", "p"],
        "w": pd.to_datetime(["2024-01-01", "2024-01-01", None, "2024-01-02"]),
        "y": [0, 1, 0, 1],
    }
    data = {"id": "k", "time": "w", "batch": "all"}
    checked = check(None, frame, data=data)
    assert checked.contract.path is None
    assert checked.quarantined() == {0: ["k: unique"], 1: ["k: not missing"], 2: ["w: not missing"], 3: ["k: unique"]}
    missing = check(None, {"y": [0, 1]}, data=data)
    assert missing.result.outcome == "refused"
    assert {"k: is there", "w: is there"} <= set(missing.broken())


def test_a_stated_rule_and_the_same_implied_are_one(check):
    checked = check({"columns": {"t": {"missing": 0, "unique": True}}}, TEN, data={"id": "t"})
    names = [r.name for r in checked.result.rules]
    assert len(names) == len(set(names))
    assert checked.rule("t: unique").passed


def test_columns_and_kinds_are_those_that_training_knew(check):
    def known(**kinds):
        return Schema(tuple(Column(n, k) for n, k in kinds.items()))

    assert check(None, TEN, reference=known(a="number", t="string", y="integer")).broken() == []
    assert check(None, {**TEN, "a": [None] * 10}, reference=known(a="number", t="string", y="integer")).broken() == []
    assert check(None, TEN, reference=known(a="integer", t="number", y="integer")).broken() == ["t: numbers"]
    gone = check(None, TEN, reference=known(a="integer", t="string", y="integer", z="string"))
    assert (gone.result.outcome, gone.broken()) == ("refused", ["z: is there"])
    new = check(None, TEN, reference=known(a="integer", y="integer"))
    assert new.result.outcome == "accepted"
    assert new.rule("columns: no columns that training did not know").observed == "new: t"


def test_rules_about_the_label_apply_only_where_labels_are_expected(check):
    rules = {
        "columns": {"y": {"type": "boolean", "missing": 0}},
        "expectations": [
            {"type": "expect_column_pair_values_to_be_equal", "kwargs": {"column_A": "a", "column_B": "y"}},
            {"type": "expect_table_columns_to_match_set", "kwargs": {"column_set": ["a", "y"]}},
        ],
    }
    unlabelled = {"a": [1, 0]}
    assert check(rules, unlabelled, label_expected=False).broken() == []
    assert "y: is there" in check(rules, unlabelled).broken()
    hidden = check(rules, {"a": [1, 0], "y": [True, None]}, table={"labels_hidden": True}, label_expected=False)
    assert hidden.result.outcome == "accepted"
    assert list(check({"columns": {"y": {"missing": 0}}}, {"a": [1, 0], "y": [True, None]}).quarantined()) == [1]


def test_freshness_is_judged_at_the_batchs_end_or_now(check):
    frame = {"w": pd.to_datetime(["2024-01-01 00:00", "2024-01-30 12:00"], utc=True), "y": [0, 1]}
    rules, data = {"freshness": "2d"}, {"time": "w", "batch": "month"}
    end = datetime(2024, 2, 1, tzinfo=UTC)
    assert check(rules, frame, data=data, ends=end).result.outcome == "accepted"
    late = check(rules, frame, data=data, ends=end + timedelta(days=1))
    assert late.result.outcome == "refused"
    assert "newest row 2024-01-30 12:00 UTC, 2.5 days before 2024-02-02 00:00" in late.result.reason
    assert check(rules, frame, data=data).result.outcome == "refused"
    assert check(rules, frame, data=data, ends=end, now=end - timedelta(days=20)).result.outcome == "accepted"


def test_an_empty_batch_is_refused_unless_the_contract_allows_it(check):
    empty = pd.DataFrame({"a": pd.Series(dtype="int64"), "y": pd.Series(dtype="int64")})
    assert check(None, empty).result.reason == "rows: at least 1: 0 rows"
    rules = {"rows": {"min": 0}, "columns": {"a": {"missing": "5%", "min": 0, "unique": True}}}
    assert check(rules, empty).result.outcome == "accepted"


def test_a_column_without_any_value_breaks_only_rules_about_missing_values(check):
    frame = {"a": [None] * 4, "f": [np.nan] * 4, "y": [0, 1, 0, 1]}
    rules = {"type": "string", "values": ["x"], "pattern": "x", "unique": True}
    checked = check({"columns": {"a": rules, "f": {"type": "number", "min": 3, "missing": "50%"}}}, frame)
    assert checked.broken() == ["f: at most 50% missing"]
    assert checked.rule("a: text").observed == "no value in the whole batch"
    assert len(check({"columns": {"a": {"missing": 0}}}, frame).quarantined()) == 4


def test_the_file_format_makes_no_difference(check):
    rules = {
        "columns": {
            "n": {"type": "integer", "min": 1},
            "b": {"type": "boolean", "values": [True]},
            "s": {"type": "string", "pattern": "0.*"},
            "w": {"type": "datetime", "max": datetime(2024, 1, 3, tzinfo=UTC).date()},
        }
    }
    csv = "n,b,s,w,y\n1,true,007,2024-01-02,0\n0,false,1x,2024-01-04,1\n,,,,1\n"
    frame = pd.DataFrame(
        {
            "n": [1.0, 0.0, None],
            "b": [True, False, None],
            "s": ["007", "1x", None],
            "w": pd.to_datetime(["2024-01-02", "2024-01-04", None]),
            "y": [0, 1, 1],
        }
    )
    text, table = check(rules, csv), check(rules, frame)
    assert text.result.rules == table.result.rules or text.broken() == table.broken()
    assert text.quarantined() == table.quarantined()
    assert list(table.quarantined()) == [1]
    assert len(table.quarantined()[1]) == 4


def test_what_cannot_be_evaluated_has_failed(check):
    rules = {
        "columns": {"a": {"min": 0}},
        "expectations": [
            {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "t", "regex": "("}, "name": "broken"},
            {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "t", "max_value": 1}, "name": "mean"},
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {
                    "column": "a",
                    "max_value": 3,
                    "row_condition": "nowhere == 1",
                    "condition_parser": "pandas",
                },
                "name": "conditional",
            },
        ],
    }
    checked = check(rules, TEN)
    assert checked.result.outcome == "refused"
    assert set(checked.broken()) >= {"broken", "mean", "conditional"}
    for name in ("broken", "mean", "conditional"):
        rule = checked.rule(name)
        assert rule.observed.startswith("could not be checked: ")
        assert (rule.scope, rule.failed) == ("batch", 1)


def test_an_exception_out_of_great_expectations_fails_every_rule_of_its_frame(check, monkeypatch):
    from great_expectations.validator.validator import Validator

    def fall_over(self, **_):
        raise RuntimeError("no <b>luck</b>")

    monkeypatch.setattr(Validator, "graph_validate", fall_over)
    checked = check({"columns": {"a": {"min": 0}}}, TEN)
    assert checked.result.outcome == "refused"
    assert checked.rule("a: at least 0").observed == "could not be checked: RuntimeError: no <b>luck</b>"
    monkeypatch.setattr(Validator, "graph_validate", lambda self, **_: [])
    silent = check({"columns": {"a": {"min": 0}}}, TEN)
    assert silent.rule("a: at least 0").observed == "could not be checked: Great Expectations returned no result"


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("expect_column_mean_to_be_between", {"column": "a", "min_value": "low"}),
        ("expect_column_values_to_be_between", {"column": "a"}),
        ("expect_column_values_to_be_in_set", {"column": "a", "value_set": "abc"}),
        ("expect_column_value_lengths_to_equal", {"column": ["a"], "value": 1}),
    ],
)
def test_arguments_that_great_expectations_refuses_are_an_error_of_the_contract(check, kind, kwargs):
    with pytest.raises(ConfigError, match=r"toy\.contract\.yaml: expectations\.0: Great Expectations refuses expect_"):
        check(native(kind, kwargs=kwargs), TEN)


def test_hostile_names_and_values(check):
    column = "<script>\"'; DROP TABLE x; --\n../../etc"
    frame = {column: ["=cmd()", "{{7*7}}", "ok"], "_row": [1, 2, 3], "_rules": [4, 5, 6], "y": [0, 1, 0]}
    checked = check({"columns": {column: {"values": ["ok"]}}}, frame, table={"batch": "../../../<b>\0é"})
    assert list(checked.quarantined()) == [0, 1]
    path = checked.result.quarantine
    assert path.parent == checked.project.folder / "quarantine"
    assert path.name.startswith("b-") and path.suffix == ".parquet"
    kept = pd.read_parquet(path)
    assert list(kept.columns) == [column, "__row", "__rules", "y", "_row", "_rules"]
    assert kept["__row"].tolist() == [1, 2]


def test_a_file_that_cannot_be_read_is_an_error_of_the_data(check, world):
    table = world.table(TEN)
    (world.folder / "part-0.parquet").write_bytes(b"PAR1 and then nothing")
    from tasks.contract.check import check_batch
    from tasks.contract.suite import load_contract

    project = world.project()
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        check_batch(project, load_contract(project), table, now=datetime(2024, 1, 1, tzinfo=UTC), label_expected=True)


def test_nothing_is_printed_and_nothing_stays_redirected(check, capfd, recwarn, caplog):
    import logging
    import warnings

    before = warnings.showwarning
    check({"columns": {"a": {"max": 3}, "t": {"pattern": "x"}}}, TEN)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert warnings.showwarning is before
    assert logging.getLogger("great_expectations").propagate
    assert not caplog.records
