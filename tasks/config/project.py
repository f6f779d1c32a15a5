"""The typed project file. Frozen; unknown keys are refused; every default is meant to be right for most tables."""

from __future__ import annotations

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
    """Turn `90min`, `6h`, `1d` or `2w` into a timedelta."""
    if isinstance(value, timedelta):
        return value
    match = _SPAN.match(str(value))
    if match is None:
        raise ValueError("a duration such as 90min, 6h, 1d or 2w is expected")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


Share = Annotated[
    float,
    BeforeValidator(parse_share, json_schema_input_type=float | Annotated[str, Field(pattern=r"^\d+(\.\d+)?%$")]),
    Field(ge=0, le=1),
]
Span = Annotated[
    timedelta,
    BeforeValidator(parse_span, json_schema_input_type=Annotated[str, Field(pattern=r"^\d+(\.\d+)?(s|min|h|d|w)$")]),
]
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
    """What is optimised and compared. Default average_precision for a binary target."""
    candidates: Annotated[tuple[str, ...], Field(min_length=1)] = ("logistic", "hist_gradient_boosting")
    """Names of estimator families: logistic, hist_gradient_boosting, random_forest."""
    search: Search = Search()
    class_weight: Literal["balanced"] | None = None
    """`balanced` weighs rows by the inverse of their class's frequency while fitting."""
    calibrate: Literal["auto", "none", "sigmoid", "isotonic"] = "auto"
    """Calibration on rows of their own. `auto`: isotonic from 2,000 rows of the rarer class, sigmoid from 100,
    else none."""
    costs: Costs | None = None
    """Leave out where no cost is known: the threshold is then .5."""
    plots: bool = True
    """Draw ROC, precision-recall, calibration and importance for the MLflow run."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """The same rows, settings and seed give the same model."""

    @model_validator(mode="after")
    def _coherent(self) -> Train:
        if self.metric == "expected_cost" and self.costs is None:
            raise ValueError("metric: expected_cost needs train.costs; state false_positive and false_negative")
        return self


class ChampionGate(Section):
    """How a challenger is compared with the champion, on the challenger's test rows."""

    rule: Literal["better", "not_worse"] = "not_worse"
    """`better`: shown to be better. `not_worse`: shown not to be worse by more than the margin."""
    margin: Annotated[float, Field(ge=0)] = 0.005
    """`not_worse` allows the metric to be lower by at most this much."""
    confidence: Annotated[float, Field(ge=0.8, le=0.999)] = 0.95
    """Of the one-sided bound that decides."""


class Limits(Section):
    """What a model may cost to run."""

    predict_ms_per_1k_rows: Annotated[float, Field(gt=0)] = 200.0
    """Milliseconds to score 1,000 rows on one core."""
    size_mb: Annotated[float, Field(gt=0)] = 100.0
    """Megabytes of the stored model."""


class Gates(Section):
    """What a challenger must show before it may be released."""

    beat_baseline_by: Annotated[float, Field(ge=0)] = 0.01
    """How far the metric's lower bound must lie above the trivial baseline's."""
    champion: ChampionGate = ChampionGate()
    limits: Limits = Limits()


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
