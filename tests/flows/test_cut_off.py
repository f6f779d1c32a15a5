"""Backup, restore and prune, killed at a few instants; the soak tries many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.cutting import cut_off_backups, cut_off_prunes, cut_off_restores
from tests.flows.forking import Forks
from tests.flows.history import History

pytestmark = [pytest.mark.timeout(600)]


def test_there_is_no_half_backup(forks: Forks, made: History, tmp_path: Path) -> None:
    assert cut_off_backups(forks, made, tmp_path, (5, 120, 274)) >= 2


def test_there_is_no_half_home(forks: Forks, made: History, tmp_path: Path) -> None:
    assert cut_off_restores(forks, made, tmp_path, (100, 255)) >= 1


def test_what_a_prune_left_is_removed_by_the_next(forks: Forks, made: History, tmp_path: Path) -> None:
    assert cut_off_prunes(forks, made, tmp_path, (16, 22)) >= 1
