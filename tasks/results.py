"""The frozen values that pass between stages. Plain data: no I/O, no vendor types beyond pandas and scikit-learn."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Status = Literal["pass", "fail", "inconclusive", "not_applicable"]
Outcome = Literal["promote", "hold", "reject"]
HealthState = Literal["healthy", "drifting", "degraded", "broken"]


def to_json(value: Any) -> str:
    """Any value of this module as canonical JSON: keys sorted, no NaN (null), times in ISO 8601."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v) for v in (sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


# ---------------------------------------------------------------- contract


@dataclass(frozen=True)
class RuleResult:
    """One expectation on one batch. `failed` counts rows for a row rule, and is 0 or 1 for a batch rule."""

    name: str  # stable and readable, e.g. "distance: between 1 and 10000"
    kind: str  # the Great Expectations type, e.g. "expect_column_values_to_be_between"
    column: str | None
    scope: Literal["row", "batch"]
    passed: bool
    checked: int
    failed: int
    expected: str
    observed: str
    severity: Literal["critical", "warning", "info"] = "critical"  # only a broken critical rule has consequences


@dataclass(frozen=True)
class ContractResult:
    """A batch against its contract. `refused` is a normal outcome: the batch is neither trained on nor scored."""

    batch: str
    outcome: Literal["accepted", "refused"]
    reason: str
    rows: int
    quarantined: int
    rules: tuple[RuleResult, ...]
    contract: str  # digest of the contract that was applied
    quarantine: Path | None = None  # Parquet: raw rows plus `_rules`, `_row`; None where no row broke a rule
    page: Path | None = None
    data_docs: Path | None = None
    personal: Mapping[str, str] = field(default_factory=dict)  # column -> the personal data that its values look like


# ---------------------------------------------------------------- training


@dataclass(frozen=True)
class Filled:
    """How often a column has a value, among rows with a known label and among those without."""

    labelled: int = 0
    filled: int = 0  # of those
    unlabelled: int = 0
    filled_unlabelled: int = 0

    def plus(self, labelled: Any, unlabelled: Any) -> Filled:
        """With further rows, given as whether each has a value: (n,) and (m,) truth values."""
        return Filled(
            self.labelled + len(labelled),
            self.filled + int(labelled.sum()),
            self.unlabelled + len(unlabelled),
            self.filled_unlabelled + int(unlabelled.sum()),
        )


@dataclass(frozen=True)
class TrainingFrame:
    """The labelled rows of one training, in the order they are used. The index runs from 0 to n-1."""

    frame: pd.DataFrame  # features; time, id, group and audited columns where the project names them; no target
    target: pd.Series[Any]  # binary: 0/1 ints; multiclass: 0..K-1, positions in `classes`; regression: floats
    task: Literal["binary", "multiclass", "regression"]
    classes: tuple[Any, ...]  # original label values; for binary (negative, positive); none for a regression
    features: tuple[str, ...]
    time: pd.Series[Any] | None  # UTC
    group: pd.Series[Any] | None
    snapshot: str  # fingerprint of exactly these rows
    batches: tuple[str, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)  # reason -> rows left out
    filled: Mapping[str, Filled] = field(default_factory=dict)  # feature -> where it has values
    batch: NDArray[np.int64] | None = None  # per row its batch, as a position in `batches`


@dataclass(frozen=True)
class Split:
    """Positions (0..n-1) into a TrainingFrame. Disjoint; together all rows. Folds lie inside `fit`."""

    fit: tuple[int, ...]
    calibration: tuple[int, ...]
    test: tuple[int, ...]
    folds: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]  # (train, validation) positions
    how: str  # one sentence for the pages
    blocks: tuple[str, ...] | None = None  # per test row: the day or group whose rows are not independent


@dataclass(frozen=True)
class Trial:
    """One finished search trial. `params` replayed with the seed gives the same model."""

    number: int
    candidate: str
    params: Mapping[str, Any]
    scores: tuple[float, ...]  # per fold, larger is better
    seconds: float

    @property
    def score(self) -> float:
        """Mean over the folds."""
        return sum(self.scores) / len(self.scores)


