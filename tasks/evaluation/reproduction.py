"""A training done again beside the one that was recorded: what is identical, and by how much the rest differs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.results import MetricValue

_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One thing that was compared. `difference` is empty where both are identical."""

    what: str  # such as "15,553 test predictions"
    difference: str = ""


def compare_values(what: str, then: object, now: object) -> Finding:
    """Two plain values, as texts."""
    return Finding(what, "" if then == now else f"{then} then, {now} now")


def compare_predictions(what: str, then: NDArray[Any], now: NDArray[Any]) -> Finding:
    """Predictions on the same rows, (n,) or (n, classes), numbers or labels: identical to the last bit, or how far off.

    `what` follows the number of rows, such as "test predictions".
    """
    then, now = np.asarray(then), np.asarray(now)
    called = f"{len(now):,} {what}"
    if then.shape != now.shape:
        return Finding(called, f"{' x '.join(map(str, then.shape))} then, {' x '.join(map(str, now.shape))} now")
    if then.dtype.kind not in "fiu" or now.dtype.kind not in "fiu":
        other = then.astype(str) != now.astype(str)
        return Finding(called, f"{int(other.sum()):,} differ" if other.any() else "")
    other = ~((then == now) | (np.isnan(then) & np.isnan(now)))
    if not other.any():
        return Finding(called)
    rows = int(other.reshape(len(now), -1).any(axis=1).sum())
    largest = float(np.nanmax(np.abs(then - now)))
    return Finding(called, f"{rows:,} differ, by at most {largest:.3g}")


def compare_metrics(then: Sequence[Mapping[str, Any]], now: Iterable[MetricValue]) -> Finding:
    """Recorded metrics (None for nan) beside those of the same name now, each with the ends of its interval."""
    found = {m.name: m for m in now}
    called = f"{len(then)} metric{'s' if len(then) != 1 else ''} with {'their' if len(then) != 1 else 'its'} intervals"
    differing = []
    for recorded in then:
        name = str(recorded["name"])
        if name not in found:
            differing.append(f"{name} is not computed any more")
            continue
        pairs = [(recorded[part], getattr(found[name], part)) for part in ("value", "low", "high")]
        if all(_same(a, b) for a, b in pairs):
            continue
        value, again = pairs[0]
        where = _tell(value, again) if not _same(value, again) else "the same, its interval not"
        differing.append(f"{name} {where}")
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    return Finding(called, ", ".join(differing[:_SHOWN]) + more)


def _same(then: float | None, now: float) -> bool:
    if then is None:
        return math.isnan(now)
    return then == now or (math.isnan(then) and math.isnan(now))


def _tell(then: float | None, now: float) -> str:
    """Both numbers with as many digits as it takes to tell them apart."""
    if then is None or not math.isfinite(now):
        return f"{then} then, {now} now"
    for digits in range(4, 18):
        a, b = f"{then:.{digits}g}", f"{now:.{digits}g}"
        if a != b:
            return f"{a} then, {b} now"
    return f"{then!r} then, {now!r} now"
