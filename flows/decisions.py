"""One decision for a terminal: who, what, why, on which numbers, and who was champion then."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any

from flows.answer import INDENT, WIDTH, label_text
from flows.keys import verdict_key
from flows.plan import find_twin
from tasks.ledger import Entry
from tasks.stats.disagreement import say_disagreement

DONE = {
    "promote": "promoted",
    "approve": "approved",
    "rollback": "rolled back to",
    "propose": "proposed, waits for a person",
    "hold": "held",
    "reject": "rejected",
}
_NARROWEST = 60


def tell_decision(
    entry: Entry, evidence: Mapping[int, Entry], before: int | None, after: int | None, zone: tzinfo
) -> Iterator[str]:
    """The lines of a release entry. `evidence` are trainings and looks by their row; `before` and `after` champions."""
    payload = entry.payload
    done = DONE.get(entry.outcome, entry.outcome)
    if payload.get("override"):
        overruled = ", ".join(str(name).upper() for name in payload.get("overruled", ()))
        done = f"PROMOTED, GATES OVERRULED: {overruled}"
    backdated = tell_backdated(entry, zone)
    rests_on = evidence.get(payload.get("evidence", 0)) or _newest_before(entry, evidence.values())
    by = f"the gates, run by {entry.actor}" if rests_on and is_verdict(entry, rests_on) else entry.actor
    yield f"{tell_time(entry.at, zone)}  version {entry.subject} {done} by {by}  [row {entry.seq}{backdated}]"
    yield label_text("why", entry.reason)
    if rests_on is not None:
        yield from _tell_evidence(entry, rests_on, evidence.values())
    if before != after:
        took = f"in place of version {before}" if before is not None else "the first one"
        yield label_text("champion", f"version {after}, {took}")
    else:
        yield label_text("champion", f"stays version {before}" if before is not None else "there is none yet")


def is_verdict(entry: Entry, evidence: Entry) -> bool:
    """Whether a decision is what the gates said, and no person's."""
    return entry.key in (verdict_key(evidence), verdict_key(evidence, changed=True))


def _tell_evidence(entry: Entry, rests_on: Entry, all_of_them: Iterable[Entry]) -> Iterator[str]:
    """The numbers that a decision rests on: metric and gate, the comparison, and where they come from."""
    found, payload = rests_on.payload, entry.payload
    own = [e for e in all_of_them if e.step == "train" and e.subject == entry.subject and e.seq <= entry.seq]
    trained: Mapping[str, Any] = own[-1].payload if own else {}
    metric = next((m for m in found.get("metrics") or () if m["name"] == found.get("metric")), None)
    parts = []
    if metric is not None:
        interval = f"{_number(metric['low'])} to {_number(metric['high'])}"
        parts.append(f"{metric['name']} {_number(metric['value'])} ({interval}), {metric['method']}")
    deciding = payload.get("deciding") or found.get("deciding")
    gate = next((g for g in payload.get("gates") or () if g["name"] == deciding), None)
    if gate is not None:
        parts.append(f"decided by the gate {gate['name']}: {str(gate['status']).replace('_', ' ')}")
    yield label_text("evidence", "; ".join(parts) or "none")
    compared, with_it = payload.get("compared_with"), found.get("comparison")
    if entry.outcome == "rollback":
        yield label_text("compared", "not again: it was champion before")
    elif compared is not None:
        text = f"with version {compared}"
        if with_it:
            text += (
                f": {with_it['metric']} gain {_number(with_it['gain'], signed=True)} (between "
                f"{_number(with_it['low'], signed=True)} and {_number(with_it['high'], signed=True)}) "
                f"on {with_it['rows']:,} rows"
            )
        yield label_text("compared", text)
    else:
        yield label_text("compared", "with no champion")
    shadow = found.get("shadow") or {}
    if count := shadow.get("batches"):
        far = say_disagreement(shadow.get("disagreement"))
        yield label_text("in shadow", f"{count} {'batch' if count == 1 else 'batches'}, {shadow['rows']:,} rows: {far}")
    rows = f"trained on {trained['rows']:,} rows" if trained.get("rows") else ""
    twin = find_twin(trained)
    at_look = f"look {found['look']} of {found['looks']}" if rests_on.step == "look" or twin is not None else ""
    look = f"version {twin} fitted again after {at_look}" if twin is not None and rests_on.step != "look" else at_look
    snapshot = f"snapshot {str(payload.get('snapshot'))[:12]}" if payload.get("snapshot") else ""
    run = f"MLflow run {payload.get('run_id')}" if payload.get("run_id") else ""
    yield label_text("from", "; ".join(part for part in (rows, look, snapshot, run) if part))


def _newest_before(entry: Entry, evidence: Iterable[Entry]) -> Entry | None:
    return max(
        (e for e in evidence if e.subject == entry.subject and e.seq < entry.seq), key=lambda e: e.seq, default=None
    )


def tell_backdated(entry: Entry, zone: tzinfo) -> str:
    """The moment that a decision looked from, where it is not the day on which it was written."""
    if entry.as_of is None or entry.as_of.astimezone(zone).date() == entry.at.astimezone(zone).date():
        return ""
    return f", as of {tell_time(entry.as_of, zone)}"


def tell_time(moment: datetime, zone: tzinfo) -> str:
    """A moment to the minute, in a time zone."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def _number(value: float | None, signed: bool = False) -> str:
    if value is None:
        return "undefined"
    return f"{value:+.4g}" if signed else f"{value:.4g}"


def wrap_line(line: str) -> list[str]:
    """A line as a terminal shows it: wrapped under its text, without what could steer the terminal."""
    label, text = (line[:INDENT], line[INDENT:]) if line.startswith("  ") else ("", line)
    shown = "".join(c if c.isprintable() else " " for c in text).strip()
    width = min(max(shutil.get_terminal_size((WIDTH, 24)).columns, _NARROWEST), WIDTH)
    return textwrap.wrap(label + shown, width, subsequent_indent=" " * INDENT, break_on_hyphens=False) or [""]
