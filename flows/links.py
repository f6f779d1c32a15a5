"""Addresses of files in a home, as its pages link to them: relative, so that a home may be moved or copied."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


class Links:
    """Addresses of files relative to a folder; None for what is not there, or not below the home."""

    def __init__(self, home: Path, folder: Path) -> None:
        self._home, self._folder = home, folder

    def to(self, stored: str | None) -> str | None:
        """The address of a path as the ledger keeps it: relative to the home."""
        if not stored or Path(stored).is_absolute() or ".." in Path(stored).parts:
            return None
        path = self._home / stored
        return quote(os.path.relpath(path, self._folder)) if path.is_file() else None
