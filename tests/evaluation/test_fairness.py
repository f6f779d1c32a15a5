"""Groups of people: the measures are fairlearn's, the rates scikit-learn's, and a limit is broken only where shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as fair
from sklearn import metrics as sk

from tasks.config.gates import FairnessLimit
from tasks.errors import ConfigError
from tasks.evaluation.fairness import (
    MEASURES,
    audit_groups,
    check_fairness,
    judge_fairness,
    list_rates,
    measure_gaps,
)
from tasks.evaluation.parts import cut_column
from tasks.results import FairnessResult, GroupAudit
from tasks.stats.intervals import Blocks, block_rows, deal_rows
from tasks.stats.metrics import AT_HALF, OperatingPoint, TaskType
from tests.evaluation.rows import make_spec

RNG = np.random.default_rng(2)
ROWS = 3_000
SEX = RNG.choice(["f", "m"], ROWS, p=[0.4, 0.6])
Y = (RNG.random(ROWS) < np.where(SEX == "f", 0.2, 0.3)).astype(np.int64)
P = np.clip(0.25 + 0.3 * Y + np.where(SEX == "f", -0.12, 0.05) + 0.2 * RNG.normal(size=ROWS), 0.01, 0.99)
PARTS = cut_column(pd.Series(SEX), "sex", 4)
MASKS = [p.find(pd.DataFrame({"sex": SEX})) for p in PARTS]
DEALT = deal_rows(ROWS, 0)


def audit(task: TaskType = "binary", y: Any = Y, p: Any = P) -> GroupAudit:
    return audit_groups(list_rates(y, p, AT_HALF, task), PARTS, MASKS, ("sex",), DEALT, task)


def judge(metric: str, limit: float, blocks: Blocks = DEALT, **more: Any) -> FairnessResult:
    task = more.pop("task", "binary")
    rates = list_rates(more.pop("y", Y), more.pop("p", P), more.pop("at", AT_HALF), task)
    stated = {"min" if MEASURES[metric].kind == "ratio" else "max": limit}
    asked = FairnessLimit.model_validate({"by": "sex", "metric": metric, **stated})
    parts, masks = more.pop("groups", (PARTS, MASKS))
    (found,) = judge_fairness(rates, [asked], {("sex",): (parts, masks)}, blocks, task, 0.95)
    return found


def test_measures_are_fairlearns() -> None:
    d, gaps = (P >= 0.5).astype(int), audit().gaps
    for name, of in (
        ("demographic_parity_ratio", fair.demographic_parity_ratio),
        ("demographic_parity_difference", fair.demographic_parity_difference),
        ("equalized_odds_ratio", fair.equalized_odds_ratio),
        ("equalized_odds_difference", fair.equalized_odds_difference),
        ("true_positive_rate_difference", fair.true_positive_rate_difference),
        ("accuracy_difference", fair.accuracy_score_difference),
    ):
        assert gaps[name] == pytest.approx(of(Y, d, sensitive_features=SEX), abs=1e-12), name
    off = [float(np.mean(Y[s == SEX] - P[s == SEX])) for s in "fm"]
    assert gaps["calibration_difference"] == pytest.approx(abs(off[0] - off[1]))


def test_rates_are_scikit_learns() -> None:
    found = {g.group: g for g in audit().groups}
    for sex in "fm":
        y, d = Y[sex == SEX], (P >= 0.5).astype(int)[sex == SEX]
        rates = found[f"sex = {sex}"].rates
        assert rates["selection_rate"][0] == pytest.approx(d.mean())
        assert rates["true_positive_rate"][0] == pytest.approx(sk.recall_score(y, d))
        assert rates["false_positive_rate"][0] == pytest.approx(1 - sk.recall_score(y, d, pos_label=0))
        assert rates["accuracy"][0] == pytest.approx(sk.accuracy_score(y, d))
        assert all(low <= value <= high for value, low, high in rates.values())


def test_values_have_errors_instead() -> None:
    y = RNG.normal(size=ROWS)
    found = audit("regression", y, y + np.where(SEX == "f", 0.5, 0.0)).groups[0].rates
    assert found["mean_error"] == pytest.approx((0.5, 0.5, 0.5))
    assert found["absolute_error"][0] == pytest.approx(0.5)


def test_a_broken_limit_fails_and_names_the_pair() -> None:
    found = judge("demographic_parity_ratio", 0.8)
    worst = found.comparisons[0]
    assert (found.finding, worst.group, worst.other) == ("fail", "sex = f", "sex = m")
    assert found.value == worst.value == pytest.approx(audit().gaps["demographic_parity_ratio"])
    assert worst.high < 0.8, "it fails only where its interval lies beyond the limit"
    assert judge("demographic_parity_ratio", 0.01).finding == "pass"
    assert judge("demographic_parity_difference", 0.9).finding == "pass"
    assert judge("equalized_odds_difference", 0.02).finding == "fail"


def test_a_limit_near_the_truth_cannot_be_told() -> None:
    ratio = audit().gaps["demographic_parity_ratio"]
    found = judge("demographic_parity_ratio", round(ratio * 1.05, 3))
    assert found.finding == "undecided"
    assert found.undecided == 1


def test_costs_move_the_decision() -> None:
    strict = list_rates(Y, P, OperatingPoint(0.8), "binary")["selection_rate"].values.mean()
    assert strict < list_rates(Y, P, AT_HALF, "binary")["selection_rate"].values.mean()


def test_a_group_too_small_to_tell_is_named_and_breaks_nothing() -> None:
    small = SEX.copy()
    small[:8] = "x"
    groups = (*PARTS[:2], *cut_column(pd.Series(["x"] * 30), "sex", 4)[:1])
    masks = [g.find(pd.DataFrame({"sex": small})) for g in groups]
    p = P.copy()
    p[:8] = 0.01
    found = judge("demographic_parity_ratio", 0.1, p=p, groups=(groups, masks))
    assert found.too_small == ("sex = x",)
    assert found.finding == "undecided"
    assert all("sex = x" not in (c.group, c.other) for c in found.comparisons)


def test_one_group_alone_cannot_be_compared() -> None:
    found = judge("demographic_parity_ratio", 0.8, groups=(PARTS[:1], MASKS[:1]))
    assert (found.finding, found.comparisons) == ("too small", ())
    assert found.problem


def test_days_that_move_together_widen_the_interval() -> None:
    day = RNG.integers(0, 30, ROWS)
    p = np.clip(P + 0.3 * RNG.normal(size=30)[day] * (SEX == "f"), 0.01, 0.99)
    names = np.array([f"{d:03d}" for d in range(30)], dtype=object)[day]
    by_row = judge("demographic_parity_ratio", 0.8, p=p).comparisons[0]
    by_day = judge("demographic_parity_ratio", 0.8, block_rows(names, "days"), p=p).comparisons[0]
    assert by_day.high > by_row.high
    assert by_day.value == by_row.value


def test_nobody_and_everybody_decided_positive() -> None:
    for p in (np.full(ROWS, 0.1), np.full(ROWS, 0.9)):
        assert judge("demographic_parity_ratio", 0.8, p=p).finding != "fail"
        assert judge("equalized_odds_difference", 0.1, p=p).finding != "fail"


@pytest.mark.parametrize(("metric", "gap"), [("mean_error_difference", 0.3), ("absolute_error_difference", 0.25)])
def test_a_regression_that_errs_more_for_some(metric: str, gap: float) -> None:
    y = RNG.normal(size=ROWS)
    error = RNG.normal(size=ROWS)
    p = y + np.where(SEX == "f", error * 1.4 + 0.3, error)
    assert judge(metric, 0.05, task="regression", y=y, p=p).finding == "fail"
    assert judge(metric, 2.0, task="regression", y=y, p=p).finding == "pass"
    assert judge(metric, 0.05, task="regression", y=y, p=y + error).finding != "fail"


def test_several_classes_are_compared_by_accuracy() -> None:
    y = RNG.integers(0, 3, ROWS)
    p = np.eye(3)[np.where((SEX == "f") & (RNG.random(ROWS) < 0.5), (y + 1) % 3, y)]
    assert judge("accuracy_difference", 0.1, task="multiclass", y=y, p=p).finding == "fail"
    assert measure_gaps(list_rates(y, p, AT_HALF, "multiclass"), MASKS, "multiclass").keys() == {"accuracy_difference"}


@pytest.mark.parametrize(
    ("limit", "task", "said"),
    [
        ({"metric": "demographic_parity_ratio", "max": 0.8}, "binary", "is a ratio; state min"),
        ({"metric": "demographic_parity_difference", "min": 0.8}, "binary", "is a difference; state max"),
        ({"metric": "demographic_parity_ratio", "min": 0.8}, "regression", "mean_error_difference"),
        ({"metric": "parity", "min": 0.8}, "binary", "demographic_parity_ratio"),
        ({"metric": "accuracy_difference", "max": 1.5}, "multiclass", "below 1"),
    ],
)
def test_limits_that_no_audit_could_judge_are_refused(limit: dict[str, Any], task: TaskType, said: str) -> None:
    spec = make_spec(gates={"fairness": [{"by": "sex", **limit}]})
    with pytest.raises(ConfigError, match=said):
        check_fairness(spec.gates.fairness, task)
