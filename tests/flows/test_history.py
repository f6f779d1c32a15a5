"""What `trueup history` tells: every decision, who was champion when, and whether the record is as it was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.answer import Answer
from flows.history import tell_history
from tasks.errors import ConfigError, InfrastructureError
from tasks.ledger import Ledger, open_ledger
from tasks.ledger.entries import hash_row
from tasks.registry import note_head
from tests.conftest import MakeProject
from tests.flows.decided import NAME, REJECTED, Decided
from tests.servers import PostgresServer

pytestmark = [pytest.mark.timeout(600)]
WRITTEN = datetime(2024, 7, 1, 12, tzinfo=UTC)


def said(answer: Answer) -> str:
    """The answer as running text."""
    return " ".join(" ".join(answer.lines).split())


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def database(
    request: pytest.FixtureRequest, decided: Decided, monkeypatch: pytest.MonkeyPatch
) -> sqlite3.Connection | Any:
    """Runs a statement in the decided project's ledger, on each kind of database."""
    if request.param == "sqlite":

        def execute(statement: str, *values: Any) -> list[Any]:
            with closing(sqlite3.connect(decided.home / "ledger.db")) as connection, connection:
                return connection.execute(statement, values).fetchall()

        return execute
    import psycopg

    url = request.getfixturevalue("postgres").make_database()
    with open_ledger(decided.home) as old, open_ledger(decided.home, url) as new:
        new.restore(NAME, list(old.export(NAME)))
    (decided.home / "ledger.db").unlink()
    monkeypatch.setenv("TRUEUP_DATABASE_URL", url)

    def execute_there(statement: str, *values: Any) -> list[Any]:
        with psycopg.connect(url) as connection:
            done = connection.execute(statement.replace("?", "%s"), values)
            return done.fetchall() if done.description else []

    return execute_there


# ------------------------------------------------------------------ every decision


def test_every_decision_with_its_evidence(decided: Decided) -> None:
    decided.decide("promote", REJECTED, override=True)
    decided.decide("rollback")
    for path in (Path(decided.file).parents[1] / "tables").iterdir():
        path.write_text("unreadable")
    decided.edit("train", candidates=["random_forest"])
    decided.edit("data", exclude=["colour"])
    answer = tell_history(decided.file, None, False, None)
    text = said(answer)
    assert answer.exit_code == 0 and all(len(line) <= 118 for line in answer.lines)
    assert "7 decisions; champion: version 3" in answer.lines[0]
    heads = [line for line in answer.lines if line.startswith("20")]
    assert [" ".join(h.split()[2:5]).rstrip(",") for h in heads] == [
        "version 1 promoted", "version 2 promoted", "version 3 promoted", "version 4 proposed",
        "version 5 rejected", "version 5 PROMOTED", "version 3 rolled",
    ]  # fmt: skip
    assert "as of" in heads[0] and "2024-03-01 00:00]" in " ".join(text.split()) and "as of" not in heads[-1]
    assert "PROMOTED, GATES OVERRULED: BASELINE" in heads[5]
    assert "Overruled baseline: because I say so" in text
    (trained,) = (e for e in decided.entries("train") if e.subject == "4")
    (metric,) = (m for m in trained.payload["metrics"] if m["name"] == "average_precision")
    assert f"{metric['value']:.4g} ({metric['low']:.4g} to {metric['high']:.4g}), jackknife over" in text
    comparison = trained.payload["comparison"]
    assert f"with version 3: average_precision gain {comparison['gain']:+.4g} (between" in text
    assert f"trained on {trained.payload['rows']:,} rows; snapshot {trained.payload['snapshot'][:12]}" in text
    assert trained.payload["run_id"] in text
    assert "decided by the gate baseline: fail" in text
    assert "version 5, in place of version 3" in text and "stays version 3" in text

    answer = tell_history(decided.file, None, False, 2)
    assert "7 decisions; the newest 2 of them" in answer.lines[0]
    assert sum(line.startswith("20") for line in answer.lines) == 2
    assert "version 3, in place of version 5" in said(answer)


def test_what_was_done_to_aliases_is_told(decided: Decided) -> None:
    decided.registry.client().set_registered_model_alias(NAME, "champion", "1")
    assert "alias 'champion' names version 1, the ledger version 3" in said(
        tell_history(decided.file, None, True, None)
    )
    decided.decide("rollback")
    text = said(tell_history(decided.file, None, False, 2))
    assert "RESTORED in MLflow" in text and "moved by hand to version 1" in text


# ------------------------------------------------------------------ who was champion then


def release(
    ledger: Ledger, version: int, expected: int | None, action: Any = "promote", **when: datetime | None
) -> None:
    at, as_of = when.get("at") or WRITTEN, when.get("as_of")
    ledger.release(
        "shop", action=action, version=version, expected_champion=expected, key=f"{action} {version}",
        reason=f"r{version}", actor="ada", as_of=as_of, at=at,
    )  # fmt: skip


