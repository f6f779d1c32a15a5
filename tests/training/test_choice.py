"""Simpler against complex: by non-inferiority on the search folds, at an error rate that is simulated here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasks.results import Trial
from tasks.stats.metrics import find_metric
from tasks.training.choice import Leeway, choose_trial, find_leeway
from tests.training.rows import make_columns, make_project, make_split, make_training

AREA = find_metric("roc_auc", "binary")
LEEWAY = Leeway(margin=0.005, confidence=0.95, overlap=0.5)


def made(candidate: str, *scores: float, number: int = 0) -> Trial:
    return Trial(number, candidate, {}, scores, 0.0)


def test_the_simpler_candidate_wins_where_it_is_shown_to_be_within_the_margin() -> None:
    simple, better = made("logistic", 0.7, 0.71, 0.72), made("hist_gradient_boosting", 0.701, 0.7115, 0.7205)
    chosen, why = choose_trial([better, simple], AREA, LEEWAY)
    assert chosen is simple
    assert why == (
        "logistic: hist_gradient_boosting has the best mean ROC AUC 0.711 on 3 search folds, but logistic is only "
        "0.001 behind, with 95% confidence at most 0.00233, which is within the margin of 0.005 "
        "(gates.champion.margin); it is the simpler."
    )


def test_it_does_not_win_where_that_is_not_shown() -> None:
    simple, better = made("logistic", 0.70, 0.71, 0.72), made("hist_gradient_boosting", 0.73, 0.70, 0.73)
    chosen, why = choose_trial([better, simple], AREA, LEEWAY)
    assert chosen is better
    assert why == (
        "hist_gradient_boosting: the best mean ROC AUC 0.72 on 3 search folds in 2 trials; logistic is 0.01 behind, "
        "maybe by 0.0633: not shown to be within the margin of 0.005 (gates.champion.margin)."
    )
    for leeway in (replace(LEEWAY, margin=float("nan")), replace(LEEWAY, confidence=0.999)):
        assert choose_trial([simple, better], AREA, leeway)[0] is better


def test_one_fold_shows_nothing() -> None:
    simple, better = made("logistic", 0.7), made("hist_gradient_boosting", 0.7001)
    chosen, why = choose_trial([simple, better], AREA, LEEWAY)
    assert chosen is better and "one fold shows no spread" in why


def test_a_simpler_winner_needs_no_rule_and_the_first_of_equals_is_taken() -> None:
    worse, first, second = made("random_forest", 0.1), made("logistic", 0.2), made("logistic", 0.2, number=1)
    chosen, why = choose_trial([worse, first, second], AREA, LEEWAY)
    assert chosen is first and "it is also the simplest" in why
    chosen, why = choose_trial([second], AREA, LEEWAY)
    assert chosen is second and "the only candidate tried" in why


def test_of_several_simpler_ones_the_simplest_is_taken_with_the_error_split() -> None:
    best = made("random_forest", 0.7, 0.7, 0.7)
    near, nearer = made("logistic", 0.698, 0.697, 0.696), made("hist_gradient_boosting", 0.7, 0.6999, 0.7)
    chosen, why = choose_trial([best, near, nearer], AREA, LEEWAY)
    assert chosen is nearer, "97.5% for each of two: logistic is not shown, the other is"
    assert "with 97.5% confidence" in why
    assert choose_trial([best, near], AREA, replace(LEEWAY, margin=0.006))[0] is near


def test_a_loss_is_said_as_it_is() -> None:
    simple, better = made("logistic", -0.5, -0.5), made("hist_gradient_boosting", -0.4, -0.41)
    why = choose_trial([simple, better], find_metric("log_loss", "binary"), LEEWAY)[1]
    assert "mean log loss 0.405 on 2 search folds" in why and "logistic is 0.095 behind" in why


def test_the_margin_is_the_champions_on_the_rows_of_the_folds() -> None:
    frame, target = make_columns(500)
    training, split = make_training(frame, target), make_split(500, folds=2)
    overlap = float(np.mean([len(v) / len(t) for t, v in split.folds]))
    costs = {"false_positive": 1, "false_negative": 4}
    spec = make_project(candidates=["logistic"], metric="expected_cost", costs=costs)
    cost = find_metric("expected_cost", "binary")
    leeway = find_leeway(training, split, spec, cost)
    trivial = np.mean([min((1 - target.iloc[list(v)]).mean(), 4 * target.iloc[list(v)].mean()) for _, v in split.folds])
    assert leeway.margin == pytest.approx(0.005 * trivial, rel=0.2)
    assert (leeway.confidence, leeway.overlap) == (0.95, pytest.approx(overlap))
    assert find_leeway(training, split, spec, AREA).margin == 0.005


def fit_and_score(x: np.ndarray, y: np.ndarray, train: np.ndarray, judged: np.ndarray) -> float:
    weights = np.linalg.lstsq(x[train], y[train], rcond=None)[0]
    return -float(np.mean((y[judged] - x[judged] @ weights) ** 2))


def simulate(weak: float, by_time: bool, runs: int, seed: int) -> np.ndarray:
    """Scores (runs, 2, 3) of least squares without and with two columns of effect `weak`, on three folds."""
    rng = np.random.default_rng(seed)
    scores = np.empty((runs, 2, 3))
    effects = np.array([1, 1, 1, 1, weak, weak])
    for run in range(runs):
        x = rng.normal(size=(400, 6))
        y = x @ effects + 2 * rng.normal(size=400)
        part = np.arange(400) // 100 - 1 if by_time else rng.integers(0, 3, 400)
        for fold in range(3):
            train = part < fold if by_time else part != fold
            for which, columns in enumerate((4, 6)):
                scores[run, which, fold] = fit_and_score(x[:, :columns], y, train, part == fold)
    return scores


@pytest.mark.parametrize("by_time", [False, True])
@pytest.mark.parametrize("weak", [0.25, 0.4])
def test_the_worse_and_simpler_is_seldom_preferred_to_the_best(by_time: bool, weak: float) -> None:
    """Worse by exactly the margin it is preferred in at most 5 of 100 searches, and in fewer where by twice as much.

    Counted are the searches in which the complex one has the better mean: where the simpler one has it, by chance,
    no rule is needed.
    """
    runs = 600
    scores = simulate(weak, by_time, runs, seed=11)
    gaps = (scores[:, 1] - scores[:, 0]).mean(axis=1)
    overlap = (1 + 1 / 2 + 1 / 3) / 3 if by_time else 0.5
    metric = find_metric("rmse", "regression")

    def prefer_simple(margin: float) -> float:
        leeway, preferred = Leeway(margin, 0.95, overlap), 0
        for simple, full in scores[gaps > 0]:
            trials = [made("logistic", *simple), made("hist_gradient_boosting", *full)]
            preferred += choose_trial(trials, metric, leeway)[0].candidate == "logistic"
        return preferred / runs

    truly = float(gaps.mean())
    exactly, twice, generous = prefer_simple(truly), prefer_simple(truly / 2), prefer_simple(truly + 6 * gaps.std())
    print(
        f"{'time' if by_time else 'hash'} {weak}: worse by the margin {exactly:.3f}, by twice {twice:.3f}, "
        f"within it by 6 sd {generous:.3f}; best by chance {np.mean(gaps <= 0):.3f}"
    )
    assert exactly + 1.645 * (exactly * (1 - exactly) / runs) ** 0.5 <= 0.05
    assert twice <= 0.02
    assert generous >= 0.35
