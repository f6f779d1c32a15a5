"""Backup, restore and prune are killed at instants: what is half done never looks whole, and the next one finishes.

An instant is a number of changes to files and databases that the command gets to make.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tasks.backup.manifest import read_manifest
from tasks.registry import check_digest, read_shelf
from tests.flows.forking import Forks
from tests.flows.history import History, copy_history


def cut_off_backups(forks: Forks, made: History, folder: Path, instants: Iterable[int]) -> int:
    """Kill a backup at each instant; returns how often it was not through by then."""
    history, target = copy_history(made, folder / "home"), folder / "backups"
    killed = 0
    for changes in instants:
        before = len(list(target.glob("trueup-*")))
        ended = forks.run("backup", made.shop, str(target), changes=changes, TRUEUP_HOME=str(history.home))
        assert ended.code in (0, -9), ended
        killed += ended.code == -9
        whole = sorted(target.glob("trueup-*"))
        assert len(whole) - before in ((1,) if ended.code == 0 else (0, 1))
        if len(whole) > before:
            read_manifest(whole[-1]).check(whole[-1])
    ended = forks.run("backup", made.shop, str(target), TRUEUP_HOME=str(history.home))
    assert ended.code == 0, ended.error
    assert not [p.name for p in target.iterdir() if p.name.startswith(".")], "what killed ones left is swept"
    return killed


def cut_off_restores(forks: Forks, made: History, folder: Path, instants: Iterable[int]) -> int:
    """Kill a restore at each instant, each into a home of its own; returns how often it was not through by then."""
    assert forks.run("backup", made.shop, str(folder / "kept"), TRUEUP_HOME=str(made.home)).code == 0
    killed = 0
    for changes in instants:
        home = folder / str(changes) / "home"
        ended = forks.run("restore", made.shop, str(folder / "kept"), changes=changes, TRUEUP_HOME=str(home))
        assert ended.code in (0, -9), ended
        killed += ended.code == -9
        if not home.exists():
            again = forks.run("restore", made.shop, str(folder / "kept"), TRUEUP_HOME=str(home))
            assert again.code == 0 and "version 4 is champion" in again.out, again
            assert [p.name for p in home.parent.iterdir()] == ["home"]
        _check_loop(made.shop, home)
    return killed


def cut_off_prunes(forks: Forks, made: History, folder: Path, instants: Iterable[int]) -> int:
    """Kill a prune at each instant, each in a home of its own; returns how often it was not through by then."""
    wanted = copy_history(made, folder / "undisturbed")
    ended = forks.run("prune", made.shop, "--keep", "1", TRUEUP_HOME=str(wanted.home))
    assert ended.code == 0 and "versions   2, 3 of 4" in ended.out, ended
    killed = 0
    for changes in instants:
        history = copy_history(made, folder / str(changes))
        ended = forks.run("prune", made.shop, "--keep", "1", changes=changes, TRUEUP_HOME=str(history.home))
        assert ended.code in (0, -9), ended
        killed += ended.code == -9
        _check_versions(history)
        ended = forks.run("prune", made.shop, "--keep", "1", TRUEUP_HOME=str(history.home))
        assert ended.code == 0, ended
        assert _files(history) == _files(wanted)
        assert _check_versions(history) == [1, 4]
        _check_loop(made.shop, history.home)
    return killed


def _check_loop(shop: str, home: Path) -> None:
    """The ledger verifies, and there is nothing to do."""
    history = History(shop, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_HOME", str(home))
        assert history.due() == () and history.verify()


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
