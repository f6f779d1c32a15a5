"""Columns that look like personal data, told from a sample of their values; for names of people, from the column's
name as well.

A wrong alarm costs more trust than a rare miss costs privacy, so each kind asks for more than chance brings about:
check digits and known prefixes of cards, ranges of social-security numbers, the form of a number that is dialled, and
names of people only where the column's name and the values both say so.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.stats.people import expect_names, fold_accents, looks_like_a_name, names_a_person, split_words

FEWEST_OF_A_VALUE = 5  # a text that fewer rows hold is not shown on pages and in reports: it may name a person
SAMPLE_ROWS = 2_000  # are enough to tell a column
EMAIL, CARD, SSN = "e-mail addresses", "payment-card numbers", "US social-security numbers"
PHONE, IBAN, NAME = "phone numbers", "bank account numbers (IBAN)", "names of people"
TEXT_WITH_EMAIL = "text with e-mail addresses"
STATED = "personal data, as the project file says"

_FEW = 3  # so many different values at least, where the values alone have to tell
_LONGEST = 2_000  # characters of a text that are looked at
_LONG = 10**6  # a smaller number is none that is recognised
_EXACT = 2**53  # a float beyond is no exact whole number
_MAILBOX = r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}"
_EMAIL = re.compile(rf"(?:mailto:)?{_MAILBOX}|[^<>@]{{0,80}}<{_MAILBOX}>")
# Not what is part of an address on the web, such as git@host:path or user@host/path.
_EMAIL_WITHIN = re.compile(rf"(?<![\w/.@-]){_MAILBOX}(?![\w@/-]|[:.]\w|:/)")
_CARD = re.compile(r"\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5}")
_CARD_BRANDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|(?:6011\d{2}|64[4-9]\d{3}|65\d{4}|352[89]\d{2}|35[3-8]\d{3})\d{10}"  # Discover, JCB
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    r"|62\d{14,17}"  # UnionPay
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}"  # Maestro
)
_SSN = re.compile(r"(?!000|666|9)(\d{3})([- ])(?!00)\d{2}\2(?!0000)\d{4}")
_SSN_DIGITS = re.compile(r"(?!000|666|9)\d{3}(?!00)\d{2}(?!0000)\d{4}")
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
_EXTENSION = r"(?: ?(?:x|ext\.?) ?\d{1,6})?"
_DIALLED = re.compile(  # what is written so is dialled, whatever the column's name
    r"\+[1-9]\d{0,3}[ .()/-]{0,2}\d(?:[ .()/-]{0,3}\d){5,12}" + _EXTENSION  # with the country in front
    + r"|(?:(?:\+?1|001)[ .-]?)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}([ .-]))[2-9]\d{2}[ .-]\d{4}" + _EXTENSION  # US, Canada
    + r"|0[1-9](?:([ .-])\d{2})(?:\2\d{2}){3}"  # France
)  # fmt: skip
_TEN_DIGITS = re.compile(r"[2-9]\d{2}[2-9]\d{6}")
_DIGITS_APART = re.compile(r"\(?\+?\(?\d(?:[ .()/-]{0,3}\d){6,14}" + _EXTENSION)
_OTHER_DIGITS = re.compile(  # decimal numbers, dates, coordinates
    r"[+-]?\d+\.\d+|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|[+-]?\d+\.\d+ ?[+-]\d+\.\d+"
)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_COUNTERS = frozenset({"number", "numbers", "no", "nr", "num", "nbr", "digits", "raw"})
_PHONES = split_words(
    "phone phones telephone telephon telefon telefono telephones tel cellphone mobilephone msisdn fax telefax whatsapp "
    "handynummer telefonnummer phonenumber phoneno phonenum telno mobileno mobilenumber cellnumber faxnumber"
)
_OF_PHONES = split_words("home work mobile cell office day daytime evening private business main primary other")
_HANDHELD = frozenset({"mobile", "cell", "handy", "contact"})  # a phone only where `number` follows, or it stands alone
_SSN_WORDS = frozenset({"ssn", "ssns", "socialsecuritynumber", "socialsecurity"})
_SSN_PAIRS = frozenset({("social", "security"), ("social", "insurance"), ("soc", "sec")})


@dataclass(frozen=True)
class _Values:
    """The different values of a column's sample as text, and in how many rows each stands."""

    texts: tuple[str, ...]
    rows: tuple[int, ...]

    def share(self, matches: Callable[[str], Any]) -> tuple[float, int]:
        """The share of rows whose value matches, and how many different values do."""
        found = [n for text, n in zip(self.texts, self.rows, strict=True) if matches(text)]
        return sum(found) / max(sum(self.rows), 1), len(found)

    def mostly(self, matches: Callable[[str], Any], share: float, different: int = _FEW) -> bool:
        """Whether at least that share of rows match, with so many different values."""
        found, kinds = self.share(matches)
        return found >= share and kinds >= different


