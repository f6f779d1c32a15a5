"""Audits for the tests of the pages, made by hand: what the evaluation gives, as the ledger has it."""

from __future__ import annotations

import json
import math
from typing import Any

from tasks.results import (
    Audit,
    Condition,
    FairnessResult,
    Finding,
    GroupAudit,
    GroupComparison,
    GroupRates,
    LeakAudit,
    LeakSign,
    MetricValue,
    MitigationPrice,
    Perturbation,
    RobustnessAudit,
    SliceAudit,
    SliceResult,
    to_json,
)

NAN = math.nan
RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy", "calibration")
GAPS = {
    "demographic_parity_ratio": 0.35,
    "demographic_parity_difference": 0.16,
    "true_positive_rate_difference": 0.026,
}
MITIGATION = {
    "how": "thresholds",
    "by": ["sex"],
    "parity": "demographic_parity",
    "strength": 1.0,
    "groups": [
        {"group": ["Female"], "rows": 1_267, "threshold": 0.15, "rate": 0.2},
        {"group": ["Male"], "rows": 2_528, "threshold": 0.62, "rate": 0.2},
    ],
    "left": [["unknown"]],
}


def make_slice(
    name: str = "size = small", drop: float = 0.03, finding: Finding = "pass", *, found: bool = False, rows: int = 400,
    metric: str = "roc_auc", other: float = 0.9, larger: bool = True,
) -> SliceResult:  # fmt: skip
    small = finding == "too small"
    value = other - drop if larger else other + drop
    ends = (NAN, NAN) if small else (value - 0.04, value + 0.04)
    measured = MetricValue(metric, value, *ends, 0.95, larger, "jackknife over 17 days")
    bounds = (NAN, NAN) if small else (drop - 0.02, drop + 0.02)
    conditions = (Condition(name.split(" ")[0], value=name.split(" ")[-1]),)
    return SliceResult(name, conditions, found, rows, measured, other, drop, *bounds, 0.99, 0.4, finding)


def make_slices(*slices: SliceResult, max_drop: float | None = 0.05, **changes: Any) -> SliceAudit:
    given: dict[str, Any] = {"metric": "roc_auc", "against": "all test rows", "max_drop": max_drop, "confidence": 0.95}
    return SliceAudit(**{**given, **changes}, slices=slices)


def make_group(name: str, rate: float = 0.2, rows: int = 900, *, small: bool = False) -> GroupRates:
    rates = dict.fromkeys(RATES, (rate, NAN, NAN) if small else (rate, rate - 0.02, rate + 0.02))
    return GroupRates(name, rows, rates, small)


def make_groups(*groups: GroupRates, by: tuple[str, ...] = ("sex",)) -> GroupAudit:
    return GroupAudit(by, groups or (make_group("sex = Female", 0.09), make_group("sex = Male", 0.25)), GAPS)


def make_limit(finding: Finding = "fail", **changes: Any) -> FairnessResult:
    worst = GroupComparison(
        "sex = Female", "sex = Male", "selection_rate", 0.35, 0.30, 0.40, 0.98, 1e-9, 6_643, finding
    )
    back = GroupComparison("sex = Male", "sex = Female", "selection_rate", 2.9, 2.5, 3.3, 0.96, 1.0, 6_643, "pass")
    given: dict[str, Any] = {
        "by": ("sex",),
        "metric": "demographic_parity_ratio",
        "kind": "ratio",
        "limit": 0.8,
        "value": 0.35,
        "finding": finding,
        "comparisons": (worst, back),
        **changes,
    }
    return FairnessResult(**given)


def make_step(
    kind: Any = "missing", fall: float = 0.01, column: str | None = None, limit: float | None = None, **changes: Any
) -> Perturbation:
    given: dict[str, Any] = {
        "kind": kind,
        "column": column,
        "amount": 0.1,
        "value": 0.9 - fall,
        "fall": fall,
        "low": fall - 0.004,
        "high": fall + 0.004,
        "limit": limit,
        "finding": "reported" if limit is None else "pass",
        **changes,
    }
    return Perturbation(**given)


def make_stress(*steps: Perturbation, **changes: Any) -> RobustnessAudit:
    given: dict[str, Any] = {"needless": ("size", "colour"), "needless_limit": 0.005, **changes}
    made = (make_step(), make_step("unseen", 0.002), make_step("noise", 0.03), make_step("lost", 0.2, "size"))
    return RobustnessAudit("roc_auc", 5_000, 0.9, steps or made, **given)


def make_sign(column: str | None = "paid", *, certain: bool = True, cleared: bool = False) -> LeakSign:
    return LeakSign("alone decides", column, certain, cleared, f"{column} alone decides it.", {"auc": 0.99})


PRICE = MitigationPrice(
    "roc_auc",
    (0.028, 0.0246, 0.0319),
    {"roc_auc": 0.925, "accuracy": 0.87},
    {"roc_auc": 0.897, "accuracy": 0.85},
    GAPS,
    {"demographic_parity_ratio": 0.967, "demographic_parity_difference": 0.007, "true_positive_rate_difference": 0.33},
)


def make_audit(**changes: Any) -> dict[str, Any]:
    """An audit with something in every part, through JSON, where what is not finite is null."""
    slices = make_slices(
        make_slice("size = small", 0.09, "fail"),
        make_slice("size = large", 0.01),
        make_slice("colour = red", 0.05, "undecided"),
        make_slice("colour = mauve", 0.2, "too small", rows=12),
        make_slice("size = small and colour = red", 0.12, "fail", found=True),
    )
    given: dict[str, Any] = {
        "slices": slices,
        "groups": (make_groups(), make_groups(make_group("sex = Male and race = Other", 0.1), by=("sex", "race"))),
        "fairness": (make_limit(),),
        "robustness": make_stress(),
        "leaks": LeakAudit(9, 15_553, (make_sign(), make_sign("seen", certain=False), make_sign("late", cleared=True))),
        "price": PRICE,
        **changes,
    }
    return dict(json.loads(to_json(Audit(**given))))
