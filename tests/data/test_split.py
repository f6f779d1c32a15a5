"""Snapshots and splits: nothing from the future, no row twice, no group on both sides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.data.snapshot import gather_training_rows
from tasks.data.source import index_source
from tasks.data.split import split_training_rows
from tasks.errors import DataError
from tasks.results import Split, TrainingFrame
from tests.conftest import MakeProject, make_rows


def prepare(project: object, as_of: object = None, **skip: list[int]) -> TrainingFrame:
    batches = index_source(project, {}).batches  # type: ignore[arg-type]
    positions = {b.key: np.array(skip.get("m" + b.key[-2:], []), np.int64) for b in batches}
    return gather_training_rows(project, batches, as_of, positions)  # type: ignore[arg-type]


def check_partition(split: Split, rows: int) -> None:
    everything = [*split.fit, *split.calibration, *split.test]
    assert sorted(everything) == list(range(rows))
    for train, validation in split.folds:
        assert not set(train) & set(validation)
        assert {*train, *validation} <= set(split.fit)


def test_by_time_goes_forward(make_project: MakeProject) -> None:
    project = make_project()
    rows = prepare(project)
    split = split_training_rows(rows, project)
    check_partition(split, len(rows.target))
    assert rows.time is not None
    time = rows.time
    assert time.iloc[list(split.fit)].max() < time.iloc[list(split.calibration)].min()
    assert time.iloc[list(split.calibration)].max() < time.iloc[list(split.test)].min()
    for train, validation in split.folds:
        assert time.iloc[list(train)].max() < time.iloc[list(validation)].min()
    assert 0.1 < len(split.test) / len(rows.target) < 0.3
    assert split.blocks is not None
    assert len(split.blocks) == len(split.test)
    assert len(set(split.blocks)) > 5


@pytest.mark.parametrize("how", ["time", "group", "random"])
def test_a_group_stays_together(make_project: MakeProject, how: str) -> None:
    frame = make_rows(900)
    rng = np.random.default_rng(3)
    frame["shop"] = rng.integers(0, 60, 900)
    project = make_project({"rows.parquet": frame}, data={"group": "shop"}, split={"how": how, "test": 0.3})
    if how == "time":
        frame["shop"] = np.arange(900) // 15
        project = make_project({"rows.parquet": frame}, data={"group": "shop"}, split={"how": how})
    rows = prepare(project)
    split = split_training_rows(rows, project)
    check_partition(split, 900)
    assert rows.group is not None
    parts = [set(rows.group.iloc[list(p)]) for p in (split.fit, split.calibration, split.test)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    for train, validation in split.folds:
        assert not set(rows.group.iloc[list(train)]) & set(rows.group.iloc[list(validation)])


def test_a_random_test_row_stays_one_for_life(make_project: MakeProject) -> None:
    frame = make_rows(800)
    project = make_project({"rows.parquet": frame}, split={"how": "random"})
    rows = prepare(project)
    split = split_training_rows(rows, project)
    check_partition(split, 800)
    test = set(rows.frame["key"].iloc[list(split.test)])
    more = pd.concat([frame.sample(frac=1, random_state=1), make_rows(300, seed=9)])
    project = make_project({"rows.parquet": more}, split={"how": "random"}, train={"seed": 5})
    rows = prepare(project)
    again = set(rows.frame["key"].iloc[list(split_training_rows(rows, project).test)])
    assert test == {k for k in again if k.startswith("row-0-")}


def test_a_future_row_changes_nothing(make_project: MakeProject) -> None:
    frame = make_rows(600)
    project = make_project({"rows.parquet": frame}, data={"label_delay": "1d"})
    batches = index_source(project, {}).batches[:2]
    before = gather_training_rows(project, batches, batches[-1].end, {})
    assert before.time is not None
    assert before.time.max() <= pd.Timestamp(batches[-1].end) - pd.Timedelta(days=1)
    spoiled = frame.copy()
    future = spoiled["at"] > pd.Timestamp(batches[-1].end) - pd.Timedelta(days=1)
    spoiled.loc[future, "bought"] = ~spoiled.loc[future, "bought"]
    project = make_project({"rows.parquet": spoiled}, data={"label_delay": "1d"})
    after = gather_training_rows(project, index_source(project, {}).batches[:2], batches[-1].end, {})
    pd.testing.assert_frame_equal(before.frame, after.frame)
    pd.testing.assert_series_equal(before.target, after.target)
    assert before.snapshot == after.snapshot


def test_quarantined_rows_are_left_out(make_project: MakeProject) -> None:
    project = make_project()
    whole, less = prepare(project), prepare(project, m02=[0, 3])
    assert len(whole.target) - len(less.target) == 2
    assert less.dropped == {"in quarantine": 2}
    assert whole.snapshot != less.snapshot


def refusal(make_project: MakeProject, frame: pd.DataFrame, **sections: object) -> str:
    project = make_project({"rows.parquet": frame}, **sections)
    with pytest.raises(DataError) as caught:
        split_training_rows(prepare(project), project)
    return str(caught.value)


def test_what_cannot_be_learned_is_said(make_project: MakeProject) -> None:
    frame = make_rows(200)
    assert "without a known label" in refusal(make_project, frame.assign(bought=None))
    assert "all 200 known labels are True" in refusal(make_project, frame.assign(bought=True))
    assert "rows with a known label" in refusal(make_project, frame.head(20))
    rare = np.zeros(200, bool)
    rare[[0, 1, 2]] = True
    assert "the rarer of False and True has 3 rows" in refusal(make_project, frame.assign(bought=rare))
    early = np.zeros(200, bool)
    early[:30] = True
    assert "none of the" in refusal(make_project, frame.assign(bought=early))
    assert "no feature column is left" in refusal(
        make_project, frame, data={"exclude": ["size", "count", "colour", "member"]}
    )


@pytest.mark.parametrize(
    ("values", "positive", "classes"),
    [
        (["no", "yes"], None, ("no", "yes")),
        (["yes", "no"], "no", ("yes", "no")),
        ([0, 1], None, (0, 1)),
        (["<=50K", ">50K"], None, ("<=50K", ">50K")),
        ([1.0, 2.0], 1, (2, 1)),
    ],
)
def test_binary_classes(make_project: MakeProject, values: list[object], positive: object, classes: object) -> None:
    frame = make_rows(200)
    frame["bought"] = np.where(frame["bought"], values[1], values[0])
    rows = prepare(make_project({"rows.parquet": frame}, data={"positive": positive}))
    assert rows.classes == classes
    assert set(rows.target.unique()) == {0, 1}


def test_a_column_that_changes_its_type_is_named(make_project: MakeProject) -> None:
    frame = make_rows(400, months=2)
    february = frame["at"] >= "2024-02-01"
    project = make_project({"a.csv": frame[~february], "b.csv": frame[february].assign(size="big")})
    with pytest.raises(DataError, match="column 'size': string in batch 2024-02, number in the batches before"):
        prepare(project)


@pytest.mark.parametrize("years", [2, 3, 4])
def test_times_as_coarse_as_years(make_project: MakeProject, years: int) -> None:
    """The newest year tests; where too few are left to go forward in, a hash parts the rest."""
    frame = make_rows(rows=900)
    frame["at"] = pd.to_datetime([f"{2020 + i % years}-01-01" for i in range(900)], utc=True)
    project = make_project({"rows.parquet": frame})
    rows = prepare(project)
    split = split_training_rows(rows, project)
    check_partition(split, 900)
    assert rows.time is not None
    assert set(rows.time.iloc[list(split.test)].dt.year) == {2019 + years}
    assert len(split.folds) >= 1
    assert 0.05 < len(split.calibration) / 900 < 0.5


def test_one_time_only_names_the_way_out(make_project: MakeProject) -> None:
    frame = make_rows(rows=300).assign(at=pd.Timestamp("2024-01-01", tz="UTC"))
    project = make_project({"rows.parquet": frame})
    with pytest.raises(DataError, match=r"all 300 rows have one time.*split\.how: random"):
        split_training_rows(prepare(project), project)


def test_a_class_that_only_the_newest_rows_have_is_named(make_project: MakeProject) -> None:
    frame = make_rows(600)
    frame["bought"] = np.resize(["a", "b", "c"], 600)
    frame.loc[frame.index[-30:], "bought"] = "new"
    said = refusal(make_project, frame)
    assert "none of the" in said and "fitting rows has bought = 'new': its 30 rows begin on 2024-03-2" in said
    assert "as of a later moment" in said and "split.how: random" in said
    project = make_project({"rows.parquet": frame}, split={"how": "random"})
    check_partition(split_training_rows(prepare(project), project), 600)


def test_a_class_that_came_late_is_in_every_fold(make_project: MakeProject) -> None:
    """Folds that go forward would not know it; then a hash parts the fitting rows."""
    frame = make_rows(600)
    frame["bought"] = np.resize(["a", "b", "c"], 600)
    frame.loc[frame.index[380:], "bought"] = np.resize(["a", "b", "late"], 220)
    project = make_project({"rows.parquet": frame})
    rows = prepare(project)
    split = split_training_rows(rows, project)
    check_partition(split, 600)
    assert len(split.folds) == 3
    for train, _ in split.folds:
        assert set(rows.target.iloc[list(train)]) == {0, 1, 2, 3}


def test_rare_classes_are_dealt_over_the_folds(make_project: MakeProject) -> None:
    frame = make_rows(2_000)
    frame["bought"] = [f"c{n % 40}" if n % 3 == 0 and n < 1_000 else "common" for n in range(2_000)]
    for seed in range(5):  # 40 classes of 8 or 9 rows each: some test rows lack a few of them, and no fit does
        project = make_project({"rows.parquet": frame}, data={"time": None}, train={"seed": seed})
        rows = prepare(project)
        split = split_training_rows(rows, project)
        check_partition(split, 2_000)
        assert len(split.folds) == 3 and rows.target.iloc[list(split.fit)].nunique() == 41


def test_a_regression_is_split_by_time_by_chance_and_by_group(make_project: MakeProject) -> None:
    frame = make_rows(600)
    frame["bought"] = np.random.default_rng(0).lognormal(0, 3, 600)
    frame["shop"] = np.arange(600) // 10
    for how in ("time", "random", "group"):
        project = make_project({"rows.parquet": frame}, data={"group": "shop"}, split={"how": how})
        rows = prepare(project)
        split = split_training_rows(rows, project)
        check_partition(split, 600)
        assert len(split.folds) == 3 and rows.task == "regression" and rows.target.dtype == "float64"
