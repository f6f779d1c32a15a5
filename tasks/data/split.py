"""Which rows fit, which calibrate, which judge. Time goes forward, and the rows of one group stay together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import LoadedProject, Project
from tasks.data.seen import name_rows, share_names, test_salt
from tasks.errors import DataError
from tasks.results import Split, TrainingFrame
from tasks.stage import stage

Positions = NDArray[np.int64]


def split_training_rows(rows: TrainingFrame, project: LoadedProject) -> Split:
    """Set test and calibration rows apart, and cut folds within the rest.

    By time: the newest rows test, those before them calibrate, and each fold validates on rows after those it fits,
    with cuts at midnight (data.timezone) where there are days enough. By chance or by group: a hash of the id (of
    the group) decides, so that a test row stays one for life. Every fold fits rows of all classes. Raises DataError
    where a class is in no fitting row, such as one that the newest rows brought, or in no test row of a binary target.
    """
    spec = project.spec
    if project.spec.split_how == "time":
        split = _by_time(rows, project)
    else:
        split = _by_hash(rows, project)
    if rows.task != "regression":
        _check_fit(rows, split, spec)
        _check_test(rows, split, spec.data.target)
    return split


def name_blocks(rows: TrainingFrame, positions: Positions, spec: Project) -> tuple[str, ...] | None:
    """Per position the group, or under a split by time the day, whose rows are not independent; else None."""
    if rows.group is not None:
        return tuple(str(g) for g in rows.group.to_numpy()[positions])
    if spec.split_how != "time" or rows.time is None:
        return None
    return tuple(rows.time.iloc[positions].dt.tz_convert(spec.data.timezone).dt.strftime("%Y-%m-%d"))


def _by_time(rows: TrainingFrame, project: LoadedProject) -> Split:
    spec = project.spec
    assert rows.time is not None
    local = rows.time.dt.tz_convert(spec.data.timezone)
    days = local.dt.tz_localize(None).dt.normalize()
    moment = rows.time.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    day = days.to_numpy().astype("datetime64[D]").astype(np.int64)
    by_day = len(np.unique(day)) >= 10 * spec.split.folds
    when = day if by_day else moment
    if rows.group is not None:  # a group goes where its newest row goes
        when = pd.Series(when).groupby(rows.group.to_numpy(), dropna=False).transform("max").to_numpy()
    everything = np.arange(len(when))
    before, test = _cut(when, everything, 1 - spec.split.test)
    # Times may be as coarse as a year each: rows of one moment have no order, so a hash parts them.
    if len(np.unique(when[before])) > 1:
        fit, calibration = _cut(when, before, 1 - spec.split.calibration)
    else:
        inner = share_names(name_rows(rows, spec.data.id)[0].iloc[before], f"{spec.name}:{spec.train.seed}:calibration")
        calibration, fit = before[inner < spec.split.calibration], before[inner >= spec.split.calibration]
    folds = []
    segments = _segments(when, fit, spec.split.folds + 1)
    for i in range(1, len(segments)):
        folds.append((np.concatenate(segments[:i]), segments[i]))
    folds = [f for f in folds if _can_judge(rows, fit, f)]
    if not folds and len(np.unique(when[fit])) > 1:
        folds = [f for f in [_cut(when, fit, 0.7)] if _can_judge(rows, fit, f)]
    if not folds:  # one moment only, or a class that came late: no fold that goes forward would know it
        folds = _hashed_folds(rows, fit, name_rows(rows, spec.data.id)[0], spec)
    blocks = name_blocks(rows, test, spec)
    first, last = local.iloc[test].min(), local.iloc[test].max()
    how = (
        f"by time: {len(test):,} test rows from {first:%Y-%m-%d} to {last:%Y-%m-%d}, "
        f"after {len(calibration):,} calibration and {len(fit):,} fitting rows"
    )
    return _make(fit, calibration, test, folds, how, blocks)


def _by_hash(rows: TrainingFrame, project: LoadedProject) -> Split:
    spec = project.spec
    names, of = name_rows(rows, spec.data.id)
    seed = spec.train.seed
    share = share_names(names, test_salt(spec))
    test = np.flatnonzero(share < spec.split.test)
    rest = np.flatnonzero(share >= spec.split.test)
    inner = share_names(names.iloc[rest], f"{spec.name}:{seed}:calibration")
    calibration, fit = rest[inner < spec.split.calibration], rest[inner >= spec.split.calibration]
    folds = _hashed_folds(rows, fit, names, spec)
    blocks = name_blocks(rows, test, spec)
    how = f"by a hash of the {of}: {len(test):,} test, {len(calibration):,} calibration and {len(fit):,} fitting rows"
    return _make(fit, calibration, test, folds, how, blocks)


def _hashed_folds(
    rows: TrainingFrame, fit: Positions, names: pd.Series[Any], spec: Project
) -> list[tuple[Positions, Positions]]:
    share = share_names(names.iloc[fit], f"{spec.name}:{spec.train.seed}:fold")
    if rows.task == "regression" or rows.group is not None:
        fold = np.floor(share * spec.split.folds)
    else:  # dealt class by class, so that each fold has some of a rare one; rows of one name stay together
        fold, target = np.zeros(len(fit)), rows.target.to_numpy()[fit]
        for label in np.unique(target):
            own = target == label
            fold[own] = np.unique(share[own], return_inverse=True)[1] % spec.split.folds
    folds = [(fit[fold != k], fit[fold == k]) for k in range(spec.split.folds)]
    folds = [f for f in folds if _can_judge(rows, fit, f)]
    if not folds:
        raise DataError(
            f"split: the {len(fit):,} fitting rows are too few for {spec.split.folds} folds with every class."
        )
    return folds


def _cut(when: Positions, positions: Positions, share: float) -> tuple[Positions, Positions]:
    """Positions up to the cut and after it; rows of one moment stay together, and neither side is empty."""
    times = np.sort(when[positions])
    values = np.unique(times)
    if len(values) < 2:
        raise DataError(
            f"split: all {len(positions):,} rows have one time; expected several to split by time. "
            "Set split.how: random."
        )
    cut = times[min(int(len(times) * share), len(times) - 1)]
    cut = min(max(cut, values[1]), values[-1])
    return positions[when[positions] < cut], positions[when[positions] >= cut]


def _segments(when: Positions, positions: Positions, count: int) -> list[Positions]:
    values = np.sort(when[positions])
    edges = np.unique([values[int(len(values) * i / count)] for i in range(1, count)])
    segment = np.searchsorted(edges, when[positions], side="right")
    return [positions[segment == s] for s in range(len(edges) + 1) if (segment == s).any()]


def _can_judge(rows: TrainingFrame, fit: Positions, fold: tuple[Positions, Positions]) -> bool:
    """Whether a model of all classes in `fit` can be fitted on a fold, and judged: on two classes at least."""
    train, validation = fold
    if len(train) == 0 or len(validation) == 0:
        return False
    target = rows.target.to_numpy()
    if rows.task == "regression":
        return len(np.unique(target[validation])) > 1
    return len(np.unique(target[train])) == len(np.unique(target[fit])) and len(np.unique(target[validation])) > 1


def _check_fit(rows: TrainingFrame, split: Split, spec: Project) -> None:
    fit = np.asarray(split.fit, np.int64)
    lacking = _list_lacking(rows, fit)
    if not lacking:
        return
    label = rows.classes[lacking[0]]
    own = np.flatnonzero(rows.target.to_numpy() == lacking[0])
    came, advice = "", "Give more rows of it, or a smaller split.test."
    if spec.split_how == "time" and rows.time is not None:
        since = rows.time.iloc[own].min().tz_convert(spec.data.timezone)
        came = f": its {len(own):,} rows begin on {since:%Y-%m-%d}, after the fitting rows"
        advice = (
            "Train as of a later moment, when older rows have it; or set split.how: random; or leave its rows out "
            "until then by a rule of the contract."
        )
    elif spec.split_how == "group":
        advice = "Give more groups that have it, or set split.how: random."
    raise DataError(
        f"split: none of the {len(fit):,} fitting rows has {spec.data.target} = {label!r}{came}; expected every class "
        f"among them, for what is never seen is never predicted. {advice}"
    )


def _check_test(rows: TrainingFrame, split: Split, name: str) -> None:
    test = np.asarray(split.test, np.int64)
    lacking = _list_lacking(rows, test)
    # A multiclass metric that needs every class says so where it is computed; others are sound without a rare one.
    if lacking and len(rows.classes) - len(lacking) < 2:
        raise DataError(
            f"split: none of the {len(test):,} test rows has {name} = {rows.classes[lacking[0]]!r}; "
            "expected two classes at least. Give more rows, a larger split.test, or split.how: random."
        )


def _list_lacking(rows: TrainingFrame, positions: Positions) -> list[int]:
    """The codes of the classes that none of these rows has."""
    there = set(rows.target.to_numpy()[positions].tolist())
    return [code for code in range(len(rows.classes)) if code not in there]


def _make(
    fit: Positions,
    calibration: Positions,
    test: Positions,
    folds: list[tuple[Positions, Positions]],
    how: str,
    blocks: tuple[str, ...] | None,
) -> Split:
    return Split(
        fit=_tuple(fit),
        calibration=_tuple(calibration),
        test=_tuple(test),
        folds=tuple((_tuple(a), _tuple(b)) for a, b in folds),
        how=how,
        blocks=blocks,
    )


def _tuple(positions: Positions) -> tuple[int, ...]:
    return tuple(positions.tolist())


@stage("split")
def split_rows(rows: TrainingFrame, project: LoadedProject) -> Split:
    """Fit, calibration and test rows, and folds; see `split_training_rows`."""
    return split_training_rows(rows, project)
