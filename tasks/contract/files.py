"""Files about what strangers deliver: a batch key never becomes a path, and no file is ever seen half-written."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from tasks.files import scratch_folder

_UNSAFE = re.compile(r"[^a-z0-9]+")


def stem(batch: str, content: str) -> str:
    """A file name's stem for a batch: readable where the key is, and always distinct, by a hash of key and content."""
    readable = _UNSAFE.sub("-", batch.lower()).strip("-")[:60].strip("-") or "batch"
    digest = hashlib.sha256(f"{batch}\0{content}".encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{readable}-{digest}"


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """A temporary path below `folder` (made where it is missing) that is gone afterwards, unless it was `settle`d.

    What a killed process left there is removed too. Raises InfrastructureError where the disk refuses.
    """
    with scratch_folder(folder) as scratch:
        yield scratch / "unfinished"


def settle(temporary: Path, final: Path) -> Path:
    """Give a finished file its final name, so that it is there whole or not at all, also after a power cut."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(final)
    handle = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return final
