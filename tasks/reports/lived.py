"""What policies of retraining have come to on one past: the values of the page, and what they say side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from tasks.reports.wording import digits_apart, is_number, number, signed
from tasks.stats.staleness import AgePoint
from tasks.stats.window_means import FEWEST_WINDOWS, WindowMean, average_windows

NEVER = "never"


@dataclass(frozen=True)
class LivedWindow:
    """A window as it was lived through: which version served (by number, and by the key of its training, which is the
    same under every policy), and its metric on the rows whose labels came; nan where there is none."""

    batch: str
    version: int | None
    training: str
    value: float
    low: float
    high: float
    rows: int
    labelled: int
    health: str
    alarm: bool
    cause: str
    action: str
    why: str


@dataclass(frozen=True)
class Happening:
    """What a turn decided. `at` is its place among the windows (0.5 after the first one), `when` its moment as people
    there write it; `kind` is a key of the timeline's signs."""

    at: float
    when: str
    kind: str
    says: str


@dataclass(frozen=True)
class Lived:
    """A policy and its past. `trained` counts the trainings after the first one, whose outcomes follow; `held_back`
    the decisions to wait although something asked for a challenger. Times are CPU seconds."""

    policy: str
    says: str
    section: str
    windows: tuple[LivedWindow, ...]
    happenings: tuple[Happening, ...]
    trained: int
    promoted: int
    held: int
    rejected: int
    failed: int
    held_back: int
    training_seconds: float
    seconds: float

    @property
    def mean(self) -> float:
        """The metric's mean over the windows that have one; nan without any."""
        values = [w.value for w in self.windows if math.isfinite(w.value)]
        return sum(values) / len(values) if values else math.nan

    @property
    def alarms(self) -> int:
        """How many windows raised an alarm about drift."""
        return sum(w.alarm for w in self.windows)

    @property
    def bad(self) -> tuple[LivedWindow, ...]:
        """The windows in which the model had become worse than promised."""
        return tuple(w for w in self.windows if w.health == "degraded")


@dataclass(frozen=True)
class Compared:
    """The mean gain of one policy over another in the windows in which they served different versions; above 0 `one`
    is better. `windows` is how many these are, whether or not both have labels, and `won` in how many `one` was."""

    one: str
    other: str
    gain: WindowMean
    windows: int
    won: int


@dataclass(frozen=True)
class Replayed:
    """A replay: its project, the metric, every policy's past, how they compare, and how the versions aged."""

    project: str
    argument: str
    command: str
    metric: str
    title: str
    larger_is_better: bool
    batches: tuple[str, ...]
    known_until: str
    settings: tuple[str, ...]
    lived: tuple[Lived, ...]
    ages: tuple[AgePoint, ...]
    aged_windows: int
    versions: int

    @property
    def compared(self) -> tuple[Compared, ...]:
        """Every pair of policies; all intervals together hold with 95%."""
        pairs = list(combinations(self.lived, 2))
        return tuple(_compare(one, other, self.larger_is_better, len(pairs)) for one, other in pairs)


@dataclass(frozen=True)
class Conclusion:
    """What the replay shows: the policy that took least among those that none is shown to beat, and why."""

    policy: str | None
    headline: str
    reasons: tuple[str, ...]
    tone: str


def conclude(replayed: Replayed) -> Conclusion:
    """What a person may take from it. Nothing is called better or worse whose interval does not show it."""
    lived, title = replayed.lived, replayed.title
    windows = len(replayed.batches)
    if len(lived) == 1:
        only = lived[0]
        said = f"{only.policy} trained {times(only.trained)} in {windows} windows"
        return Conclusion(None, f"{said}; its mean {title} is {number(only.mean)}.", (), "na")
    compared = replayed.compared
    if all(pair.windows == 0 for pair in compared):
        said = "The policies served the same models throughout, so they do not differ."
        return Conclusion(min(lived, key=_price).policy, said, (_tell_quiet(lived),), "na")
    if not any(is_number(pair.gain.low) for pair in compared):
        most = max(pair.gain.windows for pair in compared)
        said = f"Too few windows to tell the policies apart: {most} of the {FEWEST_WINDOWS} that are needed."
        return Conclusion(None, said, tuple(_tell(pair, title) for pair in compared), "na")
    beaten = {pair.other for pair in compared if pair.gain.sign > 0} | {
        pair.one for pair in compared if pair.gain.sign < 0
    }
    pick = min((one for one in lived if one.policy not in beaten), key=_price, default=min(lived, key=_price))
    others = [one for one in lived if one is not pick]
    reasons = [_tell_beside(pick, one, _turned(compared, pick.policy, one.policy), title) for one in others]
    never = next((one for one in lived if one.policy == NEVER), None)
    if pick is never:
        return Conclusion(pick.policy, "Training again was not shown to pay.", tuple(reasons), "good")
    if never is not None and _turned(compared, pick.policy, NEVER).gain.sign > 0:
        gain = _turned(compared, pick.policy, NEVER).gain
        said = f"Training again pays: {pick.policy} did clearly better than never, by {number(gain.value)} in {title}"
        return Conclusion(pick.policy, f"{said}, with {trainings(pick.trained)}.", tuple(reasons), "good")
    said = f"{pick.policy} took the least of the policies that none was shown to beat: {trainings(pick.trained)}."
    return Conclusion(pick.policy, said, tuple(reasons), "good")


