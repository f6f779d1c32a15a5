"""How far two models lie apart: right by hand, the same however the rows are cut, and defined for no row at all."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.stats.disagreement import Disagreement, compare_classes, compare_values, say_disagreement

Array = NDArray[np.float64]
VALUES = st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2), min_size=0, max_size=60)
SHARES = st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 2), min_size=0, max_size=60)
CUTS = st.lists(st.integers(0, 60), max_size=6)


def cut(rows: int, at: list[int]) -> list[slice]:
    edges = sorted({0, rows, *(min(a, rows) for a in at)})
    return [slice(a, b) for a, b in pairwise(edges)]


def of_two(one: Array, other: Array, threshold: float = 0.5) -> Disagreement:
    both = (np.column_stack([1 - p, p]) for p in (one, other))
    return compare_classes(*both, (one >= threshold) != (other >= threshold))


def test_two_classes_by_hand() -> None:
    one, other = np.array([0.1, 0.4, 0.9, 0.6]), np.array([0.1, 0.6, 0.7, 0.2])
    found = of_two(one, other).describe()
    assert found == {"rows": 4, "decisions": 0.5, "distance": pytest.approx(0.2), "spread": None, "relative": None}
    assert say_disagreement(found) == "50.0% of decisions differ, probabilities by 0.2 on average"


def test_total_variation_of_three_classes() -> None:
    one, other = np.array([[0.5, 0.3, 0.2], [1, 0, 0]]), np.array([[0.2, 0.3, 0.5], [0, 0, 1]])
    found = compare_classes(one, other, np.array([True, True])).describe()
    assert found["distance"] == pytest.approx((0.3 + 1) / 2) and found["decisions"] == 1


def test_values_by_hand() -> None:
    found = compare_values(np.array([1.0, 3.0]), np.array([1.5, 3.0])).describe()
    assert found == {"rows": 2, "decisions": None, "distance": 0.25, "spread": 1.0, "relative": 0.25}
    assert say_disagreement(found) == "predictions differ by 0.25 on average, 25.0% of the champion's spread"


@pytest.mark.parametrize("by_class", [True, False])
def test_no_row(by_class: bool) -> None:
    nothing = np.empty((0, 2)) if by_class else np.empty(0)
    made = compare_classes(nothing, nothing, np.empty(0, bool)) if by_class else compare_values(nothing, nothing)
    assert made == Disagreement(by_class) == made.then(made)
    assert made.describe() == {"rows": 0} | dict.fromkeys(("decisions", "distance", "spread", "relative"))
    assert say_disagreement(made.describe()) == "no row was predicted by both" and say_disagreement(None) == ""


def test_a_constant_champion_has_no_spread() -> None:
    parts = [compare_values(np.full(n, 0.1), np.zeros(n)) for n in (7, 3, 11)]
    whole = parts[0].then(parts[1]).then(parts[2]).describe()
    assert whole["distance"] == pytest.approx(0.1) and whole["relative"] is None


def test_what_is_too_large_is_not_told() -> None:
    found = compare_values(np.array([1e200, -1e200]), np.zeros(2)).describe()
    assert found["distance"] == 1e200 and found["spread"] is None and found["relative"] in (None, 0.0)


def test_classes_and_values_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="cannot be added up"):
        Disagreement(True, 1).then(Disagreement(False, 1))


@given(VALUES, CUTS)
def test_values_add_up_however_they_are_cut(pairs: list[tuple[float, float]], at: list[int]) -> None:
    one, other = (np.array([p[i] for p in pairs], float) for i in (0, 1))
    total = Disagreement(False)
    for part in cut(len(pairs), at):
        total = total.then(compare_values(one[part], other[part]))
    found = total.describe()
    assert found["rows"] == len(pairs)
    if not pairs:
        return
    assert found["distance"] == pytest.approx(np.abs(one - other).mean(), rel=1e-9, abs=1e-12)
    assert found["spread"] == pytest.approx(one.std(), rel=1e-6, abs=1e-6 * max(1.0, np.abs(one).max()))
    assert found["relative"] is None or found["relative"] >= 0


@given(SHARES, CUTS, st.floats(0.05, 0.95))
def test_classes_add_up_however_they_are_cut(pairs: list[tuple[float, float]], at: list[int], where: float) -> None:
    one, other = (np.array([p[i] for p in pairs], float) for i in (0, 1))
    total = Disagreement(True)
    for part in cut(len(pairs), at):
        total = total.then(of_two(one[part], other[part], where))
    whole = of_two(one, other, where)
    assert (total.rows, total.differing) == (whole.rows, whole.differing)
    assert math.isclose(total.distance, whole.distance, rel_tol=1e-9, abs_tol=1e-12)
    assert not pairs or (0 <= total.describe()["decisions"] <= 1 and 0 <= total.describe()["distance"] <= 1 + 1e-9)
