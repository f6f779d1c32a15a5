"""Is one rate below a share of another, or above it by more than a difference? Tests and bounds for two proportions.

Two statistics are computed, and the larger p-value counts: the score test of Miettinen and Nurminen (1985), which
takes its variance from the rates that the limit itself would allow, and the signed root of the likelihood ratio. The
score test keeps its level where hardly anything was counted, down to no case at all, where the plain standard error
is 0; the likelihood ratio keeps it far out in the tail, where many groups are compared and a normal curve is too thin
for a rare event. Each alone is several times too liberal at the other's place.

Rows of one day or group are not independent: then `inflation` says how much larger the variance of the contrast is
than that of independent rows, and `degrees` from how many blocks that is known. tests/soak has the realised rates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit, xlogy
from scipy.stats import norm

Floats = NDArray[np.float64]
Kind = Literal["ratio", "difference"]
_STEPS = 40  # of a bisection: to twelve digits
_LARGEST_RATIO = 1e6


@dataclass(frozen=True)
class RatePairs:
    """Pairs of rates, (m,) each: hits `x` of `n` rows, n > 0, in a group and in the other that it is held against.

    `offset` is taken off the difference of the two rates: what they were expected to differ by. `inflation` multiplies
    the variance; `degrees` are infinite where rows are independent.
    """

    x: Floats
    n: Floats
    other_x: Floats
    other_n: Floats
    offset: Floats
    inflation: Floats
    degrees: Floats

    def take(self, kept: NDArray[np.int64]) -> RatePairs:
        """Some of the pairs, by position."""
        return RatePairs(*(getattr(self, f.name)[kept] for f in fields(self)))

    def value(self, kind: Kind) -> Floats:
        """The ratio or difference that was seen; nan for 0 / 0, infinite where only the other rate is 0."""
        rate, other = self.x / self.n, self.other_x / self.other_n
        if kind == "difference":
            return np.asarray(rate - other - self.offset)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Floats = rate / other
        return ratio

    def test_below(self, kind: Kind, limit: Floats | float) -> Floats:
        """p-values (m,) of a true value of at least `limit`: small where it is shown to lie below."""
        return self._tail(kind, np.broadcast_to(np.asarray(limit, np.float64), self.x.shape), below=True)

    def test_above(self, kind: Kind, limit: Floats | float) -> Floats:
        """p-values (m,) of a true value of at most `limit`: small where it is shown to lie above."""
        return self._tail(kind, np.broadcast_to(np.asarray(limit, np.float64), self.x.shape), below=False)

    def bounds(self, kind: Kind, level: Floats | float) -> tuple[Floats, Floats]:
        """One-sided bounds (m,), each at 1 - level by itself: the values that the tests above do not refuse."""
        low, high = (-1.0, 1.0) if kind == "difference" else (0.0, _LARGEST_RATIO)
        held = np.broadcast_to(np.asarray(level, np.float64), self.x.shape)
        low_end, high_end = np.full(self.x.shape, low), np.full(self.x.shape, high)
        return (
            _bisect(lambda at: self.test_above(kind, at) < held, low_end, high_end, kind),
            _bisect(lambda at: self.test_below(kind, at) >= held, low_end, high_end, kind),
        )

    def _tail(self, kind: Kind, limit: Floats, below: bool) -> Floats:
        factor, shift = (limit, np.zeros_like(limit)) if kind == "ratio" else (np.ones_like(limit), limit + self.offset)
        other = self._restrict(factor, shift)
        rate = np.clip(factor * other + shift, 0.0, 1.0)
        contrast = self.x / self.n - factor * self.other_x / self.other_n - shift
        variance = rate * (1 - rate) / self.n + factor**2 * other * (1 - other) / self.other_n
        with np.errstate(divide="ignore", invalid="ignore"):
            score = np.where(contrast == 0, 0.0, contrast / np.sqrt(variance * self.inflation))
        gain = self._likelihood(self.x / self.n, self.other_x / self.other_n) - self._likelihood(rate, other)
        root = np.sign(contrast) * np.sqrt(np.maximum(2 * gain, 0.0) / self.inflation)
        nearer = np.where(np.abs(score) < np.abs(root), score, root)
        tail: Floats = _survival(-nearer if below else nearer, self.degrees)
        return tail

    def _likelihood(self, rate: Floats, other: Floats) -> Floats:
        def of(x: Floats, n: Floats, p: Floats) -> Floats:
            return np.asarray(xlogy(x, p) + xlogy(n - x, 1 - p))

        return of(self.x, self.n, rate) + of(self.other_x, self.other_n, other)

    def _restrict(self, factor: Floats, shift: Floats) -> Floats:
        """The other rate, at its likeliest where the rate is exactly `factor` times it plus `shift`.

        The likelihood is concave along that line, so the zero of its slope is found by halving.
        """
        low = np.clip(-shift, 0.0, 1.0)
        with np.errstate(divide="ignore"):
            high = np.clip(np.where(factor > 0, (1 - shift) / np.maximum(factor, 1e-300), 1.0), 0.0, 1.0)
        high = np.maximum(low, high)
        for _ in range(_STEPS):
            middle = (low + high) / 2
            rate = np.clip(factor * middle + shift, 0.0, 1.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                slope = factor * (_over(self.x, rate) - _over(self.n - self.x, 1 - rate))
                slope = slope + _over(self.other_x, middle) - _over(self.other_n - self.other_x, 1 - middle)
            rising = slope > 0
            low, high = np.where(rising, middle, low), np.where(rising, high, middle)
        found: Floats = (low + high) / 2
        return found


def _over(count: Floats, rate: Floats) -> Floats:
    """count / rate, where nothing over nothing is nothing."""
    return np.where(count > 0, count / rate, 0.0)


def _bisect(goes_on: Callable[[Floats], NDArray[np.bool_]], low: Floats, high: Floats, kind: Kind) -> Floats:
    """The largest value (m,) of a stretch up to which `goes_on` holds; ratios are halved by their logarithm."""
    if kind == "ratio":
        zero = ~goes_on(np.full(low.shape, 1 / _LARGEST_RATIO))
        found = np.exp(_bisect(lambda at: goes_on(np.exp(at)), np.log(1 / high), np.log(high), "difference"))
        return np.where(zero, 0.0, np.where(found >= _LARGEST_RATIO * 0.999, np.inf, found))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        on = goes_on(middle)
        low, high = np.where(on, middle, low), np.where(on, high, middle)
    return (low + high) / 2


def _survival(z: Floats, degrees: Floats) -> Floats:
    finite = np.where(np.isinf(degrees), 1e9, degrees)
    return np.asarray(np.where(np.isinf(degrees), norm.sf(z), stdtr(finite, -z)))


def find_rate_interval(x: float, n: float, inflation: float, degrees: float, confidence: float) -> tuple[float, float]:
    """Both ends of one rate's interval (Wilson's, from the score test), each one-sided at 1 - (1 - confidence) / 2."""
    if n <= 0:
        return np.nan, np.nan
    tail = (1 - confidence) / 2
    t = float(norm.isf(tail)) if np.isinf(degrees) else float(-stdtrit(degrees, tail))
    size, rate = n / max(inflation, 1e-12), x / n
    centre = (rate + t * t / (2 * size)) / (1 + t * t / size)
    reach = t / (1 + t * t / size) * float(np.sqrt(rate * (1 - rate) / size + t * t / (4 * size * size)))
    return max(0.0, centre - reach), min(1.0, centre + reach)
