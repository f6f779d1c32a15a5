"""How far two models' predictions for the same rows lie apart, added up while the rows stream by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-12  # of a mean: a spread below it is what adding up leaves of values that are all the same


@dataclass(frozen=True)
class Disagreement:
    """Sums over rows that two models have predicted. Those of parts of a batch make those of the whole, however it is
    cut; nothing of the rows is held.

    `distance` is the sum of what lies between two predictions: for classes the total variation (for two of them the
    absolute difference of the probabilities), for values the absolute difference. `mean` and `squares` are the mean of
    the first model's values and the sum of their squared deviations from it; for classes they stay 0.
    """

    by_class: bool
    rows: int = 0
    differing: int = 0  # rows whose decision differs; of values none is told
    distance: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def then(self, other: Disagreement) -> Disagreement:
        """Both together. ValueError where one is of classes and the other of values."""
        if self.by_class != other.by_class:
            raise ValueError("classes and values cannot be added up")
        rows = self.rows + other.rows
        if not rows:
            return self
        away = other.mean - self.mean
        return Disagreement(
            self.by_class,
            rows,
            self.differing + other.differing,
            self.distance + other.distance,
            self.mean + away * other.rows / rows,
            self.squares + other.squares + away * away * self.rows * other.rows / rows,
        )

    def describe(self) -> dict[str, Any]:
        """Plain values: `rows` that both have predicted, `decisions` (share of them that is decided otherwise, None for
        values), `distance` (its mean), and for values the `spread` (standard deviation) of the first model's and the
        distance in parts of it (`relative`). None where that is not defined: of no row, without a spread, too large."""
        found: dict[str, Any] = dict.fromkeys(("decisions", "distance", "spread", "relative"))
        if self.rows and self.by_class:
            found |= {"decisions": self.differing / self.rows, "distance": self.distance / self.rows}
        elif self.rows:
            distance, spread = self.distance / self.rows, math.sqrt(self.squares / self.rows)
            relative = distance / spread if spread > _ROUNDING * abs(self.mean) else None
            found |= {"distance": distance, "spread": spread, "relative": relative}
        finite = {name: value if value is None or math.isfinite(value) else None for name, value in found.items()}
        return {"rows": self.rows, **finite}


def compare_classes(
    one: NDArray[np.float64], other: NDArray[np.float64], decided_otherwise: NDArray[np.bool_]
) -> Disagreement:
    """Of probabilities (n, classes) of two models, in the same order of classes, and whether the decision on each row
    (n,) differs. n may be 0."""
    distance = 0.5 * float(np.abs(one - other).sum())
    return Disagreement(True, len(one), int(np.count_nonzero(decided_otherwise)), distance)


def compare_values(one: NDArray[np.float64], other: NDArray[np.float64]) -> Disagreement:
    """Of the values (n,) that two models give; the spread is that of `one`. n may be 0."""
    if not len(one):
        return Disagreement(False)
    mean = float(one.mean())
    with np.errstate(over="ignore"):  # what is too large is not told
        squares = float(np.square(one - mean).sum())
    return Disagreement(False, len(one), 0, float(np.abs(one - other).sum()), mean, squares)


def say_disagreement(found: Mapping[str, Any] | None) -> str:
    """What `describe` gave, in a clause; empty where nothing is known, as of an attempt that failed."""
    if not found:
        return ""
    decisions, distance, relative = (found.get(name) for name in ("decisions", "distance", "relative"))
    if distance is None:
        return "no row was predicted by both"
    if decisions is not None:
        return f"{decisions:.1%} of decisions differ, probabilities by {distance:.2g} on average"
    part = "" if relative is None else f", {relative:.1%} of the champion's spread"
    return f"predictions differ by {distance:.3g} on average{part}"
