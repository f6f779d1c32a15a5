"""What a challenger must show before it may be released: the section `gates`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from tasks.config.values import Amount, Columns, Section, Share, parse_share


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


Undecided = Literal["pass", "hold"]


class Slices(Section):
    """Parts of the rows on which the model is judged by itself."""

    by: Columns = ()
    """Columns whose values make slices; numbers are cut at quantiles. They need not be features. Best are columns that
    say who is served: within a slice of a column that the model leans on, every model ranks less well."""
    quantiles: Annotated[int, Field(ge=2, le=10)] = 4
    """Slices that a column of numbers is cut into."""
    find: Annotated[int, Field(ge=0, le=10)] = 3
    """The weakest parts that are searched for on validation rows, by one or two columns; 0 searches for none."""
    metric: str | None = None
    """What slices are compared by. Default: train.metric; ROC AUC where that is average precision or F1, which follow
    the share of positives in a slice and so cannot be compared between slices."""
    max_drop: Amount | None = None
    """How far the metric on a slice may lie behind the champion's on the same slice or, without a champion, behind the
    model's own on all test rows (declared slices only; what a search finds is weaker than the whole by its nature). In
    the metric's own units, or such as `10%` of the constant prediction's value. Leave out to have slices reported
    only."""
    undecided: Undecided = "pass"
    """`hold` holds the release where a slice is too small to tell; else only a slice that is shown to be worse rejects
    it."""


class FairnessLimit(Section):
    """How far groups of people may be treated differently: one limit on one measure."""

    by: Annotated[Columns, Field(min_length=1, max_length=2)]
    """The column that tells the groups apart, or two for their intersection."""
    metric: str
    """Binary: demographic_parity_ratio (min), demographic_parity_difference, equalized_odds_ratio (min),
    equalized_odds_difference, true_positive_rate_difference, calibration_difference, accuracy_difference (max).
    Multiclass: accuracy_difference. Regression: mean_error_difference, absolute_error_difference."""
    min: Annotated[float, BeforeValidator(parse_share), Field(gt=0, le=1)] | None = None
    """The least that a ratio may be: the lowest rate of any group over the highest."""
    max: Annotated[float, BeforeValidator(parse_share), Field(gt=0)] | None = None
    """The most that a difference may be; for a regression in the target's unit."""
    undecided: Undecided = "pass"
    """`hold` holds the release until every group is shown to keep the limit; else only a group that is shown to break
    it rejects."""

    @model_validator(mode="after")
    def _coherent(self) -> FairnessLimit:
        if (self.min is None) == (self.max is None):
            raise ValueError("state min for a ratio or max for a difference, and one of them only")
        return self

    @property
    def stated(self) -> float:
        """The number that is stated, be it min or max."""
        number = self.min if self.min is not None else self.max
        assert number is not None  # one of them is
        return number


class Robustness(Section):
    """What is done to test rows to see how far the metric falls."""

    missing: Share = 0.1
    """Share of each feature's values that are made missing."""
    unseen: Share = 0.1
    """Share of each category's values that are replaced by one that was never seen."""
    noise: Annotated[float, Field(ge=0, le=10)] = 0.1
    """Noise that is added to each number, in parts of its own spread (standard deviation)."""
    max_drop: Amount | None = None
    """How far the metric may fall by any of these. Leave out to have them reported only."""
    max_drop_lost: Amount | None = None
    """How far it may fall where any one feature is lost: missing in every row. Leave out to have it reported only."""


class Leaks(Section):
    """Signs that test rows flatter the model."""

    max_shared_rows: Share = 0.05
    """The largest share of test rows that may be the same, in every feature and the target, as a row to learn from."""


class Gates(Section):
    """What a challenger must show before it may be released."""

    beat_baseline_by: Amount | None = None
    """By how much the metric must be shown to be better than the constant prediction's. A number in the metric's own
    units, or such as `1%` of the constant prediction's value. Default: 0.01; 1% where the metric has a unit."""
    floors: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict)
    """Metrics that must be shown to be at least so high, by their one-sided bound on the test rows: `roc_auc: 0.65`."""
    ceilings: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict)
    """Metrics that must be shown to be at most so high: `log_loss: 0.5`."""
    champion: ChampionGate = ChampionGate()
    limits: Limits = Limits()
    slices: Slices = Slices()
    fairness: tuple[FairnessLimit, ...] = ()
    """Limits on how differently groups of people may be treated; all groups are audited without any too."""
    robustness: Robustness = Robustness()
    leaks: Leaks = Leaks()

    @model_validator(mode="after")
    def _coherent(self) -> Gates:
        stated = [(limit.by, limit.metric) for limit in self.fairness]
        twice = next((key for key in stated if stated.count(key) > 1), None)
        if twice is not None:
            raise ValueError(f"fairness states {twice[1]} by {' and '.join(twice[0])} twice; leave one limit of it")
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
