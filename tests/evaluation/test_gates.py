"""Each gate: what passes, what fails, what cannot be told, and the sentence that a person reads."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.gates import ChampionGate, Gates, Limits
from tasks.evaluation.gates import judge_baseline, judge_champion, judge_size, judge_soundness, judge_speed
from tasks.evaluation.sentences import write_number, write_signed
from tasks.results import Comparison, Evaluation, GateResult, MetricValue, Soundness

GATES = Gates()
SOUND = Soundness(loads=True, largest_difference=0.0, predict_ms_per_1k_rows=12.0, size_mb=1.5)


def compared(low: float, high: float, other: str = "champion", **more: object) -> Comparison:
    given = {
        "metric": "average_precision",
        "gain": (low + high) / 2,
        "confidence": 0.95,
        "method": "paired jackknife-t over 18 days",
        "rows": 12_345,
        "blocks": 18,
        "effective_blocks": 16.2,
        "standard_error": (high - low) / 3.4,
        "rows_needed": 40_567,
        "margin": 0.005,
        **more,
    }
    return Comparison(other=other, low=low, high=high, **given)  # type: ignore[arg-type]


def value(number: float) -> MetricValue:
    return MetricValue("average_precision", number, number - 0.02, number + 0.02, 0.95, True, "jackknife over 18 days")


def evaluated(baseline: Comparison | None = None, champion: Comparison | None = None, **more: object) -> Evaluation:
    return Evaluation(
        rows=12_345,
        blocks=18,
        metrics=(value(0.412),),
        baseline=value(0.245),
        champion=value(0.4) if champion else None,
        metric_name="average_precision",
        against_baseline=baseline,
        against_champion=champion,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (0.021, 0.05, "pass"),
        (0.02, 0.05, "inconclusive"),  # the limit itself is not above it
        (-0.01, 0.05, "inconclusive"),
        (-0.03, 0.019, "fail"),
        (0.02, 0.02, "fail"),
        (math.nan, math.nan, "inconclusive"),
        (math.nan, 0.05, "inconclusive"),
        (0.03, math.inf, "inconclusive"),
    ],
)
def test_the_baseline_must_be_beaten_by_the_stated_amount(low: float, high: float, status: str) -> None:
    assert judge_baseline(evaluated(compared(low, high, "constant prediction", margin=0.02)), GATES).status == status


def test_the_baseline_gate_says_rows_blocks_and_numbers() -> None:
    gate = judge_baseline(evaluated(compared(0.15, 0.19, margin=0.02)), GATES)
    assert gate.sentence == (
        "Average precision is 0.412 on 12,345 test rows (18 days), the constant prediction's 0.245: "
        "better by at least 0.15 with 95% confidence; 0.02 is asked."
    )
    assert (gate.observed, gate.limit) == (0.15, 0.02)
    assert gate.evidence["blocks"] == 18


def test_a_constant_model_never_beats_the_baseline_even_by_nothing() -> None:
    assert judge_baseline(evaluated(compared(0.0, 0.0, margin=0.0)), GATES).status == "fail"


@pytest.mark.parametrize(
    ("rule", "low", "high", "status"),
    [
        ("not_worse", -0.004, 0.01, "pass"),
        ("not_worse", -0.005, 0.01, "pass"),  # worse by at most the margin is allowed
        ("not_worse", 0.0, 0.0, "pass"),  # the same model
        ("not_worse", -0.006, 0.01, "inconclusive"),
        ("not_worse", -0.03, -0.006, "fail"),
        ("not_worse", math.nan, math.nan, "inconclusive"),
        ("better", 0.001, 0.01, "pass"),
        ("better", 0.0, 0.01, "inconclusive"),
        ("better", 0.0, 0.0, "fail"),  # the same model is not better
        ("better", -0.002, 0.01, "inconclusive"),
        ("better", -0.002, -0.001, "fail"),
        ("better", math.nan, math.nan, "inconclusive"),
    ],
)
def test_the_champion_rules(rule: str, low: float, high: float, status: str) -> None:
    gate = judge_champion(evaluated(champion=compared(low, high)), ChampionGate(rule=rule), "compared")
    assert gate.status == status
    assert gate.limit == (-0.005 if rule == "not_worse" else 0.0)


def test_an_undecided_comparison_says_how_many_rows_would_tell() -> None:
    gate = judge_champion(evaluated(champion=compared(-0.02, 0.026)), ChampionGate(), "compared")
    assert gate.sentence == (
        "Cannot tell whether it is worse than the champion: on 12,345 test rows (18 days) the challenger's gain in "
        "average precision is +0.003, between -0.02 and +0.026 with 95% confidence each; a loss of up to 0.005 is "
        "allowed. About 41,000 test rows would show it 4 times in 5, if the two are equal: 29,000 more."
    )
    assert gate.evidence["rows_needed"] == 40_567
    enough = judge_champion(evaluated(champion=compared(-0.006, 0.0, rows_needed=9_000)), ChampionGate(), "compared")
    assert "So many rows show it 4 times in 5, if the two are equal; so that is doubtful" in enough.sentence
    better = ChampionGate(rule="better", margin=0.01)
    gate = judge_champion(evaluated(champion=compared(-0.02, 0.026, margin=0.01)), better, "compared")
    assert gate.sentence.startswith("Cannot tell whether it is better than the champion")
    assert gate.sentence.endswith("would show it 4 times in 5, if it is better by 0.01: 29,000 more.")


def test_without_a_champion_the_gate_does_not_apply() -> None:
    gate = judge_champion(evaluated(), ChampionGate(), "none")
    assert gate.status == "not_applicable"
    assert "no champion yet" in gate.sentence


@pytest.mark.parametrize(
    ("evaluation", "state", "said"),
    [
        (evaluated(), "unreadable: digest differs", "the champion is unreadable: digest differs"),
        (evaluated(champion=compared(0.1, 0.2)), "unreadable: digest differs", "unreadable: digest differs"),
        (evaluated(), "compared", "cannot be compared: no reason given"),
        (evaluated(champion_problem="it reads column 'x'"), "compared", "it reads column 'x'"),
        (evaluated(champion_problem="it reads column 'x'"), "none", "no champion, yet one was compared"),
        (evaluated(champion=compared(0.1, 0.2)), "none", "no champion, yet one was compared"),
        (evaluated(champion=compared(0.1, 0.2)), "", "the champion is"),
        (evaluated(champion=compared(0.1, 0.2), problem="there is no test row"), "compared", "no test row"),
    ],
)
def test_a_champion_that_was_not_compared_holds(evaluation: Evaluation, state: str, said: str) -> None:
    gate = judge_champion(evaluation, ChampionGate(), state)
    assert gate.status == "inconclusive"
    assert said in gate.sentence


def test_too_few_blocks_are_named() -> None:
    few = compared(math.nan, math.nan, effective_blocks=1.0, blocks=1, method="paired jackknife-t over 1 days")
    for gate in (
        judge_baseline(evaluated(few), GATES),
        judge_champion(evaluated(champion=few), ChampionGate(), "compared"),
    ):
        assert gate.status == "inconclusive"
        assert "worth 1.0 independent blocks; at least 5 are needed" in gate.sentence


def test_a_problem_of_the_challenger_is_never_a_pass() -> None:
    gate = judge_baseline(evaluated(compared(0.1, 0.2), problem="there is no test row"), GATES)
    assert (gate.status, gate.sentence) == ("inconclusive", "Cannot tell: there is no test row.")


@pytest.mark.parametrize(
    ("soundness", "status"),
    [
        (SOUND, "pass"),
        (replace(SOUND, largest_difference=1e-7), "pass"),
        (replace(SOUND, largest_difference=1e-5), "fail"),
        (replace(SOUND, largest_difference=-1e-5), "fail"),
        (replace(SOUND, largest_difference=math.nan), "inconclusive"),
        (replace(SOUND, largest_difference=None), "inconclusive"),
        (replace(SOUND, loads=False, largest_difference=None, detail="untrusted type"), "fail"),
        (None, "inconclusive"),
    ],
)
def test_soundness(soundness: Soundness | None, status: str) -> None:
    assert judge_soundness(soundness).status == status


def test_a_model_that_does_not_load_says_why() -> None:
    assert "untrusted type" in judge_soundness(replace(SOUND, loads=False, detail="untrusted type")).sentence


@given(st.floats(), st.floats(1e-3, 1e6))
def test_speed_and_size_pass_only_on_a_number_within_the_limit(found: float, limit: float) -> None:
    limits = Limits(predict_ms_per_1k_rows=limit, size_mb=limit)
    soundness = replace(SOUND, predict_ms_per_1k_rows=found, size_mb=found)
    for gate in (judge_speed(soundness, limits), judge_size(soundness, limits)):
        if not math.isfinite(found) or found < 0:
            assert gate.status == "inconclusive"
        else:
            assert gate.status == ("pass" if found <= limit else "fail")


def test_what_was_not_measured_is_inconclusive() -> None:
    assert judge_speed(None, Limits()).status == "inconclusive"
    assert judge_size(None, Limits()).status == "inconclusive"


RANK = {"fail": 0, "inconclusive": 1, "pass": 2}
RULES = st.sampled_from(["better", "not_worse"])
SMALL = st.floats(-10, 10)
AMOUNT = st.floats(0, 10)


def judge_both(comparison: Comparison, rule: str) -> tuple[GateResult, GateResult]:
    return (
        judge_baseline(evaluated(comparison), GATES),
        judge_champion(evaluated(champion=comparison), ChampionGate(rule=rule), "compared"),
    )


@given(st.floats(), st.floats(), st.floats(), st.floats(), RULES)
def test_no_gate_passes_without_numbers(low: float, high: float, gain: float, margin: float, rule: str) -> None:
    gates = judge_both(compared(low, high, gain=gain, margin=margin), rule)
    if not (all(map(math.isfinite, (low, high, gain, margin))) and margin >= 0):
        assert {g.status for g in gates} == {"inconclusive"}
    for gate in gates:
        if gate.status == "pass":
            assert gate.observed is not None and gate.limit is not None and gate.observed >= gate.limit


@given(SMALL, AMOUNT, SMALL, AMOUNT, AMOUNT, RULES)
def test_a_gate_is_monotone_in_its_bounds(
    low: float, width: float, other: float, other_width: float, margin: float, rule: str
) -> None:
    """Where both bounds are higher, no status is lower; and a larger margin lets no less pass `not_worse`."""
    high, other_high = low + width, other + other_width
    lower = judge_both(compared(min(low, other), min(high, other_high), margin=margin), rule)
    upper = judge_both(compared(max(low, other), max(high, other_high), margin=margin), rule)
    for one, two in zip(lower, upper, strict=True):
        assert RANK[one.status] <= RANK[two.status]
    wide = judge_champion(
        evaluated(champion=compared(low, high, margin=margin + 1)), ChampionGate(rule="not_worse"), "compared"
    )
    assert RANK[judge_both(compared(low, high, margin=margin), "not_worse")[1].status] <= RANK[wide.status]


@given(SMALL, AMOUNT, AMOUNT, RULES, st.one_of(st.none(), st.integers(1, 10**9)))
def test_every_sentence_names_its_numbers_and_what_to_do(
    low: float, width: float, margin: float, rule: str, needed: int | None
) -> None:
    comparison = compared(low, low + width, margin=margin, rows_needed=needed)
    baseline, champion = judge_both(comparison, rule)
    for gate in (baseline, champion):
        assert "12,345 test rows (18 days)" in gate.sentence
        assert gate.sentence.endswith(".")
        assert "nan" not in gate.sentence
        if gate.status == "inconclusive":
            assert any(say in gate.sentence for say in ("would show it", "doubtful", "hardly help", "margin above 0"))
        else:
            assert "95% confidence" in gate.sentence
    assert write_number(margin) in baseline.sentence
    if baseline.status == "fail":
        assert "gates.beat_baseline_by" in baseline.sentence
    if champion.status == "fail":
        assert champion.sentence.endswith("The champion stays.")
    assert champion.status != "pass" or write_signed(comparison.low) in champion.sentence


def test_a_percentage_of_nothing_holds_and_says_so() -> None:
    for gate in judge_both(compared(0.1, 0.2, margin=math.nan), "not_worse"):
        assert gate.status == "inconclusive"
        assert "give a number in gates.champion.margin" in gate.sentence


def test_a_margin_of_nothing_names_no_rows() -> None:
    none = compared(-0.01, 0.02, margin=0.0, rows_needed=None)
    for rule in ("better", "not_worse"):
        gate = judge_both(none, rule)[1]
        assert gate.status == "inconclusive"
        assert "gates.champion.margin above 0" in gate.sentence


def test_a_failed_limit_names_its_key() -> None:
    slow = replace(SOUND, predict_ms_per_1k_rows=999.0, size_mb=999.0)
    assert "gates.limits.predict_ms_per_1k_rows" in judge_speed(slow, Limits()).sentence
    assert "gates.limits.size_mb" in judge_size(slow, Limits()).sentence
