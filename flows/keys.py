"""Under which keys the ledger knows what was done: hashes of what each step reads, so that nothing is done twice."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

from flows.cut import Cut
from tasks.config import LoadedProject
from tasks.data.label_index import LabelIndex
from tasks.data.snapshot import snapshot_key
from tasks.data.source import Batch
from tasks.ledger import Entry
from tasks.table import microseconds


def validate_key(project: LoadedProject, batch: Batch, labels: bool = False) -> str:
    """The key of a batch's check: its rows, the contract, and whether labels are judged too, as for training."""
    path = project.contract_path
    text = path.read_text(encoding="utf-8") if path is not None and path.is_file() else ""
    rows = batch.content if labels else batch.inputs
    people = (project.spec.data.personal, project.spec.data.not_personal)
    return digest("validate", batch.key, rows, text, project.spec.contract.max_quarantine, labels, people)


def training_key(project: LoadedProject, cut: Cut) -> str:
    """The key of a training: its rows, the contract that chose them, and the sections that it reads."""
    validated = [validate_key(project, b, labels=True) for b in cut.batches]
    return digest("train", snapshot_key(cut.batches, cut.as_of), validated, specification(project))


def refit_key(look: Entry) -> str:
    """The key of the training that fits a version again after it passed at a look."""
    return digest(look.key, "refit")


def labels_key(labels: LabelIndex, as_of: datetime) -> str:
    """The key of what was said about labels until a moment."""
    return digest("labels", labels.content, labels.words_until(microseconds(as_of)))


def score_key(batch: Batch) -> str:
    """The key of a batch's scoring: what a model sees of it. A batch is scored once, by the champion of its turn."""
    return digest("score", batch.key, batch.inputs)


def shadow_key(batch: Batch, version: int) -> str:
    """The key of a batch's scoring in shadow: what a model sees of it, and which version looks."""
    return digest("shadow", batch.key, batch.inputs, version)


def verdict_key(evidence: Entry, changed: bool = False) -> str:
    """The key of the decision that follows a verdict; `changed`: of the one after the champion had changed."""
    key = digest("verdict", evidence.key)
    return digest(key, "changed") if changed else key


def monitor_key(project: LoadedProject, batch: Batch, as_of: datetime) -> str:
    """The key of a window: its rows with their labels, and whether all of these are known.

    Of labels that come apart from the rows the batch's content holds those that are known at the moment.
    """
    batch = batch.at(as_of)
    complete = batch.labels is not None or batch.labels_complete(as_of, project.spec.data.label_delay)
    return digest("monitor", batch.key, batch.content, complete)


def specification(project: LoadedProject) -> str:
    """Digest of the sections that decide what a training makes, and what becomes of it."""
    spec = project.spec
    data = spec.data.model_dump_json(exclude={"source", "labels", "personal", "not_personal"})
    train = spec.train.model_dump_json(exclude={"plots"})
    return digest(data, spec.split.model_dump_json(), train, spec.gates.model_dump_json())


def limits_asked(project: LoadedProject) -> str:
    """Digest of what a verdict is held to."""
    return digest(project.spec.gates.model_dump_json(), project.spec.data.protected)


def digest(*parts: object) -> str:
    """A short hash of plain values."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:24]
