"""There is one way to promote: every expected gate judged once, and passed on finite numbers."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config.gates import Gates
from tasks.evaluation import gates as gates_module
from tasks.evaluation.challenger import evaluate_test_rows
from tasks.evaluation.contender import Contender
from tasks.evaluation.verdict import ALWAYS, decide, judge_challenger, judge_refit
from tasks.results import Audit, Evaluation, GateResult, LeakAudit, LeakSign, Perturbation, Soundness
from tests.evaluation.rows import FINE, fit_model, make_frame, make_spec, make_split, wrap

STATUSES = ("pass", "fail", "inconclusive", "not_applicable")
BROKEN = Perturbation(
    "unseen", None, 0.1, math.nan, math.nan, math.nan, math.nan, None, "fail", "it fails with KeyError: 'blue'"
)
STRESSED = FINE.robustness
assert STRESSED is not None
SOUND = Soundness(loads=True, largest_difference=0.0, predict_ms_per_1k_rows=12.0, size_mb=1.5)


def gate(name: str, status: str = "pass", observed: float | None = 1.0, **more: Any) -> GateResult:
    return GateResult(name, status, f"{name} said {status}.", observed, 0.5, **more)  # type: ignore[arg-type]


def test_promote_if_and_only_if_every_gate_passes() -> None:
    for statuses in itertools.product(STATUSES, repeat=len(ALWAYS)):
        given_gates = [gate(n, s) for n, s in zip(ALWAYS, statuses, strict=True)]
        verdict = decide(given_gates, Gates())
        by_name = dict(zip(ALWAYS, statuses, strict=True))
        good = all(s == "pass" or (n == "champion" and s == "not_applicable") for n, s in by_name.items())
        if by_name["leaks"] == "inconclusive":  # with a sign that is near-certain: it speaks first
            assert (verdict.outcome, verdict.deciding) == ("hold", "leaks")
        elif "fail" in statuses:
            assert verdict.outcome == "reject"
            assert by_name[verdict.deciding] == "fail"
        elif good:
            assert verdict.outcome == "promote"
        else:
            assert verdict.outcome == "hold"
            assert by_name[verdict.deciding] in ("inconclusive", "not_applicable")
        assert {g.name for g in verdict.gates} == set(ALWAYS)


@given(
    st.lists(
        st.builds(
            gate,
            st.sampled_from([*ALWAYS, "slices"]),
            st.sampled_from([*STATUSES, "PASS", "", None]),
            st.one_of(st.none(), st.floats()),
            evidence=st.dictionaries(st.sampled_from(["low", "gain"]), st.floats(), max_size=2),
        ),
        max_size=8,
    )
)
def test_nothing_else_promotes(given_gates: list[GateResult]) -> None:
    verdict = decide(given_gates, Gates())
    names = [g.name for g in given_gates]

    def counts(g: GateResult) -> bool:
        if g.name == "champion" and g.status == "not_applicable":
            return True
        numbers = [g.observed, *g.evidence.values()]
        return g.status == "pass" and all(n is not None and math.isfinite(n) for n in numbers)

    allowed = set(ALWAYS) <= set(names) and len(names) == len(set(names)) and all(map(counts, given_gates))
    assert (verdict.outcome == "promote") == allowed
    assert verdict.deciding in {g.name for g in verdict.gates}
    assert verdict.reason


@pytest.mark.parametrize("missing", ALWAYS)
def test_a_missing_gate_holds_and_is_named(missing: str) -> None:
    verdict = decide([gate(n) for n in ALWAYS if n != missing], Gates())
    assert (verdict.outcome, verdict.deciding) == ("hold", missing)
    assert "was not judged" in verdict.reason


def test_a_gate_judged_twice_holds() -> None:
    assert decide([*(gate(n) for n in ALWAYS), gate("speed")], Gates()).outcome == "hold"


def test_a_further_gate_counts_like_the_others() -> None:
    assert decide([*(gate(n) for n in ALWAYS), gate("slices")], Gates()).outcome == "promote"
    assert decide([*(gate(n) for n in ALWAYS), gate("slices", "fail")], Gates()).outcome == "reject"
    assert decide([*(gate(n) for n in ALWAYS), gate("slices", "not_applicable")], Gates()).outcome == "hold"


@pytest.mark.parametrize("name", ALWAYS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_a_pass_without_a_finite_number_holds(name: str, bad: float | None) -> None:
    verdict = decide([gate(n, observed=bad if n == name else 1.0) for n in ALWAYS], Gates())
    assert (verdict.outcome, verdict.deciding) == ("hold", name)


def test_the_first_that_speaks_against_it_gives_the_reason_and_the_others_are_named() -> None:
    verdict = decide(
        [*(gate(n) for n in ALWAYS if n not in ("speed", "size")), gate("speed", "fail"), gate("size", "fail")], Gates()
    )
    assert verdict.reason == "speed said fail. Also against it: size."


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    frame = make_frame()
    split = make_split(frame)
    model = fit_model(frame, split)
    return evaluate_test_rows(model, frame, split, make_spec(), champion=Contender.of(model), importance=False)


def first(evaluation: Evaluation) -> Evaluation:
    return replace(evaluation, champion=None, against_champion=None)


def test_a_good_first_model_is_promoted(evaluation: Evaluation) -> None:
    verdict = judge_challenger(first(evaluation), SOUND, make_spec(), "none", FINE)
    assert (verdict.outcome, verdict.deciding) == ("promote", "baseline")
    assert verdict.reason.startswith("Every gate passed. Average precision is 0.")


def test_an_equal_challenger_is_not_worse_and_not_better(evaluation: Evaluation) -> None:
    verdict = judge_challenger(evaluation, SOUND, make_spec(), "compared", FINE)
    assert (verdict.outcome, verdict.deciding) == ("promote", "champion")
    strict = make_spec(gates={"champion": {"rule": "better"}})
    assert judge_challenger(evaluation, SOUND, strict, "compared", FINE).outcome == "reject"


def test_a_challenger_worse_than_the_champion_is_rejected() -> None:
    frame = make_frame()
    split = make_split(frame)
    champion = fit_model(frame, split)
    worse = fit_model(frame, split, features=("colour", "noise"))
    evaluation = evaluate_test_rows(worse, frame, split, make_spec(), champion=Contender.of(champion))
    verdict = judge_challenger(evaluation, SOUND, make_spec(), "compared", FINE)
    assert (verdict.outcome, verdict.deciding) == ("reject", "champion")
    assert verdict.reason.startswith("Worse than the champion")


class Turned:
    """Says the opposite of another model."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def predict_proba(self, frame: Any) -> Any:
        return self.estimator.predict_proba(frame)[:, ::-1]


