"""The moment a turn looks from: now, a date, or when the next batch is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tasks.errors import ConfigError

if TYPE_CHECKING:  # the command's grammar needs the pattern only, and must not wait for pandas
    from tasks.config import LoadedProject
    from tasks.data.source import Batch

MOMENT_PATTERN = r"^(now|next|\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?)$"


def parse_moment(text: str, project: LoadedProject, now: datetime) -> datetime:
    """`now`, or an ISO date or time, as UTC. A date means 00:00 in data.timezone, as does a time without a zone."""
    if text == "now":
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"--as-of {text}: expected now, next, or an ISO date or time such as 2013-05-01 or 2013-05-01T06:00."
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=project.spec.data.zone)
    return moment.astimezone(UTC)


def next_moment(batches: tuple[Batch, ...], done: frozenset[str], now: datetime) -> datetime | None:
    """When the next batch after those done is there; None where there is none.

    With none done it is the end of the second batch, where there is one: a model needs one batch to learn from and
    another to score. A table without time is there now.
    """
    ends = [b.end for b in batches]
    last = max((i for i, b in enumerate(batches) if b.key in done), default=None)
    if last is None:
        following = min(1, len(batches) - 1)
    elif last + 1 < len(batches):
        following = last + 1
    else:
        return None
    return ends[following] or now
