"""Entries, the chain, the scan cache and opening, on both databases."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tasks.errors import ConfigError, InfrastructureError
from tasks.ledger import Head, Ledger, open_ledger
from tasks.ledger.database import find_url, shown_url

FORK = multiprocessing.get_context("forkserver")
AT = datetime(2013, 5, 1, 12, tzinfo=UTC)


def append(ledger: Ledger, project: str = "flights", **changes: Any) -> Any:
    values: dict[str, Any] = {
        "step": "score",
        "key": "k1",
        "subject": "2013-04",
        "outcome": "done",
        "reason": "28,000 rows scored",
        "actor": "ada",
        "as_of": AT,
        "at": AT,
        "payload": {"rows": 28_000},
    }
    return ledger.append(project, **{**values, **changes})


def tamper(url: str, statement: str) -> None:
    """Change the database behind the ledger's back."""
    from sqlalchemy import create_engine

    engine = create_engine(find_url(Path("/"), url))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_entries_come_back_as_they_were_written(ledger: Ledger) -> None:
    first = append(ledger)
    second = append(ledger, step="window", subject=None, as_of=None, at=AT.astimezone(timezone(timedelta(hours=-4))))
    assert (first.seq, second.seq) == (1, 2)
    assert second.at == AT and second.at.utcoffset() == timedelta(0)
    assert ledger.entries("flights") == (first, second)
    assert ledger.entries("flights", limit=1) == (second,)
    assert ledger.entries("flights", step="score") == (first,)
    assert first.payload == {"rows": 28_000} and first.code_version == "test"
    assert append(ledger, project="other").seq == 1


def test_find_and_latest_give_the_newest(ledger: Ledger) -> None:
    append(ledger, outcome="refused")
    again = append(ledger, outcome="done")
    other = append(ledger, key="k2", subject="2013-05")
    assert ledger.find("flights", "score", "k1") == again
    assert ledger.find("flights", "score", "none") is None
    assert ledger.find("flights", "window", "k1") is None
    assert ledger.latest("flights") == other
    assert ledger.latest("flights", "score", "2013-04") == again
    assert ledger.latest("nothing") is None
    assert ledger.by_subject("flights", "score") == {"2013-04": again, "2013-05": other}
    assert ledger.head("flights") == Head(3, other.hash) and ledger.head("nothing") is None


def test_non_finite_numbers_and_dates_survive_as_json(ledger: Ledger) -> None:
    entry = append(ledger, payload={"auc": float("nan"), "at": AT, "ends": (1, 2)})
    assert ledger.latest("flights") == entry
    assert entry.payload == {"auc": None, "at": AT.isoformat(), "ends": [1, 2]}


def test_a_time_without_zone_and_a_hand_made_release_are_refused(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="time zone"):
        append(ledger, at=datetime(2013, 5, 1))
    with pytest.raises(ValueError, match="champion"):
        append(ledger, step="release")
    with pytest.raises(ValueError, match="255"):
        append(ledger, key="k" * 256)
    assert ledger.entries("flights") == ()


@pytest.mark.parametrize("project", ["", "../etc", "a/b", "A", "x\n", "a" * 64, "'; DROP TABLE entries; --"])
def test_a_project_name_that_is_no_slug_is_refused(ledger: Ledger, project: str) -> None:
    with pytest.raises(ConfigError, match="project name"):
        append(ledger, project=project)
    with pytest.raises(ConfigError, match="project name"):
        ledger.latest(project)
    with pytest.raises(ConfigError, match="project name"):
        ledger.lock(project, holder="x", wait_seconds=0, at=AT)


