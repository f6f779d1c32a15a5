"""How far two samples lie apart, counted in cells, and whether chance explains it: both samples' errors count.

The null deals all rows anew onto the two sides. It is exact for cells that were fixed beforehand, however sparse they
are, and for levels that were chosen by the counts of both sides together. Bins that were cut from the reference itself
are another matter where they hold few of its rows and the window is large: their ends are its rows, and the population
between two of them is a spacing. Ordered cells are held to both laws. Rows are taken for independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import chi2, nbinom

TOP_LEVELS = 30
FIRST_DRAWS = 199
MOST_DRAWS = 19_999
ENOUGH = 10  # draws that went as far as the rows did: more of them would only tell a large p-value more exactly
NO_ALARM = 0.5  # p-values above this are not made any more exact: no family is tested at a larger level
DEALT_BELOW = 10**9  # rows; the generator's limit
FULL = 1_000  # rows expected in a cell from which on the chi-square law is taken for exact, beyond that limit
_OF_BOUND = 0.01  # of the error is the bound's, the rest the draws'
_LEAST = -690.0  # a p-value's logarithm: smaller ones would be 0 as a float
_FEW = 30  # rows expected in a cell, below which their law is summed and not approximated
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """Rows per cell of two samples, each (cells,). Cells that are empty on both sides change nothing.

    `ordered`: the bins of a number in their order, and then the missing values as the last cell, there even if empty.
    Of unordered cells the order means nothing. ValueError where the sides do not match or a count is negative.
    """

    reference: Counts
    window: Counts
    ordered: bool

    def __post_init__(self) -> None:
        if self.reference.shape != self.window.shape or self.reference.ndim != 1:
            raise ValueError(f"cells: sides of one length expected, found {self.reference.shape}, {self.window.shape}")
        if (self.reference < 0).any() or (self.window < 0).any():
            raise ValueError("cells: a count is negative")

    @property
    def rows(self) -> tuple[int, int]:
        """Rows of the reference and of the window."""
        return int(self.reference.sum()), int(self.window.sum())


def pool_levels(
    reference: Mapping[str, int], window: Mapping[str, int], top: int = TOP_LEVELS
) -> tuple[Counts, Counts]:
    """Both sides' rows per level, at most `top` of them by themselves and the others as the last cell.

    The levels are named by their count on *both* sides together: chosen by the reference alone, the pooled cell would
    be too empty there by selection. Missing values are left to the caller.
    """
    names = sorted({*reference, *window})
    both = np.array([[side.get(n, 0) for n in names] for side in (reference, window)], np.int64).reshape(2, len(names))
    order = np.argsort(-both.sum(axis=0), kind="stable")
    rest = both[:, order[top:]].sum(axis=1, keepdims=True)
    a, b = np.hstack([both[:, order[:top]], rest]) if len(names) > top else both[:, order]
    return a, b


# ---------------------------------------------------------------- distance


def measure_psi(cells: Cells) -> float:
    """Population stability index, half a row added to each cell that is not empty; 0 where a side has no rows."""
    a, b = _fill(cells)
    return float(_terms(a, b, int(a.sum()), int(b.sum()), len(a)).sum()) if a.any() and b.any() else 0.0


def measure_distance(cells: Cells) -> float:
    """The stability index less what is expected of it where all rows are dealt onto the two sides; never below 0.

    To first order that is (k - 1)(1/n + 1/N) for k cells; of sparse cells it is summed from their hypergeometric law.
    So windows of different size compare. 0 where a side has no rows.
    """
    a, b = _fill(cells)
    return max(0.0, measure_psi(cells) - _expect_psi(a, b)) if a.any() and b.any() else 0.0


def _fill(cells: Cells) -> tuple[Counts, Counts]:
    filled = cells.reference + cells.window > 0
    return cells.reference[filled], cells.window[filled]


def _terms(
    a: NDArray[np.int64] | Floats, b: NDArray[np.int64] | Floats, reference: int, window: int, cells: int
) -> Floats:
    p = (a + 0.5) / (reference + 0.5 * cells)
    q = (b + 0.5) / (window + 0.5 * cells)
    return np.asarray((p - q) * np.log(p / q), np.float64)


def _expect_psi(a: Counts, b: Counts) -> float:
    """A cell's term depends on its own rows alone, so that the law of one cell, given its total, is enough."""
    reference, window = int(a.sum()), int(b.sum())
    rows, cells, together = reference + window, len(a), a + b
    share = together / rows
    sparse = share * min(reference, window) < _FEW
    # second order of a Taylor series, with the sides' finite correction
    expected = float((1 - share[~sparse]).sum()) * (1 / reference + 1 / window) * rows / max(rows - 1, 1)
    if not sparse.any():
        return expected
    totals = together[sparse][:, None]
    fewer = min(reference, window)  # rows of the smaller side, whose counts are walked through
    least = np.maximum(0, totals - (rows - fewer))
    most = np.minimum(totals, fewer)
    mean = totals * (fewer / rows)
    reach = 8 * np.sqrt(mean) + 20
    low = np.maximum(least, np.floor(mean - reach).astype(np.int64))
    high = np.minimum(most, np.ceil(mean + reach).astype(np.int64))
    x = low + np.arange(int((high - low).max()) + 1)
    inside = x <= high
    x = np.minimum(x, high)
    weight = gammaln(x + 1.0) + gammaln(totals - x + 1.0)
    weight += gammaln(fewer - x + 1.0) + gammaln(rows - fewer - totals + x + 1.0)
    weight = np.where(inside, np.exp(weight.min(axis=1, keepdims=True) - weight), 0.0)
    sides = (x, totals - x) if fewer == reference else (totals - x, x)
    terms = _terms(*sides, reference, window, cells)
    return expected + float(((terms * weight).sum(axis=1) / weight.sum(axis=1)).sum())


