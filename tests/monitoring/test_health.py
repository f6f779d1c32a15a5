"""The verdict on a window: which state wins, what it says, and what it asks for."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tasks.monitoring.drift import ColumnDrift
from tasks.monitoring.faults import Fault
from tasks.monitoring.health import Health, judge, show
from tasks.monitoring.performance import Performance
from tasks.results import MetricValue

STILL = ColumnDrift(0.01, 1.0, False)
MOVED = ColumnDrift(3.57, 0.001, True)


def metric(value: float, low: float, high: float, name: str = "average_precision", larger: bool = True) -> MetricValue:
    return MetricValue(name, value, low, high, 0.95, larger, "jackknife over 30 days")


def performed(value: MetricValue, doubt: str = "", positives: float | None = 0.2) -> Performance:
    return Performance(24_561, (value,), doubt, positives)


def verdict(**changes: Any) -> Health:
    arguments: dict[str, Any] = {
        "rows": 25_000,
        "refused": None,
        "faults": (),
        "performance": performed(metric(0.43, 0.41, 0.45)),
        "promised": metric(0.44, 0.42, 0.46),
        "target": "late",
        "reference_positives": 0.2,
        "drifts": {"temp": STILL, "hour": STILL},
        "prediction_drift": STILL,
    }
    return judge(**(arguments | changes))


def test_healthy() -> None:
    assert verdict() == Health(
        "healthy",
        "average precision .430 [.410, .450] on 24,561 labelled rows; promised .440 [.420, .460]; "
        "none of 2 columns drifted",
        "none",
    )


def test_degraded_names_its_numbers() -> None:
    found = verdict(performance=performed(metric(0.39, 0.37, 0.41)))
    assert found == Health(
        "degraded",
        "average precision .390 [.370, .410] on 24,561 labelled rows; promised .440 [.420, .460]",
        "retrain",
    )


def test_a_change_of_the_base_rate_stands_beside_it() -> None:
    found = verdict(performance=performed(metric(0.39, 0.37, 0.41), positives=0.13))
    assert found.sentence.endswith("; 13% of labels are positive here, 20% in the reference")


def test_smaller_is_better_turns_the_interval_round() -> None:
    promised = metric(0.30, 0.29, 0.31, "log_loss", larger=False)
    worse = performed(metric(0.40, 0.38, 0.42, "log_loss", larger=False))
    better = performed(metric(0.20, 0.18, 0.22, "log_loss", larger=False))
    assert verdict(promised=promised, performance=worse).state == "degraded"
    assert verdict(promised=promised, performance=better).state == "healthy"


@pytest.mark.parametrize(
    "performance",
    [
        performed(metric(0.1, 0.05, 0.15), doubt="90 labels are known, fewer than 200 say too little"),
        performed(metric(0.1, math.nan, math.nan)),
        performed(metric(0.1, 0.05, 0.15, name="roc_auc")),
        Performance(0, (), "no label is known yet"),
        None,
    ],
)
def test_what_is_not_known_is_no_reason_to_retrain(performance: Performance | None) -> None:
    assert verdict(performance=performance).state == "healthy"


def test_a_promise_without_an_interval_cannot_be_broken() -> None:
    found = verdict(promised=metric(0.44, math.nan, math.nan), performance=performed(metric(0.1, 0.05, 0.15)))
    assert found.state == "healthy"
    assert "promised .440;" in found.sentence


def test_a_season_makes_a_window_drifting_and_no_more() -> None:
    found = verdict(drifts={"temp": MOVED, "hour": STILL}, performance=Performance(0, (), "no label is known yet"))
    assert found == Health(
        "drifting",
        "1 of 2 columns drifted: 'temp' (PSI 3.57); no label is known yet; no rate of false alarms is promised yet",
        "watch",
    )


def test_many_columns_are_named_by_the_furthest() -> None:
    drifts = {f"c{i}": ColumnDrift(float(i), 0.001, True) for i in range(1, 7)}
    found = verdict(drifts=drifts, prediction_drift=MOVED)
    assert found.sentence.startswith(
        "6 of 6 columns drifted: 'c6' (PSI 6.00), 'c5' (PSI 5.00), 'c4' (PSI 4.00) and 3 further columns; "
        "the predictions drifted (PSI 3.57); "
    )


def test_predictions_alone() -> None:
    found = verdict(prediction_drift=MOVED)
    assert found.state == "drifting"
    assert found.sentence.startswith("the predictions drifted (PSI 3.57); ")


def test_broken_wins_over_all() -> None:
    bad = performed(metric(0.1, 0.05, 0.15))
    faults = tuple(Fault(c, "missing", f"{c!r} is missing throughout (0% in the reference)") for c in "abcd")
    assert verdict(faults=faults, performance=bad) == Health(
        "broken",
        "'a' is missing throughout (0% in the reference), 'b' is missing throughout (0% in the reference), "
        "'c' is missing throughout (0% in the reference) and 1 further broken column",
        "fix upstream",
    )
    assert verdict(refused="4% of rows break a rule; at most 2% may.", faults=faults) == Health(
        "broken", "the contract refused the batch: 4% of rows break a rule; at most 2% may", "fix upstream"
    )
    assert verdict(rows=0, drifts=None).state == "broken"


def test_without_a_champion_there_is_nothing_to_compare() -> None:
    found = verdict(drifts=None, prediction_drift=None, performance=None, promised=None, reference_positives=None)
    assert (found.state, found.action) == ("healthy", "none")
    assert "no model is released yet" in found.sentence


def test_numbers_in_a_sentence() -> None:
    assert [show(v) for v in (0.4123, -0.031, 1.25, 12.345, 2_310.4, 0.9999, -0.0001, 0, 4.25e-7, 3e15)] == [
        ".412", "-.031", "1.25", "12.35", "2,310", "1.000", "-0.0001", ".000", "4.25e-07", "3e+15",
    ]  # fmt: skip


def test_a_smaller_value_is_the_better_one_for_some_metrics() -> None:
    promised = metric(40_200, 38_000, 42_400, "mae", larger=False)
    worse = verdict(performance=performed(metric(51_000, 47_000, 55_000, "mae", larger=False), positives=None),
                    promised=promised, reference_positives=None)  # fmt: skip
    assert worse == Health(
        "degraded", "MAE 51,000 [47,000, 55,000] on 24,561 labelled rows; promised 40,200 [38,000, 42,400]", "retrain"
    )
    better = verdict(performance=performed(metric(30_000, 28_000, 32_000, "mae", larger=False)), promised=promised)
    assert better.state == "healthy"


@pytest.mark.parametrize(("strange", "state", "action"), [(10, "healthy", "none"), (60, "drifting", "watch"),
                                                          (1_200, "broken", "fix upstream")])  # fmt: skip
def test_labels_that_the_model_does_not_know(strange: int, state: str, action: str) -> None:
    performance = Performance(
        1_000 if strange > 60 else 2_000, (metric(0.43, 0.41, 0.45),), "", 0.2, strange, ("'owl'",)
    )
    found = verdict(performance=performance)
    assert (found.state, found.action) == (state, action)
    assert "of the labels in 'late' are none that the model knows: 'owl'" in found.sentence