HOSTILE = ["'; DROP TABLE entries; --", "nul\0byte", "bad\udcff", '"quoted"', "null", "😀 e\u0301", "", "{}", "\\u0000"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_comes_back_and_keeps_the_chain(ledger: Ledger, hostile: str) -> None:
    entry = append(ledger, key=hostile, subject=hostile, reason=hostile, actor=hostile, payload={hostile: hostile})
    assert ledger.find("flights", "score", hostile) == entry
    assert ledger.latest("flights", subject=hostile) == entry
    assert (entry.subject, entry.reason, entry.payload) == (hostile, hostile, {hostile: hostile})
    ledger.remember_files("flights", {hostile: (1, 2, hostile)})
    assert ledger.known_files("flights") == {hostile: (1, 2, hostile)}
    assert ledger.verify("flights").holds


def test_any_text_round_trips(tmp_path: Path) -> None:
    with open_ledger(tmp_path, code_version="test") as ledger:

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.text(st.characters(codec=None), max_size=40))
        def round_trip(value: str) -> None:
            entry = append(ledger, subject=value, reason=value)
            assert ledger.latest("flights") == entry and entry.reason == value

        round_trip()
        assert ledger.verify("flights").holds


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE entries SET reason = 'nicer' WHERE seq = 2", 2),
        ("UPDATE entries SET payload = '{}' WHERE seq = 3", 3),
        ("UPDATE entries SET at = 'yesterday' WHERE seq = 1", 1),
        ("UPDATE entries SET as_of = NULL WHERE seq = 4", 4),
        ("DELETE FROM entries WHERE seq = 2", 2),
        ("DELETE FROM entries WHERE seq = 1", 1),
    ],
)
def test_verify_names_the_first_broken_row(ledger: Ledger, url: str, statement: str, broken: int) -> None:
    for number in range(4):
        append(ledger, key=f"k{number}")
    assert ledger.verify("flights").sentence.startswith("All 4 rows fit their hashes; no head")
    tamper(url, statement)
    found = ledger.verify("flights")
    assert not found.holds and found.broken == broken and f"Row {broken}" in found.sentence


def test_a_head_that_was_noted_shows_a_chain_cut_short_or_rewritten(ledger: Ledger, url: str, tmp_path: Path) -> None:
    for number in range(3):
        append(ledger, key=f"k{number}")
    head = ledger.head("flights")
    assert head is not None
    append(ledger, key="later")
    found = ledger.verify("flights", head)
    assert found.holds and found.covered == 3
    assert "rows 1 to 3 are covered by the head noted in the model registry, the 1 after it" in found.sentence
    assert ledger.has("flights", head) and not ledger.has("flights", Head(2, head.hash))
    assert (
        "the head noted in the model registry covers them" in ledger.verify("flights", ledger.head("flights")).sentence
    )
    tamper(url, "DELETE FROM entries WHERE seq > 2")
    assert ledger.verify("flights").holds  # the chain alone cannot tell
    assert ledger.verify("flights", head).broken == 3
    append(ledger, key="another")
    assert ledger.verify("flights", head).broken == 3


def test_an_entry_that_cannot_be_read_is_said_so(ledger: Ledger, url: str) -> None:
    append(ledger)
    tamper(url, "UPDATE entries SET payload = 'no json'")
    with pytest.raises(InfrastructureError, match="row 1 of project 'flights'"):
        ledger.latest("flights")


def test_the_scan_cache_replaces_and_forgets(ledger: Ledger) -> None:
    many = {f"data/{n}.parquet": (n, 2**62 + n, "{}") for n in range(1200)}
    ledger.remember_files("flights", many)
    ledger.remember_files("flights", {"data/0.parquet": (7, 8, "[]")}, forget=["data/1.parquet", "never there"])
    known = ledger.known_files("flights")
    assert len(known) == 1199 and known["data/0.parquet"] == (7, 8, "[]") and known["data/2.parquet"].size == 2
    assert ledger.known_files("other") == {}
    long = "d/" * 3000
    ledger.remember_files("flights", {long: (1, 1, "{}")})
    assert ledger.known_files("flights")[long].payload == "{}"


def _append_many(home: Path, url: str, count: int, barrier: Any) -> None:
    barrier.wait()
    with open_ledger(home, url, code_version="test") as ledger:
        for number in range(count):
            append(ledger, key=f"{os.getpid()}-{number}")
            ledger.remember_files("flights", {"same": (os.getpid(), number, "{}")})


