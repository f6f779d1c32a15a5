"""Rows whose columns are hard to test, and their profiles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from tasks.monitoring.profile import Profile, WindowCounts
from tasks.monitoring.profiling import ReferenceRows, build_profile


def draw(random: np.random.Generator, rows: int) -> pd.DataFrame:
    """Discrete, skewed, mostly missing, rare, of many levels."""
    return pd.DataFrame(
        {
            "normal": random.normal(50, 10, size=rows),
            "lognormal": random.lognormal(0, 2, rows),
            "zeros": np.where(random.random(rows) < 0.8, 0.0, random.gamma(1, 1, rows)),
            "rare": (random.random(rows) < 0.01).astype(int),
            "five": random.choice(list("abcde"), rows, p=[0.5, 0.2, 0.15, 0.1, 0.05]),
            "thousand": random.zipf(1.5, rows).clip(max=1_000).astype(str),
            "sparse": np.where(random.random(rows) < 0.9, np.nan, random.normal(size=rows)),
        }
    )


def profile_of(frame: pd.DataFrame, **changes: Any) -> Profile:
    """The profile of rows whose columns are all features."""
    batches = {k: changes.pop(k) for k in ("batch", "batches") if k in changes}
    return build_profile(ReferenceRows(frame, tuple(frame), **batches), **changes)


def count_window(profile: Profile, parts: Iterable[pd.DataFrame]) -> WindowCounts:
    """The counts of a whole window by its features alone, one part in memory at a time."""
    total = profile.nothing()
    for frame in parts:
        total = total.then(profile.count(frame))
    return total


def compare(reference: pd.DataFrame, window: pd.DataFrame, **changes: Any) -> tuple[Profile, WindowCounts]:
    """A profile, and a window's counts by it."""
    profile = profile_of(reference, **changes)
    return profile, count_window(profile, [window])
