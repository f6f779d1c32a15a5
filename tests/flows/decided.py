"""A home in which decisions were made, built once, and copied for each test that goes on from there.

Version 1 was champion, then 2, then 3; version 4 passed its gates and waits for a person; version 5 was rejected since
it does not beat the baseline by as much as was asked. Their gates compared each with the champion of its time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.release import decide_by_hand
from flows.workspace import Workspace, open_workspace
from tasks.ledger import Entry, Head, Verification, open_ledger
from tasks.registry import Registry, open_registry, place_here, read_aliases, read_head
from tests.flows.forking import Ended, Forks
from tests.flows.turns import write_shop

NAME = "shop"
SECOND = ("--as-of", "2024-05-01")
WAITING, REJECTED = 4, 5


@dataclass
class Decided:
    """The project in a home of its own."""

    file: str
    home: Path

    @property
    def registry(self) -> Registry:
        return open_registry(self.home)

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        with open_workspace(self.file, "now", [], "release", reads=False) as workspace:
            yield workspace

    def decide(self, action: str, version: int | None = None, override: bool = False) -> str:
        """A person's decision, as the flow takes it; they have seen who is champion."""
        with self.open() as workspace:
            return decide_by_hand(workspace, action, version, "because I say so", override, self.champion)

    @property
    def champion(self) -> int | None:
        with open_ledger(self.home) as ledger:
            champion = ledger.champion(NAME)
        return champion.version if champion else None

    def entries(self, step: str) -> tuple[Entry, ...]:
        with open_ledger(self.home) as ledger:
            return ledger.entries(NAME, step=step)

    def aliases(self) -> dict[str, int]:
        return read_aliases(self.registry, NAME)

    def tags(self, version: int) -> dict[str, str]:
        return dict(self.registry.client().get_model_version(NAME, str(version)).tags)

    def verified(self) -> Verification:
        """The chain against the head that MLflow has noted."""
        noted = read_head(self.registry, NAME)
        assert noted is not None
        with open_ledger(self.home) as ledger:
            return ledger.verify(NAME, Head(*noted))

    def model(self, version: int) -> Path:
        """The folder of a version's model."""
        (trained,) = (e for e in self.entries("train") if e.subject == str(version))
        folder = place_here(self.home / "mlflow" / "artifacts", trained.payload["uri"])
        assert folder is not None and folder.is_dir()
        return folder

    def edit(self, section: str, **keys: Any) -> None:
        """Change the project file."""
        path = Path(self.file)
        raw = yaml.safe_load(path.read_text())
        raw[section] = {**raw.get(section, {}), **keys}
        path.write_text(yaml.safe_dump(raw))

    def train_again(self, version: int, **changes: Any) -> Entry:
        """Write another training of a version: the same but for these facts."""
        (trained,) = (e for e in self.entries("train") if e.subject == str(version))
        payload = {**trained.payload, **changes}
        with self.open() as workspace:
            return workspace.record("train", f"again {version}", str(version), trained.outcome, trained.reason, payload)

    def command(self, forks: Forks, action: str, *arguments: str, crash_at: str = "") -> Ended:
        """A command in a process of its own, killed at a point where one is named."""
        return forks.run(action, self.file, *arguments, TRUEUP_HOME=str(self.home), TRUEUP_CRASH_AT=crash_at)


def kill_overruling(decided: Decided, forks: Forks, points: Sequence[str]) -> None:
    """Promote what was rejected, cut off at one point after the other; each command finishes what the last began."""
    overrule = ("promote", str(REJECTED), "--override", "--reason", "it must go out")
    written = False
    for point in points:
        ended = decided.command(forks, *overrule, crash_at=point)
        assert ended.code == -9, (point, ended)
        written = written or point not in ("before-decision", "in-ledger")
        assert decided.champion == (REJECTED if written else 3) and decided.verified().holds
        assert len(decided.entries("release")) == (6 if written else 5)
    ended = decided.command(forks, *overrule)
    assert ended.code == 2 and "version 5 is the champion already" in ended.error, ended
    assert len(decided.entries("release")) == 6
    assert decided.aliases() == {"champion": 5, "previous": 3, "challenger": 4}
    assert decided.tags(REJECTED)["trueup.override"].startswith("Overruled baseline: it must go out")
    assert decided.verified().holds


@pytest.fixture(scope="session")
def told(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is copied: project and home, as they are after the fifth training."""
    folder = tmp_path_factory.mktemp("building")
    file, home = write_shop(folder / "work"), str(folder / "home")
    changes: tuple[tuple[str, ...], ...] = (
        ("--as-of", "2024-03-01"),
        (*SECOND, "--set", "train.seed=8"),
        (*SECOND, "--set", "train.seed=9"),
        (*SECOND, "--set", "train.seed=10", "--set", "promotion=manual"),
        (*SECOND, "--set", "train.seed=11", "--set", "gates.beat_baseline_by=0.9"),
    )
    for options in changes:
        ended = forks.run("train", file, *options, TRUEUP_HOME=home)
        assert ended.code == (1 if options[-1].startswith("gates.") else 0), ended
    with open_ledger(Path(home)) as ledger:
        decided = [(e.subject, e.outcome) for e in ledger.entries(NAME, step="release")]
    promoted = [(str(version), "promote") for version in (1, 2, 3)]
    assert decided == [*promoted, (str(WAITING), "propose"), (str(REJECTED), "reject")]
    return folder.rename(folder.with_name("told"))  # what MLflow has noted as absolute paths is not there any more


@pytest.fixture
def decided(told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decided:
    shutil.copytree(told, tmp_path, dirs_exist_ok=True)
    assert os.environ["TRUEUP_HOME"] == str(tmp_path / "home")
    return Decided(str(tmp_path / "work" / "configs" / "shop.yaml"), tmp_path / "home")
