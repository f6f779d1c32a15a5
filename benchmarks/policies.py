"""Policies of retraining on real pasts: the growth of bike sharing, a census that hardly changes, and the flights.

    python -m benchmarks.policies --data FOLDER [--only bike,census,flights] [--keep FOLDER]

FOLDER holds `bike_sharing_dc/hour.csv` and `acs_employment_ma/employment_ma.parquet`; what is not there is left out.
The flights are the project's own. Prints what benchmarks/policies.md says; --keep leaves the pages and tables there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.windows import make_bike

ROOT = Path(__file__).parents[1]
CENSUS = """
name: census
data: {source: data/rows.parquet, target: employed, time: at, batch: month, exclude: [year]}
train: {metric: average_precision, candidates: [logistic, hist_gradient_boosting], search: {trials: 3}}
monitor: {false_alarms: 1 per year}
"""
PASTS = {
    "bike": ("2011-04", "2012-12", "never,monthly,on-health"),
    "census": ("2016-01", "2018-12", "never,on-health"),
    "flights": ("2013-04", "2013-12", "never,monthly,on-health"),
}


def main() -> None:
    """Live through each past, and print what each policy came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("shared/data"))
    parser.add_argument("--only", default=",".join(PASTS))
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as spare:
        for name in asked.only.split(","):
            folder = (asked.keep or Path(spare)) / name
            folder.mkdir(parents=True, exist_ok=True)
            root = find_project(name, asked.data, folder)
            if root is None:
                print(f"{name}: left out, its rows are not below {asked.data}")
            else:
                live_through(name, root, folder)


def find_project(name: str, data: Path, folder: Path) -> Path | None:
    """The root of a project's folder, made where it is not the project's own; None where its rows are not there."""
    source = {"bike": "bike_sharing_dc/hour.csv", "census": "acs_employment_ma/employment_ma.parquet"}.get(name)
    if source is None:
        return ROOT
    if not (data / source).is_file():
        return None
    if not (folder / "configs").is_dir():
        (make_bike if name == "bike" else make_census)(data / source, folder)
    return folder


def make_census(source: Path, folder: Path) -> Path:
    """A project of the census, with the people of each year spread over its months."""
    rows = pd.read_parquet(source)
    random = np.random.default_rng(7)
    day = pd.to_timedelta(random.integers(0, 365, len(rows)), unit="D")
    rows["at"] = pd.to_datetime(rows["year"].astype(int).astype(str) + "-01-01").to_numpy() + day
    (folder / "data").mkdir()
    (folder / "configs").mkdir()
    coded = {name: "str" for name in rows if name not in ("id", "employed", "year", "AGEP", "at")}
    rows.astype(coded).sort_values("at", kind="stable").to_parquet(folder / "data/rows.parquet", index=False)
    (folder / "configs/census.yaml").write_text(CENSUS)
    return folder


def live_through(name: str, root: Path, folder: Path) -> None:
    """Replay a past, and print its tables."""
    begin, end, policies = PASTS[name]
    environment = {**os.environ, "TRUEUP_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "flows", "replay", str(root / "configs" / f"{name}.yaml")]
    options = ["--from", begin, "--to", end, "--policy", policies, "--set", "train.search.trials=3"]
    since = time.monotonic()
    ended = subprocess.run([*command, *options], cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    print(f"\n{name}: {time.monotonic() - since:.0f} s\n{ended.stdout}{ended.stderr if ended.returncode else ''}")
    for table in ("policies", "decisions", "staleness"):
        for path in sorted((folder / "home" / "replays").glob(f"*/{table}.csv")):
            print(f"{path.name}\n{path.read_text(encoding='utf-8')}", flush=True)


if __name__ == "__main__":
    main()
