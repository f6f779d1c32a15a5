"""The second example's contract, data and build: census income, whose two parts keep real rules."""

from __future__ import annotations

import hashlib
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import ModuleType

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tasks.config import load_project
from tasks.contract.check import check_batch
from tasks.contract.suite import load_contract
from tasks.results import ContractResult
from tasks.table import TableRef, infer_schema

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "data" / "adult"
PARTS = sorted(FOLDER.glob("*.parquet"))
NOW = datetime(2024, 6, 1, tzinfo=UTC)


def check(path: Path, batch: str) -> ContractResult:
    project = load_project(str(ROOT / "configs" / "adult.yaml"))
    reference = infer_schema(str(PARTS[0]))
    table = TableRef(batch, (str(path),), infer_schema(str(path)), "over_50k")
    return check_batch(project, load_contract(project), table, now=NOW, label_expected=True, reference=reference)


@pytest.fixture
def spoilt(tmp_path):
    """A check of the test part with something done to it."""

    def spoil(how) -> ContractResult:
        path = tmp_path / "spoilt.parquet"
        how(pd.read_parquet(PARTS[1])).to_parquet(path)
        return check(path, "2-test")

    return spoil


@pytest.mark.parametrize("path", PARTS, ids=lambda p: p.stem)
def test_both_parts_are_accepted_whole(path):
    result = check(path, path.stem)
    assert result.outcome == "accepted", result.reason
    assert result.quarantined == 0
    assert all(rule.passed for rule in result.rules)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda d: d.head(4_000), "rows: 10,000 to 45,000"),
        (lambda d: d.drop(columns="sex"), "sex: is there"),
        (lambda d: d[d["sex"] == "Male"], "both sexes"),
        (lambda d: d.assign(sex=" " + d["sex"]), "sex: one of Female, Male"),  # the source has a space after each comma
        (lambda d: d.assign(occupation=d["occupation"].fillna("?")), "occupation: one of"),
        (lambda d: d.assign(workclass=None), "workclass: at most 10% missing"),
        (lambda d: d.assign(over_50k=d["over_50k"].map({True: ">50K.", False: "<=50K."})), "over_50k: true or false"),
        (lambda d: d.assign(education_num=d["education_num"] - 1), "education fits its number"),
        (lambda d: d.assign(hours_per_week=d["hours_per_week"].astype(int) * 52), "hours_per_week: between 1 and 99"),
        (lambda d: pd.concat([d, d.head(1_000)]), "person: unique"),
    ],
)
def test_faults_as_they_happen_are_refused(spoilt, how, reason):
    result = spoilt(how)
    assert result.outcome == "refused"
    broken = [rule.name for rule in result.rules if not rule.passed]
    assert any(name.startswith(reason) for name in broken) or reason in result.reason, (result.reason, broken)


def test_a_few_impossible_rows_go_to_quarantine_and_the_others_stay(spoilt):
    result = spoilt(lambda d: d.assign(age=d["age"].where(d.index >= 5, 12)))
    assert (result.outcome, result.quarantined) == ("accepted", 5)


