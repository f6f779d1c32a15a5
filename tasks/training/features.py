"""From raw columns to numbers, inside the sklearn Pipeline, so that training and scoring cannot differ.

A plan is read off the rows of the fit: which columns are used, as what, and which are left out and why. `ColumnKinds`
turns a frame into one matrix of floats by that plan, whatever types the columns arrive in; scikit-learn's own encoders
do the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

from tasks.errors import DataError
from tasks.stats.categories import as_text
from tasks.stats.metrics import TaskType  # not tasks.config: a stored model is loaded with this module
from tasks.training.casting import CYCLES, Kind, as_flags, as_numbers, as_times, find_kind, take_part

Preparation = Literal["linear", "tree"]
Floats = NDArray[np.float64]

FEW_LEVELS = 254
"""A category with up to so many values is encoded value by value: what gradient boosting takes natively (255 bins)."""
ID_LEVELS, ID_SHARE = 20, 0.9
"""Text with more than so many values, and so large a share of the rows having one of their own, names the row."""
_CYCLE_DAYS = {"month": 365.0, "day": 31.0, "weekday": 7.0, "hour": 1.0}
_ENCODING_FOLDS = 5
_RARE_ROWS = 10


@dataclass(frozen=True)
class FeaturePlan:
    """What becomes of each column. Read off the rows of a fit, without the target."""

    kinds: Mapping[str, Kind]  # the columns that are used, in the order of the features
    parts: Mapping[str, tuple[str, ...]]  # of each datetime column
    levels: Mapping[str, int]  # of each category: distinct values
    dropped: Mapping[str, str]  # column -> why it is left out

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that the model needs."""
        return tuple(self.kinds)


def plan_features(frame: pd.DataFrame, features: Sequence[str]) -> FeaturePlan:
    """Decide for each of `features` how it is used, from the rows of `frame` in their order.

    Left out, each with its reason: columns without a value or with one value only, text of which nearly every row has
    its own, dates of which nothing comes back. Raises DataError where a column is not there or none is left.
    """
    _demand(frame, features)
    kinds: dict[str, Kind] = {}
    parts: dict[str, tuple[str, ...]] = {}
    levels: dict[str, int] = {}
    dropped: dict[str, str] = {}
    for name in features:
        column = frame[name]
        kind = find_kind(column)
        if kind is None:
            dropped[name] = "no value in any row"
            continue
        values = pd.Series(_cast(column, kind))
        present, distinct = int(values.notna().sum()), int(values.nunique())
        if distinct == 0:
            dropped[name] = "no value in any row"
        elif distinct == 1 and present == len(values):
            dropped[name] = "the same value in every row"
        elif kind == "category" and distinct > ID_LEVELS and distinct >= ID_SHARE * present:
            dropped[name] = f"an id or free text: {distinct:,} values in {present:,} rows"
        elif kind == "datetime" and not (chosen := _choose_parts(values)):
            dropped[name] = "dates that only move on with the rows: nothing in them comes back"
        else:
            kinds[name] = kind
            if kind == "datetime":
                parts[name] = chosen
            elif kind == "category":
                levels[name] = distinct
    if not kinds:
        reasons = "; ".join(f"{name}: {why}" for name, why in dropped.items()) or "there is none in the table"
        raise DataError(f"No column can be used as a feature ({reasons}). Check data.exclude and the table.")
    return FeaturePlan(kinds, parts, levels, dropped)


def make_preparation(plan: FeaturePlan, how: Preparation, task: TaskType, seed: int) -> tuple[Pipeline, list[int]]:
    """An unfitted Pipeline from a raw frame to a matrix, and the positions of the matrix' category columns.

    `linear`: scaled numbers with the median for what is missing and a mark for it, one column per category value (rare
    and unseen values share one). `tree`: numbers and category codes as they are, missing as nan. In both, a category
    of more than 254 values becomes the target's smoothed mean for the value, cross-fitted so that no row sees its own.
    """
    columns = ColumnKinds(dict(plan.kinds), {name: list(parts) for name, parts in plan.parts.items()})
    at: dict[str, list[int]] = {"number": [], "cycle": [], "few": [], "many": []}
    for position, (name, part) in enumerate(columns.outputs()):
        at[_find_role(plan, name, part)].append(position)
    if how == "linear":
        # Scaled before it is filled, so that the marks for missing values stay 0 and 1.
        numbers = make_pipeline(
            StandardScaler(), SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
        )
        values = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=_RARE_ROWS)
        means = make_pipeline(_mean_encoder(task, seed), StandardScaler())
        steps = [
            ("numbers", numbers, at["number"]),
            ("values", values, at["cycle"] + at["few"]),
            ("means", means, at["many"]),
        ]
        categorical = []
    else:
        numeric = at["number"] + at["cycle"]
        steps = [
            ("numbers", "passthrough", numeric),
            ("values", "passthrough", at["few"]),
            ("means", _mean_encoder(task, seed), at["many"]),
        ]
        categorical = list(range(len(numeric), len(numeric) + len(at["few"])))
    encode = ColumnTransformer([step for step in steps if step[2]])
    return Pipeline([("columns", columns), ("encode", encode)]), categorical


