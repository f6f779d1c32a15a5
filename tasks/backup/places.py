"""Where a copy is made, and how it takes its final name: in one step, so that nothing half done ever stands there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from tasks.errors import InfrastructureError
from tasks.files import scratch_folder

# What killed processes left is swept in a folder of this name and nowhere else: the folder around it is the user's.
UNFINISHED = ".trueup-unfinished"


@contextmanager
def unfinished(parent: Path) -> Iterator[Path]:
    """A folder below `parent`, and so on its disk, for what is not whole yet; gone when the block ends."""
    try:
        with scratch_folder(parent / UNFINISHED) as folder:
            yield folder
    finally:
        with suppress(OSError):  # another command is at work in there
            (parent / UNFINISHED).rmdir()


def name_backup(made: Path, target: Path, now: Callable[[], datetime]) -> Path:
    """Move a finished backup to a new dated name in `target`, of which the newest sorts last."""
    while True:
        final = target / f"trueup-{now():%Y-%m-%dT%H%M%SZ}"
        try:
            made.rename(final)  # onto a folder that is there and not empty this fails
            return final
        except OSError:
            if not final.exists():
                raise
            time.sleep(0.2)  # two in one second


def take_place(staged: Path, home: Path) -> None:
    """Make a restored folder the home, which is missing or holds no file; InfrastructureError where it does."""
    try:
        for folder in sorted((p for p in home.rglob("*") if p.is_dir()), reverse=True):  # the innermost first
            folder.rmdir()
        staged.rename(home)
    except OSError as error:
        raise InfrastructureError(
            f"{home}: the restored home cannot take its place: {error.strerror or error}. Nothing was changed there. "
            "Where it is a mount point, name a folder in it with TRUEUP_HOME."
        ) from None
