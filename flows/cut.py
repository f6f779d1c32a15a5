"""What a training looks at: which batches, and the moment as of which labels are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tasks.config import LoadedProject
from tasks.data.source import Batch
from tasks.ledger import Ledger


@dataclass(frozen=True)
class Cut:
    """What a training looks at: batches, and the moment as of which labels are known."""

    batches: tuple[Batch, ...]
    as_of: datetime | None
    before: str | None = None  # the batch that is left for scoring


def first_cut(visible: tuple[Batch, ...], as_of: datetime) -> Cut:
    """With no champion yet: all batches but the newest, as of its start; the only one where there is no other."""
    if len(visible) == 1:
        return Cut(visible, as_of if visible[0].end else None)
    *earlier, newest = visible
    if newest.start is None:
        return Cut(tuple(earlier), None, newest.key)
    moment = max([newest.start, *(b.end for b in earlier if b.end)])
    return Cut(tuple(b.at(moment) for b in earlier), moment, newest.key)


def count_labelled(cut: Cut, delay: timedelta) -> dict[str, int]:
    """Per batch the labels that it holds, 0 where not all of them were known as of the cut's moment. Of labels that
    come apart from the rows those are counted that were known then."""
    known = {
        b.key for b in cut.batches if cut.as_of is None or b.labels is not None or b.labels_complete(cut.as_of, delay)
    }
    return {b.key: b.labelled if b.key in known else 0 for b in cut.batches}


def cut_all(project: LoadedProject, ledger: Ledger, visible: Sequence[Batch], as_of: datetime) -> Cut:
    """What a training learns from once there is a champion: all that is there as of a moment, within the policy."""
    timed = any(b.end is not None for b in visible)
    return narrow_cut(project, ledger, Cut(tuple(visible), as_of if timed else None))


def narrow_cut(project: LoadedProject, ledger: Ledger, cut: Cut) -> Cut:
    """The batches of a cut that `retrain.rows` and `retrain.broken` let be learned from; all, where none would be left.

    A refused batch stays: the training itself leaves it out, and says so.
    """
    policy = project.spec.retrain
    kept = cut.batches
    if policy.rows != "all" and cut.as_of is not None:
        begin = cut.as_of - policy.rows
        kept = tuple(b for b in kept if b.end is None or b.end > begin)
    if policy.broken == "leave_out":
        windows = ledger.by_subject(project.name, "monitor")
        broken = {k for k, e in windows.items() if e.outcome == "broken" and e.payload.get("cause") != "refused"}
        kept = tuple(b for b in kept if b.key not in broken)
    return replace(cut, batches=kept) if kept else cut


def count_known(batch: Batch, as_of: datetime | None, delay: timedelta) -> int:
    """About how many labels of a batch are known as of a moment; exact where all are, or where they come apart from
    the rows. Else rows are taken to be spread evenly over the batch's period."""
    if as_of is None or batch.labels is not None or batch.labels_complete(as_of, delay):
        return batch.labelled
    if batch.start is None or batch.end is None:
        return 0
    share = (as_of - delay - batch.start) / (batch.end - batch.start)
    return int(batch.labelled * min(max(share, 0.0), 1.0))