class ColumnKinds(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Cast each column to the kind it had at the fit; a frame of any dtypes becomes a float64 matrix.

    `kinds` maps column to kind, `parts` each datetime column to the parts that are taken. Numbers that cannot be read
    become nan, infinities too; categories become the running number of their value (nan missing, -1 not seen at the
    fit). Columns beyond `kinds` and the order of columns do not matter; a column that is not there is a DataError.
    """

    def __init__(self, kinds: dict[str, Kind], parts: dict[str, list[str]]) -> None:
        self.kinds = kinds
        self.parts = parts

    def fit(self, X: pd.DataFrame, y: Any = None) -> ColumnKinds:
        """Learn the values of each category."""
        _demand(X, self.kinds)
        # One JSON text per column: exact, and stored as one small plain value whatever the number of levels.
        self.levels_ = {
            name: json.dumps(sorted(pd.unique(pd.Series(as_text(X[name]), dtype=object).dropna())))
            for name, kind in self.kinds.items()
            if kind == "category"
        }
        self._indexes: dict[str, pd.Index[Any]] = {}
        return self

    def transform(self, X: pd.DataFrame) -> Floats:
        """(n rows, one column per number, flag and category and per part of a datetime)."""
        _demand(X, self.kinds)
        outputs = self.outputs()
        matrix = np.empty((len(X), len(outputs)), order="F")
        times: dict[str, pd.Series[Any]] = {}
        for position, (name, part) in enumerate(outputs):
            kind = self.kinds[name]
            if part is not None:
                if name not in times:
                    times[name] = as_times(X[name])
                matrix[:, position] = take_part(times[name], part)
            elif kind == "category":
                matrix[:, position] = self._encode(name, as_text(X[name]))
            else:
                matrix[:, position] = _cast(X[name], kind)
        return matrix

    def outputs(self) -> list[tuple[str, str | None]]:
        """Column and part of each column of the matrix."""
        named: list[tuple[str, str | None]] = []
        for name, kind in self.kinds.items():
            named.extend([(name, part) for part in self.parts[name]] if kind == "datetime" else [(name, None)])
        return named

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """A name for each column of the matrix."""
        return np.array([f"{name} {part}" if part else name for name, part in self.outputs()], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "levels_")

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_indexes", None)  # made again from `levels_` at the first use
        return state

    def _encode(self, name: str, text: NDArray[np.object_]) -> Floats:
        indexes = self.__dict__.setdefault("_indexes", {})
        if name not in indexes:
            indexes[name] = pd.Index(json.loads(self.levels_[name]), dtype=object)
        codes: Floats = indexes[name].get_indexer(pd.Index(text, dtype=object)).astype(np.float64)
        codes[pd.isna(text)] = np.nan
        return codes


def _cast(column: pd.Series[Any], kind: Kind) -> Any:
    if kind == "number":
        return as_numbers(column)
    if kind == "boolean":
        return as_flags(column)
    return as_times(column) if kind == "datetime" else as_text(column)


def _choose_parts(times: pd.Series[Any]) -> tuple[str, ...]:
    """The parts of a datetime that can be of use on later rows.

    A part that comes round is taken where the rows cover its cycle once: a month that was never seen would be a
    guess. The days since 1970 are taken where the dates do not move on with the rows (a birthday, not the moment of
    the row), for otherwise every later row lies outside of what was seen. The year would only repeat them.
    """
    known = times.dropna()
    days = (known.max() - known.min()) / pd.Timedelta(days=1)
    chosen = [part for part, cycle in _CYCLE_DAYS.items() if days >= cycle and take_part(known, part).std() > 0]
    order = known.reset_index(drop=True).rank().corr(pd.Series(np.arange(len(known), dtype=float)))
    if not abs(order) > 0.5 and take_part(known, "days").std() > 0:
        chosen.append("days")
    return tuple(chosen)


def _find_role(plan: FeaturePlan, name: str, part: str | None) -> str:
    if part is not None:
        return "cycle" if part in CYCLES else "number"
    if plan.kinds[name] != "category":
        return "number"
    return "few" if plan.levels[name] <= FEW_LEVELS else "many"


def _mean_encoder(task: TaskType, seed: int) -> TargetEncoder:
    """Cross-fitted over shuffled folds: where rows are sorted by the category, blocks would never meet its values."""
    folds = KFold if task == "regression" else StratifiedKFold
    target = "continuous" if task == "regression" else "auto"  # of codes it tells two classes from several
    return TargetEncoder(target_type=target, cv=folds(_ENCODING_FOLDS, shuffle=True, random_state=seed))


def _demand(frame: pd.DataFrame, names: Sequence[str] | Mapping[str, Any]) -> None:
    absent = [name for name in names if name not in frame.columns]
    if absent:
        listed = ", ".join(repr(name) for name in absent[:10]) + (", ..." if len(absent) > 10 else "")
        raise DataError(
            f"The rows lack {len(absent)} of the {len(names)} columns that the model was made for: {listed}. A column"
            " may be missing in every row, but it has to be there; deliver it again, or train without it"
            " (data.exclude)."
        )
