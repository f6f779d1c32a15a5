"""Backup, restore and prune, killed at any instant: what is half done never looks whole, and the next one finishes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.backup.manifest import read_manifest
from tasks.registry import check_digest, read_shelf
from tests.flows.forking import Forks, open_forks
from tests.flows.history import History, copy_history, make_history

pytestmark = [pytest.mark.xdist_group("history"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> History:
    return make_history(tmp_path_factory.getbasetemp() / "history", migrated)


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with open_forks(tmp_path_factory.mktemp("said")) as forks:
        yield forks


def test_there_is_no_half_backup(forks: Forks, made: History, tmp_path: Path) -> None:
    history, target = copy_history(made, tmp_path / "home"), tmp_path / "backups"
    killed = 0
    for changes in (1, 5, 15, 40, 80, 120, 160, 240):
        before = len(list(target.glob("trueup-*")))
        ended = forks.run("backup", made.shop, str(target), changes=changes, TRUEUP_HOME=str(history.home))
        assert ended.code in (0, -9), ended
        killed += ended.code == -9
        whole = list(target.glob("trueup-*"))
        for backup in whole:
            read_manifest(backup).check(backup)
        assert len(whole) - before in ((1,) if ended.code == 0 else (0, 1))
    assert killed >= 5
    ended = forks.run("backup", made.shop, str(target), TRUEUP_HOME=str(history.home))
    assert ended.code == 0, ended.error
    assert not [p.name for p in target.iterdir() if p.name.startswith(".")], "what killed ones left is swept"


def test_there_is_no_half_home(forks: Forks, made: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert forks.run("backup", made.shop, str(tmp_path / "kept"), TRUEUP_HOME=str(made.home)).code == 0
    killed = 0
    for changes in (1, 10, 40, 80, 110, 140, 160):
        home = tmp_path / str(changes) / "home"
        ended = forks.run("restore", made.shop, str(tmp_path / "kept"), changes=changes, TRUEUP_HOME=str(home))
        killed += ended.code == -9
        if not home.exists():
            again = forks.run("restore", made.shop, str(tmp_path / "kept"), TRUEUP_HOME=str(home))
            assert again.code == 0 and "version 4 is champion" in again.out, again
        monkeypatch.setenv("TRUEUP_HOME", str(home))
        restored = History(made.shop, home)
        assert restored.due() == () and restored.verify()
        assert [p.name for p in home.parent.iterdir()] == ["home"]
    assert killed >= 5


def test_what_a_prune_left_is_removed_by_the_next(
    forks: Forks, made: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = copy_history(made, tmp_path / "undisturbed")
    ended = forks.run("prune", made.shop, "--keep", "1", TRUEUP_HOME=str(wanted.home))
    assert ended.code == 0 and "versions   2, 3 of 4" in ended.out, ended
    killed = 0
    for changes in (3, 8, 11, 14, 17, 20, 23, 26, 30, 40):
        history = copy_history(made, tmp_path / str(changes))
        ended = forks.run("prune", made.shop, "--keep", "1", changes=changes, TRUEUP_HOME=str(history.home))
        killed += ended.code == -9
        _check_versions(history)
        ended = forks.run("prune", made.shop, "--keep", "1", TRUEUP_HOME=str(history.home))
        assert ended.code == 0, ended
        assert _files(history) == _files(wanted)
        assert set(_check_versions(history)) == {1, 4}
        monkeypatch.setenv("TRUEUP_HOME", str(history.home))
        assert history.verify() and history.due() == ()
    assert killed >= 5


def _check_versions(history: History) -> list[int]:
    """What the registry names is whole."""
    shelf = read_shelf(history.registry, "shop", known=())
    for stored in shelf.versions.values():
        (model,) = stored.models
        check_digest(history.home / "mlflow" / "artifacts" / "models" / model / "artifacts", str(stored.digest))
    return sorted(shelf.versions)


def _files(history: History) -> set[str]:
    parts = ("mlflow/artifacts", "shop")
    return {str(p.relative_to(history.home)) for part in parts for p in (history.home / part).rglob("*")}
