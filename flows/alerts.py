"""A change of health is told: an event in Prefect for each, and one alert for all that a turn brought.

Told first and recorded afterwards: a process that is killed in between tells the same once more, and nothing is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from flows.changes import Change, find_changes, read_change
from flows.engine.events import Happening, send_events
from flows.engine.notices import Address, Tone, read_addresses, send_notice
from flows.keys import digest
from flows.message import describe_changes
from flows.workspace import Workspace
from tasks.config import LoadedProject
from tasks.data.source import Batch
from tasks.ledger import Entry, Ledger
from tasks.stage import crash_point

log = logging.getLogger(__name__)

ATTEMPTS = 10
EVENTS = "prefect"  # the channel of events, beside those of TRUEUP_ALERTS
WORSE = ("broken", "degraded")  # than drifting, which is then news although the drift itself goes on
TONES: Mapping[str, Tone] = {"broken": "failure", "degraded": "failure", "drifting": "warning", "recovered": "success"}
Channels = dict[str, dict[str, Any]]

_postponed: ContextVar[bool] = ContextVar("trueup_alerts_postponed", default=False)


@contextmanager
def announced_together(workspace: Workspace) -> Iterator[None]:
    """What the steps inside find is told in one alert at the end; also where one of them fails."""
    token = _postponed.set(True)
    try:
        yield
    except Exception:
        _postponed.reset(token)
        try:
            announce_changes(workspace)
        except Exception as error:  # noqa: BLE001 - what ended the turn is what a person has to read
            log.warning("%s: changes of health are told by the next turn: %s", workspace.project.name, error)
        raise
    _postponed.reset(token)
    announce_changes(workspace)


def announce_changes(workspace: Workspace) -> None:
    """Tell what changed in the project's health since it was last told, and try again what did not arrive then.

    One event for each change, and one alert to each address in `TRUEUP_ALERTS` about those that `monitor.alert_on`
    names. A channel that fails is named in a warning and in the ledger, and costs nothing else.
    """
    if _postponed.get():
        return
    addresses = read_addresses()
    for entry in failed_alerts(workspace.ledger, workspace.project.name, addresses):
        _tell(workspace, entry.key, [read_change(c) for c in entry.payload["changes"]], addresses, entry)
    changes = find_changes(workspace.ledger, workspace.project.name, workspace.visible)
    if changes:
        _tell(workspace, digest("alert", *(c.key for c in changes)), changes, addresses)


def is_silent(project: LoadedProject, ledger: Ledger, batches: Sequence[Batch]) -> bool:
    """Whether there is nothing to tell: no change that is new, and no alert to try again."""
    if failed_alerts(ledger, project.name, read_addresses()):
        return False
    return not find_changes(ledger, project.name, batches)


def failed_alerts(ledger: Ledger, name: str, addresses: Sequence[Address]) -> tuple[Entry, ...]:
    """The alerts that a channel, which is still there, has not taken and gets to try once more."""
    there = {EVENTS, *(a.name for a in addresses)}
    newest = {entry.key: entry for entry in ledger.entries(name, step="alert")}
    return tuple(
        e for e in newest.values() if any(c in there and _is_open(d) for c, d in e.payload["channels"].items())
    )


def _is_open(delivery: Mapping[str, Any]) -> bool:
    return bool(delivery["state"] == "failed" and delivery["attempts"] < ATTEMPTS)


def _tell(
    workspace: Workspace,
    key: str,
    changes: Sequence[Change],
    addresses: Sequence[Address],
    tried: Entry | None = None,
) -> None:
    """Tell some changes, or once more the channels that failed when it was `tried`; then record what came of it."""
    alert_on = workspace.project.spec.monitor.alert_on
    worth = [c for c in changes if c.kind in alert_on and (c.alarm or c.kind != "drifting" or c.previous in WORSE)]
    channels: Channels = {name: dict(d) for name, d in tried.payload["channels"].items()} if tried else {}
    if tried is None or _is_open(channels[EVENTS]):
        _note(channels, EVENTS, send_events([_to_event(workspace, c) for c in changes]))
    title, body = "", ""
    if tried is not None:
        title, body = tried.payload["title"], tried.payload["body"]
    elif worth:
        title, body = describe_changes(workspace, worth)
    for address in addresses if title else ():
        if tried is None or (address.name in channels and _is_open(channels[address.name])):
            _note(channels, address.name, send_notice(address, title, body, TONES[changes[-1].kind]))
    crash_point("after-alert")
    newest = changes[-1]
    _warn(workspace, title or f"{workspace.project.name} {newest.batch} {newest.kind}", channels, tried)
    payload = {"changes": [c.to_payload() for c in changes], "title": title, "body": body, "channels": channels}
    workspace.record("alert", key, newest.batch, newest.kind, newest.sentence, payload)


def _note(channels: Channels, name: str, failure: str | None) -> None:
    attempts = channels.get(name, {}).get("attempts", 0) + 1
    channels[name] = {"state": "failed" if failure else "sent", "attempts": attempts, "reason": failure}


def _warn(workspace: Workspace, what: str, channels: Channels, tried: Entry | None) -> None:
    before = tried.payload["channels"] if tried else {}
    for name, delivery in channels.items():
        if delivery["state"] == "failed" and delivery != before.get(name):
            left = ATTEMPTS - delivery["attempts"]
            then = "the next turn tries again" if left else f"given up after {ATTEMPTS} attempts"
            called = "Prefect, as an event" if name == EVENTS else f"the {name} address in TRUEUP_ALERTS"
            log.warning("%s did not reach %s: %s; %s", what, called, delivery["reason"], then)


def _to_event(workspace: Workspace, change: Change) -> Happening:
    project = workspace.project
    payload = {
        "project": project.address,
        "batch": change.batch,
        "health": change.health,
        "previous": change.previous,
        "sentence": change.sentence,
        "action": change.action or "none",
        "version": change.version,
        "as_of": workspace.as_of.isoformat(),
    }
    return Happening(f"trueup.health.{change.health}", project.name, change.key, payload)
