"""The kinds of values that a project file holds, and the base of its sections."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_SPAN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(s|min|h|d|w)\s*$")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_share(value: Any) -> Any:
    """Turn `2%` into .02; anything else is left for pydantic to judge."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            raise ValueError("a share such as 2% or 0.02 is expected") from None
    return value


def parse_span(value: Any) -> Any:
    """Turn `90min`, `6h`, `1d` or `2w` into a timedelta; ISO 8601 (`P1D`, as resolved files have it) is left."""
    if isinstance(value, timedelta) or (isinstance(value, str) and value.startswith("P")):
        return value
    match = _SPAN.match(str(value))
    if match is None:
        raise ValueError("a duration such as 90min, 6h, 1d or 2w is expected")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])


def parse_amount(value: Any) -> Any:
    """Keep `0.5%` as such a text, in one way of writing; anything else is a number of at least 0."""
    text = str(value).strip()
    relative = isinstance(value, str) and text.endswith("%")
    try:
        number = float(text.removesuffix("%")) if not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"an amount of at least 0 such as 0.005, or a percentage such as 0.5%; found {value!r}")
    return f"{number:.12g}%" if relative else number


Share = Annotated[
    float,
    BeforeValidator(parse_share, json_schema_input_type=float | Annotated[str, Field(pattern=r"^\d+(\.\d+)?%$")]),
    Field(ge=0, le=1),
]
Span = Annotated[
    timedelta,
    BeforeValidator(parse_span, json_schema_input_type=Annotated[str, Field(pattern=r"^\d+(\.\d+)?(s|min|h|d|w)$")]),
]
Amount = Annotated[
    float | str,
    BeforeValidator(
        parse_amount,
        json_schema_input_type=Annotated[float, Field(ge=0)] | Annotated[str, Field(pattern=r"^\d+(\.\d+)?%$")],
    ),
]
"""In the metric's own units, or a percentage of what the constant prediction reaches on the same rows."""
SLUG_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
Slug = Annotated[str, Field(pattern=SLUG_PATTERN)]


def parse_columns(value: Any) -> Any:
    """One name is a list of one; anything else is left for pydantic to judge, but for a name that stands twice."""
    names = (value,) if isinstance(value, str) else value
    if isinstance(names, list | tuple):
        twice = next((name for name in names if list(names).count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"column {twice!r} stands there twice; leave it once")
    return names


Columns = Annotated[
    tuple[str, ...],
    BeforeValidator(parse_columns, json_schema_input_type=str | list[str]),
]
"""One column or several."""


class Section(BaseModel):
    """Base of every part of the project file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
