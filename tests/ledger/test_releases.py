"""Who is champion, and that two decisions at once cannot both hold."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tasks.errors import InfrastructureError
from tasks.ledger import ChampionChanged, Entry, Ledger, find_rolled_back, open_ledger
from tasks.ledger.database import find_url
from tasks.ledger.entries import hash_row

FORK = multiprocessing.get_context("forkserver")
AT = datetime(2013, 5, 1, 12, tzinfo=UTC)


def release(ledger: Ledger, action: Any, version: int, expected: int | None, key: str | None = None) -> Any:
    return ledger.release(
        "flights",
        action=action,
        version=version,
        expected_champion=expected,
        key=key or f"{action}-{version}-{expected}",
        reason="better",
        actor="ada",
        as_of=AT,
        at=AT,
        payload={"gates": 3},
    )


def test_the_champion_follows_the_decisions(ledger: Ledger) -> None:
    assert ledger.champion("flights") is None
    first = release(ledger, "promote", 1, None)
    champion = ledger.champion("flights")
    assert champion is not None
    assert (champion.version, champion.previous, champion.since, champion.seq) == (1, None, AT, first.seq)
    assert (first.outcome, first.subject, first.payload["gates"]) == ("promote", "1", 3)

    release(ledger, "propose", 2, 1)
    assert ledger.standing("flights").challenger == 2 and ledger.champion("flights") == champion
    release(ledger, "approve", 2, 1)
    standing = ledger.standing("flights")
    assert standing.champion is not None and standing.challenger is None
    assert (standing.champion.version, standing.champion.previous) == (2, 1)

    release(ledger, "hold", 3, 2)
    assert ledger.standing("flights").challenger == 3
    release(ledger, "reject", 3, 2)
    assert ledger.standing("flights") == standing

    release(ledger, "rollback", 1, 2)
    champion = ledger.champion("flights")
    assert champion is not None and (champion.version, champion.previous) == (1, None)
    assert ledger.verify("flights").holds


def champion_of(ledger: Ledger) -> tuple[int, tuple[int, ...]]:
    champion = ledger.champion("flights")
    assert champion is not None
    return champion.version, champion.before


def test_one_rollback_after_the_other_goes_further_back(ledger: Ledger) -> None:
    for version, expected in ((1, None), (2, 1), (3, 2), (4, 3)):
        release(ledger, "promote", version, expected)
    assert champion_of(ledger) == (4, (1, 2, 3))
    release(ledger, "rollback", 3, 4)
    assert champion_of(ledger) == (3, (1, 2))
    release(ledger, "rollback", 2, 3)
    assert champion_of(ledger) == (2, (1,))
    release(ledger, "promote", 5, 2)
    assert champion_of(ledger) == (5, (1, 2)), "what was rolled back is not gone back to"
    gone = find_rolled_back(ledger.entries("flights", "release"))
    assert {version: entry.seq for version, entry in gone.items()} == {4: 5, 3: 6}
    release(ledger, "rollback", 4, 5)  # a person brings back what they had rolled back
    assert champion_of(ledger) == (4, (1, 2, 5))
    assert set(find_rolled_back(ledger.entries("flights", "release"))) == {3}
    release(ledger, "rollback", 1, 4)  # and goes back several at once
    assert champion_of(ledger) == (1, ())
    assert set(find_rolled_back(ledger.entries("flights", "release"))) == {2, 3, 4, 5}


def test_a_version_may_be_champion_twice(ledger: Ledger) -> None:
    for version, expected in ((1, None), (2, 1), (1, 2)):
        release(ledger, "promote", version, expected)
    assert champion_of(ledger) == (1, (1, 2))
    release(ledger, "rollback", 2, 1)
    assert champion_of(ledger) == (2, (1,))
    assert set(find_rolled_back(ledger.entries("flights", "release"))) == {1}


def test_a_state_without_the_champions_before_is_still_read(ledger: Ledger, url: str) -> None:
    release(ledger, "promote", 1, None)
    release(ledger, "promote", 2, 1)
    engine = create_engine(find_url(Path("/"), url))
    with engine.begin() as connection:
        connection.execute(text("""UPDATE entries SET payload = replace(payload, '"before": [1], ', '')"""))
        for row in connection.execute(text("SELECT * FROM entries")).mappings().all():
            fitting = {"hash": hash_row(row), "seq": row["seq"]}
            connection.execute(text("UPDATE entries SET hash = :hash WHERE seq = :seq"), fitting)
    engine.dispose()
    assert champion_of(ledger) == (2, (1,))


def test_a_champion_that_changed_refuses_and_writes_nothing(ledger: Ledger) -> None:
    release(ledger, "promote", 1, None)
    refused = release(ledger, "promote", 3, 2)
    assert refused == ChampionChanged(3, 2, 1)
    assert "compared with version 2, but the champion is now version 1" in refused.sentence
    assert "no champion" in release(ledger, "promote", 3, None).sentence
    assert len(ledger.entries("flights")) == 1


def test_the_same_decision_asked_for_again_is_the_one_that_stands(ledger: Ledger) -> None:
    first = release(ledger, "promote", 1, None, key="training")
    assert release(ledger, "promote", 1, None, key="training") == first
    release(ledger, "promote", 2, 1)
    assert release(ledger, "promote", 1, None, key="training") == first
    champion = ledger.champion("flights")
    assert champion is not None and champion.version == 2


def test_promoting_the_champion_keeps_the_previous_one(ledger: Ledger) -> None:
    release(ledger, "promote", 1, None)
    release(ledger, "promote", 2, 1)
    release(ledger, "promote", 2, 2)
    champion = ledger.champion("flights")
    assert champion is not None and (champion.version, champion.previous) == (2, 1)


def test_a_release_entry_that_was_edited_stops_everything(ledger: Ledger, url: str) -> None:
    release(ledger, "promote", 1, None)
    engine = create_engine(find_url(Path("/"), url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE entries SET payload = '{}'"))
    engine.dispose()
    with pytest.raises(InfrastructureError, match="restore the ledger"):
        ledger.champion("flights")
    with pytest.raises(InfrastructureError, match="restore the ledger"):
        release(ledger, "promote", 2, 1)


def _promote(home: Path, url: str, version: int, barrier: Any, results: Any) -> None:
    with open_ledger(home, url, code_version="test") as ledger:
        barrier.wait()
        results.put(isinstance(release(ledger, "promote", version, 1), Entry))


def test_of_four_promotions_at_once_one_holds(tmp_path: Path, url: str) -> None:
    with open_ledger(tmp_path, url, code_version="test") as ledger:
        release(ledger, "promote", 1, None)
    barrier, results = FORK.Barrier(4), FORK.Queue()
    workers = [FORK.Process(target=_promote, args=(tmp_path, url, v, barrier, results)) for v in (2, 3, 4, 5)]
    for worker in workers:
        worker.start()
    outcomes = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert sorted(outcomes) == [False, False, False, True]
    with open_ledger(tmp_path, url, code_version="test") as ledger:
        assert len(ledger.entries("flights")) == 2
