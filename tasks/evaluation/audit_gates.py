"""The gates that an audit feeds: parts of the rows, groups of people, perturbed rows, leaks. As in `gates`, each is a
small pure function, and what is missing or broke never passes."""

from __future__ import annotations

import math

from tasks.config import Project
from tasks.config.gates import FairnessLimit, Robustness, Slices
from tasks.evaluation.fairness import name_limit
from tasks.evaluation.gates import leave_open
from tasks.evaluation.sentences import capitalise, find_title, write_number, write_percent
from tasks.results import (
    Audit,
    FairnessResult,
    GateResult,
    GroupComparison,
    LeakAudit,
    LeakSign,
    MitigationPrice,
    Perturbation,
    RobustnessAudit,
    SliceAudit,
    SliceResult,
    Status,
)

SLICES, ROBUST, LEAKS = "slices", "robust", "leaks"
_NAMED = 3  # of many: how many a sentence names
_RATES = {
    "selection_rate": ("decided positive", "of {} rows"),
    "true_positive_rate": ("found", "of {} true positives"),
    "false_positive_rate": ("wrongly decided positive", "of {} true negatives"),
    "accuracy": ("decided right", "of {} rows"),
}


def name_fairness(limit: FairnessLimit) -> str:
    """How the gate of a fairness limit is called, such as "fairness sex demographic_parity_ratio"."""
    return f"fairness {name_limit(limit.by, limit.metric)}"


def judge_slices_gate(audit: Audit | None, asked: Slices) -> GateResult:
    """Is no slice shown to be worse than it may be?"""
    found = None if audit is None else audit.slices
    if found is None or found.problem:
        return leave_open(SLICES, (found.problem if found else "") or "the slices were not judged")
    if found.max_drop is None or not math.isfinite(found.max_drop):
        return leave_open(SLICES, "the slices were judged without the limit that gates.slices.max_drop states")
    if not found.slices:
        return leave_open(SLICES, "there is no slice; name columns in gates.slices.by", found.max_drop)
    judged = [s for s in found.slices if s.finding not in ("too small", "reported")]
    worst = max(judged, key=lambda s: s.drop, default=None)
    failed = sorted((s for s in judged if s.finding == "fail"), key=lambda s: s.p_value)
    open_ = [s for s in found.slices if s.finding in ("undecided", "too small")]
    asked_of = len(judged) + sum(s.finding == "too small" for s in open_)
    evidence = {
        "metric": found.metric,
        "confidence": found.confidence,
        "slices": len(found.slices),
        "judged": len(judged),
        "failed": [s.name for s in failed][:20],
        "against": found.against,
        "undecided": f"{len(open_)} of {asked_of} slices" if open_ else "",
    }
    title = capitalise(find_title(found.metric))
    held_to = "the champion's there" if found.against == "champion" else "its own on all test rows"
    allowed = f"up to {write_number(found.max_drop)} below {held_to} is allowed (gates.slices.max_drop)"
    if failed:
        sentence = (
            f"{title} is worse on {_count(len(failed), 'slice')} of {len(judged)} than allowed: "
            f"{'; '.join(_tell_slice(s, found) for s in failed[:_NAMED])}"
            f"{f'; and {len(failed) - _NAMED} more' if len(failed) > _NAMED else ''}. {capitalise(allowed)}."
        )
        return GateResult(SLICES, "fail", sentence, failed[0].drop, found.max_drop, evidence)
    small = sum(s.finding == "too small" for s in open_)
    between = len(open_) - small
    rest = _tell_open(between, small)
    if worst is None or not judged:
        return leave_open(
            SLICES,
            f"all {len(found.slices)} slices have too few rows or independent days to tell",
            found.max_drop,
            evidence,
        )
    said = f"None of {_count(len(judged), 'slice')} is shown to be worse than allowed; {allowed}."
    status: Status = "inconclusive" if open_ and asked.undecided == "hold" else "pass"
    if status == "inconclusive":
        said = f"Cannot tell for every slice: {rest.strip()} gates.slices.undecided asks to hold then. {said}"
    else:
        said += rest
    return GateResult(SLICES, status, said, worst.drop, found.max_drop, evidence)


