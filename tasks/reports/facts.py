"""What the ledger knows of a whole project, as its page tells it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from tasks.reports.wording import NOTHING

LIVED_THROUGH = timedelta(days=2)  # turns that look from so far before they are done live through the past


@dataclass(frozen=True)
class Reading:
    """A metric's value, and its interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> tuple[float, float] | None:
        """The interval's ends; None where one is missing."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True)
class WindowFacts:
    """A window as its newest entry has it.

    `seq` and `found` are of the entry that found this health first, `first_seq` of the first look at the window.
    `metric` names what the three readings are of. `alarm`: it counts against the budget of false alarms. `doubt`: why
    its labels do not speak of its health. `promise` and `tally` are what was promised of false alarms and what came.
    """

    key: str
    seq: int
    first_seq: int
    found: datetime | None
    health: str
    sentence: str
    action: str = "none"
    cause: str = ""
    version: int | None = None
    rows: int = 0
    labelled: int = 0
    metric: str | None = None
    realised: Reading | None = None
    estimated: Reading | None = None
    promised: Reading | None = None
    alarm: bool = False
    doubt: str = ""
    promise: str = ""
    tally: str = ""
    report: str | None = None  # an address relative to the page, as all links here
    contract: str | None = None

    @property
    def speaks(self) -> bool:
        """Whether labels speak of its health."""
        return self.realised is not None and not self.doubt


@dataclass(frozen=True)
class TrainingFacts:
    """How a version came to be. `asked` is what the policy asked for it for; None where it did not."""

    version: int
    seq: int
    moment: datetime | None
    candidate: str = ""
    rows: int = 0
    batches: tuple[str, ...] = ()
    asked: str | None = None


@dataclass(frozen=True)
class DecisionFacts:
    """A decision about a version: `before` and `champion` are who was champion before and after it."""

    seq: int
    moment: datetime
    written: datetime
    version: int
    action: str
    actor: str
    reason: str
    by_gates: bool
    before: int | None = None
    champion: int | None = None
    overruled: tuple[str, ...] | None = None  # the gates that a person overruled; None where nobody did
    page: str | None = None


@dataclass(frozen=True)
class RetrainingFacts:
    """What the policy decided. `code`: what asks for a challenger, or the bound that forbids it, in one word."""

    seq: int
    moment: datetime | None
    outcome: str
    code: str
    sentence: str
    not_before: datetime | None = None


@dataclass(frozen=True)
class CheckFacts:
    """A batch against its contract."""

    seq: int
    moment: datetime | None
    batch: str
    outcome: str
    reason: str
    rows: int = 0
    quarantined: int = 0
    page: str | None = None
    quarantine: str | None = None


@dataclass(frozen=True)
class Incident:
    """Anything else that happened: `kind` says what."""

    seq: int
    moment: datetime | None
    kind: str  # accepted, alert, labels, alias, prune, restore
    sentence: str


@dataclass(frozen=True)
class PolicyFacts:
    """When a challenger may be trained by itself, and how many false alarms are accepted. None: not known here."""

    sentence: str = ""
    used: int = 0
    most: int | None = None
    not_before: datetime | None = None
    budget: str = ""


@dataclass(frozen=True)
class ProjectFacts:
    """A project as its ledger has it. `argument` is what commands take for it; all but the texts is in order."""

    project: str
    argument: str
    description: str = ""
    zone: tzinfo = UTC
    timezone: str = "UTC"
    as_of: datetime | None = None
    turned: datetime | None = None  # when the newest turn was done
    windows: tuple[WindowFacts, ...] = ()
    trainings: tuple[TrainingFacts, ...] = ()
    decisions: tuple[DecisionFacts, ...] = ()
    retrainings: tuple[RetrainingFacts, ...] = ()
    checks: tuple[CheckFacts, ...] = ()  # the newest one of each batch
    refusals: tuple[CheckFacts, ...] = ()  # each one that was news, also where the batch was mended since
    incidents: tuple[Incident, ...] = ()
    champion: int | None = None
    since: DecisionFacts | None = None  # what made it champion
    previous: int | None = None
    waiting: int | None = None  # the version that waits for a person
    policy: PolicyFacts = field(default_factory=PolicyFacts)
    personal: Mapping[str, str] = field(default_factory=dict)  # columns that look like it, and that nobody settled
    deliveries: str = ""  # of labels that come apart from the rows
    faulty_deliveries: bool = False
    unreached: str = ""  # whom the newest alert did not reach
    links: Mapping[str, str] = field(default_factory=dict)  # what may be looked at, and where it is

    @property
    def quoted(self) -> str:
        """What commands take for it, as a shell takes it."""
        return shlex.quote(self.argument)

    @property
    def past(self) -> bool:
        """Whether its turns live through the past."""
        return self.as_of is not None and self.turned is not None and self.turned - self.as_of > LIVED_THROUGH

    @property
    def newest(self) -> WindowFacts | None:
        """The newest window."""
        return self.windows[-1] if self.windows else None

    @property
    def labelled(self) -> WindowFacts | None:
        """The newest window that the champion scored and labels speak of."""
        own = [w for w in self.windows if w.version == self.champion and w.health != "broken" and w.speaks]
        return own[-1] if own else None

    @property
    def quarantined(self) -> str | None:
        """The address of the newest file of rows in quarantine."""
        return next((c.quarantine for c in reversed(self.checks) if c.quarantine), None)

    @property
    def training(self) -> TrainingFacts | None:
        """The champion's training."""
        return next((t for t in reversed(self.trainings) if t.version == self.champion), None)

    def day(self, moment: datetime | None) -> str:
        """A moment in the project's time zone: a date where it is midnight there."""
        if moment is None:
            return NOTHING
        local = moment.astimezone(self.zone)
        return f"{local:%Y-%m-%d}" if (local.hour, local.minute) == (0, 0) else f"{local:%Y-%m-%d %H:%M}"
