"""Monitoring's numbers in MLflow: one run per model version, one step per window.

A run per window would be a table; steps on one run are the lines over time that a person looks for, and the runs of
two versions lie over each other in MLflow's comparison. Each number carries the end of its window as its time, so
the charts' time axis is that of the data.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tasks.registry.connection import Registry
from tasks.registry.record import LONGEST_TEXT, finite_metrics, write_note
from tasks.registry.versions import TAG
from tasks.results import ModelVersion, Window

_HEALTH = {"healthy": 0.0, "drifting": 1.0, "degraded": 2.0, "broken": 3.0}
_MARK = "window/rows"  # the number that every window has
_AT_ONCE = 800


def log_window(registry: Registry, version: ModelVersion, window: Window, end: datetime) -> str:
    """Log a window's numbers under the version that scored it and return the monitoring run's id.

    `end` (with a time zone) is the end of the window's period. The same window may be logged again: its numbers
    replace nothing and double nothing where they are the same, and a revised one stands beside the old.
    """
    client = registry.client()
    from mlflow.entities import Metric, RunTag

    run_id = _find_run(registry, version)
    at = int(end.timestamp() * 1000)
    with registry.errors():
        history = client.get_metric_history(run_id, _MARK)
        steps = {m.timestamp: m.step for m in history}
        step = steps.get(at, len(steps))
        metrics = [Metric(k, v, at, step) for k, v in finite_metrics(_list_numbers(window)).items()]
        tags = [
            RunTag(f"{TAG}health", window.health),
            RunTag(f"{TAG}window", window.batch[:LONGEST_TEXT]),
            RunTag("mlflow.note.content", write_note(f"{window.batch}: {window.health}. {window.sentence}")),
        ]
        client.log_batch(run_id, metrics=metrics[:_AT_ONCE], tags=tags)
        for start in range(_AT_ONCE, len(metrics), _AT_ONCE):
            client.log_batch(run_id, metrics=metrics[start : start + _AT_ONCE])
    return run_id


def _list_numbers(window: Window) -> dict[str, float]:
    return {
        _MARK: float(window.rows),
        "window/labelled": float(window.labelled),
        "window/health 0 healthy - 3 broken": _HEALTH[window.health],
        **{f"production/{name}": value for name, value in window.metrics.items()},
        **{f"promised/{name}": value for name, value in window.promised.items()},
        **{f"estimated/{value.name}": value.value for value in window.estimated},
        **{f"drift/{column}": value for column, value in window.drift.items()},
    }


def _find_run(registry: Registry, version: ModelVersion) -> str:
    client: Any = registry.client()
    experiment = registry.experiment(version.project)
    tags = {
        f"{TAG}kind": "monitoring",
        f"{TAG}project": version.project,
        f"{TAG}version": str(version.version),
        "mlflow.parentRunId": version.run_id,  # MLflow shows it below the training
    }
    condition = f"tags.`{TAG}kind` = 'monitoring' and tags.`{TAG}version` = '{version.version}'"
    with registry.errors():
        found = client.search_runs([experiment], condition, max_results=1, order_by=["attributes.start_time ASC"])
        if found:
            return str(found[0].info.run_id)
        run = client.create_run(experiment, tags=tags, run_name=f"monitor version {version.version}")
        client.set_terminated(run.info.run_id, "FINISHED")  # open runs are those that are being trained
        return str(run.info.run_id)
