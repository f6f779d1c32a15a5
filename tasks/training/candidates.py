"""The table of candidates: one entry each, with its estimators, defaults and search space. All run on one core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sklearn.pipeline import Pipeline

from tasks.config import TaskType
from tasks.config.project import Train
from tasks.errors import ConfigError
from tasks.training.features import FeaturePlan, Preparation, make_preparation

Aim = Literal["mean", "median", "quantile"]
_AIMS: dict[str, Aim] = {"mae": "median", "mape": "median", "pinball": "quantile"}


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; `log` spreads them over the orders of magnitude."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    options: tuple[Any, ...]


@dataclass(frozen=True)
class Setting:
    """What an estimator is made with beside its parameters."""

    seed: int
    class_weight: str | None  # classifiers only
    categorical: tuple[int, ...] = ()  # positions of the category columns in the matrix
    aim: Aim = "mean"  # regressions only: what of the target is predicted
    quantile: float = 0.5  # where the aim is one

    @staticmethod
    def of(train: Train) -> Setting:
        """What a project's `train` section asks for: the aim of a regression follows from the metric."""
        aim = _AIMS.get(train.metric or "", "mean")
        return Setting(train.seed, train.class_weight, aim=aim, quantile=train.quantile)


Maker = Callable[[Mapping[str, Any], Setting], Any]


@dataclass(frozen=True)
class Candidate:
    """One estimator family. `makers` holds an unfitted estimator's maker for each task type that it can do."""

    name: str
    preparation: Preparation
    makers: Mapping[TaskType, Maker]
    defaults: Mapping[str, Any]
    space: Mapping[str, Range | Choice]


def _logistic(params: Mapping[str, Any], setting: Setting) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(
        **params, solver="lbfgs", max_iter=500, class_weight=setting.class_weight, random_state=setting.seed
    )


def _ridge(params: Mapping[str, Any], setting: Setting) -> Any:
    from sklearn.linear_model import Ridge

    from tasks.training.linear import LevelledRidge

    if setting.aim == "mean":
        return Ridge(**params)
    return LevelledRidge(**params, quantile=setting.quantile if setting.aim == "quantile" else 0.5)


def _boosted_classes(params: Mapping[str, Any], setting: Setting) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(**_boosting(params, setting), class_weight=setting.class_weight)


def _boosted_numbers(params: Mapping[str, Any], setting: Setting) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    losses: dict[Aim, str] = {"mean": "squared_error", "median": "absolute_error", "quantile": "quantile"}
    quantile = setting.quantile if setting.aim == "quantile" else None
    return HistGradientBoostingRegressor(**_boosting(params, setting), loss=losses[setting.aim], quantile=quantile)