# ---------------------------------------------------------------- chance


def count_draws(tests: int, alpha: float) -> int:
    """The most draws that each of a family of `tests` needs at `alpha`: 10 times the family over alpha, up to 19,999.

    Smaller p-values come from a bound without draws, so that no family is too large to be decided.
    """
    return int(min(MOST_DRAWS, max(FIRST_DRAWS, math.ceil(10 * max(tests, 1) / alpha))))


def compare_cells(cells: Cells, most_draws: int, seed: int) -> float:
    """The p-value that both sides are samples of one population; 1 where a side is empty or one cell holds all.

    Rows are dealt anew onto the sides (multivariate hypergeometric). Unordered cells are compared by X2. Ordered ones
    by the smallest p-value of X2, of Anderson and Darling's statistic over the known values, which sees shifts, and
    of the missing values; its own law is taken from the same draws (Westfall and Young). The larger p-value counts of
    this law and that of bins cut from the reference (Dirichlet and multinomial). There are few draws first, and more
    while few of them go as far as the rows did (Besag and Clifford 1991), `most_draws` at most. What is too far for
    that is bounded by exact tails of single cells and of the rows below a cut. Valid at every level up to one half.
    """
    a, b = _fill(cells)
    reference, window = int(a.sum()), int(b.sum())
    if not reference or not window or len(a) < 2:
        return 1.0
    known = len(a) - int(cells.reference[-1] + cells.window[-1] > 0) if cells.ordered else 0
    bound = _bound_tails(a, b, known) / _OF_BOUND
    if bound * (most_draws + 1) <= 1:
        return bound
    if reference + window >= DEALT_BELOW:
        rest = _take_law(a, b)
    else:
        random = np.random.default_rng(seed)
        rest = _draw(_Dealt(a, b, known, random), b, most_draws)
        if known and rest <= NO_ALARM and _matter_cuts(a[:known], window / (reference + window)):
            rest = max(rest, _draw(_Spaced(a, b, known, random), b, most_draws))
    return min(1.0, bound, rest / (1 - _OF_BOUND))


@dataclass(frozen=True)
class _Dealt:
    """The law of cells that were fixed beforehand: all rows dealt onto the two sides."""

    a: Counts
    b: Counts
    known: int  # how many of the cells are bins in order; 0 where there is none
    random: np.random.Generator

    def draw(self, size: int) -> Counts:
        together = self.a + self.b
        drawn: Counts = self.random.multivariate_hypergeometric(together, int(self.b.sum()), size, method="marginals")
        return drawn

    def measure(self, windows: Counts) -> Floats:
        return _measure((self.a + self.b)[None, :], windows, self.known)


@dataclass(frozen=True)
class _Spaced(_Dealt):
    """The law of bins whose ends are rows of the reference: the population's shares are sums of its spacings.

    With A rows up to each end these are Dirichlet(A); the last bin is open, and has one spacing more. Missing rows, and
    values that many rows have, are no spacings: of these the law is right to first order, and dealing is exact.
    """

    def draw(self, size: int) -> Counts:
        weight = np.maximum(self.a, 0.5)
        weight[self.known - 1] += 1
        drawn: Counts = self.random.multinomial(int(self.b.sum()), self.random.dirichlet(weight, size))
        return drawn

    def measure(self, windows: Counts) -> Floats:
        return _measure(self.a + windows, windows, self.known)


def _matter_cuts(reference: Counts, share: float) -> bool:
    """Whether X2 is moved by more than a hundredth of its deviation where bins are cut from these rows; `share`: the
    window's of all rows. A bin's term is on the average larger by one over its rows."""
    return math.sqrt(len(reference) / 2) / max(int(reference.min()), 0.5) * share**2 > 0.01


def _draw(law: _Dealt, b: Counts, most_draws: int) -> float:
    """The p-value of a window (cells,) by draws.

    A stage's p-value is given where it is large, else that of all draws up to the next stage. That is valid: a p-value
    below what ends the stages before can only come from the last stage, and one above it is bounded by theirs.
    """
    statistics = law.measure(b[None, :])
    draws = 0
    while True:
        more = min(most_draws, 10 * (draws + 1) - 1 if draws else FIRST_DRAWS) - draws
        statistics = np.hstack([statistics, law.measure(law.draw(more))])
        draws += more
        reached = _count_reaching(statistics)
        if reached > ENOUGH or draws >= most_draws:
            return reached / (draws + 1)


