"""One MLflow run and one registered version per training, whatever is cut off in between.

The caller holds the project's lock. A version is registered last, with everything that it stands for already in
place: so where there is a version for a training key it is whole, and a run without one is dead.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tasks.registry.connection import Registry
from tasks.registry.files import check_digest
from tasks.registry.record import (
    LONGEST_TEXT,
    TrainingRecord,
    clean_names,
    finite_metrics,
    make_inputs,
    write_note,
)
from tasks.registry.versions import TAG, find_by_key, read_version
from tasks.results import ModelVersion
from tasks.stage import crash_point, stage

_log = logging.getLogger(__name__)
_AT_ONCE = 100  # parameters and tags in one request; MLflow's limit


def find_training(registry: Registry, project: str, training_key: str) -> ModelVersion | None:
    """The version that this training led to, from an earlier turn; None where it has to be trained.

    Runs of the project that were cut off before their version was registered are marked as killed.
    """
    version = find_by_key(registry, project, training_key)
    _close_runs(registry, project)
    return version


def register_training(registry: Registry, project: str, record: TrainingRecord) -> ModelVersion:
    """Log a training and register its model. The same training key gives the same version, also after a crash."""
    known = find_training(registry, project, record.training_key)
    if known is not None:
        return known
    check_digest(record.stored.path, record.stored.digest)
    client = registry.client()
    experiment = registry.experiment(project)
    tags = _make_tags(project, record)
    with registry.errors():
        begun = int((time.time() - record.metrics.get("training/seconds", 0.0)) * 1000)  # so that its duration is right
        run = client.create_run(experiment, begun, tags, f"train {record.training_key[:8]}")
        run_id = run.info.run_id
        crash_point("after-run-created")
        _log_values(client, run_id, record)
        _log_files(client, run_id, record)
        model = _log_model(client, experiment, run_id, record)
        crash_point("before-version")
        version = _create_version(client, project, run_id, model, record)
        crash_point("after-version")
        _finish(client, run_id, version, [model])
    return read_version(registry, version)


def _close_runs(registry: Registry, project: str) -> None:
    """End the training runs that are open though nobody trains: finished where a version came of it, else killed."""
    client = registry.client()
    experiment = registry.experiment(project)
    with registry.errors():
        open_runs = client.search_runs(
            [experiment], f"tags.`{TAG}kind` = 'training' and attributes.status = 'RUNNING'", max_results=1000
        )
        for run in open_runs:
            run_id = run.info.run_id
            versions = client.search_model_versions(f"name = '{project}' and run_id = '{run_id}'")
            _log.info("MLflow run %s was cut off; marked as %s", run_id, "finished" if versions else "killed")
            models = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
            if versions:
                _finish(client, run_id, versions[0], models)
                continue
            for model in models:
                if str(model.status) != "READY":
                    client.finalize_logged_model(model.model_id, "FAILED")
            client.set_terminated(run_id, "KILLED")


def _finish(client: Any, run_id: str, version: Any, models: Iterable[Any]) -> None:
    """End a run whose version is registered, with the link between the two on MLflow's page of the model."""
    shown = json.dumps([{"name": version.name, "version": str(version.version)}])
    for model in models:
        client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": shown})
    client.update_run(run_id, name=f"train version {version.version}")
    client.set_terminated(run_id, "FINISHED")


def _make_tags(project: str, record: TrainingRecord) -> dict[str, str]:
    given = {TAG + name: value for name, value in clean_names(record.tags).items()}
    own = {
        f"{TAG}kind": "training",
        f"{TAG}project": project,
        f"{TAG}training_key": record.training_key,
        f"{TAG}snapshot": record.snapshot,
        f"{TAG}digest": record.stored.digest,
        "mlflow.source.name": f"trueup train {project}",
        "mlflow.source.type": "LOCAL",
    }
    shown = {
        "mlflow.user": record.actor,
        "mlflow.note.content": write_note(record.description),
        "mlflow.source.git.commit": record.tags.get("git_commit", ""),
    }
    return {k: str(v)[:LONGEST_TEXT] for k, v in {**given, **own, **shown}.items() if v}


def _log_values(client: Any, run_id: str, record: TrainingRecord) -> None:
    from mlflow.entities import Metric, Param

    at = int(time.time() * 1000)  # MLflow's own clock; no decision hangs on it
    params = [Param(k, str(v)[:LONGEST_TEXT]) for k, v in clean_names(record.params).items()]
    metrics = [Metric(k, v, at, 0) for k, v in finite_metrics(record.metrics).items()]
    client.log_batch(run_id, metrics=metrics[:800], params=params[:_AT_ONCE])
    for start in range(_AT_ONCE, len(params), _AT_ONCE):
        client.log_batch(run_id, params=params[start : start + _AT_ONCE])
    for start in range(800, len(metrics), 800):
        client.log_batch(run_id, metrics=metrics[start : start + 800])
    if record.datasets:
        client.log_inputs(run_id, datasets=make_inputs(record.datasets))


def _log_files(client: Any, run_id: str, record: TrainingRecord) -> None:
    if not record.files and not record.texts:
        return
    with tempfile.TemporaryDirectory(prefix="run-", dir=record.stored.path.parent) as name:
        _stage_files(Path(name), record.files, record.texts)
        client.log_artifacts(run_id, name)


def _stage_files(folder: Path, files: Mapping[str, Path], texts: Mapping[str, str]) -> None:
    for inside in (*files, *texts):
        target = (folder / inside).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise ValueError(f"an artifact's path leaves the run: {inside!r}")
        target.parent.mkdir(parents=True, exist_ok=True)
        if inside in texts:
            target.write_text(texts[inside], encoding="utf-8")
        else:
            shutil.copyfile(files[inside], target)


def _log_model(client: Any, experiment: str, run_id: str, record: TrainingRecord) -> Any:
    from mlflow.entities import LoggedModelOutput

    model = client.create_logged_model(
        experiment,
        name="model",
        source_run_id=run_id,
        tags={f"{TAG}digest": record.stored.digest, f"{TAG}training_key": record.training_key},
        model_type="scikit-learn",
    )
    crash_point("before-model")
    client.log_model_artifacts(model.model_id, str(record.stored.path))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    return model


def _create_version(client: Any, project: str, run_id: str, model: Any, record: TrainingRecord) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(project)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {
        f"{TAG}digest": record.stored.digest,
        f"{TAG}training_key": record.training_key,
        f"{TAG}snapshot": record.snapshot,
        **{TAG + name: str(value)[:LONGEST_TEXT] for name, value in clean_names(record.tags).items()},
    }
    return client.create_model_version(
        project,
        source=model.artifact_location,
        run_id=run_id,
        model_id=model.model_id,
        tags=tags,
        description=write_note(record.description) or None,
    )


@stage("register")
def register(registry: Registry, project: str, record: TrainingRecord) -> ModelVersion:
    """Register a training; see `register_training`."""
    return register_training(registry, project, record)
