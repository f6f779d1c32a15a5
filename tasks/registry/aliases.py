"""MLflow's aliases as the ledger's image: moved to where it says, and what others did to them is reported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tasks.errors import InfrastructureError
from tasks.registry.connection import Registry
from tasks.registry.record import LONGEST_TEXT
from tasks.registry.versions import TAG
from tasks.stage import crash_point

_NOTED = f"{TAG}aliases"
_HEAD = f"{TAG}ledger_head"
_OVERRIDE = f"{TAG}override"
_GONE = "RESOURCE_DOES_NOT_EXIST"


class Finding(NamedTuple):
    """What others did to an alias: edited by hand, and `restored`; or its version is `missing` in MLflow."""

    outcome: Literal["restored", "missing"]
    sentence: str


def mirror_aliases(
    registry: Registry, project: str, *, champion: int | None, challenger: int | None, previous: int | None
) -> list[Finding]:
    """Make the aliases champion, challenger and previous name these versions; None removes an alias.

    Returns a finding for each alias that had been edited by hand, which is restored, and for each whose version
    MLflow does not have, which is left out. A move that was cut off is finished without a word. Other aliases are left
    alone. InfrastructureError where the registered model is gone with all its versions.
    """
    wanted = {"champion": champion, "challenger": challenger, "previous": previous}
    model = _find_model(registry, project)
    if model is None:
        if any(wanted.values()):
            raise InfrastructureError(
                f"MLflow at {registry.shown} has no registered model {project!r}, although the ledger decided about "
                "its versions: it was deleted, or MLFLOW_TRACKING_URI names another store. Restore it from a backup."
            )
        return []
    client, noted = registry.client(), _read_noted(model.tags)
    present = {name: int(version) for name, version in model.aliases.items()}
    missing = {name: v for name, v in wanted.items() if v is not None and not has_version(registry, project, v)}
    findings = []
    for name, version in wanted.items():
        found = present.get(name)
        if name in missing:
            sentence = (
                f"Version {version} of {project!r} is not in MLflow at {registry.shown}, so the alias {name!r} is left "
                "out: it was deleted there, or MLFLOW_TRACKING_URI names another store. Restore MLflow from a backup; "
                "the ledger and the model's files do not need it."
            )
            findings.append(Finding("missing", sentence))
            wanted[name] = None
        elif found != version and found not in noted.get(name, [None]):
            sentence = (
                f"The alias {name!r} of {project!r} was moved by hand to {_named(found)}; "
                f"it is set back to {_named(version)}, as the ledger has it."
            )
            findings.append(Finding("restored", sentence))
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
    return findings


def read_aliases(registry: Registry, project: str) -> dict[str, int]:
    """Which versions the aliases name; empty where nothing is registered. Nothing is made where no store is."""
    model = _find_model(registry, project)
    return {name: int(version) for name, version in model.aliases.items()} if model else {}


def mark_override(registry: Registry, project: str, version: int, text: str) -> None:
    """Say on a version's page in MLflow that gates were overruled for it. Left out for a version that is deleted."""
    if has_version(registry, project, version):
        with registry.errors():
            registry.client().set_model_version_tag(project, str(version), _OVERRIDE, text[:LONGEST_TEXT])


def note_head(registry: Registry, project: str, head: tuple[int, str]) -> None:
    """Keep the ledger's newest (number, hash) outside of it, for `read_head`; nothing where no model is registered."""
    model = _find_model(registry, project)
    text = f"{head[0]} {head[1]}"
    if model is not None and model.tags.get(_HEAD) != text:
        with registry.errors():
            registry.client().set_registered_model_tag(project, _HEAD, text)


def read_head(registry: Registry, project: str) -> tuple[int, str] | None:
    """The ledger's head as it was last noted here; None where none was. Nothing is made where no store is."""
    model = _find_model(registry, project)
    seq, _, digest = (model.tags.get(_HEAD, "") if model else "").partition(" ")
    return (int(seq), digest) if seq.isdecimal() and digest else None


def _find_model(registry: Registry, project: str) -> Any:
    """The registered model; None where there is none, or no store yet."""
    if registry.uri.startswith("sqlite:///") and not Path(registry.uri.removeprefix("sqlite:///")).exists():
        return None
    return _find(registry, "get_registered_model", project)


def has_version(registry: Registry, project: str, version: int) -> bool:
    """Whether MLflow has this version of the project's model."""
    return _find(registry, "get_model_version", project, str(version)) is not None


def _find(registry: Registry, question: str, *arguments: str) -> Any:
    client = registry.client()
    from mlflow.exceptions import MlflowException

    with registry.errors():
        try:
            return getattr(client, question)(*arguments)
        except MlflowException as error:
            if error.error_code != _GONE:
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
