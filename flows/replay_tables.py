"""The numbers behind the page of a replay, as tables."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flows.ages import Measured
from tasks.ledger import Entry

if TYPE_CHECKING:
    from tasks.reports.lived import Replayed

NEVER = "never"  # the policy, and the code of what it decides
Table = tuple[Sequence[str], Sequence[Sequence[Any]]]


def write_tables(
    replayed: Replayed, entries: Mapping[str, Sequence[Entry]], measured: Sequence[Measured]
) -> dict[str, str]:
    """The numbers behind a replay's page as CSV, by the tables' names. `entries` are each policy's ledger."""
    windows = [
        (one.policy, w.batch, w.version, w.training[:12], w.value, w.low, w.high, w.rows, w.labelled,
         w.health, w.alarm, w.cause, w.action)
        for one in replayed.lived
        for w in one.windows
    ]  # fmt: skip
    policies = [
        (one.policy, len(one.windows), one.trained, one.promoted, one.held, one.rejected, one.failed, one.held_back,
         one.alarms, len(one.bad), round(one.training_seconds, 1), round(one.seconds, 1), one.mean)
        for one in replayed.lived
    ]  # fmt: skip
    compared = [
        (c.one, c.other, c.windows, c.gain.windows, c.won, c.gain.value, c.gain.low, c.gain.high)
        for c in replayed.compared
    ]
    ages = [(p.from_days, p.to_days, p.loss.value, p.loss.low, p.loss.high, p.loss.windows) for p in replayed.ages]
    versions = [(m.key[:12], m.trained, m.batch, m.metric, m.value, m.rows) for m in measured]
    metric = replayed.metric
    tables: dict[str, Table] = {
        "windows": (
            ("policy", "window", "version", "training", metric, f"{metric}_low", f"{metric}_high", "rows", "labelled",
             "health", "alarm", "cause", "action"), windows),
        "decisions": (("policy", "as_of", "outcome", "code", "window", "version", "reason"), _list_decisions(entries)),
        "policies": (
            ("policy", "windows", "trainings", "promoted", "held", "rejected", "failed", "held_back", "alarms",
             "degraded", "cpu_seconds_to_train", "cpu_seconds_in_all", f"mean_{metric}"), policies),
        "comparisons": (("one", "other", "windows_apart", "windows", "one_ahead", "gain", "low", "high"), compared),
        "staleness": (("from_days", "to_days", "loss", "low", "high", "windows"), ages),
        "ages": (("training", "trained", "window", "metric", "value", "rows"), versions),
    }  # fmt: skip
    return {name: _to_csv(heads, rows) for name, (heads, rows) in tables.items()}


def _list_decisions(entries: Mapping[str, Sequence[Entry]]) -> list[tuple[Any, ...]]:
    """Every decision to train or not, and every verdict, under each policy."""
    rows: list[tuple[Any, ...]] = []
    for policy, own in entries.items():
        for entry in own:
            made, moment = entry.payload, entry.as_of.isoformat() if entry.as_of is not None else ""
            if entry.step == "retrain" and (made.get("code") != NEVER or policy == NEVER):
                code, window, version = (made.get(name) for name in ("code", "window", "version"))
                rows.append((policy, moment, entry.outcome, code, window, version, entry.reason))
            elif entry.step in ("train", "look"):
                rows.append((policy, moment, entry.outcome, entry.step, "", entry.subject, entry.reason))
    return rows


def _to_csv(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as CSV; what is not known is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow(["" if v is None or (isinstance(v, float) and math.isnan(v)) else v for v in row])
    return text.getvalue()
