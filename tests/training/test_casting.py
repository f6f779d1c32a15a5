"""Whatever dtype a column arrives in, its values read the same, and what cannot be read is missing."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.stats.categories import as_text
from tasks.training.casting import as_flags, as_numbers, as_times, find_kind, take_part


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pd.Series([1, 2]), "number"),
        (pd.Series([1, None], dtype="Int64"), "number"),
        (pd.Series([1, None, 2.5], dtype=object), "number"),
        (pd.Series([Decimal("1.5"), None]), "number"),
        (pd.to_timedelta(pd.Series(["1h", "2h"])), "number"),
        (pd.Series([True, False]), "boolean"),
        (pd.Series([True, None], dtype=object), "boolean"),
        (pd.Series([True, None], dtype="boolean"), "boolean"),
        (pd.Series(["a", None], dtype="str"), "category"),
        (pd.Series(["a", 1, 2.5, None], dtype=object), "category"),
        (pd.Series(["a", "b"], dtype="category"), "category"),
        (pd.Series([1, 2], dtype="category"), "number"),
        (pd.to_datetime(pd.Series(["2020-01-01"])), "datetime"),
        (pd.to_datetime(pd.Series(["2020-01-01"]), utc=True), "datetime"),
        (pd.Series([pd.Timestamp("2020-01-01").date(), None], dtype=object), "datetime"),
        (pd.Series([None, None], dtype=object), None),
        (pd.Series([np.nan, np.nan]), None),
        (pd.Series([], dtype=float), None),
    ],
)
def test_the_kind_is_read_off_dtype_or_values(column: pd.Series, kind: str | None) -> None:
    assert find_kind(column) == kind


def test_numbers_read_the_same_from_any_dtype() -> None:
    want = np.array([1.0, np.nan, -3.0])
    for column in (
        pd.Series([1.0, np.nan, -3.0]),
        pd.Series([1, None, -3], dtype="Int64"),
        pd.Series(["1", "one", "-3.0"], dtype="str"),
        pd.Series([Decimal(1), None, -3], dtype=object),
        pd.Series([1.0, np.inf, -3], dtype=object),
        pd.to_timedelta(pd.Series([1, None, -3]), unit="s"),
    ):
        np.testing.assert_array_equal(as_numbers(column), want)
    assert np.isnan(as_numbers(pd.to_datetime(pd.Series(["2020-01-01"])))).all(), "a date is no number"
    assert abs(as_numbers(pd.Series([1e300, -1e300]))).max() == 1e30


def test_flags_read_the_same_from_any_dtype() -> None:
    want = np.array([1.0, np.nan, 0.0])
    for column in (
        pd.Series([True, None, False], dtype=object),
        pd.Series([True, None, False], dtype="boolean"),
        pd.Series([1.0, np.nan, 0.0]),
        pd.Series(["TRUE", "maybe", " false"], dtype="str"),
        pd.Series([1, 7, 0]),
    ):
        np.testing.assert_array_equal(as_flags(column), want)


def test_categories_read_the_same_as_text_or_number() -> None:
    assert as_text(pd.Series([5, 7])).tolist() == as_text(pd.Series(["5", "7"])).tolist() == ["5", "7"]
    assert as_text(pd.Series([5.0, np.nan])).tolist() == ["5", None], "an integer column that lost a value"
    assert as_text(pd.Series(["a", None, pd.NA, np.nan], dtype=object)).tolist() == ["a", None, None, None]


def test_times_with_and_without_a_zone_and_as_text() -> None:
    want = pd.Timestamp("2020-03-01 12:00")
    for value in ("2020-03-01 12:00", pd.Timestamp("2020-03-01 07:00", tz="America/New_York"), "2020-03-01T12:00Z"):
        times = as_times(pd.Series([value, None], dtype=object))
        assert times[0] == want and pd.isna(times[1]) and times.dt.tz is None
    assert as_times(pd.to_datetime(pd.Series(["2020-03-01 12:00"])))[0] == want
    assert as_times(pd.Series([1.0, np.nan])).isna().all(), "a number is no time"
    assert as_times(pd.Series(["never", None])).isna().all()
    parts = {part: take_part(pd.Series([want, pd.NaT]), part) for part in ("month", "day", "weekday", "hour", "days")}
    assert {part: values[0] for part, values in parts.items()} == {
        "month": 3,
        "day": 1,
        "weekday": 6,
        "hour": 12,
        "days": 18322,
    }
    assert all(np.isnan(values[1]) for values in parts.values())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=5),
            st.datetimes(),
            st.decimals(allow_nan=False),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_no_value_whatever_raises(values: list[object]) -> None:
    column = pd.Series(values, dtype=object)
    find_kind(column)
    numbers, flags = as_numbers(column), as_flags(column)
    assert np.isfinite(numbers[~np.isnan(numbers)]).all() and set(flags[~np.isnan(flags)]) <= {0.0, 1.0}
    assert all(text is None or type(text) is str for text in as_text(column))
    assert len(as_times(column)) == len(values)
