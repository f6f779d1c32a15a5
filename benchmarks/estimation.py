"""Estimates without labels beside what came true: `python -m benchmarks.estimation [--shared FOLDER] [--quick]`.

Champions are trained as `trueup train` does, but for the gates; their windows stream through the estimator without
labels, and then the labels are looked at. benchmarks/estimation.md has the last figures and what they mean. The census
and the bicycles are read from `--shared`; where they are not there this is said, and the flights of the project remain.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.config import LoadedProject, load_project
from tasks.config.project import Project
from tasks.data.split import split_training_rows
from tasks.monitoring.encoding import FeatureCodes
from tasks.monitoring.estimation import PerformanceEstimator, make_estimator
from tasks.monitoring.reference import RoleNames, make_reference
from tasks.results import TrainingFrame
from tasks.stats.intervals import block_rows, deal_rows, replicate, two_sided
from tasks.stats.metrics import METRICS, OperatingPoint, TaskType
from tasks.stats.prediction import predict_rows
from tasks.training.model import fit_model
from tasks.training.search import search_candidates

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path("shared/data")
CHUNK = 65_536
REFERENCE_ROWS = 5_000
Array = np.ndarray


@dataclass(frozen=True)
class Champion:
    """A trained model with what it leaves behind, and all rows of its table with its predictions in `p`."""

    rows: pd.DataFrame  # features, `y`, `p`, `day` (None where rows are independent), `part`: fit, test or later
    features: tuple[str, ...]
    task: TaskType
    reference: pd.DataFrame
    at: OperatingPoint
    said: str

    @property
    def test(self) -> pd.DataFrame:
        """The rows that judged it."""
        return self.rows[self.rows["part"] == "test"]


def train(rows: pd.DataFrame, spec: Project, learn: Array, time_column: str | None) -> Champion:
    """Train on the rows that `learn` (n,) marks, by the project's own split, search and fit."""
    data = spec.data
    task: TaskType = data.task or "binary"
    features = tuple(c for c in rows.columns if c not in data.not_features and c not in ("y", "day", "part"))
    known = rows[learn].reset_index(drop=True)
    frame = TrainingFrame(
        known.drop(columns=["y", "day"]), known["y"], task, () if task == "regression" else (0, 1), features,
        known[time_column] if time_column else None, known[data.group] if data.group else None, "", ("all",),
    )  # fmt: skip
    split = split_training_rows(frame, LoadedProject(spec, ROOT / "configs" / "x.yaml", ROOT, ROOT))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fit_model(frame, split, spec, search_candidates(frame, split, spec))
    served = TrainingFrame(
        frame.frame, frame.target, task, frame.classes, model.features, frame.time, frame.group, "", ("all",)
    )
    rows = rows.assign(p=predict_rows(model.estimator, rows[list(model.features)], task), part="later")
    positions = np.flatnonzero(learn)
    rows.iloc[positions, rows.columns.get_loc("part")] = "fit"
    test = positions[list(split.test)]
    rows.iloc[test, rows.columns.get_loc("part")] = "test"
    reference = make_reference(
        served, split, rows["p"].to_numpy()[test], rows=REFERENCE_ROWS, seed=spec.train.seed, threshold=model.threshold
    )
    at = OperatingPoint(0.5 if model.threshold is None else model.threshold)
    return Champion(rows, model.features, task, reference, at, f"{model.candidate}, {model.calibration.split(':')[0]}")


# ---------------------------------------------------------------- ways to estimate


def estimate(champion: Champion, estimator: PerformanceEstimator, window: pd.DataFrame) -> Any:
    """What the product says of a window, read in chunks and without labels."""
    once = estimator.begin_again()
    for start in range(0, len(window), CHUNK):
        part = window.iloc[start : start + CHUNK]
        blocks = None if part["day"].isna().all() else part["day"]
        once.add(part[list(champion.features)], part["p"].to_numpy(), blocks, np.arange(start, start + len(part)))
    return once.estimate()


def weigh_labels(metric: str, believed: Array, given: Array) -> float:
    """A metric of classes where each row counts `believed` as positive and the rest as negative."""
    from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

    y, p = np.repeat([1, 0], len(given)), np.tile(given, 2)
    weight = np.concatenate([believed, 1 - believed])
    if metric == "roc_auc":
        return float(roc_auc_score(y, p, sample_weight=weight))
    if metric == "average_precision":
        return float(average_precision_score(y, p, sample_weight=weight))
    return float(log_loss(y, np.clip(p, 1e-15, 1 - 1e-15), sample_weight=weight))


