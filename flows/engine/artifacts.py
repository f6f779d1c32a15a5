"""What a person sees on a run's page in Prefect. Outside a flow run nothing is made and nothing is imported."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

logger = logging.getLogger(__name__)


def show_markdown(key: str, text: str, description: str | None = None) -> None:
    """Put Markdown on the page of the flow run. Runs that use the same key form a history of it."""
    _in_run(lambda prefect: prefect.create_markdown_artifact(text, key=_slug(key), description=description))


def show_table(key: str, rows: Sequence[Mapping[str, Any]], description: str | None = None) -> None:
    """Put a table on the page of the flow run, the keys of the first row its heads; without rows, nothing."""
    if rows:
        table = [{str(name): _plain(value) for name, value in row.items()} for row in rows]
        _in_run(lambda prefect: prefect.create_table_artifact(table, key=_slug(key), description=description))


def show_link(key: str, address: str, text: str | None = None, description: str | None = None) -> None:
    """Put a link on the page of the flow run."""
    _in_run(lambda prefect: prefect.create_link_artifact(address, text, key=_slug(key), description=description))


def _in_run(make: Callable[[Any], object]) -> None:
    """Make an artifact where a flow runs. One that cannot be made is reported in the log and costs nothing else."""
    context = sys.modules.get("prefect.context")
    if context is None or context.FlowRunContext.get() is None:
        return
    import prefect.artifacts

    try:
        make(prefect.artifacts)
    except Exception as error:  # noqa: BLE001 - a page for people may not end the work that it is about
        logger.warning("An artifact is missing on the run's page: %s", error)


def _slug(key: str) -> str:
    """Prefect takes lower-case letters, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-") or "trueup"


def _plain(value: Any) -> Any:
    """JSON as the page can show it: NumPy's numbers as numbers, NaN as nothing, anything else as its text."""
    if hasattr(value, "item") and callable(value.item):
        value = value.item()
    if isinstance(value, float) and value != value:
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
