"""Values as people read them: numbers, lists, moments, and strangers' text without what a page could be bent with."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard

LONGEST = 1_000  # of any one text on a page; the ledger has the whole
NOTHING = "\u2013"  # a dash, where there is no value
_MINUS = "\u2212"
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?")
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DIRECTIONS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: object) -> str:
    """Any value as text for a page: line breaks as spaces, characters that cannot be seen or that turn the direction
    of what follows as their code point, at most `LONGEST` characters."""
    line = " ".join(str(text)[: LONGEST + 1].split())
    shown = "".join(f"⟨U+{ord(c):04X}⟩" if _is_hidden(c) else c for c in line)
    return shorten(shown, LONGEST)


def shorten(text: str, most: int) -> str:
    """At most `most` characters, the last one an ellipsis where something was cut off."""
    return text if len(text) <= most else text[: most - 1] + "…"


def number(value: Any, digits: int = 3) -> str:
    """A number at so many digits, whole from a thousand on; a dash where there is none."""
    if not is_number(value):
        return NOTHING if value is None or isinstance(value, float) else plain(value)
    if isinstance(value, int) or (abs(value) >= 1000 and digits <= 3):
        return _minus(f"{value:,.0f}")
    mantissa, _, exponent = f"{value or 0.0:.{digits}g}".partition("e")  # a zero below zero is a zero
    return _minus(mantissa) + (f"·10{str(int(exponent)).translate(_SUPERSCRIPT)}" if exponent else "")


def signed(value: Any, digits: int = 3) -> str:
    """A number with its sign, as differences are read."""
    text = number(value, digits)
    return f"+{text}" if is_number(value) and value > 0 else text


def find_decimals(values: Iterable[float]) -> int:
    """After how many decimals (0 to 6) numbers of one kind are written, so that the largest has three digits."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return min(max(2 - math.floor(math.log10(largest)), 0), 6) if largest > 0 else 3


def fixed(value: float, decimals: int, sign: bool = False) -> str:
    """A number of a column, with as many decimals as its neighbours; a dash where there is none."""
    if not is_number(value):
        return NOTHING
    text = f"{value:+,.{decimals}f}" if sign else f"{value:,.{decimals}f}"
    return _minus(text if float(text.replace(",", "")) else text.lstrip("+-"))


def digits_apart(*values: float) -> int:
    """How many digits (3 to 9) it takes that numbers which differ are also written differently."""
    different = set(values)
    return next((d for d in range(3, 9) if len({number(v, d) for v in different}) == len(different)), 9)


def percent(share: float) -> str:
    """A share as a percentage of at most four digits, as the gates' sentences have it."""
    return f"{share * 100:.4g}%"


def moment(value: Any) -> str:
    """A moment (with a time zone, or its ISO text) to the minute, in UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return plain(value)
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if isinstance(value, datetime) else NOTHING


def span(value: object) -> str:
    """A duration in ISO 8601, as the project file is stored with, in words; empty where it is no time at all."""
    found = _DURATION.fullmatch(str(value))
    if found is None:
        return plain(value)
    units = zip(found.groups(), ("day", "hour", "minute", "second"), strict=True)
    counted = [(float(count), unit) for count, unit in units if count and float(count)]
    return ", ".join(f"{count:g} {unit}{'' if count == 1 else 's'}" for count, unit in counted)


def listed(names: Sequence[Any], most: int = 12) -> str:
    """Names in a row; of many the first and the last."""
    texts = [shorten(plain(name), 80) for name in names]
    if len(texts) > most:
        return f"{texts[0]} to {texts[-1]} ({len(texts):,})"
    return ", ".join(texts) or "none"


def spoken(name: object) -> str:
    """A key such as `label not known` or `mean_absolute_error` as words."""
    return plain(name).replace("_", " ")


def capital(text: str) -> str:
    """The text with a capital letter in front."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """The text with a full stop at its end, where it has none."""
    return text if not text or text[-1] in ".!?…" else text + "."


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a finite number; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _minus(text: str) -> str:
    return text.replace("-", _MINUS)


def _is_hidden(character: str) -> bool:
    return character in _DIRECTIONS or unicodedata.category(character) in ("Cc", "Cs")
