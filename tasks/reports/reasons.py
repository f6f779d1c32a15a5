"""Why a version was held or rejected: the gate that decided, in a clause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.reports.dossier import Dossier, find_measure, gate_kind, metric_title
from tasks.reports.findings import entries
from tasks.reports.measures import by_words
from tasks.reports.wording import plain

_MOST_NAMED = 20  # failed slices that a gate's evidence lists


def find_deciding(dossier: Dossier) -> Mapping[str, Any] | None:
    """The gate that settled the newest judgement; None where it is not known."""
    return next((g for g in dossier.gates if g.get("name") == dossier.evidence.get("deciding")), None)


def tell_reason(dossier: Dossier) -> str:
    """The gate that decided against a version, in a clause."""
    gate = find_deciding(dossier)
    if gate is None:
        return "its gates do not allow it"
    name, failed = str(gate.get("name")), gate.get("status") == "fail"
    clauses = _tell_known(gate).get(gate_kind(gate)) or (
        f"the gate {plain(name)!r} failed",
        f"the gate {plain(name)!r} could not be decided",
    )
    return clauses[0] if failed else clauses[1]


def _tell_known(gate: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What each kind of gate says where it failed, and where it could not be decided."""
    evidence = gate.get("evidence") or {}
    better = evidence.get("rule") == "better"
    kind, _, metric = str(gate.get("name")).partition(" ")
    title = metric_title(metric)
    by = by_words(find_measure(gate)[0])
    breaks = "it breaks where rows are worse than they were" if evidence.get("broken") else ""
    falls = "it gets worse by more than is allowed where values are missing, unseen or noisy, or a column is lost"
    unread = "the test rows near-certainly flatter it" if evidence.get("signs") else "whether data leaks is not known"
    failed = len(entries(evidence, "failed"))
    many = f"{failed}{' or more' if failed >= _MOST_NAMED else ''}" if failed else "some"
    return {
        "baseline": ("it is not better than a constant prediction by as much as is asked",
                     "whether it is better than a constant prediction by as much as is asked cannot be told yet"),
        "champion": ("it is not better than the champion" if better
                     else "it is worse than the champion by more than is allowed",
                     f"whether it is {'better' if better else 'as good as'} {'than ' if better else ''}the champion "
                     "cannot be told yet"),
        "sound": ("the stored model does not behave as it should", "the stored model could not be tried"),
        "speed": ("it predicts too slowly", "its speed was not measured"),
        "size": ("it is too large", "its size was not measured"),
        "floor": (f"{title} does not keep its {kind}", f"whether {title} keeps its {kind} cannot be told yet"),
        "ceiling": (f"{title} does not keep its {kind}", f"whether {title} keeps its {kind} cannot be told yet"),
        "slices": (f"it is worse than is allowed on {many} part{'' if failed == 1 else 's'} of "
                   "the rows", "whether it is good enough on every part of the rows cannot be told yet"),
        "fairness": (f"it treats groups of people, by {by}, more differently than is allowed",
                     f"whether it treats groups of people, by {by}, alike enough cannot be told yet"),
        "robust": (breaks or falls, "it could not be tried on rows that are worse than these"),
        "leaks": (unread, unread),
    }  # fmt: skip
