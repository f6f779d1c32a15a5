"""The rows that a sentence names do what it says: with so many of them the gate passes about 4 times in 5."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.config.gates import ChampionGate
from tasks.evaluation.bounds import judge_bound
from tasks.evaluation.challenger import evaluate_test_rows
from tasks.evaluation.gates import judge_baseline, judge_champion
from tasks.evaluation.judged_rows import JudgedRows
from tasks.results import Comparison, Evaluation, MetricValue
from tasks.stats.intervals import deal_rows
from tasks.stats.metrics import AT_HALF, METRICS
from tests.evaluation.rows import fit_model, make_frame, make_spec, make_split

MAE = METRICS["mae"]
MARGIN, FEW, RUNS = 0.03, 1_000, 250
NOTHING = MetricValue("mae", 1.0, 1.0, 1.0, 0.95, False, "")


def compare(rng: np.random.Generator, rows: int, better_by: float, margin: float) -> Comparison:
    """Two predictions of 0 with errors that are alike; the first is truly better by `better_by`."""
    shared = rng.normal(size=rows)
    one, other = (np.abs(shared + 0.5 * rng.normal(size=rows)) for _ in range(2))
    other += better_by
    test = JudgedRows(np.zeros(rows), deal_rows(rows, 0), "regression")
    replicates = [test.replicate(MAE, p, AT_HALF) for p in (one, other)]
    return test.compare(MAE, *replicates, "other", margin, margin, 0.95)


@pytest.mark.parametrize(("rule", "better_by"), [("not_worse", 0.0), ("better", MARGIN)])
def test_four_in_five_pass_with_the_rows_that_are_named(rule: str, better_by: float) -> None:
    rng = np.random.default_rng(5)
    named = [compare(rng, FEW, better_by, MARGIN).rows_needed for _ in range(40)]
    assert all(n is not None for n in named)
    needed = int(np.median([n for n in named if n is not None]))
    assert needed > FEW
    gate = ChampionGate(rule=rule, margin=MARGIN)

    def pass_rate(rows: int) -> float:
        passed = 0
        for _ in range(RUNS):
            comparison = compare(rng, rows, better_by, MARGIN)
            found = Evaluation(rows, None, (NOTHING,), NOTHING, NOTHING, against_champion=comparison)
            passed += judge_champion(found, gate, "compared").status == "pass"
        return passed / RUNS

    rate, before = pass_rate(needed), pass_rate(FEW)
    print(f"{rule}: {needed:,} rows named, passed {rate:.3f}; with {FEW:,} rows {before:.3f}")
    assert 0.72 <= rate <= 0.88
    assert before < rate


@pytest.mark.parametrize(("ahead", "said"), [(1.0, "4 times in 5, if the gain is as it looks"), (-0.5, "hardly help")])
def test_the_baselines_rows_are_those_of_the_gain_as_it_looks(ahead: float, said: str) -> None:
    frame = make_frame()
    split = make_split(frame, blocks=False)
    model = fit_model(frame, split)
    gained = evaluate_test_rows(model, frame, split, make_spec(), importance=False).against_baseline
    assert gained is not None
    asked = gained.gain - ahead * gained.standard_error  # so many standard errors away
    spec = make_spec(gates={"beat_baseline_by": asked})
    gate = judge_baseline(evaluate_test_rows(model, frame, split, spec, importance=False), spec.gates)
    assert gate.status == "inconclusive"
    assert said in gate.sentence
    needed = gate.evidence["rows_needed"]
    assert needed is None if ahead < 0 else 5 * gained.rows < needed < 9 * gained.rows  # (1.76 + .85) ** 2


def test_a_floors_rows_settle_on_which_side_the_value_lies() -> None:
    rng = np.random.default_rng(7)

    def bound(rows: int, limit: float) -> MetricValue:
        test = JudgedRows(np.zeros(rows), deal_rows(rows, 0), "regression")
        return test.bound(MAE, test.replicate(MAE, np.abs(rng.normal(size=rows)), AT_HALF), limit, 0.95)

    truly = float(np.sqrt(2 / np.pi))
    ceiling = truly + 0.02
    few = bound(FEW, ceiling)
    assert few.rows == FEW and few.low < few.value < few.high
    exact = int(np.ceil((0.6028 * 2.53 / 0.02) ** 2))  # .6028: sd of |normal|; 2.53: z of 95% and of 80%, and a little
    passed = 0
    for _ in range(RUNS):
        value = bound(exact, ceiling)
        evaluation = Evaluation(exact, None, (NOTHING,), NOTHING, None, bounded={"ceiling mae": value})
        passed += judge_bound(evaluation, "ceiling", "mae", ceiling).status == "pass"
    assert 0.72 <= passed / RUNS <= 0.9
