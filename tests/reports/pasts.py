"""Pasts that were lived through under several policies, made by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.reports.lived import Happening, Lived, LivedWindow, Replayed
from tasks.stats.staleness import Aged, measure_staleness

HEALTH = {"degraded": "MAE rose above what was promised", "broken": "the column n is empty", "drifting": "n moved"}


def make_windows(values: Sequence[float], trainings: Sequence[str], **health: str) -> tuple[LivedWindow, ...]:
    """Windows w0, w1, ... with these values, served by these trainings; `health` by window's name."""
    return tuple(
        LivedWindow(
            batch=f"w{i}",
            version=int(training[1:]) if training else None,
            training=training,
            value=value,
            low=value - 1,
            high=value + 1,
            rows=100,
            labelled=100,
            health=health.get(f"w{i}", "healthy"),
            alarm=health.get(f"w{i}") == "drifting",
            cause="n" if f"w{i}" in health else "",
            action="watch",
            why=HEALTH.get(health.get(f"w{i}", ""), "all is as promised"),
        )
        for i, (value, training) in enumerate(zip(values, trainings, strict=True))
    )


def make_lived(policy: str, windows: tuple[LivedWindow, ...], trained: int, **more: Any) -> Lived:
    """A policy that lived through them; every training was promoted unless said otherwise."""
    happenings = more.pop("happenings", ())
    facts: dict[str, Any] = {
        "says": "It says when.",
        "section": f"retrain: {{on: [{policy}]}}",
        "promoted": trained,
        "held": 0,
        "rejected": 0,
        "failed": 0,
        "held_back": 0,
        "training_seconds": 10.0 * trained,
        "seconds": 5.0 + 10 * trained,
        **more,
    }
    return Lived(policy=policy, windows=windows, happenings=tuple(happenings), trained=trained, **facts)


def make_replayed(*lived: Lived, larger_is_better: bool = False, **more: Any) -> Replayed:
    """A replay of them."""
    batches = tuple(w.batch for w in lived[0].windows)
    facts: dict[str, Any] = {
        "project": "shop",
        "argument": "shop",
        "command": "trueup replay shop --from w0 --to w9 --policy never,monthly",
        "metric": "mae",
        "title": "MAE",
        "known_until": "2024-01-01",
        "settings": (),
        "ages": (),
        "aged_windows": 0,
        "versions": 1,
        **more,
    }
    return Replayed(larger_is_better=larger_is_better, batches=batches, lived=lived, **facts)


def make_growth(windows: int = 12, more: Mapping[str, Any] | None = None) -> Replayed:
    """The world grows, and a model's error with its age: `never` gets worse, `monthly` and `on-health` do not."""
    wobble = [math.sin(3 * i) for i in range(windows)]
    never = make_windows([10 + i + wobble[i] for i in range(windows)], ["k1"] * windows, w3="degraded", w5="drifting")
    monthly = make_windows([10 + wobble[i] for i in range(windows)], [f"k{i + 1}" for i in range(windows)])
    served = [f"k{1 + 3 * (i // 3)}" for i in range(windows)]
    health = make_windows([10.05 + wobble[i] + 0.4 * math.cos(7 * i) for i in range(windows)], served)
    aged = [
        Aged(w, 30.4 * (w - v), 10 + (w - v) + wobble[w] + 0.1 * math.sin(5 * w + v))
        for w in range(windows)
        for v in range(w + 1)
    ]
    ages, used = measure_staleness(aged, 30.4, larger_is_better=False)
    told = [Happening(2.5, "2024-04-01", "promote", "Version 4 was trained; promote: better")]
    told += [Happening(3.5, "2024-05-01", "wait", "it cools down until 2024-05-14")]
    return make_replayed(
        make_lived("never", never, 0),
        make_lived("monthly", monthly, windows - 1),
        make_lived("on-health", health, (windows - 1) // 3, happenings=told, held_back=1),
        **{"ages": ages, "aged_windows": used, "versions": windows, **(more or {})},
    )
