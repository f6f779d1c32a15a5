"""Floors and ceilings: numbers that metrics must be shown to keep, whatever the champion does."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tasks.config import Project
from tasks.config.gates import Gates
from tasks.config.project import TaskType
from tasks.errors import ConfigError
from tasks.evaluation.fairness import check_fairness
from tasks.evaluation.gates import leave_open
from tasks.evaluation.sentences import (
    capitalise,
    find_title,
    say_rows_needed,
    say_too_few,
    write_number,
    write_percent,
    write_rows,
)
from tasks.evaluation.slices import find_slice_metric
from tasks.results import Evaluation, GateResult, MetricValue, Status
from tasks.stats.metrics import METRICS, find_metric

FLOOR, CEILING = "floor", "ceiling"


def list_bounds(gates: Gates) -> Iterator[tuple[str, str, float]]:
    """What is asked: "floor" or "ceiling", the metric, the number."""
    yield from ((FLOOR, metric, limit) for metric, limit in gates.floors.items())
    yield from ((CEILING, metric, limit) for metric, limit in gates.ceilings.items())


def name_gate(kind: str, metric: str) -> str:
    """How the gate of a floor or ceiling is called, such as "floor roc_auc"."""
    return f"{kind} {metric}"


def check_gates(spec: Project, task: TaskType) -> None:
    """Refuse what no evaluation of this task could judge: ConfigError naming the key, before anything is trained.

    A floor or ceiling of a metric that the task does not have or that needs costs which are not stated; one that no
    value of the metric could pass, or fail; a percentage of R2, whose constant prediction has about 0.
    """
    for kind, name, limit in list_bounds(spec.gates):
        key = f"gates.{kind}s.{name}"
        metric = METRICS.get(name)
        if metric is None or task not in metric.tasks:
            fitting = ", ".join(m.name for m in METRICS.values() if task in m.tasks)
            raise ConfigError(f"{key}: {name!r} is no metric of a {task} target; expected one of: {fitting}.")
        if metric.needs == "costs" and spec.train.costs is None:
            raise ConfigError(f"{key}: needs train.costs; state false_positive and false_negative.")
        lowest, highest = metric.limits
        above, below = limit > highest or (kind == CEILING and limit == highest), limit < lowest
        below = below or (kind == FLOOR and limit == lowest)
        if above or below:
            never = above == (kind == FLOOR)
            span = f"from {lowest:g} to {highest:g}"
            raise ConfigError(
                f"{key}: {limit:g} would {'refuse' if never else 'pass'} every model, since {metric.title} lies "
                f"{span}; expected a number between."
            )
    check_fairness(spec.gates.fairness, task)
    metric = find_metric(spec.train.metric, task)
    of_slices = find_slice_metric(spec.gates.slices, spec.train.metric, task)
    amounts = {
        "gates.beat_baseline_by": (spec.gates.beat_baseline_by, metric),
        "gates.champion.margin": (spec.gates.champion.margin, metric),
        "gates.slices.max_drop": (spec.gates.slices.max_drop, of_slices),
        "gates.robustness.max_drop": (spec.gates.robustness.max_drop, metric),
        "gates.robustness.max_drop_lost": (spec.gates.robustness.max_drop_lost, metric),
    }
    for key, (amount, metric) in amounts.items():
        if isinstance(amount, str) and metric.limits[0] < 0:
            raise ConfigError(
                f"{key}: {amount} of the constant prediction's {metric.title} is next to nothing, since that is about "
                "0; expected a number such as 0.005."
            )


def judge_bound(evaluation: Evaluation, kind: str, metric: str, limit: float) -> GateResult:
    """Is the metric shown to be at least the floor, or at most the ceiling, by its one-sided bound?"""
    gate = name_gate(kind, metric)
    if evaluation.problem:
        return leave_open(gate, evaluation.problem, limit)
    found = evaluation.bounded.get(gate)
    if found is None:
        return leave_open(gate, f"{find_title(metric)} was not measured", limit)
    if not math.isfinite(found.value):
        return leave_open(gate, f"{find_title(metric)} is not defined on {write_rows(found)}", limit)
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return leave_open(gate, say_too_few(found, metric), limit)
    status = _judge(found, kind, limit)
    observed = found.low if kind == FLOOR else found.high
    return GateResult(gate, status, _write(found, kind, limit, status), observed, limit, _list_evidence(found))


def _judge(found: MetricValue, kind: str, limit: float) -> Status:
    if kind == FLOOR:
        return "pass" if found.low >= limit else "fail" if found.high < limit else "inconclusive"
    return "pass" if found.high <= limit else "fail" if found.low > limit else "inconclusive"


def _write(found: MetricValue, kind: str, limit: float, status: Status) -> str:
    title, asked = find_title(found.name), f"the {kind} is {write_number(limit)}"
    fact = f"{capitalise(title)} is {write_number(found.value)} on {write_rows(found)}"
    at_least = (status == "pass") == (kind == FLOOR)
    bound = f"at {'least' if at_least else 'most'} {write_number(found.low if at_least else found.high)}"
    with_confidence = f"{bound} with {write_percent(found.confidence)} confidence"
    if status == "pass":
        return f"{fact}, {with_confidence}; {asked}."
    if status == "fail":
        return f"{fact}, {with_confidence}; {asked} (gates.{kind}s.{found.name}). A better model is needed."
    hint = say_rows_needed(found, "if it is as it looks", "As it looks it does not, and more rows would hardly help.")
    return (
        f"Cannot tell whether {title} keeps the {kind} of {write_number(limit)}: it is {write_number(found.value)} on "
        f"{write_rows(found)}, between {write_number(found.low)} and {write_number(found.high)}.{hint}"
    )


def _list_evidence(found: MetricValue) -> dict[str, object]:
    return {
        "metric": found.name,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "confidence": found.confidence,
        "method": found.method,
        "rows": found.rows,
        "blocks": found.blocks,
        "effective_blocks": found.effective_blocks,
        "rows_needed": found.rows_needed,
    }