def judge_fairness_gate(audit: Audit | None, limit: FairnessLimit) -> GateResult:
    """Does no group of people get less than the limit allows?"""
    name = name_fairness(limit)
    matching = [] if audit is None else [f for f in audit.fairness if (f.by, f.metric) == (limit.by, limit.metric)]
    found = next((f for f in matching if f.limit == limit.stated), None)
    if found is None or found.problem:
        return leave_open(name, (found.problem if found else "") or "the groups were not judged", limit.stated)
    if not found.comparisons:
        return leave_open(name, "no two groups could be compared", limit.stated)
    worst = found.comparisons[0]
    if not math.isfinite(worst.value):
        why = f"no group by {' and '.join(found.by)} has a decision that counts there; train.costs moves the threshold"
        return leave_open(name, why, limit.stated)
    evidence = {
        "measure": found.metric,
        "by": list(found.by),
        **{end: _or_none(getattr(worst, end)) for end in ("value", "low", "high")},
        "confidence": worst.confidence,
        "rows": worst.rows,
        "over_all_groups": _or_none(found.value),
        "too_small": list(found.too_small)[:20],
        "undecided": _tell_untold(found),
    }
    asked = f"at least {found.limit:g}" if found.kind == "ratio" else f"at most {write_number(found.limit)}"
    asked = f"{asked} is asked"
    if found.finding == "fail":
        failed = [c for c in found.comparisons if c.finding == "fail"]
        others = list(dict.fromkeys(c.group for c in failed if c.group != worst.group))
        more = f" So it is for {', '.join(others[:_NAMED])} too." if others else ""
        sentence = f"{_tell_pair(worst, found, audit)}; {asked}.{more} {_advise(found)}"
        return GateResult(name, "fail", sentence, worst.value, found.limit, evidence)
    rest = _tell_open(found.undecided, len(found.too_small), "comparison", "group")
    status: Status = "inconclusive" if found.finding != "pass" and limit.undecided == "hold" else "pass"
    said = f"No group is shown to break it: {_tell_pair(worst, found, audit)}; {asked}."
    if status == "inconclusive":
        said = f"Cannot tell for every group:{rest} The limit's `undecided` asks to hold then. {said}"
    else:
        said += rest
    return GateResult(name, status, said, worst.value, found.limit, evidence)


def judge_robustness_gate(found: RobustnessAudit | None, asked: Robustness) -> GateResult:
    """Does the model survive missing, unseen and noisy values, and keep its metric where limits are stated?"""
    if found is None or found.problem or not found.steps:
        why = "" if found is None else found.problem
        return leave_open(ROBUST, why or "the model was not tried on perturbed rows")
    broken = [s for s in found.steps if s.problem]
    fallen = sorted((s for s in found.steps if s.finding == "fail" and not s.problem), key=lambda s: -s.fall)
    limited = [s for s in found.steps if s.limit is not None and math.isfinite(s.fall)]
    worst = max(limited or [s for s in found.steps if math.isfinite(s.fall)], key=lambda s: s.fall, default=None)
    title = find_title(found.metric)
    evidence = {"metric": found.metric, "rows": found.rows, "steps": len(found.steps), "broken": len(broken)}
    if broken:
        sentence = f"It breaks {name_step(broken[0])}: {broken[0].problem}. Leave that candidate or column out."
        return GateResult(ROBUST, "fail", sentence, float(len(broken)), 0.0, evidence)
    if fallen:
        first = fallen[0]
        sentence = (
            f"{capitalise(title)} falls by {write_number(first.fall)} {name_step(first)}, by at least "
            f"{write_number(first.low)} with confidence over all steps; up to {write_number(first.limit or 0.0)} is "
            f"allowed (gates.robustness.{'max_drop_lost' if first.kind == 'lost' else 'max_drop'})."
            f"{_tell_more(len(fallen) - 1, 'step')}"
        )
        return GateResult(ROBUST, "fail", sentence, first.fall, first.limit, evidence)
    if worst is None:
        return leave_open(ROBUST, "no fall of the metric could be measured", None, evidence)
    said = f"It survives missing, unseen and noisy values and the loss of any one feature; {title} falls most "
    said += f"{name_step(worst)}: by {write_number(worst.fall)} of {write_number(found.whole)}."
    undecided = [s for s in limited if s.finding in ("undecided", "too small")]
    if undecided:
        said += f" For {_count(len(undecided), 'step')} it is not shown to keep the limit, nor to break it."
    return GateResult(ROBUST, "pass", said, worst.fall, worst.limit, evidence)


def judge_leaks_gate(found: LeakAudit | None) -> GateResult:
    """Is there no near-certain sign that test rows flatter the model?"""
    if found is None:
        return leave_open(LEAKS, "nobody looked for leaks")
    certain = _once_per_column([s for s in found.signs if s.certain and not s.cleared])
    mild = [s for s in found.signs if not s.certain and not s.cleared]
    cleared = sum(s.cleared for s in found.signs)
    evidence = {"columns": found.columns, "rows": found.rows, "signs": len(found.signs), "cleared": cleared}
    if certain:
        way = " (data.exclude, or data.known_in_time if it is none)" if certain[0].column is not None else ""
        said = f"Near-certainly a leak{way}: {certain[0].sentence}"
        named = [repr(s.column) if s.column is not None else s.kind for s in certain[1:]]
        more = f" Also: {', '.join(named[:_NAMED])}." if named else ""
        return GateResult(LEAKS, "inconclusive", said + more, float(len(certain)), 0.0, evidence)
    said = f"No near-certain sign of a leak in {_count(found.columns, 'feature')}."
    if mild:
        said += f" Worth a look: {mild[0].sentence}{_tell_more(len(mild) - 1, 'sign')}"
    if cleared:
        said += f" Cleared by the project file (data.known_in_time): {_count(cleared, 'sign')}."
    return GateResult(LEAKS, "pass", said, 0.0, 0.0, evidence)


