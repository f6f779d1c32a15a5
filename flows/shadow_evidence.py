"""What scoring in shadow has shown of a version, read from the ledger. People look at it; no gate reads it."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.ledger import Entry, Ledger
from tasks.stats.metrics import METRICS

if TYPE_CHECKING:
    from tasks.reports.dossier import ShadowBatch

STEP, SCORED, FAILED = "shadow", "scored", "failed"


@dataclass(frozen=True)
class Finding:
    """What an entry about a batch says; `seq` is its number, or one above all where it is about to be written."""

    step: str
    batch: str
    outcome: str
    reason: str
    payload: Mapping[str, Any]
    seq: int = sys.maxsize

    @classmethod
    def of(cls, entry: Entry) -> Finding:
        """An entry that was written."""
        return cls(entry.step, str(entry.subject), entry.outcome, entry.reason, entry.payload, entry.seq)


def gather_shadow(
    ledger: Ledger, name: str, versions: Collection[int], pending: Finding | None = None
) -> tuple[ShadowBatch, ...]:
    """Each batch that one of these versions scored in shadow or could not, in the order of the first attempts, with
    what was measured since. `pending` is what is about to be written."""
    from tasks.reports.dossier import ShadowBatch

    found = [Finding.of(e) for step in (STEP, "monitor") for e in ledger.entries(name, step=step)]
    found += [pending] if pending is not None else []
    attempts = {f.batch: f for f in found if f.step == STEP and f.payload["version"] in versions}
    windows = {f.batch: f for f in found if f.step == "monitor" and _version_of(f) in versions}
    batches = []
    for batch, attempt in attempts.items():
        made, window = attempt.payload, windows.get(batch)
        current = window is not None and window.seq > attempt.seq and _version_of(window) == made["version"]
        live = window.payload["shadow"] if window is not None and current else {}
        failed = attempt.outcome == FAILED
        batches.append(
            ShadowBatch(
                batch=batch,
                version=int(made["version"]),
                champion=made.get("champion"),
                rows=int(made.get("rows") or 0),
                disagreement=made.get("disagreement") or {},
                metric=str(live.get("metric") or ""),
                labelled=int(live.get("rows") or 0),
                value=live.get("value"),
                champion_value=live.get("champion_value"),
                gain=live.get("gain"),
                low=live.get("low"),
                high=live.get("high"),
                confidence=live.get("confidence"),
                failed=attempt.reason if failed else "",
            )
        )
    return tuple(batches)


def describe_shadow(batches: Sequence[ShadowBatch]) -> dict[str, Any]:
    """What a look cites: how much was scored in shadow, how far it lay from the champion, and each batch."""
    scored = [b for b in batches if not b.failed]
    compared = [b for b in scored if b.disagreement.get("distance") is not None]
    rows = sum(b.disagreement["rows"] for b in compared)
    mean: dict[str, float | None] = {}
    for fact in ("decisions", "distance", "relative"):
        parts = [(b.disagreement["rows"], b.disagreement.get(fact)) for b in compared]
        known = rows > 0 and all(value is not None for _, value in parts)
        mean[fact] = sum(n * (value or 0.0) for n, value in parts) / rows if known else None
    return {
        "batches": len(scored),
        "failed": len(batches) - len(scored),
        "rows": sum(b.rows for b in scored),
        "disagreement": {"rows": rows, **mean},
        "labelled": sum(b.labelled for b in scored),
        "each": [vars(b) for b in batches],
    }


def say_live(found: Mapping[str, Any]) -> str:
    """What a window's payload says of challenger and champion on its labels, in a clause."""
    metric, rows, version = str(found["metric"]), int(found.get("rows") or 0), found["version"]
    title = METRICS[metric].title if metric in METRICS else metric
    if not rows:
        return f"version {version} is not compared on labels yet"
    value, other, gain, low, high = (found.get(name) for name in ("value", "champion_value", "gain", "low", "high"))
    if value is None or other is None or gain is None:
        return f"version {version}: {title} is not defined on {rows:,} labelled rows"
    ends = f" [{low:+.2g}, {high:+.2g}]" if low is not None and high is not None else ""
    return (
        f"version {version}'s {title} {value:.3g}, the champion's {other:.3g}: {gain:+.2g}{ends} on {rows:,} labelled "
        "rows"
    )


def _version_of(window: Finding) -> int | None:
    return (window.payload.get("shadow") or {}).get("version")
