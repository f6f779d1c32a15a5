"""Made-up labelled rows with every kind of column, and splits of them in the order of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.config import Project
from tasks.results import Split, TrainingFrame


def make_columns(n: int, seed: int = 0) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """`n` rows of all kinds, and a 0/1 target that depends on `amount`, `shop` and `member`."""
    random = np.random.default_rng(seed)
    amount = random.normal(size=n)
    shop = random.integers(0, 8, n)
    member = random.random(n) < 0.5
    logit = 1.2 * amount + 0.6 * (shop % 3 - 1) + 1.0 * member - 1.5
    target = pd.Series((random.random(n) < 1 / (1 + np.exp(-logit))).astype(int))
    start = pd.Timestamp("2020-01-01", tz="UTC")
    frame = pd.DataFrame(
        {
            "amount": np.where(random.random(n) < 0.1, np.nan, amount),
            "count": random.integers(0, 50, n),
            "shop": pd.Series([f"shop {k}" for k in shop], dtype="str").where(random.random(n) > 0.05),
            "member": pd.Series(member).astype(object).where(random.random(n) > 0.1, None),
            "born": pd.to_datetime("1950-01-01") + pd.to_timedelta(random.integers(0, 20_000, n), unit="D"),
            "seen": start + pd.to_timedelta(np.sort(random.integers(0, 500 * 24, n)), unit="h"),
            "nothing": np.full(n, np.nan),
            "always": np.full(n, "x"),
            "label": [f"id-{k}" for k in range(n)],
        }
    )
    return frame, target


def make_training(
    frame: pd.DataFrame, target: pd.Series[Any], task: str = "binary", classes: tuple[Any, ...] = (False, True)
) -> TrainingFrame:
    """A TrainingFrame of all columns."""
    return TrainingFrame(
        frame=frame,
        target=target,
        task=task,  # type: ignore[arg-type]
        classes=classes,
        features=tuple(frame.columns),
        time=None,
        group=None,
        snapshot="made up",
        batches=("all",),
    )


def make_split(n: int, folds: int = 3, test: float = 0.2, calibration: float = 0.2) -> Split:
    """Fit, calibration and test rows one after the other; growing folds inside the fit rows."""
    end = int(n * (1 - test))
    fit = int(end * (1 - calibration))
    cuts = np.linspace(0, fit, folds + 2).astype(int)
    return Split(
        fit=tuple(range(fit)),
        calibration=tuple(range(fit, end)),
        test=tuple(range(end, n)),
        folds=tuple((tuple(range(cuts[k + 1])), tuple(range(cuts[k + 1], cuts[k + 2]))) for k in range(folds)),
        how="in order",
    )


def make_project(**train: Any) -> Project:
    """A project with this `train` section."""
    return Project.model_validate({"name": "made", "data": {"source": "rows.csv", "target": "y"}, "train": train})
