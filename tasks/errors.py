"""The errors a person can get, and the exit code of each.

    TrueupError              1   base class; never raised itself
    |- ConfigError           2   the command or the project file is wrong; nothing was written
    |- DataError             3   the data cannot be used; nothing was written
    `- InfrastructureError   4   a store, a server, a lock or a disk failed

A message says what was wrong, where, what was expected, what was found, and what to do. A refused model, a
quarantined row or a drifted window is a normal outcome and never one of these.
"""

from __future__ import annotations


class TrueupError(Exception):
    """Base of all errors that end a command with a message instead of a traceback."""

    exit_code = 1


class ConfigError(TrueupError):
    """The command line or the project file asks for something that cannot be."""

    exit_code = 2


class DataError(TrueupError):
    """The data cannot be used: missing, unreadable, of the wrong shape, or without labels."""

    exit_code = 3


class InfrastructureError(TrueupError):
    """Something that trueup stands on failed: a store, a server, a lock, a disk."""

    exit_code = 4
