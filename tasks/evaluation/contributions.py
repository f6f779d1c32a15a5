"""What each column of one row adds to its score, compared with the average row of a reference sample.

Both ways share out exactly the difference between the row's score and the reference rows' mean score. Where the score
is a sum of a part per column, as a linear model's log-odds are, so are the contributions, and nothing is estimated.
Any other model is asked: the row's columns are put into a reference row one after the other, in a random order, and
each is credited with the change that it makes. Averaged over reference rows and orders these are Shapley values
(interventional: columns are changed without regard to what else is likely with them, so that only what the model
reads is credited; Janzing, Minorics, Bloebaum 2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MAX_PREDICTIONS = 60_000  # rows that the model is asked for, in all
MAX_CELLS = 2_500_000  # of one frame: what is in memory at once


@dataclass(frozen=True)
class Contributions:
    """A row's score as the reference rows' mean `base` and what each column adds: `base` + all of them is `score`.

    `errors` are standard errors of sampled contributions, over reference rows and orders; empty where nothing was
    sampled. `rows` of the reference sample were averaged over.
    """

    values: Mapping[str, float]
    base: float
    score: float
    rows: int
    errors: Mapping[str, float] = field(default_factory=dict)

    def ranked(self) -> list[str]:
        """The columns, the one that moves the score most first."""
        return sorted(self.values, key=lambda name: (-abs(self.values[name]), name))


def sum_parts(
    parts: Sequence[str], weights: Floats, intercept: float, row: Floats, reference: Floats, columns: Sequence[str]
) -> Contributions:
    """Exact contributions to `intercept` + `weights` x `row`: a weight times the distance to the reference mean.

    `row` (m,) and `reference` (n, m) are what the model sums over, `parts` (m,) names the column that each comes
    from. A column of `columns` without a part adds 0.
    """
    mean = reference.mean(axis=0)
    values = dict.fromkeys(columns, 0.0)
    for name, value in zip(parts, weights * (row - mean), strict=True):
        values[name] += float(value)
    base = float(intercept + mean @ weights)
    return Contributions(values, base, float(intercept + row @ weights), len(reference))


def sample_orders(
    predict: Callable[[pd.DataFrame], Floats],
    row: pd.DataFrame,
    reference: pd.DataFrame,
    seed: int,
    budget: int = MAX_PREDICTIONS,
) -> Contributions:
    """Contributions to any score by sampled orders of the columns; they add up exactly, whatever the sample's size.

    `predict` gives one number per row (n,). `row` is one row, `reference` n >= 1 rows with the same columns. Each
    reference row is used with one order and its reverse, as many of the rows as `budget` predictions allow; drawn
    with `seed`, so that the same question has the same answer.
    """
    rng = np.random.default_rng(seed)
    names = list(row.columns)
    width = len(names)
    size = min(len(reference), max(1, (budget - 1) // (1 + 2 * max(width - 1, 0))))
    chosen = np.sort(rng.choice(len(reference), size, replace=False))
    both = pd.concat([reference[names].iloc[chosen], row], ignore_index=True)
    ends = predict(both)
    start, score = ends[:size], float(ends[size])
    orders = np.array([rng.permutation(width) for _ in range(size)]).reshape(size, width)
    gains = np.zeros((size, width))
    for directed in (orders, orders[:, ::-1]):
        between = _ask_between(predict, both, directed)
        path = np.column_stack([start, between, np.full(size, score)])
        np.put_along_axis(walked := np.empty((size, width)), directed, np.diff(path, axis=1), axis=1)
        gains += walked / 2
    spread = gains.std(axis=0, ddof=1) / math.sqrt(size) if size > 1 else np.full(width, math.nan)
    return Contributions(
        dict(zip(names, map(float, gains.mean(axis=0)), strict=True)),
        float(start.mean()),
        score,
        size,
        dict(zip(names, map(float, spread), strict=True)),
    )


def _ask_between(predict: Callable[[pd.DataFrame], Floats], both: pd.DataFrame, orders: NDArray[np.int64]) -> Floats:
    """Scores on the way from each reference row to the explained one, (n, width - 1): its columns 1, 2, ... in.

    `both` holds the n reference rows and, last, the explained row; `orders` (n, width) the columns in their order.
    """
    size, width = orders.shape
    if width == 1:
        return np.empty((size, 0))
    place = np.argsort(orders, axis=1)  # when a column is put in
    at_once = max(1, MAX_CELLS // ((width - 1) * width))
    found = []
    for first in range(0, size, at_once):
        rows = np.arange(first, min(first + at_once, size))
        steps = np.tile(np.arange(1, width), len(rows))
        origin = np.repeat(rows, width - 1)
        columns = {
            name: both[name].array.take(np.where(place[origin, at] < steps, size, origin))
            for at, name in enumerate(both.columns)
        }
        found.append(predict(pd.DataFrame(columns)).reshape(len(rows), width - 1))
    return np.concatenate(found)
