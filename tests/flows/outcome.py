"""What a home holds, as values that can be compared: how an interrupted turn ended against one that was not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.ledger import Entry, Head, Ledger, open_ledger

PROJECT = "shop"


@dataclass(frozen=True)
class Outcome:
    """What must be the same, however often a turn was cut off."""

    champion: int | None
    challenger: int | None
    trainings: tuple[tuple[str, str], ...]  # version, verdict
    releases: tuple[tuple[str, str], ...]
    checked: tuple[tuple[str, str, bool], ...]  # batch, outcome, with labels
    predictions: dict[str, dict[str, float]]  # per batch: id -> probability
    shadows: tuple[tuple[str, str, int, str], ...]  # batch, outcome, version, what was said
    windows: tuple[tuple[str, str, int, int, str], ...]  # batch, health, rows, labelled, sentence
    window_steps: int  # of the monitoring runs in MLflow
    pages: tuple[str, ...]  # final names under the project's folder and in Evidently's workspace


def read_outcome(home: Path) -> Outcome:
    """Read a home and check what must hold for any: nothing doubled, nothing half done, aliases as the ledger says."""
    with open_ledger(home) as ledger:
        entries = ledger.entries(PROJECT)
        by_step = {step: [e for e in entries if e.step == step] for step in {e.step for e in entries}}
        for step in ("train", "score", "shadow", "monitor", "validate"):
            keys = [e.key for e in by_step.get(step, [])]
            assert len(keys) == len(set(keys)), f"{step}: something was recorded twice"
        _check_chain(home, ledger)
        standing = ledger.standing(PROJECT)
        champion = standing.champion
        aliases = {
            "champion": champion.version if champion else None,
            "previous": champion.previous if champion else None,
            "challenger": standing.challenger,
        }
    _check_registry(home, by_step.get("train", []), aliases)
    _check_files(home)
    return Outcome(
        champion=aliases["champion"],
        challenger=standing.challenger,
        trainings=tuple((str(e.subject), e.outcome) for e in by_step.get("train", [])),
        releases=tuple((str(e.subject), e.outcome) for e in by_step.get("release", [])),
        checked=tuple(
            sorted((str(e.subject), e.outcome, bool(e.payload["labels"])) for e in by_step.get("validate", []))
        ),
        predictions=_read_predictions(home, by_step.get("score", []), by_step.get("validate", [])),
        shadows=tuple((str(e.subject), e.outcome, e.payload["version"], e.reason) for e in by_step.get("shadow", [])),
        windows=tuple(
            (str(e.subject), e.outcome, e.payload["rows"], e.payload["labelled"], e.reason)
            for e in by_step.get("monitor", [])
        ),
        window_steps=_ask(home / "mlflow" / "mlflow.db", "SELECT count(*) FROM metrics WHERE key = 'window/rows'")[0][
            0
        ],
        pages=tuple(sorted(_list_pages(home))),
    )


def flow_runs(home: Path) -> dict[str, int]:
    """How many flow runs Prefect has in each state."""
    return dict(_ask(home / "prefect" / "prefect.db", "SELECT state_type, count(*) FROM flow_run GROUP BY 1"))


def _check_chain(home: Path, ledger: Ledger) -> None:
    query = "SELECT value FROM registered_model_tags WHERE key = 'trueup.ledger_head'"
    ((noted,),) = _ask(home / "mlflow" / "mlflow.db", query)
    number, digest = noted.split()
    found = ledger.verify(PROJECT, Head(int(number), digest))
    assert found.holds, found.sentence


def _check_registry(home: Path, trainings: list[Entry], aliases: dict[str, int | None]) -> None:
    store = home / "mlflow" / "mlflow.db"
    found = dict(_ask(store, "SELECT alias, version FROM registered_model_aliases"))
    assert found == {name: version for name, version in aliases.items() if version is not None}
    keys = [row[0] for row in _ask(store, "SELECT value FROM model_version_tags WHERE key = 'trueup.training_key'")]
    assert sorted(keys) == sorted(e.key for e in trainings), "versions and trainings are not one to one"
    assert _ask(store, "SELECT count(*) FROM runs WHERE status = 'RUNNING'") == [(0,)]
    finished = {r[0] for r in _ask(store, "SELECT run_uuid FROM runs WHERE status = 'FINISHED'")}
    assert {e.payload["run_id"] for e in trainings} <= finished
    linked = _ask(store, "SELECT count(*) FROM logged_model_tags WHERE tag_key = 'mlflow.modelVersions'")
    assert linked == [(len(trainings),)]


def _check_files(home: Path) -> None:
    folders = [home / PROJECT, home / "evidently", home / "scratch", home / "mlflow"]
    left = [p for folder in folders for p in folder.rglob("*") if p.name.endswith(".tmp") or p.name.startswith(".")]
    assert left == [], "temporary files are left"


def _read_predictions(home: Path, scored: list[Entry], checked: list[Entry]) -> dict[str, dict[str, float]]:
    """Each batch's predictions, after a look at whether each was scored once, whole, and into one file."""
    batches = [str(e.subject) for e in scored]
    assert len(batches) == len(set(batches)), "a batch was scored twice"
    folder = home / PROJECT / "predictions"
    there = set(folder.iterdir()) if folder.exists() else set()
    assert there == {home / e.payload["path"] for e in scored}, "files and scored batches are not one to one"
    found = {}
    for entry in scored:
        frame = pd.read_parquet(home / entry.payload["path"])
        (check,) = (e.payload for e in checked if e.subject == entry.subject and not e.payload["labels"])
        assert entry.payload["rows"] + entry.payload["skipped"] == check["rows"]
        assert len(frame) == entry.payload["rows"] and entry.payload["skipped"] == check["quarantined"] > 0
        assert frame["prediction_id"].is_unique
        assert set(frame["model_version"]) == {entry.payload["version"]}
        found[str(entry.subject)] = dict(zip(frame["prediction_id"], frame["probability"], strict=True))
    return found


def _list_pages(home: Path) -> list[str]:
    """Names without the hash of a contract page: it covers the moment."""
    names = [f"{p.parent.name}/{p.name}" for p in (home / PROJECT).rglob("*") if p.is_file()]
    names = [n.rsplit("-", 1)[0] if n.startswith("contract/") else n for n in names]
    return names + [p.name for p in (home / "evidently").glob("*/snapshots/*.json")]


def _ask(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()
