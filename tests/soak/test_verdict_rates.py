"""How often verdicts are wrong, in full: each cell on fresh rows, through the functions that gates use.

`-s` prints a line per cell; benchmarks/verdicts.md keeps the last table. A small sample runs in tests/stats.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest

from tests.stats.simulations import (
    COMPARED,
    CORRELATED,
    LAYOUTS,
    bound_rate,
    count_above,
    count_missed,
    count_series,
    describe_rate,
    find_power,
)

pytestmark = pytest.mark.soak
MARGIN = 0.005
MOST = 0.06  # of the upper bound of a rate that is promised to be 5%
KINDS = {"exchangeable": "plain", "equal, unlike errors": "other"}
SIMULATIONS = {1_000: 2_000, 30_000: 250}  # per metric, layout and kind


def name_seed(*parts: object) -> int:
    """Another seed for each cell, the same each time."""
    return zlib.crc32(repr(parts).encode())


@pytest.mark.parametrize("rows", SIMULATIONS)
@pytest.mark.parametrize("name", COMPARED)
def test_equal_models_are_called_better_at_most_as_often_as_promised(name: str, rows: int) -> None:
    passed, simulations = 0, 0
    for layout in LAYOUTS:
        for label, kind in KINDS.items():
            size = SIMULATIONS[rows]
            seed = name_seed("better", name, layout, kind, rows)
            count = count_above(name, LAYOUTS[layout], rows, 0.0, kind, 0.0, size, seed)
            print(f"| better | {name} | {rows:,} | {layout} | {label} | {size:,} | {describe_rate(count, size)} |")
            if rows == 1_000:
                assert bound_rate(count, size)[0] <= 0.05
            passed, simulations = passed + count, simulations + size
    print(f"| better | {name} | {rows:,} | all | all | {simulations:,} | {describe_rate(passed, simulations)} |")
    assert bound_rate(passed, simulations)[1] <= MOST


@pytest.mark.parametrize("rows", SIMULATIONS)
@pytest.mark.parametrize("name", COMPARED)
def test_a_model_worse_by_the_margin_passes_at_most_as_often_as_promised(name: str, rows: int) -> None:
    passed, simulations = 0, 0
    for layout in LAYOUTS:
        counts = []
        for kind in KINDS.values():
            seed = name_seed("not worse", name, layout, kind, rows)
            size = SIMULATIONS[rows] // 2
            counts.append(count_above(name, LAYOUTS[layout], rows, -MARGIN, kind, -MARGIN, size, seed))
        count, size = sum(counts), SIMULATIONS[rows] // 2 * len(counts)
        print(f"| not worse | {name} | {rows:,} | {layout} | both | {size:,} | {describe_rate(count, size)} |")
        passed, simulations = passed + count, simulations + size
    print(f"| not worse | {name} | {rows:,} | all | both | {simulations:,} | {describe_rate(passed, simulations)} |")
    assert bound_rate(passed, simulations)[1] <= MOST


@pytest.mark.parametrize("name", COMPARED)
def test_days_that_are_alike_are_seldom_taken_for_evidence(name: str) -> None:
    simulations = 1_000
    for label, layout in CORRELATED.items():
        seed = name_seed("alike", name, label)
        count = count_above(name, layout, 3_000, 0.0, "plain", 0.0, simulations, seed)
        blind = replace(layout, ordered=False)
        before = count_above(name, blind, 3_000, 0.0, "plain", 0.0, simulations, seed)
        rates = " | ".join(describe_rate(found, simulations) for found in (count, before))
        print(f"| alike | {name} | 3,000 | {label} | {simulations:,} | {rates} |")
        assert bound_rate(count, simulations)[0] <= 0.07
        assert count < before


@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize("alike", [0.0, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("days", [10, 30, 60, 120])
def test_the_mean_of_days_that_are_alike(days: int, alike: float, noise: float) -> None:
    simulations, seed = 4_000, name_seed("series", days, alike, noise)
    wrong, undecided = count_series(days, alike, noise, True, simulations, seed)
    before, _ = count_series(days, alike, noise, False, simulations, seed)
    rates = " | ".join(describe_rate(found, simulations) for found in (wrong, before))
    print(f"| series | {days} | {alike} | {noise:.0f} | {rates} | {undecided / simulations:.0%} |")
    assert wrong <= before + 40
    assert alike > 0.6 or bound_rate(wrong, simulations)[0] <= 0.08


@pytest.mark.parametrize("name", COMPARED)
def test_a_model_better_by_twice_the_margin_is_found(name: str) -> None:
    for rows, simulations in ((1_000, 500), (30_000, 50)):
        for layout in ("independent rows", "30 groups", "30 days"):
            seed = name_seed("power", name, layout, rows)
            found = [
                count_above(name, LAYOUTS[layout], rows, 2 * MARGIN, "plain", limit, simulations, seed)
                for limit in (0.0, -MARGIN)
            ]
            better, not_worse = (describe_rate(count, simulations) for count in found)
            print(f"| power | {name} | {rows:,} | {layout} | {simulations:,} | {better} | {not_worse} |")
            assert found[1] >= found[0] > 0


@pytest.mark.parametrize("layout", ["independent rows", "30 groups", "30 days"])
@pytest.mark.parametrize("name", COMPARED)
def test_with_the_rows_that_are_needed_the_power_is_as_said(name: str, layout: str) -> None:
    simulations, gain = 400, 0.015 if name == "log_loss" else 0.03
    needed, count = find_power(name, LAYOUTS[layout], 1_000, gain, simulations, name_seed("rows", name, layout))
    print(
        f"| 80% power | {name} {gain:+} | {layout} | {needed:,} | {simulations} | {describe_rate(count, simulations)} |"
    )
    low, high = bound_rate(count, simulations)
    assert low <= 0.87
    assert high >= 0.73


INTERVALS = {  # metric -> shifts of the model: an ordinary one, and one near the metric's limit
    "roc_auc": (1.4, 3.2),
    "average_precision": (1.4, 3.2),
    "log_loss": (0.5,),
    "mae": (1.0,),
}


@pytest.mark.parametrize("layout", [name for name, layout in LAYOUTS.items() if layout.blocks in (0, 30)])
@pytest.mark.parametrize("name", COMPARED)
def test_intervals_cover_the_truth(name: str, layout: str) -> None:
    simulations = 2_000
    for shift in INTERVALS[name]:
        seed = name_seed("cover", name, layout, shift)
        below, above, truth = count_missed(name, shift, LAYOUTS[layout], 1_000, None, simulations, seed)
        count = simulations - below - above
        rate = describe_rate(count, simulations)
        print(f"| coverage | {name} {truth:.3f} | 1,000 | {layout} | {simulations:,} | {rate} |")
        assert 0.93 <= count / simulations <= 0.97


@pytest.mark.parametrize("layout", ["independent rows", "10 groups", "30 groups", "30 days"])
@pytest.mark.parametrize("name", COMPARED)
def test_a_floor_or_ceiling_at_the_truth_is_seldom_cleared(name: str, layout: str) -> None:
    simulations = 2_000
    for shift in INTERVALS[name]:
        seed = name_seed("floor", name, layout, shift)
        below, above, truth = count_missed(name, shift, LAYOUTS[layout], 1_000, 0.95, simulations, seed)
        rates = " | ".join(describe_rate(count, simulations) for count in (below, above))
        print(f"| one bound | {name} {truth:.3f} | 1,000 | {layout} | {simulations:,} | {rates} |")
        assert max(bound_rate(count, simulations)[0] for count in (below, above)) <= 0.07
