"""What a process has used."""

from __future__ import annotations

import resource


def cpu_seconds() -> float:
    """The CPU seconds of this process, and of those of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
