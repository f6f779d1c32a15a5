"""MLflow's aliases as the ledger's image: moved to where it says, and what others did to them is reported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tasks.registry.connection import Registry
from tasks.registry.versions import TAG
from tasks.stage import crash_point

_NOTED = f"{TAG}aliases"
_HEAD = f"{TAG}ledger_head"


def mirror_aliases(
    registry: Registry,
    project: str,
    *,
    champion: int | None,
    challenger: int | None,
    previous: int | None,
    head: tuple[int, str] | None = None,
) -> list[str]:
    """Make the aliases champion, challenger and previous name these versions; None removes an alias.

    Returns one sentence for each alias that had been edited by hand, which is restored. A move that was cut off is
    finished without a word. `head`, the ledger's newest (number, hash), is noted beside them for `read_head`.
    Other aliases are left alone. InfrastructureError where a version is not there.
    """
    wanted = {"champion": champion, "challenger": challenger, "previous": previous}
    client = registry.client()
    model = _find_model(registry, project, needed=any(v is not None for v in wanted.values()))
    if model is None:
        return []
    present = {name: int(version) for name, version in model.aliases.items()}
    noted = _read_noted(model.tags)
    edited = []
    for name, version in wanted.items():
        found = present.get(name)
        if found != version and found not in noted.get(name, [None]):
            edited.append(
                f"The alias {name!r} of {project!r} was moved by hand to {_named(found)}; "
                f"it is set back to {_named(version)}, as the ledger has it."
            )
    moves = {name: version for name, version in wanted.items() if present.get(name) != version}
    with registry.errors():
        if moves:
            # Noted before it is done: of a move that is cut off, either end is ours.
            both = {name: sorted({present.get(name), v}, key=str) for name, v in wanted.items()}
            client.set_registered_model_tag(project, _NOTED, json.dumps(both))
            crash_point("before-alias")
        for name, version in moves.items():
            if version is None:
                client.delete_registered_model_alias(project, name)
            else:
                client.set_registered_model_alias(project, name, str(version))
            crash_point("after-alias")
        settled = json.dumps({name: [v] for name, v in wanted.items()})
        if model.tags.get(_NOTED) != settled or moves:
            client.set_registered_model_tag(project, _NOTED, settled)
        if head is not None and model.tags.get(_HEAD) != f"{head[0]} {head[1]}":
            client.set_registered_model_tag(project, _HEAD, f"{head[0]} {head[1]}")
    return edited


def read_head(registry: Registry, project: str) -> tuple[int, str] | None:
    """The ledger's head as it was last noted here; None where none was."""
    model = _find_model(registry, project, needed=False)
    seq, _, digest = (model.tags.get(_HEAD, "") if model else "").partition(" ")
    return (int(seq), digest) if seq.isdecimal() and digest else None


def _find_model(registry: Registry, project: str, needed: bool) -> Any:
    client = registry.client()
    from mlflow.exceptions import MlflowException

    with registry.errors():
        try:
            return client.get_registered_model(project)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST" or needed:
                raise
            return None


def _read_noted(tags: Mapping[str, str]) -> dict[str, list[int | None]]:
    try:
        noted = json.loads(tags.get(_NOTED, "{}"))
        return {name: list(versions) for name, versions in noted.items()}
    except (ValueError, AttributeError, TypeError):
        return {}  # edited by hand: whatever the aliases say then is reported


def _named(version: int | None) -> str:
    return "nothing" if version is None else f"version {version}"
