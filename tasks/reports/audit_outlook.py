"""What would change the gates that an audit feeds, and what its findings promise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tasks.reports.dossier import Bounds, gate_kind, limits_from_above
from tasks.reports.findings import Part, entries, figure, list_names, part, parts
from tasks.reports.wording import digits_apart, is_number, number, percent

JUDGED_BY_FAILING = ("slices", "fairness", "robust")
"""Gates that stop a version only where a limit is shown to be broken; for others it has to be shown that it passes."""


def tell_audit_change(gate: Mapping[str, Any], found: Bounds | None) -> str | None:
    """What would change the result of a gate of the audit; None for another gate, or one without numbers."""
    kind = gate_kind(gate)
    if kind == "leaks":
        return _change_of_leaks(gate)
    limit, observed = gate.get("limit"), gate.get("observed")
    if kind not in ("slices", "fairness", "robust") or not is_number(observed):
        return None
    if kind == "robust" and (gate.get("evidence") or {}).get("broken"):
        return "a model must not break on such rows, whatever it is worth on others. Leave out the candidate or column."
    if not is_number(limit):
        return (
            f"no limit is stated, so the largest fall, {number(observed)}, counts for nothing. It fails if it breaks."
        )
    return _change_of_limit(gate, kind, float(observed), float(limit), found)


def describe_bar(gate: Mapping[str, Any], title: str) -> str:
    """What the picture of such a gate shows; `title` is the metric's."""
    what = {
        "fairness": "the two groups that speak most against it",
        "slices": f"by how much {title} is worse on the slice that speaks most against it",
        "robust": f"by how much {title} falls where it falls most",
    }[gate_kind(gate)]
    if not is_number(gate.get("limit")):
        return f"{what}; no limit is stated"
    return f"{what}; it fails only where the whole bar lies outside the shade"


def _change_of_limit(gate: Mapping[str, Any], kind: str, observed: float, limit: float, found: Bounds | None) -> str:
    below, status = limits_from_above(gate), gate.get("status")
    far = (found[1] if below else found[2]) if found else math.nan
    bound = "lower" if below else "upper"
    what = {"slices": "the drop", "robust": "the fall"}.get(kind, "the ratio" if not below else "the difference")
    digits = digits_apart(limit, observed, *([far] if math.isfinite(far) else []))
    stated = f"the limit {number(limit, digits)}"
    if status == "fail":
        gap = number(abs(far - limit)) if math.isfinite(far) else ""
        least = {
            "slices": "The model has to do better there",
            "robust": "It has to lean less on what is missing then",
            "fairness": "The groups have to be decided more alike",
        }[kind]
        said = f"even the {bound} bound {number(far, digits)} of {what} lies beyond {stated}. " if gap else ""
        named = list_names(entries(gate.get("evidence"), "failed"), 5)
        there = f" It failed on: {named}." if kind == "slices" and named else ""
        return f"{said}{least}{f', by {gap} at least' if gap else ''}.{there}"
    if status == "inconclusive":
        return (
            f"{what} is {number(observed, digits)} where it is worst, and {stated}. It passes once every part is shown "
            "to keep it, which takes more rows of the smallest ones."
        )
    if not math.isfinite(far):
        return (
            f"{what} is {number(observed, digits)} where it is worst, and {stated}. It fails where a bound crosses it."
        )
    near = found[2] if below else found[1]  # type: ignore[index]  # it is there where `far` is finite
    if near <= limit if below else near >= limit:
        other = "upper" if below else "lower"
        return f"even the {other} bound {number(near)} of {what} where it is worst keeps {stated}: that is shown."
    return (
        f"{what} is {number(observed, digits)} where it is worst, with bounds on both sides of {stated}, so it is "
        "shown neither to keep it nor to break it. It fails where both bounds lie beyond."
    )


def _change_of_leaks(gate: Mapping[str, Any]) -> str:
    evidence = gate.get("evidence") or {}
    if gate.get("status") == "pass":
        return "no near-certain sign was found. One would hold the release until a person has looked."
    if not evidence.get("signs"):
        return "it has to be looked for first. Training again does."
    return (
        "what is named has to be left out (data.exclude), or cleared by a person who has checked that it is known when "
        "predictions are made (data.known_in_time), and the model trained again. More labels do not change it."
    )


def tell_audit_promise(audit: Part) -> str:
    """How often slices and groups are blamed by chance; empty where the audit holds neither to a limit."""
    slices = part(audit, "slices")
    confidence = figure(slices, "confidence")
    held = math.isfinite(figure(slices, "max_drop")) and parts(slices, "slices")
    if not math.isfinite(confidence) or not (held or parts(audit, "fairness")):
        return ""
    return (
        f"Slices and groups: at most {percent(1 - confidence)} chance of blaming any of them, all comparisons of one "
        "kind together, if none truly breaks its limit; what is too small to tell is named and does not hold the "
        "release unless the project file asks for it, or nothing at all could be told."
    )
