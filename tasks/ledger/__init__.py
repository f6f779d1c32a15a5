"""The one door to the SQL state: steps, decisions, the scan cache and the project locks. The truth about releases."""

from tasks.ledger.entries import Entry, Head, KnownFile, Verification
from tasks.ledger.export import locate_ledger
from tasks.ledger.lock import LockHolder
from tasks.ledger.releases import Action, Champion, ChampionChanged, Release, find_rolled_back, read_release
from tasks.ledger.store import Ledger, ledger_exists, open_ledger

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
    "find_rolled_back",
    "ledger_exists",
    "locate_ledger",
    "open_ledger",
    "read_release",
]
