"""What a replay has come to: read from the ledgers of its homes, published as a page and as tables."""

from __future__ import annotations

from pathlib import Path

from flows.answer import Answer, label_line
from flows.walk import Replay


def publish_replay(asked: Replay) -> Path:
    return asked.folder / "replay.html"


def describe_replay(asked: Replay) -> Answer:
    return Answer(tuple(label_line("replay", str(asked.folder))))
