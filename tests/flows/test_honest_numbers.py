"""The numbers a person is shown, computed again from nothing but the rows, the stored model and scikit-learn.

One full turn on the flights of January to April 2013, shared by all tests here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from flows.champion import version_of
from flows.run import run
from flows.summary import TurnReport
from flows.train import train
from tasks.ledger import Entry, open_ledger
from tasks.registry import load_version, open_registry

FLIGHTS = Path(__file__).resolve().parents[2] / "data" / "flights"
CHEAP = ["train.search.trials=1", "train.plots=false", "contract.data_docs=false"]
AS_OF = "2013-05-01"
HONEST = (0.63, 0.73)
AFTERWARDS = ["dep_time", "arr_time", "arr_delay", "air_time"]  # what flights.yaml excludes, but for dep_delay


@dataclass(frozen=True)
class Turn:
    """What a turn left behind."""

    home: Path
    report: TurnReport
    entries: tuple[Entry, ...]

    def newest(self, step: str) -> Entry:
        return [e for e in self.entries if e.step == step][-1]

    def model(self) -> Any:
        return load_version(open_registry(self.home), version_of(self.newest("train")))


def take_turn(home: Path, overrides: list[str]) -> Turn:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_HOME", str(home))
        for name in ("TRUEUP_DATABASE_URL", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        report = run("flights", AS_OF, [*CHEAP, *overrides])
        with open_ledger(home) as ledger:
            return Turn(home, report, ledger.entries("flights"))


@pytest.fixture(scope="session")
def turn(tmp_path_factory: pytest.TempPathFactory) -> Turn:
    return take_turn(tmp_path_factory.mktemp("honest"), ["train.candidates=[logistic]"])


def read_month(month: str) -> pd.DataFrame:
    return pd.read_parquet(FLIGHTS / f"{month}.parquet")


def learned_rows(turn: Turn) -> pd.DataFrame:
    """January to March as a person would read them: what was known on the first of April, without the quarantine."""
    rows = pd.concat([read_month(f"2013-0{m}") for m in (1, 2, 3)], ignore_index=True)
    known = rows["scheduled_departure"] <= pd.Timestamp("2013-04-01", tz="America/New_York") - pd.Timedelta(days=1)
    kept = [e.payload["quarantine"] for e in turn.entries if e.step == "validate" and e.payload["labels"]]
    bad = {f for path in kept if path for f in pd.read_parquet(turn.home / path)["flight_id"]}
    assert 0 < len(bad) < 1_000
    rows = rows[known & rows["late"].notna() & ~rows["flight_id"].isin(bad)]
    return rows.sort_values(["scheduled_departure", "flight_id"], ignore_index=True)


def test_the_reported_test_metrics_are_those_of_scikit_learn(turn: Turn) -> None:
    made = turn.newest("train").payload
    rows = learned_rows(turn)
    test = rows[rows["scheduled_departure"] > pd.Timestamp(made["seen"]["until"])]
    label = test["late"].astype(int).to_numpy()
    probability = turn.model().predict_proba(test[made["features"]])[:, 1]
    expected = {
        "roc_auc": roc_auc_score(label, probability),
        "average_precision": average_precision_score(label, probability),
        "log_loss": log_loss(label, probability),
        "brier": brier_score_loss(label, probability),
    }
    reported = {m["name"]: m for m in made["metrics"]}
    for name, value in expected.items():
        assert reported[name]["value"] == pytest.approx(value, abs=1e-9), name
        assert reported[name]["low"] < value < reported[name]["high"]
    assert f"{len(test):,} test rows" in made["split"]
    assert made["baseline"]["value"] == pytest.approx(label.mean(), abs=0.03)
    shown = f"{expected['average_precision']:.3g}"
    assert any("verdict" in line and shown in line for line in turn.report.lines), turn.report


def april(turn: Turn) -> pd.DataFrame:
    """April's predictions beside the labels that were known on the first of May, a day after each flight."""
    predicted = pd.read_parquet(turn.home / turn.newest("score").payload["path"])
    rows = read_month("2013-04")
    known = rows["scheduled_departure"] <= pd.Timestamp(AS_OF, tz="America/New_York") - pd.Timedelta(days=1)
    labels = rows.loc[known & rows["late"].notna(), ["flight_id", "late"]]
    joined = predicted.merge(labels, left_on="row_id", right_on="flight_id", validate="one_to_one")
    assert len(joined) > 25_000
    return joined


def test_what_april_was_worth_is_what_monitoring_says(turn: Turn) -> None:
    joined = april(turn)
    window = turn.newest("monitor")
    assert window.subject == "2013-04"
    assert window.payload["labelled"] == len(joined)
    label = joined["late"].astype(int)
    area = roc_auc_score(label, joined["probability"])
    assert HONEST[0] < area < HONEST[1]
    assert window.payload["metrics"]["roc_auc"] == pytest.approx(area, abs=1e-9)
    precision = average_precision_score(label, joined["probability"])
    assert window.payload["metrics"]["average_precision"] == pytest.approx(precision, abs=1e-9)
    assert f"{precision:.3f}".lstrip("0") in window.reason
    assert f"{joined.shape[0]:,} labelled rows" in window.reason


def test_april_was_scored_by_the_stored_model(turn: Turn) -> None:
    predicted = pd.read_parquet(turn.home / turn.newest("score").payload["path"])
    rows = read_month("2013-04").set_index("flight_id").loc[predicted["row_id"]]
    made = turn.newest("train").payload
    again = turn.model().predict_proba(rows[made["features"]])[:, 1]
    np.testing.assert_allclose(predicted["probability"], again, atol=1e-9)
    assert (predicted["prediction"] == (predicted["probability"] >= made["threshold"])).all()
    checked = turn.newest("validate").payload
    assert len(predicted) + checked["quarantined"] == len(read_month("2013-04"))


def test_the_trap_is_visible(tmp_path: Path) -> None:
    """With what is known only afterwards the AUC is too good to be true: the honest one is not an accident."""
    overrides = [f"data.exclude=[{', '.join(AFTERWARDS)}]", "data.source='data/flights/2013-0[23].parquet'"]
    home = tmp_path / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_HOME", str(home))
        train("flights", "2013-04-01", overrides=[*CHEAP, "train.candidates=[logistic]", *overrides])
    with open_ledger(home) as ledger:
        made = ledger.entries("flights", step="train")[-1].payload
    assert "dep_delay" in made["features"]
    area = next(m["value"] for m in made["metrics"] if m["name"] == "roc_auc")
    assert area > 0.85
    assert max(made["importance"], key=made["importance"].get) == "dep_delay"
    assert made["verdict"]["outcome"] == "hold"
    leaks = next(g for g in made["gates"] if g["name"] == "leaks")
    assert leaks["status"] == "inconclusive"
    assert "'dep_delay'" in leaks["sentence"]
    kinds = {sign["kind"] for sign in made["audit"]["leaks"]["signs"] if sign["column"] == "dep_delay"}
    assert kinds == {"alone decides", "filled with the label"}


def test_as_shipped_nothing_looks_like_a_leak_and_no_slice_is_blamed(turn: Turn) -> None:
    made = turn.newest("train").payload
    assert made["audit"]["leaks"]["signs"] == []
    findings = {s["name"]: s["finding"] for s in made["audit"]["slices"]["slices"]}
    assert "fail" not in findings.values()
    assert findings["carrier = HA"] == "too small", "few flights prove nothing, and hold nothing"
