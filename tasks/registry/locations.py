"""Where a home's artifacts lie, also after it was moved: MLflow records absolute paths, a home is a folder like any.

A home keeps its artifacts in `mlflow/artifacts` below itself, beside MLflow's database. So what was recorded under
another folder of that name is looked for here first, and the records are rewritten when the store is opened.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from tasks.errors import InfrastructureError

_log = logging.getLogger(__name__)
_MARK = "/mlflow/artifacts"
_BUSY_SECONDS = 30.0
# Every column of MLflow's schema that holds where an artifact lies.
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def home_database(home: Path) -> Path:
    """MLflow's database in a home."""
    return home.resolve() / "mlflow" / "mlflow.db"


def place_here(artifacts: Path, uri: str) -> Path | None:
    """Where below `artifacts` lies what was recorded at `uri`; None for what never lay in a home."""
    before, mark, inside = local_text(uri).rpartition(_MARK + "/")
    parts = PurePosixPath(inside).parts
    if not mark or not before.startswith("/") or not parts or ".." in parts:
        return None
    return artifacts.joinpath(*parts)


def local_text(uri: str) -> str:
    """A URI's path where it is a file's, else the URI."""
    if uri.startswith("file://"):
        from urllib.request import url2pathname

        return url2pathname(uri.removeprefix("file://"))
    return uri


def follow_home(home: Path) -> bool:
    """Rewrite what MLflow's database records where this home lay somewhere else before; returns whether it did.

    All in one transaction, and only where no registered model would be lost by it: where its files are not here but
    still at the old place, everything is left as it is. Costs one query where there is nothing to do, and imports
    nothing. InfrastructureError where the database cannot be written.
    """
    database = home_database(home)
    artifacts = database.parent / "artifacts"
    if not database.is_file():
        return False
    try:
        with _open(database, "ro") as connection:
            old = [root for root in _find_roots(connection) if root != str(artifacts)]
            left = _left_behind(connection, old, artifacts) if old else None
    except sqlite3.Error:
        return False  # what is wrong with it, MLflow says when it opens it
    if not old:
        return False
    if left is not None:
        _log.warning(
            "MLflow's records in %s name models in %s that are not here: nothing was rewritten. Move its artifacts "
            "folder too.", database, left,
        )  # fmt: skip
        return False
    try:
        with _open(database, "rw") as connection:
            connection.execute("BEGIN IMMEDIATE")
            for root in old:
                _rewrite(connection, root, str(artifacts))
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise InfrastructureError(
            f"The home was moved to {home}, and MLflow's records in {database} still name {old[0]}; they could not be "
            f"rewritten: {error}. Check that the folder can be written to and that no other process keeps it locked."
        ) from None
    _log.info("MLflow's records in %s now name this home instead of %s", database, ", ".join(old))
    return True


def _find_roots(connection: sqlite3.Connection) -> list[str]:
    """The artifact folders of homes that experiments name."""
    found = set()
    for (location,) in connection.execute("SELECT DISTINCT artifact_location FROM experiments"):
        before, mark, inside = (location or "").rpartition(_MARK)
        if mark and before.startswith("/") and (not inside or inside.startswith("/")):
            found.add(before + mark)
    return sorted(found)


def _left_behind(connection: sqlite3.Connection, roots: list[str], artifacts: Path) -> Path | None:
    """A registered model that lies at the old place and not here."""
    for (source,) in connection.execute("SELECT source FROM model_versions"):
        for root in roots:
            if source and source.startswith(root + "/"):
                here = artifacts / source.removeprefix(root + "/")
                if Path(source).exists() and not here.exists():
                    return Path(source)
    return None


def _rewrite(connection: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in _COLUMNS:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - names of our own
            f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
            (new, len(old) + 1, old, len(old) + 1, old + "/"),
        )


@contextmanager
def _open(database: Path, mode: str) -> Iterator[sqlite3.Connection]:
    uri = f"file:{quote(str(database))}?mode={mode}"
    with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
        yield connection
