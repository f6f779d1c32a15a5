"""How often an audit blames a model without fault, and how often it finds a fault, in full; `-s` prints each cell.

benchmarks/fairness.md keeps the last table.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.config.gates import FairnessLimit
from tasks.evaluation.fairness import MEASURES, compare_groups, list_rates
from tasks.evaluation.parts import cut_column
from tasks.stats.intervals import deal_rows
from tasks.stats.metrics import AT_HALF
from tests.stats.audit_simulations import (
    CONFIDENCE,
    EVEN,
    UNEVEN,
    People,
    Sliced,
    count_blamed,
    count_blamed_calibration,
    count_blamed_means,
    count_blamed_skewed,
    count_failed,
)
from tests.stats.simulations import bound_rate, describe_rate

pytestmark = pytest.mark.soak
MOST = 0.06  # of the upper bound of a rate that is promised to be 5%
SIMULATIONS = {1_000: 1_000, 10_000: 400}  # per cell of groups
OF_SLICES = {1_000: 600, 10_000: 150}
BASE = tuple([0.25] * 10)
ADULT = Path(__file__).resolve().parents[2] / "data" / "adult"
LIMITS = {"demographic_parity_ratio": 0.8, "demographic_parity_difference": 0.05, "equalized_odds_ratio": 0.8,
          "equalized_odds_difference": 0.05, "true_positive_rate_difference": 0.05, "calibration_difference": 0.02,
          "accuracy_difference": 0.05}  # fmt: skip


def name_seed(*parts: object) -> int:
    """Another seed for each cell, the same each time."""
    return zlib.crc32(repr(parts).encode())


def lay_people(metric: str, rate: float, kind: str) -> People:
    """Ten groups of unequal size: all alike, or half of them exactly at the limit from the others."""
    limit = LIMITS[metric]
    if kind.startswith("equal"):
        return People(tuple([rate] * 10), BASE, days=30 if "days" in kind else 0)
    other = rate * limit if MEASURES[metric].kind == "ratio" else rate - limit
    return People(tuple(max(other, 0.0) if i % 2 else rate for i in range(10)), BASE, days=30 if "days" in kind else 0)


@pytest.mark.parametrize("metric", LIMITS)
def test_a_fair_model_is_failed_over_ten_groups_at_most_as_often_as_promised(metric: str) -> None:
    blamed, simulations = 0, 0
    kinds = ["equal", "equal, days"]
    if metric not in ("calibration_difference", "accuracy_difference"):
        kinds += ["at the limit", "at the limit, days"]
    for rows, size in SIMULATIONS.items():
        for rate in (0.05, 0.3, 0.8):
            for kind in kinds:
                seed = name_seed(metric, rows, rate, kind)
                count = count_blamed(lay_people(metric, rate, kind), metric, LIMITS[metric], rows, size, seed)
                print(f"| blamed | {metric} | {rows:,} | {rate} | {kind} | {size:,} | {describe_rate(count, size)} |")
                assert bound_rate(count, size)[0] <= 0.05
                blamed, simulations = blamed + count, simulations + size
    print(f"| blamed | {metric} | all | all | all | {simulations:,} | {describe_rate(blamed, simulations)} |")
    assert bound_rate(blamed, simulations)[1] <= MOST


@pytest.mark.parametrize("heavy", [False, True])
def test_so_it_is_for_the_errors_of_a_regression(heavy: bool) -> None:
    blamed = sum(count_blamed_means(rows, 0.1, 0.1, heavy, 1_000, name_seed(rows, heavy)) for rows in SIMULATIONS)
    print(
        f"| blamed | mean_error_difference{', heavy tails' if heavy else ''} | 2,000 | {describe_rate(blamed, 2_000)} |"
    )
    assert bound_rate(blamed, 2_000)[1] <= MOST


@pytest.mark.parametrize("sure", [1.0, 2.0, 4.0, 10.0])
def test_so_it_is_for_a_model_that_is_too_sure_of_all_alike(sure: float) -> None:
    for groups, rows, limit in ((2, 2_000, 0.01), (5, 5_000, 0.02)):
        seed = name_seed("sure", sure, groups)
        count = count_blamed_calibration(rows, groups, sure, limit, 1_000, seed)
        print(f"| sure | {sure:g} | {groups} | {rows:,} | {describe_rate(count, 1_000)} |")
        assert bound_rate(count, 1_000)[1] <= MOST


@pytest.mark.parametrize("sizes", [(60, 5_000), (5_000, 60), (300, 5_000), (5_000, 300)])
def test_so_it_is_for_skewed_errors_of_unequal_groups(sizes: tuple[int, int]) -> None:
    count = count_blamed_skewed(sizes, 1_000, name_seed("skewed", sizes))
    print(f"| skewed | {sizes[0]:,} | {sizes[1]:,} | {describe_rate(count, 1_000)} |")
    assert bound_rate(count, 1_000)[1] <= MOST


@pytest.mark.parametrize("metric", ["roc_auc", "mae"])
def test_slices_at_the_limit_are_failed_at_most_as_often_as_promised(metric: str) -> None:
    failed, simulations = 0, 0
    for rows, size in OF_SLICES.items():
        for days in (0, 30):
            for label, sliced, limit in (
                ("worse than the champion by the limit", Sliced(metric, 0.05, days=days), 0.05),
                ("as good as the champion", Sliced(metric, 0.0, days=days), 0.05),
                ("as good as all rows, no loss allowed", Sliced(metric, 0.0, rival=False, days=days), 0.0),
            ):
                seed = name_seed("slices", metric, rows, days, label)
                count, _ = count_failed(sliced, limit, rows, size, seed)
                rate = describe_rate(count, size)
                print(f"| slices | {metric} | {rows:,} | {'30 days' if days else 'rows'} | {label} | {size} | {rate} |")
                failed, simulations = failed + count, simulations + size
    print(f"| slices | {metric} | all | all | all | {simulations:,} | {describe_rate(failed, simulations)} |")
    assert bound_rate(failed, simulations)[1] <= MOST


def test_the_power_for_a_slice_that_is_worse_by_twice_the_limit() -> None:
    for rows, of_slice in ((1_000, 100), (5_000, 500), (20_000, 2_000)):
        for metric in ("roc_auc", "mae"):
            for rival in (True, False):
                sliced = Sliced(metric, 0.1, 1, rival, EVEN)
                _, found = count_failed(sliced, 0.05, rows, 200, name_seed("power", rows, metric, rival))
                against = "champion" if rival else "all rows"
                print(f"| power | {metric} | {of_slice} of {rows:,} | {against} | 200 | {describe_rate(found, 200)} |")
    for rows in (1_000, 5_000, 20_000):
        people = People((0.15, *[0.25] * 9), BASE, shares=UNEVEN[::-1] if rows > 5_000 else EVEN)
        found = count_blamed(people, "demographic_parity_ratio", 0.8, rows, 200, name_seed("power", rows))
        print(
            f"| power | a ratio of .6 where .8 is asked | {rows:,} | ten groups | 200 | {describe_rate(found, 200)} |"
        )


def test_the_gap_on_the_census_is_found_each_time() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    learn, judge = (pd.read_parquet(ADULT / f"{n}.parquet") for n in ("1-train", "2-test"))
    numbers = ["age", "education_num", "capital_gain", "capital_loss", "hours_per_week"]
    model = HistGradientBoostingClassifier(max_iter=50, random_state=0).fit(learn[numbers], learn["over_50k"])
    probability = model.predict_proba(judge[numbers])[:, 1]
    y, sex = judge["over_50k"].to_numpy().astype(np.int64), judge["sex"]
    parts = cut_column(sex, "sex", 4)
    limit = FairnessLimit(by=("sex",), metric="demographic_parity_ratio", min=0.8)
    rng, found = np.random.default_rng(0), 0
    for _ in range(100):
        drawn = rng.integers(0, len(y), 6_500)  # as many as the example's own test rows
        rates = list_rates(y[drawn], probability[drawn], AT_HALF, "binary")
        masks = [p.find(pd.DataFrame({"sex": sex.to_numpy()[drawn]})) for p in parts]
        blocks = deal_rows(len(drawn), 0)
        _, holm = compare_groups(rates, [limit], {("sex",): (parts, masks)}, blocks, CONFIDENCE)
        found += bool(holm.failed.any())
    print(f"| found | the census, ratio by sex | 6,500 | {found} of 100 |")
    assert found == 100