def test_four_processes_create_and_append_without_losing_a_number(tmp_path: Path, url: str) -> None:
    home = tmp_path / "not" / "yet"
    used = url if url.startswith("postgresql") else f"sqlite:///{home}/ledger.db"
    barrier = FORK.Barrier(4)
    workers = [FORK.Process(target=_append_many, args=(home, used, 20, barrier)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [w.exitcode for w in workers] == [0] * 4
    with open_ledger(home, used, code_version="test") as ledger:
        written = ledger.entries("flights")
        assert [e.seq for e in written] == list(range(1, 81))
        assert len({e.key for e in written}) == 80
        assert ledger.verify("flights").holds
        assert set(ledger.known_files("flights")) == {"same"}


def _append_until_killed(home: Path) -> None:
    with open_ledger(home, code_version="test") as ledger:
        number = 0
        while True:
            append(ledger, key=str(number))
            number += 1


def test_a_writer_killed_at_any_moment_leaves_a_whole_chain(tmp_path: Path) -> None:
    for wait in (0.05, 0.11, 0.17):
        worker = FORK.Process(target=_append_until_killed, args=(tmp_path,))
        worker.start()
        time.sleep(wait)
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()
    with open_ledger(tmp_path, code_version="test") as ledger:
        append(ledger, key="after")
        assert ledger.verify("flights").holds


def test_a_locked_sqlite_file_ends_in_a_message(tmp_path: Path) -> None:
    with open_ledger(tmp_path, code_version="test", busy_seconds=0.3) as ledger:
        append(ledger)
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert ledger.latest("flights") is not None  # readers do not wait for writers
        with pytest.raises(InfrastructureError, match=r"ledger\.db failed: database is locked.*over 0\.3 s"):
            append(ledger)
        other.execute("ROLLBACK")
        other.close()
        assert append(ledger).seq == 2


def test_a_newer_schema_is_refused(ledger: Ledger, url: str, tmp_path: Path) -> None:
    tamper(url, "UPDATE schema_version SET version = 2")
    with pytest.raises(InfrastructureError, match=r"has schema 2; this trueup knows schema 1.*update trueup"):
        open_ledger(tmp_path, url)


def test_a_file_that_is_no_database_and_a_folder_that_cannot_be_are_said_so(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("this is no database, " * 100)
    with pytest.raises(InfrastructureError, match=r"ledger\.db failed: file is not a database\. Restore"):
        open_ledger(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureError, match="failed"):
        open_ledger(tmp_path / "file" / "home")


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://ada:s3cret@127.0.0.1:1/books?connect_timeout=3"
    with pytest.raises(InfrastructureError) as caught:
        open_ledger(tmp_path, url)
    message = str(caught.value)
    assert "s3cret" not in message and "127.0.0.1:1/books" in message and "TRUEUP_DATABASE_URL" in message


@pytest.mark.parametrize(
    "url", ["mysql://u:s3cret@h/d", "nonsense", "sqlite://", "sqlite:///relative.db", "oracle+x://"]
)
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected postgresql://") as caught:
        find_url(Path("/"), url)
    assert "s3cret" not in str(caught.value)


def test_the_database_is_found_in_the_environment_at_the_time_of_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRUEUP_DATABASE_URL", raising=False)
    assert find_url(tmp_path).database == str(tmp_path / "ledger.db")
    for given_url in ("postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg2://u:p@h/d"):
        monkeypatch.setenv("TRUEUP_DATABASE_URL", given_url)
        found = find_url(tmp_path)
        assert found.drivername == "postgresql+psycopg" and found.password == "p"
        assert shown_url(found) == "postgresql+psycopg://u:***@h/d"


def test_opening_imports_only_what_it_needs(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tasks.ledger import open_ledger\n"
        f"with open_ledger(Path({str(tmp_path)!r})) as ledger:\n"
        "    assert ledger.champion('flights') is None\n"
        "heavy = {'sqlalchemy.orm', 'mlflow', 'prefect', 'sklearn', 'great_expectations', 'evidently', 'psycopg'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TRUEUP_DATABASE_URL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
