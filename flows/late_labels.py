"""What was delivered of labels apart from the rows: told once, by the turn that first hears of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from flows.answer import show_plain
from flows.keys import labels_key
from flows.plan import DELIVERIES
from flows.workspace import Workspace
from tasks.data.labels import count_deliveries
from tasks.results import LabelDeliveries

log = logging.getLogger(__name__)


def note_deliveries(workspace: Workspace) -> None:
    """Append to the ledger what was said about labels until now, and warn of what is to be mended."""
    project, index = workspace.project, workspace.source.labels
    if index is None:
        return
    found = count_deliveries(project, index, workspace.as_of)
    said = tell_deliveries(vars(found), project.spec.data.zone)
    if found.faulty:
        log.warning("%s: labels: %s", project.name, said)
    outcome = "faulty" if found.faulty else "read"
    payload = {**vars(found), "examples": list(found.examples)}
    workspace.record("labels", labels_key(index, workspace.as_of), DELIVERIES, outcome, said, payload)


def tell_deliveries(found: Mapping[str, Any] | LabelDeliveries, zone: tzinfo) -> str:
    """Deliveries in one line for a person; what is to be mended comes first."""
    made = vars(found) if isinstance(found, LabelDeliveries) else found
    parts = [f"{made['words']:,} words"]
    if made["newest"] is not None:
        newest = made["newest"]
        moment = datetime.fromisoformat(newest) if isinstance(newest, str) else newest
        parts[0] += f", the newest of {moment.astimezone(zone):%Y-%m-%d %H:%M}"
    if made["contradictions"]:
        count = made["contradictions"]
        shown = [show_plain(text, 40) for text in made["examples"]]
        such = f" ({', '.join(shown)}{', ...' if count > len(shown) else ''})"
        parts.append(
            f"{count:,} id{'s' if count > 1 else ''}{such if made['examples'] else ''} with labels that contradict "
            "each other: none is taken until a later word settles it"
        )
    if made["unknown"]:
        parts.append(f"{made['unknown']:,} id{'s' if made['unknown'] > 1 else ''} that no batch holds")
    if made["nameless"]:
        parts.append(f"{made['nameless']:,} rows without an id")
    if made["duplicates"]:
        parts.append(f"{made['duplicates']:,} said twice")
    return "; ".join(parts)
