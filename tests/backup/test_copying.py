"""What is copied of a home, also while others write to it; and what a manifest takes for a backup."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tasks.backup.copying import check_space, copy_files, list_files, put_back
from tasks.backup.manifest import KeptProject, Manifest, find_backup, read_manifest
from tasks.backup.places import UNFINISHED, take_place, unfinished
from tasks.errors import ConfigError, InfrastructureError


def make_home(home: Path) -> None:
    for name in (
        "ledger.db-wal", "locks/shop.lock", "scratch/x", "shop/predictions/a.parquet", "shop/reports/.b.html.0.tmp",
        "prefect/running/7", "prefect/server.log", "mlflow-pages.log", "prefect/schema.json",
        "replays/shop-1/replay.html", "replays/shop-1/never/ledger.db", "replays/shop-1/never/mlflow/mlflow.db",
        "mlflow/mlflow.db.creating", "mlflow/artifacts/run/odd 'name' é.txt",
    ):  # fmt: skip
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    for name in ("ledger.db", "mlflow/mlflow.db"):
        with closing(sqlite3.connect(home / name)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE t (a INTEGER, b INTEGER)")
            connection.commit()


def names(home: Path) -> list[str]:
    return [name for _, name in list_files(home, [home / "ledger.db"])]


def test_what_belongs_to_a_process_is_left_out(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_home(home)
    kept = [
        "mlflow/artifacts/run/odd 'name' é.txt",
        "mlflow/mlflow.db",
        "prefect/schema.json",
        "replays/shop-1/replay.html",
        "shop/predictions/a.parquet",
    ]
    assert names(home) == kept
    elsewhere = tmp_path / "other disk"
    (home / "shop" / "predictions").rename(elsewhere)
    (home / "shop" / "predictions").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(home)
    assert names(home) == kept, "links are followed, once"


def test_a_database_is_copied_as_of_one_moment_while_it_is_written_to(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_home(home)
    database = home / "mlflow" / "mlflow.db"
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as connection:
            number = 0
            while not stop.is_set():
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT INTO t VALUES (?, ?)", [(number, part) for part in range(20)])
                connection.execute("COMMIT")
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for turn in range(5):
            (kept,) = copy_files([(database, "mlflow/mlflow.db")], tmp_path / str(turn), "home")
            copy = tmp_path / str(turn) / kept.path
            assert not list(copy.parent.glob("*-*"))
            with closing(sqlite3.connect(copy)) as connection:
                assert connection.execute("SELECT a FROM t GROUP BY a HAVING count(*) != 20").fetchall() == []
    finally:
        stop.set()
        writer.join()


def test_a_damaged_database_is_no_backup(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (a TEXT)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,) for _ in range(100)])
        connection.commit()
    content = bytearray(database.read_bytes())
    content[5000:9000] = b"\xff" * 4000
    database.write_bytes(content)
    with pytest.raises(InfrastructureError, match="No backup was made"):
        copy_files([(database, "a.db")], tmp_path / "target", "home")


def test_a_file_that_goes_meanwhile_is_left_out_and_a_changed_one_is_not_restored(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_home(home)
    files = list_files(home)
    (home / "shop" / "predictions" / "a.parquet").unlink()
    kept = copy_files(files, tmp_path / "copy", "home")
    assert "home/shop/predictions/a.parquet" not in {f.path for f in kept}
    put_back(tmp_path / "copy", kept, "home", tmp_path / "back")
    assert (tmp_path / "back" / "prefect" / "schema.json").read_text() == "prefect/schema.json"
    (tmp_path / "copy" / "home" / "prefect" / "schema.json").write_text("another")
    with pytest.raises(InfrastructureError, match="was changed while it was read"):
        put_back(tmp_path / "copy", kept, "home", tmp_path / "back again")


def test_the_newest_whole_backup_is_meant(tmp_path: Path) -> None:
    manifest = Manifest("2024-01-01T00:00:00+00:00", "1", "/home", "home", {"shop": KeptProject(3, "h", 1)}, ("x",), ())
    for day in ("01", "02", "03"):
        (tmp_path / f"trueup-2024-01-{day}T000000Z").mkdir()
        if day != "03":  # that one was deleted in part
            manifest.write(tmp_path / f"trueup-2024-01-{day}T000000Z")
    found = find_backup(tmp_path)
    assert found.name == "trueup-2024-01-02T000000Z" and find_backup(found) == found
    assert read_manifest(found) == manifest
    with pytest.raises(ConfigError, match="no backup; expected"):
        read_manifest(tmp_path / "trueup-2024-01-03T000000Z")
    (found / "manifest.json").write_text((found / "manifest.json").read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(InfrastructureError, match="has format 2; this trueup reads 1"):
        read_manifest(found)


def test_strangers_files_are_not_swept_and_a_home_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / ".mine.tmp").write_text("a person's own")
    with unfinished(tmp_path) as folder:
        (folder / "home").mkdir()
        (folder / "home" / "a").touch()
        home = tmp_path / "home"
        (home / "locks" / "deep").mkdir(parents=True)  # empty folders are no home
        take_place(folder / "home", home)
        (folder / "home").mkdir()
        with pytest.raises(InfrastructureError, match="cannot take its place"):
            take_place(folder / "home", home)
    assert (home / "a").exists() and (tmp_path / ".mine.tmp").exists() and not (tmp_path / UNFINISHED).exists()


def test_a_disk_without_room(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"not enough space: 1,000,000,000\.0 MB are needed"):
        check_space(tmp_path, 10**15)
    check_space(tmp_path, shutil.disk_usage(tmp_path).free // 2)