def _measure(together: Counts, windows: Counts, known: int) -> Floats:
    """Statistics of windows (draws, cells), as (statistics, draws): X2, and of ordered cells two more.

    `together` (draws, cells) holds both sides' rows, or (1, cells) where they are the same for all.
    """
    window, rows = int(windows[0].sum()), int(together[0].sum())
    expected = together * (window / rows)
    found = [((windows - expected) ** 2 / np.maximum(expected, 1e-300)).sum(axis=1)]
    if known > 2:
        total = np.cumsum(together[:, :known], axis=1)
        below = np.cumsum(windows[:, :known], axis=1)
        all_known, of_window = total[:, -1:], below[:, -1:]
        share = total[:, :-1] / np.maximum(all_known, 1)
        mass = (together[:, : known - 1] + together[:, 1:known]) / np.maximum(all_known, 1)
        apart = below[:, :-1] / np.maximum(of_window, 1)
        apart -= (total[:, :-1] - below[:, :-1]) / np.maximum(all_known - of_window, 1)
        scale = of_window * (1 - of_window / np.maximum(all_known, 1))  # 0 where a side has no known value
        weight = scale * mass / np.maximum(share * (1 - share), 1e-12)
        found.append((apart**2 * weight).sum(axis=1))
    if 0 < known < together.shape[1]:
        found.append(np.abs(windows[:, -1] - expected[:, -1]))
    return np.array(found)


def _count_reaching(statistics: Floats) -> int:
    """How many columns of (statistics, 1 + draws) are at least as extreme as the first one, itself counted."""
    reached = [len(s) - np.searchsorted(np.sort(s), s, side="left") for s in statistics]
    smallest = np.min(reached, axis=0)
    return int(np.sum(smallest <= smallest[0]))


def _bound_tails(a: Counts, b: Counts, known: int) -> float:
    """An upper bound of the p-value: each cell, and each cut of ordered cells, by its hypergeometric tail; Bonferroni.

    A tail is at most its first term times a geometric series, for the ratio of terms falls. A bin whose end is a row of
    the reference holds that row for certain: of ordered cells it is left out where that makes the window's rows less of
    a surprise, and the tail is exact for such bins too.
    """
    inside, total = b, a + b
    if known > 2:
        inside = np.r_[inside, np.cumsum(b[:known])[1:-1]]
        total = np.r_[total, np.cumsum(a[:known] + b[:known])[1:-1]]
    reference, window = float(a.sum()), float(b.sum())
    x, m = inside.astype(np.float64), total.astype(np.float64)
    swapped = x < m * window / (reference + window)
    m -= (known > 0) & ~swapped & (m > x)
    x = np.where(swapped, m - x, x)  # the side that has more than its share
    n = np.where(swapped, reference, window)
    other = reference + window - n
    term = _log_choose(m, x) + _log_choose(reference + window - m, n - x) - _log_choose(reference + window, n)
    ratio = (m - x) * (n - x) / ((x + 1) * (other - m + x + 1))
    with np.errstate(divide="ignore"):
        tail = np.where(ratio < 1, term - np.log1p(-np.minimum(ratio, 1)), 0.0)
    return min(1.0, 2 * len(m) * math.exp(min(0.0, max(_LEAST, float(tail.min())))))


def _log_choose(n: Floats | float, k: Floats) -> Floats:
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0), np.float64)


def _take_law(a: Counts, b: Counts) -> float:
    """X2 by its law, for samples too large to be dealt; sparse cells are pooled by both sides' count."""
    together, smaller = a + b, min(a.sum(), b.sum())
    full = together * (smaller / together.sum()) >= FULL
    total, inside = together[full], b[full]
    if not full.all():
        total, inside = np.append(total, together[~full].sum()), np.append(inside, b[~full].sum())
    expected = total * (b.sum() / together.sum())
    distance = ((inside - expected) ** 2 / expected / (1 - b.sum() / together.sum())).sum()
    return float(chi2.sf(distance, len(total) - 1)) if len(total) > 1 else 1.0


def judge_unseen(reference_levels: Mapping[str, int], unseen_rows: int, window_known: int) -> float:
    """The p-value that so many of `window_known` rows have values that the reference never held; 1 for none.

    The population's mass of such values is estimated by the levels seen once over the reference's rows (Good 1953),
    with a variance of (levels seen once + 2 levels seen twice) over the rows squared (Esty 1983). Given that mass the
    count is taken for Poisson, and the mass for gamma: negative binomial together, larger tails than the rows have.
    """
    rows = sum(reference_levels.values())
    if unseen_rows <= 0 or not rows or window_known <= 0:
        return 1.0
    counts = np.fromiter(reference_levels.values(), np.int64, len(reference_levels))
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    mean, variance = once + 1, once + 2 * twice + 1  # of the mass, in rows of the reference; one more for caution
    scale = variance / mean * window_known / rows
    return float(nbinom.sf(unseen_rows - 1, mean**2 / variance, 1 / (1 + scale)))