@dataclass(frozen=True)
class FittedModel:
    """A finished challenger, before evaluation. `estimator` takes a frame with `features` and predicts."""

    estimator: Any
    candidate: str
    params: Mapping[str, Any]
    trials: tuple[Trial, ...]
    features: tuple[str, ...]
    task: Literal["binary", "multiclass", "regression"]
    classes: tuple[Any, ...]
    metric: str
    threshold: float | None
    calibration: str  # "isotonic", "sigmoid", "temperature", "none: ..." with the reason
    fit_seconds: float
    choice: str = ""  # one sentence: why this candidate
    mitigation: Mapping[str, Any] = field(default_factory=dict)  # what was done so that groups are decided more alike
    threshold_how: str = ""  # one sentence: where the threshold comes from
    dropped_features: Mapping[str, str] = field(default_factory=dict)  # column -> why no model sees it
    # For each fold of the search what the winner's trial predicted for the rows validated on; None where not kept.
    fold_predictions: tuple[NDArray[np.float64], ...] | None = field(default=None, repr=False, compare=False)


# ---------------------------------------------------------------- evaluation


@dataclass(frozen=True)
class MetricValue:
    """A metric on test rows with its interval: two-sided, but for `Evaluation.bounded`: each end by itself.

    nan where it is not defined on these rows, or its ends cannot be told from so few blocks.
    """

    name: str
    value: float
    low: float
    high: float
    confidence: float
    larger_is_better: bool
    method: str  # e.g. "jackknife over 12 days"
    rows: int = 0
    blocks: int = 0
    effective_blocks: float = 0.0
    rows_needed: int | None = None  # of `Evaluation.bounded`: rows in all for 80% power, if the value is as it looks


@dataclass(frozen=True)
class GateResult:
    """One check of a challenger, with its evidence and one sentence for a person."""

    name: str
    status: Status
    sentence: str
    observed: float | None = None
    limit: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Soundness:
    """How the stored model behaves away from the process that made it."""

    loads: bool
    # Between predictions here and in a fresh process, of a regression's values in parts of their spread; None where it
    # did not load.
    largest_difference: float | None
    predict_ms_per_1k_rows: float
    size_mb: float
    detail: str = ""  # the error, where it did not load


@dataclass(frozen=True)
class Comparison:
    """The challenger against another prediction on the same rows: the paired gain of one metric.

    `gain` above 0 means that the challenger is better, whatever the metric's direction. `low` and `high` are one-sided
    bounds, each at `confidence` by itself; nan where the rows make too few blocks to say anything.
    """

    metric: str
    other: str  # what it is compared with: "champion", "constant prediction"
    gain: float
    low: float
    high: float
    confidence: float
    method: str
    rows: int
    blocks: int
    effective_blocks: float
    standard_error: float
    rows_needed: int | None = None  # rows in all for 80% power; None where that cannot be computed
    margin: float = math.nan  # in the metric's own units: the loss that is allowed, or the gain that is asked or sought


@dataclass(frozen=True)
class Evaluation:
    """A challenger on its test rows."""

    rows: int
    blocks: int | None
    metrics: tuple[MetricValue, ...]
    baseline: MetricValue
    champion: MetricValue | None  # the champion's metric on the same rows
    curves: Mapping[str, Any] = field(default_factory=dict)  # ROC, PR, calibration: lists of points
    importance: Mapping[str, float] = field(default_factory=dict)  # fall of the metric when a feature is permuted
    metric_name: str = ""  # the metric that gates compare
    block_unit: str = ""  # such as "18 days"
    against_baseline: Comparison | None = None
    against_champion: Comparison | None = None
    bounded: Mapping[str, MetricValue] = field(default_factory=dict)  # gate of a floor or ceiling -> one-sided ends
    problem: str = ""  # why the challenger could not be judged on its test rows; its metrics are nan then
    champion_problem: str = ""  # why the champion could not be compared on them

    def metric(self, name: str) -> MetricValue:
        """The metric of that name; KeyError where it was not computed."""
        for value in self.metrics:
            if value.name == name:
                return value
        raise KeyError(name)


# ---------------------------------------------------------------- audit

Finding = Literal["pass", "fail", "undecided", "too small", "reported"]  # "reported": no limit is stated


@dataclass(frozen=True)
class Condition:
    """What a slice asks of one column: a value, numbers above `low` and up to `high`, or none of `others`.

    Exactly one of them: `value` (as text), an interval (an open end is None), `missing`, or `others`.
    """

    column: str
    value: str | None = None
    low: float | None = None
    high: float | None = None
    missing: bool = False
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class SliceResult:
    """The model on one part of the test rows. `drop` above 0 means that it is worse there than what it is held to."""

    name: str
    conditions: tuple[Condition, ...]
    found: bool  # searched for on validation rows, and not declared
    rows: int
    metric: MetricValue  # two-sided
    other: float  # what it is held to: the champion's metric on the same rows, or its own on all test rows
    drop: float
    low: float  # one-sided bounds of the drop, each at `confidence`: for all slices together where a limit is stated
    high: float
    confidence: float
    p_value: float  # of a drop of at most the limit
    finding: Finding


