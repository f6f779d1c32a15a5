"""The one door to the SQL state: steps, decisions, the scan cache and the project locks. The truth about releases."""

from tasks.ledger.entries import Entry, Head, KnownFile, Verification
from tasks.ledger.lock import LockHolder
from tasks.ledger.releases import Action, Champion, ChampionChanged, Release
from tasks.ledger.store import Ledger, open_ledger

__all__ = [
    "Action",
    "Champion",
    "ChampionChanged",
    "Entry",
    "Head",
    "KnownFile",
    "Ledger",
    "LockHolder",
    "Release",
    "Verification",
    "open_ledger",
]
