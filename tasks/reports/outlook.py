"""What would change a verdict, and what its numbers promise: in words that are true of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tasks.reports.audit_outlook import JUDGED_BY_FAILING, tell_audit_change, tell_audit_promise
from tasks.reports.dossier import Bounds, Dossier, bounds, gate_kind, gate_title, limits_from_above, metric_title
from tasks.reports.wording import digits_apart, is_number, number, percent, plain, sentence, shorten, signed


def tell_changes(dossier: Dossier) -> list[str]:
    """What would change the verdict, gate by gate; those that stand against it first."""
    order = {"fail": 0, "inconclusive": 1, "pass": 2, "not_applicable": 3}
    gates = sorted(dossier.gates, key=lambda g: order.get(str(g.get("status")), 1))
    return [f"{gate_title(gate)}: {_change(gate, dossier)}" for gate in gates]


def _change(gate: Mapping[str, Any], dossier: Dossier) -> str:
    status, limit, found = gate.get("status"), gate.get("limit"), bounds(gate, dossier.audit)
    if status == "not_applicable":
        return "there was no champion yet. Once there is one, every later version is compared with it."
    of_audit = tell_audit_change(gate, found)
    if of_audit is not None:
        return of_audit
    if found is not None and is_number(limit):
        return _change_of_bounds(gate, found, float(limit))
    observed = gate.get("observed")
    if is_number(observed) and is_number(limit):
        return _change_of_value(str(status), float(observed), float(limit), limits_from_above(gate))
    reason = sentence(shorten(plain(gate.get("sentence", "")), 240))
    return f"it failed without a number. {reason}" if status == "fail" else f"it has to be judged first. {reason}"


def _change_of_bounds(gate: Mapping[str, Any], found: Bounds, limit: float) -> str:
    point, low, high = found
    below, status = limits_from_above(gate), gate.get("status")
    write = signed if "gain" in (gate.get("evidence") or {}) else number
    digits = digits_apart(*found, limit)

    def show(value: float) -> str:
        return write(value, digits)

    near, far, side = (high, low, "below") if below else (low, high, "above")
    names = ("upper", "lower") if below else ("lower", "upper")
    if status == "pass":
        return (
            f"the {names[0]} bound {show(near)} lies {number(abs(near - limit))} {side} the limit {show(limit)}. "
            f"On the other side of it, the version would have been held."
        )
    shift = abs(limit - near)
    if status == "fail":
        if not shift:
            return f"the {names[1]} bound is {show(far)} and the limit {show(limit)}: the two predict alike."
        return (
            f"even the {names[1]} bound {show(far)} does not reach the limit {show(limit)}. A model that is better by "
            f"{number(shift)} would pass, if its bounds were as wide."
        )
    text = (
        f"the {names[0]} bound {show(near)} misses the limit {show(limit)} by {number(shift)}. It passes with a better "
        f"model, or with narrower bounds"
    )
    rows, needed = (gate.get("evidence") or {}).get("rows"), (gate.get("evidence") or {}).get("rows_needed")
    if is_number(needed) and is_number(rows) and needed > rows > 0:
        return (
            f"{text}, which come from more rows: about {_round_up(needed)} instead of {number(int(rows))}, "
            f"{number(needed / rows)} times as many."
        )
    reached = point <= limit if below else point >= limit
    return f"{text}." if reached else f"{text}; but the estimate itself, {show(point)}, is on the wrong side of it."


def _change_of_value(status: str, observed: float, limit: float, below: bool) -> str:
    if status == "pass":
        share = f", {percent(observed / limit)} of it" if below and limit > 0 and observed > 0 else ""
        return f"{number(observed)} against a limit of {number(limit)}{share}. Beyond it, the version would fail."
    way = "at most" if below else "at least"
    return f"{number(observed)} was found; {way} {number(limit)} would pass."


def tell_promise(dossier: Dossier) -> list[str]:
    """What the comparisons promise, in words that are true of them."""
    evidence = dossier.evidence
    compared = evidence.get("comparison") or evidence.get("baseline_comparison")
    if not compared:
        found = (g.get("evidence") or {} for g in dossier.gates if gate_kind(g) not in JUDGED_BY_FAILING)
        compared = next((e for e in found if is_number(e.get("confidence"))), None)
    if not compared or not is_number(compared.get("confidence")):
        return [
            "No comparison could be made, so no error rate is stated. What cannot be told is never released by itself."
        ]
    error, of_audit = 1 - float(compared["confidence"]), tell_audit_promise(dossier.audit)
    said = [
        f"Nominally {percent(error)} per comparison: were the model in truth exactly at a limit, that is how often "
        "chance alone would carry it past. It holds for one challenger and one metric "
        f"({metric_title(dossier.metric)}) that were chosen before the test rows were looked at, with independent "
        "blocks; not per year, and not for the best of many.",
        "Every gate has to pass, so more gates do not make a wrong release likelier. What cannot be told holds"
        f"{', but for slices and groups, as below' if of_audit else ''}.",
    ]
    looks = evidence.get("looks")
    number_of = dossier.look.number
    if is_number(looks) and looks > 1 and number_of:
        said.append(
            f"This was look {number_of} of at most {int(looks)}. Each look takes {percent(error)}, so that all of them "
            f"together stay nominally at {percent(min(error * looks, 1.0))}."
        )
    effective = compared.get("effective_blocks")
    if is_number(effective):
        said.append(
            f"The test rows form {number(compared.get('blocks'))} blocks, worth {number(effective)} independent ones "
            "of equal size; the bounds allow for how few these are."
        )
    if of_audit:
        said.append(of_audit)
    said.append("Limits that are changed after the result was seen void these rates.")
    return said


def _round_up(rows: float) -> str:
    count = math.ceil(rows)
    step = 10 ** max(len(str(count)) - 2, 0)
    return f"{-(-count // step) * step:,}"
