"""What groups of people get from a model, and whether that differs by more than a stated limit.

The usual measures over all groups are those of fairlearn. What decides is every pair of groups by itself: a rate
against another by the tests of `stats.proportions` (means by jackknife-t), Holm-corrected over all pairs, rates and
limits of the project file. A measure over all groups is the worst pair, so it is broken where a pair is shown to break
it; the worst of many pairs as it happens to look says little, and the percentile bootstrap of it calls fair models
unfair.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tasks.config.gates import FairnessLimit
from tasks.errors import ConfigError
from tasks.evaluation.group_tests import (
    Kind,
    MeanTests,
    Rate,
    ShareTests,
    Tally,
    find_interval,
    is_too_small,
    tally_everyone,
    tally_rate,
)
from tasks.evaluation.parts import Mask, Part
from tasks.results import FairnessResult, Finding, GroupAudit, GroupComparison, GroupRates
from tasks.stats.comparison import design_level
from tasks.stats.intervals import Blocks
from tasks.stats.metrics import Array, OperatingPoint, TaskType
from tasks.stats.multiplicity import Holm, step_down
from tasks.stats.prediction import decide_rows

_KEPT = 12  # comparisons of a limit that are recorded, beside those that failed
_MOST_KEPT = 40


@dataclass(frozen=True)
class Measure:
    """A fairness measure: the largest difference, or the smallest ratio, of these rates between any two groups."""

    name: str
    tasks: tuple[TaskType, ...]
    kind: Kind
    rates: tuple[str, ...]


MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure("demographic_parity_ratio", ("binary",), "ratio", ("selection_rate",)),
        Measure("demographic_parity_difference", ("binary",), "difference", ("selection_rate",)),
        Measure("equalized_odds_ratio", ("binary",), "ratio", ("true_positive_rate", "false_positive_rate")),
        Measure("equalized_odds_difference", ("binary",), "difference", ("true_positive_rate", "false_positive_rate")),
        Measure("true_positive_rate_difference", ("binary",), "difference", ("true_positive_rate",)),
        Measure("calibration_difference", ("binary",), "difference", ("calibration",)),
        Measure("accuracy_difference", ("binary", "multiclass"), "difference", ("accuracy",)),
        Measure("mean_error_difference", ("regression",), "difference", ("mean_error",)),
        Measure("absolute_error_difference", ("regression",), "difference", ("absolute_error",)),
    )
}


def name_limit(by: Sequence[str], metric: str) -> str:
    """How a limit is called, such as "sex x race demographic_parity_ratio"."""
    return f"{' x '.join(by)} {metric}"


def check_fairness(limits: Sequence[FairnessLimit], task: TaskType) -> None:
    """ConfigError where a limit names a measure that the task does not have, or min for a difference, or max for a
    ratio."""
    for number, limit in enumerate(limits):
        key, measure = f"gates.fairness.{number}", MEASURES.get(limit.metric)
        if measure is None or task not in measure.tasks:
            fitting = ", ".join(m.name for m in MEASURES.values() if task in m.tasks)
            raise ConfigError(
                f"{key}.metric: {limit.metric!r} is no fairness measure of a {task} target; expected one of: {fitting}."
            )
        wrong = "max" if measure.kind == "ratio" else "min"
        if getattr(limit, wrong) is not None:
            right = "min" if wrong == "max" else "max"
            raise ConfigError(f"{key}.{wrong}: {limit.metric} is a {measure.kind}; state {right} instead.")
        if measure.kind == "difference" and task != "regression" and limit.max is not None and limit.max >= 1:
            raise ConfigError(f"{key}.max: {limit.max:g} would pass every model; expected a number below 1.")


def list_rates(y: Array, prediction: Array, at: OperatingPoint, task: TaskType) -> dict[str, Rate]:
    """What is compared between groups; arguments as in `Metric.compute`."""
    everyone = np.ones(len(y), bool)
    if task == "regression":
        error = prediction - y
        found = [
            Rate("mean_error", error, everyone, False),
            Rate("absolute_error", np.abs(error), everyone, False),
        ]
        return {r.name: r for r in found}
    decided = decide_rows(prediction, task, at.threshold)
    hit = Rate("accuracy", (decided == y).astype(np.float64), everyone, True)
    if task == "multiclass":
        return {hit.name: hit}
    positive = decided.astype(np.float64)
    found = [
        Rate("selection_rate", positive, everyone, True),
        Rate("true_positive_rate", positive, y == 1, True),
        Rate("false_positive_rate", positive, y == 0, True),
        hit,
        Rate("calibration", y.astype(np.float64), everyone, True, prediction),
    ]
    return {r.name: r for r in found}


def audit_groups(
    rates: Mapping[str, Rate], parts: Sequence[Part], masks: Sequence[Mask], by: tuple[str, ...], blocks: Blocks,
    task: TaskType, confidence: float = 0.95,
) -> GroupAudit:  # fmt: skip
    """Each group's rates with two-sided intervals, and the measures over those that are large enough.

    `masks` (n,) tell the rows of each of `parts`.
    """
    groups = []
    for part, mask in zip(parts, masks, strict=True):
        if not mask.any():
            continue
        tallies = {name: tally_rate(rate, mask, blocks) for name, rate in rates.items()}
        own = {name: find_interval(t, confidence) for name, t in tallies.items() if t.rows}
        small = is_too_small(tally_everyone(mask, blocks))
        groups.append(GroupRates(part.name, int(mask.sum()), {} if small else own, small))  # few rows tell of persons
    large = [m for g, m in zip(groups, (m for m in masks if m.any()), strict=True) if not g.too_small]
    return GroupAudit(by, tuple(groups), measure_gaps(rates, large, task))


def measure_gaps(rates: Mapping[str, Rate], masks: Sequence[Mask], task: TaskType) -> dict[str, float]:
    """Each measure of the task that these rates make, over these groups, as fairlearn has it (a test holds them
    together); nan with fewer than two groups, or where a group has no row that a rate is of."""
    fitting = [m for m in MEASURES.values() if task in m.tasks]
    if len(masks) < 2:
        return {m.name: math.nan for m in fitting}
    found: dict[str, dict[Kind, float]] = {}
    for name, rate in rates.items():
        values = rate.values if rate.expected is None else rate.values - rate.expected
        counted = [rate.among & group for group in masks]
        means = np.array([values[rows].mean() if rows.any() else math.nan for rows in counted])
        ratio = math.nan
        if rate.is_share and rate.expected is None and means.max() > 0:
            ratio = float(means.min() / means.max())
        found[name] = {"ratio": ratio, "difference": float(means.max() - means.min())}
    gaps = {}
    for measure in fitting:
        if all(name in found for name in measure.rates):
            worst = min if measure.kind == "ratio" else max
            gaps[measure.name] = worst(found[name][measure.kind] for name in measure.rates)
    return gaps


def judge_fairness(
    rates: Mapping[str, Rate],
    limits: Sequence[FairnessLimit],
    groups: Mapping[tuple[str, ...], tuple[Sequence[Part], Sequence[Mask]]],
    blocks: Blocks,
    task: TaskType,
    confidence: float,
) -> tuple[FairnessResult, ...]:
    """Every stated limit; `groups` gives for each `by` the parts and their rows. `confidence` is that of all of them
    together: a model that keeps every limit is failed on any by chance at most as often."""
    asked, holm = compare_groups(rates, limits, groups, blocks, confidence)
    results, start = [], 0
    for limit, one in zip(limits, asked, strict=True):
        end = start + len(one.p_values)
        needed = {name: rates[name] for name in MEASURES[limit.metric].rates}
        gap = measure_gaps(needed, one.large, task)[limit.metric]
        results.append(_conclude(limit, one, holm.failed[start:end], holm.level[start:end], gap))
        start = end
    return tuple(results)


@dataclass(frozen=True)
class Asked:
    """All comparisons of one limit, in one order throughout."""

    names: tuple[tuple[str, str, str], ...] = ()  # group, other, rate
    rows: tuple[int, ...] = ()
    tests: ShareTests | MeanTests | None = None
    p_values: tuple[float, ...] = ()
    too_small: tuple[str, ...] = ()
    large: tuple[Mask, ...] = ()


def compare_groups(
    rates: Mapping[str, Rate],
    limits: Sequence[FairnessLimit],
    groups: Mapping[tuple[str, ...], tuple[Sequence[Part], Sequence[Mask]]],
    blocks: Blocks,
    confidence: float,
) -> tuple[list[Asked], Holm]:
    """Every comparison that the limits ask for, and which of them break theirs, all corrected as one family."""
    asked = [_compare_all(rates, limit, *groups[limit.by], blocks) for limit in limits]
    p_values = np.array([p for one in asked for p in one.p_values], dtype=np.float64)
    return asked, step_down(p_values, design_level(confidence))


def _compare_all(
    rates: Mapping[str, Rate], limit: FairnessLimit, parts: Sequence[Part], masks: Sequence[Mask], blocks: Blocks
) -> Asked:
    measure = MEASURES[limit.metric]
    held_to = limit.stated
    pairs: list[tuple[Tally, Tally]] = []
    names: list[tuple[str, str, str]] = []
    small: dict[str, None] = {}
    present = [(part, mask) for part, mask in zip(parts, masks, strict=True) if mask.any()]
    small |= {part.name: None for part, mask in zip(parts, masks, strict=True) if part.is_named and not mask.any()}
    for name in measure.rates:
        tallies = [(part.name, tally_rate(rates[name], mask, blocks)) for part, mask in present]
        small |= {group: None for group, tally in tallies if is_too_small(tally)}
        large = [(group, tally) for group, tally in tallies if not is_too_small(tally)]
        for (group, one), (other, two) in itertools.permutations(large, 2):
            pairs.append((one, two))
            names.append((group, other, name))
    kept = tuple(mask for part, mask in present if part.name not in small)
    asked = Asked(too_small=tuple(small), large=kept)
    if not pairs:
        return asked
    tested = ShareTests if pairs[0][0].is_share else MeanTests
    tests = tested.of(pairs, measure.kind, held_to)
    return replace(
        asked,
        names=tuple(names),
        rows=tuple(one.rows + two.rows for one, two in pairs),
        tests=tests,
        p_values=tuple(tests.test_broken().tolist()),
    )


def _conclude(limit: FairnessLimit, asked: Asked, failed: Mask, level: Array, gap: float) -> FairnessResult:
    kind, held_to = MEASURES[limit.metric].kind, limit.stated
    if asked.tests is None:
        few = f"fewer than two groups by {' and '.join(limit.by)} are large enough to be compared"
        return FairnessResult(limit.by, limit.metric, kind, held_to, gap, "too small", (), asked.too_small, 0, few)
    kept = asked.tests.test_kept() < level  # held to the level of the bounds that are shown
    findings: list[Finding] = [
        "fail" if bad else "pass" if good else "undecided" for bad, good in zip(failed, kept, strict=True)
    ]
    order = np.lexsort((np.array(asked.p_values), ~failed))
    shown = order[: min(max(int(failed.sum()), _KEPT), _MOST_KEPT)]
    low, high = asked.tests.bounds(shown, level[shown])
    values = asked.tests.values()
    comparisons = tuple(
        GroupComparison(
            group=asked.names[i][0],
            other=asked.names[i][1],
            rate=asked.names[i][2],
            value=float(values[i]),
            low=float(low[at]),
            high=float(high[at]),
            confidence=1 - float(level[i]),
            p_value=asked.p_values[i],
            rows=asked.rows[i],
            finding=findings[i],
        )
        for at, i in enumerate(shown)
    )
    finding: Finding = "fail" if failed.any() else "undecided" if "undecided" in findings or asked.too_small else "pass"
    return FairnessResult(
        limit.by, limit.metric, kind, held_to, gap, finding, comparisons, asked.too_small, findings.count("undecided")
    )
