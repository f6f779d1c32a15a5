"""Fresh rows on which a model treats groups or slices in a known way, for the rates of blaming and of finding.

Everything goes through the functions that the gates use: `compare_groups` and `judge_slices`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm

from tasks.config.gates import FairnessLimit, Slices
from tasks.evaluation.fairness import MEASURES, compare_groups
from tasks.evaluation.group_tests import Rate
from tasks.evaluation.judged_rows import JudgedRows
from tasks.evaluation.parts import Part
from tasks.evaluation.slices import Rival, judge_slices
from tasks.results import Condition, SliceAudit
from tasks.stats.intervals import Blocks, block_rows, deal_rows
from tasks.stats.metrics import AT_HALF, METRICS

Array = np.ndarray
CONFIDENCE = 0.95
EVEN = tuple([1.0] * 10)
UNEVEN = (0.30, 0.20, 0.15, 0.10, 0.08, 0.06, 0.05, 0.03, 0.02, 0.01)


def name_parts(count: int) -> list[Part]:
    """Groups that a column tells apart by number."""
    return [Part(f"group = {i}", (Condition("group", value=str(i)),)) for i in range(count)]


# ---------------------------------------------------------------- groups of people


@dataclass(frozen=True)
class People:
    """A model that decides by groups: `rates` (k,) is what each group's decisions come to, in all or given the label.

    `base` (k,) are the groups' shares of positives; `days` blocks of rows share a part of their rate (0: none).
    """

    rates: tuple[float, ...]
    base: tuple[float, ...]
    shares: tuple[float, ...] = UNEVEN
    days: int = 0


def draw_people(people: People, rows: int, rng: np.random.Generator) -> tuple[Array, dict[str, Rate], Blocks]:
    """Groups (n,) and the rates of a model that decides positive at `people.rates`, whatever the label."""
    shares = np.array(people.shares) / sum(people.shares)
    group = rng.choice(len(shares), rows, p=shares)
    y = (rng.random(rows) < np.array(people.base)[group]).astype(np.int64)
    rate = np.array(people.rates)[group]
    if people.days:
        day = rng.integers(0, people.days, rows)
        rate = np.clip(rate * (1 + 0.3 * rng.choice([-1.0, 1.0], people.days)[day]), 0, 1)
        blocks = block_rows(np.array([f"{d:03d}" for d in range(people.days)], dtype=object)[day], "days")
    else:
        blocks = deal_rows(rows, int(rng.integers(2**31)))
    decided = (rng.random(rows) < rate).astype(np.float64)
    given = np.array(people.base)[group]
    everyone = np.ones(rows, bool)
    rates = [
        Rate("selection_rate", decided, everyone, True),
        Rate("true_positive_rate", decided, y == 1, True),
        Rate("false_positive_rate", decided, y == 0, True),
        Rate("accuracy", (decided == y).astype(np.float64), everyone, True),
        Rate("calibration", y.astype(np.float64), everyone, True, given),
    ]
    return group, {r.name: r for r in rates}, blocks


def count_blamed(people: People, metric: str, limit: float, rows: int, simulations: int, seed: int) -> int:
    """How often any group is failed."""
    rng = np.random.default_rng(seed)
    stated = {"min" if MEASURES[metric].kind == "ratio" else "max": limit}
    asked = FairnessLimit.model_validate({"by": "group", "metric": metric, **stated})
    parts, blamed = name_parts(len(people.rates)), 0
    for _ in range(simulations):
        group, rates, blocks = draw_people(people, rows, rng)
        masks = [group == i for i in range(len(parts))]
        _, holm = compare_groups(rates, [asked], {("group",): (parts, masks)}, blocks, CONFIDENCE)
        blamed += bool(holm.failed.any())
    return blamed


def count_blamed_means(rows: int, gap: float, limit: float, heavy: bool, simulations: int, seed: int) -> int:
    """The same for the mean error of a regression over ten groups, half of them `gap` off the others."""
    rng = np.random.default_rng(seed)
    asked = FairnessLimit(by=("group",), metric="mean_error_difference", max=limit)
    parts, blamed = name_parts(10), 0
    for _ in range(simulations):
        group = rng.choice(10, rows, p=np.array(UNEVEN) / sum(UNEVEN))
        error = rng.standard_t(3, rows) / np.sqrt(3) if heavy else rng.normal(size=rows)
        rates = {"mean_error": Rate("mean_error", error + gap * (group % 2), np.ones(rows, bool), False)}
        rates["absolute_error"] = Rate("absolute_error", np.abs(error), np.ones(rows, bool), False)
        masks = [group == i for i in range(10)]
        blocks = deal_rows(rows, int(rng.integers(2**31)))
        _, holm = compare_groups(rates, [asked], {("group",): (parts, masks)}, blocks, CONFIDENCE)
        blamed += bool(holm.failed.any())
    return blamed


def count_blamed_calibration(rows: int, groups: int, sure: float, limit: float, simulations: int, seed: int) -> int:
    """The same for calibration, where the model is `sure` times too sure of itself, of all groups alike."""
    rng = np.random.default_rng(seed)
    asked = FairnessLimit(by=("group",), metric="calibration_difference", max=limit)
    parts, blamed = name_parts(groups), 0
    for _ in range(simulations):
        group, odds = rng.integers(0, groups, rows), rng.normal(-1, 1, rows)
        y = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float64)
        given = 1 / (1 + np.exp(-sure * odds))
        rates = {"calibration": Rate("calibration", y, np.ones(rows, bool), True, given)}
        masks = [group == i for i in range(groups)]
        blocks = deal_rows(rows, int(rng.integers(2**31)))
        _, holm = compare_groups(rates, [asked], {("group",): (parts, masks)}, blocks, CONFIDENCE)
        blamed += bool(holm.failed.any())
    return blamed


def count_blamed_skewed(sizes: tuple[int, int], simulations: int, seed: int) -> int:
    """Two groups whose mean errors lie exactly at the limit, with errors that are lognormal: few rows, large errors."""
    rng = np.random.default_rng(seed)
    asked = FairnessLimit(by=("group",), metric="mean_error_difference", max=1.0)
    group = np.repeat([0, 1], sizes)
    masks, blamed = [group == 0, group == 1], 0
    for _ in range(simulations):
        error = rng.lognormal(0, 1.5, len(group)) + (group == 0)
        everyone = np.ones(len(group), bool)
        rates = {"mean_error": Rate("mean_error", error, everyone, False)}
        blocks = deal_rows(len(group), int(rng.integers(2**31)))
        _, holm = compare_groups(rates, [asked], {("group",): (name_parts(2), masks)}, blocks, CONFIDENCE)
        blamed += bool(holm.failed.any())
    return blamed


# ---------------------------------------------------------------- slices


POSITIVES = 0.3


@dataclass(frozen=True)
class Sliced:
    """Ten slices; the model's skill on each is `skill` but on the first `weak` ones, where the metric is `drop` lower.

    `rival`: whether a champion is there that has the full skill everywhere, and drops are against it.
    """

    metric: str
    drop: float
    weak: int = 10
    rival: bool = True
    shares: tuple[float, ...] = UNEVEN
    days: int = 0


def find_skill(metric: str, lower: float) -> float:
    """The shift of a score (AUC) or the size of errors (MAE) whose population metric is worse by `lower`."""
    if metric == "mae":
        return 1.0 + lower * np.sqrt(np.pi / 2)
    start = norm.cdf(1.2 / np.sqrt(2))
    return float(brentq(lambda shift: norm.cdf(shift / np.sqrt(2)) - (start - lower), 0, 4))


def draw_slices(sliced: Sliced, rows: int, rng: np.random.Generator) -> tuple[Array, Array, Array, Array, Blocks]:
    """Slice (n,), labels, the model's and the champion's predictions, and blocks."""
    shares = np.array(sliced.shares) / sum(sliced.shares)
    part = rng.choice(len(shares), rows, p=shares)
    weak = part < sliced.weak
    shared, own, other = rng.normal(size=(3, rows))
    day = rng.integers(0, sliced.days, rows) if sliced.days else None
    if day is not None:
        shared = shared + 0.4 * rng.normal(size=sliced.days)[day]
    noise = np.sqrt(0.5) * shared + np.sqrt(0.5) * np.stack([own, other])
    skill = np.where(weak, find_skill(sliced.metric, sliced.drop), find_skill(sliced.metric, 0.0))
    if sliced.metric == "mae":
        y = np.zeros(rows)
        predictions = [noise[0] * skill, noise[1]]
    else:
        y = (rng.random(rows) < POSITIVES).astype(np.int64)
        predictions = [norm.cdf(noise[0] + skill * y), norm.cdf(noise[1] + find_skill(sliced.metric, 0.0) * y)]
    names = None if day is None else np.array([f"{d:03d}" for d in range(sliced.days)], dtype=object)[day]
    blocks = deal_rows(rows, int(rng.integers(2**31))) if names is None else block_rows(names, "days")
    return part, y, predictions[0], predictions[1], blocks


def judge_drawn(sliced: Sliced, limit: float, rows: int, rng: np.random.Generator) -> SliceAudit:
    """The product's audit of one draw."""
    part, y, own, theirs, blocks = draw_slices(sliced, rows, rng)
    task = "regression" if sliced.metric == "mae" else "binary"
    rival = Rival(theirs, AT_HALF, np.ones(rows, bool)) if sliced.rival else None
    frame = pd.DataFrame({"group": part})
    return judge_slices(
        JudgedRows(y, blocks, task), own, AT_HALF, frame, name_parts(len(sliced.shares)), [], Slices(max_drop=limit),
        METRICS[sliced.metric], np.full(rows, POSITIVES), CONFIDENCE, rival,
    )  # fmt: skip


def count_failed(sliced: Sliced, limit: float, rows: int, simulations: int, seed: int) -> tuple[int, int]:
    """How often any slice is failed, and how often the first one is."""
    rng = np.random.default_rng(seed)
    any_failed = first_failed = 0
    for _ in range(simulations):
        findings = {s.name: s.finding for s in judge_drawn(sliced, limit, rows, rng).slices}
        any_failed += "fail" in findings.values()
        first_failed += findings.get("group = 0") == "fail"
    return any_failed, first_failed