def champion_line(project: str, at: str, label: str = "champion") -> str:
    lines = tell_history(project, at, False, None).lines
    (start,) = (i for i, line in enumerate(lines) if line.strip().startswith(label))
    return " ".join(" ".join(lines[start : start + 2]).split())


def test_the_champion_at_a_time_is_by_when_it_was_written(make_project: MakeProject) -> None:
    project = make_project({}, data={"timezone": "America/New_York"})
    file = str(project.path)
    with open_ledger(project.home) as ledger:
        for days, version in enumerate((1, 2, 3)):
            moment = datetime(2024, 7, 1 + days, 4, tzinfo=UTC)  # midnight in New York
            release(ledger, version, version - 1 or None, at=moment, as_of=moment)
        release(ledger, 2, 3, "rollback", at=datetime(2024, 7, 5, tzinfo=UTC))
    assert "none: the first decision was written on 2024-07-01 00:00" in champion_line(file, "2024-06-30")
    assert "version 1, since 2024-07-01 00:00: promoted by ada [row 1]. r1" in champion_line(file, "2024-07-01")
    assert "none:" in champion_line(file, "2024-06-30T23:59")
    assert "version 1" in champion_line(file, "2024-07-02T03:59Z")
    assert "version 2" in champion_line(file, "2024-07-02T04:00Z")
    assert "version 3, since 2024-07-03" in champion_line(file, "2024-07-04 19:59:59")
    assert "version 2, since 2024-07-04 20:00: rolled back by ada [row 4]. r2" in champion_line(file, "2030-01-01")
    assert not any("as of  " in line for line in tell_history(file, "2024-07-02", False, None).lines)


def test_a_past_that_was_replayed_shows_both(make_project: MakeProject) -> None:
    project = make_project({})
    file = str(project.path)
    with open_ledger(project.home) as ledger:
        for month, version in enumerate((1, 2), start=1):
            release(ledger, version, version - 1 or None, as_of=datetime(2013, month, 1, tzinfo=UTC))
    assert "none: the first decision was written on 2024-07-01 12:00" in champion_line(file, "2013-02-15")
    assert "version 2, since 2013-02-01 00:00: promoted by ada [row 2, as of 2013-02-01" in champion_line(
        file, "2013-02-15", "as of"
    )
    assert "version 1, since 2013-01-01" in champion_line(file, "2013-01-15", "as of")
    text = said(tell_history(file, "2024-07-02", False, None))
    assert "version 2, since 2024-07-01 12:00" in text and "The first is by when" not in text


def test_a_version_that_was_only_held_is_no_champion(make_project: MakeProject) -> None:
    project = make_project({})
    with open_ledger(project.home) as ledger:
        ledger.append(
            "shop", step="train", key="k", subject="1", outcome="hold", reason="", actor="ada", as_of=None, at=WRITTEN
        )
    assert "nothing was decided yet" in champion_line(str(project.path), "2024-07-02")
    with open_ledger(project.home) as ledger:
        release(ledger, 1, None, "hold")
    assert "none: 1 decisions by then, none of which released" in champion_line(str(project.path), "2024-07-02")
    assert "there is none yet" in said(tell_history(str(project.path), None, False, None))


@pytest.mark.parametrize("at", ["now", "next", "yesterday", "2024-13-01", "9999-12-31T23:59-12:00", ""])
def test_a_time_that_is_none(at: str, make_project: MakeProject) -> None:
    project = make_project({}, data={"timezone": "Asia/Tokyo"})
    with open_ledger(project.home):
        pass
    with pytest.raises(ConfigError, match="expected an ISO date or time"):
        tell_history(str(project.path), at, False, None)


def test_nothing_to_tell(make_project: MakeProject) -> None:
    project = make_project({})
    for verify in (False, True):
        with pytest.raises(ConfigError, match="nothing was trained yet"):
            tell_history(str(project.path), None, verify, None)
    assert not project.home.exists()
    with pytest.raises(ConfigError, match="--limit 0: expected 1 or more"):
        tell_history(str(project.path), None, False, 0)
    with pytest.raises(ConfigError, match="No project 'nothing'"):
        tell_history("nothing", None, False, None)
    with open_ledger(project.home):
        pass
    for verify in (False, True):
        with pytest.raises(ConfigError, match="no entry of this project"):
            tell_history(str(project.path), None, verify, None)
    assert not (project.home / "mlflow").exists()


