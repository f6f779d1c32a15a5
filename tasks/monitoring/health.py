"""Monitoring's verdict on a window: a state, its cause in one sentence, and one action. A pure function."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tasks.monitoring.calibration import Bias
from tasks.monitoring.drift import Drift
from tasks.monitoring.faults import FEWEST_ROWS, Fault
from tasks.monitoring.performance import Performance
from tasks.monitoring.profile import LABEL, PREDICTION
from tasks.results import HealthState, MetricValue
from tasks.stats.alarms import say_rate
from tasks.stats.metrics import METRICS

Action = Literal["retrain", "fix upstream", "watch", "none"]
RUNNING = 3  # windows of a single day each, before they are degraded
FEW_STRANGE = 0.05  # of the rows
NAMED = 3  # columns in a sentence; the others are counted
STRANGE_SHARE = 0.01  # of the labels; as many that the model does not know are worth a look, and
STRANGE_FAULT = 0.50  # so many say that the labels changed their form, and not the world


@dataclass(frozen=True)
class Health:
    """A state, its cause and what to do.

    `cause`: what an alert is told apart by. `drifted`: the columns that moved, by what their move may do to the
    model. `alarm`: this is news, and no drift that goes on. `harmful`: the drift stands, no labels speak yet, and the
    estimated performance lies below what was promised.
    """

    state: HealthState
    sentence: str
    action: Action
    cause: str = ""
    alarm: bool = False
    drifted: tuple[str, ...] = ()
    harmful: bool = False


@dataclass(frozen=True)
class Findings:
    """All that a window's health is judged by.

    `refused`: the contract's reason where it refused the batch. `promised`: the champion's metric on its test rows,
    with the interval that the gate saw, and `promised_bias` its bias there. `estimated`: the metric without labels.
    `target`: the column of the labels. `drift`: None where there is no champion to compare with. `importance`: what
    each feature is worth to the model. `trust`: how far earlier estimates were off, a clause;
    `strange_rows`: the share of rows beyond what the estimate learned from; `doubt`: why there is none. `before`: the
    metric of the windows before.
    """

    rows: int
    target: str
    refused: str | None = None
    faults: Sequence[Fault] = ()
    performance: Performance | None = None
    promised: MetricValue | None = None
    promised_bias: Bias | None = None
    estimated: MetricValue | None = None
    reference_positives: float | None = None
    drift: Drift | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    trust: str = ""
    strange_rows: float = math.nan
    doubt: str = ""
    before: Sequence[float] = ()


def judge(found: Findings) -> Health:
    """The health of a window; the first that applies of broken, degraded, drifting, healthy.

    A season moves columns and makes a window drifting at most. Labels that the model does not know are a fault
    upstream where they are most of all, and else a reason to watch.
    """
    performance = found.performance
    if found.refused is not None:
        said = f"the contract refused the batch: {found.refused.rstrip('.')}"
        return Health("broken", said, "fix upstream", "refused", True)
    if not found.rows:
        return Health("broken", "the batch holds no rows", "fix upstream", "no rows", True)
    broken = [f for f in found.faults if f.broken]
    if broken:
        cause = ", ".join(sorted(f"{f.kind} {f.column!r}" if f.column else f.kind for f in broken))
        return Health("broken", _join([f.clause for f in broken], "fault"), "fix upstream", cause, True)
    strange = _describe_strange(performance, found.target) if performance else ""
    if performance and performance.strange_share > STRANGE_FAULT and performance.strange >= FEWEST_ROWS:
        return Health("broken", strange, "fix upstream", "labels", True)
    worth = _describe_worth(found)
    drifted = rank_drifted(found.drift, found.importance)
    fallen = bool(performance and found.promised and is_degraded(performance, found.promised, found.before))
    off = _describe_bias(performance, found.promised_bias)
    if performance and (fallen or off):
        base = _describe_base(performance.positives, found.reference_positives)
        why = [f"meanwhile {_describe_moved(found.drift, drifted)}"] if found.drift and drifted else []
        parts = [f"{worth}{base}", off] if fallen else [f"{off}{base}", worth]
        parts += [strange, *why]
        cause = "performance" if fallen else "calibration"
        return Health("degraded", "; ".join(part for part in parts if part), "retrain", cause, True, drifted)
    if found.drift is None:
        return Health("healthy", "no model is released yet, so there is nothing to compare with", "none")
    if strange and performance and performance.strange_share < STRANGE_SHARE:
        worth, strange = f"{worth}; {strange}", ""
    return _judge_drift(found, found.drift, drifted, worth, strange)


def _judge_drift(found: Findings, drift: Drift, drifted: tuple[str, ...], worth: str, strange: str) -> Health:
    clauses: list[str] = []
    alarm, cause = False, ""
    act: Action = "watch"
    minor = [f for f in found.faults if not f.broken]
    if drift.signal in ("alarm", "continues"):
        alarm = drift.signal == "alarm"
        moved = _describe_moved(drift, drifted)
        clauses.append(f"since {drift.since}: {moved}" if drift.signal == "continues" else moved)
        cause = f"drift since {drift.since}"
    harmful = bool(clauses) and is_harmful(found)
    if harmful:
        clauses.append("it seems to hurt")
        act = "retrain"
    if minor:
        clauses.append(_join([f.clause for f in minor], "fault"))
        act, cause = "fix upstream", ", ".join(sorted(f"{f.kind} {f.column!r}" for f in minor))
    if strange:
        clauses.append(strange)
        cause, alarm = cause or "labels", alarm or not cause
    if clauses:
        promise = f"; {describe_promise(drift)}" if drift.signal in ("alarm", "continues") else ""
        return Health("drifting", f"{'; '.join(clauses)}; {worth}{promise}", act, cause, alarm, drifted, harmful)
    return Health("healthy", f"{worth}; {_describe_still(drift)}", "none")


def rank_drifted(drift: Drift | None, importance: Mapping[str, float]) -> tuple[str, ...]:
    """The columns that drifted, by distance times importance: first those whose move may do most to the model."""
    if drift is None:
        return ()
    moved = {name: d for name, d in drift.columns.items() if d.drifted}
    effect = {name: d.distance * max(importance.get(name) or 0.0, 0.0) for name, d in moved.items()}
    return tuple(sorted(moved, key=lambda name: (-effect[name], -moved[name].distance, name)))


def describe_promise(drift: Drift) -> str:
    """What is promised of false alarms, in a clause."""
    promise = drift.promise
    if promise is None:
        return "no rate of false alarms is promised"
    if not promise.learning:
        return f"at most {promise.budget.say(promise.alpha)} is expected"
    if promise.differing is None:
        return "learning: with no past window nothing is promised of false alarms"
    return f"learning: up to {say_rate(promise.differing)} may alarm falsely"


def is_degraded(performance: Performance, promised: MetricValue, before: Sequence[float] = ()) -> bool:
    """Whether the realised metric's interval lies wholly on the worse side of the promised one.

    Of a single day the interval does not know how days differ: then the `RUNNING` - 1 windows before have to lie there
    too, by their value.
    """
    if performance.doubt or not performance.metrics:
        return False
    realised = performance.metrics[0]
    if realised.name != promised.name:
        return False
    last = tuple(before)[-(RUNNING - 1) :] if performance.single else ()
    if performance.single and len(last) < RUNNING - 1:
        return False
    # A missing interval compares as False: what is not known is no reason to retrain.
    if realised.larger_is_better:
        return realised.high < promised.low and all(value < promised.low for value in last)
    return realised.low > promised.high and all(value > promised.high for value in last)


def is_harmful(found: Findings) -> bool:
    """Whether labels do not speak yet, and the estimated metric's interval lies wholly on the worse side of the
    promised one."""
    performance, estimated, promised = found.performance, found.estimated, found.promised
    if performance is None or (performance.metrics and not performance.doubt):
        return False
    if estimated is None or promised is None or estimated.name != promised.name:
        return False
    if estimated.larger_is_better:  # a missing interval compares as False
        return estimated.high < promised.low
    return estimated.low > promised.high


def _describe_moved(drift: Drift, drifted: Sequence[str]) -> str:
    """What drifted, in one clause: columns, where they sit, predictions and labels."""
    columns = drift.columns
    parts = []
    if drifted:
        named = [f"{name!r} (PSI {columns[name].distance:.2f})" for name in drifted]
        where = _describe_segments(drift, drifted)
        parts.append(f"{len(drifted)} of {len(columns)} columns drifted: {_join(named, 'column')}{where}")
    elif drift.segments:
        named = [f"{name} (PSI {drift.watched[name].distance:.2f})" for name in drift.segments]
        parts.append(f"drifted in a part of the rows only: {_join(named, 'part')}")
    for name, said in ((PREDICTION, "the predictions"), (LABEL, "the labels")):
        found = drift.watched.get(name)
        if found is not None and found.drifted:
            parts.append(f"{said} drifted (PSI {found.distance:.2f})")
    return "; ".join(parts)


def _describe_bias(performance: Performance | None, promised: Bias | None) -> str:
    """That predictions are off on average as they were not on the test rows; empty where they are not."""
    bias = performance.bias if performance and not performance.doubt and not performance.single else None
    if bias is None or promised is None or not bias.differs_from(promised):
        return ""
    low, high = sorted((abs(bias.low), abs(bias.high)))
    way, there = ("low" if value > 0 else "high" for value in (bias.value, promised.value))
    return (
        f"predictions are too {way} on average, by {show(abs(bias.value))} [{show(low)}, {show(high)}], "
        f"on the test rows too {there} by {show(abs(promised.value))}"
    )


def _describe_segments(drift: Drift, drifted: Sequence[str]) -> str:
    """In which part the first of the columns moved most, where it moved much less in another one."""
    of_first = {
        name.removesuffix(f": {drifted[0]}"): drift.watched[name].distance
        for name in drift.within
        if name.endswith(f": {drifted[0]}")
    }
    if len(of_first) < 2 or max(of_first.values()) < 2 * min(of_first.values()):
        return ""
    return f", {drifted[0]!r} most in {max(of_first, key=lambda name: of_first[name])}"


def _describe_still(drift: Drift) -> str:
    """That nothing is an alarm, and why not where something moved."""
    columns = drift.columns
    moved = [name for name, d in columns.items() if d.significant]
    if drift.signal == "signal":
        return f"{len(drift.drifted) or 1} of {len(columns)} columns differ, in too few windows to be an alarm"
    if moved:
        first = sorted(moved, key=lambda name: -columns[name].distance)[:2]
        named = ", ".join(map(repr, first)) + (", ..." if len(moved) > len(first) else "")
        return f"{len(moved)} of {len(columns)} columns differ ({named}), and do not stand out among past windows"
    return f"none of {len(columns)} columns drifted"


def _describe_worth(found: Findings) -> str:
    performance, promised, estimated = found.performance, found.promised, found.estimated
    if performance is None:
        return "nothing was scored"
    guess = ""
    if estimated is not None:
        guess = f"{_title(estimated)} estimated without labels {show(estimated.value)}{_interval(estimated)}"
        if not performance.metrics and promised is not None and promised.name == estimated.name:
            guess += f", promised {show(promised.value)}{_interval(promised)}"
        beyond = f"{found.strange_rows:.0%} of the rows lie beyond what it learned from"
        caveats = [beyond] if found.strange_rows >= FEW_STRANGE else []
        caveats += [found.trust] if found.trust else []
        guess += f" ({'; '.join(caveats)})" if caveats else ""
    elif found.doubt and not performance.metrics:
        guess = f"no estimate either: {found.doubt}"
    if not performance.metrics:
        return f"{performance.doubt}; {guess}" if guess else performance.doubt
    value = performance.metrics[0]
    text = f"{_title(value)} {show(value.value)}{_interval(value)} on {performance.labelled:,} labelled rows"
    if promised is not None and promised.name == value.name:
        text += f"; promised {show(promised.value)}{_interval(promised)}"
    if not performance.doubt:
        told = estimated is not None and estimated.name == value.name
        return f"{text}, estimated without labels {show(estimated.value)}" if told and estimated else text
    return f"{text} ({performance.doubt}{f'; {guess}' if guess else ''})"


def _describe_strange(performance: Performance, target: str) -> str:
    """The labels that nothing could be measured by, in one clause; empty where there is none."""
    if not performance.strange:
        return ""
    named = f": {', '.join(performance.strangers)}" if performance.strangers else ""
    named += ", ..." if len(performance.strangers) >= NAMED else ""
    share = f"{performance.strange_share:.0%}" if performance.strange_share >= 0.01 else f"{performance.strange:,}"
    return f"{share} of the labels in {target!r} are none that the model knows{named}"


def _describe_base(here: float | None, reference: float | None) -> str:
    """Average precision and others move with the share of positives alone: a person must see both."""
    if here is None or reference is None or abs(here - reference) < 0.02:
        return ""
    return f"; {here:.0%} of labels are positive here, {reference:.0%} in the reference"


def _title(value: MetricValue) -> str:
    return METRICS[value.name].title if value.name in METRICS else value.name


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
