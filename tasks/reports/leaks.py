"""Signs that test rows flatter the model, as the pages tell them."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.reports.findings import Part, count, counted, part, parts
from tasks.reports.wording import plain, shorten

_MOST_SIGNS = 20


@dataclass(frozen=True)
class SignView:
    """One sign, and how much it weighs."""

    tone: str
    glyph: str
    weight: str
    what: str
    sentence: str


@dataclass(frozen=True)
class LeaksView:
    """The section "Leaks"."""

    answer: str
    signs: tuple[SignView, ...]
    left: int


def view_leaks(audit: Part) -> LeaksView | None:
    """The section; None where nobody looked for leaks."""
    if not isinstance(audit.get("leaks"), dict):
        return None
    signs = parts(part(audit, "leaks"), "signs")
    shown = tuple(_view(s) for s in signs[:_MOST_SIGNS])
    return LeaksView(tell_leaks(audit), shown, len(signs) - len(shown))


def tell_leaks(audit: Part) -> str:
    """The answer, in a sentence."""
    found = part(audit, "leaks")
    signs = parts(found, "signs")
    looked = counted(count(found, "columns"), "column")
    certain = sum(bool(s.get("certain")) and not s.get("cleared") for s in signs)
    mild = sum(not s.get("certain") and not s.get("cleared") for s in signs)
    cleared = len(signs) - certain - mild
    rest = (
        f" {counted(cleared, 'sign')} {'is' if cleared == 1 else 'are'} cleared by the project file." if cleared else ""
    )
    if certain:
        few = counted(certain, "sign near-certainly says", "signs near-certainly say")
        return f"{few} that the test rows flatter the model, so that its numbers cannot be relied on.{rest}"
    if mild:
        few = counted(mild, "sign is", "signs are")
        return f"No near-certain sign of a leak in {looked}; {few} worth a look.{rest}"
    return f"Nothing was found in {looked} that says that the test rows flatter the model.{rest}"


def _view(sign: Part) -> SignView:
    tone, glyph, weight = (
        ("na", "✓", "cleared by the project file")
        if sign.get("cleared")
        else ("bad", "✗", "near-certain")
        if sign.get("certain")
        else ("warn", "?", "worth a look")
    )
    column = sign.get("column")
    what = str(column) if column is not None else shorten(plain(sign.get("kind")), 80)
    return SignView(tone, glyph, weight, what, plain(sign.get("sentence") or ""))
