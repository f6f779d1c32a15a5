"""The typed project file. Frozen; unknown keys are refused; every default is meant to be right for most tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator, model_validator

from tasks.config.gates import Gates
from tasks.config.labels import Labels
from tasks.config.monitoring import Monitor
from tasks.config.retraining import Retrain
from tasks.config.values import Columns, Section, Share, Slug, Span

TaskType = Literal["binary", "multiclass", "regression"]


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
    labels: Labels | None = None
    """Where labels are that come in files of their own or from a database. The target need then not be in `source`;
    a value that is there counts as said `label_delay` after its row, and a later word wins."""
    group: str | None = None
    """Rows of one group never straddle a split."""
    exclude: Columns = ()
    """Columns that are in the source and never used as features: known only after the fact, or of no meaning."""
    protected: Columns = ()
    """Columns that say which group of people a row is about, such as sex: audited for fairness, by themselves and in
    pairs, whether or not they are features (`exclude` keeps them from the model, not from the audit). Those that
    gates.fairness or train.mitigation name are added."""
    known_in_time: Columns = ()
    """Columns that look like a leak and are known when the prediction is made: a person has checked. They no longer
    hold a release."""
    personal: Columns = ()
    """Columns of personal data, beside those that are recognised: their values are kept out of pages and reports."""
    not_personal: Columns = ()
    """Columns that look like personal data and are not: their values may be shown."""

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
        if self.labels is not None:
            if self.id is None:
                raise ValueError("labels are joined by id; set data.id to the column of `source` that names a row")
            if self.labels_id == self.labels_label or self.labels.time in (self.labels_id, self.labels_label):
                raise ValueError("labels: id, label and time are columns of their own; name different ones")
        both = sorted(set(self.personal) & set(self.not_personal))
        if both:
            raise ValueError(f"column {both[0]!r} is both in personal and in not_personal; leave it in one")
        if self.target in self.protected:
            raise ValueError(f"the target {self.target!r} is also in protected")
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
    def labels_id(self) -> str:
        """The column that names a row where the labels are, the default resolved."""
        return (self.labels.id if self.labels else None) or self.id or ""

    @property
    def labels_label(self) -> str:
        """The column with the label where the labels are, the default resolved."""
        return (self.labels.label if self.labels else None) or self.target

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


class Mitigation(Section):
    """Decisions made more alike between groups of people. Binary targets only; it costs something in the metric, and
    the pages say how much."""

    by: Annotated[Columns, Field(min_length=1, max_length=2)]
    """The column that tells the groups apart, or two for their intersection. The model then reads it at scoring, also
    where data.exclude keeps it from the features."""
    parity: Literal["demographic_parity", "true_positive_rate_parity", "false_positive_rate_parity"] = (
        "demographic_parity"
    )
    """Which rate is made alike: the share of rows that is decided positive, of all rows, of the true positives, or of
    the true negatives."""
    objective: Literal["same_rate", "accuracy_score", "balanced_accuracy_score"] = "same_rate"
    """Which rate all groups get: the one that the model has over all of them, so that as many rows are decided positive
    as before; or the one that keeps a score as high as parity allows, as fairlearn's ThresholdOptimizer finds it."""
    strength: Annotated[float, Field(gt=0, le=1)] = 1.0
    """How far to go: 1 to parity, 0.5 half of the way there."""


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
    mitigation: Mitigation | None = None
    """Leave out where nothing is to be repaired."""
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
    retrain: Retrain = Retrain()

    @model_validator(mode="before")
    @classmethod
    def _audit_what_is_named(cls, raw: Any) -> Any:
        """Columns that a fairness limit or a mitigation names are protected, whether or not data.protected says so."""
        try:
            named = [*raw["gates"]["fairness"]] if raw.get("gates", {}).get("fairness") else []
            named += [raw["train"]["mitigation"]] if (raw.get("train") or {}).get("mitigation") else []
            stated = _listed(raw["data"].get("protected"))
            found = [column for entry in named for column in _listed(entry.get("by"))]
            protected = list(dict.fromkeys([*stated, *found]))
            return {**raw, "data": {**raw["data"], "protected": protected}} if protected != stated else raw
        except (AttributeError, KeyError, TypeError):  # not of the form that the fields below ask for: they say so
            return raw

    @model_validator(mode="after")
    def _coherent(self) -> Project:
        if self.split.how == "time" and self.data.time is None:
            raise ValueError("split.how: time needs data.time")
        if self.split.how == "group" and self.data.group is None:
            raise ValueError("split.how: group needs data.group")
        return self

    @model_validator(mode="after")
    def _sliced_by_something_else(self) -> Project:
        if self.data.target in self.gates.slices.by:
            raise ValueError(f"gates.slices.by names the target {self.data.target!r}; name other columns")
        return self

    @property
    def audited(self) -> frozenset[str]:
        """Columns that the audit of a model reads, whether or not they are features."""
        return frozenset((*self.data.protected, *self.gates.slices.by))

    @property
    def unreadable(self) -> frozenset[str]:
        """Columns that no model may read, but for those whose groups it is asked to treat alike."""
        return self.data.not_features - frozenset(self.train.mitigation.by if self.train.mitigation else ())

    @property
    def split_how(self) -> Literal["time", "random", "group"]:
        """How test rows are set apart, the default resolved."""
        if self.split.how:
            return self.split.how
        if self.data.time:
            return "time"
        return "group" if self.data.group else "random"


def _listed(value: Any) -> list[Any]:
    """One name or several, as a project file has them, as a list."""
    return [] if value is None else [value] if isinstance(value, str) else list(value)