def test_a_reason_cannot_steer_the_terminal(make_project: MakeProject) -> None:
    project = make_project({})
    with open_ledger(project.home) as ledger:
        ledger.release(
            "shop", action="promote", version=1, expected_champion=None, key="k",
            reason="first\n\x1b[2Jsecond\r\u202e" + "x" * 10_000, actor="\x07ada", as_of=None, at=WRITTEN,
        )  # fmt: skip
    for answer in (
        tell_history(str(project.path), None, False, None),
        tell_history(str(project.path), "2025-01-01", False, None),
    ):
        assert all(line.isprintable() and len(line) <= 118 for line in answer.lines)
        assert "first [2Jsecond" in said(answer)


# ------------------------------------------------------------------ is it as it was written


def rewrite(execute: Any, changed: int, reason: str) -> None:
    """Change a row and make all hashes from there on anew, as someone who knows how they are made."""
    names = [
        "project", "seq", "step", "key", "subject", "outcome", "reason", "actor", "as_of", "at", "payload",
        "code_version", "previous_hash", "hash",
    ]  # fmt: skip
    before = None
    for values in execute(f"SELECT {', '.join(names)} FROM entries ORDER BY seq"):
        row = dict(zip(names, values, strict=True))
        if row["seq"] >= changed:
            row["reason"] = reason if row["seq"] == changed else row["reason"]
            row["previous_hash"] = before if before is not None else row["previous_hash"]
            row["hash"] = hash_row(row)
            execute(
                "UPDATE entries SET reason = ?, previous_hash = ?, hash = ? WHERE seq = ?",
                row["reason"], row["previous_hash"], row["hash"], row["seq"],
            )  # fmt: skip
        before = row["hash"]


def test_an_edit_shows_and_what_the_head_covers_is_said(decided: Decided, database: Any) -> None:
    answer = tell_history(decided.file, None, True, None)
    with open_ledger(decided.home) as ledger:
        head = ledger.head(NAME)
    assert head is not None
    assert answer.exit_code == 0 and answer.lines[0] == "shop: the ledger holds"
    assert f"rows 1 to {head.seq - 1} are covered by the head noted in the model registry, the 1 after it" in said(
        answer
    )
    assert "version 3 promoted" in said(tell_history(decided.file, None, False, None))

    rewrite(database, head.seq, "another reason")  # after the head: nobody can tell, and it is said so
    answer = tell_history(decided.file, None, True, None)
    assert answer.exit_code == 0 and "an edit of the rows after it that also made their hashes anew" in said(answer)

    rewrite(database, 4, "version 1 was my idea")
    answer = tell_history(decided.file, None, True, None)
    assert answer.exit_code == 4 and answer.lines[0] == "shop: the ledger WAS CHANGED"
    assert f"Row {head.seq - 1} is not the one that was noted" in said(answer)
    assert "Restore the ledger from a backup" in said(answer) and "trueup.ledger_head" in said(answer)

    database("UPDATE entries SET reason = 'nicer' WHERE seq = 4")
    answer = tell_history(decided.file, None, True, None)
    assert answer.exit_code == 4 and "Row 4 was changed after it was written" in said(answer)
    database("UPDATE entries SET payload = 'no json' WHERE step = 'release'")
    assert tell_history(decided.file, None, True, None).exit_code == 4
    with pytest.raises(InfrastructureError, match="cannot be read"):
        tell_history(decided.file, None, False, None)
    database("DELETE FROM entries")
    answer = tell_history(decided.file, None, True, None)
    assert answer.exit_code == 4 and f"has noted {head.seq - 1} rows, 0 are here" in said(answer)


def test_without_the_head_it_is_not_verified(decided: Decided, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_ledger(decided.home) as ledger:
        head = ledger.head(NAME)
    assert head is not None
    note_head(decided.registry, NAME, head)
    answer = tell_history(decided.file, None, True, None)
    assert answer.exit_code == 0 and "the head noted in the model registry covers them" in said(answer)
    client = decided.registry.client()
    client.delete_registered_model_tag(NAME, "trueup.ledger_head")
    answer = tell_history(decided.file, None, True, None)
    assert answer.exit_code == 4 and "the head that MLflow had noted is GONE" in said(answer)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    answer = tell_history(decided.file, None, True, None)
    assert answer.exit_code == 4 and "verified WITHOUT the head" in said(answer)
    assert "MLflow at http://127.0.0.1:9 failed" in said(answer)
    assert tell_history(decided.file, None, False, None).exit_code == 0


def test_it_is_quick_on_a_long_record(make_project: MakeProject) -> None:
    import time

    project = make_project({})
    with open_ledger(project.home) as ledger:
        for version in range(1, 301):
            release(ledger, version, version - 1 or None, at=WRITTEN + timedelta(hours=version))
        begun = time.process_time()
        assert ledger.verify("shop").rows == 300
    answer = tell_history(str(project.path), None, False, 20)
    assert "300 decisions; the newest 20 of them" in answer.lines[0]
    assert time.process_time() - begun < 5
