"""Backup, restore and prune, killed at a few instants; the soak tries many more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.cutting import cut_off_backups, cut_off_prunes, cut_off_restores
from tests.flows.forking import Forks, open_forks
from tests.flows.history import History, make_history

pytestmark = [pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> History:
    return make_history(tmp_path_factory.getbasetemp() / "history", migrated)


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with open_forks(tmp_path_factory.mktemp("said")) as forks:
        yield forks


def test_there_is_no_half_backup(forks: Forks, made: History, tmp_path: Path) -> None:
    assert cut_off_backups(forks, made, tmp_path, (5, 120, 274)) >= 2


def test_there_is_no_half_home(forks: Forks, made: History, tmp_path: Path) -> None:
    assert cut_off_restores(forks, made, tmp_path, (100, 255)) >= 1


def test_what_a_prune_left_is_removed_by_the_next(forks: Forks, made: History, tmp_path: Path) -> None:
    assert cut_off_prunes(forks, made, tmp_path, (16, 22)) >= 1
