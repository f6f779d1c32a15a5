"""The typed project file. Frozen; unknown keys are refused; every default is meant to be right for most tables."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

TaskType = Literal["binary", "multiclass", "regression"]
_SPAN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(s|min|h|d|w)\s*$")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_share(value: Any) -> Any:
    """Turn `2%` into .02; anything else is left for pydantic to judge."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            raise ValueError("a share such as 2% or 0.02 is expected") from None
    return value


def parse_span(value: Any) -> Any:
    """Turn `90min`, `6h`, `1d` or `2w` into a timedelta; ISO 8601 (`P1D`, as resolved files have it) is left."""
    if isinstance(value, timedelta) or (isinstance(value, str) and value.startswith("P")):
        return value
    match = _SPAN.match(str(value))
    if match is None:
        raise ValueError("a duration such as 90min, 6h, 1d or 2w is expected")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


def parse_amount(value: Any) -> Any:
    """Keep `0.5%` as such a text, in one way of writing; anything else is a number of at least 0."""
    text = str(value).strip()
    relative = isinstance(value, str) and text.endswith("%")
    try:
        number = float(text.removesuffix("%")) if not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"an amount of at least 0 such as 0.005, or a percentage such as 0.5%; found {value!r}")
    return f"{number:.12g}%" if relative else number


Share = Annotated[
    float,
    BeforeValidator(parse_share, json_schema_input_type=float | Annotated[str, Field(pattern=r"^\d+(\.\d+)?%$")]),
    Field(ge=0, le=1),
]
Span = Annotated[
    timedelta,
    BeforeValidator(parse_span, json_schema_input_type=Annotated[str, Field(pattern=r"^\d+(\.\d+)?(s|min|h|d|w)$")]),
]
Amount = Annotated[
    float | str,
    BeforeValidator(
        parse_amount,
        json_schema_input_type=Annotated[float, Field(ge=0)] | Annotated[str, Field(pattern=r"^\d+(\.\d+)?%$")],
    ),
]
"""In the metric's own units, or a percentage of what the constant prediction reaches on the same rows."""
SLUG_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
Slug = Annotated[str, Field(pattern=SLUG_PATTERN)]


class Section(BaseModel):
    """Base of every part of the project file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Data(Section):
    """Where the rows are, what they mean, and when they are known."""

    source: str | tuple[str, ...]
    """File, or glob of files, relative to the project's root: .parquet, .csv, .csv.gz; or a list of them."""
    target: str
    """The column to predict. Missing where it is not known."""
    task: TaskType | None = None
    """What kind of target it is. Default: read off the labels: two values binary; text or up to 10 different whole
    numbers multiclass; other numbers regression. Say it where that is wrong: small counts are a regression."""
    positive: str | int | float | bool | None = None
    """For a binary target, the value that counts as positive; default true, 1, or the later one in sorted order."""
    time: str | None = None
    """The column that orders rows and cuts batches. Leave out for a table without time."""
    time_format: str | None = None
    """How `time` is written where it is text that is not ISO 8601, in strptime's letters: `%d/%m/%Y %H:%M`."""
    id: str | None = None
    """The column that names a row; joins predictions with labels."""
    timezone: str = "UTC"
    """Batches are cut in this time zone; times without a zone are read in it."""
    batch: Literal["file", "hour", "day", "week", "month", "all"] | None = None
    """What is one delivery of rows. Default: `month` where there is a time column, else `all`."""
    label_delay: Span = timedelta(0)
    """A label counts as known this long after its row."""
    group: str | None = None
    """Rows of one group never straddle a split."""
    exclude: tuple[str, ...] = ()
    """Columns that are in the source and never used as features: known only after the fact, or of no meaning."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"an IANA time zone such as America/New_York is expected, {value!r} is none")
        return value

    @model_validator(mode="after")
    def _coherent(self) -> Data:
        if self.time is None and self.batch in ("hour", "day", "week", "month"):
            raise ValueError(f"batch: {self.batch} needs a time column; set data.time, or batch: file or all")
        for role in ("target", "time", "id"):
            if getattr(self, role) is not None and getattr(self, role) in self.exclude:
                raise ValueError(f"the {role} column {getattr(self, role)!r} is also in exclude")
        if self.target in (self.time, self.id, self.group):
            raise ValueError(f"the target {self.target!r} cannot also be the time, id or group column")
        if self.positive is not None and self.task not in (None, "binary"):
            raise ValueError(f"positive is of a binary target only, and task is {self.task}; leave one of them out")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The time zone that batches are cut in."""
        return ZoneInfo(self.timezone)

    @property
    def cut(self) -> Literal["file", "hour", "day", "week", "month", "all"]:
        """How batches are cut, the default resolved."""
        return self.batch or ("month" if self.time else "all")

    @property
    def sources(self) -> tuple[str, ...]:
        """The source as a tuple of paths or globs."""
        return (self.source,) if isinstance(self.source, str) else self.source

    @property
    def called(self) -> str:
        """The source as messages name it."""
        return ", ".join(self.sources)

    @property
    def not_features(self) -> frozenset[str]:
        """Columns that no model sees: target, id, time, group and what is excluded."""
        return frozenset(c for c in (self.target, self.id, self.time, self.group, *self.exclude) if c)


