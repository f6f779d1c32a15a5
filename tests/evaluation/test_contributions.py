"""Contributions: exact where a score is a sum, fair by Shapley's rules where it is sampled."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.evaluation.contributions import sample_orders, sum_parts


def bent(frame: pd.DataFrame) -> Any:
    """A score that is no sum of its columns; `idle` plays no part."""
    colour = (frame["colour"] == "red").to_numpy(float)
    a, b = frame["a"].fillna(0).to_numpy(float), frame["b"].to_numpy(float)
    return 1 / (1 + np.exp(-(a * b + 2 * colour * (a > 0) - 0.5)))


def make_reference(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=rows),
            "b": rng.normal(1.0, size=rows),
            "colour": rng.choice(["red", "blue"], rows),
            "idle": rng.integers(0, 9, rows),
        }
    )
    frame.loc[::7, "a"] = np.nan
    return frame


ROW = pd.DataFrame({"a": [1.5], "b": [0.7], "colour": ["red"], "idle": [4]})


def exact_values(row: pd.DataFrame, reference: pd.DataFrame) -> dict[str, float]:
    """Shapley's values by all orders over all reference rows."""
    names = list(row.columns)
    found = dict.fromkeys(names, 0.0)
    orders = list(permutations(names))
    for order in orders:
        mixed = reference.copy()
        before = bent(mixed).mean()
        for name in order:
            mixed[name] = row[name].iloc[0]
            after = bent(mixed).mean()
            found[name] += (after - before) / len(orders)
            before = after
    return found


def test_a_sum_is_shared_out_exactly() -> None:
    rng = np.random.default_rng(3)
    weights, row, reference = rng.normal(size=4), rng.normal(size=4), rng.normal(size=(50, 4))
    told = sum_parts(["a", "b", "b", "c"], weights, 0.3, row, reference, ["a", "b", "c", "unused"])
    assert told.base == pytest.approx(np.mean(reference @ weights + 0.3), abs=1e-12)
    assert told.score == pytest.approx(row @ weights + 0.3, abs=1e-12)
    assert told.base + sum(told.values.values()) == pytest.approx(told.score, abs=1e-12)
    assert told.values["b"] == pytest.approx(weights[1:3] @ (row - reference.mean(axis=0))[1:3])
    assert told.values["unused"] == 0 and told.rows == 50 and told.errors == {}


def test_sampled_ones_add_up_whatever_the_sample() -> None:
    reference = make_reference(300)
    for budget in (1, 10, 500, 60_000):
        told = sample_orders(bent, ROW, reference, seed=1, budget=budget)
        assert told.score == pytest.approx(bent(ROW)[0], abs=1e-12)
        assert told.base + sum(told.values.values()) == pytest.approx(told.score, abs=1e-12)
    assert told.rows == 300
    assert told.base == pytest.approx(bent(reference).mean(), abs=1e-12), "the reference rows are what is averaged over"


def test_sampled_ones_are_shapleys_within_their_error() -> None:
    reference = make_reference(400)
    wanted = exact_values(ROW, reference)
    far = []
    for seed in range(40):
        told = sample_orders(bent, ROW, reference, seed, budget=701)
        assert told.rows == 100 and told.values["idle"] == 0
        far += [(told.values[n] - wanted[n]) / told.errors[n] for n in ("a", "b", "colour")]
    assert abs(np.mean(far)) < 0.5, "not off to one side"
    assert np.mean(np.abs(far) < 2) > 0.9, "the stated error is what it is off by"
    whole = sample_orders(bent, ROW, reference, 0)
    assert whole.values == pytest.approx(wanted, abs=0.02)


def test_columns_that_do_the_same_get_the_same() -> None:
    def both(frame: pd.DataFrame) -> Any:
        return (frame["x"] * frame["y"]).to_numpy(float)

    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    told = sample_orders(both, pd.DataFrame({"x": [2.0], "y": [2.0]}), pd.DataFrame({"x": x, "y": x}), seed=0)
    assert told.values["x"] == pytest.approx(told.values["y"], abs=1e-12), "each order is used with its reverse"


def test_the_row_may_have_other_types_than_the_reference() -> None:
    row = pd.DataFrame({"a": [None], "b": [2], "colour": ["never seen"], "idle": ["text"]})
    told = sample_orders(bent, row, make_reference(20), seed=0)
    assert told.base + sum(told.values.values()) == pytest.approx(told.score)


def test_one_column_one_reference_row() -> None:
    told = sample_orders(lambda f: f["x"].to_numpy(float), pd.DataFrame({"x": [3.0]}), pd.DataFrame({"x": [1.0]}), 0)
    assert (told.base, told.score, told.values) == (1.0, 3.0, {"x": 2.0})
    assert np.isnan(told.errors["x"])


def test_the_seed_decides() -> None:
    reference = make_reference(200)
    assert sample_orders(bent, ROW, reference, 5, 900) == sample_orders(bent, ROW, reference, 5, 900)
    assert sample_orders(bent, ROW, reference, 5, 900) != sample_orders(bent, ROW, reference, 6, 900)
