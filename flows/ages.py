"""What each version was worth on the windows after its training: how models age, whether they served or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flows.champion import Served, load_served
from flows.validate import check_batches, quarantined_rows
from flows.workspace import Workspace
from tasks.config.project import Data
from tasks.data.source import Batch, table_of
from tasks.monitoring.performance import LabelledRows
from tasks.monitoring.window import name_blocks
from tasks.stats.prediction import predict_rows


@dataclass(frozen=True)
class Measured:
    """A version on a window that ended after it was trained. `key` names the training: the same one in two homes is
    one version. `trained` is the moment that it looked from, ISO; `value` its metric on the `rows` with labels."""

    version: int
    key: str
    trained: str
    batch: str
    metric: str
    value: float
    rows: int


def measure_versions(workspace: Workspace, batches: Sequence[str]) -> list[Measured]:
    """Every version that the ledger knows on each of these batches that begins after it was trained."""
    found: list[Measured] = []
    for entry in workspace.ledger.entries(workspace.project.name, step="train"):
        trained = entry.payload["known_as_of"]
        if trained is None:
            continue
        since = datetime.fromisoformat(trained)
        later = [b for b in map(workspace.batch, batches) if b.start is not None and b.start >= since]
        if not later:
            continue
        served = load_served(workspace, int(str(entry.subject)))
        for batch in later:
            value, rows = _measure(workspace, served, batch)
            if math.isfinite(value):
                metric = str(served.trained["metric"])
                found.append(Measured(served.version.version, entry.key, trained, batch.key, metric, value, rows))
    return found


def _measure(workspace: Workspace, served: Served, batch: Batch) -> tuple[float, int]:
    """A version's metric on the labelled rows of a batch that are not in quarantine, and how many these are."""
    spec = workspace.project.spec
    (checked,) = check_batches(workspace, [batch])
    if checked.outcome == "refused":
        return math.nan, 0
    skip = quarantined_rows(workspace, checked)
    labelled = LabelledRows(served.task, served.classes, spec.train.seed)
    columns = list(dict.fromkeys([*served.features, spec.data.target, *_block_columns(spec.data)]))
    for frame in table_of(batch, spec.data, workspace.as_of).chunks(columns=columns):
        kept = frame[~frame.index.isin(skip) & frame[spec.data.target].notna()]
        if not kept.empty:
            prediction = predict_rows(served.estimator, kept[list(served.features)], served.task)
            labelled.add(kept[spec.data.target], prediction, name_blocks(kept, spec.data), kept.index.to_numpy())
    found = labelled.measure(spec, served.threshold, served.trained["metric"])
    return (found.metrics[0].value if found.metrics else math.nan), found.labelled


def _block_columns(data: Data) -> list[str]:
    return [name for name in (data.group, data.time) if name]
