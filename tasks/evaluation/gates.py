"""The gates: each a small pure function that turns evidence into pass, fail or inconclusive, with one sentence.

A gate passes only where a bound clears its limit, fails where the opposite bound shows that it is missed, and is
inconclusive between. Evidence that is missing or not a finite number never passes.
"""

from __future__ import annotations

import math
from typing import Any

from tasks.config.gates import ChampionGate, Gates, Limits
from tasks.evaluation.sentences import (
    capitalise,
    find_title,
    has_unit,
    say_rows_needed,
    say_too_few,
    write_amount,
    write_number,
    write_percent,
    write_rows,
    write_signed,
)
from tasks.results import Comparison, Evaluation, GateResult, Soundness, Status

SAME_PREDICTION = 1e-6  # what sums in another order may cost; a wrong model is off by far more
NO_CHAMPION = "none"
COMPARED = "compared"
WITHDRAWN = "withdrawn: "


def judge_baseline(evaluation: Evaluation, gates: Gates) -> GateResult:
    """Does the challenger beat the constant prediction by the amount that is asked? Paired, by the one-sided bound."""
    comparison = evaluation.against_baseline
    if evaluation.problem or comparison is None:
        return leave_open("baseline", evaluation.problem or "it was not compared with the constant prediction")
    limit = comparison.margin
    why = _find_gap(comparison)
    if why:
        return leave_open("baseline", why, limit, _list_evidence(comparison))
    title = find_title(comparison.metric)
    own, trivial = evaluation.metric(comparison.metric).value, evaluation.baseline.value
    status = _judge_bounds(comparison, limit, strict=True)
    asked = write_amount(limit, gates.settle_baseline(has_unit(comparison.metric)))
    fact = (
        f"{capitalise(title)} is {write_number(own)} on {write_rows(comparison)}, "
        f"the constant prediction's {write_number(trivial)}"
    )
    bound = f"{write_percent(comparison.confidence)} confidence"
    if status == "pass":
        sentence = f"{fact}: better by at least {write_number(comparison.low)} with {bound}; {asked} is asked."
    elif status == "fail":
        sentence = (
            f"{fact}: the gain is at most {write_number(comparison.high)} with {bound}; more than "
            f"{asked} is asked (gates.beat_baseline_by). Features that tell more, or more rows to "
            "learn from, are needed."
        )
    else:
        hint = say_rows_needed(
            comparison, "if the gain is as it looks", "As it looks it does not, and more rows would hardly help."
        )
        sentence = (
            f"{fact}: the gain lies between {write_number(comparison.low)} and {write_number(comparison.high)}, which "
            f"does not tell whether it exceeds the {asked} asked.{hint}"
        )
    return GateResult("baseline", status, sentence, comparison.low, limit, _list_evidence(comparison))


def judge_champion(evaluation: Evaluation, rule: ChampionGate, state: str) -> GateResult:
    """Is the challenger better than the champion, or not worse by more than the margin, as the rule asks?

    `state` is "none" where the ledger has no champion (not applicable), "compared", "unreadable: why", or
    "withdrawn: why" where the project file no longer allows what the champion reads: it is no bar then, and a person
    decides.
    """
    comparison = evaluation.against_champion
    if state.startswith(WITHDRAWN):
        why = (
            f"the champion {state.removeprefix(WITHDRAWN)}, so its numbers are no bar to meet; where the other gates "
            "passed, a person may release this version with `trueup promote`"
        )
        return leave_open("champion", why, evidence={"withdrawn": True})
    if state == NO_CHAMPION and comparison is None and not evaluation.champion_problem:
        return GateResult("champion", "not_applicable", "There is no champion yet to compare with.")
    if state != COMPARED:
        why = "the ledger has no champion, yet one was compared" if state == NO_CHAMPION else f"the champion is {state}"
        return leave_open("champion", why)
    if evaluation.problem or comparison is None:
        why = (
            evaluation.problem or f"the champion cannot be compared: {evaluation.champion_problem or 'no reason given'}"
        )
        return leave_open("champion", why)
    limit = -comparison.margin if rule.rule == "not_worse" else 0.0
    evidence = {**_list_evidence(comparison), "rule": rule.rule}
    why = _find_gap(comparison)
    if why:
        return leave_open("champion", why, limit, evidence)
    status = _judge_bounds(comparison, limit, strict=rule.rule == "better")
    sentence = _write_comparison(comparison, rule, status)
    return GateResult("champion", status, sentence, comparison.low, limit, evidence)