@pytest.mark.parametrize("gate_name", [*(g for g in ALWAYS if g != "leaks"), "floor roc_auc", "ceiling log_loss"])
def test_every_gate_can_fail_and_alone_rejects(gate_name: str) -> None:
    frame = make_frame()
    split = make_split(frame)
    good = fit_model(frame, split)
    worse = fit_model(frame, split, features=("colour", "noise"))
    model = {"baseline": wrap(Turned(good.estimator)), "champion": worse}.get(gate_name, good)
    gates: dict[str, Any] = {
        "floor roc_auc": {"floors": {"roc_auc": 0.98}},
        "ceiling log_loss": {"ceilings": {"log_loss": 0.1}},
    }.get(gate_name, {})
    soundness = {
        "sound": replace(SOUND, largest_difference=0.1),
        "speed": replace(SOUND, predict_ms_per_1k_rows=1e6),
        "size": replace(SOUND, size_mb=1e6),
    }.get(gate_name, SOUND)
    spec = make_spec(gates={"beat_baseline_by": 0.0 if gate_name == "champion" else 0.01, **gates})
    champion = None if gate_name == "baseline" else Contender.of(good)
    evaluation = evaluate_test_rows(model, frame, split, spec, champion=champion, importance=False)
    audit = replace(FINE, robustness=replace(STRESSED, steps=(BROKEN,))) if gate_name == "robust" else FINE
    verdict = judge_challenger(evaluation, soundness, spec, "none" if champion is None else "compared", audit)
    assert (verdict.outcome, verdict.deciding) == ("reject", gate_name)
    failed = [g for g in verdict.gates if g.status not in ("pass", "not_applicable")]
    assert [(g.name, g.status) for g in failed] == [(gate_name, "fail")]


def test_a_near_certain_leak_holds_until_the_project_file_clears_it(evaluation: Evaluation) -> None:
    sign = LeakSign("alone decides", "delay", True, False, "'delay' alone decides.")
    for signs, outcome in (((sign,), "hold"), ((replace(sign, cleared=True),), "promote"), ((), "promote")):
        audit = replace(FINE, leaks=LeakAudit(3, 3000, signs))
        assert judge_challenger(first(evaluation), SOUND, make_spec(), "none", audit).outcome == outcome
    mild = replace(FINE, leaks=LeakAudit(3, 3000, (replace(sign, certain=False),)))
    verdict = judge_challenger(first(evaluation), SOUND, make_spec(), "none", mild)
    assert verdict.outcome == "promote"
    assert any("'delay' alone decides" in g.sentence for g in verdict.gates), "named all the same"


@pytest.mark.parametrize("audit", [None, replace(FINE, leaks=None), replace(FINE, robustness=None)])
def test_what_was_not_audited_holds(evaluation: Evaluation, audit: Audit | None) -> None:
    assert judge_challenger(first(evaluation), SOUND, make_spec(), "none", audit).outcome == "hold"


def test_a_look_keeps_what_the_training_found(evaluation: Evaluation) -> None:
    kept = [gate("leaks"), gate("robust")]
    assert judge_challenger(first(evaluation), SOUND, make_spec(), "none", None, kept).outcome == "promote"
    kept = [gate("leaks", "inconclusive"), gate("robust")]
    assert judge_challenger(first(evaluation), SOUND, make_spec(), "none", FINE, kept).deciding == "leaks"


