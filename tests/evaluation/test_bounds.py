"""Floors and ceilings: what they refuse to be asked, and what they let pass."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.config.gates import ChampionGate, Gates, resolve_amount
from tasks.config.project import TaskType
from tasks.errors import ConfigError
from tasks.evaluation.bounds import check_gates, judge_bound, list_bounds
from tasks.evaluation.challenger import evaluate_test_rows
from tasks.evaluation.verdict import decide, expect_gates, judge_challenger
from tasks.results import Evaluation, GateResult, MetricValue, Soundness
from tests.evaluation.rows import FINE, fit_model, make_frame, make_spec, make_split

SOUND = Soundness(loads=True, largest_difference=0.0, predict_ms_per_1k_rows=12.0, size_mb=1.5)
RANK = {"fail": 0, "inconclusive": 1, "pass": 2}


def found(low: float, high: float, **more: Any) -> MetricValue:
    given = {
        "value": (low + high) / 2,
        "confidence": 0.95,
        "larger_is_better": True,
        "method": "jackknife over 18 days",
        "rows": 12_345,
        "blocks": 18,
        "effective_blocks": 16.2,
        "rows_needed": 40_567,
        **more,
    }
    return MetricValue(name="roc_auc", low=low, high=high, **given)


def evaluated(value: MetricValue | None, **more: Any) -> Evaluation:
    nothing = MetricValue("roc_auc", 0.5, 0.5, 0.5, 0.95, True, "")
    bounded = {} if value is None else {"floor roc_auc": value, "ceiling roc_auc": value}
    return Evaluation(12_345, 18, (nothing,), nothing, None, bounded=bounded, **more)


@pytest.mark.parametrize(
    ("kind", "low", "high", "status"),
    [
        ("floor", 0.66, 0.7, "pass"),
        ("floor", 0.65, 0.7, "pass"),
        ("floor", 0.649, 0.7, "inconclusive"),
        ("floor", 0.6, 0.649, "fail"),
        ("ceiling", 0.6, 0.65, "pass"),
        ("ceiling", 0.6, 0.651, "inconclusive"),
        ("ceiling", 0.651, 0.7, "fail"),
        ("floor", math.nan, math.nan, "inconclusive"),
        ("ceiling", 0.1, math.inf, "inconclusive"),
    ],
)
def test_a_bound_decides_and_not_the_point(kind: str, low: float, high: float, status: str) -> None:
    gate = judge_bound(evaluated(found(low, high)), kind, "roc_auc", 0.65)
    assert (gate.name, gate.status, gate.limit) == (f"{kind} roc_auc", status, 0.65)


def test_the_sentences() -> None:
    passed = judge_bound(evaluated(found(0.66, 0.7)), "floor", "roc_auc", 0.65)
    assert passed.sentence == (
        "ROC AUC is 0.68 on 12,345 test rows (18 days), at least 0.66 with 95% confidence; the floor is 0.65."
    )
    assert passed.observed == 0.66
    failed = judge_bound(evaluated(found(0.66, 0.7)), "ceiling", "roc_auc", 0.65)
    assert failed.sentence == (
        "ROC AUC is 0.68 on 12,345 test rows (18 days), at least 0.66 with 95% confidence; the ceiling is 0.65 "
        "(gates.ceilings.roc_auc). A better model is needed."
    )
    assert failed.observed == 0.7
    unclear = judge_bound(evaluated(found(0.64, 0.7)), "floor", "roc_auc", 0.65)
    assert unclear.sentence == (
        "Cannot tell whether ROC AUC keeps the floor of 0.65: it is 0.67 on 12,345 test rows (18 days), between 0.64 "
        "and 0.7. About 41,000 test rows would show it 4 times in 5, if it is as it looks: 29,000 more."
    )


@given(st.sampled_from(["floor", "ceiling"]), *[st.floats()] * 4)
def test_never_passes_without_numbers(kind: str, low: float, high: float, point: float, limit: float) -> None:
    gate = judge_bound(evaluated(found(low, high, value=point)), kind, "roc_auc", limit)
    if not all(map(math.isfinite, (low, high, point))):
        assert gate.status == "inconclusive"
    if math.isnan(limit):
        assert gate.status != "pass"


@given(*[st.floats(-5, 5)] * 3, st.floats(0, 5))
def test_higher_ends_never_lower_a_floor_nor_raise_a_ceiling(low: float, shift: float, limit: float, w: float) -> None:
    one, two = found(low, low + w), found(low + abs(shift), low + w + abs(shift))
    for kind, sign in (("floor", 1), ("ceiling", -1)):
        before, after = (RANK[judge_bound(evaluated(v), kind, "roc_auc", limit).status] for v in (one, two))
        assert sign * before <= sign * after


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        (evaluated(None), "ROC AUC was not measured"),
        (evaluated(found(0.7, 0.8), problem="there is no test row"), "there is no test row"),
        (evaluated(found(0.7, 0.8, value=math.nan)), "is not defined on 12,345 test rows"),
        (evaluated(found(math.nan, math.nan, value=0.7, effective_blocks=2.0)), "worth 2.0 independent blocks"),
    ],
)
def test_what_was_not_measured_holds(evaluation: Evaluation, said: str) -> None:
    gate = judge_bound(evaluation, "floor", "roc_auc", 0.65)
    assert gate.status == "inconclusive"
    assert said in gate.sentence


@pytest.mark.parametrize(
    ("task", "gates", "said"),
    [
        ("binary", {"floors": {"roc": 0.6}}, r"gates\.floors\.roc: 'roc' is no metric of a binary target; .*roc_auc"),
        ("regression", {"floors": {"roc_auc": 0.6}}, r"gates\.floors\.roc_auc: .* of a regression target; .*mae"),
        ("binary", {"ceilings": {"mae": 3}}, r"gates\.ceilings\.mae: 'mae' is no metric of a binary target"),
        ("binary", {"floors": {"roc_auc": 1.01}}, r"floors\.roc_auc: 1\.01 would refuse every model, .* from 0 to 1"),
        ("binary", {"floors": {"roc_auc": 0}}, r"floors\.roc_auc: 0 would pass every model"),
        ("binary", {"ceilings": {"brier": 1}}, r"ceilings\.brier: 1 would pass every model"),
        ("regression", {"ceilings": {"mae": -1}}, r"ceilings\.mae: -1 would refuse every model"),
        ("regression", {"floors": {"r2": 2}}, r"floors\.r2: 2 would refuse every model"),
        ("binary", {"ceilings": {"expected_cost": 3}}, r"ceilings\.expected_cost: needs train\.costs"),
        ("regression", {"champion": {"margin": "1%"}}, r"gates\.champion\.margin: 1% of the constant .* R2 is next to"),
        ("regression", {"beat_baseline_by": "1%"}, r"gates\.beat_baseline_by: 1% of the constant"),
    ],
)
def test_what_nothing_could_judge_is_refused_by_its_key(task: TaskType, gates: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_gates(make_spec(gates=gates), task)


def test_what_can_be_judged_is_not_refused() -> None:
    check_gates(
        make_spec(gates={"floors": {"roc_auc": 1.0, "log_loss": 0.01}, "ceilings": {"accuracy": 0.99}}), "binary"
    )
    check_gates(make_spec(gates={"floors": {"r2": -3}, "ceilings": {"mae": 10}}), "regression")
    spec = make_spec(train={"metric": "mae"}, gates={"champion": {"margin": "1%"}, "beat_baseline_by": "5%"})
    check_gates(spec, "regression")


@pytest.mark.parametrize(
    "gates",
    [
        {"floors": {"roc_auc": 0.7}, "ceilings": {"roc_auc": 0.7}},
        {"floors": {"roc_auc": math.inf}},
        {"floors": {"roc_auc": "high"}},
        {"champion": {"margin": "a lot"}},
        {"champion": {"margin": "-1%"}},
        {"beat_baseline_by": -0.1},
        {"champion": {"looks": 0}},
    ],
)
def test_amounts_that_are_none_are_refused_when_the_file_is_read(gates: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_spec(gates=gates)


def test_amounts_resolve_by_the_metrics_unit() -> None:
    rule, gates = ChampionGate(), Gates()
    assert (rule.settle_margin(False), gates.settle_baseline(False)) == (0.005, 0.01)
    assert (rule.settle_margin(True), gates.settle_baseline(True)) == ("0.5%", "1%")
    assert ChampionGate(margin=3).settle_margin(True) == 3
    assert ChampionGate(margin="2%").settle_margin(False) == "2%"
    assert resolve_amount("2%", -40.0) == pytest.approx(0.8)
    assert resolve_amount(3.0, -40.0) == 3
    assert math.isnan(resolve_amount("2%", math.nan))
    again = Gates.model_validate_json(Gates(beat_baseline_by="0.50 %", floors={"roc_auc": 0.6}).model_dump_json())
    assert (again.beat_baseline_by, again.floors) == ("0.5%", {"roc_auc": 0.6})


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(0.95)


BOUNDS = {"floors": {"roc_auc": 0.6, "accuracy": 0.5}, "ceilings": {"log_loss": 0.65, "roc_auc": 0.99}}


def evaluate(confidence: float, **gates: Any) -> Evaluation:
    frame = make_frame()
    split = make_split(frame)
    spec = make_spec(gates={**BOUNDS, **gates})
    return evaluate_test_rows(fit_model(frame, split), frame, split, spec, confidence=confidence, importance=False)


def test_what_the_file_asks_for_is_judged_and_named(evaluation: Evaluation) -> None:
    spec = make_spec(gates=BOUNDS)
    verdict = judge_challenger(evaluation, SOUND, spec, "none", FINE)
    names = [g.name for g in verdict.gates]
    assert names == [
        "baseline", "floor roc_auc", "floor accuracy", "ceiling log_loss", "ceiling roc_auc",
        "champion", "leaks", "robust", "sound", "speed", "size",
    ]  # fmt: skip
    assert names == list(expect_gates(spec.gates))
    assert verdict.outcome == "promote"
    area, value = evaluation.metric("roc_auc"), evaluation.bounded["floor roc_auc"]
    assert value.value == area.value
    assert area.low < value.low < area.value < value.high < area.high, "one-sided bounds lie closer"


@pytest.mark.parametrize(
    ("gates", "outcome", "deciding"),
    [
        ({"floors": {"roc_auc": 0.97}}, "reject", "floor roc_auc"),
        ({"ceilings": {"log_loss": 0.1}}, "reject", "ceiling log_loss"),
    ],
)
def test_each_can_refuse(gates: dict[str, Any], outcome: str, deciding: str) -> None:
    verdict = judge_challenger(evaluate(0.95, **gates), SOUND, make_spec(gates={**BOUNDS, **gates}), "none", FINE)
    assert (verdict.outcome, verdict.deciding) == (outcome, deciding)


def test_a_floor_at_the_value_itself_cannot_be_told(evaluation: Evaluation) -> None:
    gates = {"floors": {"roc_auc": round(evaluation.metric("roc_auc").value, 3)}}
    verdict = judge_challenger(evaluate(0.95, **gates), SOUND, make_spec(gates=gates), "none", FINE)
    assert (verdict.outcome, verdict.deciding) == ("hold", "floor roc_auc")
    assert "test rows would show it 4 times in 5, if it is as it looks" in verdict.reason


def test_a_bound_is_at_the_confidence_that_is_asked(evaluation: Evaluation) -> None:
    strict = evaluate(0.99).bounded["floor roc_auc"]
    assert strict.confidence == 0.99
    assert strict.low < evaluation.bounded["floor roc_auc"].low


def test_a_floor_that_was_not_judged_holds(evaluation: Evaluation) -> None:
    gates = make_spec(gates=BOUNDS).gates
    others = [GateResult(name, "pass", "Fine.", 1.0) for name in expect_gates(gates)]
    assert decide(others, gates).outcome == "promote"
    for missing in others:
        verdict = decide([g for g in others if g is not missing], gates)
        assert (verdict.outcome, verdict.deciding) == ("hold", missing.name)
    without = replace(evaluation, bounded={})
    assert judge_challenger(without, SOUND, make_spec(gates=BOUNDS), "none", FINE).outcome == "hold"
    assert [kind for kind, *_ in list_bounds(gates)] == ["floor", "floor", "ceiling", "ceiling"]
