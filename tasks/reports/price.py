"""What was done so that groups are decided more alike, and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tasks.reports.dossier import metric_title
from tasks.reports.findings import Part, count, entries, figure, list_names, part, parts
from tasks.reports.measures import MEASURES, by_words, measure_title
from tasks.reports.wording import capital, find_decimals, fixed, is_number, number, percent

_PARITY = {
    "demographic_parity": "the same share of rows is decided positive",
    "true_positive_rate_parity": "the same share of the true ones is found",
    "false_positive_rate_parity": "the same share is wrongly decided positive",
}
_ORDER = list(MEASURES)
_MOST = 30
_NOTICED = 0.02  # in parts of one: what a gap has to grow by to be named


@dataclass(frozen=True)
class PriceView:
    """Sentences, and tables of texts: thresholds (group, rows, threshold, share), metrics and gaps before and after."""

    done: str
    meaning: str
    left: str
    thresholds: tuple[tuple[str, ...], ...]
    more: int
    answer: str
    widened: str
    metrics: tuple[tuple[str, ...], ...]
    gaps: tuple[tuple[str, ...], ...]


def view_price(mitigation: Any, audit: Part) -> PriceView | None:
    """What a mitigation did and costs; None where nothing was done."""
    if not isinstance(mitigation, dict) or not mitigation:
        return None
    groups, left, price = parts(mitigation, "groups"), entries(mitigation, "left"), part(audit, "price")
    return PriceView(
        done=tell_mitigation(mitigation),
        meaning=_tell_meaning(mitigation),
        left=f"Groups with too few rows for a threshold of their own, which keep the model's: {_list_groups(left)}."
        if left
        else "",
        thresholds=tuple(
            (_name(g.get("group")), number(count(g, "rows")), number(figure(g, "threshold")), _share(g, "rate"))
            for g in groups[:_MOST]
        ),
        more=max(0, len(groups) - _MOST),
        answer=tell_price(audit),
        widened=_tell_widened(price),
        metrics=_pair(price, "before", "after", metric_title),
        gaps=_pair(price, "gaps_before", "gaps_after", lambda name: capital(measure_title(name))),
    )


def tell_mitigation(mitigation: Part) -> str:
    """What was done, in a sentence."""
    by = by_words(entries(mitigation, "by"))
    alike = _PARITY.get(str(mitigation.get("parity")), "decisions are more alike")
    strength = figure(mitigation, "strength")
    way = f", {percent(strength)} of the way" if math.isfinite(strength) and strength != 1 else ""
    return f"Each group by {by} has a threshold of its own, so that {alike} in each{way} (train.mitigation)."


def _tell_meaning(mitigation: Part) -> str:
    columns = entries(mitigation, "by")
    those = "columns" if len(columns) > 1 else "column"
    return (
        "What the model gives are then scores, and no longer probabilities within a group. "
        f"It reads the {those} {by_words(columns)} at scoring, also where the project file excludes it otherwise: a "
        "row without that value is decided by the model's own threshold."
    )


def tell_price(audit: Part) -> str:
    """What it costs in the project's metric; empty where that was not measured."""
    price = part(audit, "price")
    name, loss = str(price.get("metric")), entries(price, "loss")
    before, after = figure(price.get("before"), name), figure(price.get("after"), name)
    if not math.isfinite(before) or not math.isfinite(after):
        return ""
    title = metric_title(name)
    said = f"{capital(title)} is {number(after)} with it and {number(before)} without, on the same test rows"
    if len(loss) != 3 or not is_number(loss[0]):
        return f"{said}."
    cost = f"a loss of {number(loss[0])}" if loss[0] >= 0 else f"a gain of {number(-loss[0])}"
    told = is_number(loss[1]) and is_number(loss[2])
    bounds = f" (one-sided bounds {number(loss[1])} to {number(loss[2])} of the loss)" if told else ""
    return f"{said}: {cost}{bounds}."


def _pair(price: Part, before: str, after: str, title: Any) -> tuple[tuple[str, ...], ...]:
    """Name, before, after and change of what is known of either."""
    one, two = part(price, before), part(price, after)
    names = sorted({**one, **two}, key=lambda name: (_ORDER.index(name) if name in _ORDER else -1, name))[:_MOST]
    decimals = find_decimals([figure(p, name) for p in (one, two) for name in names])
    rows = []
    for name in names:
        old, new = figure(one, name), figure(two, name)
        changed = fixed(new - old, decimals, sign=True)
        rows.append((title(name), fixed(old, decimals), fixed(new, decimals), changed))
    return tuple(rows)


def _tell_widened(price: Part) -> str:
    """The gaps that grow by it, the most first; empty where none does that anybody would notice."""
    before, after = part(price, "gaps_before"), part(price, "gaps_after")
    grown = []
    for name in before:
        sign = -1 if name.endswith("_ratio") else 1
        by = sign * (figure(after, name) - figure(before, name))
        if by >= _NOTICED:  # false where either is not known
            grown.append((-by, f"{measure_title(name)} from {_three(before, name)} to {_three(after, name)}"))
    if not grown:
        return ""
    return f"It makes groups less alike in other ways: {'; '.join(text for _, text in sorted(grown)[:3])}."


def _three(gaps: Part, name: str) -> str:
    return fixed(figure(gaps, name), 3)


def _name(group: Any) -> str:
    return " and ".join(map(str, group)) if isinstance(group, list | tuple) else str(group)


def _list_groups(groups: Any) -> str:
    return list_names([_name(g) for g in groups], 10)


def _share(group: Part, name: str) -> str:
    value = figure(group, name)
    return percent(value) if math.isfinite(value) else number(None)
