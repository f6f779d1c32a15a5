"""Distance and chance of two samples counted in cells: by hand, beside full enumeration, and what must not matter."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom, multivariate_hypergeom

from tasks.stats.divergence import (
    Cells,
    compare_cells,
    count_draws,
    judge_unseen,
    measure_distance,
    measure_psi,
    pool_levels,
)
from tests.stats.simulations import bound_rate

SIDES = st.integers(1, 8).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(0, 60), min_size=k, max_size=k) for _ in range(2)])
)


def lay_cells(reference: list[int], window: list[int], ordered: bool = False) -> Cells:
    return Cells(np.array(reference, np.int64), np.array(window, np.int64), ordered)


def enumerate_p(reference: list[int], window: list[int]) -> float:
    """The share of all deals whose X2 is at least as large."""
    together, n = np.add(reference, window), sum(window)
    expected = together * n / together.sum()
    tables = [t for t in itertools.product(*(range(m + 1) for m in together)) if sum(t) == n]
    weights = [multivariate_hypergeom.pmf(t, together, n) for t in tables]
    statistics = [float(((np.array(t) - expected) ** 2 / expected).sum()) for t in tables]
    observed = float(((np.array(window) - expected) ** 2 / expected).sum())
    return float(sum(w for w, s in zip(weights, statistics, strict=True) if s >= observed - 1e-12))


# ---------------------------------------------------------------- distance


def test_the_index_by_hand() -> None:
    p, q = 90.5 / 101, 50.5 / 101
    by_hand = (p - q) * math.log(p / q) + (10.5 / 101 - q) * math.log(10.5 / 101 / q)
    assert measure_psi(lay_cells([90, 10], [50, 50])) == pytest.approx(by_hand)


@pytest.mark.parametrize("shares", [[0.25] * 4, [0.9, 0.04, 0.03, 0.03], [0.997, 0.001, 0.001, 0.001]])
@pytest.mark.parametrize("rows", [(1_000, 50), (50, 1_000), (1_000, 1_000), (50_000, 200)])
def test_what_is_taken_off_is_what_chance_gives(shares: list[float], rows: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    together = np.round(np.array(shares) * sum(rows)).astype(np.int64)
    dealt = rng.multivariate_hypergeometric(together, rows[1], size=3_000, method="marginals")
    cells = [Cells(together - b, b, False) for b in dealt]
    psi = np.array([measure_psi(c) for c in cells])
    left = np.array([measure_distance(c) for c in cells])
    taken = (psi - left)[left > 0]
    assert np.ptp(taken) < 1e-9, "it depends on both sides' sizes and totals only"
    assert taken[0] == pytest.approx(psi.mean(), abs=5 * psi.std() / np.sqrt(len(psi)) + 0.02 * psi.mean())


def test_a_shift_has_the_same_distance_in_small_and_large_windows() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(size=50_000)
    ends = np.quantile(reference, np.arange(1, 20) / 20)

    def count(values: np.ndarray) -> np.ndarray:
        return np.append(np.bincount(np.searchsorted(ends, values), minlength=20), 0)

    for rows, simulations in ((200, 400), (1_000, 100), (20_000, 20)):
        found = [
            measure_distance(Cells(count(reference), count(rng.normal(0.5, size=rows)), True))
            for _ in range(simulations)
        ]
        assert np.mean(found) == pytest.approx(0.25, abs=0.02), rows  # of two normals that lie d apart it is d^2


@given(SIDES, st.booleans())
def test_a_distance_is_never_below_0_nor_above_the_index(sides: tuple[list[int], list[int]], ordered: bool) -> None:
    cells = lay_cells(*sides, ordered)
    assert 0 <= measure_distance(cells) <= measure_psi(cells)
    assert measure_distance(lay_cells(sides[0], sides[0], ordered)) == 0
    swapped = lay_cells(sides[1], sides[0], ordered)
    assert measure_distance(swapped) == pytest.approx(measure_distance(cells), abs=1e-9), "neither side is first"


@given(SIDES, st.randoms(use_true_random=False))
def test_the_order_of_cells_means_nothing_to_a_distance(sides: tuple[list[int], list[int]], random: object) -> None:
    pairs = list(zip(*sides, strict=True))
    random.shuffle(pairs)  # type: ignore[attr-defined]
    shuffled = lay_cells([a for a, _ in pairs], [b for _, b in pairs])
    assert measure_distance(shuffled) == pytest.approx(measure_distance(lay_cells(*sides)), abs=1e-9)


@given(SIDES, st.booleans(), st.integers(0, 7))
@settings(max_examples=40)
def test_cells_that_are_empty_on_both_sides_change_nothing(
    sides: tuple[list[int], list[int]], ordered: bool, at: int
) -> None:
    cells = lay_cells(*sides, ordered)
    place = min(at, len(sides[0]) - 1)
    more = Cells(np.insert(cells.reference, place, 0), np.insert(cells.window, place, 0), ordered)
    assert measure_distance(more) == measure_distance(cells)
    assert compare_cells(more, 199, 1) == compare_cells(cells, 199, 1)


@pytest.mark.parametrize("ordered", [False, True])
def test_a_side_without_rows_has_no_distance(ordered: bool) -> None:
    for cells in (lay_cells([0, 0], [3, 4], ordered), lay_cells([5, 1], [0, 0], ordered), lay_cells([], [], ordered)):
        assert (measure_psi(cells), measure_distance(cells), compare_cells(cells, 199, 0)) == (0, 0, 1)
    assert compare_cells(lay_cells([5, 0], [7, 0], ordered), 199, 0) == 1, "one cell holds all"


@pytest.mark.parametrize(("reference", "window"), [([1, 2], [1]), ([-1, 2], [1, 1])])
def test_sides_that_do_not_match_are_refused(reference: list[int], window: list[int]) -> None:
    with pytest.raises(ValueError, match="cells"):
        lay_cells(reference, window)


# ---------------------------------------------------------------- chance


@pytest.mark.parametrize(
    ("reference", "window"),
    [([5, 3, 2], [1, 2, 4]), ([9, 0], [5, 3]), ([4, 4, 4], [2, 2, 2]), ([12, 1, 0, 1], [2, 0, 2, 1])],
)
def test_the_p_value_is_that_of_all_deals(reference: list[int], window: list[int]) -> None:
    exact = enumerate_p(reference, window)
    found = [compare_cells(lay_cells(reference, window), 19_999, seed) * 0.99 for seed in range(60)]
    # from 5% on those that chance makes large are left at that, and the others drawn on: a little above on the average
    assert np.mean(found) == pytest.approx(exact, abs=0.25 * exact if 0.03 < exact < 0.1 else 0.05 * exact)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("together", [[6, 5, 4, 3], [40, 1, 1, 2], [30, 30, 30, 0]])
def test_no_level_is_exceeded_where_rows_are_dealt(together: list[int], ordered: bool) -> None:
    rng = np.random.default_rng(1)
    n, simulations = 8, 1_500
    dealt = rng.multivariate_hypergeometric(together, n, size=simulations, method="marginals")
    p = np.array([compare_cells(Cells(together - b, b, ordered), 1_999, i) for i, b in enumerate(dealt)])
    for alpha in (0.3, 0.1, 0.03, 0.01):
        assert bound_rate(int((p <= alpha).sum()), simulations)[0] <= alpha, alpha


@pytest.mark.parametrize("known", [20, 60, 400])
def test_nor_where_bins_are_cut_from_the_reference(known: int) -> None:
    rng = np.random.default_rng(2)
    simulations, p = 300, []
    for i in range(simulations):
        reference = np.sort(rng.normal(size=known))
        ends = np.quantile(reference, np.arange(1, 20) / 20, method="inverted_cdf")
        a, b = (
            np.append(np.bincount(np.searchsorted(ends, v), minlength=20), m)
            for v, m in ((reference, known), (rng.normal(size=3_000), 3_000))
        )
        p.append(compare_cells(Cells(a, b, True), 1_999, i))
    for alpha in (0.3, 0.1, 0.02):
        assert bound_rate(int((np.array(p) <= alpha).sum()), simulations)[0] <= alpha, alpha


@given(SIDES, st.booleans(), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_a_p_value_is_one_and_the_same_for_a_seed(sides: tuple[list[int], list[int]], ordered: bool, seed: int) -> None:
    p = compare_cells(lay_cells(*sides, ordered), 1_999, seed)
    assert 0 < p <= 1
    assert p == compare_cells(lay_cells(*sides, ordered), 1_999, seed)


def test_what_is_too_far_for_draws_is_bounded_from_above_and_not_by_much() -> None:
    for shift in (60, 80, 150, 300):
        exact = 2 * hypergeom.sf(500 + shift - 1, 2_000, 1_000, 1_000)
        p = compare_cells(lay_cells([500 + shift, 500 - shift], [500 - shift, 500 + shift]), 19_999, 0)
        if exact < 1e-8:
            assert exact <= p <= 1_000 * exact
        assert p <= max(1_000 * exact, 1.1 / 20_000)


@pytest.mark.parametrize("ordered", [False, True])
def test_samples_beyond_what_can_be_dealt(ordered: bool) -> None:
    rng = np.random.default_rng(3)
    shares = np.append(np.full(20, 0.05 - 1e-9), 20e-9)  # some rows without a value
    p = []
    for i in range(300):
        a, b = rng.multinomial(2 * 10**9, shares), rng.multinomial(10**9, shares)
        p.append(compare_cells(Cells(a, b, ordered), 19_999, i))
    assert bound_rate(int((np.array(p) < 0.1).sum()), 300)[0] <= 0.1
    assert np.median(p) < 0.7
    b[0], b[1] = b[0] + 300_000, b[1] - 300_000
    assert compare_cells(Cells(a, b, ordered), 19_999, 0) < 1e-6


def test_a_shift_is_seen_sooner_in_ordered_cells() -> None:
    rng = np.random.default_rng(4)
    found = {True: 0, False: 0}
    for i in range(150):
        reference = rng.normal(size=5_000)
        ends = np.quantile(reference, np.arange(1, 20) / 20, method="inverted_cdf")
        a, b = (
            np.append(np.bincount(np.searchsorted(ends, v), minlength=20), 0)
            for v in (reference, rng.normal(0.2, size=300))
        )
        for ordered in found:
            found[ordered] += compare_cells(Cells(a, b, ordered), 1_999, i) <= 0.01
    assert found[True] > 1.5 * found[False]


def test_draws_for_a_family() -> None:
    assert count_draws(1, 0.5) == 199
    assert count_draws(20, 1 / 12) == 2_400
    assert count_draws(1_000, 1 / 365) == 19_999


# ---------------------------------------------------------------- levels

LEVELS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.integers(0, 50), max_size=40)


@given(LEVELS, LEVELS, st.integers(1, 10))
def test_levels_are_named_by_both_sides_counts(one: dict[str, int], other: dict[str, int], top: int) -> None:
    a, b = pool_levels(one, other, top)
    assert (a.sum(), b.sum()) == (sum(one.values()), sum(other.values()))
    assert len(a) == len(b) <= top + 1
    swapped = pool_levels(other, one, top)
    assert (swapped[0] == b).all()
    assert (swapped[1] == a).all()
    if len({*one, *other}) > top:
        assert (a + b)[:top].min(initial=10**9) >= max(
            sorted((one.get(n, 0) + other.get(n, 0) for n in {*one, *other}), reverse=True)[top:]
        )


def test_rows_with_values_never_seen_by_hand() -> None:
    seen = {"a": 60, "b": 40}
    assert judge_unseen(seen, 0, 50) == 1
    assert judge_unseen({}, 5, 50) == 1
    for rows in (1, 3, 10):  # where no level was seen once: all of them fell on the window
        assert judge_unseen(seen, rows, 50) == pytest.approx((50 / 150) ** rows)
    assert judge_unseen(seen, 30, 50) < 1e-10
    assert judge_unseen({str(i): 1 for i in range(100)}, 50, 50) > 0.3, "names that are all different"


@pytest.mark.parametrize("population", ["one rare level", "few rare levels", "zipf", "even", "names"])
@pytest.mark.parametrize("rows", [(1_000, 100), (1_000, 5_000), (200, 20_000)])
def test_values_never_seen_are_seldom_taken_for_new_ones(population: str, rows: tuple[int, int]) -> None:
    shares = {
        "one rare level": np.r_[1 - 1 / rows[0], 1 / rows[0]],
        "few rare levels": np.r_[1.0, np.full(10, 1.5 / rows[0])],
        "zipf": 1 / np.arange(1, 3_000) ** 1.2,
        "even": np.ones(rows[0] // 3),
        "names": np.ones(10**6),
    }[population]
    edges = np.cumsum(shares / shares.sum())
    rng, simulations, p = np.random.default_rng(5), 300, []
    for _ in range(simulations):
        reference, window = (np.searchsorted(edges, rng.random(n)) for n in rows)
        values, counts = np.unique(reference, return_counts=True)
        unseen = int((~np.isin(window, values)).sum())
        p.append(judge_unseen(dict(zip(map(str, values), counts.tolist(), strict=True)), unseen, rows[1]))
    for alpha in (0.3, 0.1, 0.02):
        assert bound_rate(int((np.array(p) <= alpha).sum()), simulations)[0] <= alpha, alpha
