"""What a turn would do, asked without a flow run: how `up to date` and `--explain` are answered at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flows.plan import Plan, Step, plan_turn
from flows.workspace import look_at_source, resolve_moment
from tasks.config import LoadedProject, load_project
from tasks.data.source import index_source
from tasks.ledger import open_ledger


@dataclass(frozen=True)
class Preview:
    """A plan and what a person wants to know where nothing is due."""

    project: LoadedProject
    plan: Plan
    champion: int | None
    following: str | None  # the next batch and when it is complete

    @property
    def due(self) -> tuple[Step, ...]:
        """The steps to be done."""
        return self.plan.due

    def up_to_date(self) -> str:
        """The answer where nothing is due."""
        local = self.plan.as_of.astimezone(self.project.spec.data.zone)
        waiting = "".join(f"; {w}" for w in self.plan.waiting)
        champion = f"; champion: version {self.champion}" if self.champion else ""
        following = f"; next batch: {self.following}" if self.following else "; the source holds no further batch"
        return f"{self.project.name}: up to date as of {local:%Y-%m-%d %H:%M}{champion}{waiting}{following}"


def preview_turn(project: str, as_of: str, overrides: Sequence[str]) -> Preview:
    """Plan a turn. Raises what the turn would raise for a bad project file or source, before anything is written."""
    loaded = load_project(project, overrides)
    found = None if loaded.home.exists() else index_source(loaded, {})
    with open_ledger(loaded.home) as ledger:
        source = look_at_source(loaded, ledger, found)
        moment = resolve_moment(as_of, loaded, ledger, source.batches, datetime.now(UTC))
        plan = plan_turn(loaded, ledger, source.batches, moment)
        champion = ledger.champion(loaded.name)
    zone = loaded.spec.data.zone
    later = [b for b in source.batches if b.end is not None and b.end > moment]
    following = None
    if later and later[0].end is not None:
        following = f"{later[0].key} at {later[0].end.astimezone(zone):%Y-%m-%d %H:%M}"
    return Preview(loaded, plan, champion.version if champion else None, following)
