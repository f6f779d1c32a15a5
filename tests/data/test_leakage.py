"""Leaks that were planted are found and said; tables as they should be have none."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.config import LoadedProject, Project, load_project
from tasks.data.leakage import find_leaks, look_for_leaks
from tasks.data.snapshot import gather_training_rows
from tasks.data.source import index_source
from tasks.data.split import split_training_rows
from tasks.results import Filled, LeakAudit, LeakSign, Split, TrainingFrame
from tests.conftest import MakeProject, make_rows


def audit(project: LoadedProject, batches: int | None = None) -> LeakAudit:
    found = index_source(project, {}).batches[:batches]
    rows = gather_training_rows(project, found, found[-1].end, {})
    return find_leaks(rows, split_training_rows(rows, project), project.spec)


def rows_of(frame: pd.DataFrame, target: Any, task: Any = "binary", **more: Any) -> TrainingFrame:
    frame, features = frame.reset_index(drop=True), more.pop("features", tuple(frame.columns))
    more = {"time": None, "group": None, "snapshot": "", "batches": (), "classes": (), **more}
    return TrainingFrame(frame=frame, target=pd.Series(np.asarray(target)), task=task, features=features, **more)


def look(
    frame: pd.DataFrame, target: Any, task: Any = "binary", data: Mapping[str, Any] | None = None, **more: Any
) -> LeakAudit:
    order = np.random.default_rng(5).permutation(len(frame)).tolist()
    cut = len(order) // 5
    split = Split(tuple(order[2 * cut :]), tuple(order[cut : 2 * cut]), tuple(order[:cut]), (), "")
    spec = Project.model_validate({"name": "t", "data": {"source": "t.csv", "target": "y", **(data or {})}})
    return find_leaks(rows_of(frame, target, task, **more), split, spec)


def kinds(found: LeakAudit) -> list[tuple[str, str | None, bool]]:
    return [(s.kind, s.column, s.certain) for s in found.signs]


def noise(rows: int, columns: int = 4, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(rows, columns)), columns=[f"n{i}" for i in range(columns)])


def learnable(rows: int, seed: int = 0) -> tuple[pd.DataFrame, Any]:
    """Columns that tell something of a score, and the score."""
    frame = noise(rows, seed=seed)
    return frame, (frame["n0"] + 0.7 * frame["n1"] + np.random.default_rng(seed + 1).normal(size=rows)).to_numpy()


# ---------------------------------------------------------------- tables as they should be


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_named_where_nothing_leaks(make_project: MakeProject, seed: int) -> None:
    project = make_project({"rows.parquet": make_rows(900, seed=seed)})
    found = audit(project)
    assert found.signs == ()
    assert (found.columns, found.rows) == (4, 900)
    random = make_project({"rows.parquet": make_rows(900, seed=seed)}, split={"how": "random"})
    assert audit(random).signs == ()


def people(rows: int, seed: int = 0) -> tuple[pd.DataFrame, Any]:
    """As a census: columns that go with each other, one that leads, an answer that most follow from all together."""
    rng = np.random.default_rng(seed)
    years = rng.integers(1, 17, rows)
    age = rng.integers(17, 90, rows)
    partner = np.where(rng.random(rows) < 0.1 + 0.5 * (age > 30), "married", rng.choice(["single", "divorced"], rows))
    frame = pd.DataFrame(
        {
            "age": age,
            "years": years,
            "school": np.array([f"level {y}" for y in range(17)])[years],
            "partner": partner,
            "role": np.where(partner == "married", rng.choice(["husband", "wife"], rows), "alone"),
            "hours": rng.choice([20, 35, 40, 40, 40, 50, 60], rows),
            "gain": np.where(rng.random(rows) < 0.08, rng.integers(100, 9_999, rows), 0),
        }
    )
    odds = 0.25 * years + 2.2 * (partner == "married") + 0.04 * frame["hours"] + 0.0004 * frame["gain"] - 6.5
    return frame, (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(int)


def test_a_census_and_flights_as_shipped_have_no_leak() -> None:
    frame, target = people(20_000)
    assert look(frame, target).signs == ()
    assert audit(load_project("flights"), 2).signs == ()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(40, 400),
    task=st.sampled_from(["binary", "multiclass", "regression"]),
    rare=st.floats(0.05, 0.5),
)
def test_chance_is_hardly_ever_named(seed: int, rows: int, task: str, rare: float) -> None:
    rng = np.random.default_rng(seed)
    frame = noise(rows, 6, seed)
    frame["level"] = rng.choice(list("abcdefgh"), rows)
    frame["id"] = [f"id {i}" for i in range(rows)]
    frame["gaps"] = np.where(rng.random(rows) < 0.5, np.nan, rng.integers(0, 4, rows))
    target = {
        "binary": (rng.random(rows) < rare).astype(int),
        "multiclass": rng.integers(0, 4, rows),
        "regression": rng.lognormal(0, 2, rows),
    }[task]
    assert look(frame, target, task).signs == ()


# ---------------------------------------------------------------- columns that know


def test_delays_of_flights_are_found() -> None:
    """At departure the delay is known, and three hours before it is not."""
    left_in = "data.exclude=[dep_time, arr_time, arr_delay, air_time]"
    found = audit(load_project("flights", [left_in]), 2)
    assert kinds(found) == [("filled with the label", "dep_delay", True), ("alone decides", "dep_delay", True)]
    said = found.signs[1].sentence
    assert "'dep_delay' alone reaches a ROC AUC of 0.89" in said and "all 19 other columns together 0.6" in said
    assert "has a value in 100% of the rows with a known label" in said and "data.exclude" in said
    found = audit(load_project("flights", ["data.exclude=[]"]), 1)
    certain = {s.column for s in found.signs if s.certain}
    assert certain == {"dep_delay", "arr_delay"}
    assert {s.column for s in found.signs} == {*certain, "dep_time", "arr_time", "air_time"}
    cleared = audit(load_project("flights", [left_in, "data.known_in_time=[dep_delay]"]), 1)
    assert [s.cleared for s in cleared.signs] == [True, True]
    assert cleared.signs[0].sentence.endswith("data.known_in_time says that it is known when the prediction is made.")


@pytest.mark.parametrize("copy", ["same", "words", "numbers", "flags", "gaps", "category", "text of numbers"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_copy_of_the_classes(copy: str, task: str) -> None:
    frame, score = learnable(400)
    target = np.digitize(score, [0.5] if task == "binary" else [-0.5, 0.5])
    values: Any = {
        "same": target,
        "words": np.array(["no", "yes", "maybe"])[target],
        "numbers": np.array([7.5, -2.0, 99.0])[target],
        "flags": target == 1 if task == "binary" else target,
        "gaps": np.where(np.arange(400) % 3 == 0, np.nan, target),
        "category": pd.Categorical(np.array(["b", "a", "c"])[target]),
        "text of numbers": np.array(["1", "2", "03"])[target],
    }[copy]
    found = look(frame.assign(leak=values), target, task)
    assert kinds(found) == [("copy of the target", "leak", True)]
    assert "'leak' is the target" in found.signs[0].sentence
    assert ("wherever it has a value (66% of the rows)" in found.signs[0].sentence) == (copy == "gaps")


@pytest.mark.parametrize("copy", ["same", "units", "rounded", "text", "gaps", "hours"])
def test_a_copy_of_a_number(copy: str) -> None:
    frame, score = learnable(500)
    target = 100 + 2_000 * score
    values: Any = {
        "same": target,
        "units": 32 - 1.8 * target,
        "rounded": target.round(),
        "text": [f"{v:.3f}" for v in target],
        "gaps": np.where(np.arange(500) % 2 == 0, np.nan, target),
        "hours": pd.to_timedelta(target, unit="h"),
    }[copy]
    found = look(frame.assign(leak=values), target, "regression")
    assert kinds(found) == [("copy of the target", "leak", True)]


def test_parts_of_a_sum_are_the_target() -> None:
    """As casual and registered riders, who are all riders: no one of them decides."""
    rng = np.random.default_rng(0)
    frame = noise(800)
    frame["casual"], frame["registered"] = rng.poisson(40, 800), rng.poisson(90, 800)
    frame["fee"], frame["hour"] = rng.normal(50, 30, 800), rng.integers(0, 24, 800)
    target = frame["casual"] + frame["registered"] - frame["fee"]
    found = look(frame, target, "regression")
    assert {s.column for s in found.signs} == {"casual", "registered", "fee"}
    assert {s.kind for s in found.signs} == {"copy of the target"} and all(s.certain for s in found.signs)
    assert "'y' is a weighted sum of it and 'registered', 'fee', without any error" in found.signs[0].sentence
    assert look(frame, target + rng.normal(0, 5, 800), "regression").signs == ()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_column_that_decides_alone(task: str) -> None:
    frame, score = learnable(3_000)
    target = {"binary": (score > 2).astype(int), "multiclass": np.digitize(score, [-1, 0.0, 1]), "regression": score}
    rng = np.random.default_rng(9)
    near = look(frame.assign(leak=score + rng.normal(0, 0.02, 3_000)), target[task], task)
    assert kinds(near) == [("alone decides", "leak", True)]
    assert "all 4 other columns together" in near.signs[0].sentence
    vague = look(frame.assign(leak=score + rng.normal(0, 0.3 + 0.2 * (task == "binary"), 3_000)), target[task], task)
    assert kinds(vague) == [("alone decides", "leak", False)]
    known = look(frame.assign(leak=score + rng.normal(0, 0.02, 3_000)), target[task], task, {"known_in_time": ["leak"]})
    assert [(s.certain, s.cleared) for s in known.signs] == [(True, True)]


def test_a_rare_class_and_a_mark_that_decides() -> None:
    frame, score = learnable(20_000)
    target = (score > np.quantile(score, 0.995)).astype(int)
    frame["amount"] = np.where(target == 1, np.random.default_rng(1).normal(size=20_000), np.nan)
    frame["score"] = score
    found = look(frame, target)
    assert {(s.kind, s.column, s.certain) for s in found.signs} == {
        ("alone decides", "amount", True),
        ("alone decides", "score", True),
    }
    said = next(s.sentence for s in found.signs if s.column == "amount")
    assert said.startswith("Whether 'amount' has a value, alone reaches a ROC AUC of")


def test_a_last_value_may_be_named_and_holds_nothing() -> None:
    rng = np.random.default_rng(2)
    level = np.zeros(6_001)
    for i in range(1, len(level)):
        level[i] = 0.98 * level[i - 1] + rng.normal()
    moments = pd.Series(pd.date_range("2024-01-01", periods=6_000, freq="h", tz="UTC"))
    frame = noise(6_000).assign(last=level[:-1])
    for task, target in (("regression", level[1:]), ("binary", (level[1:] > 4).astype(int))):
        found = look(frame, target, task, time=moments)
        assert [(s.column, s.certain) for s in found.signs] == [("last", False)]


def test_two_leaks_do_not_hide_each_other() -> None:
    frame, score = learnable(3_000)
    rng = np.random.default_rng(3)
    leak = score + rng.normal(0, 0.25, 3_000)
    found = look(frame.assign(one=leak, two=60 * leak + rng.normal(0, 0.5, 3_000)), (score > 1).astype(int))
    assert {s.column for s in found.signs} == {"one", "two"}


def test_an_id_is_no_leak() -> None:
    rng = np.random.default_rng(0)
    frame, score = learnable(4_000)
    frame["key"] = [f"k{i}" for i in range(4_000)]
    frame["shop"] = rng.choice(np.array([f"s{i}" for i in range(1_500)]), 4_000)
    assert look(frame, (score > 0).astype(int)).signs == ()
    # What a group always answers is known of the groups that teach, and of no other.
    group = rng.integers(0, 200, 4_000)
    answer = rng.integers(0, 2, 200)[group]
    place = pd.DataFrame({"place": [f"p{g}" for g in group], "size": group * 1.0})
    assert look(frame[["n0", "n1"]].join(place), answer, group=pd.Series(group)).signs == ()


# ---------------------------------------------------------------- where values are


@pytest.mark.parametrize(
    ("filled", "expected"),
    [
        (Filled(600, 600, 400, 0), True),
        (Filled(600, 598, 400, 3), True),
        (Filled(600, 590, 400, 40), False),
        (Filled(600, 590, 60, 0), False),
        (Filled(600, 600, 20, 0), None),
        (Filled(600, 600, 400, 150), None),
        (Filled(600, 300, 400, 0), None),
        (Filled(600, 600, 0, 0), None),
    ],
)
def test_a_column_that_is_filled_with_the_label(filled: Filled, expected: bool | None) -> None:
    frame, score = learnable(600)
    found = look(frame, (score > 0).astype(int), filled={"n0": Filled(600, 600, 400, 400), "n3": filled})
    assert kinds(found) == ([] if expected is None else [("filled with the label", "n3", expected)])


def test_labels_that_are_still_to_come_hide_nothing() -> None:
    """Their rows have all values already: 60 a day for two days, beside 100 rows that never get a label."""
    frame, score = learnable(6_000)
    moments = pd.Series(pd.date_range("2024-01-01", periods=6_000, freq="24min", tz="UTC"))
    filled = {"n3": Filled(6_000, 6_000, 220, 122), "n0": Filled(6_000, 6_000, 220, 220)}
    target = (score > 0).astype(int)
    found = look(frame, target, data={"time": "at", "label_delay": "2d"}, time=moments, filled=filled)
    assert kinds(found) == [("filled with the label", "n3", False)]
    assert "in 2% of those without (about 120 that only wait for theirs set aside)" in found.signs[0].sentence
    assert look(frame, target, filled=filled).signs == ()


def test_two_weak_signs_make_a_certain_one() -> None:
    frame, score = learnable(3_000)
    frame["leak"] = score + np.random.default_rng(1).normal(0, 0.4, 3_000)
    target = (score > 1).astype(int)
    assert kinds(look(frame, target)) == [("alone decides", "leak", False)]
    found = look(frame, target, filled={"leak": Filled(3_000, 3_000, 200, 20)})
    assert {(s.kind, s.certain) for s in found.signs} == {("alone decides", True), ("filled with the label", True)}
    assert "; and it has a value in" in next(s.sentence for s in found.signs if s.kind == "alone decides")


# ---------------------------------------------------------------- rows on both sides


def repeated(frame: pd.DataFrame, target: Any, share: float) -> tuple[pd.DataFrame, Any]:
    again = np.random.default_rng(4).choice(len(frame), int(share * len(frame)), replace=False)
    order = np.concatenate([np.arange(len(frame)), again])
    return frame.iloc[order], np.asarray(target)[order]


def test_rows_on_both_sides() -> None:
    frame, target = people(4_000)
    frame["weight"] = np.random.default_rng(7).integers(10_000, 300_000, 4_000)
    (many,) = look(*repeated(frame, target, 0.25)).signs
    assert (many.kind, many.column, many.certain, many.cleared) == ("shared rows", None, True, False)
    assert 0.2 < many.numbers["strength"] < 0.4 and "data.group" in many.sentence
    (some,) = look(*repeated(frame, target, 0.02)).signs
    assert (some.kind, some.certain) == ("shared rows", False)
    assert look(*repeated(frame, target, 0.004)).signs == ()


@pytest.mark.parametrize("rows", [400, 4_000, 60_000])
def test_twins_by_chance_are_none(rows: int) -> None:
    """Few columns of few values, that go with each other: far more twins than columns by themselves would make."""
    frame, target = people(rows)
    assert look(frame.drop(columns="gain"), target).signs == ()
    frame["age"] = frame["age"] // 10
    assert look(frame.drop(columns=["gain", "hours"]), target).signs == ()


def test_twins_in_many_rows_are_found_by_a_part_of_them() -> None:
    frame = noise(120_000, 3)
    frame["word"] = np.random.default_rng(1).choice(list("abc"), 120_000)
    target = (frame["n0"] > 1.5).astype(int) ^ (np.random.default_rng(2).random(120_000) < 0.1)
    (found,) = look(*repeated(frame, target, 0.1)).signs
    assert found.kind == "shared rows" and 0.1 < found.numbers["strength"] < 0.2


def test_ids_on_both_sides(make_project: MakeProject) -> None:
    frame = make_rows(600)
    frame["key"] = [f"customer {i % 200}" for i in range(600)]
    (sign,) = audit(make_project({"rows.parquet": frame})).signs
    assert (sign.kind, sign.column, sign.certain) == ("shared ids", "key", False)
    assert "set data.group to 'key'" in sign.sentence and "customer" not in sign.sentence
    assert audit(make_project({"rows.parquet": frame}, split={"how": "random"})).signs == ()


# ---------------------------------------------------------------- whatever comes


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_columns_of_every_type(task: str) -> None:
    rows, rng = 300, np.random.default_rng(0)
    some = rng.random(rows) < 0.3
    days = pd.Series(pd.date_range("2024-01-01", periods=rows, freq="D"))
    whole = pd.Series(rng.integers(0, 9, rows))
    frame = pd.DataFrame(
        {
            "flag": rng.random(rows) < 0.5,
            "flag with gaps": pd.Series(rng.random(rows) < 0.5, dtype=object).mask(some, None),
            "nullable flag": whole.gt(4).astype("boolean").mask(some),
            "nullable": whole.astype("Int64").mask(some),
            "nullable float": whole.astype("Float64").mask(some),
            "unsigned": whole.astype("uint64") + np.uint64(2**63),
            "small": whole.astype("int8"),
            "half": rng.normal(size=rows).astype("float16"),
            "infinite": np.where(some, np.inf, -np.inf),
            "huge": np.where(some, 1.7e308, -1.7e308),
            "not finite": np.where(some, np.nan, np.where(whole > 4, np.inf, rng.normal(size=rows))),
            "text": pd.Series(rng.choice(["a", "b"], rows), dtype="str").mask(some),
            "number text": pd.Series(whole.map(str), dtype="str").mask(some),
            "odd number text": pd.Series(rng.choice(["1e999", "-0", "nan", "٣"], rows), dtype="str"),
            "category": pd.Categorical(rng.choice(["a", "b"], rows), categories=["a", "b", "unused"]),
            "number category": pd.Categorical(whole),
            "time": days,
            "time of a zone": days.dt.tz_localize("Europe/Berlin").mask(some),
            "duration": pd.Series(pd.to_timedelta(rng.integers(0, 9, rows), unit="h")).mask(some),
            "date": pd.Series(days.dt.date, dtype=object),
            "period": days.dt.to_period("M"),
            "lists": pd.Series([[1]] * rows, dtype=object).mask(some, None),
            "mixed": pd.Series([1, "a", None, 2.5, True] * (rows // 5), dtype=object),
            "bytes": pd.Series([b"\xff", b"a"] * (rows // 2), dtype=object),
            "complex": np.full(rows, 1j),
            "constant": np.ones(rows),
            "nan": np.full(rows, np.nan),
            "none": pd.Series([None] * rows, dtype=object),
            "no text": pd.Series([None] * rows, dtype="str"),
            "no time": pd.Series([pd.NaT] * rows, dtype="datetime64[us, UTC]"),
            "no category": pd.Categorical([None] * rows),
        }
    )
    target = {
        "binary": (rng.random(rows) < 0.4).astype(int),
        "multiclass": rng.integers(0, 5, rows),
        "regression": rng.normal(size=rows),
    }[task]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert look(frame, target, task).signs == ()
        for name in frame:  # by itself too: what is empty in all columns
            assert look(frame[[name]], target, task, group=pd.Series(rng.integers(0, 9, rows))).signs == ()


def test_few_rows_and_classes_that_only_one_half_has() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert look(noise(40), np.arange(40) % 5, "multiclass").signs == ()
        moments = pd.Series(pd.date_range("2024-01-01", periods=400, freq="h", tz="UTC"))
        late = np.where(np.arange(400) < 200, np.arange(400) % 2, 2)
        assert look(noise(400), late, "multiclass", time=moments).signs == ()
        assert look(noise(400), np.where(np.arange(400) < 390, 3.5, 4.0), "regression", time=moments).signs == ()


@pytest.mark.parametrize("name", ["{}", "'; drop table x --", "a\nb\x00\u202e", "<script>" * 40, "", "%s {0} {name}"])
def test_names_from_strangers(name: str) -> None:
    frame, score = learnable(600)
    frame[name] = np.where(score > 0, "secret one", "secret two")
    found = look(frame, (score > 0).astype(int), filled={name: Filled(600, 600, 200, 0)})
    assert kinds(found) == [("copy of the target", name, True), ("filled with the label", name, True)]
    for sign in found.signs:
        assert "secret" not in sign.sentence and sign.sentence.isprintable()
        assert repr(name)[:70] in sign.sentence and len(sign.sentence) < 600


def test_the_strongest_come_first_and_the_cleared_last() -> None:
    frame, score = learnable(2_000)
    target = (score > 0).astype(int)
    frame["copy"], frame["known"] = target, target
    frame["vague"] = score + np.random.default_rng(1).normal(0, 0.6, 2_000)
    filled = {"n3": Filled(2_000, 2_000, 90, 0)}
    found = look(frame, target, data={"known_in_time": ["known"]}, filled=filled)
    assert [(s.column, s.certain, s.cleared) for s in found.signs] == [
        ("copy", True, False),
        ("n3", False, False),
        ("vague", False, False),
        ("known", True, True),
    ]
    assert all(isinstance(s, LeakSign) and all(np.isfinite(v) for v in s.numbers.values()) for s in found.signs)


def test_the_same_rows_give_the_same_signs(make_project: MakeProject) -> None:
    project = make_project({"rows.parquet": make_rows(900).assign(leak=lambda f: f["bought"])})
    rows = gather_training_rows(project, index_source(project, {}).batches, None, {})
    split = split_training_rows(rows, project)
    assert look_for_leaks(rows, split, project.spec) == find_leaks(rows, split, project.spec)


def test_wide_and_long_tables_cost_little() -> None:
    """Bounds that a slow machine keeps too: some ten times what it takes."""
    for rows, columns, most in ((200_000, 20, 6.0), (10_000, 500, 12.0)):
        frame = noise(rows, columns)
        target = (frame["n0"] + frame["n1"] > 2).astype(int)
        begun = time.perf_counter()
        found = look(frame, target)
        assert time.perf_counter() - begun < most
        assert found.signs == () and found.rows == min(50_000, 2_500_000 // columns)
