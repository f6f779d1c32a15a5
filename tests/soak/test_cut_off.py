"""Backup, restore and prune, killed at instants all over their course; how often is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.cutting import cut_off_backups, cut_off_prunes, cut_off_restores
from tests.flows.forking import Forks
from tests.flows.history import History, make_history

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> History:
    return make_history(tmp_path_factory.mktemp("history") / "root")


def test_no_half_backup_home_or_prune(forks: Forks, made: History, tmp_path: Path) -> None:
    for name, cut_off, instants in (
        ("backup", cut_off_backups, [*range(0, 265, 11), *range(265, 282)]),
        ("restore", cut_off_restores, [*range(0, 250, 17), *range(250, 275, 2)]),
        ("prune", cut_off_prunes, range(60)),
    ):
        (tmp_path / name).mkdir()
        killed = cut_off(forks, made, tmp_path / name, instants)
        print(f"{name}: killed at {killed} of {len(instants)} instants; none left anything that looks whole and is not")
        assert killed > len(instants) / 3
