"""Training frames, splits and models for these tests: real estimators on small made-up rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tasks.config import Project
from tasks.results import (
    Audit,
    FittedModel,
    LeakAudit,
    Perturbation,
    RobustnessAudit,
    SliceAudit,
    Split,
    TrainingFrame,
)

FEATURES = ("size", "colour", "noise")
FINE = Audit(  # nothing is asked of slices and groups, the model survives, and there is no sign of a leak
    SliceAudit("roc_auc", "all test rows", None, 0.95),
    robustness=RobustnessAudit(
        "average_precision", 1000, 0.8, (Perturbation("noise", None, 0.1, 0.79, 0.01, 0.0, 0.02, None, "reported"),)
    ),
    leaks=LeakAudit(3, 3000),
)


def make_spec(**sections: Any) -> Project:
    return Project.model_validate({"name": "shop", "data": {"source": "x.csv", "target": "bought"}, **sections})


def make_frame(rows: int = 3000, seed: int = 0, days: int = 75) -> TrainingFrame:
    rng = np.random.default_rng(seed)
    time = pd.Series(pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(rows) * days / rows, unit="D"))
    frame = pd.DataFrame(
        {
            "key": [f"row {i}" for i in range(rows)],
            "size": rng.normal(size=rows),
            "colour": pd.Series(rng.choice(["red", "green"], rows)),
            "noise": rng.normal(size=rows),
        }
    )
    odds = 1.5 * frame["size"] + np.where(frame["colour"] == "red", 0.8, -0.4) - 1
    target = pd.Series((rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(int))
    return TrainingFrame(frame, target, "binary", (False, True), FEATURES, time, None, "snapshot", ("all",))


def make_split(frame: TrainingFrame, test: float = 0.4, blocks: bool = True) -> Split:
    rows = len(frame.target)
    cut = int(rows * (1 - test))
    days = frame.time.dt.strftime("%Y-%m-%d") if frame.time is not None else None
    return Split(
        fit=tuple(range(cut)),
        calibration=(),
        test=tuple(range(cut, rows)),
        folds=(),
        how="by time",
        blocks=tuple(days.iloc[cut:]) if blocks and days is not None else None,
    )


def fit_model(
    frame: TrainingFrame,
    split: Split,
    features: tuple[str, ...] = FEATURES,
    metric: str = "average_precision",
    **more: Any,
) -> FittedModel:
    rows = list(split.fit)
    text = [f for f in features if f == "colour"]
    numbers = [f for f in features if f != "colour"]
    estimator = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), text), (make_pipeline(SimpleImputer(), StandardScaler()), numbers)
        ),
        LinearRegression() if frame.task == "regression" else LogisticRegression(),
    )
    estimator.fit(frame.frame.iloc[rows][list(features)], frame.target.iloc[rows])
    return wrap(estimator, features, metric, **{"task": frame.task, "classes": frame.classes, **more})


def wrap(
    estimator: Any, features: tuple[str, ...] = FEATURES, metric: str = "average_precision", **more: Any
) -> FittedModel:
    given = {
        "threshold": None,
        "calibration": "none: few rows",
        "fit_seconds": 0.1,
        "task": "binary",
        "classes": (False, True),
        **more,
    }
    return FittedModel(estimator, "logistic", {}, (), features, metric=metric, **given)


def make_several(rows: int = 3000, shares: tuple[float, ...] = (0.5, 0.3, 0.2), seed: int = 0) -> TrainingFrame:
    """As `make_frame`, with a target of several classes: codes 0.. of the labels "a", "b", and so on."""
    frame = make_frame(rows, seed)
    rng = np.random.default_rng(seed + 1)
    pull = 1.5 * frame.frame["size"].to_numpy()[:, None] * np.linspace(-1, 1, len(shares))
    odds = np.exp(pull + np.log(shares))
    drawn = (rng.random(rows)[:, None] > np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)).sum(axis=1)
    labels = tuple("abcdefghijklmnopqrstuvwxyz"[: len(shares)])
    return replace(frame, target=pd.Series(drawn), task="multiclass", classes=labels)


def make_values(rows: int = 3000, seed: int = 0, scale: float = 100.0) -> TrainingFrame:
    """As `make_frame`, with a number to predict."""
    frame = make_frame(rows, seed)
    noise = np.random.default_rng(seed + 1).normal(size=rows)
    red = (frame.frame["colour"] == "red").to_numpy()
    target = pd.Series(scale * (5 + frame.frame["size"].to_numpy() + 0.5 * red + noise))
    return replace(frame, target=target, task="regression", classes=())
