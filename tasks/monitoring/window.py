"""A window's verdict: one pass over its rows for profile, performance and sample; then faults, drift and health."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import LoadedProject, TaskType
from tasks.config.project import Data
from tasks.errors import InfrastructureError
from tasks.files import safe_name, whole_file
from tasks.monitoring.calibration import Bias, measure_reference_bias
from tasks.monitoring.drift import Drift, find_drift
from tasks.monitoring.estimation import make_estimator
from tasks.monitoring.faults import Fault, find_faults, find_skew
from tasks.monitoring.health import Findings, judge
from tasks.monitoring.join import join_predictions
from tasks.monitoring.past import PastWindow
from tasks.monitoring.performance import LabelledRows, find_operating_point
from tasks.monitoring.profile import LABEL, PREDICTION, Profile, WindowCounts, describe_window
from tasks.monitoring.reference import RoleNames, find_phases, profiled_prediction
from tasks.monitoring.sample import RowSample, SpreadSample
from tasks.results import ContractResult, MetricValue, ModelVersion, Window
from tasks.stage import stage
from tasks.stats.alarms import say_realised
from tasks.stats.delays import LabelDelay
from tasks.stats.prediction import decide_rows
from tasks.table import TableRef

logger = logging.getLogger(__name__)
LEARNED = "learned from these rows, so what it is worth shows on the next ones"


@dataclass(frozen=True)
class History:
    """What a window is compared with besides the reference.

    `past`: the windows before this one under the same version, in their order, without broken ones. `alarms` about
    drift and `windows`: so many before this one, under all versions. `broken_rows`: of the windows that were
    broken. `realised`: the metric of those before this one under the same version. `trust`: how far
    earlier estimates were off.
    """

    past: tuple[PastWindow, ...] = ()
    alarms: int = 0
    windows: int = 0
    broken_rows: tuple[int, ...] = ()
    realised: tuple[float, ...] = ()
    trust: str = ""


def watch_window(
    project: LoadedProject,
    table: TableRef,
    *,
    batch_end: datetime,
    contract_outcome: ContractResult | None,
    predictions: Path | None,
    version: ModelVersion | None,
    profile: Profile | None,
    reference: pd.DataFrame | None,
    promised: MetricValue | None,
    task: TaskType,
    classes: Sequence[Any],
    features: Sequence[str],
    now: datetime,
    threshold: float | None = None,
    learned: bool = False,
    picture: bool = True,
    importance: Mapping[str, float] | None = None,
    history: History | None = None,
    start: datetime | None = None,
    expected_rows: int | None = None,
) -> Window:
    """The health of a window as of what `table` shows, with its numbers, and Evidently's picture beside it.

    Every delivered row is profiled, also those in quarantine and of a refused batch: monitoring is to see the fault.
    Performance is on the rows that were scored and whose labels `table` shows. Without `version`, `profile` or
    `reference` there is nothing to compare with, and the window says so. A picture that cannot be drawn costs no
    verdict: the window says so in `notes`, and `report` is None. Files: `<project>/reports/`. `learned` says that the
    version was trained on rows of this batch: predictions on them flatter it, so they are neither measured nor drawn.
    `importance`: what each feature is worth to the model. `start`: the beginning of the period; `expected_rows`: how
    many rows there are, over which the picture's sample is spread.
    """
    spec, data, seed = project.spec, project.spec.data, project.spec.train.seed
    history, importance = history or History(), importance or {}
    names = RoleNames.beside(features)
    beside = [data.target, *(c for c in (data.time, data.group) if c), *(profile.segments if profile else ())]
    columns = list(dict.fromkeys([*features, *beside]))
    labelled = LabelledRows(task, classes, seed)
    sampled = spec.monitor.sample_rows
    sample = RowSample(sampled, seed) if expected_rows is None else SpreadSample(sampled, seed, expected_rows)
    counts = profile.nothing() if profile else WindowCounts({})
    metric = promised.name if promised else None
    estimator = make_estimator(
        reference if predictions and not learned else None,
        features,
        task=task,
        classes=classes,
        at=find_operating_point(spec, threshold),
        metric=metric or spec.train.metric,
        ordered=data.group is None,
        seed=seed,
    )
    delay, told = LabelDelay(as_of=table.as_of), table.said_at
    for frame, prediction, positions in join_predictions(table, [*columns, told], predictions, task, len(classes)):
        times = frame[data.time] if data.time else None
        delay = delay.add(times, frame[data.target].notna().to_numpy(), frame.pop(told))
        if profile:
            counts = counts.then(_count(profile, frame, prediction if predictions else None, table, task, classes))
        blocks = name_blocks(frame, data)
        labelled.add(frame[data.target], prediction, blocks, positions)
        estimator.add(frame, prediction, blocks, positions)
        sample.add(_beside(frame, features, names, data.target, prediction, task, classes), positions)
    rows = delay.rows
    performance = labelled.measure(spec, threshold, metric) if predictions else None
    estimate = estimator.estimate()
    if learned and performance and version:
        said = f"version {version.version} {LEARNED}"
        performance = replace(performance, metrics=(), doubt=said, positives=None, bias=None)
        counts = replace(counts, prediction=None)
    if counts.label is not None and counts.label.known < spec.monitor.labels_needed * rows:
        counts = replace(counts, label=None)  # the labels that come first may be of another kind than those to come
    drift: Drift | None = None
    trace: PastWindow | None = None
    faults: tuple[Fault, ...] = ()
    skew: dict[str, str] = {}
    if profile and rows:
        past = (*profile.past_beside(counts), *history.past)
        drift = find_drift(profile, counts, table.batch, start, past, data, spec.monitor, seed)
        moved = [name for name, d in drift.columns.items() if d.significant]  # whatever their rank: a fault has rules
        faults = find_faults(profile, counts, past, moved, learned=learned, rows=history.broken_rows)
        skew = find_skew(profile, counts)
        trace = replace(
            describe_window(profile, counts, table.batch, start),
            signal=drift.signal,
            since=drift.since,
            drifted=tuple(n for n, d in drift.watched.items() if d.drifted),
        )
    health = judge(
        Findings(
            rows=rows,
            target=data.target,
            refused=contract_outcome.reason if contract_outcome and contract_outcome.outcome == "refused" else None,
            faults=faults,
            performance=performance,
            promised=promised,
            promised_bias=_measure_reference_bias(reference, names, task, classes, seed),
            reference_positives=_share_positive(reference, names.target, task, classes),
            drift=drift,
            importance=importance,
            estimated=estimate.metrics[0] if estimate.metrics and not estimate.doubt else None,
            strange_rows=estimate.strange,
            doubt=estimate.doubt,
            trust=history.trust,
            before=history.realised,
        )
    )
    called = {PREDICTION: names.prediction, LABEL: names.target}
    watched = drift.watched if drift else {}
    within = drift.within if drift else frozenset()
    alarms = history.alarms + bool(drift and drift.signal == "alarm" and health.state != "broken")
    window = Window(
        batch=table.batch,
        version=version.version if version else None,
        health=health.state,
        sentence=health.sentence,
        action=health.action,
        rows=rows,
        labelled=performance.labelled if performance else 0,
        metrics=_flatten(performance.metrics if performance else ()),
        drift={called.get(n, n): d.distance for n, d in watched.items() if n not in within},
        promised=_flatten([promised] if promised else ()),
        performance=performance.metrics if performance else (),
        drifted=health.drifted,
        prediction=names.prediction if PREDICTION in watched else None,
        prediction_drifted=PREDICTION in watched and watched[PREDICTION].drifted,
        label=names.target if LABEL in watched else None,
        label_drifted=LABEL in watched and watched[LABEL].drifted,
        parts={n: watched[n].distance for n in (drift.segments if drift else ())},
        cause=health.cause,
        alarm=health.alarm,
        promise=drift.promise.say() if drift and drift.promise else "",
        realised=say_realised(alarms, history.windows + 1, drift.promise.alpha) if drift and drift.promise else "",
        skew=skew,
        estimated=estimate.metrics,
        doubt=performance.doubt if performance else "nothing was scored",
        harmful=health.harmful,
        trust=history.trust,
        delays=delay.curve,
        effects={n: d.distance * max(importance.get(n) or 0.0, 0.0) for n, d in watched.items() if n in features},
        trace=trace.to_plain() if trace else {},
        faults=tuple(f.clause for f in faults),
        end=batch_end,
        monitored_at=now,
    )
    if not (version and profile and rows):
        return window
    unwatched = [column for column in spec.monitor.segments if column not in profile.segments]
    if unwatched:
        note = f"monitor.segments: version {version.version} knows no parts by {', '.join(map(repr, unwatched))}"
        window = replace(window, notes=(*window.notes, f"{note}; they are watched from the next trained version on"))
    path = project.folder / "reports" / f"{safe_name(table.batch)}-v{version.version}.profile.json"
    with whole_file(path) as file:
        file.write(counts.to_json().encode("utf-8", "surrogatepass"))
    window = replace(window, counts=path)
    if reference is None or not picture:
        return window
    drawn = _name_roles(sample.frame(), names, task, classes, threshold, scored=bool(predictions and not learned))
    return _draw(window, project, drawn, reference, features, task, classes)


def _count(
    profile: Profile,
    frame: pd.DataFrame,
    prediction: NDArray[np.float64] | None,
    table: TableRef,
    task: TaskType,
    classes: Sequence[Any],
) -> WindowCounts:
    """The counts of some rows, of their predictions where they were scored, and of their labels where known."""
    predicted = None
    if prediction is not None:
        scored = prediction[~np.isnan(prediction.reshape(len(frame), -1)).any(axis=1)]
        predicted = profiled_prediction(scored, task, classes)
    label = frame[table.target]
    label = pd.to_numeric(label, errors="coerce") if task == "regression" else label
    times = frame[table.time] if table.time else None
    return profile.count(frame, predicted, label[label.notna()], find_phases(times, table.start, table.end))


def _measure_reference_bias(
    reference: pd.DataFrame | None, names: RoleNames, task: TaskType, classes: Sequence[Any], seed: int
) -> Bias | None:
    if reference is None:
        return None
    columns = {
        "binary": [names.probability], "regression": [names.prediction], "multiclass": names.of_classes(len(classes)),
    }[task]  # fmt: skip
    return measure_reference_bias(reference, names.target, columns, names.block, task, classes, seed)


def _draw(
    window: Window,
    project: LoadedProject,
    sample: pd.DataFrame,
    reference: pd.DataFrame,
    features: Sequence[str],
    task: TaskType,
    classes: Sequence[Any],
) -> Window:
    """The window with its picture, or with a note of why there is none."""
    from tasks.monitoring.report import draw_window

    try:
        picture = draw_window(
            project,
            window,
            reference=reference,
            sample=sample,
            features=features,
            task=task,
            classes=classes,
        )
    except InfrastructureError:  # a full disk is mended, and the next run draws it
        raise
    except Exception as error:  # whatever the plotting library raises on strangers' data, the verdict stands without it
        # The note stands in the report; where it comes from is for the run's page, not for a person's terminal.
        logger.info("%s, batch %s: Evidently drew no picture", project.name, window.batch, exc_info=True)
        first = (str(error).strip().splitlines() or ["no message"])[0][:200]
        return replace(window, notes=(*window.notes, f"Evidently drew no picture: {type(error).__name__}: {first}"))
    left = tuple(f"not drawn: {item}" for item in picture.left_out)
    return replace(window, report=picture.page, notes=(*window.notes, *left))


def _beside(
    frame: pd.DataFrame,
    features: Sequence[str],
    names: RoleNames,
    target: str,
    prediction: NDArray[np.float64],
    task: TaskType,
    classes: Sequence[Any],
) -> pd.DataFrame:
    """What is sampled of some rows: features, the label where the model knows such, and one number for the
    prediction."""
    label = frame[target]
    known = pd.to_numeric(label, errors="coerce") if task == "regression" else label.where(label.isin(list(classes)))
    number = prediction
    if prediction.ndim > 1:
        number = np.where(np.isnan(prediction).any(axis=1), np.nan, np.nan_to_num(prediction).argmax(axis=1))
    return pd.concat([frame[list(features)], known.rename(names.target)], axis=1).assign(
        **{names.probability: pd.Series(number, index=frame.index)}
    )


def _name_roles(
    sample: pd.DataFrame,
    names: RoleNames,
    task: TaskType,
    classes: Sequence[Any],
    threshold: float | None,
    *,
    scored: bool,
) -> pd.DataFrame:
    """A sample with its predictions in the form that the reference has them.

    Of a scored batch only the rows that were scored: Evidently's curves fail on a row in quarantine, which has no
    prediction. The profile has counted it.
    """
    if scored:
        sample = sample[sample[names.probability].notna()]
    number = sample.pop(names.probability)
    if not scored:
        return sample
    if task == "regression":
        return sample.assign(**{names.prediction: number})
    codes = number.to_numpy().astype(np.int64)
    if task == "binary":
        codes = decide_rows(number.to_numpy(), task, threshold)
    named = sample.assign(**{names.prediction: np.array([*classes, None], dtype=object)[codes]})
    return named.assign(**{names.probability: number}) if task == "binary" else named


def name_blocks(frame: pd.DataFrame, data: Data) -> pd.Series[Any] | None:
    """The group or the local day of each row: rows of one are not independent. None where there is neither."""
    if data.group:
        return frame[data.group].astype(str)
    if data.time is None:
        return None
    days: pd.Series[Any] = frame[data.time].dt.tz_convert(data.timezone).dt.tz_localize(None).dt.normalize()
    return days.map({day: f"{day:%Y-%m-%d}" for day in days.dropna().unique()})


def _share_positive(
    reference: pd.DataFrame | None, target: str, task: TaskType, classes: Sequence[Any]
) -> float | None:
    if reference is None or task != "binary" or target not in reference or reference.empty:
        return None
    return float((reference[target] == classes[1]).mean())


def _flatten(values: Sequence[MetricValue]) -> Mapping[str, float]:
    """Each metric's value, and the ends of its interval where there is one, by name."""
    flat = {}
    for value in values:
        ends = {"": value.value, "_low": value.low, "_high": value.high}
        flat.update({value.name + suffix: number for suffix, number in ends.items() if math.isfinite(number)})
    return flat


@stage("monitor window")
def monitor_window(project: LoadedProject, table: TableRef, **facts: Any) -> Window:
    """Monitoring's verdict on one window; see `watch_window`, whose arguments it takes."""
    window = watch_window(project, table, **facts)
    logger.info("%s, window %s: %s: %s", project.name, window.batch, window.health, window.sentence)
    return window