def test_hours_of_a_day_are_within_the_range_and_reported(spoilt):
    result = spoilt(lambda d: d.assign(hours_per_week=(d["hours_per_week"] // 5).clip(lower=1)))
    assert result.outcome == "accepted"
    assert [rule.name for rule in result.rules if not rule.passed] == ["mean hours as usual"]


def test_the_data_are_as_their_readme_says():
    learn, later = (pd.read_parquet(path) for path in PARTS)
    assert [path.name for path in PARTS] == ["1-train.parquet", "2-test.parquet"]
    assert sum(path.stat().st_size for path in FOLDER.glob("*.*")) < 1_000_000
    assert (len(learn), len(later)) == (32_561, 16_281)
    assert pd.concat([learn, later])["person"].is_unique
    for rows, missing in ((learn, (1_836, 1_843, 583)), (later, (963, 966, 274))):
        found = rows.isna().sum()
        assert found[found > 0].to_dict() == dict(
            zip(("workclass", "occupation", "native_country"), missing, strict=True)
        )
    columns = [c for c in learn if c != "person"]
    assert (int(learn.duplicated(columns).sum()), int(later.duplicated(columns).sum())) == (24, 5)
    assert len(later.merge(learn[columns].drop_duplicates(), on=columns)) == 23


def test_the_groups_are_as_their_readme_says():
    learn, later = (pd.read_parquet(path) for path in PARTS)
    by_sex = [rows.groupby("sex")["over_50k"].mean().round(3).to_dict() for rows in (learn, later)]
    assert by_sex == [{"Female": 0.109, "Male": 0.306}, {"Female": 0.109, "Male": 0.300}]
    assert [round(float(rows["over_50k"].mean()), 3) for rows in (learn, later)] == [0.241, 0.236]
    whole = pd.concat([learn, later], ignore_index=True)
    spouses = whole[whole["relationship"].isin(["Husband", "Wife"])]
    told = spouses["relationship"].map({"Husband": "Male", "Wife": "Female"})
    assert (len(spouses), int((told != spouses["sex"]).sum())) == (22_047, 4)
    top = whole["capital_gain"] == 99_999
    assert (int(top.sum()), float(whole.loc[top, "over_50k"].mean())) == (244, 1.0)


# The build, from what it was built from: the Parquet files give the source's bytes back.


@cache
def build() -> ModuleType:
    """build.py as a module; it is not imported, since that would write beside the data."""
    module = ModuleType("build_adult")
    sys.modules[module.__name__] = module  # where dataclasses look for it
    exec(compile((FOLDER / "build.py").read_text(), FOLDER / "build.py", "exec"), vars(module))
    return module


@cache
def source(number: int) -> bytes:
    """The source's file, written again from the shipped Parquet."""
    part = build().PARTS[number]
    rows = pq.read_table(FOLDER / part.target, columns=build().FIELDS).to_pydict()
    labels = {value: label for label, value in part.labels.items()}
    rows["over_50k"] = [labels[value] for value in rows["over_50k"]]
    texts = [["?" if value is None else str(value) for value in column] for column in rows.values()]
    lines = map(", ".join, zip(*texts, strict=True))
    return "\n".join([*([part.header] if part.header else []), *lines, "", ""]).encode()


@pytest.mark.parametrize("number", [0, 1])
def test_nothing_of_the_source_is_lost(number):
    assert hashlib.sha256(source(number)).hexdigest() == build().PARTS[number].digest


def test_the_build_writes_the_shipped_rows_and_the_same_bytes_each_time(tmp_path, monkeypatch):
    module = build()
    monkeypatch.setattr(module, "read", lambda part: source(module.PARTS.index(part)))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        module.main(tmp_path / name)
    for path in PARTS:
        one, two = tmp_path / "one" / path.name, tmp_path / "two" / path.name
        assert one.read_bytes() == two.read_bytes()
        assert pq.read_table(one).equals(pq.read_table(path))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b"|1x3 Cross validator\n", b"", "its first line is not '|1x3 Cross validator'"),
        (b">50K.\n", b">50K\n", "its labels are ['<=50K.', '>50K'], not ['<=50K.', '>50K.']"),
        (b"\n\n", b"\n25, Private\n\n", "16,282 rows, not 16,281"),
        (b"25, Private, 226802, ", b"25, Private, ", "a line has not 15 fields"),
        (b"?, ", b"Unknown, ", "missing values {}, not {'workclass': 963"),
        (b"25, Private, 226802", b"ten, Private, 226802", "age is not all whole numbers"),
        (b"25, Private, 226802", b"16, Private, 226802", "age is not all within 17 to 90"),
        (b" Black, ", b" black, ", "race has values that are not known: ['black']"),
        (b" 11th, 7,", b" 11th, 8,", "education_num is not its place"),
        (b"25, Private, 226802", b"26, Private, 226802", "it is not the file that UCI gives out"),
    ],
)
def test_the_build_stops_where_a_claim_fails_and_writes_nothing(tmp_path, monkeypatch, old, new, complaint):
    module = build()
    content = source(1)
    assert old in content
    monkeypatch.setattr(module, "read", lambda part: source(0) if part.prefix == "train" else content.replace(old, new))
    with pytest.raises(SystemExit) as stopped:
        module.main(tmp_path)
    assert f"build.py: adult.test: {complaint}" in str(stopped.value)
    assert not list(tmp_path.glob("*.parquet"))
