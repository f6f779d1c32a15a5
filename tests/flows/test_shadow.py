"""A challenger in shadow: it scores what the champion has scored, serves nobody, is measured as labels come, releases
nothing, and whatever becomes of it stops nothing.

Version 1 is champion and has learned from January to March; version 2, trained as of May, waits for a person.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, log_loss

from flows.champion import load_served
from flows.explain import explain
from flows.history import tell_history
from flows.look import look_again
from flows.monitor import monitor
from flows.preview import preview_turn
from flows.prune import _find_files, prune
from flows.publication import DECISION, page_paths
from flows.release import decide_by_hand
from flows.score import score
from flows.show import describe_window
from flows.summary import newest_seq, report_of
from flows.train import train
from flows.workspace import open_workspace
from tasks.backup.copying import list_files
from tasks.errors import ConfigError
from tasks.ledger import Entry, open_ledger
from tasks.registry import place_here
from tests.conftest import make_rows
from tests.flows.forking import Forks
from tests.flows.outcome import read_outcome
from tests.flows.test_small_projects import Bench
from tests.flows.turns import SHADOW, crash, finish

pytestmark = [pytest.mark.timeout(600)]
DATA = {"time": "at", "id": "key", "batch": "month", "label_delay": "10d"}
JUNE = "2024-06-01"
ROWS = ("row", "row_id")


def build(folder: Path, rows: pd.DataFrame, data: dict[str, Any], **train_by: Any) -> Bench:
    """A project `shop` with a champion."""
    bench = Bench("shop", folder / "work", folder / "home")
    bench.put("rows.parquet", rows)
    bench.write(data=data, train=train_by)
    Path(bench.file).with_suffix(".contract.yaml").write_text("columns:\n  count: {min: 0}\n")
    return bench


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """The folder that is copied: project and home, with a champion that has scored April."""
    folder = tmp_path_factory.mktemp("building")
    shutil.copytree(migrated, folder / "home")
    rows = make_rows(4_000, months=8)
    rows.loc[::150, "count"] = -3
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_HOME", str(folder / "home"))
        bench = build(folder, rows, DATA)
        train.fn(bench.file, "2024-04-01")
        score.fn(bench.file, "2024-05-01")
        assert bench.champion() == 1 and bench.entries("shadow") == []
    return folder.rename(folder.with_name("built"))


@pytest.fixture(scope="module")
def waiting(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a version that passed and waits for a person."""
    return add_challenger(built, tmp_path_factory.mktemp("proposed"), "propose", 0.5, "not_worse")


