"""The connection to MLflow: where it keeps its state, its first creation, its quiet, and its errors."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tasks.errors import InfrastructureError
from tasks.registry.locations import follow_home, home_database
from tasks.stage import crash_point

_REACH_SECONDS = 5
# Set where the person has not: no telemetry, no progress bars or links on stdout, and a server that has gone is
# given up after seconds instead of MLflow's minutes.
_ENVIRONMENT = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
# MLflow's pages open on prompts and traces where an experiment does not say that it trains models.
_KIND = {"mlflow.experimentKind": "custom_model_development"}


@dataclass
class Registry:
    """One MLflow store, opened when it is first needed. May be shared between threads.

    `artifacts` is the folder that artifacts go to, None where a server decides.
    """

    home: Path
    uri: str
    artifacts: Path | None
    _client: Any = field(default=None, repr=False)
    _experiments: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """The store as people may read it: without a password."""
        return shown_uri(self.uri)

    @property
    def is_server(self) -> bool:
        """Whether MLflow is reached over HTTP."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def is_in_home(self) -> bool:
        """Whether MLflow's database is the home's own."""
        return self.uri == f"sqlite:///{home_database(self.home)}"

    def client(self) -> Any:
        """The `MlflowClient`, its store created where it is missing. InfrastructureError where it cannot be reached."""
        if self._client is None:
            if self.is_server:
                self._reach()
            import_mlflow()
            from mlflow import MlflowClient

            with self.errors():
                if self.uri.startswith("sqlite:///"):
                    _create_sqlite(Path(self.uri.removeprefix("sqlite:///")), self.artifacts)
                if self.is_in_home:
                    follow_home(self.home)
                self._client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        return self._client

    def experiment(self, project: str) -> str:
        """The id of the project's experiment, made where it is missing."""
        if project not in self._experiments:
            client = self.client()
            with self.errors():
                found = client.get_experiment_by_name(project) or self._create_experiment(project)
            if found.lifecycle_stage != "active":
                raise InfrastructureError(
                    f"MLflow at {self.shown}: experiment {project!r} was deleted. Restore it with `mlflow experiments "
                    f"restore --experiment-id {found.experiment_id}`, or give the project another name."
                )
            self._experiments[project] = found.experiment_id
        return self._experiments[project]

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what MLflow and the stores below it raise into an InfrastructureError that names the store."""
        try:
            yield
        except Exception as error:  # MLflow lets its stores' own errors through; what is none is raised again
            if not _is_store_error(error):
                raise
            raise InfrastructureError(self._explain(error)) from None

    def _create_experiment(self, project: str) -> Any:
        from mlflow.exceptions import MlflowException

        location = None if self.artifacts is None else str(self.artifacts)
        try:
            self._client.create_experiment(project, artifact_location=location, tags=_KIND)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                raise
        return self._client.get_experiment_by_name(project)

    def _reach(self) -> None:
        """Find out within seconds that a server is down. Any answer at all counts as being there."""
        import urllib.error
        import urllib.request
        from http.client import HTTPException

        parts = urlsplit(self.uri)
        address = urlunsplit(
            (parts.scheme, parts.netloc.rpartition("@")[2], f"{parts.path.rstrip('/')}/health", "", "")
        )
        try:
            with urllib.request.urlopen(address, timeout=_REACH_SECONDS):  # noqa: S310 - http(s) only
                return
        except urllib.error.HTTPError:
            return
        except (OSError, ValueError, HTTPException) as error:
            if "certificate" in str(error).lower():
                return  # MLflow has its own settings for certificates, and its own words
            raise InfrastructureError(self._explain(error)) from None

    def _explain(self, error: BaseException) -> str:
        lines = str(error).strip().splitlines()
        detail = (lines[0] if lines else type(error).__name__)[:300].rstrip(".").replace(self.uri, self.shown)
        password = urlsplit(self.uri).password
        if password:
            detail = detail.replace(password, "***")
        if self.is_server:
            mend = (
                "Check that the server runs and that MLFLOW_TRACKING_URI names it; or unset it to use the home's own."
            )
        else:
            mend = "Check that its folder can be written to, that the disk is not full, and MLFLOW_TRACKING_URI if set."
        return f"MLflow at {self.shown} failed: {detail}. {mend}"


def open_registry(home: Path, uri: str | None = None) -> Registry:
    """The MLflow store of a home: `uri`, else `MLFLOW_TRACKING_URI`, else SQLite under the home.

    Nothing is imported, made or reached until it is needed.
    """
    folder = home.resolve() / "mlflow"
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI", "").strip() or f"sqlite:///{home_database(home)}"
    is_server = chosen.startswith(("http://", "https://", "databricks"))
    return Registry(home.resolve(), chosen, None if is_server else folder / "artifacts")


def import_mlflow() -> None:
    """Import MLflow with its telemetry off and its log at warnings."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401 - its import configures logging, which is then turned down

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def shown_uri(uri: str) -> str:
    """A URI as people may read it: without a password."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    user, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{place}"))


def _create_sqlite(path: Path, artifacts: Path | None) -> None:
    """Create MLflow's tables, once and whole: its migrations neither stand company nor being cut off.

    They run on a file of another name, which is renamed when they are through.
    """
    import fcntl

    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".creating").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if path.exists():
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        unfinished = path.with_name(path.name + ".new")
        for left in (unfinished, unfinished.with_name(unfinished.name + "-journal")):
            left.unlink(missing_ok=True)
        store = SqlAlchemyStore(f"sqlite:///{unfinished}", str(artifacts or path.parent / "artifacts"))
        store.engine.dispose()
        crash_point("registry-made")
        unfinished.replace(path)


def _is_store_error(error: BaseException) -> bool:
    from mlflow.exceptions import MlflowException

    # SQLAlchemy itself belongs to the ledger's room, so its errors are told by where they are defined.
    return isinstance(error, (MlflowException, OSError)) or type(error).__module__.startswith("sqlalchemy.")