def judge_soundness(soundness: Soundness | None) -> GateResult:
    """Does the stored model load in a fresh process and predict the same there?"""
    if soundness is None:
        return leave_open("sound", "the stored model was not tried in a fresh process", SAME_PREDICTION)
    difference = soundness.largest_difference
    if not soundness.loads:
        detail = soundness.detail or "no reason given"
        sentence = (
            f"It does not load in a fresh process: {detail}. Nobody could serve it; leave that candidate out of "
            "train.candidates."
        )
        return GateResult("sound", "fail", sentence, None, SAME_PREDICTION)
    if difference is None or not math.isfinite(difference):
        return leave_open("sound", "its predictions in a fresh process could not be compared", SAME_PREDICTION)
    if abs(difference) > SAME_PREDICTION:
        sentence = (
            f"In a fresh process it predicts otherwise: by up to {write_number(difference)}, where at most "
            f"{SAME_PREDICTION:g} is rounding. Leave that candidate out of train.candidates."
        )
        return GateResult("sound", "fail", sentence, difference, SAME_PREDICTION)
    sentence = "It loads in a fresh process and predicts the same there."
    return GateResult("sound", "pass", sentence, difference, SAME_PREDICTION)


def judge_speed(soundness: Soundness | None, limits: Limits) -> GateResult:
    """Is it fast enough?"""
    found = None if soundness is None else soundness.predict_ms_per_1k_rows
    key = "gates.limits.predict_ms_per_1k_rows"
    return _judge_limit("speed", found, limits.predict_ms_per_1k_rows, "Predicting 1,000 rows takes", "ms", key)


def judge_size(soundness: Soundness | None, limits: Limits) -> GateResult:
    """Is it small enough?"""
    found = None if soundness is None else soundness.size_mb
    return _judge_limit("size", found, limits.size_mb, "The stored model takes", "MB", "gates.limits.size_mb")


def _judge_limit(name: str, found: float | None, limit: float, what: str, unit: str, key: str) -> GateResult:
    if found is None or not math.isfinite(found) or found < 0:
        return leave_open(name, "it was not measured", limit)
    status: Status = "pass" if found <= limit else "fail"
    sentence = f"{what} {write_number(found)} {unit}; at most {write_number(limit)} {unit} is allowed"
    sentence += "." if status == "pass" else f" ({key}). A smaller model, or a higher limit, is needed."
    return GateResult(name, status, sentence, found, limit)


def _judge_bounds(comparison: Comparison, limit: float, *, strict: bool) -> Status:
    if comparison.low > limit or (not strict and comparison.low >= limit):
        return "pass"
    if comparison.high < limit or (strict and comparison.high <= limit):
        return "fail"
    return "inconclusive"


def _find_gap(comparison: Comparison) -> str:
    """Why nothing can be told from a comparison; empty where all its numbers are there."""
    if not all(map(math.isfinite, (comparison.gain, comparison.low, comparison.high))):
        return say_too_few(comparison, comparison.metric)
    if not (math.isfinite(comparison.margin) and comparison.margin >= 0):
        return (
            "the margin is a percentage of the constant prediction's value, which is not defined on these rows; give a "
            "number in gates.champion.margin and gates.beat_baseline_by"
        )
    return ""


def leave_open(name: str, why: str, limit: float | None = None, evidence: dict[str, Any] | None = None) -> GateResult:
    """A gate that cannot be told, and why."""
    return GateResult(name, "inconclusive", f"Cannot tell: {why}.", None, limit, evidence or {})


def _list_evidence(comparison: Comparison) -> dict[str, Any]:
    return {
        "metric": comparison.metric,
        "gain": comparison.gain,
        "low": comparison.low,
        "high": comparison.high,
        "confidence": comparison.confidence,
        "method": comparison.method,
        "rows": comparison.rows,
        "blocks": comparison.blocks,
        "effective_blocks": comparison.effective_blocks,
        "rows_needed": comparison.rows_needed,
        "margin": comparison.margin,
    }


def _write_comparison(comparison: Comparison, rule: ChampionGate, status: Status) -> str:
    better, confidence = rule.rule == "better", write_percent(comparison.confidence)
    margin = write_amount(comparison.margin, rule.settle_margin(has_unit(comparison.metric)))
    fact = (
        f"on {write_rows(comparison)} the challenger's gain in {find_title(comparison.metric)} is "
        f"{write_signed(comparison.gain)}"
    )
    bound = f"with {confidence} confidence"
    asked = "a gain above 0 is asked" if better else f"a loss of up to {margin} is allowed"
    if status == "pass":
        head = "Better than the champion" if better else "Not worse than the champion"
        return f"{head}: {fact}, and {bound} at least {write_signed(comparison.low)}; {asked}."
    if status == "fail":
        head = "Not better than the champion" if better else "Worse than the champion"
        return f"{head}: {fact}, and {bound} at most {write_signed(comparison.high)}; {asked}. The champion stays."
    if better:
        supposed = f"if it is better by {margin}"
        otherwise = "With a gates.champion.margin above 0, the rows that show such a gain would be told here."
    else:
        supposed = "if the two are equal"
        otherwise = "Allowing no loss at all asks for more than rows can show; set a gates.champion.margin above 0."
    return (
        f"Cannot tell whether it is {'better' if better else 'worse'} than the champion: {fact}, between "
        f"{write_signed(comparison.low)} and {write_signed(comparison.high)} {bound} each; {asked}."
        f"{say_rows_needed(comparison, supposed, otherwise)}"
    )
