"""The decision page: what was decided about a version, on what evidence, and what to do next. One file, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tasks.reports import advice, outlook
from tasks.reports.audit import view_audit
from tasks.reports.audit_outlook import JUDGED_BY_FAILING
from tasks.reports.curves import view_confusion, view_curves
from tasks.reports.dossier import Dossier, gate_kind, metric_title
from tasks.reports.figures import Axis, draw_bar, draw_spread
from tasks.reports.ladder import view_gate
from tasks.reports.rendering import render_html
from tasks.reports.shadow import view_shadow
from tasks.reports.wording import is_number, moment, number, plain, shorten, signed

_MOST_ROWS = 30  # of any table of names
_MOST_DECISIONS = 40
_BARS = 15


@dataclass(frozen=True)
class Spread:
    """One model's metric with its interval, and where it lies on an axis that is shared."""

    name: str
    value: str
    interval: str
    figure: Markup


def write_decision_page(dossier: Dossier) -> str:
    """The page as HTML: self-contained, without script, below 1 MB whatever the data and the people brought.

    It tells only what the dossier holds: curves, importance, looks or a refit that are not there are not shown. The
    same dossier gives the same page.
    """
    record, evidence = dossier.record, dossier.evidence
    comparison, curves = evidence.get("comparison"), record.get("curves") or {}
    return render_html(
        "decision.html.jinja",
        d=dossier,
        state=advice.tell_state(dossier),
        steps=advice.tell_steps(dossier),
        changes=outlook.tell_changes(dossier),
        promise=outlook.tell_promise(dossier),
        override=dossier.override,
        gates=[view_gate(gate, dossier) for gate in dossier.gates],
        reversed=any(gate_kind(gate) in JUDGED_BY_FAILING for gate in dossier.gates),
        audit=view_audit(dossier),
        shadow=view_shadow(dossier),
        comparison=comparison,
        no_comparison=_explain_no_comparison(dossier) if not comparison else "",
        spreads=_view_models(evidence, record),
        metric=metric_title(dossier.metric),
        metrics=view_metrics(evidence.get("metrics") or ()),
        decisions=list(reversed(dossier.decisions[-_MOST_DECISIONS:])),
        earlier=max(0, len(dossier.decisions) - _MOST_DECISIONS),
        who=advice.decided_line,
        action=advice.action_word,
        curves=view_curves(curves),
        confusion=view_confusion(curves),
        importance=_view_importance(record.get("importance") or {}),
        params=list_items(record.get("params") or {}),
        dropped=list_items(record.get("dropped") or {}),
        dropped_features=list_items(record.get("dropped_features") or {}),
        refit=describe_refit(record.get("refit")),
        pictured=_tell_pictured(dossier),
        batches=listed_batches(record.get("batches") or ()),
        refused=listed_batches(record.get("refused") or ()),
    )


def _explain_no_comparison(dossier: Dossier) -> str:
    gate = next((g for g in dossier.gates if g.get("name") == "champion"), None)
    return plain(gate.get("sentence", "")) if gate else "It was not compared with a champion."


def _view_models(evidence: Mapping[str, Any], record: Mapping[str, Any]) -> list[Spread]:
    """The compared metric of challenger, champion and constant prediction on one axis."""
    name = record.get("metric")
    own = next((m for m in evidence.get("metrics") or () if m.get("name") == name), None)
    compared = evidence.get("compared_with")
    champion = f"champion, version {compared}" if compared is not None else "champion"
    rows = [
        ("this version", own),
        (champion, evidence.get("champion")),
        ("constant prediction", evidence.get("baseline")),
    ]
    return _spread([(label, m) for label, m in rows if m])


def view_metrics(metrics: Sequence[Mapping[str, Any]]) -> list[Spread]:
    """Every metric with its interval, each on an axis of its own that holds 0 and, for shares, 1."""
    found = []
    for metric in list(metrics)[:_MOST_ROWS]:
        ends = [metric.get("low"), metric.get("value"), metric.get("high")]
        numbers = [float(e) for e in ends if is_number(e)]
        share = bool(numbers) and min(numbers) >= 0 and max(numbers) <= 1
        found += _spread([(metric_title(metric.get("name")), metric)], (0.0, 1.0) if share else (0.0,))
    return found


