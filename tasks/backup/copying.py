"""Copying a home's files while others may read and write it, and putting them back."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path

from tasks.backup.manifest import KeptFile, digest_file
from tasks.errors import InfrastructureError

_CHUNK = 1 << 20
_SPARE = 16 << 20  # bytes that are left free on the disk
_BUSY_SECONDS = 60.0
_SQLITE = b"SQLite format 3\0"
# Of a process that runs, or ran: locks, scratch, notes and logs. Nothing of it means anything in a copy.
_PASSING_FOLDERS = frozenset({"locks", "scratch", "prefect/running", ".trueup-unfinished"})
# What a replay lived through can be lived through again; its page and tables are kept.
_PASSING_ANYWHERE = ("replays/*/*",)
_PASSING_FILES = frozenset({"prefect/server.lock", "prefect/server.json", "prefect/server.log", "prefect/schema.lock"})
_PASSING_ENDS = (".tmp", ".creating", ".new", "-pages.log")
_BESIDE_SQLITE = ("-wal", "-shm", "-journal")

Tell = Callable[[int, int], None]  # bytes done, bytes in all


def list_files(home: Path, leave_out: Collection[Path] = ()) -> list[tuple[Path, str]]:
    """What is kept of a home: each file, and its path relative to the home with slashes; sorted.

    Links to folders and files are followed, since a part of a home may lie on another disk. `leave_out` are databases
    that are kept in another form.
    """
    left = {path.resolve() for path in leave_out}
    return sorted(_walk(home, home, left, {home.resolve()}), key=lambda pair: pair[1])


def check_space(folder: Path, needed: int) -> None:
    """InfrastructureError where the disk of a folder has not so many bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise InfrastructureError(
            f"{folder}: not enough space: {needed / 1e6:,.1f} MB are needed and {free / 1e6:,.1f} MB are free. "
            "Nothing was written; make room or take another disk."
        )


def copy_files(files: Sequence[tuple[Path, str]], target: Path, part: str, tell: Tell | None = None) -> list[KeptFile]:
    """Copy files below `target/part` and return what stands there, synced.

    A SQLite database is copied by SQLite, as of one moment, also while others write to it. A file that went away
    since it was listed is left out.
    """
    sizes = [_size(path) for path, _ in files]
    done, kept = 0, []
    for (path, name), size in zip(files, sizes, strict=True):
        place = target / part / name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            if _is_sqlite(path):
                _copy_sqlite(path, place)
                digest = digest_file(place)
            else:
                digest = _copy(path, place)
        except FileNotFoundError:
            place.unlink(missing_ok=True)
            continue
        kept.append(KeptFile(f"{part}/{name}", place.stat().st_size, digest))
        done += size
        if tell is not None:
            tell(done, sum(sizes))
    return kept


def put_back(source: Path, files: Sequence[KeptFile], part: str, target: Path, tell: Tell | None = None) -> None:
    """Copy a part of a backup below `target`; InfrastructureError where one is not what the manifest says."""
    done, whole = 0, sum(f.size for f in files)
    for kept in files:
        place = target / kept.path.removeprefix(f"{part}/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if _copy(source / kept.path, place) != kept.sha256:
            raise InfrastructureError(f"{source / kept.path}: was changed while it was read. Nothing was restored.")
        done += kept.size
        if tell is not None:
            tell(done, whole)


def sync_folders(folder: Path, deep: bool = True) -> None:
    """Have the names of all files and folders in a folder on the disk; without `deep` only its own entries."""
    for place in [entry[0] for entry in os.walk(folder)] if deep else [str(folder)]:
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _walk(folder: Path, home: Path, left: set[Path], seen: set[Path]) -> Iterator[tuple[Path, str]]:
    for path in folder.iterdir():
        name = path.relative_to(home).as_posix()
        if path.name.startswith(".") and path.name.endswith(".tmp"):
            continue
        if path.is_dir():
            real = path.resolve()
            if name in _PASSING_FOLDERS or any(fnmatchcase(name, p) for p in _PASSING_ANYWHERE):
                continue
            if real in seen:  # a link may lead back
                continue
            yield from _walk(path, home, left, {*seen, real})
        elif path.is_file() and not _is_passing(path, name, left):
            yield path, name


def _is_passing(path: Path, name: str, left: set[Path]) -> bool:
    if name in _PASSING_FILES or name.endswith(_PASSING_ENDS):
        return True
    for end in ("", *_BESIDE_SQLITE):
        if name.endswith(end):
            database = path.with_name(path.name.removesuffix(end)) if end else path
            if database.resolve() in left or (end and _is_sqlite(database)):
                return True
    return False


def _is_sqlite(path: Path) -> bool:
    if path.suffix != ".db":
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _copy(source: Path, target: Path) -> str:
    """Copy a file with its mode and times; returns the SHA-256 of what was written."""
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("xb") as writing:
        while chunk := reading.read(_CHUNK):
            digest.update(chunk)
            writing.write(chunk)
        writing.flush()
        os.fsync(writing.fileno())
    shutil.copystat(source, target)
    return digest.hexdigest()


def _copy_sqlite(source: Path, target: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(source, timeout=_BUSY_SECONDS)) as reading,
            closing(sqlite3.connect(target)) as writing,
        ):
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode=DELETE")  # one file, whatever the original works with
            found = writing.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise InfrastructureError(f"{source}: SQLite cannot copy it: {error}. No backup was made.") from None
    if found != "ok":
        raise InfrastructureError(f"{source}: is damaged: {found}. No backup was made.")
    with target.open("rb+") as file:
        os.fsync(file.fileno())
    shutil.copystat(source, target)
