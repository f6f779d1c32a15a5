"""Fresh rows whose true difference between two models is known, for the rates of `test_error_rates` and the soak.

Each model's number per row is normal given the label, or a mixture of normals, with a part of its own per row, a part
that the models share and a part per block. So the population values of ROC AUC and MAE are closed forms, those of
average precision and log loss are integrals; a model that is to be equal, or worse by exactly some margin, is found by
root finding on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.optimize import brentq
from scipy.signal import lfilter
from scipy.stats import beta, norm

from tasks.stats.comparison import Difference, compare, one_sided, rows_for_power
from tasks.stats.intervals import Blocks, Replicates, block_rows, deal_rows, replicate, two_sided
from tasks.stats.metrics import METRICS

Array = np.ndarray
COMPARED = ("roc_auc", "average_precision", "log_loss", "mae")
POSITIVES = 0.25
SHARED = 0.5  # of the variance of a model's noise per row: two models err on the same rows
DAY = 0.4  # standard deviation of a model's own part per block, beside 1 per row


@dataclass(frozen=True)
class Layout:
    """How rows lie in blocks. `alike` is the correlation of a day's part with that of the day before, and `day` the
    deviation of these parts; population values are those of DAY."""

    blocks: int = 0  # 0: independent rows
    weight: float | None = None  # of a Dirichlet distribution of the blocks' sizes; None: equal but for chance
    ordered: bool = False
    alike: float = 0.0
    day: float = DAY


LAYOUTS = {
    "independent rows": Layout(),
    "10 groups": Layout(10),
    "30 groups": Layout(30),
    "30 unequal groups": Layout(30, weight=3.0),
    "10 days": Layout(10, ordered=True),
    "30 days": Layout(30, ordered=True),
}
CORRELATED = {
    f"{days} days, each .6 of the day before": Layout(days, ordered=True, alike=0.6, day=1.0) for days in (10, 30, 60)
}


def lay_rows(layout: Layout, rows: int, rng: np.random.Generator) -> tuple[Array | None, Blocks]:
    """The block number of each row (None: independent rows), and the product's blocks."""
    if not layout.blocks:
        return None, deal_rows(rows, int(rng.integers(2**31)))
    shares = None if layout.weight is None else rng.dirichlet(np.full(layout.blocks, layout.weight))
    block = rng.choice(layout.blocks, rows, p=shares)
    names = np.array([f"{b:04d}" for b in range(layout.blocks)], dtype=object)
    return block, block_rows(names[block], "days", ordered=layout.ordered)


