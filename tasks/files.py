"""Files that are there whole or not at all, under names that a stranger's key cannot turn into a path."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tasks.errors import InfrastructureError

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def safe_name(key: str, *parts: str | bytes) -> str:
    """A file name for a key of any content: its readable part, and a hash that tells it from every other.

    `parts` go into the hash: two contents under one key get two names. At most 53 characters, no dot in front.
    """
    digest = hashlib.blake2b(digest_size=6)
    for part in (key, *parts):
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little") + raw)
    readable = _UNSAFE.sub("-", key).strip("-")[:40].strip("-")
    return f"{readable or 'batch'}-{digest.hexdigest()}"


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file to a temporary name beside it; only where the block ends without an error is it renamed to `path`.

    The temporary file is locked while its writer lives, so that one whose writer died is told apart and removed by
    the next writer in the folder. Raises InfrastructureError where the disk refuses (full, read-only, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_folder(path.parent)
        temporary, file = _open_locked(path)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            _sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InfrastructureError(
            f"{path}: cannot be written: {error.strerror or error}. Nothing half-written stands under that name; "
            "make room or give permission, and run again."
        ) from error


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder of one's own below `parent` (made where it is missing), gone when the block ends.

    It is locked while its process lives: what a killed one left is removed by the next scratch folder or whole file
    made beside it. Raises InfrastructureError where the disk refuses, also for an OSError within the block.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep_folder(parent)
        folder, descriptor = _make_locked(parent)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)
    except OSError as error:
        raise InfrastructureError(
            f"{error.filename or parent}: cannot be written: {error.strerror or error}. "
            "Make room or give permission, and run again."
        ) from error


def _make_locked(parent: Path) -> tuple[Path, int]:
    while True:
        folder = parent / f".{secrets.token_hex(6)}.tmp"
        folder.mkdir()
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # a sweeper came between making and opening
            continue
        with suppress(OSError):  # a file system without locks: there no sweeper removes anything
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # waits for a sweeper that is about to remove it
        if folder.exists():
            return folder, descriptor
        os.close(descriptor)


def _open_locked(path: Path) -> tuple[Path, BinaryIO]:
    """A new temporary file that no sweeper takes for a dead writer's."""
    while True:
        temporary = path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
        file = temporary.open("xb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a sweeper came between open and lock, and is about to remove the file
            file.close()
            continue
        except OSError:  # a file system without locks: there no sweeper removes anything
            return temporary, file
        if os.fstat(file.fileno()).st_nlink:
            return temporary, file
        file.close()  # a sweeper came, and went


def sweep_folder(folder: Path) -> None:
    """Remove what killed processes left unfinished in a folder."""
    for left in folder.glob(".*.tmp"):
        with suppress(OSError):  # its writer lives, it is gone or not ours, or the file system has no locks
            descriptor = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
