"""The gates: each a small pure function that turns evidence into pass, fail or inconclusive, with one sentence.

A gate passes only where a bound clears its limit, fails where the opposite bound shows that it is missed, and is
inconclusive between. Evidence that is missing or not a finite number never passes.
"""

from __future__ import annotations

import math
from typing import Any

from tasks.config.project import ChampionGate, Gates, Limits
from tasks.results import Comparison, Evaluation, GateResult, Soundness, Status
from tasks.stats.intervals import MIN_EFFECTIVE_BLOCKS
from tasks.stats.metrics import METRICS

SAME_PREDICTION = 1e-6  # what sums in another order may cost; a wrong model is off by far more
NO_CHAMPION = "none"
COMPARED = "compared"


def judge_baseline(evaluation: Evaluation, gates: Gates) -> GateResult:
    """Does the challenger beat the constant prediction by `beat_baseline_by`? Paired, by the one-sided bound."""
    comparison, limit = evaluation.against_baseline, gates.beat_baseline_by
    if evaluation.problem or comparison is None:
        return _undecided("baseline", evaluation.problem or "it was not compared with the constant prediction", limit)
    if not _is_clear(comparison):
        return _undecided("baseline", _too_few(comparison), limit, _evidence(comparison))
    title = METRICS[comparison.metric].title
    own, trivial = evaluation.metric(comparison.metric).value, evaluation.baseline.value
    status = _judge_bounds(comparison, limit, strict=True)
    fact = f"{_capital(title)} is {_number(own)} on {_rows(comparison)}, the constant prediction's {_number(trivial)}"
    bound = f"{_percent(comparison.confidence)} confidence"
    if status == "pass":
        sentence = f"{fact}: better by at least {_number(comparison.low)} with {bound}; {_number(limit)} is asked."
    elif status == "fail":
        sentence = (
            f"{fact}: the gain is at most {_number(comparison.high)} with {bound}; more than {_number(limit)} is asked."
        )
    else:
        sentence = (
            f"{fact}: the gain lies between {_number(comparison.low)} and {_number(comparison.high)}, which does not "
            f"tell whether it exceeds the {_number(limit)} asked.{_rows_hint(comparison, 'if the gain is as it looks')}"
        )
    return GateResult("baseline", status, sentence, comparison.low, limit, _evidence(comparison))


WITHDRAWN = "withdrawn: "


def judge_champion(evaluation: Evaluation, rule: ChampionGate, state: str) -> GateResult:
    """Is the challenger better than the champion, or not worse by more than the margin, as the rule asks?

    `state` is "none" where the ledger has no champion (not applicable), "compared", "unreadable: why", or
    "withdrawn: why" where the project file no longer allows what the champion reads: it is no bar then, and a person
    decides.
    """
    comparison = evaluation.against_champion
    limit = -rule.margin if rule.rule == "not_worse" else 0.0
    if state.startswith(WITHDRAWN):
        why = (
            f"the champion {state.removeprefix(WITHDRAWN)}, so its numbers are no bar to meet; where the other gates "
            "passed, a person may release this version with `trueup release promote`"
        )
        return _undecided("champion", why, limit, {"withdrawn": True})
    if state == NO_CHAMPION and comparison is None and not evaluation.champion_problem:
        return GateResult("champion", "not_applicable", "There is no champion yet to compare with.", None, limit)
    if state != COMPARED:
        why = "the ledger has no champion, yet one was compared" if state == NO_CHAMPION else f"the champion is {state}"
        return _undecided("champion", why, limit)
    if evaluation.problem or comparison is None:
        why = (
            evaluation.problem or f"the champion cannot be compared: {evaluation.champion_problem or 'no reason given'}"
        )
        return _undecided("champion", why, limit)
    if not _is_clear(comparison):
        return _undecided("champion", _too_few(comparison), limit, _evidence(comparison))
    status = _judge_bounds(comparison, limit, strict=rule.rule == "better")
    return GateResult(
        "champion",
        status,
        _compare_sentence(comparison, rule, status),
        comparison.low,
        limit,
        {**_evidence(comparison), "rule": rule.rule, "margin": rule.margin},
    )


def judge_soundness(soundness: Soundness | None) -> GateResult:
    """Does the stored model load in a fresh process and predict the same there?"""
    if soundness is None:
        return _undecided("sound", "the stored model was not tried in a fresh process", SAME_PREDICTION)
    difference = soundness.largest_difference
    if not soundness.loads:
        detail = soundness.detail or "no reason given"
        return GateResult("sound", "fail", f"It does not load in a fresh process: {detail}.", None, SAME_PREDICTION)
    if difference is None or not math.isfinite(difference):
        return _undecided("sound", "its predictions in a fresh process could not be compared", SAME_PREDICTION)
    if abs(difference) > SAME_PREDICTION:
        sentence = f"In a fresh process it predicts otherwise: by up to {_number(difference)}."
        return GateResult("sound", "fail", sentence, difference, SAME_PREDICTION)
    sentence = "It loads in a fresh process and predicts the same there."
    return GateResult("sound", "pass", sentence, difference, SAME_PREDICTION)


