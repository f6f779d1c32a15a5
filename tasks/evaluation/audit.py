"""Is a model good for everyone? Slices, groups of people and perturbed rows, on the same test rows as its evaluation.

A part of the audit that breaks says so, and the gate that rests on it holds: nothing is released for want of evidence.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import Project
from tasks.config.gates import FairnessLimit, resolve_amount
from tasks.evaluation.challenger import Positions, find_point, make_blocks
from tasks.evaluation.contender import Contender, predict_contender, predict_like
from tasks.evaluation.fairness import audit_groups, judge_fairness, list_rates, measure_gaps, name_limit
from tasks.evaluation.group_tests import FEWEST_OF_A_GROUP
from tasks.evaluation.judged_rows import JudgedRows
from tasks.evaluation.parts import Mask, Part, cross, cut_column, find_parts
from tasks.evaluation.robustness import stress_model
from tasks.evaluation.slices import Rival, find_slice_metric, judge_slices
from tasks.evaluation.weak_parts import ValidationRows, find_weak_parts
from tasks.results import (
    Audit,
    Condition,
    FairnessResult,
    FittedModel,
    GroupAudit,
    MitigationPrice,
    RobustnessAudit,
    SliceAudit,
    Split,
    TrainingFrame,
)
from tasks.stage import stage
from tasks.stats.metrics import Array, Metric, OperatingPoint, find_metric
from tasks.stats.personal import find_personal
from tasks.stats.prediction import predict_trivially

log = logging.getLogger(__name__)
R = TypeVar("R")
MOST_CROSSED = 100  # groups of two columns, the largest ones
PRICED = ("accuracy", "balanced_accuracy", "roc_auc")  # beside the project's metric
Cut = tuple[tuple[Part, ...], tuple[Mask, ...]]


def audit_stored(
    challenger: Contender,
    rows: TrainingFrame,
    positions: Positions,
    learned: Positions,
    spec: Project,
    *,
    metric: str | None = None,
    blocks: Sequence[str] | None = None,
    champion: Contender | None = None,
    champion_unseen: NDArray[np.bool_] | None = None,
    confidence: float | None = None,
    found: Sequence[Part] = (),
    stress: bool = False,
) -> Audit:
    """Audit any fitted model on the rows at `positions` (n,); arguments as in `evaluate_stored`.

    `learned` (m,) are rows that it was fitted on: numbers are cut into slices by their quantiles. `found` are parts
    that a search came up with. `stress` perturbs the rows as well.
    """
    chosen = find_metric(metric or spec.train.metric, rows.task)
    at_level = spec.gates.champion.confidence if confidence is None else confidence
    places, learned = np.asarray(positions, np.int64), np.asarray(learned, np.int64)
    frame, y = rows.frame.iloc[places], rows.target.iloc[places].to_numpy()
    by_slice = find_slice_metric(spec.gates.slices, metric or spec.train.metric, rows.task)
    prediction, problem = predict_contender(challenger, frame, rows) if len(places) else (None, "there is no test row")
    if prediction is None:
        return _say_why(f"the challenger cannot be judged on its test rows: {problem}", spec, by_slice, at_level)
    at = find_point(challenger.threshold, spec)
    test = JudgedRows(y, make_blocks(blocks, len(y), rows, spec), rows.task)
    known = rows.frame.iloc[learned]

    def constant(of: Metric) -> Array:
        return predict_trivially(of, rows.target.iloc[learned].to_numpy(), len(y), at, rows.task, rows.classes)

    def slices() -> SliceAudit:
        declared = [
            p for column in spec.gates.slices.by for p in cut_column(known[column], column, quantiles, column in hidden)
        ]
        return judge_slices(
            test,
            prediction,
            at,
            frame,
            declared,
            found,
            spec.gates.slices,
            by_slice,
            constant(by_slice),
            at_level,
            rival,
        )

    quantiles = spec.gates.slices.quantiles
    hidden = _find_hidden(known, sorted(spec.audited), spec)
    rival = _find_rival(champion, champion_unseen, frame, rows, spec)
    rates = list_rates(y, prediction, at, rows.task)

    def groups() -> tuple[tuple[GroupAudit, ...], tuple[FairnessResult, ...], tuple[str, ...]]:
        cuts = _cut_groups(known, frame, spec, hidden)
        audits = tuple(audit_groups(rates, *cut, by, test.blocks, rows.task) for by, cut in cuts.items())
        judged = judge_fairness(rates, spec.gates.fairness, cuts, test.blocks, rows.task, at_level)
        broken: tuple[str, ...] = ()
        if rival is not None and spec.gates.fairness:
            theirs = list_rates(y, rival.prediction, rival.at, rows.task)
            theirs = {name: replace(rate, among=rate.among & rival.unseen) for name, rate in theirs.items()}
            beside = judge_fairness(theirs, spec.gates.fairness, cuts, test.blocks, rows.task, at_level)
            broken = tuple(name_limit(f.by, f.metric) for f in beside if f.finding == "fail")
        return audits, judged, broken

    def stressed() -> RobustnessAudit:
        def predict(features: pd.DataFrame) -> Array:
            given = predict_like(challenger, features, rows)
            assert given is not None  # it predicted these rows before
            return given

        reached = chosen.compute(y, constant(chosen), at)
        margin = resolve_amount(spec.gates.champion.settle_margin(chosen.unit), reached)
        found = stress_model(
            predict, test, frame[list(challenger.features)], chosen, at, constant(chosen), spec.gates.robustness,
            margin, at_level, spec.train.seed,
        )  # fmt: skip
        repaired = spec.train.mitigation.by if spec.train.mitigation else ()  # needed, whatever the metric says of it
        return replace(found, needless=tuple(name for name in found.needless if name not in repaired))

    nothing = _say_why("", spec, by_slice, at_level)
    of_slices, why = _attempt("slices", slices)
    of_groups, why_groups = _attempt("groups", groups)
    of_stress, why_stress = _attempt("robustness", stressed) if stress else (None, "")
    return Audit(
        slices=of_slices or _broken_slices(nothing.slices, why),
        groups=of_groups[0] if of_groups else (),
        fairness=of_groups[1] if of_groups else _broken_fairness(spec.gates.fairness, why_groups),
        robustness=of_stress or (RobustnessAudit(chosen.name, 0, math.nan, problem=why_stress) if stress else None),
        champion_breaks=of_groups[2] if of_groups else (),
        price=_attempt(
            "mitigation", lambda: _price(challenger, frame, rows, test, chosen, at, prediction, known, spec)
        )[0],
    )


def search_weak_parts(
    rows: TrainingFrame, found: ValidationRows, threshold: float | None, spec: Project
) -> tuple[tuple[Part, ...], str]:
    """The weakest parts of the validation rows, by one or two of the columns that are features or audited; and why
    there are none where the search failed."""
    asked, task = spec.gates.slices, rows.task
    columns = [c for c in rows.frame.columns if c in rows.features or c in spec.audited]
    at = find_point(threshold, spec)
    y, frame = rows.target.iloc[found.positions].to_numpy(), rows.frame.iloc[found.positions]
    hidden = _find_hidden(frame, columns, spec)
    columns = [c for c in columns if c not in hidden]
    metric = find_slice_metric(asked, spec.train.metric, task)
    parts, why = _attempt(
        "search for weak parts",
        lambda: find_weak_parts(
            y,
            found.prediction,
            at,
            frame,
            make_blocks(found.blocks, len(y), rows, spec),
            columns,
            metric,
            task,
            asked.find,
            asked.quantiles,
            spec.train.seed,
        ),
    )
    return parts or (), why


def read_parts(recorded: Sequence[Any]) -> tuple[Part, ...]:
    """The parts that a search found, from the record of an audit's slices."""
    return tuple(
        Part(s["name"], tuple(Condition(**{**c, "others": tuple(c["others"])}) for c in s["conditions"]))
        for s in recorded
        if s["found"]
    )