def _boosting(params: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    # No early stopping: it would judge on rows drawn at random, which neither time nor groups respect.
    return {
        **params,
        "early_stopping": False,
        "categorical_features": list(setting.categorical) or None,
        "random_state": setting.seed,
    }


def _forest_classes(params: Mapping[str, Any], setting: Setting) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(**_forest(params, setting), class_weight=setting.class_weight)


def _forest_numbers(params: Mapping[str, Any], setting: Setting) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    # Its mean whatever the aim: trees grown for absolute errors take a hundred times as long.
    return RandomForestRegressor(**_forest(params, setting))


def _forest(params: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    # 100 trees of at most 2,048 leaves stay under 50 MB.
    return {**params, "n_estimators": 100, "n_jobs": 1, "random_state": setting.seed}


CANDIDATES: dict[str, Candidate] = {
    c.name: c
    for c in (  # from simple to complex: between candidates that are as good, the earlier one is taken
        Candidate(
            "logistic",
            "linear",
            {"binary": _logistic, "multiclass": _logistic},
            {"C": 1.0},
            {"C": Range(1e-4, 1e2, log=True)},
        ),
        Candidate(
            "ridge",
            "linear",
            {"regression": _ridge},
            {"alpha": 1.0},
            {"alpha": Range(1e-3, 1e4, log=True)},
        ),
        Candidate(
            "hist_gradient_boosting",
            "tree",
            {"binary": _boosted_classes, "multiclass": _boosted_classes, "regression": _boosted_numbers},
            {
                "learning_rate": 0.1,
                "max_iter": 100,
                "max_leaf_nodes": 31,
                "min_samples_leaf": 20,
                "l2_regularization": 1e-3,
                "max_features": 1.0,
            },
            {
                "learning_rate": Range(0.02, 0.3, log=True),
                "max_iter": Range(50, 400, log=True, whole=True),
                "max_leaf_nodes": Range(7, 63, log=True, whole=True),
                "min_samples_leaf": Range(5, 200, log=True, whole=True),
                "l2_regularization": Range(1e-3, 10.0, log=True),
                "max_features": Range(0.3, 1.0),
            },
        ),
        Candidate(
            "random_forest",
            "tree",
            {"binary": _forest_classes, "multiclass": _forest_classes, "regression": _forest_numbers},
            {"max_leaf_nodes": 1024, "min_samples_leaf": 5, "max_features": "sqrt"},
            {
                "max_leaf_nodes": Range(64, 2048, log=True, whole=True),
                "min_samples_leaf": Range(2, 100, log=True, whole=True),
                "max_features": Choice(("sqrt", 0.3, 0.6)),
            },
        ),
    )
}

DEFAULT_CANDIDATES: dict[TaskType, tuple[str, ...]] = {
    "binary": ("logistic", "hist_gradient_boosting"),
    "multiclass": ("logistic", "hist_gradient_boosting"),
    "regression": ("ridge", "hist_gradient_boosting"),
}

TRUSTED_TYPES: tuple[str, ...] = (
    "tasks.training.features.ColumnKinds",  # plain dicts and texts
    "tasks.training.group_thresholds.GroupThresholds",  # a fitted model, a list and a text of names, numbers
    "tasks.training.linear.LevelledRidge",  # a ridge regression's arrays and two numbers
    "numpy.dtype",  # of the encoders' matrices
    "sklearn.model_selection._split.KFold",  # the settings of the target encoder's cross-fitting
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",  # one number
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",  # arrays of nodes
    "sklearn.tree._tree.Tree",  # the same
    # Gradient boosting's own input check is a partial of this function, and may be one of no other: skops asks for
    # the trust of what a partial calls as well.
    "functools.partial",
    "sklearn.utils.validation.check_array",
)
"""Types beyond skops' own list that a stored model of these candidates needs, reviewed by hand."""


def find_candidates(names: Sequence[str] | None, task: TaskType) -> tuple[Candidate, ...]:
    """The candidates of those names (None: the task's default ones), each once.

    ConfigError for one that is unknown or cannot do the task.
    """
    found = []
    for name in dict.fromkeys(DEFAULT_CANDIDATES[task] if names is None else names):
        candidate = CANDIDATES.get(name)
        if candidate is None:
            raise ConfigError(
                f"train.candidates: unknown candidate {name!r}; expected some of {', '.join(CANDIDATES)}."
            )
        if task not in candidate.makers:
            able = ", ".join(c.name for c in CANDIDATES.values() if task in c.makers) or "none yet"
            raise ConfigError(f"train.candidates: {name!r} cannot predict a {task} target; those that can: {able}.")
        found.append(candidate)
    return tuple(found)


def make_pipeline(
    candidate: Candidate,
    params: Mapping[str, Any],
    plan: FeaturePlan,
    task: TaskType,
    setting: Setting,
) -> Pipeline:
    """An unfitted Pipeline from a raw frame to a prediction: steps `columns`, `encode`, `model`.

    `setting.categorical` follows from the plan, whatever is given.
    """
    preparation, categorical = make_preparation(plan, candidate.preparation, task, setting.seed)
    model = candidate.makers[task](params, replace(setting, categorical=tuple(categorical)))
    return Pipeline([*preparation.steps, ("model", model)])
