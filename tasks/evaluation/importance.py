"""Permutation importance on a bounded sample of test rows: how far the metric falls when one feature is shuffled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from tasks.stats.metrics import Array, Metric, OperatingPoint

MAX_ROWS = 5_000
MIN_ROWS = 200
MAX_PREDICTIONS = 100_000  # over all features; with many features each is measured on fewer rows
MAX_CELLS = 2_500_000  # of one stacked frame: what is in memory at once


def measure_importance(
    predict: Callable[[pd.DataFrame], Array],
    metric: Metric,
    frame: pd.DataFrame,
    y: Array,
    at: OperatingPoint,
    seed: int,
) -> dict[str, float]:
    """The fall of the metric per feature (positive: the model needs it), most important first.

    `frame` holds the model's features for the rows of `y` (n,). Several features are shuffled in one stacked frame,
    so that a pipeline's cost per call is paid a few times and not once per feature. nan where the metric is not
    defined on the sample. What two features say together is credited to neither when the other remains.
    """
    rng = np.random.default_rng(seed)
    names = list(frame.columns)
    size = min(len(y), MAX_ROWS, max(MIN_ROWS, MAX_PREDICTIONS // max(len(names), 1)))
    chosen = np.sort(rng.choice(len(y), size, replace=False))
    sample, labels = frame.iloc[chosen], y[chosen]
    whole = metric.compute(labels, predict(sample.reset_index(drop=True)), at)
    at_once = max(1, MAX_CELLS // (size * max(len(names), 1)))
    falls: dict[str, float] = {}
    for start in range(0, len(names), at_once):
        together = names[start : start + at_once]
        prediction = predict(_stack(sample, together, rng))
        for name, part in zip(together, np.split(prediction, len(together)), strict=True):
            falls[name] = metric.gain(whole, metric.compute(labels, part, at))
    return dict(sorted(falls.items(), key=lambda item: (np.isnan(item[1]), -item[1], item[0])))


def _stack(sample: pd.DataFrame, shuffled: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """The sample once per name in `shuffled`, with that column in another order; types stay as they are."""
    size = len(sample)
    order = np.tile(np.arange(size), len(shuffled))
    columns = {}
    for name in sample.columns:
        rows = order
        if name in shuffled:
            place = shuffled.index(name) * size
            rows = order.copy()
            rows[place : place + size] = rng.permutation(size)
        columns[name] = sample[name].array.take(rows)
    return pd.DataFrame(columns)