def _attempt(what: str, make: Callable[[], R]) -> tuple[R | None, str]:
    try:
        return make(), ""
    except Exception as error:  # whatever breaks an audit holds what rests on it, and is told
        said = f"{type(error).__name__}: {str(error)[:200]}"
        log.warning("%s could not be audited: %s", what, said)
        log.debug("where", exc_info=True)
        return None, f"it could not be audited: {said}"


def _find_hidden(frame: pd.DataFrame, columns: Sequence[str], spec: Project) -> frozenset[str]:
    """Columns of personal data: what a part is called stands on pages and in the ledger."""
    return frozenset(find_personal(frame[list(columns)], stated=spec.data.personal, cleared=spec.data.not_personal))


def _cut_groups(
    known: pd.DataFrame,
    frame: pd.DataFrame,
    spec: Project,
    hidden: Collection[str],
    only: tuple[str, ...] | None = None,
) -> dict[tuple[str, ...], Cut]:
    """The groups of each protected column, of each pair of them, and of what else a limit names; or `only` those."""
    quantiles = spec.gates.slices.quantiles
    names = [column for column in spec.data.protected if only is None or column in only]
    single = {column: cut_column(known[column], column, quantiles, column in hidden) for column in names}
    masks = {column: find_parts(parts, frame) for column, parts in single.items()}
    wanted: list[tuple[str, ...]] = [(name,) for name in names]
    wanted += itertools.combinations(names, 2)
    wanted += [limit.by for limit in spec.gates.fairness if limit.by not in wanted]
    cuts: dict[tuple[str, ...], Cut] = {}
    for by in wanted if only is None else [only]:
        if len(by) == 1:
            cuts[by] = (single[by[0]], tuple(masks[by[0]]))
            continue
        crossed = zip(cross(single[by[0]], single[by[1]]), itertools.product(masks[by[0]], masks[by[1]]), strict=True)
        both = [(part, one & other) for part, (one, other) in crossed]
        both = sorted((b for b in both if b[1].any()), key=lambda b: -int(b[1].sum()))[:MOST_CROSSED]
        both.sort(key=lambda b: b[0].name)
        cuts[by] = (tuple(part for part, _ in both), tuple(mask for _, mask in both))
    return cuts


