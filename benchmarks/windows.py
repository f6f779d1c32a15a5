"""Monitoring on real data: hardly any drift, a season, and growth.

    python -m benchmarks.windows --data FOLDER [--windows 100]

FOLDER holds `acs_employment_ma/employment_ma.parquet` (a census, 2015 to 2018) and `bike_sharing_dc/hour.csv`; what is
not there is left out. The flights are the project's own. Prints what benchmarks/monitoring.md says.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import beta

from tasks.config.monitoring import Monitor
from tasks.config.project import Data
from tasks.monitoring.drift import find_drift
from tasks.monitoring.profile import describe_window
from tasks.monitoring.profiling import ReferenceRows, build_profile

ROOT = Path(__file__).parents[1]
BIKE = """
name: bike
data: {source: data/rows.parquet, target: cnt, task: regression, time: at, timezone: America/New_York, batch: month}
train: {metric: mae, search: {trials: 3}}
"""


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("shared/data"))
    parser.add_argument("--windows", type=int, default=100)
    asked = parser.parse_args()
    acs = asked.data / "acs_employment_ma" / "employment_ma.parquet"
    if acs.is_file() and asked.windows:
        compare_years(pd.read_parquet(acs), asked.windows)
    else:
        print(f"left out: the census (--windows {asked.windows}, {acs})")
    live_through("flights", ROOT, ("2013-05-01", "2014-01-01"))
    bike = asked.data / "bike_sharing_dc" / "hour.csv"
    if bike.is_file():
        with tempfile.TemporaryDirectory() as folder:
            live_through("bike", make_bike(bike, Path(folder)), ("2011-07-01", "2013-01-01"))
    else:
        print(f"left out: {bike} is not there")


def compare_years(rows: pd.DataFrame, windows: int) -> None:
    """Windows resampled within the reference's year and from later ones: the share that alarm, beside the budget."""
    features = tuple(c for c in rows if c not in ("id", "employed", "year"))
    rows = rows.astype({c: "str" for c in features if c != "AGEP"})
    data, monitor = Data(source="rows", target="employed", time="t"), Monitor()
    random = np.random.default_rng(7)
    years = {year: part.reset_index(drop=True) for year, part in rows.groupby("year")}
    print("census: reference of 50,000 rows of 2015, drawn anew each time; alarms at 1 of 12 windows accepted")
    for size in (1_000, 5_000):
        for past in (0, 12):
            for year in years:
                alarms, moved = 0, Counter[str]()
                for number in range(windows):
                    order = random.permutation(len(years[2015]))
                    profile = build_profile(ReferenceRows(years[2015].iloc[order[:50_000]], features))
                    rest = years[2015].iloc[order[50_000:]]
                    kept = [
                        describe_window(profile, profile.count(rest.sample(size, random_state=random)), str(k))
                        for k in range(past)
                    ]
                    source = rest if year == 2015 else years[year]
                    window = profile.count(source.sample(size, random_state=random))
                    found = find_drift(profile, window, "now", None, kept, data, monitor, seed=number)
                    alarms += found.signal == "alarm"
                    moved.update(found.drifted)
                low, high = beta.ppf(
                    [0.025, 0.975], [max(alarms, 1e-9), alarms + 1], [windows - alarms + 1, windows - alarms + 1e-9]
                )
                said = ", ".join(f"{c} {n}" for c, n in moved.most_common(3))
                rate = f"{alarms} of {windows} ({low:.1%} to {high:.1%})"
                print(f"  {size:,} rows of {year}, {past} past windows: {rate} {said}", flush=True)


def make_bike(source: Path, folder: Path) -> Path:
    """A project of the bikes that were hired in each hour."""
    rows = pd.read_csv(source)
    rows["at"] = pd.to_datetime(rows["dteday"]) + pd.to_timedelta(rows["hr"], unit="h")
    (folder / "data").mkdir()
    (folder / "configs").mkdir()
    rows.drop(columns=["instant", "dteday", "yr", "casual", "registered"]).to_parquet(folder / "data/rows.parquet")
    (folder / "configs/bike.yaml").write_text(BIKE)
    return folder


def live_through(name: str, root: Path, moments: tuple[str, ...]) -> None:
    """Each window's health where the first champion serves to the end."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "TRUEUP_HOME": home, "OMP_NUM_THREADS": "1"}
        for moment in moments:
            command = [sys.executable, "-m", "flows", "run", str(root / "configs" / f"{name}.yaml"), "--as-of", moment]
            subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
        print(f"\n{name}: one champion to the end")
        with sqlite3.connect(Path(home) / "ledger.db") as ledger:
            found = ledger.execute("select subject, outcome, reason, payload from entries where step = 'monitor'")
            newest = {row[0]: row[1:] for row in found}
        for batch, (health, reason, payload) in newest.items():
            facts = json.loads(payload)
            furthest = max(facts["drift"].items(), key=lambda item: item[1], default=("nothing", 0.0))
            print(f"  {batch} {health}, furthest {furthest[0]} (PSI {furthest[1]:.2f}): {reason}")
        print("  " + next(iter(reversed([json.loads(p[2])["realised"] for p in newest.values()])), ""))


if __name__ == "__main__":
    main()
