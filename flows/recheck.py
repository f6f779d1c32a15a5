"""What is looked at again before a version may serve: the world may have moved on since its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from flows.champion import Served, find_evidence, find_forbidden, find_training, load_served, version_of
from flows.keys import limits_asked
from flows.workspace import Workspace, look_at_source
from tasks.errors import ConfigError, InfrastructureError
from tasks.ledger import Entry
from tasks.registry import digest_stored, has_version, locate_model, open_registry, read_artifact
from tasks.stats.prediction import predict_rows

REFERENCE = "reference.parquet"  # in a version's MLflow run: test rows that its training kept
SMOKE_ROWS = 1_000
NEVER_OVERRULED = "sound"  # a model that does not load cannot serve, whatever a person says
CLEAR = ("pass", "not_applicable")


def find_open_gates(evidence: Entry) -> list[str]:
    """Names of the gates that a version has not passed."""
    return [str(gate["name"]) for gate in evidence.payload["gates"] if gate["status"] not in CLEAR]


def is_withdrawn(evidence: Entry) -> bool:
    """Whether all that is open is the comparison with a champion that the project file no longer allows."""
    gates = [g for g in evidence.payload["gates"] if g["status"] not in CLEAR]
    return bool(gates) and all(g["name"] == "champion" and g["evidence"].get("withdrawn") is True for g in gates)


def find_overruled(workspace: Workspace, evidence: Entry, override: bool) -> list[str]:
    """The gates that a person overrules, none where all passed; ConfigError where they may not, or did not say so."""
    name, version, argument = workspace.project.name, evidence.subject, workspace.project.argument
    if evidence.outcome == "promote" or is_withdrawn(evidence):
        check_same_file(workspace, int(str(version)), override)
        return []
    beside = evidence.payload["compared_with"]
    again = f"was looked at again beside version {beside}, and " if evidence.step == "look" and beside else ""
    fate = f"{name}: version {version} {again}ended {evidence.outcome}: {evidence.reason}"
    trained = find_training(workspace, int(str(version)))
    if NEVER_OVERRULED in (*find_open_gates(trained), *find_open_gates(evidence)):
        raise ConfigError(f"{fate} The gate {NEVER_OVERRULED!r} cannot be overruled: such a model cannot serve.")
    if not override:
        raise ConfigError(
            f"{fate} Its gates must pass before it is released. To overrule them, which the ledger and the model's "
            f"pages will say loudly: trueup promote {argument} {version} --override --reason '...'"
        )
    return find_open_gates(evidence)


def check_same_file(workspace: Workspace, version: int, override: bool) -> None:
    """ConfigError where the project file has asked for something else since a version was judged: a limit that was
    stated meanwhile was never looked at. A person may overrule that too."""
    trained = find_training(workspace, version).payload
    if override or trained["asked"] == limits_asked(workspace.project):
        return
    argument = workspace.project.argument
    raise ConfigError(
        f"{workspace.project.name}: version {version} was judged by other gates than the project file states now "
        f"(gates, data.protected). Change them back, or train again: trueup train {argument}. To release it all the "
        f"same: trueup promote {argument} {version} --override --reason '...'"
    )


def is_unreadable(workspace: Workspace, evidence: Entry) -> bool:
    """Whether nothing was compared because the champion cannot be loaded, and that is still so."""
    champion = workspace.ledger.champion(workspace.project.name)
    if champion is None or evidence.payload["compared_with"] is not None:
        return False
    try:
        load_served(workspace, champion.version)
    except InfrastructureError:
        return True
    return False


def renew_evidence(workspace: Workspace, version: int, champion: int | None) -> Entry:
    """A version's evidence against the present champion: the newest there is, else a new look.

    DataError and ConfigError where there are no rows to compare them on; nothing is written then.
    """
    # Also with `train.refit` nothing is fitted again here: a person approved this version, and this one is released.
    evidence = find_evidence(workspace, version)
    if evidence.payload["compared_with"] == champion:
        return evidence
    from flows.look import look_again  # not above: a look ends in a release

    # As of the newest turn: a project that lives in the past has not seen what came after.
    turn = workspace.ledger.latest(workspace.project.name, step="turn")
    as_of = turn.as_of if turn is not None and turn.as_of is not None else workspace.as_of
    source = look_at_source(workspace.project, workspace.ledger)
    return look_again(replace(workspace, source=source, as_of=as_of), version)


def find_rolled_back_twin(workspace: Workspace, version: int, gone: Mapping[int, Entry]) -> str:
    """Why a version may not come back by itself: a person rolled it back, or the same model. Empty otherwise."""
    own = find_training(workspace, version)
    for other, entry in gone.items():
        if version == other or _is_same_model(workspace, own, find_training(workspace, other)):
            same = "it" if version == other else f"version {other}, which is the same model,"
            return f"{same} was rolled back by {entry.actor} on {entry.at:%Y-%m-%d} ({entry.reason.rstrip('.')})"
    return ""


def _is_same_model(workspace: Workspace, one: Entry, other: Entry) -> bool:
    """Whether two trainings on the same rows came out the same; taken to be so where a file cannot be read."""
    if one.payload["snapshot"] != other.payload["snapshot"]:
        return False
    registry = open_registry(workspace.project.home)
    try:
        found = {digest_stored(locate_model(registry, version_of(entry))) for entry in (one, other)}
    except InfrastructureError:
        return True
    return len(found) == 1


def check_served(workspace: Workspace, version: int, forgiving: bool = False) -> str:
    """Load a version, compare its files with their digest, and let it predict rows that its training kept.

    Returns what the project file says against it, which is a ConfigError unless `forgiving`; empty where nothing.
    InfrastructureError for a version that cannot serve. Nothing is changed by either.
    """
    try:
        served = load_served(workspace, version)
        _smoke_test(workspace, served)
    except InfrastructureError as error:
        raise InfrastructureError(
            f"{workspace.project.name}: version {version} cannot serve; nothing was changed. {error}"
        ) from None
    trained = find_training(workspace, version).payload
    target = workspace.project.spec.data.target
    learned = trained.get("target", target)
    against = find_forbidden(workspace, served)
    if learned != target:
        against = f"predicts {learned!r}, but the project file's target is now {target!r}"
    if against and not forgiving:
        raise ConfigError(
            f"{workspace.project.name}: version {version} {against}. To release it, change the project file back; "
            "else train again."
        )
    return against


def _smoke_test(workspace: Workspace, served: Served) -> None:
    registry, number = open_registry(workspace.project.home), served.version.version
    if not has_version(registry, workspace.project.name, number):
        raise InfrastructureError(
            f"MLflow at {registry.shown} does not have it: it was deleted there, or MLFLOW_TRACKING_URI names another "
            "store. Restore MLflow from a backup, or name another version."
        )
    rows = read_artifact(registry, served.version, REFERENCE, pd.read_parquet).head(SMOKE_ROWS)
    wanted = (len(rows), len(served.classes)) if served.task == "multiclass" else (len(rows),)
    try:
        prediction = predict_rows(served.estimator, rows[list(served.features)], served.task)
    except Exception as error:  # noqa: BLE001 - a stored model raises what its classes raise, of any kind
        first = (str(error).strip().splitlines() or ["no message"])[0][:300]
        raise InfrastructureError(
            f"On rows that its training kept it fails with {type(error).__name__}: {first}. Install the versions in "
            "its requirements.txt, or name another version."
        ) from None
    finite = int(np.isfinite(prediction).all(axis=tuple(range(1, prediction.ndim))).sum())
    if prediction.shape != wanted or finite < len(rows) or not len(rows):
        raise InfrastructureError(
            f"On {len(rows):,} rows that its training kept it gives numbers of shape {prediction.shape}, {finite:,} of "
            f"them finite; expected {wanted}, all finite. Name another version."
        )
