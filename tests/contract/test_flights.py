"""The example's own contract and data: real rules that the twelve months keep."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tasks.config import load_project
from tasks.contract.check import check_batch
from tasks.contract.suite import load_contract
from tasks.table import TableRef, infer_schema

ROOT = Path(__file__).resolve().parents[2]
MONTHS = sorted((ROOT / "data" / "flights").glob("*.parquet"))
QUARANTINED = {"2013-02": 22, "2013-07": 1}  # one wind speed of 1,048 mph; one ferry flight


def check(path: Path, batch: str):
    project = load_project(str(ROOT / "configs" / "flights.yaml"))
    year, month = map(int, batch.split("-"))
    ends = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=ZoneInfo("America/New_York"))
    reference = infer_schema(str(MONTHS[0]))
    table = TableRef(batch, (str(path),), infer_schema(str(path)), "late", time="scheduled_departure")
    contract = load_contract(project)
    return check_batch(project, contract, table, now=ends, ends=ends, label_expected=True, reference=reference)


@pytest.mark.parametrize("path", MONTHS, ids=lambda p: p.stem)
def test_every_month_is_accepted(path):
    result = check(path, path.stem)
    assert result.outcome == "accepted", result.reason
    assert result.quarantined == QUARANTINED.get(path.stem, 0)
    assert all(rule.passed or rule.scope == "row" for rule in result.rules)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda d: d.head(9_000), "rows: 20,000 to 40,000"),
        (lambda d: d.drop(columns="temp"), "temp: is there"),
        (lambda d: d.assign(temp=(d["temp"] - 32) / 1.8), "dew point not above temperature"),
        (lambda d: d.assign(humid=None), "humid: at most 10% missing"),
        (lambda d: d[d["scheduled_departure"] < "2013-04-28T00:00Z"], "freshness"),
        (lambda d: d[d["origin"] != "JFK"].sample(25_000, replace=True, random_state=0), "all three airports"),
        (lambda d: pd.concat([d.head(25_000), d.head(1_000)]), "flight_id: unique"),
        (lambda d: d.assign(distance=d["distance"].astype(str) + " mi"), "distance: whole numbers"),
    ],
)
def test_faults_as_they_happen_are_refused(tmp_path, spoil, reason):
    path = tmp_path / "spoilt.parquet"
    spoil(pd.read_parquet(MONTHS[3])).to_parquet(path)
    result = check(path, "2013-04")
    assert result.outcome == "refused"
    assert reason in {rule.name for rule in result.rules if not rule.passed} or reason in result.reason


def test_the_data_are_as_their_readme_says():
    frames = [pq.read_table(path, columns=["flight_id", "scheduled_departure", "late", "arr_delay"]) for path in MONTHS]
    assert len(MONTHS) == 12
    assert sum(path.stat().st_size for path in MONTHS) < 8_000_000
    for path, table in zip(MONTHS, frames, strict=True):
        local = table.to_pandas()["scheduled_departure"].dt.tz_convert("America/New_York")
        assert {f"{local.min():%Y-%m}", f"{local.max():%Y-%m}"} == {path.stem}
        assert local.is_monotonic_increasing
    whole = pd.concat(table.to_pandas() for table in frames)
    assert len(whole) == 336_776
    assert whole["flight_id"].is_unique
    assert int(whole["late"].isna().sum()) == 8_255 + 1_175
    known = whole.dropna(subset="late")
    assert (known["late"].astype(bool) == (known["arr_delay"] > 15)).all()