def conclude_ages(replayed: Replayed) -> str:
    """What the curve of staleness shows, in a sentence."""
    if not replayed.ages:
        few = "one version" if replayed.versions == 1 else f"{replayed.versions} versions"
        return (
            f"How models age cannot be told from {few}: no window was met by a version that had just been trained and "
            "by an older one. The policy monthly gives one for each window."
        )
    shown = next((point for point in replayed.ages if point.loss.sign > 0), None)
    of = f"{replayed.versions} versions, {replayed.aged_windows} windows"
    if shown is None:
        return f"No loss by age is shown ({of}): no interval lies above zero."
    return (
        f"From an age of {shown.from_days:.0f} days on a loss is shown ({of}): {number(shown.loss.value)} in "
        f"{replayed.title} against a model that had just been trained."
    )


def trainings(count: int) -> str:
    """Such as "1 training" or "no training"."""
    return "no training" if not count else f"{count} training{'' if count == 1 else 's'}"


def times(count: int) -> str:
    """Such as "once" or "3 times"."""
    return {0: "nothing", 1: "once"}.get(count, f"{count} times")


def spent(seconds: float) -> str:
    """CPU time as people say it."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _compare(one: Lived, other: Lived, larger_is_better: bool, comparisons: int) -> Compared:
    sign = 1.0 if larger_is_better else -1.0
    apart = [
        (mine, theirs)
        for mine, theirs in zip(one.windows, other.windows, strict=True)
        if mine.training != theirs.training
    ]
    gains = [sign * (a.value - b.value) for a, b in apart if math.isfinite(a.value) and math.isfinite(b.value)]
    won = sum(gain > 0 for gain in gains)
    return Compared(one.policy, other.policy, average_windows(gains, comparisons), len(apart), won)


def _turned(compared: Sequence[Compared], one: str, other: str) -> Compared:
    """The comparison of two policies as seen from `one`."""
    for pair in compared:
        if (pair.one, pair.other) == (one, other):
            return pair
        if (pair.one, pair.other) == (other, one):
            gain = WindowMean(-pair.gain.value, -pair.gain.high, -pair.gain.low, pair.gain.windows)
            return Compared(one, other, gain, pair.windows, gain.windows - pair.won)
    raise KeyError((one, other))


def _tell_beside(pick: Lived, other: Lived, pair: Compared, title: str) -> str:
    """How another policy did beside the one that is picked."""
    spent_on = f", {spent(other.training_seconds)} of CPU time to train" if other.trained else ""
    took = f"{other.policy} took {trainings(other.trained)}{spent_on}"
    if not pair.windows:
        return f"{took}, and served the same models as {pick.policy}."
    gain = pair.gain
    if not is_number(gain.low):
        return f"{took}; {_tell(pair, title)}"
    said = {1: "was clearly worse than", -1: "was clearly better than", 0: "was not shown to be better than"}[gain.sign]
    low, high = -gain.high, -gain.low
    return (
        f"{took}, and {said} {pick.policy}: its gain in {title} is {signed(-gain.value)}, {_say_ends(low, high)}; "
        f"{pick.policy} was ahead in {pair.won} of the {gain.windows} windows in which they served different models."
    )


def _tell(pair: Compared, title: str) -> str:
    gain = pair.gain
    if not gain.windows:
        return f"no window has labels in which {pair.one} and {pair.other} served different models."
    windows = "1 window" if gain.windows == 1 else f"{gain.windows} windows"
    ends = f", {_say_ends(gain.low, gain.high)}" if is_number(gain.low) else ", too few for an interval"
    return f"{pair.one} against {pair.other}: {signed(gain.value)} in {title} over {windows}{ends}."


def _say_ends(low: float, high: float) -> str:
    digits = digits_apart(low, high)
    return f"from {signed(low, digits)} to {signed(high, digits)}"


def _tell_quiet(lived: Sequence[Lived]) -> str:
    said = [f"{one.policy} took {trainings(one.trained)}" for one in lived]
    return f"{'; '.join(said)}."


def _price(one: Lived) -> tuple[int, float]:
    """What a policy cost. By trainings first: these do not hang on what else the computer did."""
    return one.trained, one.training_seconds