def list_ways(champion: Champion) -> dict[str, Callable[[pd.DataFrame, str], float]]:
    """Other ways, by name, on at most 6,000 rows of a window."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.isotonic import IsotonicRegression
    from sklearn.model_selection import cross_val_predict

    names, reference = RoleNames.beside(champion.features), champion.reference
    y, given = reference[names.target].to_numpy(), reference[names.probability].to_numpy()
    codes = FeatureCodes(reference, champion.features, y - given, given)

    def see(frame: pd.DataFrame, score: Array) -> Array:
        return np.nan_to_num(np.c_[codes.encode(frame), score], nan=-9_999.0)

    seen = see(reference, given)

    def calibrate(weight: Array | None = None) -> IsotonicRegression:
        return IsotonicRegression(out_of_bounds="clip").fit(given, y, sample_weight=weight)

    alone = calibrate()
    forest = RandomForestClassifier(40, min_samples_leaf=25, max_features=0.6, random_state=0).fit(seen, y)

    def weigh(rows: pd.DataFrame) -> Array:
        """The reference's calibration with rows weighed as they are frequent in the window (Bialek et al. 2024)."""
        both = np.concatenate([seen, see(rows, rows["p"].to_numpy())[:REFERENCE_ROWS]])
        side = np.repeat([0, 1], [len(seen), len(both) - len(seen)])
        model = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=8, random_state=0)
        chance = cross_val_predict(model, both, side, cv=3, method="predict_proba")[: len(seen), 1]
        return np.asarray(calibrate(np.clip(chance / (1 - chance), 0.02, 50)).predict(rows["p"]))

    believed: dict[str, Callable[[pd.DataFrame], Array]] = {
        "its own confidence": lambda rows: rows["p"].to_numpy(),
        "calibrated": lambda rows: alone.predict(rows["p"]),
        "weighed": weigh,
        "forest": lambda rows: forest.predict_proba(see(rows, rows["p"].to_numpy()))[:, 1],
    }

    def make(way: Callable[[pd.DataFrame], Array]) -> Callable[[pd.DataFrame, str], float]:
        def tell(window: pd.DataFrame, metric: str) -> float:
            rows = window.sample(min(6_000, len(window)), random_state=0)
            return weigh_labels(metric, way(rows), rows["p"].to_numpy())

        return tell

    return {name: make(way) for name, way in believed.items()}


# ---------------------------------------------------------------- what is compared


@dataclass
class Comparison:
    """Windows of one champion by one metric."""

    title: str
    metric: str
    constant: float
    rows: list[dict[str, float]] = field(default_factory=list)

    def table(self) -> pd.DataFrame:
        """One row per window, with the distance of each way."""
        return pd.DataFrame(self.rows)

    def say(self, details: bool) -> None:
        """Print it."""
        found = self.table()
        print(f"\n### {self.title}: {self.metric}\n")
        if details:
            print("| window | rows | new values | constant | estimated | realised | off | constant off | moved |")
            print("|---|---|---|---|---|---|---|---|---|")
            for row in found.itertuples():
                print(
                    f"| {row.window} | {row.n:,} | {row.strange:.0%} | {self.constant:.3f} "
                    f"| {row.estimated:.3f} [{row.low:.3f}, {row.high:.3f}] "
                    f"| {row.realised:.3f} [{row.real_low:.3f}, {row.real_high:.3f}] "
                    f"| {row.estimated - row.realised:+.3f} | {self.constant - row.realised:+.3f} "
                    f"| {'yes' if row.moved else ''} |"
                )
            print()
        ways = [c.removeprefix("way ") for c in found if c.startswith("way ")]
        print(
            f"| windows | count | constant | **trueup** |{''.join(f' {w} |' for w in ways)} inside | intervals meet |"
        )
        print("|---|---|---|---|" + "---|" * (len(ways) + 2))
        for name, part in (
            ("all", found),
            ("performance moved", found[found["moved"]]),
            ("it did not", found[~found["moved"]]),
        ):
            if not len(part):
                continue
            off = [np.abs(self.constant - part["realised"]).mean(), np.abs(part["estimated"] - part["realised"]).mean()]
            off += [np.abs(part[f"way {w}"] - part["realised"]).mean() for w in ways]
            inside = (part["low"] <= part["realised"]) & (part["realised"] <= part["high"])
            meet = (part["low"] <= part["real_high"]) & (part["real_low"] <= part["high"])
            cells = " | ".join(f"{o:.4f}" if o < 1 else f"{o:.2f}" for o in off)
            print(f"| {name} | {len(part)} | {cells} | {inside.mean():.0%} | {meet.mean():.0%} |")
        sys.stdout.flush()


