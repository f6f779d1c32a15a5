"""The plan names what it leaves out; the preparation takes any later frame that has the columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import issparse
from sklearn.base import clone

from tasks.errors import DataError
from tasks.training.features import ColumnKinds, make_preparation, plan_features
from tests.training.rows import make_columns


def prepared(frame: pd.DataFrame, target: pd.Series, how: str) -> tuple[object, np.ndarray]:
    plan = plan_features(frame, list(frame.columns))
    preparation, _ = make_preparation(plan, how, "binary", 0)  # type: ignore[arg-type]
    matrix = preparation.fit_transform(frame, target.to_numpy())
    return preparation, matrix.toarray() if issparse(matrix) else matrix


def test_what_cannot_help_is_left_out_and_named() -> None:
    frame, _ = make_columns(400)
    plan = plan_features(frame, list(frame.columns))
    assert plan.features == ("amount", "count", "shop", "member", "born", "seen")
    assert plan.dropped["nothing"] == "no value in any row"
    assert plan.dropped["always"] == "the same value in every row"
    assert plan.dropped["label"] == "an id or free text: 400 values in 400 rows"
    with pytest.raises(DataError, match=r"No column can be used.*always: the same value"):
        plan_features(frame, ["nothing", "always"])


def test_a_constant_with_gaps_still_tells_of_the_gaps() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan] * 20, "b": ["x", None] * 20})
    assert plan_features(frame, ["a", "b"]).features == ("a", "b")


def test_dates_give_only_what_later_rows_can_have() -> None:
    frame, _ = make_columns(400)
    plan = plan_features(frame, list(frame.columns))
    assert plan.parts["born"] == ("month", "day", "weekday", "days"), "spread out: its age counts; it has no hours"
    assert plan.parts["seen"] == ("month", "day", "weekday", "hour"), "moves on with the rows: no running number"
    weeks = pd.DataFrame({"seen": pd.date_range("2024-01-01", periods=60 * 24, freq="h")})
    assert plan_features(weeks, ["seen"]).parts["seen"] == ("day", "weekday", "hour"), "no year was seen in full"
    short = pd.DataFrame({"seen": pd.date_range("2024-01-01", periods=90, freq="s"), "x": range(90)})
    assert "only move on" in plan_features(short, ["seen", "x"]).dropped["seen"]


@pytest.mark.parametrize("how", ["linear", "tree"])
def test_later_frames_may_differ_in_every_way_but_the_columns(how: str) -> None:
    frame, target = make_columns(400)
    preparation, _ = prepared(frame, target, how)
    want = preparation.transform(frame)
    other = frame[list(reversed(frame.columns))].assign(more=1)
    other["count"] = other["count"].astype("Int64")
    other["member"] = other["member"].astype("boolean")
    other["shop"] = other["shop"].astype("category")
    other["seen"] = other["seen"].dt.tz_localize(None)
    other["born"] = other["born"].astype("str")
    got = preparation.transform(other)
    np.testing.assert_array_equal(*(m.toarray() if issparse(m) else m for m in (got, want)))


@pytest.mark.parametrize("how", ["linear", "tree"])
@pytest.mark.parametrize("gone", [np.nan, None, pd.NA])
def test_columns_that_are_missing_in_every_row_are_taken(how: str, gone: object) -> None:
    frame, target = make_columns(400)
    preparation, matrix = prepared(frame, target, how)
    dtype = float if gone is np.nan else object
    empty = pd.DataFrame({name: pd.Series([gone] * 3, dtype=dtype) for name in frame.columns})
    result = preparation.transform(empty)
    assert result.shape == (3, matrix.shape[1])
    if how == "linear":
        assert np.isfinite(result.toarray() if issparse(result) else result).all()


@pytest.mark.parametrize("how", ["linear", "tree"])
def test_an_absent_column_is_named(how: str) -> None:
    frame, target = make_columns(400)
    preparation, _ = prepared(frame, target, how)
    with pytest.raises(DataError, match=r"lack 1 of the 6 columns.*'shop'"):
        preparation.transform(frame.drop(columns="shop"))


def test_unseen_and_missing_categories_have_their_own_codes() -> None:
    kinds = ColumnKinds({"c": "category"}, {}).fit(pd.DataFrame({"c": ["b", "a", None]}))
    codes = kinds.transform(pd.DataFrame({"c": ["a", "b", "never seen", None]}))[:, 0]
    np.testing.assert_array_equal(codes, [0, 1, -1, np.nan])


def test_odd_names_and_values_survive() -> None:
    odd = ["", " ", "\n", "ü\ud800", '"quoted"', "nan", "-1", "\0"]
    frame = pd.DataFrame({"a:'b\"\n": pd.Series(odd * 5, dtype=object)})
    kinds = ColumnKinds({"a:'b\"\n": "category"}, {}).fit(frame)
    assert len(set(kinds.transform(frame)[:, 0])) == len(odd)


def test_the_transformer_is_a_good_citizen() -> None:
    kinds = ColumnKinds({"c": "category", "t": "datetime"}, {"t": ["month", "hour"]})
    assert clone(kinds).get_params() == kinds.get_params()
    assert kinds.get_feature_names_out().tolist() == ["c", "t month", "t hour"]


@pytest.mark.parametrize("how", ["linear", "tree"])
def test_a_category_of_100_000_values_stays_one_number_that_tells(how: str) -> None:
    random = np.random.default_rng(0)
    n, levels = 240_000, 110_000
    good = random.random(levels) < 0.5
    value = random.integers(0, levels, n)
    target = pd.Series((random.random(n) < np.where(good[value], 0.8, 0.2)).astype(int))
    frame = pd.DataFrame({"c": pd.Series([f"level {k}" for k in value], dtype="str")})
    assert frame["c"].nunique() > 90_000
    _, matrix = prepared(frame, target, how)
    assert matrix.shape == (n, 1)
    gap = matrix[good[value], 0].mean() - matrix[~good[value], 0].mean()
    assert gap / matrix[:, 0].std() > 0.5


@pytest.mark.parametrize("how", ["linear", "tree"])
def test_encoding_a_category_does_not_leak_the_rows_own_target(how: str) -> None:
    random = np.random.default_rng(1)
    n = 4_000
    target = pd.Series(random.integers(0, 2, n))
    frame = pd.DataFrame({"c": [f"v{k}" for k in random.integers(0, 1_500, n)]})
    _, matrix = prepared(frame, target, how)
    assert abs(np.corrcoef(matrix[:, 0], target)[0, 1]) < 0.06, "noise must look like noise in training"
