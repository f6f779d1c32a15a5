"""The hand-written script: read three months, fit and calibrate a logistic regression, score the test rows.

It reads the same columns of the same files, splits the same rows in the same way, and fits and calibrates the same
model as `trueup train flights --as-of 2013-04-01` with one trial, with pandas and scikit-learn and nothing else:
no contract, no record, no registry, no gates. `--folds` also scores the trial on the three search folds, as a
search with one trial does and a person who tries no other parameters would not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

MONTHS = ("2013-01", "2013-02", "2013-03")
AS_OF = "2013-04-01"
ZONE = "America/New_York"
CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = [
    "hour", "weekday", "distance", "scheduled_arrival", "plane_age", "seats", "engines", "temp", "dewp", "humid",
    "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
]  # fmt: skip
COLUMNS = ["flight_id", "scheduled_departure", *NUMBERS, *CATEGORIES, "late"]


def read_months(folder: Path) -> pd.DataFrame:
    """The flights whose label was known a day after departure, in the order of time."""
    frame = pd.concat([pd.read_parquet(folder / f"{month}.parquet", columns=COLUMNS) for month in MONTHS])
    known_by = pd.Timestamp(AS_OF, tz=ZONE) - pd.Timedelta(days=1)
    frame = frame[frame["late"].notna() & (frame["scheduled_departure"] <= known_by)]
    return frame.sort_values(["scheduled_departure", "flight_id"], ignore_index=True)


def cut_by_day(days: pd.Series, share: float) -> np.ndarray:
    """True for the rows before the day in which `share` of the rows is reached."""
    return (days < np.sort(days)[int(len(days) * share)]).to_numpy()


def make_model() -> Pipeline:
    """Scaled numbers with a mark where they are missing, one column per category value, a logistic regression."""
    numbers = make_pipeline(StandardScaler(), SimpleImputer(strategy="median", add_indicator=True))
    values = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10)
    columns = ColumnTransformer([("numbers", numbers, NUMBERS), ("values", values, CATEGORIES)])
    return Pipeline([("columns", columns), ("model", LogisticRegression(C=1.0, max_iter=500, random_state=7))])


def score_folds(rows: pd.DataFrame, days: pd.Series, folds: int = 3) -> list[float]:
    """The trial's average precision on each of some folds that go forward in time."""
    edges = [np.sort(days)[int(len(days) * i / (folds + 1))] for i in range(1, folds + 1)]
    segment = np.searchsorted(edges, days, side="right")
    scores = []
    for fold in range(1, folds + 1):
        train, judge = rows[segment < fold], rows[segment == fold]
        model = make_model().fit(train, train["late"].astype(int))
        scores.append(average_precision_score(judge["late"].astype(int), model.predict_proba(judge)[:, 1]))
    return scores


def main(arguments: Sequence[str]) -> None:
    """Do it, and print the test metrics."""
    folder, *options = arguments
    rows = read_months(Path(folder))
    days = rows["scheduled_departure"].dt.tz_convert(ZONE).dt.tz_localize(None).dt.normalize()
    before = cut_by_day(days, 0.8)
    fit = cut_by_day(days[before], 0.85)
    past, test = rows[before], rows[~before]
    if "--folds" in options:
        print("folds", np.round(score_folds(past[fit], days[before][fit]), 4).tolist())
    model = make_model().fit(past[fit], past[fit]["late"].astype(int))
    held = past[~fit]
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="isotonic").fit(held, held["late"].astype(int))
    label, prediction = test["late"].astype(int), calibrated.predict_proba(test)[:, 1]
    for measure in (average_precision_score, roc_auc_score, brier_score_loss, log_loss):
        print(f"{measure.__name__} {measure(label, prediction):.4f} on {len(test):,} test rows")


if __name__ == "__main__":
    main(sys.argv[1:])
