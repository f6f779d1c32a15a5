"""A project whose windows are written to its ledger by hand, and a flow that only tells what changed in them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.alerts import announce_changes
from flows.engine.launch import flow
from flows.workspace import open_workspace
from tasks.config import LoadedProject
from tasks.ledger import Entry, open_ledger

AS_OF = "2025-01-01"
ACTIONS = {"healthy": "none", "drifting": "watch", "degraded": "retrain", "broken": "fix upstream"}


@flow(name="announce")
def announce(project: str, as_of: str = AS_OF, overrides: list[str] = []) -> None:  # noqa: B006 - as the flows have it
    """What the flow `monitor` does last."""
    with open_workspace(project, as_of, overrides, "monitor") as workspace:
        announce_changes(workspace)


@dataclass
class Watched:
    """A project with a month of rows per batch, from 2024-01 on."""

    project: LoadedProject
    overrides: list[str] = field(default_factory=list)

    def look(self, batch: str, health: str, sentence: str = "", labelled: int = 100, **payload: Any) -> None:
        """Write a window as the flow `monitor` writes it."""
        with open_ledger(self.project.home) as ledger:
            number = len(ledger.entries(self.project.name)) + 1
            ledger.append(
                self.project.name,
                step="monitor",
                key=f"{batch} {number}",
                subject=batch,
                outcome=health,
                reason=sentence or f"{batch} is {health}: .{number}17 [.1, .9] on {labelled} labelled rows",
                actor="tester",
                as_of=datetime(2024, 12, 1, tzinfo=UTC),
                at=datetime(2024, 12, 1, tzinfo=UTC) + timedelta(seconds=number),
                payload={"version": 3, "action": ACTIONS[health], "labelled": labelled, "report": None, **payload},
            )

    def turn(self) -> None:
        """Tell what changed, in a flow run that the process records itself."""
        announce(str(self.project.path), overrides=self.overrides)

    def alerts(self) -> list[Entry]:
        """What the ledger has of alerts."""
        with open_ledger(self.project.home) as ledger:
            assert ledger.verify(self.project.name).holds
            return list(ledger.entries(self.project.name, step="alert"))


if __name__ == "__main__":
    announce(sys.argv[1])
