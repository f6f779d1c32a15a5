"""A delivery or a column that broke is told from a season, and from what it always did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.monitoring.faults import Fault, find_faults, find_skew
from tasks.monitoring.past import PastWindow
from tasks.monitoring.profile import PHASES, describe_window
from tests.monitoring.rows import compare, draw, profile_of


def broken(change: dict[str, Any], rows: int = 2_000, drifted: tuple[str, ...] = ()) -> tuple[Fault, ...]:
    random = np.random.default_rng(4)
    window = draw(random, rows)
    for name, made in change.items():
        window[name] = made(window[name]) if callable(made) else made
    return find_faults(*compare(draw(random, 5_000), window), drifted=drifted)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"normal": np.nan}, "missing", "'normal' is missing throughout (0% in the reference)"),
        ({"five": [None, "a", "b", "c"] * 500}, "missing", "'five' is missing in 25% of rows (0% in the reference)"),
        ({"normal": 1.5}, "constant", "'normal' is the same in all 2,000 rows"),
        ({"five": lambda v: v.replace({"a": "x", "b": "y"})}, "renamed", "of 'five' 2 values are gone (70% of"),
        ({"five": lambda v: v.where(v.index % 2 == 0, "x")}, "unseen", "50% of 'five' are values that the reference"),
        ({"normal": lambda v: v.astype(str).where(v.index % 3 > 0, "n/a?")}, "type", "33% of the values of 'normal'"),
    ],
)
def test_a_broken_column_is_named(change: dict[str, Any], kind: str, said: str) -> None:
    (fault,) = broken(change)
    assert (fault.kind, fault.broken) == (kind, True)
    assert fault.clause.startswith(said)


@pytest.mark.parametrize(
    ("change", "kind", "breaks", "said"),
    [
        ({"normal": lambda v: v.where(v.index % 50 > 0)}, "missing", False, "'normal' is missing in 2.0% of rows (0%"),
        ({"normal": lambda v: v.where(v.index % 10 > 0)}, "missing", False, "'normal' is missing in 10% of rows (0%"),
        ({"normal": lambda v: v * 60}, "unit", True, "'normal' is multiplied by 60, as minutes to seconds (median"),
        ({"normal": lambda v: v / 1_000}, "unit", True, "'normal' is divided by 1,000, as units to thousands"),
        ({"normal": lambda v: -v}, "unit", True, "'normal' is of the other sign"),
        ({"normal": lambda v: (v - 32) * 5 / 9}, "unit", True, "'normal' looks turned from Fahrenheit to Celsius"),
        ({"five": lambda v: v.replace("e", "E")}, "renamed", True, "of 'five' one value ('e') is gone (5.0% of"),
        ({"five": lambda v: v.where(v.index % 20 > 0, "x")}, "unseen", False, "5.0% of 'five' are values that the"),
    ],
)
def test_the_cause_of_a_column_that_drifted(change: dict[str, Any], kind: str, breaks: bool, said: str) -> None:
    (name,) = change
    (fault,) = broken(change, drifted=(name,))
    assert (fault.kind, fault.broken, fault.column) == (kind, breaks, name)
    assert said.removesuffix("(5.0% of") in fault.clause


def test_growth_is_no_unit_and_a_sudden_factor_is() -> None:
    random = np.random.default_rng(8)
    reference, window = draw(random, 5_000), draw(random, 2_000)
    window["normal"] *= 2.54
    sides = compare(reference, window)
    grown = [PastWindow(f"w{i}", None, 2_000, {}, middles={"normal": 50 * 1.2**i}) for i in range(5)]
    assert [f.kind for f in find_faults(*sides, grown[:1], ["normal"])] == ["unit"]
    assert find_faults(*sides, grown, ["normal"]) == ()
    signed = {"signed": random.normal(0, 1, 5_000)}, {"signed": random.normal(1.1, 1, 2_000)}
    assert find_faults(*compare(*map(pd.DataFrame, signed)), drifted=["signed"]) == ()


def test_what_was_usual_may_be_all_there_is_for_a_while() -> None:
    random = np.random.default_rng(9)
    snow = pd.DataFrame({"snow": np.where(random.random(5_000) < 0.3, random.gamma(1, 1, 5_000), 0.0)})
    assert find_faults(*compare(snow, pd.DataFrame({"snow": np.zeros(2_000)}))) == ()
    assert [f.kind for f in find_faults(*compare(snow, pd.DataFrame({"snow": np.full(2_000, 7.5)})))] == ["constant"]


def test_a_population_that_moved_has_no_fault() -> None:
    for change in (
        {"normal": lambda v: v + 25},
        {"normal": lambda v: 80 + (v - 50) / 2},  # warmer and steadier, as summer is
        {"normal": lambda v: v * 1.3},
        {"lognormal": lambda v: v * 1.4},
        {"five": lambda v: v.replace({"a": "b"})},  # gone, and nothing new in its place
    ):
        assert broken(change, drifted=tuple(change)) == ()  # type: ignore[arg-type]


def test_a_column_that_was_so_before_is_not_broken() -> None:
    assert broken({"sparse": np.nan}) == ()  # 90% missing before
    assert broken({"normal": np.nan}, rows=30) == ()  # too few rows to say
    assert broken({"five": [None, *"abcdeaaaa" * 1, *"aaaaaaaaaa"] * 100}) == ()  # 5% missing
    assert broken({"rare": 0}) == ()  # 1% ones: such runs happen


def test_shares_that_moved_before_may_move_again() -> None:
    random = np.random.default_rng(5)
    window = draw(random, 2_000)
    window["normal"] = window["normal"].where(window.index % 4 > 0)
    sides = compare(draw(random, 5_000), window)
    past = [PastWindow(f"w{i}", None, 2_000, {}, {"normal": share}) for i, share in enumerate((0.0, 0.1, 0.05))]
    assert [f.kind for f in find_faults(*sides)] == ["missing"]
    assert find_faults(*sides, past) == ()


def test_a_column_that_stands_still_for_a_window_by_nature_is_not_broken() -> None:
    months = pd.DataFrame({"month": np.repeat([1, 2, 3], 3_000), "name": np.repeat(["jan", "feb", "mar"], 3_000)})
    window = pd.DataFrame({"month": np.repeat(4, 3_000), "name": np.repeat("apr", 3_000)})
    assert find_faults(*compare(months, window), drifted=("month", "name")) == ()
    batches: dict[str, Any] = {"batch": np.repeat([0, 1, 2], 3_000), "batches": ("a", "b", "c")}
    profile, counts = compare(months, window, **batches)
    assert find_faults(profile, counts, profile.past, ("month", "name")) == ()


def past_of(rows: int, gap: float = 0.0) -> list[PastWindow]:
    return [PastWindow(f"w{i}", None, rows + 10 * i, {}, gap=gap) for i in range(4)]


def test_deliveries() -> None:
    random = np.random.default_rng(6)
    reference, window = draw(random, 5_000), draw(random, 2_000)
    profile = profile_of(reference)

    def kinds(frame: pd.DataFrame, past: list[PastWindow], phases: Any = None, **facts: Any) -> list[str]:
        return [f.kind for f in find_faults(profile, profile.count(frame, phases=phases), past, **facts)]

    assert kinds(window, past_of(2_000)) == []
    assert kinds(window, past_of(5_000)) == ["volume"]
    assert kinds(window, past_of(5_000)[:1]) == []  # one window tells nothing of what is usual
    early = np.arange(2_000) * PHASES * 2 // (3 * 2_000)
    assert kinds(window, past_of(3_000), early) == ["incomplete"]
    assert kinds(window, past_of(3_000, gap=0.3), early) == []
    assert kinds(pd.concat([window, window.iloc[:1_000]]), past_of(2_000)) == ["repeated"]
    assert kinds(reference.iloc[:2_000], past_of(2_000)) == ["delivered before"]
    assert kinds(reference.iloc[:2_000], past_of(2_000), learned=True) == []
    assert kinds(window, past_of(5_000), rows=(2_100,)) == []  # it was so before: the new normal
    before = describe_window(profile, profile.count(window), "w9")
    assert "w9" in find_faults(profile, profile.count(window), [before, before])[0].clause


def test_rows_that_are_alike_by_nature_were_not_delivered_twice() -> None:
    few = pd.DataFrame({"a": [1, 2, 3, 4] * 500, "b": ["x", "y"] * 1_000})
    assert find_faults(*compare(few, few.iloc[:500])) == ()


def test_skew_names_types_ranges_and_values_that_training_never_saw() -> None:
    random = np.random.default_rng(7)
    window = draw(random, 1_000)
    window["normal"] = window["normal"].where(window.index % 10 > 0, 400.0)
    window["five"] = window["five"].where(window.index % 10 > 0, "new")
    window["rare"] = window["rare"].astype(str).where(window.index > 0, "one")
    window["zeros"] = window["zeros"].astype(str)
    found = find_skew(*compare(draw(random, 5_000), window))
    assert found["normal"].startswith("10% of values lie beyond all (98% lay in ")
    assert found["five"] == "10% are values that training never saw"
    assert found["rare"] == "arrives as text, trained as number"
    assert set(found) == {"normal", "five", "rare"}
