"""Windows whose inputs moved while labels relate to them as before, for the rates of estimates without labels.

A champion that is wrong in a known way: it lacks an interaction and is too sure. Its reference comes from one
distribution of the features, the window from another that lies partly beyond it. The true value of a metric on the
window's distribution is that of a large sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from tasks.monitoring.estimation import Estimate, make_estimator
from tasks.monitoring.reference import RoleNames
from tasks.stats.metrics import METRICS, TaskType

FEATURES = ("x", "z", "kind")
KINDS = np.array(["a", "b", "c", "d"])
LARGE = 400_000
Array = np.ndarray


@dataclass(frozen=True)
class World:
    """Where rows come from. `days` > 0: as many days, each with a part of its own in the features."""

    task: TaskType = "binary"
    mean: float = 0.0
    spread: float = 1.0
    kinds: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    days: int = 0
    day: float = 0.3  # standard deviation of a day's part


def shift(world: World, size: float) -> World:
    """The same relation of labels and features, under features that moved by `size` deviations, and other kinds."""
    return World(world.task, size, 1 + size / 4, (0.1, 0.2, 0.3, 0.4), world.days, world.day)


def draw_rows(world: World, rows: int, rng: np.random.Generator) -> tuple[pd.DataFrame, Array, Array, Array | None]:
    """Features, labels, the champion's predictions, and the day of each row (None: independent rows)."""
    day = rng.integers(0, world.days, rows) if world.days else None
    part = 0.0 if day is None else world.day * rng.normal(size=world.days)[day]
    x = world.mean + world.spread * rng.normal(size=rows) + part
    z = rng.normal(size=rows)
    kind = rng.choice(4, rows, p=world.kinds)
    frame = pd.DataFrame({"x": x, "z": z, "kind": KINDS[kind]})
    effect = np.array([-0.5, 0.0, 0.5, 1.0])[kind]
    if world.task == "regression":
        size = np.exp(0.3 * x + 0.4 * (kind == 3))
        y = 2 * x + effect + size * rng.normal(size=rows)
        return frame, y, 2 * x + 0.3, day
    if world.task == "multiclass":
        scores = np.stack([0 * x, x - 0.5, 0.8 * z + effect], axis=1)
        true = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        given = np.exp(1.3 * scores) / np.exp(1.3 * scores).sum(axis=1, keepdims=True)
        return frame, (true.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1), given, day
    true = -0.8 + x + 0.7 * z + effect + 0.3 * x * z
    given = -0.6 + 1.3 * x + 0.9 * z + 0.8 * effect
    return frame, (rng.random(rows) < _odds(true)).astype(np.int64), _odds(given), day


def _odds(score: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-score)))


CLASSES: dict[TaskType, tuple[Any, ...]] = {"binary": (0, 1), "multiclass": (0, 1, 2), "regression": ()}


def make_rows(world: World, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """A reference as a version keeps it."""
    frame, y, given, day = draw_rows(world, rows, rng)
    names = RoleNames.beside(FEATURES)
    frame[names.target] = y
    if world.task == "multiclass":
        frame[names.of_classes(3)] = given
    else:
        frame[names.probability if world.task == "binary" else names.prediction] = given
    return frame if day is None else frame.assign(**{names.block: day})


def estimate_rows(reference: pd.DataFrame, world: World, rows: int, metric: str, rng: np.random.Generator) -> Estimate:
    """An estimate for a window of so many rows."""
    estimator = make_estimator(
        reference, FEATURES, task=world.task, classes=CLASSES[world.task], metric=metric, seed=int(rng.integers(2**31))
    )
    frame, _, given, day = draw_rows(world, rows, rng)
    dates = np.datetime64("2024-03-01") + np.arange(max(world.days, 1))
    blocks = None if day is None else pd.Series(dates.astype(str)[day])
    estimator.add(frame, given, blocks, np.arange(rows))
    return estimator.estimate()


@cache
def find_truth(world: World, metric: str, seed: int = 0) -> float:
    """The metric on the world's distribution, without days' parts but for the spread that they add."""
    rng = np.random.default_rng(seed)
    spread = float(np.hypot(world.spread, world.day)) if world.days else world.spread
    whole = World(world.task, world.mean, spread, world.kinds)
    _, y, given, _ = draw_rows(whole, LARGE, rng)
    return METRICS[metric].compute(y, given)


def simulate(
    world: World, size: float, metric: str, learned: int, rows: int, simulations: int, seed: int
) -> pd.DataFrame:
    """Per simulation the estimate with its interval, and the true value; the first metric's only."""
    rng = np.random.default_rng(seed)
    moved = shift(world, size) if size else world
    truth, found = find_truth(moved, metric), []
    for _ in range(simulations):
        reference = make_rows(world, learned, rng)
        value = estimate_rows(reference, moved, rows, metric, rng).metrics[0]
        found.append((value.value, value.low, value.high, truth))
    return pd.DataFrame(found, columns=["value", "low", "high", "truth"])


def count_covered(found: pd.DataFrame) -> int:
    """How often the true value lies in the interval."""
    return int(((found["low"] <= found["truth"]) & (found["truth"] <= found["high"])).sum())
