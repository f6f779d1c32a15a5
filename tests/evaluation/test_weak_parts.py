"""The search for weak parts: what is planted is found, chance alone is not, and the size is bounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.evaluation.parts import Part
from tasks.evaluation.weak_parts import find_weak_parts
from tasks.stats.intervals import Blocks, block_rows, deal_rows
from tasks.stats.metrics import AT_HALF, METRICS


def draw(seed: int = 0, rows: int = 6_000, weak: bool = True) -> tuple[Any, Any, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "region": rng.choice(["north", "south", "west"], rows),
            "age": rng.integers(18, 90, rows),
            "income": rng.lognormal(size=rows),
            "flag": rng.random(rows) < 0.5,
        }
    )
    y = (rng.random(rows) < 0.3).astype(np.int64)
    lost = ((frame["region"] == "south") & (frame["age"] > 71)).to_numpy() & weak
    z = rng.normal(size=rows) + np.where(lost, 0.0, 1.5) * y
    return y, 1 / (1 + np.exp(-z)), frame


def find(
    y: Any, p: Any, frame: pd.DataFrame, most: int = 3, blocks: Blocks | None = None, **more: Any
) -> tuple[Part, ...]:
    return find_weak_parts(
        y, p, AT_HALF, frame, blocks or deal_rows(len(y), 0), list(frame.columns),
        METRICS[more.get("metric", "roc_auc")], more.get("task", "binary"), most, 4, 0,
    )  # fmt: skip


def test_a_weak_corner_of_two_columns_is_found_first() -> None:
    y, p, frame = draw()
    first, *_ = find(y, p, frame)
    assert {c.column for c in first.conditions} == {"region", "age"}
    inside = first.find(frame)
    planted = ((frame["region"] == "south") & (frame["age"] > 71)).to_numpy()
    assert (inside & planted).sum() > 0.7 * max(inside.sum(), planted.sum())


def test_what_it_finds_by_chance_is_as_weak_on_no_other_rows() -> None:
    y, p, frame = draw(3, weak=False)
    fresh_y, fresh_p, fresh = draw(4, weak=False)
    auc = METRICS["roc_auc"].compute
    whole = auc(fresh_y, fresh_p)
    drops = [whole - auc(fresh_y[m], fresh_p[m]) for part in find(y, p, frame) for m in [part.find(fresh)]]
    assert all(drop < 0.05 for drop in drops)


def test_as_many_as_are_asked_for_and_none_twice() -> None:
    y, p, frame = draw()
    assert find(y, p, frame, most=0) == ()
    found = find(y, p, frame, most=5)
    assert len(found) <= 5
    masks = [part.find(frame) for part in found]
    for i, one in enumerate(masks):
        assert one.sum() >= 100
        assert all((one & other).sum() <= 0.5 * (one | other).sum() for other in masks[:i])


def test_days_that_move_together_are_not_taken_for_a_weak_part() -> None:
    y, p, frame = draw(5, weak=False)
    day = np.sort(np.random.default_rng(0).integers(0, 4, len(y)))  # four days in all say nothing
    blocks = block_rows(np.array(["a", "b", "c", "d"], dtype=object)[day], "days", ordered=True)
    assert find(y, p, frame, blocks=blocks) == ()


def test_numbers_are_searched_too_and_the_same_seed_finds_the_same() -> None:
    y, _, frame = draw()
    value = np.random.default_rng(1).normal(size=len(y))
    off = value + np.where(frame["region"] == "west", 2.0, 0.1) * np.random.default_rng(2).normal(size=len(y))
    found = find(value, off, frame, metric="mae", task="regression")
    assert any(c.value == "west" for c in found[0].conditions)
    assert found == find(value, off, frame, metric="mae", task="regression")