def compare(
    champion: Champion, title: str, windows: pd.Series[Any], metrics: Sequence[str], ways: bool = True
) -> Iterator[Comparison]:
    """Estimates of the windows that `windows` (n,) names, beside what came true."""
    others = list_ways(champion) if ways and champion.task == "binary" else {}
    classes = () if champion.task == "regression" else (0, 1)
    later = champion.rows["part"] == "later"
    for name in metrics:
        metric = METRICS[name]
        estimator = make_estimator(
            champion.reference, champion.features, task=champion.task, classes=classes, at=champion.at, metric=name
        )
        test = champion.test
        constant = metric.compute(test["y"].to_numpy(), test["p"].to_numpy(), champion.at)
        found = Comparison(f"{title} ({champion.said})", name, constant)
        for key, window in champion.rows[later].groupby(windows[later], sort=True):
            said = estimate(champion, estimator, window)
            value = said.metrics[0]
            y, p = window["y"].to_numpy(), window["p"].to_numpy()
            dealt = window["day"].isna().all()
            blocks = deal_rows(len(y), 0) if dealt else block_rows(window["day"].tolist(), "days", ordered=True)
            made = replicate(metric, y, p, blocks, champion.at, y if champion.task == "binary" else None)
            low, high = two_sided(metric, made, 0.95)
            if not np.isfinite(low):  # a window of one day: its rows as they are
                made = replicate(metric, y, p, deal_rows(len(y), 0), champion.at)
                low, high = two_sided(metric, made, 0.95)
            found.rows.append(
                {
                    "window": key, "n": len(window), "strange": said.strange, "estimated": value.value,
                    "low": value.low, "high": value.high, "realised": made.value, "real_low": low, "real_high": high,
                    "moved": not low <= constant <= high,
                    **{f"way {way}": tell(window, name) for way, tell in others.items()},
                }
            )  # fmt: skip
        yield found


# ---------------------------------------------------------------- tables


def read_flights() -> tuple[pd.DataFrame, Project, pd.Series[Any]]:
    """The project's flights with a label, its file, and the local time of each."""
    spec = load_project(ROOT / "configs" / "flights.yaml").spec
    rows = pd.concat([pd.read_parquet(f) for f in sorted((ROOT / "data" / "flights").glob("*.parquet"))])
    rows = rows[rows["late"].notna()].reset_index(drop=True)
    local = rows["scheduled_departure"].dt.tz_convert("America/New_York")
    rows["y"], rows["day"] = rows["late"].astype(int), local.dt.strftime("%Y-%m-%d")
    return rows, spec, local


def change(spec: Project, **train: Any) -> Project:
    """The same project file with other settings of `train`."""
    return spec.model_copy(update={"train": spec.train.model_copy(update=train)})


def run_flights(quick: bool) -> None:
    """Champions of several periods; months, weeks and days later."""
    rows, spec, local = read_flights()
    month, week = local.dt.strftime("%Y-%m"), local.dt.strftime("%G-W%V")
    champion = train(rows, spec, (local.dt.month <= 3).to_numpy(), "scheduled_departure")
    for found in compare(champion, "Flights of January to March, by month", month, ("roc_auc", "average_precision")):
        found.say(details=True)
    for found in compare(champion, "The same, by week", week, ("roc_auc",)):
        found.say(details=False)
    if quick:
        return
    for found in compare(champion, "The same, by day", champion.rows["day"], ("roc_auc",), ways=False):
        found.say(details=False)
    boosted = change(spec, candidates=("hist_gradient_boosting",))
    linear = change(spec, candidates=("logistic",))
    for first, last, one in ((1, 3, boosted), (1, 6, boosted), (4, 6, linear), (4, 6, boosted), (6, 8, linear)):
        learn = ((local.dt.month >= first) & (local.dt.month <= last)).to_numpy()
        seen = (local.dt.month <= last).to_numpy()
        kept = learn | ~seen
        other = train(rows[kept].reset_index(drop=True), one, learn[kept], "scheduled_departure")
        months = month[kept].reset_index(drop=True)
        title = f"Flights of months {first} to {last}, by month"
        for found in compare(other, title, months, ("roc_auc",), ways=False):
            found.say(details=False)


