"""How far to trust estimates without labels: the windows whose labels came, and what had been estimated of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.monitoring.health import show

FEWEST = 3  # windows; of fewer it is not said which guess is the better one


@dataclass(frozen=True)
class Reckoning:
    """One window's metric as it was estimated, as it came true, and as the version had promised."""

    estimated: float
    realised: float
    promised: float


@dataclass(frozen=True)
class Trust:
    """The mean distance of estimates to what came true, beside that of what was promised, over so many windows."""

    windows: int
    off: float
    promised_off: float

    @property
    def helps(self) -> bool:
        """Whether estimates were nearer than the promise, which never moves."""
        return self.off < self.promised_off


def judge_trust(past: Sequence[Reckoning]) -> Trust | None:
    """None where there is no window with both. All of one metric."""
    if not past:
        return None
    off = sum(abs(one.estimated - one.realised) for one in past) / len(past)
    promised = sum(abs(one.promised - one.realised) for one in past) / len(past)
    return Trust(len(past), off, promised)


def describe_trust(past: Sequence[Reckoning]) -> str:
    """One clause, such as "the estimate was off by .012 on average over 5 windows (the constant .651 by .020)"."""
    trust = judge_trust(past)
    if trust is None:
        return "no window has both an estimate and labels yet"
    values = {show(one.promised) for one in past}
    constant = f"the constant {values.pop()}" if len(values) == 1 else "what was promised"
    over = f"on average over {trust.windows} windows" if trust.windows > 1 else "in the one window whose labels came"
    said = f"the estimate was off by {show(trust.off)} {over} ({constant} by {show(trust.promised_off)})"
    if trust.windows >= FEWEST and not trust.helps:
        said += ", so it was no better a guess than the constant"
    return said
