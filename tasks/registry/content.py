"""What a model file says, apart from how it was written: two fits that came out the same have the same digest.

The bytes of two equal models differ: skops names objects by their place in memory, a zip file carries times, and
MLflow gives each folder an id of its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from tasks.errors import InfrastructureError
from tasks.registry.files import MODEL_FILE

_WRITER = frozenset({"_skops_version", "protocol"})


def digest_estimator(estimator: Any) -> str:
    """Digest of everything that would be stored of a fitted estimator, in hex."""
    import skops.io

    return _digest(io.BytesIO(skops.io.dumps(estimator)))


def digest_stored(folder: Path) -> str:
    """The same digest of a stored model, read from its folder; nothing is loaded.

    InfrastructureError where there is no model file, or one that cannot be read.
    """
    try:
        with (folder / MODEL_FILE).open("rb") as file:
            return _digest(file)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InfrastructureError(
            f"{folder / MODEL_FILE}: cannot be read as a model: {error}. Restore it from a backup."
        ) from None


def _digest(file: BinaryIO) -> str:
    with zipfile.ZipFile(file) as archive:
        members = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
        schema = json.loads(archive.read("schema.json"))
    plain = _forget_places({key: value for key, value in schema.items() if key not in _WRITER}, members)
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


def _forget_places(node: Any, members: dict[str, str]) -> Any:
    """The same tree without addresses in memory; an array stands by the digest of its content."""
    if isinstance(node, list):
        return [_forget_places(item, members) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: members.get(value, value) if key == "file" and isinstance(value, str) else _forget_places(value, members)
        for key, value in node.items()
        if key != "__id__"
    }
