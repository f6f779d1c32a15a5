"""The project file's section on what is watched in production, and which alarms a person accepts."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tasks.config.values import Columns, Section, Share

_BUDGET = re.compile(r"^(\d+(?:\.\d+)?)\s+per\s+(day|week|month|quarter|year)$")
_SHARE = re.compile(r"^(\d+(?:\.\d+)?)\s*%(?: of windows)?$")
_PERSISTENCE = re.compile(r"^(\d+)(?:\s+of\s+(\d+))?$")
MOST_WINDOWS = 31


def parse_budget(value: Any) -> Any:
    """`1 per year`, `2 per quarter`, or a share of the windows such as `5%`, in one way of writing."""
    text = " ".join(str(value).split())
    per = _BUDGET.match(text)
    if per and float(per[1]) > 0:
        return f"{float(per[1]):g} per {per[2]}"
    share = _SHARE.match(text)
    if share and 0 < float(share[1]) <= 50:
        return f"{float(share[1]):g}%"
    raise ValueError(
        "a number of false alarms such as `1 per year` (day, week, month, quarter or year), or a share of the windows "
        f"such as 5% (at most 50%) is expected; found {value!r}"
    )


def parse_persistence(value: Any) -> Any:
    """`2 of 3`, or a number of windows running (2 is `2 of 2`)."""
    found = _PERSISTENCE.match(" ".join(str(value).split())) if not isinstance(value, bool) else None
    k, n = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= k <= n <= MOST_WINDOWS:
        raise ValueError(
            f"a number of windows running such as 1 or 2, or `2 of 3` (at most {MOST_WINDOWS}) is expected; "
            f"found {value!r}"
        )
    return f"{k} of {n}"


Budget = Annotated[str, BeforeValidator(parse_budget, json_schema_input_type=str)]
Persistence = Annotated[str, BeforeValidator(parse_persistence, json_schema_input_type=int | str)]
Change = Literal["broken", "degraded", "drifting", "recovered"]


class Monitor(Section):
    """What is watched in production."""

    false_alarms: Budget = "1 per year"
    """How many alarms about drift you accept although nothing drifted: `1 per year`, `1 per quarter`, or a share of
    the windows such as `5%`. Fewer false alarms also means that smaller changes are noticed later."""
    persistence: Persistence = "1 of 1"
    """How many windows have to differ before it is an alarm: 1, 2 (running), or `2 of 3`."""
    smallest_drift: Annotated[float, Field(ge=0, le=10)] = 0.02
    """The smallest distance (PSI, less what sampling alone gives) that is worth a look, however sure it is: .02 is a
    shift by about a seventh of a standard deviation, or 1 row in 40 moved to a value that was rare."""
    labels_needed: Share = 0.9
    """The share of a window's scored rows whose labels must be known before they speak of its health: those that come
    first may be of one kind only. Lower it where you label a random sample of the rows."""
    segments: Columns = ()
    """Columns whose values are parts to be watched by themselves too, such as [origin]: they show where drift sits.
    The largest parts are watched."""
    alert_on: tuple[Change, ...] = ("broken", "degraded", "drifting", "recovered")
    """Which changes of health are sent to the addresses in the environment variable TRUEUP_ALERTS."""
    pictures: bool = True
    """Draw Evidently's report of each window. What is decided does not need it."""
    sample_rows: Annotated[int, Field(ge=200, le=100_000)] = 5_000
    """Rows that Evidently's pictures are drawn from, of the reference and of the window each."""
    max_categories: Annotated[int, Field(ge=5, le=200)] = 30
    """Category values shown by name in pictures; the others are drawn as one."""
