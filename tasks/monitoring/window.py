"""A window's verdict: one pass over its rows for profile, performance and sample; then faults, drift and health."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from tasks.monitoring.drift import find_drift, rank_drifted
from tasks.monitoring.faults import find_faults
from tasks.monitoring.health import judge
from tasks.monitoring.join import join_predictions
from tasks.monitoring.performance import LabelledRows
from tasks.monitoring.profile import Profile, WindowCounts
from tasks.monitoring.reference import RoleNames, profiled_prediction
from tasks.monitoring.sample import RowSample
from tasks.results import ContractResult, MetricValue, ModelVersion, Window
from tasks.stage import stage
from tasks.stats.prediction import decide_rows
from tasks.table import TableRef

logger = logging.getLogger(__name__)
LEARNED = "learned from these rows, so what it is worth shows on the next ones"


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
) -> Window:
    """The health of a window as of what `table` shows, with its numbers, and Evidently's picture beside it.

    Every delivered row is profiled, also those in quarantine and of a refused batch: monitoring is to see the fault.
    Performance is on the rows that were scored and whose labels `table` shows. Without `version`, `profile` or
    `reference` there is nothing to compare with, and the window says so. A picture that cannot be drawn costs no
    verdict: the window says so in `notes`, and `report` is None. Files: `<project>/reports/`. `learned` says that the
    version was trained on rows of this batch: predictions on them flatter it, so they are neither measured nor drawn.
    """
    data, seed = project.spec.data, project.spec.train.seed
    names = RoleNames.beside(features)
    columns = list(dict.fromkeys([*features, data.target, *(c for c in (data.time, data.group) if c)]))
    labelled = LabelledRows(task, classes, seed)
    sample = RowSample(project.spec.monitor.sample_rows, seed)
    counts = profile.nothing() if profile else WindowCounts({})
    rows = 0
    for frame, prediction, positions in join_predictions(table, columns, predictions, task, len(classes)):
        rows += len(frame)
        if profile:
            scored = prediction[~np.isnan(prediction.reshape(len(frame), -1)).any(axis=1)]
            counts = counts.then(
                profile.count(frame, profiled_prediction(scored, task, classes) if predictions else None)
            )
        labelled.add(frame[data.target], prediction, _name_blocks(frame, data), positions)
        sample.add(_beside(frame, features, names, data.target, prediction, task, classes), positions)
    performance = (
        labelled.measure(project.spec, threshold, promised.name if promised else None) if predictions else None
    )
    drifts, prediction_drift = find_drift(profile, counts, seed) if profile and rows else (None, None)
    if learned and performance and version:
        said = f"version {version.version} {LEARNED}"
        performance = replace(performance, metrics=(), doubt=said, positives=None)
        prediction_drift = None
    faults = find_faults(profile, counts) if profile else ()
    health = judge(
        rows=rows,
        refused=contract_outcome.reason if contract_outcome and contract_outcome.outcome == "refused" else None,
        faults=faults,
        performance=performance,
        promised=promised,
        target=data.target,
        reference_positives=_share_positive(reference, names.target, task, classes),
        drifts=drifts,
        prediction_drift=prediction_drift,
    )
    distances = {name: d.distance for name, d in (drifts or {}).items()}
    window = Window(
        batch=table.batch,
        version=version.version if version else None,
        health=health.state,
        sentence=health.sentence,
        action=health.action,
        rows=rows,
        labelled=performance.labelled if performance else 0,
        metrics=_flatten(performance.metrics if performance else ()),
        drift=distances | ({names.prediction: prediction_drift.distance} if prediction_drift else {}),
        promised=_flatten([promised] if promised else ()),
        performance=performance.metrics if performance else (),
        drifted=rank_drifted(drifts or {}),
        prediction=names.prediction if prediction_drift else None,
        prediction_drifted=bool(prediction_drift and prediction_drift.drifted),
        faults=tuple(f.clause for f in faults),
        end=batch_end,
        monitored_at=now,
    )
    if not (version and profile and rows):
        return window
    path = project.folder / "reports" / f"{safe_name(table.batch)}-v{version.version}.profile.json"
    with whole_file(path) as file:
        file.write(counts.to_json().encode("utf-8", "surrogatepass"))
    window = replace(window, counts=path)
    if reference is None or not picture:
        return window
    drawn = _name_roles(sample.frame(), names, task, classes, threshold, scored=bool(predictions and not learned))
    return _draw(window, project, drawn, reference, features, task, classes)


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


def _name_blocks(frame: pd.DataFrame, data: Data) -> pd.Series[Any] | None:
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
def monitor_window(
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
) -> Window:
    """Monitoring's verdict on one window; see `watch_window`."""
    window = watch_window(
        project,
        table,
        batch_end=batch_end,
        contract_outcome=contract_outcome,
        predictions=predictions,
        version=version,
        profile=profile,
        reference=reference,
        promised=promised,
        task=task,
        classes=classes,
        features=features,
        now=now,
        threshold=threshold,
        learned=learned,
        picture=picture,
    )
    logger.info("%s, window %s: %s: %s", project.name, window.batch, window.health, window.sentence)
    return window
