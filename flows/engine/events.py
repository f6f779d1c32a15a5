"""What happened to a project, as events in Prefect: automations start by them, and pages list them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5


@dataclass(frozen=True)
class Happening:
    """One event: `name` such as `trueup.health.degraded`, about a project. The same `key` is the same event."""

    name: str
    project: str
    key: str
    payload: Mapping[str, Any]


def send_events(happened: Sequence[Happening]) -> str | None:
    """Give events to Prefect's API, in their order; None where it took them, else why not in a few words.

    Prefect's own `emit_event` leaves them to a thread that does not say whether they arrived, and that may be cut
    off with the command. So they are posted, and are with the server, or in the home's database, when this returns.
    One that is posted again has the same id, which Prefect takes once.
    """
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return "there is no flow run to send them from"
    try:
        from prefect.client.orchestration import get_client
        from prefect.events import Event

        related = [_relate("flow-run", context.flow_run.id, context.flow_run.name)]
        if context.flow_run.deployment_id is not None:
            related.append(_relate("deployment", context.flow_run.deployment_id))
        events = [
            Event.model_validate(
                {
                    "id": uuid5(NAMESPACE_URL, f"trueup:{one.key}"),
                    "event": one.name,
                    "resource": {
                        "prefect.resource.id": f"trueup.project.{one.project}",
                        "prefect.resource.name": one.project,
                    },
                    "related": related,
                    "payload": dict(one.payload),
                }
            )
            for one in happened
        ]
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event.model_dump(mode="json") for event in events])
    except Exception as error:  # noqa: BLE001 - the work goes on, whatever becomes of the word about it
        first = (str(error).strip().splitlines() or [""])[0]
        return f"{type(error).__name__}: {first[:200]}".rstrip(": ")
    return None


def _relate(kind: str, number: object, name: str | None = None) -> dict[str, str]:
    named = {"prefect.resource.name": name} if name else {}
    return {"prefect.resource.id": f"prefect.{kind}.{number}", "prefect.resource.role": kind, **named}