def test_a_model_without_skill_is_not_promoted() -> None:
    frame = make_frame()
    split = make_split(frame)
    evaluation = evaluate_test_rows(fit_model(frame, split, features=("noise",)), frame, split, make_spec())
    assert judge_challenger(evaluation, SOUND, make_spec(), "none", FINE).outcome != "promote"


@pytest.mark.parametrize(
    ("soundness", "outcome", "deciding"),
    [
        (None, "hold", "sound"),
        (replace(SOUND, loads=False, largest_difference=None, predict_ms_per_1k_rows=math.nan), "reject", "sound"),
        (replace(SOUND, predict_ms_per_1k_rows=1e6), "reject", "speed"),
        (replace(SOUND, size_mb=math.nan), "hold", "size"),
    ],
)
def test_soundness_decides_too(
    evaluation: Evaluation, soundness: Soundness | None, outcome: str, deciding: str
) -> None:
    verdict = judge_challenger(evaluation, soundness, make_spec(), "compared", FINE)
    assert (verdict.outcome, verdict.deciding) == (outcome, deciding)


@pytest.mark.parametrize("state", ["unreadable: the file is gone", "", "None", "unknown"])
def test_a_champion_that_cannot_be_read_holds(evaluation: Evaluation, state: str) -> None:
    for seen in (evaluation, first(evaluation)):
        verdict = judge_challenger(seen, SOUND, make_spec(), state, FINE)
        assert (verdict.outcome, verdict.deciding) == ("hold", "champion")


@pytest.mark.parametrize("broken", ["judge_baseline", "judge_champion", "judge_soundness", "judge_speed", "judge_size"])
def test_a_gate_that_breaks_holds(evaluation: Evaluation, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> GateResult:
        raise ZeroDivisionError("no")

    monkeypatch.setattr(gates_module, broken, fail)
    verdict = judge_challenger(evaluation, SOUND, make_spec(), "compared", FINE)
    assert verdict.outcome == "hold"
    assert "ZeroDivisionError" in verdict.reason


@pytest.mark.parametrize("evaluation_like", [None, "an evaluation", 3])
def test_no_evaluation_at_all_holds(evaluation_like: Any) -> None:
    assert judge_challenger(evaluation_like, SOUND, make_spec(), "none", FINE).outcome == "hold"


def test_one_day_of_test_rows_holds_and_says_why() -> None:
    frame = make_frame(2000, days=2)
    split = make_split(frame)
    verdict = judge_challenger(
        evaluate_test_rows(fit_model(frame, split), frame, split, make_spec()), SOUND, make_spec(), "none", FINE
    )
    assert verdict.outcome == "hold"
    assert "at least 5 are needed" in verdict.reason


@given(
    st.sampled_from(["nan", "inf"]), st.sampled_from(["gain", "low", "high"]), st.sampled_from(["baseline", "champion"])
)
def test_no_number_of_a_comparison_may_be_missing(bad: str, where: str, which: str) -> None:
    frame = make_frame(600)
    split = make_split(frame)
    model = fit_model(frame, split)
    good = evaluate_test_rows(model, frame, split, make_spec(), champion=Contender.of(model), importance=False)
    comparison = getattr(good, f"against_{which}")
    evaluation = replace(good, **{f"against_{which}": replace(comparison, **{where: float(bad)})})
    assert judge_challenger(evaluation, SOUND, make_spec(), "compared", FINE).outcome != "promote"


class Shuffles:
    """Predicts something, with no regard to the rows."""

    def predict_proba(self, frame: Any) -> Any:
        import numpy as np

        p = np.random.default_rng(0).random(len(frame))
        return np.stack([1 - p, p], axis=1)


def test_chance_is_seldom_promoted() -> None:
    frame = make_frame()
    split = make_split(frame)
    evaluation = evaluate_test_rows(wrap(Shuffles()), frame, split, make_spec())
    assert judge_challenger(evaluation, SOUND, make_spec(), "none", FINE).outcome != "promote"


def test_a_refit_is_judged_by_its_twins_gates_and_by_how_it_behaves_itself() -> None:
    spec = make_spec()
    twin = [gate(name) for name in ALWAYS]
    assert judge_refit(twin, SOUND, spec).outcome == "promote"
    broken = replace(SOUND, loads=False, largest_difference=None, detail="no such class")
    assert [(v.outcome, v.deciding) for v in (judge_refit(twin, broken, spec), judge_refit(twin, None, spec))] == [
        ("reject", "sound"),
        ("hold", "sound"),
    ]
    assert judge_refit([*twin[:1], gate("champion", "fail"), *twin[2:]], SOUND, spec).outcome == "reject"
    assert judge_refit(twin[:1], SOUND, spec).outcome == "hold", "a gate that is not there passes nothing"