@pytest.fixture(scope="module")
def held(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a version that rows alone keep from its release."""
    return add_challenger(built, tmp_path_factory.mktemp("kept"), "hold", 0.0, "better")


def add_challenger(built: Path, folder: Path, decided: str, margin: float, rule: str) -> Path:
    bench = copy_bench(built, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_HOME", str(bench.home))
        gates = {"champion": {"rule": rule, "margin": margin}}
        bench.write(data=DATA, train={"seed": 8}, gates=gates, promotion="manual")
        train.fn(bench.file, "2024-05-01")
        score.fn(bench.file, "2024-05-01")
    assert [(e.subject, e.outcome) for e in bench.entries("release")] == [("1", "promote"), ("2", decided)]
    assert bench.entries("shadow") == [], "it has learned from April"
    return folder


def copy_bench(folder: Path, to: Path) -> Bench:
    shutil.copytree(folder, to, dirs_exist_ok=True)
    return Bench("shop", to / "work", to / "home")


@pytest.fixture
def bench(waiting: Path, tmp_path: Path) -> Iterator[Bench]:
    """A home of one's own, which is the one that this test's environment names."""
    yield copy_bench(waiting, tmp_path)


def read(bench: Bench, entry: Entry) -> pd.DataFrame:
    return pd.read_parquet(bench.home / entry.payload["path"])


def raw_rows(bench: Bench) -> pd.DataFrame:
    return pd.read_parquet(bench.root / "tables" / "rows.parquet").set_index("key")


def page(bench: Bench, version: int = 2) -> str:
    with open_workspace(bench.file, JUNE, [], "test") as workspace:
        return page_paths(workspace.project, version)[DECISION].read_text()


def break_model(bench: Bench, version: int = 2) -> None:
    """Change the version's stored model, as a bad disk would."""
    (trained,) = bench.entries("train", str(version))
    folder = place_here(bench.home / "mlflow" / "artifacts", trained.payload["uri"])
    assert folder is not None
    for path in folder.glob("model*"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")


def test_a_turn_scores_in_shadow_and_says_so(bench: Bench) -> None:
    explained = preview_turn(bench.file, JUNE, []).plan.steps
    steps = [s.action for s in explained if s.subject == "2024-05" and s.due]
    assert steps == ["validate", "score", "shadow", "monitor"]
    (due,) = [s for s in explained if s.action == "shadow"]
    assert due.why == "version 2 may take the champion's place, and has not scored it yet"
    report = bench.turn(JUNE)  # nothing is due after it
    assert report.exit_code == 0 and "shadow     2024-05: version 2's average precision" in str(report)
    (entry,) = bench.entries("shadow")
    served = bench.newest("score", "2024-05")
    assert entry.subject == "2024-05" and entry.outcome == "scored" and entry.seq == served.seq + 1
    (told,) = [s for s in preview_turn(bench.file, JUNE, []).plan.steps if s.action == "shadow"]
    assert not told.due and told.why == "scored by version 2 beside version 1"
    before = len(bench.entries())
    assert score.fn(bench.file, JUNE) == [] and monitor.fn(bench.file, JUNE) == []
    assert len(bench.entries()) == before, "twice does nothing the second time"
    check_predictions(bench, entry, served)


def check_predictions(bench: Bench, entry: Entry, served: Entry) -> None:
    """They are the version's own on the rows that the champion scored, and lie as far from its as is said."""
    one, two = read(bench, served), read(bench, entry)
    assert entry.payload["path"].startswith("shop/shadow/") and entry.payload["path"].endswith("-v2.shadow.parquet")
    assert len(two) == entry.payload["rows"] == served.payload["rows"]
    assert entry.payload["skipped"] == served.payload["skipped"] > 0
    assert all((one[c] == two[c]).all() for c in ROWS)
    with open_workspace(bench.file, JUNE, [], "test") as workspace:
        version = load_served(workspace, 2)
    asked = raw_rows(bench).loc[two["row_id"], list(version.features)]
    own = version.estimator.predict_proba(asked)[:, 1]
    assert np.array_equal(own, two["shadow_probability"])
    assert entry.payload["mean"] == pytest.approx(own.mean())
    apart = entry.payload["disagreement"]
    assert apart["rows"] == len(two)
    assert apart["distance"] == pytest.approx((one["probability"] - two["shadow_probability"]).abs().mean())
    assert apart["decisions"] == (one["prediction"] != two["shadow_prediction"]).mean()


def test_nothing_changes_for_the_champion(bench: Bench, waiting: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """With a challenger and without one the same is served, under the same name."""
    score.fn(bench.file, JUNE)
    assert len(bench.entries("shadow")) == 1
    with open_workspace(bench.file, JUNE, [], "test") as workspace:
        looked_at = workspace.project.folder / "predictions"
    other = copy_bench(waiting, tmp_path / "alone")
    monkeypatch.setenv("TRUEUP_HOME", str(other.home))
    with open_workspace(other.file, "now", [], "release", reads=False) as workspace:
        decide_by_hand(workspace, "reject", 2, "not this one", False, 1)
    score.fn(other.file, JUNE)
    assert other.entries("shadow") == []
    assert {p.name for p in looked_at.iterdir()} == {p.name for p in (other.home / "shop" / "predictions").iterdir()}
    with_one, alone = (read(b, b.newest("score", "2024-05")) for b in (bench, other))
    moment = ["scored_at"]
    pd.testing.assert_frame_equal(with_one.drop(columns=moment), alone.drop(columns=moment))
    assert bench.newest("score", "2024-05").payload == other.newest("score", "2024-05").payload


def test_it_is_found_by_nobody_who_asks_for_a_score(bench: Bench) -> None:
    score.fn(bench.file, JUNE)
    two = read(bench, bench.newest("shadow"))
    with pytest.raises(ConfigError, match="no scored row has this"):
        explain(bench.file, str(two["shadow_prediction_id"].iloc[0]))
    said = "\n".join(explain(bench.file, str(two["row_id"].iloc[0])).lines)
    assert "scored by version 1" in said


def test_labels_come(bench: Bench) -> None:
    score.fn(bench.file, JUNE)
    monitor.fn(bench.file, JUNE)
    first = bench.newest("monitor", "2024-05").payload["shadow"]
    assert 0 < first["rows"] < bench.newest("score", "2024-05").payload["rows"]
    with open_ledger(bench.home) as ledger:
        since = newest_seq(ledger, "shop")
    monitor.fn(bench.file, "2024-06-12")
    window = bench.newest("monitor", "2024-05")
    found = window.payload["shadow"]
    one, two = read(bench, bench.newest("score", "2024-05")), read(bench, bench.newest("shadow"))
    y = raw_rows(bench).loc[two["row_id"], "bought"]
    assert (found["version"], found["champion"], found["rows"], found["metric"]) == (2, 1, len(y), "average_precision")
    assert found["value"] == pytest.approx(average_precision_score(y, two["shadow_probability"]))
    assert found["champion_value"] == pytest.approx(average_precision_score(y, one["probability"]))
    assert found["champion_value"] == pytest.approx(window.payload["metrics"]["average_precision"])
    assert found["gain"] == pytest.approx(found["value"] - found["champion_value"])
    assert found["low"] < found["gain"] < found["high"] and found["confidence"] == 0.95
    assert found["disagreement"] == bench.newest("shadow").payload["disagreement"]

    shown = page(bench)
    assert "In shadow" in shown and "To look at, and no gate." in shown and f"{len(y):,} rows" in shown
    with open_workspace(bench.file, JUNE, [], "test") as workspace:
        report = report_of(workspace.project, workspace.ledger, since, "shop")
    assert f"on {len(y):,} labelled rows" in " ".join(str(report).split()) and report.exit_code == 0
    (bench.home / bench.newest("shadow").payload["path"]).unlink()
    monitor.fn(bench.file, "2024-06-12", batch="2024-05", force=True)
    assert bench.newest("monitor", "2024-05").payload["shadow"] == {}, "what a person removed stops nothing"


def test_the_pages_are_those_that_the_ledger_gives(bench: Bench) -> None:
    """They are written before the entry, so that a kill in between leaves nothing undone: they must not differ."""
    from flows.publication import publish

    score.fn(bench.file, JUNE)
    monitor.fn(bench.file, JUNE)
    made = page(bench)
    with open_workspace(bench.file, JUNE, [], "test") as workspace:
        publish(workspace, 2)
    assert page(bench) == made and "In shadow" in made


def test_a_challenger_that_cannot_be_read_stops_nothing(bench: Bench) -> None:
    break_model(bench)
    report = bench.turn(JUNE)
    assert report.exit_code == 0 and report.outcome == "done"
    assert "shadow     2024-05: version 2 failed: " in str(report)
    (entry,) = bench.entries("shadow")
    assert entry.outcome == "failed" and "digest" in entry.reason and entry.payload["path"] is None
    assert len(bench.predictions("2024-05")) > 0 and bench.newest("monitor", "2024-05").payload["shadow"] == {}
    (told,) = [s for s in preview_turn(bench.file, JUNE, []).plan.steps if s.action == "shadow"]
    assert not told.due and "could not score it" in told.why
    score.fn(bench.file, JUNE)
    assert len(bench.entries("shadow")) == 1, "not tried again on the same rows"
    assert "Could not be scored: " in page(bench)
    score.fn(bench.file, JUNE, batch="2024-05", force=True)
    assert [e.outcome for e in bench.entries("shadow")] == ["failed", "failed"]


def test_a_model_that_breaks_on_the_rows_stops_nothing(bench: Bench) -> None:
    """As one that asks for a column that it is not given."""
    (trained,) = bench.entries("train", "2")
    with open_workspace(bench.file, "2024-05-01", [], "test") as workspace:
        changed = {**trained.payload, "features": trained.payload["features"][:1]}
        workspace.record("train", "again", "2", trained.outcome, trained.reason, changed)
    assert score.fn(bench.file, JUNE) == ["2024-05"]
    (entry,) = bench.entries("shadow")
    assert entry.outcome == "failed" and "The rows lack 3 of the 4 columns" in entry.reason
    assert not list((bench.home / "shop" / "shadow").glob("*")), "no half-written file"


def test_live_figures_release_nothing(bench: Bench) -> None:
    """Whatever a window says of the version in shadow, the plan of a turn is the same, and nothing is decided."""
    score.fn(bench.file, JUNE)
    monitor.fn(bench.file, JUNE)
    window = bench.newest("monitor", "2024-05")
    decided, due = bench.entries("release"), preview_turn(bench.file, JUNE, []).due
    splendid = {**window.payload["shadow"], "value": 1.0, "gain": 0.9, "low": 0.8, "high": 1.0}
    with open_workspace(bench.file, JUNE, [], "test") as workspace:
        payload = {**window.payload, "shadow": splendid}
        workspace.record("monitor", window.key, "2024-05", window.outcome, window.reason, payload)
    assert preview_turn(bench.file, JUNE, []).due == due
    bench.turn(JUNE)
    assert bench.entries("release") == decided and bench.champion() == 1


def test_a_look_cites_it_and_judges_the_same(held: Path, tmp_path: Path, monkeypatch: Any) -> None:
    looks = []
    for name, in_shadow in (("with", True), ("without", False)):
        bench = copy_bench(held, tmp_path / name)
        monkeypatch.setenv("TRUEUP_HOME", str(bench.home))
        if in_shadow:
            score.fn(bench.file, JUNE)
            monitor.fn(bench.file, "2024-06-12")
        with open_workspace(bench.file, "2024-06-12", [], "test") as workspace:
            looks.append(look_again(workspace, 2))
    one, two = looks
    cited = one.payload["shadow"]
    assert cited["batches"] == 1 and cited["rows"] > 400 and cited["labelled"] > 400 and cited["failed"] == 0
    assert 0 < cited["disagreement"]["distance"] < 1 and cited["each"][0]["batch"] == "2024-05"
    assert two.payload["shadow"]["batches"] == 0
    assert (one.outcome, one.reason) == (two.outcome, two.reason)
    same = ("comparison", "gates", "metrics", "judged", "look", "looks")
    speed = {"speed"}
    for fact in same:
        ours, theirs = one.payload[fact], two.payload[fact]
        if fact == "gates":
            ours, theirs = ([g for g in gates if g["name"] not in speed] for gates in (ours, theirs))
        assert ours == theirs, fact


def test_history_tells_what_a_look_had_before_it(held: Path, tmp_path: Path) -> None:
    bench = copy_bench(held, tmp_path)
    score.fn(bench.file, JUNE)
    monitor.fn(bench.file, JUNE)
    report = bench.turn("2024-07-01")
    assert "look" in str(report), report
    said = " ".join(" ".join(tell_history(bench.file, None, False, None).lines).split())
    assert "in shadow 1 batch, " in said and "In shadow" in page(bench)


def test_prune(bench: Bench) -> None:
    """The newest of each batch stays while its version does; nothing of a version that is gone."""
    score.fn(bench.file, JUNE)
    old = bench.newest("shadow").payload["path"]
    rows = raw_rows(bench).reset_index()
    at = rows.index[rows["at"].dt.month == 5][0]
    rows.loc[at, "size"] = 0.25
    rows.to_parquet(bench.root / "tables" / "rows.parquet")
    score.fn(bench.file, JUNE)
    new = bench.newest("shadow").payload["path"]
    assert old != new and all((bench.home / path).is_file() for path in (old, new))
    kept = {name for _, name in list_files(bench.home)}
    assert {old, new} <= kept, "a backup holds them"
    assert "1 predictions in shadow" in "\n".join(prune(bench.file, 1, True).lines)
    prune(bench.file, 1, False)
    assert not (bench.home / old).exists() and (bench.home / new).is_file()
    with open_workspace(bench.file, JUNE, [], "test") as workspace:
        entries = workspace.ledger.entries("shop")
        assert _find_files(workspace, entries, 1, set())["predictions in shadow"] == ()
        assert _find_files(workspace, entries, 9, {2})["predictions in shadow"] == (bench.home / new,)


@pytest.mark.soak
def test_killed_before_it_is_written_down(forks: Forks, bench: Bench, tmp_path: Path) -> None:
    turn = ("--as-of", JUNE)
    other = copy_bench(tmp_path, tmp_path.with_name(f"{tmp_path.name}-undisturbed"))
    assert forks.run("run", other.file, *turn, TRUEUP_HOME=str(other.home)).code == 0
    wanted = read_outcome(other.home)
    assert [s[:3] for s in wanted.shadows] == [("2024-05", "scored", 2)]
    assert any(p.startswith("shadow/") for p in wanted.pages)
    for point in SHADOW:
        crash(forks, bench.file, bench.home, turn, point)
        assert bench.entries("shadow") == [] and bench.newest("score", "2024-05").outcome == "scored"
    finish(forks, bench.file, bench.home, turn, wanted)


@pytest.mark.soak
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks(task: str, tmp_path: Path) -> None:
    rows = make_rows(2_000, months=4)
    noise = np.random.default_rng(1).normal(size=len(rows))
    if task == "regression":
        rows["bought"] = 3 * rows["size"].fillna(0) + np.where(rows["colour"] == "red", 2.0, 0.0) + noise
    else:
        rows["bought"] = np.where(rows["size"] > 0, "yes", np.where(rows["count"] + 5 * noise > 25, "no", "perhaps"))
    metric = {"metric": "rmse" if task == "regression" else "log_loss"}
    candidate = {**metric, "candidates": ["ridge" if task == "regression" else "logistic"]}
    bench = build(tmp_path, rows, {**DATA, "label_delay": "0d"}, **candidate)
    train.fn(bench.file, "2024-03-01")
    gates = {"champion": {"margin": 100 if task == "regression" else 0.9}, "beat_baseline_by": 0}
    change = {**metric, "candidates": ["hist_gradient_boosting"]}
    bench.write(data={**DATA, "label_delay": "0d"}, train=change, gates=gates, promotion="manual")
    train.fn(bench.file, "2024-04-01")
    score.fn(bench.file, "2024-05-01")
    monitor.fn(bench.file, "2024-05-01")
    (entry,) = bench.entries("shadow")
    assert entry.subject == "2024-04" and entry.outcome == "scored", entry.reason
    one, two = read(bench, bench.newest("score", "2024-04")), read(bench, entry)
    apart, live = entry.payload["disagreement"], bench.newest("monitor", "2024-04").payload["shadow"]
    y = raw_rows(bench).loc[two["row_id"], "bought"].to_numpy()
    if task == "regression":
        distance = (one["prediction"] - two["shadow_prediction"]).abs().mean()
        assert apart["distance"] == pytest.approx(distance) and apart["decisions"] is None
        assert apart["relative"] == pytest.approx(distance / one["prediction"].std(ddof=0))
        errors = [np.sqrt(np.mean((y - p) ** 2)) for p in (two["shadow_prediction"], one["prediction"])]
        assert [live["value"], live["champion_value"]] == pytest.approx(errors)
        assert live["gain"] == pytest.approx(errors[1] - errors[0]), "a smaller error is a gain"
    else:
        columns = [f"probability_{i}" for i in range(3)]
        between = np.abs(one[columns].to_numpy() - two[[f"shadow_{c}" for c in columns]].to_numpy()).sum(axis=1) / 2
        assert apart["distance"] == pytest.approx(between.mean())
        assert apart["decisions"] == (one["prediction"] != two["shadow_prediction"]).mean()
        (classes,) = (e.payload["classes"] for e in bench.entries("train", "1"))
        losses = [log_loss(y, p, labels=classes) for p in (two[[f"shadow_{c}" for c in columns]], one[columns])]
        assert [live["value"], live["champion_value"]] == pytest.approx(losses)
    assert live["metric"] == metric["metric"] and live["rows"] == len(two)
    assert live["low"] < live["gain"] < live["high"]
    assert "In shadow" in page(bench)


def test_a_table_without_time(tmp_path: Path) -> None:
    """Files as batches: what was delivered after the challenger was trained is scored by it, and nothing else."""
    bench = Bench("shop", tmp_path / "work", tmp_path / "home")
    for number in (1, 2):
        bench.put(f"{number}.parquet", make_rows(800, seed=number).drop(columns="at"))
    bench.write(data={"id": "key", "batch": "file"})
    train.fn(bench.file)
    bench.put("3.parquet", make_rows(300, seed=3).drop(columns="at"))
    score.fn(bench.file)
    changes: dict[str, Any] = {"train": {"seed": 8}, "gates": {"champion": {"margin": 0.5}}, "promotion": "manual"}
    bench.write(data={"id": "key", "batch": "file"}, **changes)
    train.fn(bench.file)
    score.fn(bench.file)
    assert bench.entries("shadow") == [] and bench.newest("release").outcome == "propose"
    bench.put("4.parquet", make_rows(300, seed=4).drop(columns="at"))
    score.fn(bench.file)
    assert [e.subject for e in bench.entries("shadow")] == [bench.newest("score").subject]
    monitor.fn(bench.file)
    live = bench.newest("monitor", str(bench.newest("score").subject)).payload["shadow"]
    assert live["rows"] == 300 and live["low"] < live["gain"] < live["high"]


def test_the_window_on_prefects_page() -> None:
    from tasks.results import Window

    window = Window("2024-05", 1, "healthy", "fine", "none", 10, 10, {}, {})
    assert "In shadow" not in describe_window(window)
    shadow = {"version": 2, "champion": 1, "metric": "roc_auc", "rows": 1234, "value": 0.81, "champion_value": 0.8}
    shadow |= {"gain": 0.01, "low": -0.01, "high": 0.03, "disagreement": {"decisions": 0.1, "distance": 0.02}}
    shown = describe_window(Window("2024-05", 1, "healthy", "fine", "none", 10, 10, {}, {}, shadow=shadow))
    assert "version 2's ROC AUC 0.81, the champion's 0.8: +0.01" in shown.replace("\\", "") and "10.0% of" in shown
