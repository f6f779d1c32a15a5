"""Everything about one model version that its pages tell, as the ledger has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tasks.reports.wording import capital, is_number, shorten, spoken
from tasks.stats.metrics import METRICS

RELEASED = ("promote", "approve", "rollback")


@dataclass(frozen=True)
class Decision:
    """One decision about the version, or one that took its place away (`replaced`, `rolled back`)."""

    at: datetime
    action: str  # promote, approve, rollback, propose, hold, reject; replaced, rolled back
    actor: str
    reason: str
    champion: int | None = None  # after it
    previous: int | None = None  # whom that champion took over from
    by_gates: bool = False  # the gates decided, and the actor only ran them
    overruled: tuple[str, ...] | None = None  # the gates that a person overruled; None where nobody did


@dataclass(frozen=True)
class Look:
    """One judgement of the version's gates: the one after its training, or a later one on rows with new labels."""

    number: int  # 0 where it is not counted, since there was no champion to compare with
    at: datetime
    outcome: str
    reason: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Dossier:
    """A version. `argument` is what commands take for its project, `spec` the project file it was trained by."""

    project: str
    argument: str
    version: int
    record: Mapping[str, Any]  # the payload of its training
    trained_at: datetime
    trained_by: str
    code_version: str
    looks: Sequence[Look]  # the first is that of the training
    decisions: Sequence[Decision] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)
    successor: int | None = None  # the version that it was fitted again as, once it had passed at a look

    @property
    def look(self) -> Look:
        """The judgement that counts: the newest."""
        return self.looks[-1]

    @property
    def evidence(self) -> Mapping[str, Any]:
        """What that judgement rests on: `gates`, `metrics`, `comparison` and so on."""
        return self.look.evidence

    @property
    def newest(self) -> Decision | None:
        """The newest decision; None where there is none yet."""
        return self.decisions[-1] if self.decisions else None

    @property
    def override(self) -> Decision | None:
        """The newest decision that overruled gates; None where there is none."""
        return next((d for d in reversed(self.decisions) if d.overruled is not None), None)

    @property
    def gates(self) -> tuple[Mapping[str, Any], ...]:
        """The gates in the order in which they are judged."""
        return tuple(self.evidence.get("gates") or ())

    @property
    def metric(self) -> str:
        """The name of the metric that the gates compare."""
        return str(self.record.get("metric", ""))

    @property
    def judged_rows(self) -> int | None:
        """The rows that the evidence rests on; None where that was not recorded."""
        found = [self.evidence.get("judged"), *((g.get("evidence") or {}).get("rows") for g in self.gates)]
        return next((int(rows) for rows in found if is_number(rows)), None)

    def section(self, *names: str) -> Any:
        """A value of the project file, by the path to it; None where it is not there."""
        value: Any = self.spec
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


def metric_title(name: object) -> str:
    """A metric as people say it."""
    known = METRICS.get(str(name))
    return known.title if known else shorten(spoken(name), 80)


def gate_title(gate: Mapping[str, Any]) -> str:
    """What a gate asks, in a few words."""
    name = str(gate.get("name", ""))
    rule = (gate.get("evidence") or {}).get("rule")
    if name == "champion":
        return "Better than the champion" if rule == "better" else "Not worse than the champion"
    known = {
        "baseline": "Worth it: better than a constant prediction",
        "sound": "Sound: loads elsewhere and predicts the same",
        "speed": "Fast enough",
        "size": "Small enough",
    }
    kind, _, metric = name.partition(" ")
    if kind in ("floor", "ceiling"):
        return f"{capital(kind)} of {metric_title(metric)}"
    return known.get(name) or shorten(capital(spoken(name)), 80)


def limits_from_above(gate: Mapping[str, Any]) -> bool:
    """Whether the gate passes below its limit: times, sizes and ceilings."""
    return str(gate.get("name", "")).startswith(("sound", "speed", "size", "ceiling"))


def bounds(gate: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """A gate's estimate with its lower and upper bound; None where it rests on a plain number or on none."""
    evidence = gate.get("evidence") or {}
    point = evidence.get("gain") if "gain" in evidence else evidence.get("value")
    found = (point, evidence.get("low"), evidence.get("high"))
    return found if all(map(is_number, found)) else None  # type: ignore[return-value]  # all are numbers then