def draw_noise(layout: Layout, block: Array | None, rows: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Per model: noise per row with variance 1, partly shared, and a part per block; (2, rows)."""
    noise = np.sqrt(SHARED) * rng.normal(size=rows) + np.sqrt(1 - SHARED) * rng.normal(size=(2, rows))
    if block is None:
        return noise, np.zeros((2, rows))
    day = rng.normal(size=(2, layout.blocks))
    for i in range(1, layout.blocks if layout.alike else 0):
        day[:, i] = layout.alike * day[:, i - 1] + np.sqrt(1 - layout.alike**2) * day[:, i]
    return noise, layout.day * day[:, block]


# ---------------------------------------------------------------- models whose population value is known


@dataclass(frozen=True)
class Model:
    """A ranking by scores with `shift` between the classes, or a prediction whose errors are `shift` large.

    `kind` is "plain", or "other": with errors of another shape. The other ranking has positives that scatter twice as
    widely as negatives; the other losses come from a few rows with large errors.
    """

    shift: float
    kind: str = "plain"


KICKED = 0.05  # share of the rows on which the other model of log loss is off by a kick, and of MAE by far more
WIDE = 2.0  # deviation of the positives' scores of the other ranking model
_NODES, _WEIGHTS = hermegauss(60)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_LEVEL, _SLOPE = -1.3, 1.2  # of the true logits of log loss
_LOGIT_NOISE = 0.5
_DAY_OF_LOGIT = 0.2  # deviation of a model's own part per block, of log loss


def _deviations(model: Model, day: float) -> tuple[float, float]:
    """Of a ranking model's scores, positives and negatives, with the part per block in them."""
    if model.kind == "plain":
        return float(np.hypot(1, day)), float(np.hypot(1, day))
    day = day * np.sqrt((WIDE**2 + 1) / 2)  # so that pairs within a block and across them keep one proportion
    return float(np.hypot(WIDE, day)), float(np.hypot(1, day))


def _auc(model: Model, day: float) -> float:
    up, down = _deviations(model, day)
    return float(norm.cdf(model.shift / np.hypot(up, down)))


def _average_precision(model: Model, day: float) -> float:
    up, down = _deviations(model, day)
    recall = (np.arange(20_000) + 0.5) / 20_000  # the mean of precision over recall, by midpoints
    threshold = model.shift + up * norm.isf(recall)
    false = norm.sf(threshold / down)
    return float(np.mean(POSITIVES * recall / (POSITIVES * recall + (1 - POSITIVES) * false)))


def _log_loss(model: Model, day: float) -> float:
    """Over the true logit and the error of the predicted one."""
    true = (_LEVEL + _SLOPE * _NODES)[:, None]
    extra = _DAY_OF_LOGIT * (day / DAY)
    noise = np.hypot(_LOGIT_NOISE if model.kind == "plain" else 0.0, extra)

    def loss(offset: float, noise: float) -> float:
        given = true + offset + noise * _NODES
        each = np.logaddexp(0, given) - given / (1 + np.exp(-true))
        return float(_WEIGHTS @ each @ _WEIGHTS)

    if model.kind == "plain":
        return loss(0.0, float(np.hypot(model.shift, extra)))
    return (1 - KICKED) * loss(0.0, float(noise)) + KICKED * loss(-model.shift, float(noise))


def _mae(model: Model, day: float) -> float:
    near, far = (model.shift, model.shift) if model.kind == "plain" else (0.8 * model.shift, 5 * model.shift)
    return float(np.sqrt(2 / np.pi) * ((1 - KICKED) * np.hypot(near, day) + KICKED * np.hypot(far, day)))


POPULATION: dict[str, Callable[[Model, float], float]] = {
    "roc_auc": _auc,
    "average_precision": _average_precision,
    "log_loss": _log_loss,
    "mae": _mae,
}
BASE = {"roc_auc": 1.4, "average_precision": 1.4, "log_loss": _LOGIT_NOISE, "mae": 1.0}


@cache
def find_model(name: str, kind: str, gain: float, blocked: bool) -> Model:
    """The model of that kind whose population value is better by `gain` than the plain one's."""
    day = DAY if blocked else 0.0
    value, metric = POPULATION[name], METRICS[name]
    base = value(Model(BASE[name]), day)

    def miss(shift: float) -> float:
        return metric.gain(value(Model(shift, kind), day), base) - gain

    return Model(float(brentq(miss, 0.05, 6.0, xtol=1e-12)), kind)


# ---------------------------------------------------------------- rows


def draw_rows(name: str, models: tuple[Model, Model], layout: Layout, rows: int, rng: np.random.Generator) -> tuple:
    """Labels (rows,), two predictions and blocks."""
    block, blocks = lay_rows(layout, rows, rng)
    noise, day = draw_noise(layout, block, rows, rng)
    if name == "mae":
        y = rng.normal(size=rows)
        far = np.where(rng.random(rows) < KICKED, 5.0, 0.8)
        given = [
            y + m.shift * n * (far if m.kind == "other" else 1) + d for m, n, d in zip(models, noise, day, strict=True)
        ]
        return y, *given, blocks
    if name == "log_loss":
        true = _LEVEL + _SLOPE * rng.normal(size=rows)
        y = (rng.random(rows) < 1 / (1 + np.exp(-true))).astype(np.int64)
        kicked = rng.random(rows) < KICKED
        part = day * (_DAY_OF_LOGIT / DAY)
        logits = [
            true + (m.shift * n if m.kind == "plain" else -m.shift * kicked) + d
            for m, n, d in zip(models, noise, part, strict=True)
        ]
    else:
        y = (rng.random(rows) < POSITIVES).astype(np.int64)
        logits = []
        for m, n, d in zip(models, noise, day, strict=True):
            wide = m.kind == "other"
            scale = np.where(y == 1, WIDE, 1.0) if wide else 1.0
            part = d * np.sqrt((WIDE**2 + 1) / 2) if wide else d
            # rounded, so that there are ties; a hundredth of a deviation moves no value by more than 1e-5
            logits.append(np.round(m.shift * y + scale * n + part, 2) - 1.5)
    return y, *(1 / (1 + np.exp(-logit)) for logit in logits), blocks


def replicate_rows(name: str, drawn: tuple) -> tuple[Replicates, Replicates]:
    """Both predictions by the product's function."""
    y, one, other, blocks = drawn
    classes = None if name == "mae" else y
    first, second = (replicate(METRICS[name], y, p, blocks, classes=classes) for p in (one, other))
    return first, second


def simulate_differences(
    name: str, layout: Layout, rows: int, gain: float, kind: str, simulations: int, seed: int
) -> list[Difference]:
    """`compare` at 95% of a model that is better by `gain` than the plain one, each time on fresh rows."""
    rng = np.random.default_rng(seed)
    models = (find_model(name, kind, gain, layout.blocks > 0), Model(BASE[name]))
    found = []
    for _ in range(simulations):
        pair = replicate_rows(name, draw_rows(name, models, layout, rows, rng))
        found.append(compare(METRICS[name], *pair, 0.95))
    return found


def count_above(
    name: str, layout: Layout, rows: int, gain: float, kind: str, limit: float, simulations: int, seed: int
) -> int:
    """How often the lower bound exceeds `limit`: 0 is the rule `better`, minus a margin the rule `not_worse`."""
    found = simulate_differences(name, layout, rows, gain, kind, simulations, seed)
    return sum(difference.low > limit for difference in found)


def count_missed(
    name: str, shift: float, layout: Layout, rows: int, confidence: float | None, simulations: int, seed: int
) -> tuple[int, int, float]:
    """How often the population value of one model lies below its bound, how often above the other, and that value.

    The bounds are the ends of the 95% interval, or at a `confidence` each by itself.
    """
    rng = np.random.default_rng(seed)
    model, metric = Model(shift), METRICS[name]
    truth = POPULATION[name](model, DAY if layout.blocks else 0.0)
    below = above = 0
    for _ in range(simulations):
        y, prediction, _, blocks = draw_rows(name, (model, model), layout, rows, rng)
        found = replicate(metric, y, prediction, blocks, classes=None if name == "mae" else y)
        low, high = two_sided(metric, found, 0.95) if confidence is None else one_sided(metric, found, confidence)
        below, above = below + (not truth >= low), above + (not truth <= high)
    return below, above, truth


def find_power(name: str, layout: Layout, rows: int, gain: float, simulations: int, seed: int) -> tuple[int, int]:
    """Rows that `rows_for_power` asks for (the mean over pilots of `rows` rows), and with so many how often of
    `simulations` a model better by `gain` passed `better`; blocks grow with the rows."""
    pilots = simulate_differences(name, layout, rows, gain, "plain", 200, seed)
    asked = [rows_for_power(pilot, rows, gain, 0.95) for pilot in pilots]
    needed = round(np.mean([n for n in asked if n is not None]))
    grown = replace(layout, blocks=round(layout.blocks * needed / rows))
    return needed, count_above(name, grown, needed, gain, "plain", 0.0, simulations, seed + 1)


def count_series(days: int, alike: float, noise: float, ordered: bool, simulations: int, seed: int) -> tuple[int, int]:
    """How often the bound of a mean over days, designed for 4%, lies above the true mean, and how often there is none.

    Each day is `alike` times the one before, with variance 1, and has noise of its own with deviation `noise`.
    """
    rng = np.random.default_rng(seed)
    wrong = undecided = 0
    for _ in range(simulations):
        steps = rng.normal(size=days + 50)
        series = lfilter([np.sqrt(1 - alike**2)], [1, -alike], steps)[50:] + noise * rng.normal(size=days)
        mean = series.mean()
        found = Replicates(mean, (days * mean - series) / (days - 1), days, ordered)
        reach = found.reach(0.96)
        wrong, undecided = wrong + (mean - reach > 0), undecided + np.isnan(reach)
    return wrong, undecided


def bound_rate(count: int, simulations: int) -> tuple[float, float]:
    """The one-sided 95% bounds of a rate, each by itself (Clopper and Pearson)."""
    low = 0.0 if count == 0 else float(beta.ppf(0.05, count, simulations - count + 1))
    high = 1.0 if count == simulations else float(beta.ppf(0.95, count + 1, simulations - count))
    return low, high


def describe_rate(count: int, simulations: int) -> str:
    """Such as "4.1% (3.6 to 4.7)", the bounds as in `bound_rate`."""
    low, high = bound_rate(count, simulations)
    return f"{100 * count / simulations:.1f}% ({100 * low:.1f} to {100 * high:.1f})"