def _find_rival(
    champion: Contender | None, unseen: Mask | None, frame: pd.DataFrame, rows: TrainingFrame, spec: Project
) -> Rival | None:
    if champion is None:
        return None
    theirs, _ = predict_contender(champion, frame, rows)
    keep = np.ones(len(frame), bool) if unseen is None else np.asarray(unseen, bool)
    return None if theirs is None or not keep.any() else Rival(theirs, find_point(champion.threshold, spec), keep)


def _price(
    challenger: Contender, frame: pd.DataFrame, rows: TrainingFrame, test: JudgedRows, chosen: Metric,
    at: OperatingPoint, prediction: Array, known: pd.DataFrame, spec: Project,
) -> MitigationPrice | None:  # fmt: skip
    """What a mitigation costs: the same model without it, on the same rows. None where there is none."""
    plain = getattr(challenger.estimator, "unmitigated", None)
    if plain is None or spec.train.mitigation is None:
        return None
    before = predict_like(Contender(plain, challenger.features, challenger.threshold, challenger.classes), frame, rows)
    assert before is not None  # the same classes
    names = list(dict.fromkeys([chosen.name, *PRICED]))
    metrics = [find_metric(name, rows.task) for name in names]
    own = [{m.name: m.compute(test.y, p, at) for m in metrics} for p in (before, prediction)]
    by = spec.train.mitigation.by
    masks = [m for m in _cut_groups(known, frame, spec, (), by)[by][1] if m.sum() >= FEWEST_OF_A_GROUP]
    gaps = [measure_gaps(list_rates(test.y, p, at, rows.task), masks, rows.task) for p in (before, prediction)]
    lost = test.compare(chosen, test.replicate(chosen, before, at), test.replicate(chosen, prediction, at),
                        "mitigated", 0.0, 0.0, spec.gates.champion.confidence)  # fmt: skip
    return MitigationPrice(chosen.name, (lost.gain, lost.low, lost.high), own[0], own[1], gaps[0], gaps[1])


def _say_why(problem: str, spec: Project, metric: Metric, confidence: float) -> Audit:
    return Audit(
        SliceAudit(metric.name, "all test rows", None, confidence, problem=problem),
        fairness=_broken_fairness(spec.gates.fairness, problem),
        robustness=RobustnessAudit(metric.name, 0, math.nan, problem=problem),
    )


def _broken_slices(empty: SliceAudit, why: str) -> SliceAudit:
    return SliceAudit(empty.metric, empty.against, None, empty.confidence, problem=why)


def _broken_fairness(limits: Sequence[FairnessLimit], why: str) -> tuple[FairnessResult, ...]:
    return tuple(
        FairnessResult(limit.by, limit.metric, "ratio" if limit.min is not None else "difference", limit.stated,
                       math.nan, "undecided", problem=why)
        for limit in limits
    )  # fmt: skip


@stage("audit")
def audit_challenger(
    model: FittedModel,
    rows: TrainingFrame,
    split: Split,
    spec: Project,
    validation: ValidationRows | None = None,
    champion: Contender | None = None,
    champion_unseen: NDArray[np.bool_] | None = None,
    confidence: float | None = None,
) -> Audit:
    """A challenger that was just fitted, on its test rows; see `audit_stored`."""
    found, why = ((), "") if validation is None else search_weak_parts(rows, validation, model.threshold, spec)
    audit = audit_stored(
        Contender.of(model),
        rows,
        split.test,
        split.fit,
        spec,
        metric=model.metric,
        blocks=split.blocks,
        champion=champion,
        champion_unseen=champion_unseen,
        confidence=confidence,
        found=found,
        stress=True,
    )
    return replace(audit, slices=replace(audit.slices, problem=f"weak parts: {why}")) if why else audit