def find_personal(
    *samples: pd.DataFrame,
    names: Mapping[str, str] | None = None,
    stated: Collection[str] = (),
    cleared: Collection[str] = (),
) -> dict[str, str]:
    """Columns that look like personal data in any of some samples of one table: column -> what its values look like.

    `stated` adds columns and `cleared` takes them away, whatever they look like. `names` gives the name by which a
    column is known in its table, where it is another one here.
    """
    known_as = names or {}
    found: dict[str, str] = {}
    for column in dict.fromkeys(c for sample in samples for c in sample.columns):
        name = known_as.get(column, column)
        if name in cleared:
            continue
        looks = (recognise(name, sample[column]) for sample in samples if column in sample)
        kind = next((look for look in looks if look is not None), STATED if name in stated else None)
        if kind is not None:
            found[column] = kind
    return found


def recognise(name: str, values: pd.Series[Any]) -> str | None:
    """What personal data a column's values look like; None where they do not. Of many rows some are looked at."""
    is_number = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
    if not is_number and not (pd.api.types.is_string_dtype(values.dtype) or values.dtype == object):
        return None
    known = values.dropna()
    known = known.iloc[:: max(1, -(-len(known) // SAMPLE_ROWS))]
    if not len(known):
        return None
    words = _split_name(name)
    if is_number:
        return _recognise_numbers(words, known)
    return _recognise_texts(words, _count_texts(known))


def is_personal(text: str) -> bool:
    """Whether a value by itself, in a column of other things, holds an e-mail address, a card's or an SSN."""
    short = text.strip()[:_LONGEST]
    return _find_email(short) is not None or _is_card(short) or _SSN.fullmatch(short) is not None


def _recognise_numbers(words: tuple[str, ...], known: pd.Series[Any]) -> str | None:
    if pd.api.types.is_integer_dtype(known.dtype):
        whole = known.to_numpy(np.int64)
    else:
        numbers = known.to_numpy(np.float64)
        numbers = numbers[np.abs(numbers) < _EXACT]
        whole = numbers[np.mod(numbers, 1) == 0].astype(np.int64)
    long = whole[whole >= _LONG]
    if len(long) < 0.5 * len(known):
        return None
    found, rows = np.unique(long, return_counts=True)
    short = len(known) - len(long)
    values = _Values((*map(str, found.tolist()), ""), (*rows.tolist(), short))
    if _names_ssn(words) and values.mostly(lambda t: _SSN_DIGITS.fullmatch(t.zfill(9)), 0.8, 1):
        return SSN
    if values.mostly(_is_card, 0.5):
        return CARD
    if _names_phone(words) and values.mostly(lambda t: 7 <= len(t) <= 15, 0.8, 2):
        return PHONE
    return None


def _recognise_texts(words: tuple[str, ...], values: _Values) -> str | None:
    if not values.texts:
        return None
    if any("@" in text for text in values.texts):
        if values.mostly(_EMAIL.fullmatch, 0.5, 1):
            return EMAIL
        addresses = {_find_email(text) for text in values.texts} - {None}  # one in all texts is no person's
        if len(addresses) >= _FEW and values.mostly(_find_email, 0.1):
            return TEXT_WITH_EMAIL
    if values.mostly(_is_card, 0.5):
        return CARD
    if values.mostly(_SSN.fullmatch, 0.5 if _names_ssn(words) else 0.95, 1 if _names_ssn(words) else _FEW):
        return SSN
    if _names_ssn(words) and values.mostly(_SSN_DIGITS.fullmatch, 0.8, 1):
        return SSN
    if values.mostly(_is_iban, 0.5):
        return IBAN
    if _are_phones(words, values):
        return PHONE
    return NAME if _are_names(words, values) else None


def _count_texts(known: pd.Series[Any]) -> _Values:
    counted: dict[str, int] = {}
    for value in known:
        text = str(value).strip()[:_LONGEST]
        if text:
            counted[text] = counted.get(text, 0) + 1
    return _Values(tuple(counted), tuple(counted.values()))


def _split_name(name: str) -> tuple[str, ...]:
    """The words of a column's name: `customerEmail_2` is customer, email, 2."""
    return tuple(word.lower() for word in _WORD.findall(fold_accents(name)))


# ---------------------------------------------------------------- one value


def _find_email(text: str) -> str | None:
    at = text.find("@")
    while at >= 0:
        found = _EMAIL_WITHIN.search(text, max(0, at - 66), at + 200)
        if found:
            return found[0]
        at = text.find("@", at + 1)
    return None


def _is_card(text: str) -> bool:
    """A card's number by form, issuer, length and check digit; a number of one repeated digit is none."""
    if not _CARD.fullmatch(text):
        return False
    digits = text.replace(" ", "").replace("-", "")
    if not _CARD_BRANDS.fullmatch(digits) or len(set(digits)) == 1:
        return False
    doubled = [int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _is_iban(text: str) -> bool:
    joined = text.replace(" ", "").upper()
    if not _IBAN.fullmatch(joined):
        return False
    return int("".join(str(int(c, 36)) for c in joined[4:] + joined[:4])) % 97 == 1


def _is_dialled(text: str) -> bool:
    return _DIALLED.fullmatch(text) is not None and _OTHER_DIGITS.fullmatch(text) is None


def _may_be_dialled(text: str) -> bool:
    return _DIGITS_APART.fullmatch(text) is not None and _OTHER_DIGITS.fullmatch(text) is None


# ---------------------------------------------------------------- a column


def _names_ssn(words: tuple[str, ...]) -> bool:
    return not _SSN_WORDS.isdisjoint(words) or not _SSN_PAIRS.isdisjoint(itertools.pairwise(words))


def _names_phone(words: tuple[str, ...]) -> bool:
    """Whether the name says phone: as its last word (`customer_phone`, `PhoneNumber`), or as `phone_home`."""
    rest = [w for w in words if not w.isdigit()]
    numbered = bool(rest) and rest[-1] in _COUNTERS
    while rest and rest[-1] in _COUNTERS:
        rest.pop()
    if not rest:
        return False
    if rest[-1] in _PHONES or (rest[0] in _PHONES and all(w in _OF_PHONES for w in rest[1:])):
        return True
    return rest[-1] in _HANDHELD and (numbered or len(rest) == 1)


def _are_phones(words: tuple[str, ...], values: _Values) -> bool:
    if _names_phone(words):
        return values.mostly(_may_be_dialled, 0.8, 2)
    sure, kinds = values.share(_is_dialled)
    plain, _ = values.share(_TEN_DIGITS.fullmatch)
    return kinds >= _FEW and sure >= 0.3 and sure + plain >= 0.8


def _are_names(words: tuple[str, ...], values: _Values) -> bool:
    expected = expect_names(words)
    if expected is None:
        return False
    different = min(5, -(-sum(values.rows) // 2))  # a few values that repeat are codes
    if not values.mostly(looks_like_a_name, 0.8, different):
        return False
    return expected == "surely" or values.mostly(names_a_person, 0.2, different)
