"""The project file's section on when a challenger is trained by itself, and how often at most."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tasks.config.values import Section, Span, parse_span

Trigger = Literal["performance", "harmful_drift", "schedule", "new_labels"]
Period = Literal["day", "week", "month", "quarter", "year"]


def parse_triggers(value: Any) -> Any:
    """One trigger is a list of one; `never` and nothing are none."""
    if value is None or value is False or value in ("never", "none"):
        return ()
    return (value,) if isinstance(value, str) else value


def parse_rows(value: Any) -> Any:
    """`all`, or a span of time such as 180d."""
    if value == "all":
        return value
    try:
        return parse_span(value)
    except ValueError:
        raise ValueError(f"all, or a span of time such as 26w or 180d is expected; found {value!r}") from None


class Retrain(Section):
    """When a challenger is trained by itself. Whatever asks for it, the bounds below hold, and the gates decide."""

    on: Annotated[tuple[Trigger, ...], BeforeValidator(parse_triggers, json_schema_input_type=str | list[str])] = (
        "performance",
        "harmful_drift",
    )
    """What asks for a new challenger; a list of: `performance` (labels show that the champion is worse than its gates
    saw it), `harmful_drift` (labels are missing, an alarm about drift stands, and the estimated performance lies below
    what was promised), `schedule` (once each `every`), `new_labels` (`enough_new_labels` have come). [] is never."""
    every: Period = "month"
    """How often `schedule` trains: once in each calendar day, week, month, quarter or year of data.timezone."""
    enough_new_labels: Annotated[int, Field(ge=1)] | None = None
    """How many labels `new_labels` waits for. Default: half as many as the newest version learned from."""
    cooldown: Span = timedelta(days=14)
    """No challenger is trained by itself so soon after the training before, whatever started that."""
    max_per_quarter: Annotated[int, Field(ge=1, le=1000)] = 3
    """How many challengers are trained by itself in a calendar quarter of data.timezone, at most."""
    min_new_labels: Annotated[int, Field(ge=1)] = 200
    """How many labels must have come since the training before: fewer teach nothing, and cannot judge what was
    learned."""
    back_off: Annotated[float, Field(ge=1, le=10)] = 2.0
    """The cool-down grows by this factor with each challenger in a row that was not released, to a year at most; 1
    leaves it as it is."""
    rows: Annotated[Literal["all"] | timedelta, BeforeValidator(parse_rows, json_schema_input_type=str)] = "all"
    """What is learned from: `all` labelled rows, or the batches of the newest span of time, such as 180d. Batches whose
    window is broken now are left out, unless `broken` says otherwise."""
    broken: Literal["leave_out", "learn"] = "leave_out"
    """Whether rows of windows that are broken now are learned from. They are judged anew when the source is mended."""

    @model_validator(mode="before")
    @classmethod
    def _read_on(cls, raw: Any) -> Any:
        """YAML 1.1 reads the key `on` as true."""
        if not isinstance(raw, dict) or True not in raw:
            return raw
        read = {key: value for key, value in raw.items() if key is not True}
        return {"on": raw[True], **read}  # `--set retrain.on=...` stands beside it, and wins
