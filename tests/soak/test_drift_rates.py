"""How often a window is an alarm although nothing drifted, in full; `-s` prints each cell.

Each replication draws its reference anew. A promise fails only where it lies below the 99.9% interval of the rate.
benchmarks/drift.md keeps the last table.
"""

from __future__ import annotations

import zlib

import pytest

from tests.stats.drift_simulations import DIFFERING, PLACES, bound_far, count_alarms, count_differing
from tests.stats.simulations import describe_rate

pytestmark = pytest.mark.soak
WINDOWS = (50, 200, 1_000, 5_000, 50_000)
REPLICATIONS = {
    (1_000, 5): 1_500,
    (1_000, 20): 400,
    (1_000, 200): 40,
    (50_000, 5): 1_000,
    (50_000, 20): 250,
    (50_000, 200): 25,
}  # of rows in the reference, and columns
UNLIKE = PLACES[1], PLACES[3]
MONTHLY, DAILY = 1 / 12, 1 / 365


def name_seed(*parts: object) -> int:
    """Another seed for each cell, the same each time."""
    return zlib.crc32(repr(parts).encode())


@pytest.mark.parametrize(("reference", "columns"), REPLICATIONS)
def test_nothing_drifted(reference: int, columns: int) -> None:
    size = REPLICATIONS[reference, columns]
    found = count_alarms(columns, reference, WINDOWS, MONTHLY, size, name_seed("nothing", reference, columns))
    rates = " | ".join(describe_rate(count, size) for count in found)
    print(f"| nothing drifted | {reference:,} | {columns} | {size:,} | {rates} |", flush=True)
    assert max(bound_far(count, size) for count in found) <= MONTHLY


def test_nothing_drifted_in_many_days() -> None:
    size, windows = 20_000, (200, 5_000)
    found = count_alarms(5, 1_000, windows, DAILY, size, name_seed("days"))
    for rows, count in zip(windows, found, strict=True):
        rate = f"{100 * count / size:.2f}%, promised {100 * DAILY:.2f}%"
        print(f"| days | 1,000 | 5 | {rows:,} | {size:,} | {count} | {rate} |", flush=True)
        assert bound_far(count, size) <= DAILY


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", DIFFERING)
def test_windows_that_differ_by_nature(how: str, place: str) -> None:
    size = 400
    for past in (6, 12) if place == "both" else (3, 6, 12):
        seed = name_seed("differing", how, past, place)
        alarms, significant = count_differing(how, past, 6, 1_000, MONTHLY, place, size, seed)
        promised = max(MONTHLY, 1 / (past + 1))
        rates = f"{describe_rate(alarms, size)} | {100 * promised:.1f}% | {describe_rate(significant, size)}"
        print(f"| differing | {how} | {place} | {past} | {size:,} | {rates} |", flush=True)
        # nothing is promised where the order matters, nor where windows are not treated alike
        if how != "each alike the one before" and place not in UNLIKE:
            assert bound_far(alarms, size) <= promised
