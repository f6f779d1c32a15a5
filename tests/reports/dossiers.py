"""Dossiers for the tests of the pages: one of a binary model, and what may stand in it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.reports.dossier import Decision, Dossier, Look
from tasks.results import to_json

AT = datetime(2024, 5, 1, 9, 30, tzinfo=UTC)


def make_metric(name: str = "average_precision", value: float = 0.41, spread: float = 0.05) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "low": value - spread,
        "high": value + spread,
        "confidence": 0.95,
        "larger_is_better": True,
        "method": "jackknife over 17 days",
    }


def make_comparison(gain: float = 0.01, reach: float = 0.008, **changes: Any) -> dict[str, Any]:
    return {
        "metric": "average_precision",
        "other": "champion",
        "gain": gain,
        "low": gain - reach,
        "high": gain + reach,
        "confidence": 0.95,
        "method": "paired jackknife-t over 17 days",
        "rows": 15_553,
        "blocks": 17,
        "effective_blocks": 13.4,
        "standard_error": 0.004,
        "rows_needed": 41_000,
        **changes,
    }


def make_gate(name: str, status: str = "pass", limit: float | None = None, **more: Any) -> dict[str, Any]:
    gate = {"name": name, "status": status, "sentence": f"What {name} found.", "observed": None, "evidence": {}}
    return {**gate, "limit": limit, **more}


def make_gates(status: str = "pass", gain: float = 0.01) -> list[dict[str, Any]]:
    """The five gates, the champion's with this status and gain."""
    baseline, champion = make_comparison(0.18, 0.05), make_comparison(gain)
    return [
        make_gate("baseline", limit=0.02, observed=baseline["low"], evidence=baseline),
        make_gate(
            "champion",
            status,
            limit=-0.005,
            observed=champion["low"],
            evidence={**champion, "rule": "not_worse", "margin": 0.005},
        ),
        make_gate("sound", limit=1e-6, observed=0.0),
        make_gate("speed", limit=200.0, observed=11.4),
        make_gate("size", limit=100.0, observed=0.36),
    ]


def make_record(outcome: str = "promote", **changes: Any) -> dict[str, Any]:
    """The payload of a training."""
    status, gain = {"promote": ("pass", 0.01), "hold": ("inconclusive", 0.001), "reject": ("fail", -0.05)}[outcome]
    return {
        "training_key": "k" * 24,
        "snapshot": "s" * 32,
        "batches": ["2024-01", "2024-02", "2024-03"],
        "refused": [],
        "known_as_of": "2024-04-01T00:00:00+00:00",
        "rows": 76_997,
        "judged": 15_553,
        "dropped": {"in quarantine": 22},
        "split": "by time: 15,553 test rows",
        "task": "binary",
        "classes": [False, True],
        "features": ["size", "colour"],
        "dropped_features": {},
        "candidate": "logistic",
        "choice": "logistic: the best of 3 trials.",
        "params": {"C": 0.138},
        "calibration": "isotonic",
        "threshold": 0.5,
        "threshold_how": "0.5, since no costs are given (train.costs).",
        "metric": "average_precision",
        "metrics": [make_metric(), make_metric("roc_auc", 0.7), make_metric("log_loss", 0.53)],
        "baseline": make_metric(value=0.22),
        "champion": make_metric(value=0.40),
        "comparison": make_comparison(gain),
        "importance": {"size": 0.08, "colour": -0.002},
        "gates": make_gates(status, gain),
        "deciding": "champion",
        "verdict": {"outcome": outcome, "reason": f"What the gates found: {outcome}."},
        "compared_with": 1,
        "run_id": "r" * 32,
        "digest": "d" * 64,
        **changes,
    }


def make_decision(action: str, hours: float = 1, **changes: Any) -> Decision:
    given: dict[str, Any] = {"actor": "ada", "reason": "it is due", "champion": 1, "by_gates": False, **changes}
    return Decision(at=AT + timedelta(hours=hours), action=action, **given)


def make_dossier(
    record: dict[str, Any] | None = None, *decisions: Decision, looks: tuple[dict[str, Any], ...] = (), **changes: Any
) -> Dossier:
    """A dossier as the ledger would give it: through JSON, where what is not finite is null."""
    import json

    record = json.loads(to_json(record or make_record()))
    verdict = record["verdict"]
    judged = [Look(record.get("look", 1), AT, verdict["outcome"], verdict["reason"], record)]
    judged += [
        Look(n, AT + timedelta(days=30 * n), "hold", f"Look {n} could not tell.", json.loads(to_json(look)))
        for n, look in enumerate(looks, 2)
    ]
    given: dict[str, Any] = {
        "project": "shop",
        "argument": "shop",
        "version": 2,
        "trained_at": AT,
        "trained_by": "ada",
        "code_version": "0.1.0",
        "spec": {"description": "Who buys.", "data": {"target": "bought", "label_delay": "P1D", "exclude": ["paid"]}},
        **changes,
    }
    return Dossier(record=record, looks=judged, decisions=decisions, **given)


NAN = math.nan
