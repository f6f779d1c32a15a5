"""The one door to Prefect below `flows/`: a stage is a Prefect task when a flow runs it, a plain function otherwise."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def stage(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a stage of the loop, shown in Prefect under `name`.

    Inside a flow run the call is a task run (never cached: the ledger decides what is done again). Outside one it
    is the function itself, and Prefect is not imported.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        made: list[Any] = []

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if not _inside_flow_run():
                return function(*args, **kwargs)
            if not made:
                from prefect import task
                from prefect.cache_policies import NO_CACHE

                made.append(task(name=name, cache_policy=NO_CACHE, persist_result=False)(function))
            # Prefect looks into every argument for futures, element by element: seconds for the positions of a
            # split. Opaque, an argument is only recognised as what another stage returned.
            from prefect.utilities.annotations import opaque

            hidden = {key: opaque(value) for key, value in kwargs.items()}
            result: R = made[0](*(opaque(value) for value in args), **hidden)
            return result

        return call

    return decorate


def crash_point(name: str) -> None:
    """A named instant at which a test may kill the process: `TRUEUP_CRASH_AT=name` sends SIGKILL here."""
    if os.environ.get("TRUEUP_CRASH_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)


def _inside_flow_run() -> bool:
    context = sys.modules.get("prefect.context")
    return context is not None and context.FlowRunContext.get() is not None
