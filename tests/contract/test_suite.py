"""The contract's format: what it accepts, and what it says about what it does not."""

from __future__ import annotations

import datetime

import pytest

from tasks.contract.catalog import CATALOG, NEEDS_SQL
from tasks.contract.suite import load_contract
from tasks.errors import ConfigError


def column(**rules):
    return {"columns": {"a": rules}}


def native(type_="expect_column_mean_to_be_between", **more):
    return {"expectations": [{"type": type_, **more}]}


@pytest.mark.parametrize(
    ("contract", "parts"),
    [
        ({"colums": {}}, ["toy.contract.yaml: colums: unknown key", "'columns'"]),
        (column(typ="integer"), ["columns.a.typ: unknown key", "'type'"]),
        (column(type="int"), ["columns.a.type: expected 'integer', 'number'", "found 'int'"]),
        (column(missing=True), ["columns.a.missing: expected", "found True"]),
        (column(missing="lots"), ["columns.a.missing", "lots"]),
        (column(missing=1.5), ["columns.a.missing.max: expected less than or equal to 1"]),
        (column(missing={"max": 0.1, "scope": "row"}), ["columns.a.missing: scope: row is for columns"]),
        (column(min="low"), ["columns.a.min: a number or a date", "'low'"]),
        (column(min=True), ["columns.a.min: a number or a date"]),
        (column(min=5, max=3), ["columns.a: min 5 lies above max 3"]),
        (column(min=datetime.date(2024, 2, 1), max=datetime.date(2024, 1, 1)), ["lies above max"]),
        (column(min=1, max=datetime.date(2024, 1, 1)), ["both be numbers, or both dates"]),
        (column(type="string", min=1), ["columns.a: min: 1 does not fit type: string"]),
        (column(pattern="("), ["columns.a.pattern: a regular expression"]),
        (column(type="number", pattern="x"), ["pattern is for text"]),
        (column(values=[]), ["columns.a.values: ", "at least 1 item"]),
        (column(values=["yes", False]), ["columns.a: values must all be of one kind", "quote"]),
        (column(type="string", values=[1, 2]), ["do not fit type: string"]),
        ({"columns": ["a"]}, ["columns: expected a valid dictionary; found a list"]),
        ({"rows": {"min": 5, "max": 2}}, ["rows: min 5 lies above max 2"]),
        ({"rows": {"min": -1}}, ["rows.min: expected greater than or equal to 0"]),
        ({"freshness": "soon"}, ["freshness: a duration such as"]),
        ({"freshness": "1d"}, ["freshness: a time column is needed", "toy.yaml"]),
        ({"unique": [["a"]]}, ["unique.0", "at least 2 items"]),
        ({"unique": ["a", "b"]}, ["unique.0: expected a list"]),
        (native("expect_column_mean_to_be"), ["no expectation 'expect_column_mean_to_be'", "Did you mean 'expect_co"]),
        (native("ExpectColumnMeanToBeBetween"), ["Did you mean 'expect_column_mean_to_be_between'"]),
        (native("unexpected_rows_expectation"), ["by a database only"]),
        (
            native(kwargs={"column": "a", "minimum": 1}),
            ["expectations.0: ", "no argument 'minimum'", "it knows column"],
        ),
        (native(kwargs={"min_value": 1}), ["needs the argument 'column'"]),
        (native(kwargs={"column": "a", "min_value": {"$PARAMETER": "x"}}), ["$PARAMETER is not supported"]),
        (native(kwargs={"column": "a", "min_value": 1}, scope="row"), ["scope: row does not fit"]),
        (native(kwargs={"column": "a", "min_value": 1}, severity="fatal"), ["expectations.0.severity: expected"]),
        (
            native("expect_column_values_to_be_null", kwargs={"column": "a", "mostly": 0.9}, scope="row"),
            ["mostly is a share of the batch"],
        ),
        (native("expect_column_values_to_be_null", kwargs={"column": "a", "mostly": 90}), ["between 0 and 1"]),
        (
            {
                "expectations": [
                    {"type": "expect_table_columns_to_match_set", "kwargs": {"column_set": ["a"]}, "name": "n"}
                ]
                * 2
            },
            ["the name 'n' is there twice"],
        ),
        (["a"], ["expected keys such as rows, columns and expectations"]),
    ],
)
def test_a_fault_is_explained_with_file_key_and_what_was_found(world, contract, parts):
    project = world.project(contract)
    with pytest.raises(ConfigError) as error:
        load_contract(project)
    for part in parts:
        assert part in str(error.value)


def test_text_that_is_no_yaml_and_a_file_that_is_not_there(world):
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_contract(world.project(text="columns: {a: ["))
    project = world.project(promotion="manual")
    gone = world.folder / "configs" / "toy.contract.yaml"
    gone.unlink()
    assert load_contract(project).path is None
    named = world.project()
    named = type(named)(
        spec=named.spec.model_copy(update={"contract": named.spec.contract.model_copy(update={"file": "no.yaml"})}),
        path=named.path, root=named.root, home=named.home,
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"no\.yaml.*cannot be read: No such file"):
        load_contract(named)


def test_digest_is_of_what_the_contract_says(world):
    def digest(text, **spec):
        return load_contract(world.project(text=text, **spec)).digest

    base = digest("columns: {a: {min: 1, missing: 5%}}")
    assert digest("# a comment\ncolumns:\n  a: {missing: {max: 0.05}, min: 1}\n") == base
    assert digest("columns: {a: {min: 2, missing: 5%}}") != base
    assert digest("columns: {a: {min: 1, missing: 5%}}", contract={"max_quarantine": "3%"}) != base
    assert digest("columns: {a: {min: 1, missing: 5%}}", data={"id": "k"}) != base


def test_the_text_is_kept_and_an_empty_file_is_a_contract(world):
    spec = load_contract(world.project(text="# nothing yet\n"))
    assert spec.text == "# nothing yet\n"
    assert spec.body.rows.min == 1


def test_the_catalog_is_that_of_the_installed_great_expectations():
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        Expectation,
        MulticolumnMapExpectation,
    )
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    assert set(list_registered_expectation_implementations()) == set(CATALOG) | NEEDS_SQL
    general = {*Expectation.__fields__, "batch_id", "library_metadata"}
    rows = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    for kind, entry in CATALOG.items():
        implementation = get_expectation_impl(kind)
        fields = {name: field for name, field in implementation.__fields__.items() if name not in general}
        unknown = set(entry.arguments) - set(fields)
        assert not unknown, f"{kind} has no {unknown}"
        assert {n for n, f in fields.items() if f.required} <= set(entry.required), kind
        if entry.maps:
            assert issubclass(implementation, rows), kind
            assert set(fields) == set(entry.arguments), kind