@dataclass(frozen=True)
class SliceAudit:
    """All slices, and what they are held to."""

    metric: str
    against: Literal["champion", "all test rows"]
    max_drop: float | None  # in the metric's own units; None where slices are reported only
    confidence: float  # of all together
    slices: tuple[SliceResult, ...] = ()
    problem: str = ""  # why none could be judged


@dataclass(frozen=True)
class GroupRates:
    """What one group of people gets: each rate or mean with its two-sided interval."""

    group: str
    rows: int
    rates: Mapping[str, tuple[float, float, float]]  # such as selection_rate -> value, low, high
    too_small: bool


@dataclass(frozen=True)
class GroupAudit:
    """The groups that one protected column, or two, tell apart; `gaps` are the usual measures over all of them."""

    by: tuple[str, ...]
    groups: tuple[GroupRates, ...]
    gaps: Mapping[str, float]


@dataclass(frozen=True)
class GroupComparison:
    """One group against another on one rate, by a fairness limit: `value` is their ratio or difference."""

    group: str
    other: str
    rate: str
    value: float
    low: float  # one-sided bounds, each at `confidence`, which is corrected for all comparisons
    high: float
    confidence: float
    p_value: float  # of keeping the limit
    rows: int  # of the two groups
    finding: Finding


@dataclass(frozen=True)
class FairnessResult:
    """One stated limit: the measure over all groups, and the pairs of groups behind it."""

    by: tuple[str, ...]
    metric: str
    kind: Literal["ratio", "difference"]
    limit: float
    value: float
    finding: Finding
    comparisons: tuple[GroupComparison, ...] = ()  # the worst first; of many not all
    too_small: tuple[str, ...] = ()  # groups of which nothing can be told
    undecided: int = 0  # comparisons that are shown neither to keep the limit nor to break it
    problem: str = ""


@dataclass(frozen=True)
class Perturbation:
    """How far the metric falls where test rows are worse than they were."""

    kind: Literal["missing", "unseen", "noise", "lost"]
    column: str | None  # of "lost"
    amount: float  # share of values, or noise in parts of a column's spread
    value: float
    fall: float
    low: float  # one-sided bounds of the fall, corrected for all perturbations that a limit holds
    high: float
    limit: float | None
    finding: Finding
    problem: str = ""  # how the model broke


@dataclass(frozen=True)
class RobustnessAudit:
    """The ladder of perturbations, and the features whose loss costs nothing that can be seen."""

    metric: str
    rows: int
    whole: float  # the metric on these rows as they are
    steps: tuple[Perturbation, ...] = ()
    needless: tuple[str, ...] = ()
    needless_limit: float = math.nan  # what their loss costs at most
    problem: str = ""


@dataclass(frozen=True)
class LeakSign:
    """A sign that test rows flatter the model. A near-certain one holds the release."""

    kind: Literal["copy of the target", "alone decides", "filled with the label", "shared rows", "shared ids"]
    column: str | None
    certain: bool
    cleared: bool  # the project file says that the column is known in time
    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LeakAudit:
    """What was looked at for leaks, and the signs that were found, the strongest first."""

    columns: int
    rows: int
    signs: tuple[LeakSign, ...] = ()


@dataclass(frozen=True)
class MitigationPrice:
    """What treating groups more alike costs: metrics of the same model without and with it, on the same test rows."""

    metric: str  # the project's
    loss: tuple[float, float, float]  # of it, with one-sided bounds
    before: Mapping[str, float]  # metric -> value
    after: Mapping[str, float]
    gaps_before: Mapping[str, float]
    gaps_after: Mapping[str, float]


@dataclass(frozen=True)
class Audit:
    """Whether a model is good for everyone: beside its evaluation, on the same test rows."""

    slices: SliceAudit
    groups: tuple[GroupAudit, ...] = ()
    fairness: tuple[FairnessResult, ...] = ()
    robustness: RobustnessAudit | None = None
    leaks: LeakAudit | None = None
    price: MitigationPrice | None = None
    champion_breaks: tuple[str, ...] = ()  # fairness limits that the champion is shown to break on the same rows


