"""A home comes back from its backup, anywhere; a backup is whole or is none; a home that was moved goes on."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flows.backup import back_up
from flows.champion import load_champion
from flows.release import release
from flows.restore import restore
from flows.workspace import open_workspace
from tasks.backup.manifest import find_backup, read_manifest
from tasks.errors import ConfigError, InfrastructureError
from tasks.ledger import open_ledger
from tests.flows.history import History
from tests.servers import PostgresServer

pytestmark = [pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def kept(made: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it, only read."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_HOME", str(made.home))
        back_up(made.shop, str(folder))
    return find_backup(folder)


@pytest.fixture
def damaged(kept: Path, tmp_path: Path) -> Path:
    """A copy of the backup, free to be damaged."""
    return Path(shutil.copytree(kept, tmp_path / "damaged"))


def test_it_comes_back_elsewhere_and_goes_on(history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = back_up(history.shop, str(tmp_path / "backups"))
    back_up(history.shop, str(tmp_path / "backups"))
    first, second = sorted((tmp_path / "backups").iterdir())
    assert str(first) in answer.lines[0] and find_backup(tmp_path / "backups") == second
    assert any("version 4 is champion" in line for line in answer.lines), answer.lines
    read_manifest(first).check(first)
    there = {p.relative_to(first).as_posix() for p in first.rglob("*") if p.is_file()}
    assert there == {f.path for f in read_manifest(first).files} | {"manifest.json"}
    assert not [p for p in there if p.endswith((".tmp", "-wal", "ledger.db")) or "/locks/" in p]

    shutil.rmtree(history.home)  # nothing in it can help now
    elsewhere = History(history.shop, tmp_path / "new place" / "home")
    monkeypatch.setenv("TRUEUP_HOME", str(elsewhere.home))
    answer = restore(history.shop, str(first))
    assert str(elsewhere.home) in answer.lines[0] and any("version 4 is champion" in line for line in answer.lines)
    assert sorted(p.name for p in elsewhere.home.parent.iterdir()) == ["home"]
    assert elsewhere.due() == () and elsewhere.verify()
    elsewhere.score_by_mlflow()
    assert "1" in release(history.shop, action="rollback", reason="back to the first", version=1)
    with open_ledger(elsewhere.home) as ledger:
        champion = ledger.champion("shop")
    assert champion is not None and champion.version == 1
    with pytest.raises(ConfigError, match=r"is not empty.*Move it away"):
        restore(history.shop, str(first))


@pytest.mark.parametrize("copied", [False, True])
def test_a_home_that_was_moved_or_copied_goes_on(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    assert history.due() == ()  # the copy follows itself
    moved = History(history.shop, tmp_path / "it's 100% #moved" / "home")
    moved.home.parent.mkdir()
    before = _locations(history.home)
    if copied:
        shutil.copytree(history.home, moved.home)
    else:
        history.home.rename(moved.home)
    monkeypatch.setenv("TRUEUP_HOME", str(moved.home))
    assert moved.due() == () and moved.verify()
    assert all(str(place).startswith(f"{moved.home}/") for place in _locations(moved.home))
    if copied:
        assert _locations(history.home) == before
        shutil.rmtree(history.home)
    moved.score_by_mlflow()
    with open_workspace(history.shop, "now", [], "test", reads=False) as workspace:
        assert load_champion(workspace).version.version == 4
    assert "1" in release(history.shop, action="rollback", reason="back to the first", version=1)


def test_a_damaged_backup_is_refused_and_nothing_is_written(made: History, damaged: Path, tmp_path: Path) -> None:
    model = next(p for p in damaged.rglob("model.skops"))
    rows = damaged / "ledger" / "shop.jsonl"
    manifest = damaged / "manifest.json"
    content = model.read_bytes()
    model.write_bytes(content[:-1])
    with pytest.raises(InfrastructureError, match=r"damaged: home/mlflow/.*model\.skops: [\d,]+ bytes, expected"):
        restore(made.shop, str(damaged))
    model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InfrastructureError, match="its content was changed"):
        restore(made.shop, str(damaged))
    model.unlink()
    with pytest.raises(InfrastructureError, match="missing"):
        restore(made.shop, str(damaged))
    whole = manifest.read_text()
    manifest.write_text(whole[:-50])
    with pytest.raises(InfrastructureError, match="changed or cut off"):
        restore(made.shop, str(damaged))
    manifest.write_text(whole.replace('"champion": 4', '"champion": 1'))
    with pytest.raises(InfrastructureError, match="does not fit its own digest"):
        restore(made.shop, str(damaged))
    manifest.unlink()
    with pytest.raises(ConfigError, match="holds no backup"):
        restore(made.shop, str(damaged))
    assert rows.is_file() and not (tmp_path / "home").exists() and not list(tmp_path.glob(".trueup*"))


def test_rows_that_were_edited_with_their_digest_are_refused(made: History, damaged: Path, tmp_path: Path) -> None:
    """Who edits a file and the manifest with it still has the chain against them."""
    import hashlib

    rows = damaged / "ledger" / "shop.jsonl"
    rows.write_text(rows.read_text().replace('"hold"', '"promote"', 1))
    manifest = json.loads((damaged / "manifest.json").read_text())
    del manifest["sha256"]
    for file in manifest["files"]:
        if file["path"] == "ledger/shop.jsonl":
            file |= {"size": rows.stat().st_size, "sha256": hashlib.sha256(rows.read_bytes()).hexdigest()}
    manifest["sha256"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (damaged / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InfrastructureError, match=r"not those that were written: Row \d+ was changed"):
        restore(made.shop, str(damaged))
    manifest["files"][0]["path"] = "home/../../stolen"
    del manifest["sha256"]
    manifest["sha256"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (damaged / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InfrastructureError, match="outside the backup"):
        restore(made.shop, str(damaged))
    assert not (tmp_path / "home").exists()


def test_what_cannot_be_kept_is_no_backup(history: History, tmp_path: Path) -> None:
    target = tmp_path / "backups"
    with pytest.raises(ConfigError, match="lies inside the home"):
        back_up(history.shop, str(history.home / "backups"))
    with open_ledger(history.home) as ledger:
        trained = ledger.latest("shop", "train", "4")
    assert trained is not None
    model = history.home / "mlflow" / "artifacts" / trained.payload["uri"].partition("/mlflow/artifacts/")[2]
    content = (model / "model.skops").read_bytes()
    (model / "model.skops").write_bytes(content + b"\0")
    with pytest.raises(InfrastructureError, match=r"the champion, version 4, is not whole.*not the one that was"):
        back_up(history.shop, str(target))
    (model / "model.skops").write_bytes(content)
    with closing(sqlite3.connect(history.home / "ledger.db")) as connection:
        connection.execute("UPDATE entries SET reason = 'another' WHERE seq = 3")
        connection.commit()
    with pytest.raises(InfrastructureError, match="Row 3 was changed"):
        back_up(history.shop, str(target))
    assert list(target.iterdir()) == []


def test_nothing_to_back_up_and_nowhere_to_restore_from(made: History, kept: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to back up"):
        back_up(made.shop, str(tmp_path / "backups"))
    with pytest.raises(ConfigError, match="no such folder"):
        restore(made.shop, str(tmp_path / "nowhere"))
    other = tmp_path / "configs" / "other.yaml"
    other.parent.mkdir()
    other.write_text("name: other\ndata: {source: none.csv, target: y}\n")
    with pytest.raises(ConfigError, match="holds shop, and not other"):
        restore(str(other), str(kept))
    os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    with pytest.raises(ConfigError, match="unset MLFLOW_TRACKING_URI"):
        restore(made.shop, str(kept))
    assert not (tmp_path / "home").exists()


@pytest.mark.server
def test_into_postgresql_and_back(made: History, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = PostgresServer()
    try:
        url = server.make_database()
        monkeypatch.setenv("TRUEUP_DATABASE_URL", url)
        home = tmp_path / "home"
        restore(made.shop, str(kept))
        restored = History(made.shop, home)
        assert not (home / "ledger.db").exists() and restored.verify() and restored.due() == ()

        back_up(made.shop, str(tmp_path / "again"))
        again = find_backup(tmp_path / "again")
        assert (again / "ledger" / "shop.jsonl").read_bytes() == (kept / "ledger" / "shop.jsonl").read_bytes()

        shutil.rmtree(home)  # rows that are there already, as after a restore that was cut off, are the same ones
        restore(made.shop, str(again))
        assert restored.verify()
        with open_ledger(home) as ledger:
            entry = ledger.latest("shop")
            assert entry is not None
            more = {"subject": None, "outcome": "done", "reason": "more", "actor": "me", "as_of": None}
            ledger.append("shop", step="turn", key="more", at=entry.at, **more)
        shutil.rmtree(home)
        with pytest.raises(ConfigError, match=r"has \d+ rows of project 'shop' already"):
            restore(made.shop, str(again))
        assert not home.exists()
        monkeypatch.delenv("TRUEUP_DATABASE_URL")
        restore(made.shop, str(again))  # a backup of PostgreSQL, into SQLite
        assert (home / "ledger.db").exists() and restored.verify()
    finally:
        server.close()


def _locations(home: Path) -> list[str]:
    query = (
        "SELECT artifact_location FROM experiments UNION SELECT artifact_uri FROM runs UNION "
        "SELECT artifact_location FROM logged_models UNION SELECT source FROM model_versions"
    )
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as connection:
        return [place for (place,) in connection.execute(query)]