def _spread(rows: Sequence[tuple[str, Mapping[str, Any]]], also: Sequence[float] = ()) -> list[Spread]:
    ends = [m.get(k) for _, m in rows for k in ("low", "value", "high")]
    numbers = [float(e) for e in ends if is_number(e)] + list(also)
    axis = Axis(0.0, 1.0) if tuple(also) == (0.0, 1.0) else Axis.around(numbers or [0.0, 1.0])
    views = []
    for label, metric in rows:
        value, low, high = metric.get("value"), metric.get("low"), metric.get("high")
        if is_number(value):
            ends_of = (low, high) if is_number(low) and is_number(high) else (value, value)
            figure = draw_spread(f"{label}: {number(value)}", axis, value, *ends_of)
            interval = "cannot be told" if ends_of == (value, value) else f"{number(low)} to {number(high)}"
        else:
            figure, interval = Markup(""), "cannot be told"
        views.append(Spread(label, number(value), interval, figure))
    return views


def _view_importance(importance: Mapping[str, Any]) -> tuple[list[tuple[str, str, Markup]], int]:
    """The features that the metric needs most, and how many others there are."""
    known = [(str(n), float(v)) for n, v in importance.items() if is_number(v)]
    known.sort(key=lambda item: (-item[1], item[0]))
    if not known:
        return [], 0
    axis = Axis.around([0.0, *(v for _, v in known[:_BARS])])
    bars = [(n, signed(v), draw_bar(f"importance {signed(v)}", axis, v)) for n, v in known[:_BARS]]
    return bars, len(known) - len(bars)


def list_items(values: Mapping[str, Any]) -> tuple[list[tuple[str, str]], int]:
    """Names and values as a table shows them, and how many were left out."""
    items = [(str(n), number(v) if is_number(v) else shorten(plain(v), 200)) for n, v in values.items()]
    return items[:_MOST_ROWS], max(0, len(items) - _MOST_ROWS)


def describe_refit(refit: Any) -> str:
    """Which rows a model saw that was fitted again after it had passed; empty where it was not."""
    if not isinstance(refit, Mapping):
        return ""
    rows = f"{number(refit['rows'])} labelled rows" if is_number(refit.get("rows")) else "all labelled rows"
    batches = refit.get("batches")
    if isinstance(batches, list | tuple) and batches:
        rows += f" of {listed_batches(batches)}"
    if refit.get("until"):
        rows += f", the newest of {moment(refit['until'])}"
    twin_rows = f" on {number(refit['twin_rows'])} rows" if is_number(refit.get("twin_rows")) else ""
    twin, judged = "its twin,", "the test rows"
    if is_number(refit.get("twin")):
        twin, judged = f"its twin, version {refit['twin']},", "the rows that were judged on"
    return (
        f"This model was fitted again, to the same specification, on {rows}: it has seen {judged} too. All "
        f"evidence here is that of {twin} which was fitted{twin_rows} without them; the model itself was not measured "
        "on rows that it had not seen."
    )


def _tell_pictured(dossier: Dossier) -> str:
    """Whose curves and importances are shown, where they are not from the rows that counted."""
    twin = (dossier.record.get("refit") or {}).get("twin")
    if twin is not None:
        return f"The curves and the columns below are those of version {twin}, its twin, at its training."
    return "The curves and the columns below are those of its training." if len(dossier.looks) > 1 else ""


def listed_batches(batches: Sequence[Any]) -> str:
    """Batch keys in a row; of many the first and the last."""
    if len(batches) > 6:
        first, last = (shorten(plain(b), 80) for b in (batches[0], batches[-1]))
        return f"{len(batches):,} batches from {first} to {last}"
    return ", ".join(shorten(plain(b), 80) for b in batches) or "no batch"
