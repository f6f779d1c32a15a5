"""The ladder of gates: each with its finding, drawn against its limit, and in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tasks.reports.audit_outlook import JUDGED_BY_FAILING, describe_bar
from tasks.reports.dossier import (
    Bounds,
    Dossier,
    bounds,
    find_measure,
    gate_kind,
    gate_title,
    limits_from_above,
    metric_title,
)
from tasks.reports.figures import draw_gate
from tasks.reports.wording import NOTHING, digits_apart, is_number, number, plain, signed

_STATUS = {
    "pass": ("good", "✓", "pass"),
    "fail": ("bad", "✗", "fail"),
    "inconclusive": ("warn", "?", "inconclusive"),
    "not_applicable": ("na", NOTHING, "not applicable"),
}


@dataclass(frozen=True)
class GateView:
    """A gate as the ladder shows it."""

    title: str
    name: str
    tone: str
    glyph: str
    status: str
    sentence: str
    deciding: bool
    overruled: bool
    figure: Markup | None
    caption: str
    numbers: tuple[tuple[str, str], ...]


def view_gate(gate: Mapping[str, Any], dossier: Dossier) -> GateView:
    """A gate of the judgement that counts."""
    kind = str(gate.get("status"))
    tone, glyph, status = _STATUS.get(kind, _STATUS["inconclusive"])
    if kind == "pass" and (gate.get("evidence") or {}).get("undecided"):
        tone, glyph, status = "na", "✓", "not told for all, let pass"
    title, evidence = gate_title(gate), gate.get("evidence") or {}
    override = dossier.override
    numbers: list[tuple[str, str]] = []
    limit, observed, found = gate.get("limit"), gate.get("observed"), bounds(gate, dossier.audit)
    write = signed if "gain" in evidence else number
    digits = digits_apart(*(found or ()), *([limit] if is_number(limit) else []))
    if found is not None:
        sure = f"{float(evidence['confidence']) * 100:.4g}%" if is_number(evidence.get("confidence")) else "one-sided"
        numbers = [
            (_name_value(gate), write(found[0], digits)),
            (f"lower bound, {sure}", write(found[1], digits)),
            (f"upper bound, {sure}", write(found[2], digits)),
        ]
    elif is_number(observed):
        numbers = [(_name_value(gate), number(observed))]
    if is_number(limit):
        numbers.append(("limit", write(limit, digits if found else 3)))
    return GateView(
        title=title,
        name=str(gate.get("name", "")),
        tone=tone,
        glyph=glyph,
        status=status,
        sentence=plain(gate.get("sentence", "")),
        deciding=gate.get("name") == dossier.evidence.get("deciding"),
        overruled=override is not None and gate.get("name") in (override.overruled or ()),
        figure=_draw(gate, title, status, found),
        caption=_caption(gate, dossier.metric, found),
        numbers=tuple(numbers),
    )


def _draw(gate: Mapping[str, Any], title: str, status: str, found: Bounds | None) -> Markup | None:
    limit, observed, kind = gate.get("limit"), gate.get("observed"), gate_kind(gate)
    if not is_number(limit) or kind == "leaks" or (kind == "robust" and found is None):
        return None  # how many signs there are, or ways to break it, is no length
    below = limits_from_above(gate)
    if found is not None:
        desc = f"{status}: {number(found[0])}, bounds {number(found[1])} to {number(found[2])}, limit {number(limit)}"
        zero = "gain" in gate["evidence"] or (kind in JUDGED_BY_FAILING and below)
        return draw_gate(title, desc, status, found[0], found[1:], limit, below=below, zero=zero)
    if is_number(observed):
        desc = f"{status}: {number(observed)}, limit {number(limit)}"
        return draw_gate(title, desc, status, observed, None, limit, below=below)
    return None


def _name_value(gate: Mapping[str, Any]) -> str:
    """What the estimate of a gate is."""
    evidence, kind = gate.get("evidence") or {}, gate_kind(gate)
    if kind == "fairness":
        return "ratio" if find_measure(gate)[1].endswith("_ratio") else "difference"
    if kind == "robust" and evidence.get("broken"):
        return "cases in which it breaks"
    of_audit = {"slices": "drop", "robust": "largest fall", "leaks": "near-certain signs"}
    default = "gain" if "gain" in evidence else "value" if is_number(evidence.get("value")) else "found"
    return of_audit.get(kind, default)


def _caption(gate: Mapping[str, Any], metric: str, found: object) -> str:
    if found is None:
        units = {
            "speed": "milliseconds for 1,000 rows",
            "size": "megabytes on disk",
            "sound": "largest difference between two processes",
        }
        return units.get(str(gate.get("name")), "")
    evidence = gate["evidence"]
    title = metric_title(evidence.get("metric") or metric)
    if gate_kind(gate) in JUDGED_BY_FAILING:
        return describe_bar(gate, title)
    other = {"baseline": " over a constant prediction", "champion": " over the champion"}.get(str(gate["name"]), "")
    return f"gain in {title}{other}; right of 0 is better" if "gain" in evidence else title