def judge_speed(soundness: Soundness | None, limits: Limits) -> GateResult:
    """Is it fast enough?"""
    found = None if soundness is None else soundness.predict_ms_per_1k_rows
    return _judge_limit("speed", found, limits.predict_ms_per_1k_rows, "Predicting 1,000 rows takes", "ms")


def judge_size(soundness: Soundness | None, limits: Limits) -> GateResult:
    """Is it small enough?"""
    found = None if soundness is None else soundness.size_mb
    return _judge_limit("size", found, limits.size_mb, "The stored model takes", "MB")


def _judge_limit(name: str, found: float | None, limit: float, what: str, unit: str) -> GateResult:
    if found is None or not math.isfinite(found) or found < 0:
        return _undecided(name, "it was not measured", limit)
    status: Status = "pass" if found <= limit else "fail"
    sentence = f"{what} {_number(found)} {unit}; at most {_number(limit)} {unit} is allowed."
    return GateResult(name, status, sentence, found, limit)


def _judge_bounds(comparison: Comparison, limit: float, *, strict: bool) -> Status:
    if comparison.low > limit or (not strict and comparison.low >= limit):
        return "pass"
    if comparison.high < limit or (strict and comparison.high <= limit):
        return "fail"
    return "inconclusive"


def _is_clear(comparison: Comparison) -> bool:
    return all(map(math.isfinite, (comparison.gain, comparison.low, comparison.high)))


def _too_few(comparison: Comparison) -> str:
    if comparison.effective_blocks < MIN_EFFECTIVE_BLOCKS:
        by_day = "day" in comparison.method.rpartition(" over ")[2]
        random = "; so does split.how: random, where rows of one day do not depend on each other" if by_day else ""
        return (
            f"{_rows(comparison)} are worth {comparison.effective_blocks:.1f} independent blocks; "
            f"at least {MIN_EFFECTIVE_BLOCKS:g} are needed to tell chance from skill. More rows or a larger split.test "
            f"give more{random}"
        )
    return f"{comparison.metric} is not defined on all parts of {_rows(comparison)}"


def _undecided(name: str, why: str, limit: float | None, evidence: dict[str, Any] | None = None) -> GateResult:
    return GateResult(name, "inconclusive", f"Cannot tell: {why}.", None, limit, evidence or {})


def _evidence(comparison: Comparison) -> dict[str, Any]:
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
    }


def _compare_sentence(comparison: Comparison, rule: ChampionGate, status: Status) -> str:
    better = rule.rule == "better"
    title = METRICS[comparison.metric].title
    fact = f"on {_rows(comparison)} the challenger's gain in {title} is {_signed(comparison.gain)}"
    bound = f"with {_percent(comparison.confidence)} confidence"
    asked = "a gain above 0 is asked" if better else f"a loss of up to {_number(rule.margin)} is allowed"
    if status == "pass":
        head = "Better than the champion" if better else "Not worse than the champion"
        return f"{head}: {fact}, and {bound} at least {_signed(comparison.low)}; {asked}."
    if status == "fail":
        head = "Not better than the champion" if better else "Worse than the champion"
        return f"{head}: {fact}, and {bound} at most {_signed(comparison.high)}; {asked}."
    supposed = f"if it is better by {_number(rule.margin)}" if better else "if the two are equal"
    return (
        f"Cannot tell whether it is {'better' if better else 'worse'} than the champion: {fact}, between "
        f"{_signed(comparison.low)} and {_signed(comparison.high)}; {asked}.{_rows_hint(comparison, supposed)}"
    )


def _rows_hint(comparison: Comparison, supposed: str) -> str:
    needed = comparison.rows_needed
    if needed is None:
        return ""
    if needed <= comparison.rows:
        return " There are rows enough for such a difference; the estimate itself is too low."
    step = 10 ** max(len(str(needed)) - 2, 0)
    return f" About {-(-needed // step) * step:,} test rows would show it 4 times in 5, {supposed}."


def _rows(comparison: Comparison) -> str:
    over = comparison.method.rpartition(" over ")[2]
    return f"{comparison.rows:,} test rows ({over})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{_number(abs(value))}"


def _percent(share: float) -> str:
    return f"{share * 100:.4g}%"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
