"""The project lock: exclusive between processes, and gone with its holder."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import InfrastructureError
from tasks.ledger import Ledger, open_ledger

FORK = multiprocessing.get_context("forkserver")
AT = datetime(2013, 5, 1, 12, tzinfo=UTC)


def _hold(home: Path, url: str, ready: Any) -> None:
    with open_ledger(home, url) as ledger, ledger.lock("flights", holder="the night turn", wait_seconds=0, at=AT):
        ready.set()
        time.sleep(60)


@contextmanager
def held_elsewhere(home: Path, url: str) -> Iterator[Any]:
    """The lock, held by another process until the block ends."""
    ready = FORK.Event()
    worker = FORK.Process(target=_hold, args=(home, url, ready))
    worker.start()
    try:
        assert ready.wait(30)
        yield worker
    finally:
        worker.kill()
        worker.join()


def test_who_waits_too_long_is_told_who_holds_it_since_when(ledger: Ledger, url: str, tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, url) as worker:
        expected = rf"'flights' is being worked on by the night turn \(process {worker.pid} on .*\) since 2013-05-01T12"
        started = time.monotonic()
        with (
            pytest.raises(InfrastructureError, match=expected),
            ledger.lock("flights", holder="second", wait_seconds=0.5, at=AT),
        ):
            pytest.fail("two holders")
        assert 0.4 < time.monotonic() - started < 5
        holder = ledger.lock_holder("flights")
        assert holder is not None and (holder.holder, holder.pid, holder.since) == ("the night turn", worker.pid, AT)
        with ledger.lock("other", holder="second", wait_seconds=0, at=AT):
            pass  # a lock is of one project


def test_the_lock_of_a_killed_holder_is_free(ledger: Ledger, url: str, tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, url) as worker:
        os.kill(worker.pid, signal.SIGKILL)
        with ledger.lock("flights", holder="next", wait_seconds=10, at=AT):
            holder = ledger.lock_holder("flights")
            assert holder is not None and holder.holder == "next" and holder.pid == os.getpid()
    assert ledger.lock_holder("flights") is None


def test_a_waiter_gets_it_when_it_is_given_back(ledger: Ledger, url: str, tmp_path: Path) -> None:
    with held_elsewhere(tmp_path, url) as worker:
        threading.Timer(0.4, worker.kill).start()
        with ledger.lock("flights", holder="patient", wait_seconds=20, at=AT):
            assert not worker.is_alive() or worker.join(5) is None


def test_nested_use_goes_through_and_frees_only_at_the_end(ledger: Ledger) -> None:
    with ledger.lock("flights", holder="outer", wait_seconds=0, at=AT):
        with ledger.lock("flights", holder="inner", wait_seconds=0, at=AT):
            pass
        holder = ledger.lock_holder("flights")
        assert holder is not None and holder.holder == "outer"
    assert ledger.lock_holder("flights") is None


def test_another_thread_has_to_wait(ledger: Ledger) -> None:
    failures: list[Exception] = []

    def enter() -> None:
        try:
            with ledger.lock("flights", holder="thread", wait_seconds=0, at=AT):
                pass
        except InfrastructureError as error:
            failures.append(error)

    with ledger.lock("flights", holder="main", wait_seconds=0, at=AT):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert len(failures) == 1


def test_an_error_under_the_lock_gives_it_back(ledger: Ledger) -> None:
    with pytest.raises(KeyError), ledger.lock("flights", holder="fails", wait_seconds=0, at=AT):
        raise KeyError("x")
    assert ledger.lock_holder("flights") is None
    with ledger.lock("flights", holder="after", wait_seconds=0, at=AT):
        pass


def test_no_lock_was_ever_taken_means_no_holder(ledger: Ledger) -> None:
    assert ledger.lock_holder("flights") is None


def _count_up(home: Path, url: str, path: Path) -> None:
    with open_ledger(home, url) as ledger:
        for _ in range(3):
            with ledger.lock("flights", holder="counter", wait_seconds=30, at=AT):
                number = int(path.read_text())
                time.sleep(0.02)
                path.write_text(str(number + 1))


def test_no_two_processes_are_ever_inside(tmp_path: Path, url: str) -> None:
    path = tmp_path / "count"
    path.write_text("0")
    workers = [FORK.Process(target=_count_up, args=(tmp_path, url, path)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert path.read_text() == "9"


@pytest.mark.server
def test_a_session_that_the_server_ended_does_not_hide_the_error_or_keep_the_lock(
    postgres_url: str, tmp_path: Path
) -> None:
    import psycopg

    with open_ledger(tmp_path, postgres_url) as ledger:
        with ledger.lock("flights", holder="cut off", wait_seconds=0, at=AT), psycopg.connect(postgres_url) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
        with ledger.lock("flights", holder="next", wait_seconds=5, at=AT):
            pass


@pytest.mark.server
def test_who_lost_the_lock_writes_nothing_more(postgres_url: str, tmp_path: Path) -> None:
    import psycopg

    entry: dict[str, Any] = {
        "step": "score", "key": "k", "subject": None, "outcome": "scored", "reason": "", "actor": "ada", "as_of": None,
        "at": AT,
    }  # fmt: skip
    with open_ledger(tmp_path, postgres_url) as ledger, open_ledger(tmp_path, postgres_url) as inner:
        with (
            ledger.lock("flights", holder="cut off", wait_seconds=0, at=AT),
            inner.lock("flights", holder="nested", wait_seconds=0, at=AT),
        ):
            inner.append("flights", **entry)
            with psycopg.connect(postgres_url) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                    "AND pid <> pg_backend_pid()"
                )
            for each in (ledger, inner):
                with pytest.raises(InfrastructureError, match="ended the session that held the lock of 'flights'"):
                    each.append("flights", **entry)
            inner.append("other", **entry)  # a lock is of one project
        assert len(ledger.entries("flights")) == 1
        ledger.append("flights", **entry)  # outside the lock nothing was promised
