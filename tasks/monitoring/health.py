"""Monitoring's verdict on a window: a state, its cause in one sentence, and one action. A pure function."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.monitoring.drift import ColumnDrift, rank_drifted
from tasks.monitoring.faults import FEWEST_ROWS, Fault
from tasks.monitoring.performance import Performance
from tasks.results import HealthState, MetricValue
from tasks.stats.metrics import METRICS

NO_PROMISE = "no rate of false alarms is promised yet"
NAMED = 3  # columns in a sentence; the others are counted
STRANGE_SHARE = 0.01  # of the labels; as many that the model does not know are worth a look, and
STRANGE_FAULT = 0.50  # so many say that the labels changed their form, and not the world


@dataclass(frozen=True)
class Health:
    """A state, its cause and what to do."""

    state: HealthState
    sentence: str
    action: Literal["retrain", "fix upstream", "watch", "none"]


def judge(
    *,
    rows: int,
    refused: str | None,
    faults: Sequence[Fault],
    performance: Performance | None,
    promised: MetricValue | None,
    target: str,
    reference_positives: float | None,
    drifts: Mapping[str, ColumnDrift] | None,
    prediction_drift: ColumnDrift | None,
) -> Health:
    """The health of a window; the first that applies of broken, degraded, drifting, healthy.

    `refused`: the contract's reason where it refused the batch. `promised`: the champion's metric on its test rows,
    with the interval that the gate saw. `target`: the column of the labels. `drifts`: None where there is no champion
    to compare with. A season moves columns and makes a window drifting at most. Labels that the model does not know
    are a fault upstream where they are most of all, and else a reason to watch.
    """
    if refused is not None:
        return Health("broken", f"the contract refused the batch: {refused.rstrip('.')}", "fix upstream")
    if not rows:
        return Health("broken", "the batch holds no rows", "fix upstream")
    if faults:
        return Health("broken", _join([f.clause for f in faults], "broken column"), "fix upstream")
    strange = _describe_strange(performance, target) if performance else ""
    if performance and performance.strange_share > STRANGE_FAULT and performance.strange >= FEWEST_ROWS:
        return Health("broken", strange, "fix upstream")
    worth = _describe_worth(performance, promised)
    if performance and promised and is_degraded(performance, promised):
        base = _describe_base(performance.positives, reference_positives)
        return Health("degraded", "; ".join([f"{worth}{base}", *([strange] if strange else [])]), "retrain")
    if drifts is None:
        return Health("healthy", "no model is released yet, so there is nothing to compare with", "none")
    drifted = rank_drifted(drifts)
    moved = [f"{name!r} (PSI {drifts[name].distance:.2f})" for name in drifted]
    clauses = [f"{len(drifted)} of {len(drifts)} columns drifted: {_join(moved, 'column')}"] if moved else []
    if prediction_drift and prediction_drift.drifted:
        clauses.append(f"the predictions drifted (PSI {prediction_drift.distance:.2f})")
    if performance and performance.strange_share >= STRANGE_SHARE:
        clauses.append(strange)
    elif strange:
        worth = f"{worth}; {strange}"
    if clauses:
        return Health("drifting", f"{'; '.join(clauses)}; {worth}; {NO_PROMISE}", "watch")
    return Health("healthy", f"{worth}; none of {len(drifts)} columns drifted", "none")


def is_degraded(performance: Performance, promised: MetricValue) -> bool:
    """Whether the realised metric's interval lies wholly on the worse side of the promised one."""
    if performance.doubt or not performance.metrics:
        return False
    realised = performance.metrics[0]
    if realised.name != promised.name:
        return False
    # A missing interval compares as False: what is not known is no reason to retrain.
    return realised.high < promised.low if realised.larger_is_better else realised.low > promised.high


def _describe_worth(performance: Performance | None, promised: MetricValue | None) -> str:
    if performance is None:
        return "nothing was scored"
    if not performance.metrics:
        return performance.doubt
    value = performance.metrics[0]
    text = f"{_describe(value)} on {performance.labelled:,} labelled rows"
    if promised is not None and promised.name == value.name:
        text += f"; promised {show(promised.value)}{_interval(promised)}"
    return f"{text} ({performance.doubt})" if performance.doubt else text


def _describe_strange(performance: Performance, target: str) -> str:
    """The labels that nothing could be measured by, in one clause; empty where there is none."""
    if not performance.strange:
        return ""
    named = f"{', '.join(performance.strangers)}{', ...' if len(performance.strangers) >= NAMED else ''}"
    share = f"{performance.strange_share:.0%}" if performance.strange_share >= 0.01 else f"{performance.strange:,}"
    return f"{share} of the labels in {target!r} are none that the model knows: {named}"


def _describe_base(here: float | None, reference: float | None) -> str:
    """Average precision and others move with the share of positives alone: a person must see both."""
    if here is None or reference is None or abs(here - reference) < 0.02:
        return ""
    return f"; {here:.0%} of labels are positive here, {reference:.0%} in the reference"


def _describe(value: MetricValue) -> str:
    title = METRICS[value.name].title if value.name in METRICS else value.name
    return f"{title} {show(value.value)}{_interval(value)}"


def _interval(value: MetricValue) -> str:
    return f" [{show(value.low)}, {show(value.high)}]" if math.isfinite(value.low) else ""


def show(number: float) -> str:
    """A number as a sentence takes it: .412, -.031, 1.25, 2,310, 4.2e-05."""
    if 0 < abs(number) < 0.001 or abs(number) >= 1e12:
        return f"{number:.3g}"
    if abs(number) < 1:
        return f"{number:.3f}".replace("0.", ".", 1)
    return f"{number:,.2f}" if abs(number) < 100 else f"{number:,.0f}"


def _join(parts: Sequence[str], noun: str) -> str:
    named, more = list(parts[:NAMED]), len(parts) - NAMED
    if more > 0:
        return f"{', '.join(named)} and {more} further {noun}{'s' if more > 1 else ''}"
    return " and ".join([", ".join(named[:-1]), named[-1]]) if len(named) > 1 else named[0]