class Contract(Section):
    """What the rows must look like."""

    file: str | None = None
    """The expectations, in YAML, relative to the project file. Default `<name>.contract.yaml` where that exists."""
    max_quarantine: Share = 0.02
    """The largest share of a batch's rows that may break a row rule; above it the batch is refused."""
    data_docs: bool = True
    """Build Great Expectations' Data Docs beside our own page."""


class Split(Section):
    """How test rows are set apart."""

    how: Literal["time", "random", "group"] | None = None
    """Default: `time` where there is a time column, else `group` where there is one, else `random`."""
    test: Annotated[Share, Field(gt=0, lt=1)] = 0.2
    """Share of the labelled rows that only judge the finished model."""
    calibration: Annotated[Share, Field(gt=0, lt=1)] = 0.15
    """Share of the remaining rows that are kept for calibration and the decision threshold."""
    folds: Annotated[int, Field(ge=2, le=20)] = 3
    """Search folds; they respect time and groups as the split does."""


class Search(Section):
    """How long to look for good parameters. Whichever budget ends first ends the search."""

    trials: Annotated[int, Field(ge=1)] = 20
    """Trials over all candidates; the first of each candidate is its default parameters."""
    seconds: Annotated[float, Field(gt=0)] = 120.0
    """No new trial starts after this many seconds; the first trial always finishes."""


class Costs(Section):
    """What a wrong decision costs, in any one unit. Given, they set the decision threshold."""

    false_positive: Annotated[float, Field(gt=0)]
    """Of a negative row that is called positive."""
    false_negative: Annotated[float, Field(gt=0)]
    """Of a positive row that is called negative."""


class Train(Section):
    """How candidates are made and chosen."""

    metric: str | None = None
    """What is optimised and compared. Default: average_precision for a binary target, log_loss for a multiclass one,
    r2 for a regression."""
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The quantile that is predicted where the metric is pinball."""
    candidates: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of estimator families: logistic (classes), ridge (regression), hist_gradient_boosting, random_forest.
    Default: the linear one of the task, and hist_gradient_boosting."""
    search: Search = Search()
    class_weight: Literal["balanced"] | None = None
    """`balanced` weighs rows by the inverse of their class's frequency while fitting."""
    calibrate: Literal["auto", "none", "sigmoid", "isotonic", "temperature"] = "auto"
    """Calibration of probabilities on rows of their own. `auto`, binary: isotonic from 2,000 rows of the rarer class,
    sigmoid from 100, else none; multiclass: temperature from 100 rows (sigmoid, class by class, where class_weight is
    set and each class has 100), else none."""
    costs: Costs | None = None
    """Leave out where no cost is known: the threshold is then .5."""
    refit: bool = False
    """Fit the winner again on all labelled rows once it has passed. What serves is then newer than what was judged:
    the evidence is its twin's, and later comparisons leave out all these rows."""
    plots: bool = True
    """Draw ROC, precision-recall, calibration and importance for the MLflow run."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """The same rows, settings and seed give the same model."""

    @model_validator(mode="after")
    def _coherent(self) -> Train:
        if self.metric == "expected_cost" and self.costs is None:
            raise ValueError("metric: expected_cost needs train.costs; state false_positive and false_negative")
        return self


def resolve_amount(amount: float | str, constant: float) -> float:
    """The amount in the metric's own units: a percentage is one of `constant`, whatever its sign; nan where that is."""
    return float(amount.removesuffix("%")) / 100 * abs(constant) if isinstance(amount, str) else amount


