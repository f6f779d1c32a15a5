"""Whole turns on small tables of many kinds, as new users bring them: the outcome, the predictions, the second run.

All projects share one home, as several projects of one team do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from flows.preview import preview_turn
from flows.release import release
from flows.run import run
from flows.summary import MOST_LINES, TurnReport
from flows.train import train
from tasks.errors import ConfigError
from tasks.ledger import Entry, open_ledger
from tests.conftest import make_rows

LATER = "2024-07-01"


@dataclass
class Bench:
    """A project of its own in the shared home."""

    name: str
    root: Path
    home: Path

    @property
    def file(self) -> str:
        return str(self.root / "configs" / f"{self.name}.yaml")

    def write(self, **sections: Any) -> None:
        """Write the project file."""
        (self.root / "configs").mkdir(parents=True, exist_ok=True)
        data = {"source": "tables/*", "target": "bought", **sections.pop("data", {})}
        train = {"candidates": ["logistic"], "search": {"trials": 1}, "plots": False, **sections.pop("train", {})}
        contract = {"data_docs": False, **sections.pop("contract", {})}
        raw = {"name": self.name, "data": data, "train": train, "contract": contract, **sections}
        Path(self.file).write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")

    def put(self, name: str, frame: pd.DataFrame) -> None:
        """Deliver a table."""
        path = self.root / "tables" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path) if name.endswith(".parquet") else frame.to_csv(path, index=False)

    def turn(self, as_of: str = LATER) -> TurnReport:
        """One turn, and what holds after every turn: a report that fits, and nothing left to do."""
        report = run(self.file, as_of)
        assert 2 <= len(report.lines) <= MOST_LINES
        assert all(len(line) < 240 for line in report.lines), report
        assert preview_turn(self.file, as_of, []).due == ()
        return report

    def entries(self, step: str | None = None, subject: str | None = None) -> list[Entry]:
        with open_ledger(self.home) as ledger:
            return [e for e in ledger.entries(self.name, step=step) if subject is None or e.subject == subject]

    def newest(self, step: str, subject: str | None = None) -> Entry:
        return self.entries(step, subject)[-1]

    def champion(self) -> int | None:
        with open_ledger(self.home) as ledger:
            champion = ledger.champion(self.name)
        return champion.version if champion else None

    def predictions(self, batch: str) -> pd.DataFrame:
        """The predictions of a batch, and what holds of all: every row once, in the labels' own form."""
        scored = self.newest("score", batch)
        checked = self.newest("validate", batch)
        frame = pd.read_parquet(self.home / scored.payload["path"])
        assert len(frame) == scored.payload["rows"]
        assert len(frame) + scored.payload["skipped"] == checked.payload["rows"]
        assert scored.payload["skipped"] == checked.payload["quarantined"]
        assert frame["prediction_id"].is_unique
        assert frame["row"].is_unique
        assert frame["probability"].between(0, 1).all()
        assert set(frame["prediction"]) <= set(self.newest("train").payload["classes"])
        return frame


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def bench(
    shared: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    monkeypatch.setenv("TRUEUP_HOME", str(shared))
    name = request.node.name.removeprefix("test_").split("[")[0].replace("_", "-")[:60]
    yield Bench(name, tmp_path / "work", shared)


def said(report: TurnReport) -> str:
    """The report as running text."""
    return " ".join(" ".join(report.lines).split())


def rows_of(count: int = 400, **more: Any) -> pd.DataFrame:
    """The shop's rows without time and id."""
    return make_rows(rows=count, **more).drop(columns=["at", "key"])


STRANGE = [
    "<script>alert(1)</script>",
    "'; DROP TABLE entries; --",
    '"quoted"',
    "../../../etc/passwd",
    "größe 😀",
    "x" * 10_000,
    "prediction",
    "probability",
    "row",
    "row_id",
    "_row",
    "_rules",
    "target",
    "time",
    "index",
    "a,b\tc",
    "col\nline",
    " padded ",
    "{{ jinja }}",
    "%s %d",
    "__class__",
    "columns",
]


def test_names_and_values_of_strangers(bench: Bench) -> None:
    rng = np.random.default_rng(3)
    rows = rows_of(500)
    for i, name in enumerate(STRANGE):
        rows[name] = rng.choice([*STRANGE[:6], "plain"], len(rows)) if i % 2 else rng.normal(size=len(rows))
    rows[""] = rng.normal(size=len(rows))
    bench.put("rows.parquet", rows)
    bench.write()
    report = bench.turn()
    assert report.exit_code == 0, report
    assert bench.champion() == 1
    predicted = bench.predictions("all")
    assert len(predicted) == 500
    learned = bench.newest("monitor")  # rows that a model was trained on tell nothing of what it is worth
    assert (learned.outcome, learned.payload["metrics"]) == ("healthy", {})
    assert "version 1 learned from these rows" in learned.reason


def test_columns_of_every_kind(bench: Bench) -> None:
    rng = np.random.default_rng(4)
    count = 1_500
    rows = rows_of(count)
    rows["nothing"] = None
    rows["same"] = "always"
    rows["zero"] = 0
    rows["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, count), unit="D")
    rows["code"] = [f"c{i}" for i in rng.integers(0, 1_200, count)]
    rows["mixed"] = [str(i) if i % 3 else "n/a?" for i in range(count)]
    rows["zip"] = [f"{i:05d}" for i in rng.integers(0, 99_999, count)]
    rows["huge"] = rng.normal(size=count) * 1e300
    rows["infinite"] = np.where(rng.random(count) < 0.01, np.inf, rng.normal(size=count))
    rows["yes"] = rng.choice([True, False, None], count)
    rows["big"] = 2**62 + rng.integers(0, 1000, count)
    rows["bought"] = np.where(rows["bought"], " did buy ", "did  not")
    bench.put("rows.csv", rows)
    bench.write(
        data={"positive": " did buy "},
        train={"candidates": ["logistic", "hist_gradient_boosting"], "search": {"trials": 2}},
    )
    report = bench.turn()
    assert report.exit_code == 0, report
    trained = bench.newest("train").payload
    assert trained["classes"] == ["did  not", " did buy "]
    assert set(trained["dropped_features"]) == {"nothing", "same", "zero", "zip"}  # zip: hardly any value comes twice
    assert set(bench.predictions("all")["prediction"]) == {"did  not", " did buy "}


def test_file_batches_without_time(bench: Bench) -> None:
    """Text labels, a duplicate id, a delivery that breaks the contract, one that comes again with other rows."""
    contract = Path(bench.file).with_name(f"{bench.name}.contract.yaml")
    names = {True: "yes", False: "no"}
    first, second, third, fourth = (
        make_rows(rows=500, seed=i).drop(columns="at").assign(bought=lambda f: f["bought"].map(names)) for i in range(4)
    )
    bench.put("a.csv", first)
    bench.put("b.csv", pd.concat([second, second.tail(3)]))
    bench.write(data={"id": "key", "batch": "file"})
    contract.write_text("columns:\n  key: {unique: true, missing: 0}\n  size: {type: number, missing: 20%, min: -9}\n")
    report = bench.turn()
    assert report.exit_code == 0, report
    assert bench.newest("train").payload["classes"] == ["no", "yes"]
    assert bench.newest("train").payload["batches"] == ["a"]
    assert len(bench.predictions("b")) == 497  # all rows of an id that is there twice are in quarantine
    assert set(bench.predictions("b")["prediction"]) == {"no", "yes"}

    bench.put("c.csv", third.assign(size="broken"))
    report = bench.turn()
    assert (report.exit_code, report.outcome) == (1, "refused")
    assert any("refused" in line and "c:" in line and "size" in line for line in report.lines), report
    assert bench.newest("monitor", "c").outcome == "broken"
    assert not bench.entries("score", "c")
    assert bench.turn().exit_code == 0  # reported once

    bench.put("c.csv", third)
    assert bench.turn().exit_code == 0
    assert len(bench.predictions("c")) == 500
    before = bench.newest("score", "c").payload["path"]
    bench.put("c.csv", fourth)
    assert bench.turn().exit_code == 0
    after = bench.newest("score", "c").payload["path"]
    assert after != before
    assert (bench.home / before).exists()  # the old revision stands beside the new one
    assert set(bench.predictions("c")["row_id"]) == set(fourth["key"])


def test_days_whose_labels_come_late(bench: Bench) -> None:
    rows = make_rows(rows=1_200, months=2, start="2024-02-01").rename(columns={"at": "when"})
    rows["bought"] = rows["bought"].astype(int)
    known = rows.assign(bought=rows["bought"].where(rows["when"] < "2024-03-25 12:00").astype("Int64"))
    for frame in (rows, known):
        frame["when"] = frame["when"].dt.strftime("%d.%m.%Y %H:%M")
    bench.put("rows.csv", known)
    when = {"time": "when", "time_format": "%d.%m.%Y %H:%M", "timezone": "Europe/Berlin", "id": "key", "batch": "day"}
    bench.write(data={**when, "label_delay": "6h"})
    report = bench.turn("2024-03-26")
    assert report.exit_code == 0, report
    assert bench.newest("train").payload["classes"] == [0, 1]
    scored = [e.subject for e in bench.entries("score")]
    assert scored == ["2024-03-25"]
    report = bench.turn("2024-03-27")
    assert [e.subject for e in bench.entries("score")] == ["2024-03-25", "2024-03-26"]
    assert bench.newest("monitor", "2024-03-26").payload["labelled"] == 0
    with pytest.raises(ConfigError, match="lies before the end of batch 2024-03-26"):
        run(bench.file, "2024-03-15")
    bench.put("rows.csv", rows)  # the labels are filled in
    bench.turn("2024-03-28")
    filled = bench.newest("monitor", "2024-03-26").payload
    assert filled["labelled"] == filled["rows"] > 10
    assert len(bench.entries("score", "2024-03-26")) == 1  # what the model sees did not change


def test_a_person_decides(bench: Bench) -> None:
    """Manual promotion, a changed project file, approval, a comparison, and the way back."""
    rows = make_rows(rows=1_500, months=3)
    bench.put("rows.parquet", rows)
    data = {"time": "at", "id": "key"}
    bench.write(data=data, promotion="manual")
    report = run(bench.file, LATER)
    assert bench.champion() is None
    assert report.exit_code == 0
    assert f"trueup approve {bench.file} 1 --reason" in said(report), report
    assert release(bench.file, "approve", "looked at it", 1) == f"{bench.name}: version 1 is champion."
    assert bench.champion() == 1
    report = bench.turn()
    assert [e.subject for e in bench.entries("score")] == ["2024-03"]

    bench.write(
        data=data, promotion="manual", train={"candidates": ["logistic"], "class_weight": "balanced"},
        gates={"champion": {"margin": 0.5}},
    )  # fmt: skip
    report = bench.turn()
    assert f"trueup approve {bench.file} 2 --reason" in said(report), report
    trained = bench.newest("train").payload
    assert trained["compared_with"] == 1
    assert trained["comparison"]["other"] == "champion"
    with pytest.raises(ConfigError, match="version 1 is the champion already"):
        release(bench.file, "rollback", "to the same one", 1)
    with pytest.raises(ConfigError, match="version 2 never was champion"):
        release(bench.file, "rollback", "to one that never was", 2)
    release(bench.file, "approve", "as good as the other", 2)
    assert bench.champion() == 2
    (bench.root / "tables" / "rows.parquet").rename(bench.root / "rows.away")  # a release needs no source
    release(bench.file, "rollback", "the weights were a mistake", 1)
    assert bench.champion() == 1
    (bench.root / "rows.away").rename(bench.root / "tables" / "rows.parquet")
    assert bench.turn().exit_code == 0
    assert bench.champion() == 1


def test_groups_and_costs(bench: Bench) -> None:
    rng = np.random.default_rng(5)
    rows = rows_of(900).assign(household=lambda f: rng.integers(0, 150, len(f)))
    bench.put("rows.csv.gz", rows)
    bench.write(
        data={"group": "household"},
        train={
            "metric": "expected_cost",
            "costs": {"false_positive": 1, "false_negative": 5},
            "candidates": ["random_forest"],
        },
        gates={"beat_baseline_by": 0},
    )
    report = bench.turn()
    trained = bench.newest("train").payload
    assert trained["metric"] == "expected_cost"
    assert trained["threshold"] == pytest.approx(1 / 6, abs=0.15)
    assert "group" in trained["split"]
    assert trained["verdict"]["outcome"] in ("promote", "hold"), report


@pytest.mark.parametrize("count", [60])
def test_sixty_rows_are_too_few_to_tell(count: int, bench: Bench) -> None:
    bench.put("rows.csv", rows_of(count))
    bench.write()
    report = bench.turn()
    assert bench.newest("train").outcome in ("hold", "reject", "promote")
    assert any("test rows" in line for line in report.lines), report


def test_one_in_a_hundred(bench: Bench) -> None:
    rng = np.random.default_rng(6)
    rows = rows_of(4_000)
    rows["bought"] = rng.random(4_000) < 1 / (1 + np.exp(5.6 - 2.0 * rows["size"].fillna(0)))
    bench.put("rows.parquet", rows)
    bench.write(train={"class_weight": "balanced"})
    report = bench.turn()
    assert bench.newest("train").outcome in ("promote", "hold"), report
    if bench.champion():
        assert len(bench.predictions("all")) == 4_000


def test_noise_is_not_released(bench: Bench) -> None:
    rng = np.random.default_rng(8)
    rows = pd.DataFrame({"x": rng.normal(size=2_000), "bought": rng.random(2_000) < 0.5})
    bench.put("rows.parquet", rows)
    bench.write(gates={"beat_baseline_by": 0.1})
    report = bench.turn()
    assert (report.exit_code, report.outcome) == (1, "reject")
    assert bench.champion() is None
    assert not bench.entries("score")
    assert "no champion yet" in "\n".join(report.lines)


def test_a_leak_that_became_champion_can_be_replaced(bench: Bench) -> None:
    """A column known only afterwards makes a perfect model; once it is excluded, no honest one could beat that."""
    rows = make_rows(rows=900, months=3)
    bench.put("rows.parquet", rows.assign(refund=np.where(rows["bought"], 0.0, 1.0)))
    data = {"time": "at", "id": "key"}
    bench.write(data=data)
    report = bench.turn()
    assert (report.exit_code, bench.champion()) == (0, None), "held"
    assert "'refund'" in said(report), report
    assert "data.known_in_time" in said(report), report
    assert not bench.turn().exit_code, "nor is it tried again"
    bench.write(data={**data, "known_in_time": ["refund"]})  # a person was sure, and wrong
    report = bench.turn()
    assert bench.champion() == 2
    assert "is 'refund' known in time?" not in said(report), "that was answered"
    bench.write(data={**data, "exclude": ["refund"]})
    report = bench.turn()
    trained = bench.newest("train")
    assert (trained.outcome, bench.champion()) == ("hold", 2), "a file's edit alone releases nothing"
    assert "reads 'refund', which the project file no longer allows" in said(report), report
    assert "trueup promote" in said(report), report
    release(bench.file, "promote", "refund is known only afterwards", 3)
    assert bench.champion() == 3


def test_what_was_refused_is_not_learned_from_either(bench: Bench) -> None:
    rows = make_rows(rows=1_200, months=4)
    month = rows["at"].dt.strftime("%Y-%m")
    for name in ("2024-01", "2024-02", "2024-03"):
        bench.put(f"{name}.parquet", rows[month == name])
    bench.write(data={"time": "at", "id": "key"})
    bench.turn()
    assert bench.champion() == 1
    bench.put("2024-04.parquet", rows[month == "2024-04"].rename(columns={"colour": "color"}))
    report = bench.turn()
    assert report.exit_code == 1
    assert bench.newest("validate", "2024-04").outcome == "refused"
    train(bench.file, LATER)
    trained = bench.newest("train").payload
    assert trained["batches"] == ["2024-01", "2024-02", "2024-03"]
    assert trained["refused"] == ["2024-04"]
