"""Everything about one model version that its pages tell, as the ledger has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tasks.reports.findings import entries, figure, part, parts
from tasks.reports.measures import by_words, measure_title
from tasks.reports.wording import capital, is_number, shorten, spoken
from tasks.stats.metrics import METRICS

RELEASED = ("promote", "approve", "rollback")
Bounds = tuple[float, float, float]  # an estimate, its lower and its upper bound


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
class ShadowBatch:
    """A batch that the version, or its twin, scored in shadow beside a champion, and what both were worth on those of
    its rows that have a label by now. A number that is not known is None."""

    batch: str
    version: int
    champion: int | None
    rows: int
    disagreement: Mapping[str, Any]  # rows, decisions, distance, spread, relative
    metric: str = ""
    labelled: int = 0
    value: float | None = None
    champion_value: float | None = None
    gain: float | None = None  # above 0 speaks for the version
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    failed: str = ""  # why it could not be scored


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
    shadow: Sequence[ShadowBatch] = ()

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
    def audit(self) -> Mapping[str, Any]:
        """Whether the model is good for everyone; empty where that was not looked at."""
        return part(self.evidence, "audit")

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


def gate_kind(gate: Mapping[str, Any]) -> str:
    """What a gate is about: `fairness` of "fairness sex accuracy_difference", `floor` of "floor roc_auc"; else its
    name."""
    name = str(gate.get("name", ""))
    kind = name.partition(" ")[0]
    return kind if kind in ("floor", "ceiling", "fairness") else name


def find_measure(gate: Mapping[str, Any]) -> tuple[Sequence[str], str]:
    """The columns and the measure of a fairness gate."""
    middle, _, measure = str(gate.get("name", "")).partition(" ")[2].rpartition(" ")
    recorded = tuple(str(column) for column in entries(gate.get("evidence"), "by"))
    return recorded or tuple(middle.split(" x ")), measure


def gate_title(gate: Mapping[str, Any]) -> str:
    """What a gate asks, in a few words."""
    name, kind = str(gate.get("name", "")), gate_kind(gate)
    rule = (gate.get("evidence") or {}).get("rule")
    if name == "champion":
        return "Better than the champion" if rule == "better" else "Not worse than the champion"
    known = {
        "baseline": "Worth it: better than a constant prediction",
        "sound": "Sound: loads elsewhere and predicts the same",
        "speed": "Fast enough",
        "size": "Small enough",
        "slices": "For every part of the rows: on none worse than allowed",
        "robust": "Robust: worse rows do not break it",
        "leaks": "Honest: no sign that its test rows flatter it",
    }
    if kind in ("floor", "ceiling"):
        return f"{capital(kind)} of {metric_title(name.partition(' ')[2])}"
    if kind == "fairness":
        columns, measure = find_measure(gate)
        return f"Fair by {by_words(columns)}: {measure_title(measure)}"
    return known.get(name) or shorten(capital(spoken(name)), 80)


def limits_from_above(gate: Mapping[str, Any]) -> bool:
    """Whether the gate passes below its limit: times, sizes and ceilings, falls, and differences between groups."""
    kind = gate_kind(gate)
    if kind == "fairness":
        return not find_measure(gate)[1].endswith("_ratio")
    return kind.startswith(("sound", "speed", "size", "ceiling", "slices", "robust", "leaks"))


def bounds(gate: Mapping[str, Any], audit: Mapping[str, Any] | None = None) -> Bounds | None:
    """A gate's estimate with its lower and upper bound; None where it rests on a plain number or on none.

    Slices and worse rows have theirs in the `audit`: those of the one that the gate names.
    """
    evidence = gate.get("evidence") or {}
    point = evidence.get("gain") if "gain" in evidence else evidence.get("value")
    found = (point, evidence.get("low"), evidence.get("high"))
    if all(map(is_number, found)):
        return found  # type: ignore[return-value]  # all are numbers
    kind = gate_kind(gate)
    every = {"slices": ("slices", "slices", "drop"), "robust": ("robustness", "steps", "fall")}.get(kind)
    if every is None or evidence.get("broken") or not is_number(gate.get("observed")):
        return None
    room, listed, name = every
    for one in parts(part(audit, room), listed):
        found = (figure(one, name), figure(one, "low"), figure(one, "high"))
        if found[0] == gate["observed"] and all(map(is_number, found)):
            return found
    return None
