"""What the work says it is at, and our warnings, among the logs on the run's page in Prefect."""

from __future__ import annotations

import logging
import os
from typing import Any

PROGRESS = "trueup.progress"
OURS = ("flows", "tasks")


def log_to_page(flow: Any, flow_run: Any, state: Any) -> None:
    """A Prefect hook: from here on the run's page gets our progress and warnings; done once in a process.

    Loggers that a worker's job names in `PREFECT_LOGGING_EXTRA_LOGGERS` have their way to the page from Prefect; they
    say what there is from INFO on.
    """
    from prefect.logging.handlers import APILogHandler

    extra = os.environ.get("PREFECT_LOGGING_EXTRA_LOGGERS", "").split(",")
    for name in (*OURS, "trueup"):
        logger = logging.getLogger(name)
        if name in extra:
            logger.setLevel(logging.INFO)
        elif name in OURS and not any(isinstance(h, APILogHandler) for h in logger.handlers):
            page = APILogHandler(logging.WARNING)
            page.addFilter(_inside_run)
            logger.addHandler(page)
    progress = logging.getLogger(PROGRESS)
    if "trueup" not in extra and not any(isinstance(f, _Progress) for f in progress.filters):
        progress.addFilter(_Progress(progress, APILogHandler()))
        progress.setLevel(min(progress.getEffectiveLevel(), logging.INFO))


class _Progress(logging.Filter):
    """Sends progress to the page, and lets on to others only what they would have had without it."""

    def __init__(self, logger: logging.Logger, page: logging.Handler) -> None:
        super().__init__()
        self._logger, self._page, self._before = logger, page, logger.getEffectiveLevel()

    def filter(self, record: logging.LogRecord) -> bool:
        if _inside_run(record):
            self._page.handle(record)
        return record.levelno >= self._before or bool(self._logger.handlers)


def _inside_run(record: logging.LogRecord) -> bool:
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None
