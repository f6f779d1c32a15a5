"""What a backup holds: every file with its size and SHA-256. Written last, so a folder without one is no backup."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.errors import ConfigError, InfrastructureError
from tasks.files import whole_file

NAME = "manifest.json"
FORMAT = 1
_SHOWN = 3  # damaged files that a message names


@dataclass(frozen=True)
class KeptFile:
    """One file of a backup; `path` is relative to the backup's folder, with slashes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class KeptProject:
    """Where a project's ledger stood: its rows, the newest one's hash, and the champion (None: no release yet)."""

    rows: int
    head: str
    champion: int | None


@dataclass(frozen=True)
class Manifest:
    """A backup's contents. `made_at` is ISO 8601 in UTC; `missing` says in sentences what is not in it.

    `registry` is where MLflow's state was: `home`, and then it is in the backup, or the address of the store.
    """

    made_at: str
    trueup: str
    home: str
    registry: str
    projects: Mapping[str, KeptProject]
    missing: tuple[str, ...]
    files: tuple[KeptFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(f.size for f in self.files)

    def below(self, part: str) -> tuple[KeptFile, ...]:
        """The files in one of the backup's folders."""
        return tuple(f for f in self.files if f.path.startswith(f"{part}/"))

    def write(self, folder: Path) -> None:
        """Write it into the backup's folder, whole or not at all."""
        content = _content(self)
        text = json.dumps({**content, "sha256": _digest(content)}, indent=1)
        with whole_file(folder / NAME) as file:
            file.write(text.encode())

    def check(self, folder: Path) -> None:
        """InfrastructureError where a file is missing, shorter or different from what was written."""
        damaged = [(f.path, why) for f in self.files if (why := _damage(folder, f))]
        if damaged:
            named = "; ".join(f"{path}: {why}" for path, why in damaged[:_SHOWN])
            more = f"; and {len(damaged) - _SHOWN} more" if len(damaged) > _SHOWN else ""
            raise InfrastructureError(
                f"The backup {folder} is damaged: {named}{more}. Nothing was written. Use another backup."
            )


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a backup's folder.

    ConfigError where there is none; InfrastructureError for one that was changed or cut off, or has another format.
    """
    path = folder / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{folder}: no backup; expected a folder with a {NAME}, which is written last.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InfrastructureError(f"{path}: cannot be read: {error}.") from None
    try:
        content = json.loads(text)
        found = content.pop("sha256")
        if content["format"] != FORMAT:
            raise InfrastructureError(
                f"{path}: has format {content['format']}; this trueup reads {FORMAT}. "
                f"Use the trueup that made it: {content['trueup']}."
            )
        if found != _digest(content):
            raise ValueError("its content does not fit its own digest")
        files = tuple(KeptFile(str(f["path"]), int(f["size"]), str(f["sha256"])) for f in content["files"])
        for kept in files:
            _check_path(kept.path)
        return Manifest(
            content["made_at"],
            content["trueup"],
            content["home"],
            content["registry"],
            {str(name): KeptProject(**state) for name, state in content["projects"].items()},
            tuple(content["missing"]),
            files,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InfrastructureError(
            f"{path}: was changed or cut off after it was written: {error}. Use another backup."
        ) from None


def find_backup(folder: Path) -> Path:
    """The backup that is meant: the folder itself, or the newest of those in it. ConfigError where there is none."""
    if (folder / NAME).is_file():
        return folder
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder.")
    there = sorted(path.parent for path in folder.glob(f"trueup-*/{NAME}"))
    if not there:
        raise ConfigError(f"{folder}: holds no backup; expected a folder trueup-... with a {NAME} in it.")
    return there[-1]


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damage(folder: Path, kept: KeptFile) -> str | None:
    path = folder / kept.path
    try:
        if path.is_symlink() or not path.is_file():
            return "missing"
        size = path.stat().st_size
        if size != kept.size:
            return f"{size:,} bytes, expected {kept.size:,}"
        return None if digest_file(path) == kept.sha256 else "its content was changed"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _check_path(path: str) -> None:
    """ValueError for a path that could lead out of the folder it is written to."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path or PurePosixPath(path).as_posix() != path:
        raise ValueError(f"it names a file outside the backup: {path!r}")


def _content(manifest: Manifest) -> dict[str, Any]:
    return {"format": FORMAT, **asdict(manifest)}


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
