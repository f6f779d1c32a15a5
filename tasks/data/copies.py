"""Columns that are the target itself: under other names, in other units, or as parts of a sum that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.data.strength import Floats, Task, Values

Flags = NDArray[np.bool_]
FEWEST_ROWS = 40
"""With values in fewer rows, a column may agree with the target by chance."""
_FEWEST_OF_A_CLASS = 8
_SAME_ROWS = 0.995
_EXACT = 1e-3
"""Of the target's own spread: what rounding may take off a copy."""
_ROWS, _COLUMNS, _FILLED = 2_000, 60, 0.9


@dataclass(frozen=True)
class Copy:
    """How a column is the target, and the share of rows in which it can be seen."""

    kind: Literal["same", "renamed", "scaled", "part"]
    share: float
    parts: tuple[int, ...] = ()  # of a sum: the positions of all its columns


def find_copies(columns: Mapping[int, Values], target: NDArray[Any], task: Task) -> dict[int, Copy]:
    """Those of `columns` (position -> values of n rows) that are the target (n,), which has no missing values.

    Classes: each value goes with one class, and each class with one value. Numbers: equal, or on a straight line with
    the target, but for rounding; or the target is a weighted sum of several columns. A column counts where it has
    values, if those are enough not to agree by chance.
    """
    if task != "regression":
        relabelled = {j: _match_classes(values, target) for j, values in columns.items()}
        return {j: copy for j, copy in relabelled.items() if copy is not None}
    goal = target.astype(np.float64)
    numbers = {j: v.numbers for j, v in columns.items() if v.numbers is not None}
    scaled = {j: _match_numbers(values, goal) for j, values in numbers.items()}
    found = {j: copy for j, copy in scaled.items() if copy is not None}
    parts = _find_sum({j: values for j, values in numbers.items() if j not in found}, goal)
    return found | {j: Copy("part", 1.0, parts) for j in parts}


def _match_classes(values: Values, target: NDArray[Any]) -> Copy | None:
    found = values.codes.astype(np.float64) if values.numbers is None else values.numbers
    there = values.codes >= 0 if values.numbers is None else ~np.isnan(found)
    known, labels = found[there], target[there]
    if len(known) < FEWEST_ROWS or len(np.unique(known[:1000])) > len(np.unique(target)):
        return None
    levels, level = np.unique(known, return_inverse=True)
    classes, label = np.unique(labels, return_inverse=True)
    pairs = len(np.unique(level * len(classes) + label))
    if len(classes) < 2 or not len(levels) == len(classes) == pairs:
        return None
    if np.sort(np.bincount(label))[-2] < _FEWEST_OF_A_CLASS:
        return None
    same = values.numbers is not None and bool((known == labels).all())
    return Copy("same" if same else "renamed", float(there.mean()))


def _match_numbers(values: Floats, goal: Floats) -> Copy | None:
    there = np.isfinite(values)
    if there.sum() < FEWEST_ROWS:
        return None
    x, y = values[there], goal[there]
    share = float(there.mean())
    with np.errstate(over="ignore"):  # numbers may be as large as a float can be
        equal = _is_exact(y - x, y)
    if equal:
        return Copy("same", share)
    away, x = y - y.mean(), _standardise(x)
    return Copy("scaled", share) if _is_exact(away - x * float(x @ away) / len(x), y) else None


def _is_exact(left: Floats, goal: Floats) -> bool:
    """Whether what is left of the goal is rounding only."""
    low, high = np.quantile(goal, [0.25, 0.75])
    spread = float(high - low) or float(goal.std())
    return spread > 0 and float((np.abs(left) <= _EXACT * spread).mean()) >= _SAME_ROWS


def _find_sum(columns: Mapping[int, Floats], goal: Floats) -> tuple[int, ...]:
    """The fewest columns of which the target is a weighted sum; none where it is not. Learned on one half of the rows
    and held to on the other."""
    step = max(1, len(goal) // _ROWS)
    goal = goal[::step]
    taken: dict[int, Floats] = {}
    for j, column in columns.items():
        values, there = column[::step], np.isfinite(column[::step])
        if there.mean() >= _FILLED and len(np.unique(values[there][:200])) > 1:
            taken[j] = values
    if len(taken) > _COLUMNS:
        likeness = {j: _correlate(values, goal) for j, values in taken.items()}
        taken = {j: taken[j] for j in sorted(taken, key=lambda j: -likeness[j])[:_COLUMNS]}
    whole = np.isfinite(np.stack(list(taken.values()))).all(0) if taken else np.zeros(len(goal), bool)
    if len(taken) < 2 or whole.sum() < max(2 * FEWEST_ROWS, 4 * len(taken)):
        return ()
    y = goal[whole]
    matrix = {j: _standardise(values[whole]) for j, values in taken.items()}
    fitted = _fit(list(matrix), matrix, y)
    if fitted is None:
        return ()
    kept = sorted(matrix, key=lambda j: abs(fitted[j]))
    for j in list(kept):
        rest = [i for i in kept if i != j]
        if rest and _fit(rest, matrix, y) is not None:
            kept = rest
    return tuple(sorted(kept))


def _correlate(values: Floats, goal: Floats) -> float:
    there = np.isfinite(values)
    return abs(float(_standardise(values[there]) @ _standardise(goal[there]))) / max(1, int(there.sum()))


def _standardise(values: Floats) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        away = values - values.mean()
        scale = float(away.std())
    return away / scale if np.isfinite(scale) and scale > 0 else np.zeros(len(values))


def _fit(chosen: list[int], matrix: Mapping[int, Floats], y: Floats) -> dict[int, float] | None:
    """Weights of a sum that holds on rows that it was not learned on; None where it does not."""
    design = np.stack([np.ones(len(y)), *(matrix[j] for j in chosen)], axis=1)
    weights = np.linalg.lstsq(design[::2], y[::2], rcond=None)[0]
    left = y[1::2] - design[1::2] @ weights
    return dict(zip(chosen, weights[1:].tolist(), strict=True)) if _is_exact(left, y) else None
