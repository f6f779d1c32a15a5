"""Great Expectations' own expectations as this product can use them: their arguments and how each is evaluated.

Kept as a table so that reading a contract costs no import of Great Expectations (seconds); a test holds it against
the installed library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# chunk   judges a row by itself: evaluated chunk by chunk
# unique  judges a row by all others: evaluated over hashes, then exactly
# column  judges a column, or a row by its whole column: evaluated on only the columns that it needs
# table   judges the number of rows or the names of the columns
How = Literal["chunk", "unique", "column", "table"]


@dataclass(frozen=True)
class Entry:
    """One expectation type. `maps` says that it judges rows, so that its rows can go to quarantine."""

    how: How
    maps: bool
    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def arguments(self) -> tuple[str, ...]:
        """All argument names."""
        return (*self.required, *self.optional)


_WHERE = ("row_condition", "condition_parser")
_PAIR = ("column_A", "column_B")
_RANGE = ("min_value", "max_value", "strict_min", "strict_max")


def _row(*required: str, also: tuple[str, ...] = (), how: How = "chunk") -> Entry:
    return Entry(how, True, required, ("mostly", *_WHERE, *also))


def _column(*required: str, also: tuple[str, ...] = ()) -> Entry:
    return Entry("column", False, ("column", *required), (*_WHERE, *also))


def _table(*required: str, also: tuple[str, ...] = ()) -> Entry:
    return Entry("table", False, required, also)


CATALOG: dict[str, Entry] = {
    # rows
    "expect_column_values_to_not_be_null": _row("column"),
    "expect_column_values_to_be_null": _row("column"),
    "expect_column_values_to_be_between": _row("column", also=_RANGE),
    "expect_column_values_to_be_in_set": _row("column", "value_set"),
    "expect_column_values_to_not_be_in_set": _row("column", "value_set"),
    "expect_column_values_to_match_regex": _row("column", "regex"),
    "expect_column_values_to_not_match_regex": _row("column", "regex"),
    "expect_column_values_to_match_regex_list": _row("column", "regex_list", also=("match_on",)),
    "expect_column_values_to_not_match_regex_list": _row("column", "regex_list"),
    "expect_column_values_to_match_strftime_format": _row("column", "strftime_format"),
    "expect_column_values_to_be_dateutil_parseable": _row("column"),
    "expect_column_values_to_be_json_parseable": _row("column"),
    "expect_column_values_to_match_json_schema": _row("column", "json_schema"),
    "expect_column_value_lengths_to_be_between": _row("column", also=_RANGE),
    "expect_column_value_lengths_to_equal": _row("column", "value"),
    "expect_column_pair_values_a_to_be_greater_than_b": _row(
        "column_A", "column_B", also=("or_equal", "ignore_row_if")
    ),
    "expect_column_pair_values_to_be_equal": _row(*_PAIR, also=("ignore_row_if",)),
    "expect_column_pair_values_to_be_in_set": _row(*_PAIR, "value_pairs_set", also=("ignore_row_if",)),
    "expect_multicolumn_sum_to_equal": _row("column_list", "sum_total", also=("ignore_row_if",)),
    "expect_multicolumn_values_to_be_equal": _row("column_list", also=("ignore_row_if",)),
    "expect_select_column_values_to_be_unique_within_record": _row("column_list", also=("ignore_row_if",)),
    # rows, judged by all others
    "expect_column_values_to_be_unique": _row("column", how="unique"),
    "expect_compound_columns_to_be_unique": _row("column_list", also=("ignore_row_if",), how="unique"),
    "expect_column_values_to_be_increasing": _row("column", also=("strictly",), how="column"),
    "expect_column_values_to_be_decreasing": _row("column", also=("strictly",), how="column"),
    "expect_column_value_z_scores_to_be_less_than": _row("column", "threshold", "double_sided", how="column"),
    "expect_column_values_to_not_be_outliers": _row("column", also=("method", "multiplier"), how="column"),
    # columns; types here are pandas' own: `type:` under `columns:` is the one that does not depend on the file format
    "expect_column_type_to_be": Entry("column", False, ("column", "type_"), ()),
    "expect_column_values_to_be_of_type": _column("type_", also=("mostly",)),
    "expect_column_values_to_be_in_type_list": _column("type_list", also=("mostly",)),
    "expect_column_distinct_values_to_be_in_set": _column("value_set"),
    "expect_column_distinct_values_to_contain_set": _column("value_set"),
    "expect_column_distinct_values_to_equal_set": _column("value_set"),
    "expect_column_kl_divergence_to_be_less_than": _column(
        "partition_object",
        "threshold",
        also=("internal_weight_holdout", "tail_weight_holdout", "bucketize_data", "min_value", "max_value"),
    ),
    "expect_column_max_to_be_between": _column(also=_RANGE),
    "expect_column_mean_to_be_between": _column(also=_RANGE),
    "expect_column_median_to_be_between": _column(also=_RANGE),
    "expect_column_min_to_be_between": _column(also=_RANGE),
    "expect_column_most_common_value_to_be_in_set": _column("value_set", also=("ties_okay",)),
    "expect_column_proportion_of_non_null_values_to_be_between": _column(also=_RANGE),
    "expect_column_proportion_of_unique_values_to_be_between": _column(also=_RANGE),
    "expect_column_quantile_values_to_be_between": _column("quantile_ranges", also=("allow_relative_error",)),
    "expect_column_stdev_to_be_between": _column(also=_RANGE),
    "expect_column_sum_to_be_between": _column(also=_RANGE),
    "expect_column_unique_value_count_to_be_between": _column(also=_RANGE),
    # the table
    "expect_column_to_exist": _table("column", also=("column_index",)),
    "expect_table_column_count_to_be_between": _table(also=("min_value", "max_value")),
    "expect_table_column_count_to_equal": _table("value"),
    "expect_table_columns_to_match_ordered_list": _table("column_list"),
    "expect_table_columns_to_match_set": _table("column_set", also=("exact_match",)),
    "expect_table_row_count_to_be_between": _table(also=_RANGE),
    "expect_table_row_count_to_equal": _table("value"),
}

# Those that only a database can evaluate; rows are read as files here.
NEEDS_SQL = frozenset(
    {
        "expect_column_values_to_match_like_pattern",
        "expect_column_values_to_match_like_pattern_list",
        "expect_column_values_to_not_match_like_pattern",
        "expect_column_values_to_not_match_like_pattern_list",
        "expect_query_results_to_match_comparison",
        "expect_table_row_count_to_equal_other_table",
        "unexpected_rows_expectation",
    }
)


def columns_of(kwargs: dict[str, object]) -> tuple[str, ...]:
    """The columns that an expectation's arguments name."""
    listed = kwargs.get("column_list") or kwargs.get("column_set") or ()
    single = [kwargs[key] for key in ("column", "column_A", "column_B") if kwargs.get(key) is not None]
    return tuple(str(c) for c in (*single, *(listed if isinstance(listed, (list, tuple, set)) else ())))
