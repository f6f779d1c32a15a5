"""Files that a project file names, and what may have gone wrong where one of their columns is not there."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Sequence
from pathlib import Path

from tasks.config import LoadedProject, shown
from tasks.errors import DataError
from tasks.table import Schema

FORMATS = (".parquet", ".pq", ".csv", ".csv.gz")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def match_files(project: LoadedProject, sources: Sequence[str], key: str, may_lack: bool = False) -> list[Path]:
    """The files that paths and globs mean, sorted by path; `key` is the project file's, for messages.

    DataError where one matches nothing or has no known format. With `may_lack` a glob in a folder that is there may
    match nothing yet.
    """
    files: set[Path] = set()
    for source in sources:
        pattern = (
            str(Path(source).expanduser()) if Path(source).expanduser().is_absolute() else str(project.root / source)
        )
        found = [Path(p) for p in glob.glob(pattern, recursive=True) if Path(p).is_file()]  # noqa: PTH207 - patterns may be absolute
        if not found and Path(pattern).is_dir():
            raise DataError(
                f"{shown(project.path)}: {key}: {source!r} is a folder; expected files. "
                f"Say which: {source.rstrip('/')}/*.csv or {source.rstrip('/')}/*.parquet."
            )
        if not found and not (may_lack and glob.has_magic(source) and _folder_of(pattern).is_dir()):
            raise DataError(
                f"{shown(project.path)}: {key}: {source!r} matches no file under {shown(project.root)}/. "
                "Expected at least one .parquet, .csv or .csv.gz file; a relative path starts at that folder."
            )
        files.update(found)
    for path in sorted(files):
        if not path.name.endswith(FORMATS):
            raise DataError(f"{shown(path)}: expected a file that ends in {', '.join(FORMATS)}.")
        if not str(path).isascii() and str(path).encode("utf-8", "replace").decode() != str(path):
            raise DataError(f"{shown(path)}: the file's name is not UTF-8. Rename the file.")
    return sorted(files)


def _folder_of(pattern: str) -> Path:
    """The folder below which a glob looks: what stands before its first part with a wildcard."""
    parts = Path(pattern).parts
    plain = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:plain])


def resembling(name: str, schema: Schema) -> str:
    """What may have gone wrong where there is no column `name`: a near miss, other separators, no header line."""
    plain = {n.strip().lower(): n for n in schema.names}
    close = difflib.get_close_matches(name.strip().lower(), plain, n=1)
    if close:
        return f"Did you mean {plain[close[0]]!r}? "
    if len(plain) == 1 and (mark := next((m for m in ";\t|" if m in schema.names[0]), None)):
        return f"Its fields seem to be separated by {mark!r}; commas are expected. "
    if sum(_NUMBER.fullmatch(n) is not None for n in plain) >= 2:
        return "The first line looks like values: a CSV file needs a line with the columns' names. "
    return ""
