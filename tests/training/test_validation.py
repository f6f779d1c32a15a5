"""What a search's winner predicts for the rows of its folds: each once, the same whether it is fitted again or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tasks.results import Trial
from tasks.training import search
from tasks.training.model import fit_model, train_model
from tasks.training.validation import predict_folds
from tests.training.rows import make_columns, make_project, make_split, make_training


@pytest.mark.parametrize("candidate", ["logistic", "ridge", "hist_gradient_boosting", "random_forest"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_what_the_search_has_kept_is_what_a_fit_would_predict(
    candidate: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if candidate == ("logistic" if task == "regression" else "ridge"):
        pytest.skip("it is not for this task")
    frame, yes = make_columns(600)
    number = pd.Series(np.random.default_rng(1).normal(size=600) + 2 * yes.to_numpy().astype(float), name="y")
    target = {"binary": yes, "regression": number, "multiclass": pd.cut(number, 3, labels=False).astype("int64")}[task]
    classes = () if task == "regression" else tuple(np.unique(target))
    rows = make_training(frame.drop(columns=["nothing", "always", "label"]), target, task, classes)
    split = make_split(600)
    spec = make_project(candidates=[candidate], search={"trials": 2})
    model = train_model(rows, split, spec)
    assert model.fold_predictions is not None
    positions, kept = predict_folds(model, rows, split, spec)
    same, fitted = predict_folds(replace(model, fold_predictions=None), rows, split, spec)
    assert np.array_equal(positions, same)
    assert np.array_equal(kept, fitted)

    monkeypatch.setattr(search, "MOST_KEPT", 100)
    assert train_model(rows, split, spec).fold_predictions is None


def test_validation_rows_are_those_of_the_folds_each_once() -> None:
    frame, target = make_columns(600)
    rows, split = make_training(frame.drop(columns=["nothing", "always", "label"]), target), make_split(600)
    spec = make_project(candidates=["logistic"])
    model = fit_model(rows, split, spec, (Trial(0, "logistic", {"C": 1.0}, (0.5,), 0.1),))
    positions, prediction = predict_folds(model, rows, split, spec)
    assert sorted(positions) == sorted({i for _, validation in split.folds for i in validation})
    assert prediction.shape == positions.shape
    assert not set(positions) & set(split.test)