@dataclass(frozen=True)
class Verdict:
    """All gates together. `deciding` is the name of the gate that settled it."""

    outcome: Outcome
    reason: str
    gates: tuple[GateResult, ...]
    deciding: str


@dataclass(frozen=True)
class ModelVersion:
    """A registered model. `digest` is of the model's files: one that differs is not loaded."""

    project: str
    version: int
    run_id: str
    digest: str
    training_key: str
    snapshot: str
    uri: str


# ---------------------------------------------------------------- production


@dataclass(frozen=True)
class ScoredBatch:
    """The predictions for one batch, one file, written whole."""

    batch: str
    version: int
    rows: int
    skipped: int  # rows in quarantine
    path: Path
    mean_prediction: float  # of the number: probability of the positive class, of the likeliest one, or the value
    content: str = ""  # the batch's input fingerprint, as given


@dataclass(frozen=True)
class PredictionFile:
    """The predictions of a batch, and what they mean: `classes` in the order of the probabilities, none for values.

    `prefix` stands before the names of its columns where its model serves nobody.
    """

    path: Path
    task: Literal["binary", "multiclass", "regression"]
    classes: tuple[Any, ...] = ()
    threshold: float | None = None
    prefix: str = ""

    @property
    def numbers(self) -> list[str]:
        """The columns that hold its numbers."""
        by_class = [f"probability_{i}" for i in range(len(self.classes))]
        names = {"binary": ["probability"], "regression": ["prediction"], "multiclass": by_class}[self.task]
        return [self.prefix + name for name in names]


@dataclass(frozen=True)
class Window:
    """Monitoring's verdict on a period of production rows."""

    batch: str
    version: int | None
    health: HealthState
    sentence: str  # cause, in one sentence
    action: Literal["retrain", "fix upstream", "watch", "none"]
    rows: int
    labelled: int
    metrics: Mapping[str, float]
    drift: Mapping[str, float]  # column -> distance
    promised: Mapping[str, float] = field(default_factory=dict)  # metric -> the test interval's ends
    report: Path | None = None
    performance: tuple[MetricValue, ...] = ()  # with intervals; the first is the project's metric
    drifted: tuple[str, ...] = ()  # columns, first those whose move may do most to the model
    faults: tuple[str, ...] = ()  # what broke, one clause each
    notes: tuple[str, ...] = ()  # such as what was not drawn, and why
    counts: Path | None = None  # the window's own profile, in JSON
    prediction: str | None = None  # what `drift` calls the predictions, and
    prediction_drifted: bool = False
    label: str | None = None  # what `drift` calls the labels, and
    label_drifted: bool = False
    parts: Mapping[str, float] = field(default_factory=dict)  # drifted columns within segments -> distance
    cause: str = ""  # what alerts are told apart by
    alarm: bool = False  # news, and no drift that goes on
    promise: str = ""  # what is promised of false alarms
    realised: str = ""  # alarms so far, beside the budget
    estimated: tuple[MetricValue, ...] = ()  # without labels
    doubt: str = ""  # why labels do not speak of its health; empty where they do
    harmful: bool = False  # a drift that stands, without labels, and an estimate that lies below what was promised
    trust: str = ""  # how far earlier estimates were off
    delays: tuple[tuple[int, int, float], ...] = ()  # days, rows that are that old, share of them with a label by then
    skew: Mapping[str, str] = field(default_factory=dict)  # column -> what scoring saw and training did not
    effects: Mapping[str, float] = field(default_factory=dict)  # column -> distance x importance
    trace: Mapping[str, Any] = field(default_factory=dict)  # what later windows are compared with
    shadow: Mapping[str, Any] = field(default_factory=dict)  # a challenger's predictions beside the champion's
    end: datetime | None = None
    monitored_at: datetime | None = None


# ---------------------------------------------------------------- labels that come late


@dataclass(frozen=True)
class LabelDeliveries:
    """What was said about labels apart from the rows, until a moment."""

    words: int  # ids with a label, a repeated one each time
    duplicates: int  # words that say what another one said, of the same time
    contradictions: int  # ids of which different labels are said at the same time, not settled by a later word
    examples: tuple[str, ...]  # up to 3 of these ids; none where ids are personal data
    unknown: int  # ids that no batch holds
    nameless: int  # rows without an id
    newest: datetime | None  # time of the newest word; None where they have no times

    @property
    def faulty(self) -> bool:
        """Whether there is something to mend."""
        return bool(self.contradictions or self.unknown or self.nameless)
