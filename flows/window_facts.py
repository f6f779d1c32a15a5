"""The windows of a project as their ledger entries have them, for its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.links import Links
from tasks.ledger import Entry
from tasks.reports.facts import Reading, WindowFacts
from tasks.reports.wording import is_number


def find_metric(window: Entry) -> str | None:
    """The metric that a window's version had promised."""
    promised = window.payload.get("promised") or {}
    return next((name for name in promised if not name.endswith(("_low", "_high"))), None)


def list_windows(
    monitored: Sequence[Entry], trainings: Sequence[Entry], pages: Mapping[str, str | None], links: Links
) -> tuple[WindowFacts, ...]:
    """The newest entry of each window, in the order in which they were looked at first."""
    first: dict[str, Entry] = {}
    found: dict[str, Entry] = {}  # the look that found the present health first
    newest: dict[str, Entry] = {}
    metrics = {str(e.subject): e.payload.get("metric") for e in trainings}
    for entry in monitored:
        key = str(entry.subject)
        first.setdefault(key, entry)
        if key not in newest or newest[key].outcome != entry.outcome:
            found[key] = entry
        newest[key] = entry
    windows = []
    for key, entry in newest.items():
        made = entry.payload
        version = made.get("version")
        metric = find_metric(entry) or metrics.get(str(version))
        intervals = made.get("estimated_interval") or {}
        trace = made.get("trace") or {}
        windows.append(
            WindowFacts(
                key=key,
                seq=found[key].seq,
                first_seq=first[key].seq,
                found=found[key].as_of,
                health=entry.outcome,
                sentence=entry.reason,
                action=str(made.get("action", "none")),
                cause=str(made.get("cause") or ""),
                version=version,
                rows=int(made.get("rows") or 0),
                labelled=int(made.get("labelled") or 0),
                metric=metric,
                realised=_read_metric(made.get("metrics"), metric),
                estimated=_read_value((made.get("estimated") or {}).get(metric), *(intervals.get(metric) or ())),
                promised=_read_metric(made.get("promised"), metric),
                alarm=trace.get("signal") == "alarm" and entry.outcome != "broken",
                doubt=str(made.get("doubt") or ""),
                promise=str(made.get("promise") or ""),
                tally=str(made.get("realised") or ""),
                report=links.to(made.get("report")),
                contract=pages.get(key),
            )
        )
    return tuple(windows)


def _read_metric(values: Mapping[str, Any] | None, metric: str | None) -> Reading | None:
    found = values or {}
    return _read_value(*(found.get(f"{metric}{end}") for end in ("", "_low", "_high")))


def _read_value(value: Any = None, low: Any = None, high: Any = None) -> Reading | None:
    if not is_number(value):
        return None
    return Reading(value, low if is_number(low) else None, high if is_number(high) else None)
