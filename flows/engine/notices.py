"""The door to Apprise: short texts to webhooks, mail and chats, at the addresses in `TRUEUP_ALERTS`.

An address is a secret, all of it: a token may stand anywhere in it. It is called by its scheme, and nothing else of it
is ever shown, logged or kept.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from tasks.errors import ConfigError

VARIABLE = "TRUEUP_ALERTS"
SECONDS = 30.0
Tone = Literal["info", "success", "warning", "failure"]

_NEXT_ADDRESS = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]{0,20})://")
_ANSWERED = re.compile(r"\berror=(\d{3})\b")
_EXAMPLES = "json://host/path (a webhook), mailto://user:password@host or slack://token-a/token-b/token-c"


@dataclass(frozen=True)
class Address:
    """Where notices go. `name` is its scheme, with a number from the second one of a scheme on."""

    name: str
    url: str = field(repr=False)


def read_addresses() -> tuple[Address, ...]:
    """The addresses in `TRUEUP_ALERTS`; ConfigError for one that Apprise does not know, which is not shown.

    Apprise is imported only where there are any.
    """
    text = os.environ.get(VARIABLE, "").strip(" \t\r\n,")
    addresses: list[Address] = []
    seen: dict[str, int] = {}
    for position, url in enumerate(dict.fromkeys(_NEXT_ADDRESS.split(text)) if text else (), start=1):
        scheme = _SCHEME.match(url)
        named = scheme[1].lower() if scheme else None
        if named is None or re.search(r"\s", url) or _open(url) is None:
            looks = f" ({named}://...)" if named else ", which begins with no scheme,"
            raise ConfigError(
                f"{VARIABLE}: address {position}{looks} is none that an alert can be sent to. Expected addresses as "
                f"Apprise writes them, separated by spaces or commas: {_EXAMPLES}. Look for a misspelt scheme or a "
                "part that is missing; the rest of it is not shown, as it may hold secrets."
            )
        seen[named] = seen.get(named, 0) + 1
        addresses.append(Address(named if seen[named] == 1 else f"{named} {seen[named]}", url))
    return tuple(addresses)


def send_notice(address: Address, title: str, body: str, tone: Tone = "info") -> str | None:
    """Send plain text to one address; None where it was taken, else why not, without a word of the address.

    Given up after half a minute: whatever happens at the other end, the work that is told of goes on.
    """
    said: list[str] = []
    ended: list[str | None] = []
    opened = _open(address.url)
    if opened is None:
        return "Apprise cannot read the address"

    def send() -> None:
        try:
            taken = opened.notify(body=body, title=title, notify_type=tone, body_format="text")
            ended.append(None if taken else _find_reason(said))
        except Exception as error:  # noqa: BLE001 - a channel's fault, whatever it is, costs nothing else
            ended.append(f"it failed ({type(error).__name__})")

    with _kept_quiet(said):
        sending = threading.Thread(target=send, name="trueup-notice", daemon=True)
        sending.start()
        sending.join(SECONDS)
    return ended[0] if ended else f"no answer within {SECONDS:.0f} seconds"


def _open(url: str) -> Any:
    """Apprise with one address; None where it cannot read it."""
    import apprise

    logging.getLogger("apprise").propagate = False  # for good: it names addresses in what it logs, also afterwards
    asset = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY)
    asset.app_id, asset.app_desc, asset.app_url = "trueup", "trueup", ""
    asset.image_url_mask = asset.image_url_logo = ""  # pictures would be fetched from elsewhere by who reads it
    asset.async_mode = False
    opened = apprise.Apprise(asset=asset)
    try:
        with _kept_quiet([]):
            return opened if opened.add(url) else None
    except Exception:  # noqa: BLE001 - a stranger's text in a library's hands
        return None


def _find_reason(said: list[str]) -> str:
    """Only a status is taken from what was logged: the rest of it may name the address."""
    answered = next((found[1] for line in said if (found := _ANSWERED.search(line))), None)
    if answered is not None:
        return f"it answered {answered}"
    return "no connection" if any("onnection" in line for line in said) else "it was not accepted"


@contextmanager
def _kept_quiet(said: list[str]) -> Iterator[None]:
    """Keep what Apprise and its connections log from every log, as it may name an address; `said` collects it."""

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [Collect(logging.INFO)], False
    try:
        yield
    finally:
        for logger, (handlers, propagated) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagated
