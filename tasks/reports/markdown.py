"""Strangers' text in Markdown: shown as it is, none of it read as Markdown or HTML."""

from __future__ import annotations

import re


def escape(text: str) -> str:
    """Any text for Markdown, its special characters escaped; line breaks as spaces. An address is no link."""
    escaped = re.sub(r"([\\`*_{}\[\]<>()#+\-!|&~$])", r"\\\1", " ".join(text.split()))
    return re.sub(r"(:)(?=//)|(?i:(?<=www)(\.))", lambda found: "\\" + found[0], escaped)


def code(text: str) -> str:
    """A path or an id for Markdown, to be copied as it stands."""
    line = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"
