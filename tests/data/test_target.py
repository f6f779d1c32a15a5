"""What a target is, for every kind of labels, and how those are refused that nothing can be learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.config.project import Data
from tasks.data.target import check_enough, encode_labels, infer_task
from tasks.errors import ConfigError, DataError


def data(**more: Any) -> Data:
    return Data(source="rows.csv", target="y", **more)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0, 1], "binary"),
        ([True, False], "binary"),
        (["x", "y"], "binary"),
        ([1.5, 2.5], "binary"),
        ([0, 1, 2], "multiclass"),
        ([3.0, 1.0, 7.0], "multiclass"),
        (["x", "y", "z"], "multiclass"),
        (list("123"), "multiclass"),
        (list(range(11)), "regression"),
        ([0.5, 1.0, 1.5], "regression"),
    ],
)
def test_the_task_is_read_off_the_labels(values: list[Any], task: str) -> None:
    assert infer_task(pd.Series(np.resize(np.array(values, dtype=object), 100)).infer_objects()) == task


def test_the_project_file_may_say_otherwise() -> None:
    counts = pd.Series(np.resize([0, 1, 2, 5], 100))
    target, task, classes = encode_labels(counts, data())
    assert (task, classes, target.dtype) == ("multiclass", (0, 1, 2, 5), np.int64)
    assert target.tolist()[:4] == [0, 1, 2, 3]
    target, task, classes = encode_labels(counts, data(task="regression"))
    assert (task, classes, target.dtype) == ("regression", (), np.float64)
    assert target.tolist() == counts.tolist()
    codes = pd.Series(np.resize([10, 20, 30], 100))
    assert encode_labels(codes * 1.0, data(task="multiclass"))[2] == (10, 20, 30)
    two = encode_labels(codes.replace(30, 20), data(task="multiclass"))
    assert (two[1], two[2]) == ("multiclass", (10, 20)), "a third class may come later"


def test_classes_are_sorted_and_coded_in_that_order() -> None:
    labels = pd.Series(["b", "ä", "a", "b"] * 20, index=range(100, 180))
    target, task, classes = encode_labels(labels, data())
    assert (task, classes) == ("multiclass", ("a", "b", "ä"))
    assert [classes[code] for code in target] == labels.tolist() and target.index.equals(labels.index)
    many = pd.Series(np.resize(np.arange(100), 1000))
    assert encode_labels(many, data(task="multiclass"))[2] == tuple(range(100))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([5.0] * 100, "all 100 known labels are 5; expected two classes at least, or numbers that differ"),
        ([], "no row has a known label"),
        ([np.inf, -np.inf, *range(98)], "2 of 100 known labels are infinite"),
        ([f"{n:,}" for n in range(1_000, 1_100)], "text that reads as numbers"),
        ([f"{n} kg" for n in range(100)], "text that reads as numbers"),
        ([f"€{n}.50" for n in range(100)], "text that reads as numbers"),
        ([f"{n}%" for n in range(100)], "text that reads as numbers"),
        ([f"-{n}e3" for n in range(100)], "text that reads as numbers"),
        ([f"2024-01-{n % 28 + 1:02d}" for n in range(100)], "holds dates such as '2024-01-01'"),
        (pd.date_range("2024-01-01", periods=100), "holds dates such as '2024-01-01 00:00:00'"),
        ([f"customer {n}" for n in range(300)], "300 different values in 300 rows"),
    ],
)
def test_labels_that_nothing_can_be_learned_from(labels: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        encode_labels(pd.Series(labels), data())
    assert "target 'y'" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "given", "kind", "words"),
    [
        (list("abc"), {"task": "binary"}, ConfigError, "data.task: binary needs two different values"),
        (list("abc"), {"task": "regression"}, DataError, "a regression needs a column of numbers; found 'a', 'b', 'c'"),
        (list("abc"), {"positive": "a"}, ConfigError, "data.positive: it is of a binary target only"),
        ([1.5, 2.5, 3.5], {"positive": 1.5}, ConfigError, "which make it regression"),
        (list(range(300)), {"task": "multiclass"}, DataError, "at most 100 classes.*data.task: regression"),
    ],
)
def test_what_the_project_file_cannot_have(labels: Any, given: dict[str, Any], kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        encode_labels(pd.Series(np.resize(labels, 300)), data(**given))


def test_text_with_digits_may_name_classes() -> None:
    for values in (["18-25", "26-40", "41-99"], ["3", "4", "5"], [f"route {n}" for n in range(30)], ["1st", "2nd"]):
        encode_labels(pd.Series(np.resize(values, 300)), data())
    assert encode_labels(pd.Series(np.resize([str(n) for n in range(12)], 300)), data(task="multiclass"))[1]


def test_each_task_needs_rows_enough() -> None:
    check_enough(pd.Series(np.linspace(0, 1, 40)), (), "y")
    with pytest.raises(DataError, match="39 rows with a known label; expected 40"):
        check_enough(pd.Series(np.linspace(0, 1, 39)), (), "y")
    pairs = pd.Series(np.repeat(np.arange(30), 2))
    with pytest.raises(DataError, match=r"30 of 30 classes are too rare.*'c0', has 2 rows.*'other'") as caught:
        check_enough(pairs, tuple(f"c{n}" for n in range(30)), "y")
    assert "data.task" not in str(caught.value)
    with pytest.raises(DataError, match=r"set data\.task: regression"):
        check_enough(pairs, tuple(range(30)), "y")
