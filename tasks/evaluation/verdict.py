"""All gates together: promote, hold or reject. There is one way to `promote`, and no way around a gate."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from tasks.config import Project
from tasks.config.gates import Gates
from tasks.evaluation import gates as judged
from tasks.evaluation.audit_gates import (
    LEAKS,
    ROBUST,
    SLICES,
    judge_fairness_gate,
    judge_leaks_gate,
    judge_robustness_gate,
    judge_slices_gate,
    name_fairness,
    tell_price,
)
from tasks.evaluation.bounds import judge_bound, list_bounds, name_gate
from tasks.results import Audit, Evaluation, GateResult, Outcome, Soundness, Verdict
from tasks.stage import stage

log = logging.getLogger(__name__)
ALWAYS = ("baseline", "champion", LEAKS, ROBUST, "sound", "speed", "size")  # every verdict has all of these
OF_TRAINING = (LEAKS, ROBUST)  # what a later look takes from the training: new labels do not change it
MAY_NOT_APPLY = frozenset({"champion"})  # where there is none yet
PASSED = "Every gate passed."
Judges = Mapping[str, Callable[[], GateResult]]


def expect_gates(gates: Gates) -> tuple[str, ...]:
    """The names of the gates that a project asks for, in their order."""
    baseline, champion, *others = ALWAYS
    bounds = (name_gate(kind, metric) for kind, metric, _ in list_bounds(gates))
    slices = (SLICES,) if gates.slices.max_drop is not None else ()
    fairness = dict.fromkeys(name_fairness(limit) for limit in gates.fairness)
    return (baseline, *bounds, champion, *slices, *fairness, *others)


def judge_evidence(
    evaluation: Evaluation,
    soundness: Soundness | None,
    spec: Project,
    champion_state: str,
    audit: Audit | None,
    kept: Sequence[GateResult] = (),
) -> tuple[GateResult, ...]:
    """Every gate's result. A gate that breaks is inconclusive, so that an error holds and never releases.

    `kept` are results of an earlier judgement that stand as they are.
    """
    judges: dict[str, Callable[[], GateResult]] = {
        SLICES: lambda: judge_slices_gate(audit, spec.gates.slices),
        ROBUST: lambda: judge_robustness_gate(audit.robustness if audit else None, spec.gates.robustness),
        LEAKS: lambda: judge_leaks_gate(audit.leaks if audit else None),
        "baseline": lambda: judged.judge_baseline(evaluation, spec.gates),
        "champion": lambda: judged.judge_champion(evaluation, spec.gates.champion, champion_state),
        **_judge_stored(soundness, spec),
    }
    for kind, metric, limit in list_bounds(spec.gates):
        judges[name_gate(kind, metric)] = partial(judge_bound, evaluation, kind, metric, limit)
    for asked in spec.gates.fairness:
        judges[name_fairness(asked)] = partial(judge_fairness_gate, audit, asked)
    judges |= {gate.name: partial(_repeat, gate) for gate in kept}
    return tuple(_judge_closed(name, judges[name]) for name in expect_gates(spec.gates))


def _repeat(gate: GateResult) -> GateResult:
    return gate


def _judge_stored(soundness: Soundness | None, spec: Project) -> Judges:
    """The gates that ask how the stored model behaves, and not what it is worth."""
    limits = spec.gates.limits
    return {
        "sound": lambda: judged.judge_soundness(soundness),
        "speed": lambda: judged.judge_speed(soundness, limits),
        "size": lambda: judged.judge_size(soundness, limits),
    }


def decide(gates: Sequence[GateResult], asked: Gates) -> Verdict:
    """`reject` where a gate fails; else `promote` where every gate that is asked for passed; else `hold`.

    A gate that is missing, there twice, of an unknown status, not applicable without leave, or passed without finite
    numbers counts as inconclusive. Gates beyond the expected ones count like them.
    """
    checked = tuple(_check(gate) for gate in (*gates, *_absent(gates, expect_gates(asked))))
    failed = [g for g in checked if g.status == "fail"]
    open_ = [g for g in checked if not _lets_pass(g)]
    leaking = [g for g in open_ if g.name == LEAKS and g.status == "inconclusive" and (g.observed or 0) > 0]
    if leaking:  # what the other gates found of a model that reads a leak means little
        return _conclude("hold", [*leaking, *(g for g in (*failed, *open_) if g not in leaking)], checked)
    if failed:
        return _conclude("reject", failed, checked)
    if open_:
        return _conclude("hold", open_, checked)
    compared = next((g for g in checked if g.name == "champion" and g.status == "pass"), None)
    deciding = compared or next(g for g in checked if g.name == "baseline")
    let = [f"{g.name} ({g.evidence['undecided']})" for g in checked if g.evidence.get("undecided")]
    untold = f" Not told for all, and let pass: {', '.join(let)}." if let else ""
    return Verdict("promote", f"{PASSED} {deciding.sentence}{untold}", checked, deciding.name)


def _conclude(outcome: Outcome, against: Sequence[GateResult], checked: tuple[GateResult, ...]) -> Verdict:
    first, *others = against
    also = f" Also against it: {', '.join(dict.fromkeys(g.name for g in others))}." if others else ""
    return Verdict(outcome, first.sentence + also, checked, first.name)


def _lets_pass(gate: GateResult) -> bool:
    return gate.status == "pass" or (gate.status == "not_applicable" and gate.name in MAY_NOT_APPLY)


def _absent(gates: Sequence[GateResult], expected: Sequence[str]) -> list[GateResult]:
    count = Counter(g.name for g in gates)
    missing = [GateResult(n, "inconclusive", f"The gate {n} was not judged.") for n in expected if not count[n]]
    twice = [GateResult(n, "inconclusive", f"The gate {n} was judged {k} times.") for n, k in count.items() if k > 1]
    return missing + twice


def _check(gate: GateResult) -> GateResult:
    """The gate itself, or an inconclusive one in its place where what it says cannot be relied on."""
    if gate.status in ("fail", "inconclusive"):
        return gate
    if gate.status == "not_applicable" and gate.name in MAY_NOT_APPLY:
        return gate
    if gate.status != "pass":
        why = f"{gate.status!r} is no answer that it may give"
    elif gate.observed is None:
        why = "it passed without a number"
    elif any(
        isinstance(v, float) and not math.isfinite(v) for v in (gate.observed, gate.limit, *gate.evidence.values())
    ):
        why = "it passed on a number that is not finite"
    else:
        return gate
    return GateResult(
        gate.name, "inconclusive", f"The gate {gate.name} does not count: {why}.", None, gate.limit, gate.evidence
    )


def _judge_closed(name: str, judge: Callable[[], GateResult]) -> GateResult:
    try:
        return judge()
    except Exception as error:  # fail closed: whatever breaks a gate must hold the release
        log.exception("gate %s broke", name)
        return GateResult(
            name, "inconclusive", f"The gate {name} could not be judged: {type(error).__name__}: {error}."
        )


def judge_refit(twin: Sequence[GateResult], soundness: Soundness | None, spec: Project) -> Verdict:
    """The verdict on a model that was fitted again after its twin was judged.

    The twin's gates count, but for those that ask how the stored model behaves: they are judged anew.
    """
    judges = _judge_stored(soundness, spec)
    return decide([_judge_closed(g.name, judges[g.name]) if g.name in judges else g for g in twin], spec.gates)


@stage("decide")
def judge_challenger(
    evaluation: Evaluation,
    soundness: Soundness | None,
    spec: Project,
    champion_state: str,
    audit: Audit | None = None,
    kept: Sequence[GateResult] = (),
) -> Verdict:
    """The verdict on a challenger.

    `champion_state` is "none" where the ledger has no champion, "compared", or "unreadable: why". `soundness` or
    `audit` None (the check itself failed) holds; `kept` as in `judge_evidence`.
    """
    verdict = decide(judge_evidence(evaluation, soundness, spec, champion_state, audit, kept), spec.gates)
    price = "" if audit is None else tell_price(audit.price, spec)
    if not price or verdict.outcome != "promote":
        return verdict
    return replace(verdict, reason=verdict.reason.replace(PASSED, f"{PASSED} {price}", 1))
