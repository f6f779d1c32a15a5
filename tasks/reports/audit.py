"""The audit on the decision page: parts of the rows, groups of people, worse rows, leaks; each where there is any."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.reports.dossier import Dossier
from tasks.reports.fairness import FairnessView, view_fairness
from tasks.reports.leaks import LeaksView, view_leaks
from tasks.reports.price import PriceView, view_price
from tasks.reports.robustness import RobustnessView, view_robustness
from tasks.reports.slices import SlicesView, view_slices


@dataclass(frozen=True)
class AuditView:
    """What an audit found; None for what it does not tell of."""

    slices: SlicesView | None
    fairness: FairnessView | None
    price: PriceView | None
    robustness: RobustnessView | None
    leaks: LeaksView | None


def view_audit(dossier: Dossier) -> AuditView:
    """The audit of the judgement that counts."""
    audit = dossier.audit
    return AuditView(
        slices=view_slices(audit),
        fairness=view_fairness(audit),
        price=view_price(dossier.record.get("mitigation"), audit),
        robustness=view_robustness(audit),
        leaks=view_leaks(audit),
    )
