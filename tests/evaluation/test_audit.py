"""A whole audit, and the gates that it feeds: what they say, what they hold for, and that nothing broken passes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.evaluation.audit import audit_challenger, audit_stored, read_parts
from tasks.evaluation.audit_gates import (
    judge_fairness_gate,
    judge_leaks_gate,
    judge_robustness_gate,
    judge_slices_gate,
    name_fairness,
)
from tasks.evaluation.contender import Contender
from tasks.evaluation.verdict import expect_gates, judge_challenger
from tasks.evaluation.weak_parts import ValidationRows
from tasks.results import Audit, LeakAudit, LeakSign, Soundness, TrainingFrame, to_json
from tests.evaluation.rows import FINE, fit_model, make_frame, make_several, make_spec, make_split, make_values, wrap

SOUND = Soundness(loads=True, largest_difference=0.0, predict_ms_per_1k_rows=12.0, size_mb=1.5)
FAIR = {"by": "sex", "metric": "demographic_parity_ratio", "min": 0.8}


def make_people(rows: int = 4_000) -> TrainingFrame:
    """As `make_frame`, with a sex that the model does not see and whose size differs."""
    frame = make_frame(rows)
    sex = np.where(np.arange(rows) % 5 < 2, "f", "m")
    columns = frame.frame.assign(sex=sex, size=frame.frame["size"] + np.where(sex == "f", -0.6, 0.4))
    odds = 1.5 * columns["size"] + np.where(columns["colour"] == "red", 0.8, -0.4) - 1
    target = pd.Series((np.random.default_rng(5).random(rows) < 1 / (1 + np.exp(-odds))).astype(int))
    return replace(frame, frame=columns, target=target)


PEOPLE = make_people()
SPLIT = make_split(PEOPLE)
MODEL = fit_model(PEOPLE, SPLIT)


def audit(model: Any = MODEL, rows: TrainingFrame = PEOPLE, **sections: Any) -> Audit:
    spec = make_spec(**sections)
    return replace(audit_challenger(model, rows, make_split(rows), spec), leaks=LeakAudit(3, 100))


def gate_of(made: Audit, **gates: Any) -> Any:
    spec = make_spec(gates=gates)
    return judge_fairness_gate(made, spec.gates.fairness[0]) if "fairness" in gates else None


def test_all_parts_are_there_and_can_be_written() -> None:
    made = audit(
        gates={"slices": {"by": ["colour", "size"], "max_drop": 0.05}, "fairness": [FAIR]},
        data=_data(protected=["sex"]),
    )
    assert [s.name for s in made.slices.slices][:2] == ["colour = green", "colour = red"]
    assert len(made.slices.slices) == 6
    assert [g.by for g in made.groups] == [("sex",)]
    assert made.fairness[0].finding == "fail"
    assert made.robustness is not None
    assert {s.kind for s in made.robustness.steps} == {"missing", "unseen", "noise", "lost"}
    plain = json.loads(to_json(made))
    assert plain["slices"]["slices"][0]["conditions"][0]["value"] == "green"


def _data(**more: Any) -> dict[str, Any]:
    return {"source": "x.csv", "target": "bought", **more}


def test_the_fairness_gate_fails_names_the_group_and_says_what_to_do() -> None:
    gates = {"fairness": [FAIR]}
    made = audit(gates=gates)
    gate = gate_of(made, **gates)
    assert gate.status == "fail"
    for said in (
        "sex = f",
        "sex = m",
        "decided positive",
        "at least 0.8 is asked",
        "`mitigation: {by: sex}` below `train:`",
    ):
        assert said in gate.sentence
    assert gate.observed == made.fairness[0].comparisons[0].value
    verdict = judge_challenger(_evaluation(), SOUND, make_spec(gates=gates), "none", made)
    assert (verdict.outcome, verdict.deciding) == ("reject", "fairness sex demographic_parity_ratio")


def _evaluation() -> Any:
    from tasks.evaluation.challenger import evaluate_test_rows

    return evaluate_test_rows(MODEL, PEOPLE, SPLIT, make_spec(), importance=False)


def test_undecided_passes_or_holds_as_the_file_says() -> None:
    value = audit(gates={"fairness": [FAIR]}).fairness[0].value
    near = {**FAIR, "min": round(value * 1.02, 3)}
    for undecided, status in (("pass", "pass"), ("hold", "inconclusive")):
        gates = {"fairness": [{**near, "undecided": undecided}]}
        gate = gate_of(audit(gates=gates), **gates)
        assert gate.status == status
        assert "cannot be told either way" in gate.sentence
    for undecided, status in (("pass", "pass"), ("hold", "inconclusive")):
        slices = {"by": ["colour"], "max_drop": 1e-4, "undecided": undecided}
        made = audit(gates={"slices": slices})
        finding = judge_slices_gate(made, make_spec(gates={"slices": slices}).gates.slices)
        assert finding.status in (status, "fail")


def test_slices_are_a_gate_only_where_a_limit_is_stated() -> None:
    assert "slices" not in expect_gates(make_spec(gates={"slices": {"by": ["colour"]}}).gates)
    assert "slices" in expect_gates(make_spec(gates={"slices": {"max_drop": 0.1}}).gates)
    spec = make_spec(gates={"slices": {"by": ["colour"], "max_drop": 0.3}})
    gate = judge_slices_gate(audit(gates={"slices": {"by": ["colour"], "max_drop": 0.3}}), spec.gates.slices)
    assert gate.status == "pass"
    assert gate.sentence.startswith("None of 2 slices is shown to be worse than allowed")


def test_a_champion_that_breaks_the_limit_is_told() -> None:
    spec = make_spec(gates={"fairness": [FAIR]})
    beside = audit_stored(Contender.of(wrap(Even())), PEOPLE, SPLIT.test, SPLIT.fit, spec, champion=Contender.of(MODEL))
    assert beside.fairness[0].finding == "pass"
    assert beside.champion_breaks == ("sex demographic_parity_ratio",)


class Even:
    """Decides by the noise, which is the same for all."""

    def predict_proba(self, frame: Any) -> Any:
        p = 1 / (1 + np.exp(-frame["noise"].to_numpy()))
        return np.stack([1 - p, p], axis=1)


class Breaks:
    """Fails as soon as a value is missing."""

    def predict_proba(self, frame: Any) -> Any:
        if frame.isna().any().any():
            raise ValueError("a value is missing")
        return MODEL.estimator.predict_proba(frame)


def test_a_model_that_breaks_on_missing_values_is_rejected() -> None:
    made = audit(wrap(Breaks()))
    gate = judge_robustness_gate(made.robustness, make_spec().gates.robustness)
    assert gate.status == "fail"
    assert "a value is missing" in gate.sentence


def test_limits_on_falls() -> None:
    limits = {"robustness": {"max_drop_lost": 0.01}}
    gate = judge_robustness_gate(audit(gates=limits).robustness, make_spec(gates=limits).gates.robustness)
    assert gate.status == "fail"
    assert "'size' is lost" in gate.sentence
    assert "max_drop_lost" in gate.sentence


def test_leaks_hold_are_named_and_can_be_cleared() -> None:
    sign = LeakSign("alone decides", "delay", True, False, "'delay' alone reaches .9.")
    held = judge_leaks_gate(LeakAudit(3, 100, (sign, replace(sign, column="other"))))
    assert held.status == "inconclusive"
    way = "Near-certainly a leak (data.exclude, or data.known_in_time if it is none): "
    assert held.sentence == f"{way}'delay' alone reaches .9. Also: 'other'."
    cleared = judge_leaks_gate(LeakAudit(3, 100, (replace(sign, cleared=True),)))
    assert (cleared.status, "data.known_in_time" in cleared.sentence) == ("pass", True)
    assert judge_leaks_gate(None).status == "inconclusive"


@pytest.mark.parametrize("part", ["slices", "groups", "robustness"])
def test_a_part_that_breaks_holds_what_rests_on_it(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import tasks.evaluation.audit as module

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no")

    broken = {"slices": "judge_slices", "groups": "audit_groups", "robustness": "stress_model"}[part]
    monkeypatch.setattr(module, broken, fail)
    gates = {"slices": {"by": ["colour"], "max_drop": 0.3}, "fairness": [{**FAIR, "min": 0.01}]}
    spec = make_spec(gates=gates)
    verdict = judge_challenger(_evaluation(), SOUND, spec, "none", audit(gates=gates))
    assert verdict.outcome == "hold"
    assert "ZeroDivisionError" in verdict.reason


def test_a_model_that_cannot_be_judged_holds() -> None:
    class Silent:
        def predict_proba(self, frame: Any) -> Any:
            raise RuntimeError("no")

    made = audit(wrap(Silent()), gates={"fairness": [FAIR], "slices": {"max_drop": 0.1}})
    spec = make_spec(gates={"fairness": [FAIR], "slices": {"max_drop": 0.1}})
    assert judge_slices_gate(made, spec.gates.slices).status == "inconclusive"
    assert judge_fairness_gate(made, spec.gates.fairness[0]).status == "inconclusive"
    assert judge_robustness_gate(made.robustness, spec.gates.robustness).status == "inconclusive"


def test_found_parts_are_searched_on_validation_rows_recorded_and_read_again() -> None:
    rows = np.asarray(SPLIT.fit[-1_200:])
    prediction = MODEL.estimator.predict_proba(PEOPLE.frame.iloc[rows])[:, 1]
    lost = (PEOPLE.frame["colour"].iloc[rows] == "red").to_numpy() & (PEOPLE.frame["noise"].iloc[rows] > 0.6).to_numpy()
    prediction = np.where(lost, np.random.default_rng(0).random(len(rows)), prediction)
    spec = make_spec(gates={"slices": {"find": 2}})
    made = audit_challenger(MODEL, PEOPLE, SPLIT, spec, validation=ValidationRows(rows, prediction))
    found = [s for s in made.slices.slices if s.found]
    assert found
    again = read_parts(json.loads(to_json(made))["slices"]["slices"])
    assert [p.name for p in again] == [s.name for s in found]
    assert [tuple(p.conditions) for p in again] == [s.conditions for s in found]


@pytest.mark.parametrize("rows", [make_several(2_000), make_values(2_000)])
def test_other_tasks_are_audited_too(rows: TrainingFrame) -> None:
    metric = {"multiclass": "log_loss", "regression": "r2"}[rows.task]
    made = audit(
        fit_model(rows, make_split(rows), metric=metric), rows,
        gates={"slices": {"by": ["colour"], "max_drop": "5%" if metric == "log_loss" else 0.2}},
        data=_data(protected=["colour"]),
    )  # fmt: skip
    assert {s.finding for s in made.slices.slices} <= {"pass", "undecided"}
    assert made.groups[0].gaps
    assert made.robustness is not None
    assert not made.robustness.problem


def test_the_names_of_gates_are_told_apart() -> None:
    limits = make_spec(gates={"fairness": [FAIR, {**FAIR, "by": ["sex", "race"]}]}).gates.fairness
    assert [name_fairness(x) for x in limits] == [
        "fairness sex demographic_parity_ratio", "fairness sex x race demographic_parity_ratio",
    ]  # fmt: skip
    assert judge_fairness_gate(FINE, limits[0]).status == "inconclusive", "it was not judged"
