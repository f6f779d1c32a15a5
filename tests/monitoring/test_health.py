"""The verdict on a window: which state wins, what it says, and what it asks for."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from tasks.monitoring.calibration import Bias
from tasks.monitoring.drift import ColumnDrift, Drift
from tasks.monitoring.faults import Fault
from tasks.monitoring.health import Findings, Health, judge, show
from tasks.monitoring.performance import Performance
from tasks.monitoring.profile import LABEL, PREDICTION
from tasks.results import MetricValue
from tasks.stats.alarms import Budget, Promise

STILL = ColumnDrift(0.01, 1.0, False, False)
MOVED = ColumnDrift(3.57, 0.001, True, True)
LEARNING = Promise(Budget(1, "year"), 1 / 12, 3)


def metric(value: float, low: float, high: float, name: str = "average_precision", larger: bool = True) -> MetricValue:
    return MetricValue(name, value, low, high, 0.95, larger, "jackknife over 30 days")


def performed(value: MetricValue, doubt: str = "", positives: float | None = 0.2) -> Performance:
    return Performance(24_561, (value,), doubt, positives)


def moved(signal: Any = "alarm", **watched: ColumnDrift) -> Drift:
    since = {"alarm": "2013-05", "continues": "2013-03"}.get(signal)
    return Drift({"temp": STILL, "hour": STILL, **watched}, signal, since, LEARNING)


def verdict(**changes: Any) -> Health:
    arguments: dict[str, Any] = {
        "rows": 25_000,
        "performance": performed(metric(0.43, 0.41, 0.45)),
        "promised": metric(0.44, 0.42, 0.46),
        "target": "late",
        "reference_positives": 0.2,
        "drift": moved("none"),
    }
    return judge(Findings(**(arguments | changes)))


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
        "performance",
        True,
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


def test_a_single_day_is_degraded_where_the_days_before_were_as_bad() -> None:
    bad = dataclasses.replace(performed(metric(0.3, 0.25, 0.35)), single=True)
    for before, state in (((), "healthy"), ((0.3,), "healthy"), ((0.3, 0.5), "healthy"), ((0.3, 0.31), "degraded")):
        assert verdict(performance=bad, before=before).state == state


def test_a_promise_without_an_interval_cannot_be_broken() -> None:
    found = verdict(promised=metric(0.44, math.nan, math.nan), performance=performed(metric(0.1, 0.05, 0.15)))
    assert found.state == "healthy"
    assert "promised .440;" in found.sentence


def test_a_season_makes_a_window_drifting_and_no_more() -> None:
    found = verdict(drift=moved(temp=MOVED), performance=Performance(0, (), "no label is known yet"))
    assert found == Health(
        "drifting",
        "1 of 2 columns drifted: 'temp' (PSI 3.57); no label is known yet; learning: up to 1 window in 4 may alarm "
        "falsely",
        "watch",
        "drift since 2013-05",
        True,
        ("temp",),
    )


def test_a_drift_that_goes_on_is_no_news() -> None:
    found = verdict(drift=moved("continues", temp=MOVED))
    assert (found.state, found.alarm, found.cause) == ("drifting", False, "drift since 2013-03")
    assert found.sentence.startswith("since 2013-03: 1 of 2 columns drifted: 'temp' (PSI 3.57); ")


def test_what_differs_no_more_than_windows_do_is_said_and_no_alarm() -> None:
    found = verdict(drift=moved("none", temp=ColumnDrift(0.5, 0.001, True, False)))
    assert (found.state, found.action) == ("healthy", "none")
    assert found.sentence.endswith("; 1 of 2 columns differ ('temp'), and do not stand out among past windows")
    waiting = verdict(drift=moved("signal", temp=MOVED))
    assert waiting.state == "healthy" and waiting.sentence.endswith("differ, in too few windows to be an alarm")


def test_columns_are_ranked_by_what_their_move_may_do() -> None:
    drifts = {f"c{i}": ColumnDrift(float(i), 0.001, True, True) for i in range(1, 7)}
    drift = Drift({**drifts, PREDICTION: MOVED, LABEL: MOVED}, "alarm", "x", LEARNING)
    found = verdict(drift=drift, importance={"c1": 0.2, "c5": 0.01, "c6": -0.1})
    assert found.sentence.startswith(
        "6 of 6 columns drifted: 'c1' (PSI 1.00), 'c5' (PSI 5.00), 'c6' (PSI 6.00) and 3 further columns; "
        "the predictions drifted (PSI 3.57); the labels drifted (PSI 3.57); "
    )
    assert found.drifted == ("c1", "c5", "c6", "c4", "c3", "c2")


def test_where_a_drift_sits() -> None:
    watched = {"temp": MOVED, "hour": STILL, "origin=JFK: temp": ColumnDrift(9.0, 0.001, True, True),
               "origin=EWR: temp": ColumnDrift(0.1, 0.001, True, True)}  # fmt: skip
    within = frozenset(("origin=JFK: temp", "origin=EWR: temp"))
    assert (
        "'temp' (PSI 3.57), 'temp' most in origin=JFK;"
        in verdict(drift=Drift(watched, "alarm", "x", LEARNING, within)).sentence
    )
    watched["temp"] = STILL
    only = verdict(drift=Drift(watched, "alarm", "x", LEARNING, within))
    assert only.sentence.startswith("drifted in a part of the rows only: origin=JFK: temp (PSI 9.00)")


def test_predictions_alone() -> None:
    found = verdict(drift=moved(**{PREDICTION: MOVED}))
    assert found.state == "drifting"
    assert found.sentence.startswith("the predictions drifted (PSI 3.57); ")


def test_a_small_fault_is_the_cause_of_a_drift_and_mended_upstream() -> None:
    fault = Fault("temp", "missing", "'temp' is missing in 2.0% of rows (0% in the reference)", broken=False)
    found = verdict(drift=moved(temp=MOVED), faults=(fault,))
    assert (found.state, found.action, found.cause) == ("drifting", "fix upstream", "missing 'temp'")
    assert "; 'temp' is missing in 2.0% of rows (0% in the reference); " in found.sentence


def test_predictions_that_are_off_on_average_are_degraded() -> None:
    performance = dataclasses.replace(performed(metric(0.43, 0.41, 0.45)), bias=Bias(0.2, 0.15, 0.25, 0.05))
    found = verdict(performance=performance, promised_bias=Bias(0.01, -0.02, 0.04, 0.05), drift=moved(temp=MOVED))
    assert (found.state, found.action, found.cause) == ("degraded", "retrain", "calibration")
    assert found.sentence.startswith(
        "predictions are too low on average, by .200 [.150, .250], on the test rows too low by .010; average precision"
    )
    assert found.sentence.endswith("; meanwhile 1 of 2 columns drifted: 'temp' (PSI 3.57)")
    near = Bias(0.12, 0.11, 0.2, 0.1)
    assert verdict(performance=performance, promised_bias=near).state == "healthy"  # the intervals meet


def test_an_estimate_stands_where_no_label_is() -> None:
    estimated = metric(0.4, 0.38, 0.42)
    found = verdict(performance=Performance(0, (), "no label is known yet"), estimated=estimated)
    assert found.sentence.startswith(
        "no label is known yet; average precision estimated without labels .400 [.380, .420], promised .440 "
    )


def test_broken_wins_over_all() -> None:
    bad = performed(metric(0.1, 0.05, 0.15))
    faults = tuple(Fault(c, "missing", f"{c!r} is missing throughout (0% in the reference)") for c in "abcd")
    assert verdict(faults=faults, performance=bad) == Health(
        "broken",
        "'a' is missing throughout (0% in the reference), 'b' is missing throughout (0% in the reference), "
        "'c' is missing throughout (0% in the reference) and 1 further fault",
        "fix upstream",
        "missing 'a', missing 'b', missing 'c', missing 'd'",
        True,
    )
    assert verdict(refused="4% of rows break a rule; at most 2% may.", faults=faults) == Health(
        "broken",
        "the contract refused the batch: 4% of rows break a rule; at most 2% may",
        "fix upstream",
        "refused",
        True,
    )
    assert verdict(rows=0, drift=None).state == "broken"


def test_without_a_champion_there_is_nothing_to_compare() -> None:
    found = verdict(drift=None, performance=None, promised=None, reference_positives=None)
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
        "degraded", "MAE 51,000 [47,000, 55,000] on 24,561 labelled rows; promised 40,200 [38,000, 42,400]", "retrain",
        "performance", True,
    )  # fmt: skip
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
