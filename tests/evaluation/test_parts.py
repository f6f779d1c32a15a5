"""Parts of the rows: every row in one of them, whatever the column holds, and rare values without a name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluation.parts import OTHERS, cross, cut_column

ROWS = 400
RNG = np.random.default_rng(0)
COLUMNS: dict[str, Any] = {
    "text": RNG.choice(["red", "green", "blue"], ROWS),
    "rare": np.where(np.arange(ROWS) < 5, "Zaphod", RNG.choice(["a", "b"], ROWS)),
    "numbers": RNG.normal(size=ROWS),
    "zeros": np.where(RNG.random(ROWS) < 0.9, 0.0, RNG.normal(size=ROWS)),
    "few numbers": RNG.integers(0, 4, ROWS),
    "flags": RNG.random(ROWS) < 0.3,
    "nullable": pd.array(np.where(RNG.random(ROWS) < 0.1, None, RNG.integers(0, 90, ROWS)), dtype="Int64"),
    "category": pd.Categorical(RNG.choice(["x", "y"], ROWS)),
    "times": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(RNG.integers(0, 10**6, ROWS), unit="s"),
    "gaps": np.where(RNG.random(ROWS) < 0.2, None, "there"),
    "many": [f"id {i}" for i in range(ROWS)],
    "nothing": [None] * ROWS,
    "infinite": np.where(RNG.random(ROWS) < 0.05, np.inf, RNG.normal(size=ROWS)),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_each_row_is_in_one_part(name: str) -> None:
    values = pd.Series(COLUMNS[name])
    parts = cut_column(values, name, 4)
    frame = pd.DataFrame({name: values})
    assert (np.sum([p.find(frame) for p in parts], axis=0) == 1).all()
    assert len({p.name for p in parts}) == len(parts)


def test_numbers_are_cut_at_quantiles_of_the_rows_that_were_learned_from() -> None:
    parts = cut_column(pd.Series(np.arange(100.0)), "age", 4)
    assert [p.name for p in parts] == [
        "age up to 24", "age above 24 up to 49", "age above 49 up to 74", "age above 74", "age is missing",
    ]  # fmt: skip
    assert parts[3].find(pd.DataFrame({"age": [1e9, 74.0, np.nan]})).tolist() == [True, False, False]


def test_a_rare_value_has_no_name() -> None:
    parts = cut_column(pd.Series(COLUMNS["rare"]), "who", 4)
    assert [p.name for p in parts] == ["who = a", "who = b", f"who: {OTHERS}", "who is missing"]
    assert parts[2].find(pd.DataFrame({"who": ["Zaphod", "somebody new", "a"]})).tolist() == [True, True, False]


def test_a_whole_number_is_the_same_value_whatever_its_type() -> None:
    parts = cut_column(pd.Series([1, 2] * 50), "doors", 4)
    for values in ([1.0, 2.0], ["1", "2"], pd.array([1, 2], dtype="Int64")):
        frame = pd.DataFrame({"doors": values})
        assert [p.find(frame).tolist() for p in parts[:2]] == [[True, False], [False, True]]


def test_what_comes_later_is_in_a_part_too() -> None:
    parts = cut_column(pd.Series(["a", "b"] * 40), "x", 4)
    found = [p.find(pd.DataFrame({"x": ["new", None, "a"]})).tolist() for p in parts]
    assert [row.index(True) for row in zip(*found, strict=True)] == [2, 3, 0]
    assert [p.is_named for p in parts] == [True, True, False, False]


def test_hidden_parts_are_called_by_number() -> None:
    parts = cut_column(pd.Series(["kunde@mail.example", "b"] * 40), "who", 4, hide=True)
    assert [p.name for p in parts] == [f"who: group {i}" for i in (1, 2, 3, 4)]
    assert all(p.hidden for p in (*parts, *cross(parts, parts)))


def test_two_columns_are_crossed() -> None:
    one, other = (cut_column(pd.Series([a, b] * 40), name, 4) for name, a, b in (("x", "a", "b"), ("y", "c", "d")))
    crossed = cross(one, other)
    assert [p.name for p in crossed][:2] == ["x = a and y = c", "x = a and y = d"]
    frame = pd.DataFrame({"x": ["a", "b"], "y": ["c", "c"]})
    assert crossed[0].find(frame).tolist() == [True, False]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=60), st.integers(2, 6))
def test_any_numbers_are_parted(values: list[float], quantiles: int) -> None:
    column = pd.Series(values, dtype="float64")
    parts = cut_column(column, "x", quantiles)
    found = np.sum([p.find(pd.DataFrame({"x": column})) for p in parts], axis=0) if parts else np.zeros(len(column))
    finite = np.isfinite(column)
    assert (np.asarray(found)[finite] == 1).all()
    assert (np.asarray(found) <= 1).all()
