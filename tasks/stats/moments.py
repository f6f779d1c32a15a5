"""Moments of numbers that are the same to the last bit however the numbers are cut into parts and ordered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

MOST = 1e150  # the squares of larger numbers are none; they are left out of the moments
_UNIT = 1126  # sums are kept in multiples of 2**-1126: every float64 is such a multiple
_LOW = (1 << 26) - 1


@dataclass(frozen=True)
class Moments:
    """Count, sum, sum of squares, least and greatest of finite numbers.

    Sums are whole multiples of 2**-1126, so that adding parts loses nothing (a superaccumulator, after Kulisch).
    """

    n: int = 0
    total: int = 0
    squares: int = 0
    low: float = math.inf
    high: float = -math.inf

    def plus(self, other: Moments) -> Moments:
        """Of both together."""
        return Moments(
            self.n + other.n,
            self.total + other.total,
            self.squares + other.squares,
            min(self.low, other.low),
            max(self.high, other.high),
        )

    @property
    def mean(self) -> float:
        """nan where there is no number."""
        return float(Fraction(self.total, self.n << _UNIT)) if self.n else math.nan

    @property
    def deviation(self) -> float:
        """The standard deviation (of the numbers themselves: divided by n); nan where there is no number."""
        if not self.n:
            return math.nan
        mean = Fraction(self.total, self.n << _UNIT)
        return math.sqrt(max(0.0, float(Fraction(self.squares, self.n << _UNIT) - mean * mean)))

    @staticmethod
    def of(values: NDArray[np.float64]) -> Moments:
        """Of some numbers, shape (n,); those that are not finite or beyond MOST are left out."""
        kept = values[np.abs(values) < MOST]
        if not len(kept):
            return Moments()
        return Moments(len(kept), _sum(kept), _sum(kept * kept), float(kept.min()), float(kept.max()))


def _sum(values: NDArray[np.float64]) -> int:
    """The exact sum in units: mantissas are added in two halves per exponent, as floats that hold them exactly."""
    fractions, exponents = np.frexp(values)
    mantissas = (fractions * 2.0**53).astype(np.int64)
    least = int(exponents.min())
    bucket = exponents - least
    high = np.bincount(bucket, (mantissas >> 26).astype(np.float64))
    low = np.bincount(bucket, (mantissas & _LOW).astype(np.float64))
    total = 0
    for at in np.flatnonzero((high != 0) | (low != 0)).tolist():
        shift = at + least - 53 + _UNIT
        part = (int(high[at]) << 26) + int(low[at])
        total += part << shift if shift >= 0 else part >> -shift
    return total


def write_units(units: int) -> list[int]:
    """A sum as plain numbers for JSON: what is left of it without its zeros at the end, and how many these were."""
    zeros = (units & -units).bit_length() - 1 if units else 0
    return [units >> zeros, zeros]


def read_units(written: list[int]) -> int:
    """The sum that `write_units` wrote."""
    return int(written[0]) << int(written[1])
