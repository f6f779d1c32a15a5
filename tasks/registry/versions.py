"""Registered versions: finding one, and getting at its model and files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tasks.errors import InfrastructureError
from tasks.files import scratch_folder
from tasks.registry.connection import Registry, import_mlflow
from tasks.registry.files import check_digest, load_model_files
from tasks.registry.locations import local_text, place_here
from tasks.results import ModelVersion

T = TypeVar("T")
TAG = "trueup."
_KEY = re.compile(r"[\w.:-]{1,250}")


def find_version(registry: Registry, project: str, version: int) -> ModelVersion:
    """The registered version; InfrastructureError where there is none, or one that trueup did not register."""
    client = registry.client()
    with registry.errors():
        found = client.get_model_version(project, str(version))
    return read_version(registry, found)


def find_by_key(registry: Registry, project: str, training_key: str) -> ModelVersion | None:
    """The newest version that was registered under a training key; None where there is none."""
    client = registry.client()
    condition = f"name = '{project}' and tags.`{TAG}training_key` = '{check_key(training_key)}'"
    with registry.errors():
        found = client.search_model_versions(condition)
    versions = [read_version(registry, v) for v in found]
    return max(versions, key=lambda v: v.version, default=None)


def load_version(registry: Registry, version: ModelVersion) -> Any:
    """The version's estimator, after its files were compared with the digest.

    MLflow is imported only where the files have to be fetched from a server.
    """
    return load_model_files(locate_model(registry, version), version.digest)


def locate_model(registry: Registry, version: ModelVersion) -> Path:
    """The version's model folder on this machine, its content checked; fetched once where the store is remote."""
    local = _find_local(registry, version.uri)
    if local is not None:
        check_digest(local, version.digest)
        return local
    kept = registry.home / "mlflow" / "models" / version.digest
    if not kept.is_dir():
        with scratch_folder(kept.parent) as scratch:
            folder = _fetch(registry, version.uri, scratch)
            check_digest(folder, version.digest)
            try:
                folder.rename(kept)
            except OSError:
                if not kept.is_dir():  # else another process was faster
                    raise
    try:
        check_digest(kept, version.digest)
    except InfrastructureError:
        shutil.rmtree(kept, ignore_errors=True)  # a copy only: the next call fetches it again
        raise
    return kept


def load_artifact(registry: Registry, version: ModelVersion, path: str) -> Path:
    """A file or folder among the artifacts of the version's run, on this machine.

    InfrastructureError where it is not there.
    """
    if registry.artifacts is not None:  # where nothing but the home is needed, MLflow is not imported
        local = registry.artifacts / version.run_id / "artifacts" / path
        if local.exists():
            return local
    client = registry.client()
    kept = registry.home / "mlflow" / "fetched" / version.run_id
    if not (kept / path).exists():
        with registry.errors():
            kept.mkdir(parents=True, exist_ok=True)
            with scratch_folder(kept.parent) as scratch:
                fetched = Path(client.download_artifacts(version.run_id, path, str(scratch)))
                (kept / path).parent.mkdir(parents=True, exist_ok=True)
                fetched.replace(kept / path)
    return kept / path


def read_artifact(registry: Registry, version: ModelVersion, path: str, read: Callable[[Path], T]) -> T:
    """What `read` makes of a file among the artifacts of the version's run.

    InfrastructureError where the file is not there, or was changed so that it cannot be read. No digest is kept of
    these files, as there is of the model's: `read` must not run what stands in them.
    """
    file = load_artifact(registry, version, path)
    try:
        return read(file)
    except Exception as error:  # noqa: BLE001 - a changed file raises in its reader what it likes
        said = (str(error).strip().splitlines() or ["no message"])[0][:200].rstrip(".")
        raise InfrastructureError(
            f"{version.project}: {file} of version {version.version} cannot be read: it was changed or damaged since "
            f"it was written ({type(error).__name__}: {said}). Restore it from a backup, or train again."
        ) from None


def run_link(registry: Registry, run_id: str) -> str:
    """Where a person finds a run: an address on a server, else its id and how to look."""
    if not registry.is_server:
        return f"MLflow run {run_id} (trueup ui shows it)"
    client = registry.client()
    with registry.errors():
        experiment = client.get_run(run_id).info.experiment_id
    return f"{registry.shown.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning"


def read_version(registry: Registry, found: Any) -> ModelVersion:
    """MLflow's model version as ours; InfrastructureError for one that trueup did not register."""
    try:
        return ModelVersion(
            project=found.name,
            version=int(found.version),
            run_id=found.run_id,
            digest=found.tags[f"{TAG}digest"],
            training_key=found.tags[f"{TAG}training_key"],
            snapshot=found.tags[f"{TAG}snapshot"],
            uri=found.source,
        )
    except KeyError as error:
        raise InfrastructureError(
            f"MLflow at {registry.shown}: version {found.version} of {found.name!r} has no tag {error}: it was not "
            "registered by trueup, or its tags were edited. Only versions that trueup registered can be used."
        ) from None


def check_key(training_key: str) -> str:
    """The key, which stands in a query; ValueError where it could be anything but a key."""
    if not _KEY.fullmatch(training_key):
        raise ValueError(f"no training key: {training_key!r}")
    return training_key


def _find_local(registry: Registry, uri: str) -> Path | None:
    """The folder on this machine that a URI means: this home's own first, since a home may be moved or copied."""
    here = place_here(registry.artifacts, uri) if registry.artifacts is not None else None
    if here is not None and here.is_dir():
        return here
    text = local_text(uri)
    return Path(text) if text.startswith("/") else None


def _fetch(registry: Registry, uri: str, folder: Path) -> Path:
    registry.client()
    import_mlflow()
    from mlflow.artifacts import download_artifacts

    with registry.errors():
        return Path(download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=registry.uri))
