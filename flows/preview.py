"""What a turn would do, asked without a flow run: how `up to date` and `--explain` are answered at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flows.alerts import is_silent
from flows.cut import first_cut
from flows.engine.notices import read_addresses
from flows.moment import next_moment, parse_moment
from flows.plan import Plan, Step, plan_turn
from flows.precheck import check_settings, check_training
from flows.workspace import ANNOUNCING, look_at_source, resolve_moment
from tasks.config import LoadedProject, load_project
from tasks.data.source import Source, index_source
from tasks.errors import ConfigError
from tasks.ledger import open_ledger
from tasks.registry import follow_home


@dataclass(frozen=True)
class Preview:
    """A plan and what a person wants to know where nothing is due."""

    project: LoadedProject
    plan: Plan
    champion: int | None
    following: str | None  # the next batch and when it is complete
    silent: bool = True  # no change of health is still to be told

    @property
    def due(self) -> tuple[Step, ...]:
        """The steps to be done."""
        return self.plan.due

    @property
    def idle(self) -> bool:
        """Whether a turn would find nothing to do."""
        return not self.due and self.silent

    def up_to_date(self) -> str:
        """The answer where nothing is due."""
        local = self.plan.as_of.astimezone(self.project.spec.data.zone)
        waiting = "".join(f"; {w}" for w in self.plan.waiting)
        champion = f"; champion: version {self.champion}" if self.champion else ""
        following = f"; next batch: {self.following}" if self.following else "; the source holds no further batch"
        return f"{self.project.name}: up to date as of {local:%Y-%m-%d %H:%M}{champion}{waiting}{following}"


def preview_turn(
    project: str, as_of: str, overrides: Sequence[str], command: str = "run", batch: str | None = None
) -> Preview:
    """Plan a turn. Raises what the turn would raise for a bad project file or source, before anything is written.

    `command` and `batch` are what is about to be done: a batch must be there, and labels are needed to train only.
    """
    loaded = load_project(project, overrides)
    if command in ANNOUNCING:
        read_addresses()
    now = datetime.now(UTC)
    if as_of not in ("now", "next"):
        parse_moment(as_of, loaded, now)
    found = None
    if not loaded.home.exists():
        found = index_source(loaded, {})
        _check_batch(found, batch)
        _check_first_turn(loaded, found, as_of, now, command)
    with open_ledger(loaded.home) as ledger:
        follow_home(loaded.home)
        source = look_at_source(loaded, ledger, found)
        _check_batch(source, batch)
        moment = resolve_moment(as_of, loaded, ledger, source.batches, now)
        plan = plan_turn(loaded, ledger, source.batches, moment, source.labels)
        champion = ledger.champion(loaded.name)
        silent = command not in ANNOUNCING or is_silent(loaded, ledger, source.visible(moment))
    if any(step.action == "train" for step in plan.due):
        check_settings(loaded)
    zone = loaded.spec.data.zone
    later = [b for b in source.batches if b.end is not None and b.end > moment]
    following = None
    if later and later[0].end is not None:
        following = f"{later[0].key} at {later[0].end.astimezone(zone):%Y-%m-%d %H:%M}"
    return Preview(loaded, plan, champion.version if champion else None, following, silent)


def _check_first_turn(project: LoadedProject, source: Source, as_of: str, now: datetime, command: str) -> None:
    if as_of == "next":
        moment = next_moment(source.batches, frozenset(), now) or now
    else:
        moment = parse_moment(as_of, project, now)
    visible = source.visible(moment)
    if command == "run" and visible:
        check_training(project, first_cut(visible, moment))
    else:
        check_settings(project)


def _check_batch(source: Source, batch: str | None) -> None:
    if batch is not None and batch not in (keys := [b.key for b in source.batches]):
        raise ConfigError(f"batch {batch!r}: the source has no such batch. Its newest: {', '.join(keys[-12:])}.")