def tell_price(price: MitigationPrice | None, spec: Project) -> str:
    """What treating groups more alike costs, in a sentence; empty where nothing was done."""
    if price is None or spec.train.mitigation is None:
        return ""
    before, after = price.before.get(price.metric, math.nan), price.after.get(price.metric, math.nan)
    return (
        f"Decisions were made more alike by {' and '.join(spec.train.mitigation.by)} (train.mitigation): "
        f"{find_title(price.metric)} is {write_number(before)} without that and {write_number(after)} with it."
    )


def name_step(step: Perturbation) -> str:
    """What was done to the rows, in a clause."""
    if step.kind == "lost":
        return f"where {step.column!r} is lost"
    share = write_percent(step.amount)
    return {
        "missing": f"with {share} of all values missing",
        "unseen": f"with {share} of category values never seen",
        "noise": f"with noise of {share} of each number's spread",
    }[step.kind]


def _tell_slice(found: SliceResult, audit: SliceAudit) -> str:
    origin = " (found by search)" if found.found else ""
    return (
        f"{found.name}{origin}, {found.rows:,} rows: {write_number(found.metric.value)} against "
        f"{write_number(found.other)}, lower by at least {write_number(found.low)} with "
        f"{write_percent(audit.confidence)} confidence over all slices"
    )


def _tell_pair(pair: GroupComparison, found: FairnessResult, audit: Audit | None) -> str:
    """Both groups with their rates, and what separates them."""
    rates = {g.group: g for a in (audit.groups if audit else ()) if a.by == found.by for g in a.groups}
    one, other = rates.get(pair.group), rates.get(pair.other)
    sure = f"with {write_percent(audit.slices.confidence)} confidence over all comparisons" if audit else ""
    what = "a ratio of" if found.kind == "ratio" else "a difference of"
    end = "at most" if found.kind == "ratio" else "at least"
    bound = pair.high if found.kind == "ratio" else pair.low
    gap = f"{what} {write_number(pair.value)}, {sure} {end} {write_number(bound)}"
    if one is None or other is None or pair.rate not in one.rates or pair.rate not in other.rates:
        return f"{pair.group} against {pair.other}, {pair.rate.replace('_', ' ')}: {gap}"
    a, b = one.rates[pair.rate][0], other.rates[pair.rate][0]
    if pair.rate in _RATES:
        verb, of = _RATES[pair.rate]
        counted = of.format(f"{one.rows:,}") if pair.rate in ("selection_rate", "accuracy") else of.format("its")
        against = of.format(f"{other.rows:,}") if pair.rate in ("selection_rate", "accuracy") else of.format("its")
        return (
            f"{pair.group}: {write_percent(round(a, 4))} {counted} {verb}; {pair.other}: "
            f"{write_percent(round(b, 4))} {against}: {gap}"
        )
    return (
        f"{pair.rate.replace('_', ' ')} of {pair.group} is {write_number(a)}, of {pair.other} {write_number(b)}: {gap}"
    )


def _advise(found: FairnessResult) -> str:
    repairable = {
        "demographic_parity_ratio": "demographic_parity",
        "demographic_parity_difference": "demographic_parity",
        "true_positive_rate_difference": "true_positive_rate_parity",
    }
    if found.metric in repairable:
        by = found.by[0] if len(found.by) == 1 else f"[{', '.join(found.by)}]"
        parity = repairable[found.metric]
        more = "" if parity == "demographic_parity" else f", parity: {parity}"
        return f"`mitigation: {{by: {by}{more}}}` below `train:` makes decisions more alike, at a price that is shown."
    return "Look at what the model reads of that group: too few rows, other labels, or columns that mean another thing."


def _once_per_column(signs: list[LeakSign]) -> list[LeakSign]:
    """One sign of each column: its sentence carries the facts of all."""
    return list({s.column if s.column is not None else s.kind: s for s in reversed(signs)}.values())[::-1]


def _tell_untold(found: FairnessResult) -> str:
    parts = [f"{_count(found.undecided, 'comparison')} open"] if found.undecided else []
    parts += [f"{_count(len(found.too_small), 'group')} too small"] if found.too_small else []
    return ", ".join(parts)


def _tell_open(between: int, small: int, one: str = "slice", few: str = "slice") -> str:
    parts = []
    if between:
        more = " (more rows or days would tell; so may split.how: random)" if one == "comparison" else ""
        parts.append(f"{_count(between, one)} cannot be told either way{more}")
    if small:
        parts.append(f"{_count(small, few)} {'has' if small == 1 else 'have'} too few rows or independent days to tell")
    return f" {' and '.join(parts)}." if parts else ""


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _tell_more(count: int, what: str) -> str:
    return f" And {_count(count, f'more {what}')}." if count > 0 else ""


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