class ChampionGate(Section):
    """How a challenger is compared with the champion, on the challenger's test rows."""

    rule: Literal["better", "not_worse"] = "not_worse"
    """`better`: shown to be better. `not_worse`: shown not to be worse by more than the margin."""
    margin: Amount | None = None
    """`not_worse` allows the metric to be worse by at most this much; for `better` it is the gain that is worth
    finding, which the rows needed are told for. A number in the metric's own units, or such as `0.5%` of the constant
    prediction's value on the same rows. Default: 0.005; 0.5% where the metric has a unit (mae, rmse, pinball,
    expected_cost)."""
    confidence: Annotated[float, Field(ge=0.8, le=0.999)] = 0.95
    """Of the one-sided bound that decides, over all looks together."""
    looks: Annotated[int, Field(ge=1, le=20)] = 3
    """A held challenger may be decided again when new labels come: at most so many decisions in all, the first
    included. The error 1 - confidence is split evenly: the bounds of each are at 1 - (1 - confidence) / looks."""

    def settle_margin(self, unit: bool) -> float | str:
        """The margin for a metric with a unit or without, the default settled; see `resolve_amount`."""
        return self.margin if self.margin is not None else "0.5%" if unit else 0.005


class Limits(Section):
    """What a model may cost to run."""

    predict_ms_per_1k_rows: Annotated[float, Field(gt=0)] = 200.0
    """Milliseconds to score 1,000 rows on one core."""
    size_mb: Annotated[float, Field(gt=0)] = 100.0
    """Megabytes of the stored model."""


class Gates(Section):
    """What a challenger must show before it may be released."""

    beat_baseline_by: Amount | None = None
    """By how much the metric must be shown to be better than the constant prediction's. A number in the metric's own
    units, or such as `1%` of the constant prediction's value. Default: 0.01; 1% where the metric has a unit."""
    floors: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}
    """Metrics that must be shown to be at least so high, by their one-sided bound on the test rows: `roc_auc: 0.65`."""
    ceilings: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}
    """Metrics that must be shown to be at most so high: `log_loss: 0.5`."""
    champion: ChampionGate = ChampionGate()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _coherent(self) -> Gates:
        for name in sorted(self.floors.keys() & self.ceilings.keys()):
            if self.floors[name] >= self.ceilings[name]:
                raise ValueError(
                    f"floors.{name}: {self.floors[name]:g} is not below ceilings.{name}: {self.ceilings[name]:g}, so "
                    "no model could pass both"
                )
        return self

    def settle_baseline(self, unit: bool) -> float | str:
        """`beat_baseline_by` for a metric with a unit or without, the default settled; see `resolve_amount`."""
        return self.beat_baseline_by if self.beat_baseline_by is not None else "1%" if unit else 0.01


class Monitor(Section):
    """What is watched in production."""

    sample_rows: Annotated[int, Field(ge=200, le=100_000)] = 5_000
    """Rows that Evidently's pictures are drawn from, of the reference and of the window each."""
    max_categories: Annotated[int, Field(ge=5, le=200)] = 30
    """Category values shown by name in pictures; the others are drawn as one."""


class Project(Section):
    """One model product: `configs/<name>.yaml`."""

    name: Slug
    """Names the model, its ledger rows and its folder. Lower-case letters, digits, - and _."""
    description: str = ""
    data: Data
    contract: Contract = Contract()
    split: Split = Split()
    train: Train = Train()
    gates: Gates = Gates()
    promotion: Literal["auto", "manual"] = "auto"
    """`manual` makes a passed challenger wait until a person approves it."""
    monitor: Monitor = Monitor()

    @model_validator(mode="after")
    def _coherent(self) -> Project:
        if self.split.how == "time" and self.data.time is None:
            raise ValueError("split.how: time needs data.time")
        if self.split.how == "group" and self.data.group is None:
            raise ValueError("split.how: group needs data.group")
        return self

    @property
    def split_how(self) -> Literal["time", "random", "group"]:
        """How test rows are set apart, the default resolved."""
        if self.split.how:
            return self.split.how
        if self.data.time:
            return "time"
        return "group" if self.data.group else "random"
