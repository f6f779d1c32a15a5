"""How often a window is an alarm, on a small sample; tests/soak/test_drift_rates.py runs as many as a rate needs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.monitoring.counts import count_column, cut_gauge
from tests.stats.drift_simulations import (
    CATEGORIES,
    CHANGES,
    DIFFERING,
    KINDS,
    PLACES,
    bound_far,
    change_rows,
    count_alarms,
    count_differing,
    count_reference,
    draw_rows,
    judge_rows,
    lay_columns,
)
from tests.stats.simulations import describe_rate

ALPHA = 1 / 12


@pytest.mark.parametrize("rows", [50, 5_000])
def test_rows_are_counted_as_monitoring_counts_them(rows: int) -> None:
    rng = np.random.default_rng(0)
    drawn = draw_rows(KINDS, rows, rng)
    for kind, ends, values, found in zip(
        KINDS, *(lambda r: (r.ends, drawn, r.counts))(count_reference(KINDS, drawn)), strict=True
    ):
        series = pd.Series([str(v) for v in values] if kind in CATEGORIES else values)
        gauge = cut_gauge(series)
        expected = count_column(series, gauge)
        assert gauge.ends == tuple(ends.tolist())
        assert (expected.cells == found.cells).all(), kind
        assert expected.missing == found.missing
        if kind in CATEGORIES:
            levels = [None if side is None else sorted(side.values()) for side in (expected.levels, found.levels)]
            assert levels[0] == levels[1]


@pytest.mark.parametrize(("columns", "reference", "size"), [(5, 1_000, 100), (20, 1_000, 12), (5, 50_000, 30)])
def test_nothing_drifted(columns: int, reference: int, size: int) -> None:
    windows = (50, 1_000, 20_000)
    found = count_alarms(columns, reference, windows, ALPHA, size, seed=1)
    for rows, count in zip(windows, found, strict=True):
        print(f"nothing drifted, {columns} columns, {reference:,} and {rows:,} rows: {describe_rate(count, size)}")
        assert bound_far(count, size) <= ALPHA


@pytest.mark.parametrize("how", DIFFERING[:2])
@pytest.mark.parametrize("place", [PLACES[0], PLACES[2]])
def test_windows_that_differ_by_nature(how: str, place: str) -> None:
    size = 80
    for past in (3, 12):
        alarms, significant = count_differing(how, past, 6, 500, ALPHA, place, size, seed=2)
        print(f"{how}, {past} past: {describe_rate(alarms, size)}; by columns alone {describe_rate(significant, size)}")
        assert bound_far(alarms, size) <= max(ALPHA, 1 / (past + 1))
        assert significant > 0.3 * size, "that these windows differ is no chance"


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_worth_a_look_is_found(change: str) -> None:
    rng = np.random.default_rng(3)
    kinds, found = lay_columns(20), 0
    for i in range(8):
        reference = count_reference(kinds, draw_rows(kinds, 10_000, rng))
        rows = change_rows(draw_rows(kinds, 10_000, rng), change, rng)
        found += bool(judge_rows(reference, rows, ALPHA, i).significant.any())
    assert found == (0 if change == "mean + 0.1 sd" else 8)  # that one is too small to be worth it