def run_census(folder: Path) -> None:
    """Employment in Massachusetts: the first year is learned from, the others come in portions of 5,000 rows."""
    path = folder / "acs_employment_ma" / "employment_ma.parquet"
    if not path.exists():
        print(f"\n### Census: not there ({path}), left out")
        return
    rows = pd.read_parquet(path).sort_values("id", ignore_index=True)
    texts = [c for c in rows.columns if isinstance(rows[c].dtype, pd.CategoricalDtype)]
    rows = rows.assign(**{c: rows[c].astype(str) for c in texts}, y=rows["employed"].astype(int), day=None)
    spec = Project.model_validate(
        {
            "name": "census", "data": {"source": "x", "target": "employed", "id": "id", "exclude": ["year"]},
            "train": {"metric": "roc_auc", "search": {"trials": 6, "seconds": 60}, "seed": 7},
        }
    )  # fmt: skip
    champion = train(rows, spec, (rows["year"] == 2015).to_numpy(), None)
    portion = pd.Series(np.arange(len(rows)) // 5_000).map("rows {:02d}".format)
    for found in compare(champion, "Census 2015, portions of later years", portion, ("roc_auc", "average_precision")):
        found.say(details=found.metric == "roc_auc")


def run_bicycles(folder: Path) -> None:
    """Rented bicycles per hour: half a year is learned from, and the demand grows."""
    path = folder / "bike_sharing_dc" / "hour.csv"
    if not path.exists():
        print(f"\n### Bicycles: not there ({path}), left out")
        return
    rows = pd.read_csv(path).drop(columns=["instant", "casual", "registered", "yr"])
    rows["at"] = pd.to_datetime(rows["dteday"], utc=True) + pd.to_timedelta(rows["hr"], unit="h")
    rows = rows.assign(y=rows["cnt"].astype(float), day=rows["dteday"])
    spec = Project.model_validate(
        {
            "name": "bicycles",
            "data": {"source": "x", "target": "cnt", "time": "at", "task": "regression", "exclude": ["dteday"]},
            "train": {"metric": "mae", "search": {"trials": 6, "seconds": 60}, "seed": 7},
        }
    )  # fmt: skip
    month = rows["dteday"].str[:7]
    champion = train(rows, spec, (month < "2011-07").to_numpy(), "at")
    for found in compare(champion, "Bicycles of January to June 2011, by month", month, ("mae",)):
        found.say(details=True)
    # No change of concept: half of the days of both years are learned from, at random; the windows are of the others.
    days = pd.Series(rows["dteday"].unique())
    chosen = set(days.sample(frac=0.5, random_state=1))
    grouped = spec.model_copy(
        update={
            "data": spec.data.model_copy(update={"time": None, "group": "dteday", "exclude": ("at",)}),
        }
    )
    champion = train(rows, grouped, rows["dteday"].isin(chosen).to_numpy(), None)
    of_year = rows["dteday"].str[5:7].radd("month ")
    for found in compare(champion, "Bicycles, half of the days of both years, by month of the year", of_year, ("mae",)):
        found.say(details=False)
    part = rows["hr"].map(lambda hour: f"hours {hour // 4 * 4:02d} to {hour // 4 * 4 + 3:02d}")
    for found in compare(champion, "The same, by time of day", part, ("mae",)):
        found.say(details=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimation", description=main.__doc__)
    parser.add_argument("--shared", type=Path, default=SHARED, help="the folder of the census and the bicycles")
    parser.add_argument("--quick", action="store_true", help="one champion of the flights only")
    options = parser.parse_args()
    begun = time.monotonic()
    run_flights(options.quick)
    run_census(options.shared)
    run_bicycles(options.shared)
    print(f"\n{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
