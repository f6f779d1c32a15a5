"""Kills at random instants and at every named point, full disks, locked databases, a home that cannot be written to.

What was counted is printed. `TRUEUP_SOAK_SECONDS` says how long the random kills go on, `TRUEUP_SOAK_SEED` which
ones they are.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.ledger import open_ledger
from tasks.registry import digest_folder
from tests.flows.forking import NOT_INHERITED, ROOT, Ended, Forks
from tests.flows.outcome import PROJECT, Outcome, flow_runs, read_outcome
from tests.flows.turns import (
    FIRST,
    FIRST_TURN,
    SECOND,
    SECOND_TURN,
    crash,
    finish,
    kill_one_after_the_other,
)

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]
SECONDS = float(os.environ.get("TRUEUP_SOAK_SECONDS", "600"))
SEED = int(os.environ.get("TRUEUP_SOAK_SEED", time.time_ns() % 1_000_000))


def check_instant(home: Path) -> None:
    """What holds at any instant: one valid champion or none, and every file under a final name is whole."""
    if not (home / "ledger.db").exists():
        return
    with open_ledger(home) as ledger:
        found = ledger.verify(PROJECT)
        assert found.holds, found.sentence
        champion = ledger.champion(PROJECT)
        if champion is not None:
            (trained,) = (e for e in ledger.entries(PROJECT, "train") if e.subject == str(champion.version))
            folder = Path(trained.payload["uri"].removeprefix("file://"))
            assert digest_folder(folder) == trained.payload["digest"]
    for path in (home / PROJECT).rglob("*.parquet"):
        if not any(part.startswith(".") for part in path.relative_to(home).parts):
            pq.read_table(path)


def wait_until_alone(pid: int) -> None:
    """Nothing that a killed command started goes on for long."""
    until = time.monotonic() + 60
    while True:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < until, f"processes of group {pid} are left behind"
        time.sleep(0.1)


def test_every_point_one_after_the_other(
    forks: Forks, shop: str, undisturbed: tuple[Outcome, Outcome], tmp_path: Path
) -> None:
    kill_one_after_the_other(forks, shop, undisturbed, tmp_path / "home", every=True)


def test_every_point_by_itself(forks: Forks, shop: str, undisturbed: tuple[Outcome, Outcome], tmp_path: Path) -> None:
    home, kept = (
        tmp_path / "home",
        tmp_path / "kept",
    )  # a home may not be moved to be resumed: MLflow's paths are absolute
    for point in FIRST_TURN:
        crash(forks, shop, home, FIRST, point)
        finish(forks, shop, home, FIRST, undisturbed[0])
        shutil.rmtree(kept, ignore_errors=True)
        home.rename(kept)
    for point in SECOND_TURN:
        shutil.copytree(kept, home)
        crash(forks, shop, home, SECOND, point)
        finish(forks, shop, home, SECOND, undisturbed[1])
        shutil.rmtree(home)
    print(f"\neach by itself: {len(FIRST_TURN)} points of a first turn, {len(SECOND_TURN)} of a second")


def test_random_instants(forks: Forks, shop: str, undisturbed: tuple[Outcome, Outcome], tmp_path: Path) -> None:
    """Two turns, by one command or by two at once, killed at random until they are through; and all over again."""
    chance, counts = random.Random(SEED), Counter[str]()
    until = time.monotonic() + SECONDS
    while time.monotonic() < until or not counts["homes"]:
        home = tmp_path / f"home{counts['homes']}"
        for turn, wanted in zip((FIRST, SECOND), undisturbed, strict=True):
            while not _attempt(forks, shop, home, turn, chance, counts):
                check_instant(home)
            assert read_outcome(home) == wanted, f"seed {SEED}"
        assert forks.run("validate", shop, *SECOND, TRUEUP_HOME=str(home)).code == 0
        states = flow_runs(home)
        assert set(states) <= {"COMPLETED", "CRASHED"}, states
        counts["homes"] += 1
        shutil.rmtree(home)
    print(f"\nrandom instants, seed {SEED}: {dict(counts)}")


def _attempt(
    forks: Forks, shop: str, home: Path, turn: tuple[str, ...], chance: random.Random, counts: Counter[str]
) -> bool:
    """Start one command or two and kill some of them; True where the last one came through."""
    commands = [forks.start("run", shop, *turn, TRUEUP_HOME=str(home)) for _ in range(chance.choice((1, 1, 2)))]
    spared = chance.random() < 0.15
    for command in commands[1:] if spared else commands:
        time.sleep(chance.uniform(0, 10))
        os.kill(command.pid, signal.SIGKILL)  # only itself: what it started has to end on its own
    ended = [forks.wait(command) for command in commands]
    for command, end in zip(commands, ended, strict=True):
        wait_until_alone(command.pid)
        assert end.code in (0, -9), end.error
        counts["killed" if end.code == -9 else "came through"] += 1
    return ended[0].code == 0


def test_a_whole_command_killed_after_a_random_time(
    shop: str, undisturbed: tuple[Outcome, Outcome], tmp_path: Path
) -> None:
    """As a user starts it, imports and all: killed again and again with its group, until it is through."""
    chance, home, killed = random.Random(SEED), tmp_path / "home", 0
    environment = {k: v for k, v in os.environ.items() if k not in NOT_INHERITED}
    for turn, wanted in zip((FIRST, SECOND), undisturbed, strict=True):
        for attempt in range(100):
            with subprocess.Popen(
                [sys.executable, "-m", "flows", "run", shop, *turn],
                cwd=ROOT,
                env={**environment, "TRUEUP_HOME": str(home)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            ) as command:
                try:
                    _, error = command.communicate(timeout=chance.uniform(0, 40) + attempt)
                except subprocess.TimeoutExpired:
                    os.kill(command.pid, signal.SIGKILL)
                    _, error = command.communicate()
            wait_until_alone(command.pid)
            assert "Traceback" not in error, error
            check_instant(home)
            if command.returncode == 0:
                break
            assert command.returncode == -9, error
            killed += 1
        assert read_outcome(home) == wanted
    print(f"\nwhole commands, seed {SEED}: {killed} killed, then both turns came through")


def fails_in_words(ended: Ended) -> None:
    assert ended.code == 4, (ended.code, ended.out, ended.error)
    assert "Traceback" not in ended.error and ended.error.splitlines()[-1].startswith("trueup: "), ended.error


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A file system of that size, and a function that changes its options; skips where none may be mounted."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a file system")
    try:
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True) and None
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk(forks: Forks, shop: str, undisturbed: tuple[Outcome, Outcome], tmp_path: Path) -> None:
    failed = 0
    for kilobytes in (16, 48, 100, 300, 700, 1500, 3000, 4500, 5200, 5600, 6000, 6400, 6800, 7200, 7600, 9000, 20000):
        disk = tmp_path / f"disk{kilobytes}"
        with small_disk(disk, f"{kilobytes}k") as change:
            ended = forks.run("run", shop, *FIRST, TRUEUP_HOME=str(disk / "home"))
            if ended.code != 0:
                fails_in_words(ended)
                failed += 1
            change("size=100m")
            finish(forks, shop, disk / "home", FIRST, undisturbed[0])
    assert failed > 8 and ended.code == 0
    print(f"\nfull disk: {failed} sizes of 17 were too small; each ended with exit code 4 and was resumed")


def test_files_that_may_not_grow(forks: Forks, shop: str, undisturbed: tuple[Outcome, Outcome], tmp_path: Path) -> None:
    failed = 0
    for kilobytes in (4, 20, 60, 100, 200, 400, 600, 800, 1200, 1600, 8000):
        home = tmp_path / f"home{kilobytes}"
        ended = forks.run("run", shop, *FIRST, TRUEUP_HOME=str(home), largest_file=1024 * kilobytes)
        if ended.code != 0:
            fails_in_words(ended)
            failed += 1
        finish(forks, shop, home, FIRST, undisturbed[0])
    assert failed > 5 and ended.code == 0
    print(
        f"\nfiles that may not grow: {failed} limits of 11 were too small; each ended with exit code 4 and was resumed"
    )


def test_a_home_that_cannot_be_written_to(
    forks: Forks, shop: str, undisturbed: tuple[Outcome, Outcome], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "100m") as change:
        change("ro")
        fails_in_words(forks.run("run", shop, *FIRST, TRUEUP_HOME=str(disk / "home")))
        change("rw")
        finish(forks, shop, disk / "home", FIRST, undisturbed[0])
        change("ro")
        for command in (
            ("run", shop, *FIRST),
            ("run", shop, *SECOND),
            ("train", shop),
            ("score", shop),
            ("monitor", shop),
        ):
            fails_in_words(forks.run(*command, TRUEUP_HOME=str(disk / "home")))
        fails_in_words(forks.run("rollback", shop, "1", "--reason", "none", TRUEUP_HOME=str(disk / "home")))
        change("rw")
        finish(forks, shop, disk / "home", SECOND, undisturbed[1])


@pytest.mark.parametrize("name", ["ledger.db", "mlflow/mlflow.db", "prefect/prefect.db"])
def test_a_locked_database(
    forks: Forks, shop: str, undisturbed: tuple[Outcome, Outcome], tmp_path: Path, name: str
) -> None:
    home = tmp_path / "home"
    finish(forks, shop, home, FIRST, undisturbed[0])
    with closing(sqlite3.connect(home / name, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        fails_in_words(forks.run("run", shop, *SECOND, TRUEUP_HOME=str(home)))
        print(f"\n{name} locked: given up after {time.monotonic() - began:.0f} s")
        other.execute("ROLLBACK")
    finish(forks, shop, home, SECOND, undisturbed[1])
