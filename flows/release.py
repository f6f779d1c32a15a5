"""Challenger to champion and back: by verdict, or by a person. The ledger decides; MLflow's aliases follow it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flows.champion import find_training, load_served
from flows.launch import flow
from flows.parameters import ModelNumber, ProjectName, Reason, ReleaseAction
from flows.plan import aliases_follow, digest
from flows.workspace import Workspace, open_workspace
from tasks.errors import ConfigError
from tasks.ledger import Action, ChampionChanged, Entry
from tasks.registry import mirror_aliases, open_registry
from tasks.stage import crash_point

BY_VERDICT: dict[str, Action] = {"promote": "promote", "hold": "hold", "reject": "reject"}
NOT_YET: Action = "hold"


@flow(name="release", run_name="{action} {project} version {version}")
def release(project: ProjectName, version: ModelNumber, action: ReleaseAction, reason: Reason) -> str:
    """Approve, reject, promote or roll back a version of a project's model. Returns what was done, as a sentence.

    A version whose gates did not pass is not released by any of these.
    """
    with open_workspace(project, "now", [], "release", reads=False) as workspace:
        return decide_by_hand(workspace, version, action, reason)


def decide_by_hand(workspace: Workspace, version: int, action: ReleaseAction, reason: str) -> str:
    """A person's decision about a version; ConfigError where it is not theirs to make."""
    name, ledger = workspace.project.name, workspace.ledger
    versions = [e.subject for e in ledger.entries(name, step="train")]
    if str(version) not in versions:
        known = f"Known: {', '.join(map(str, versions[-12:]))}" if versions else "Nothing was trained in this home yet"
        raise ConfigError(f"{name}: there is no version {version}. {known}. Check TRUEUP_HOME if there should be.")
    if not aliases_follow(ledger, name):
        move_aliases(workspace)  # of a decision that was cut off
    trained = find_training(workspace, version)
    standing = ledger.standing(name)
    champion = standing.champion.version if standing.champion else None
    if champion == version:
        hint = " To take it out of service, roll back to another version." if action == "reject" else ""
        raise ConfigError(f"{name}: version {version} is the champion already.{hint}")
    if action == "approve" and standing.challenger != version:
        waits = f"version {standing.challenger} waits" if standing.challenger else "none waits"
        raise ConfigError(f"{name}: version {version} does not wait for approval; {waits}.")
    if action in ("approve", "promote") and trained.outcome != "promote" and not _champion_withdrawn(trained):
        raise ConfigError(
            f"{name}: version {version} ended {trained.outcome}: {trained.reason} "
            "Its gates must pass before it is released."
        )
    if action == "rollback" and not any(
        e.outcome in ("promote", "approve", "rollback") and e.subject == str(version)
        for e in ledger.entries(name, step="release")
    ):
        raise ConfigError(f"{name}: version {version} never was champion; rollback goes back to one that was.")
    if action in ("approve", "promote") and trained.payload["compared_with"] != champion:
        compared = trained.payload["compared_with"]
        raise ConfigError(
            f"{name}: version {version} was compared with {_called(compared)}, but the champion is now "
            f"{_called(champion)}. Train again, so that it is compared with that one: "
            f"trueup train {workspace.project.argument} --force"
        )
    if action != "reject":
        load_served(workspace, version)  # it must load before it may serve
    key = digest("by hand", version, action, champion, len(ledger.entries(name, step="release")))
    _append(workspace, trained, action, champion, key, reason)
    done = {"reject": "rejected", "rollback": "champion again"}.get(action, "champion")
    return f"{name}: version {version} is {done}."


def _champion_withdrawn(trained: Entry) -> bool:
    """Whether all that is open is the comparison with a champion that the project file no longer allows."""
    return all(
        g["status"] == "pass" or (g["name"] == "champion" and g["evidence"].get("withdrawn") is True)
        for g in trained.payload["gates"]
    )


def settle_verdict(workspace: Workspace, trained: Entry) -> Entry:
    """Follow the verdict of a training or a look: promote, wait for a person, hold or reject. Repeats find it done."""
    action = BY_VERDICT[trained.outcome]
    reason = trained.reason
    if action == "promote" and workspace.project.spec.promotion == "manual":
        action, reason = "propose", f"Waits for approval. {reason}"
    for entry in workspace.ledger.entries(workspace.project.name, step="release"):
        if entry.subject == trained.subject and entry.seq > trained.seq:
            move_aliases(workspace)
            return entry
    compared = trained.payload["compared_with"]
    expected = compared if action in ("promote", "propose") else _champion(workspace)
    return _append(workspace, trained, action, expected, digest("verdict", trained.key), reason)


def move_aliases(workspace: Workspace) -> None:
    """Make MLflow's aliases follow the ledger; one that was edited by hand is reported and restored."""
    standing = workspace.ledger.standing(workspace.project.name)
    champion = standing.champion
    restored = mirror_aliases(
        open_registry(workspace.project.home),
        workspace.project.name,
        champion=champion.version if champion else None,
        challenger=standing.challenger,
        previous=champion.previous if champion else None,
        head=workspace.ledger.head(workspace.project.name),
    )
    crash_point("after-aliases")
    for sentence in restored:
        workspace.record("alias", digest(sentence, workspace.now), "aliases", "restored", sentence, {})
    if not aliases_follow(workspace.ledger, workspace.project.name):
        version = champion.version if champion else None
        workspace.record("alias", digest(standing), "aliases", "moved", f"champion is {_called(version)}", {})


def _append(workspace: Workspace, trained: Entry, action: Action, expected: int | None, key: str, reason: str) -> Entry:
    name, version = workspace.project.name, int(str(trained.subject))
    evidence = {k: trained.payload[k] for k in ("run_id", "snapshot", "gates", "deciding", "compared_with")}
    entry = _release(workspace, action, version, expected, key, reason, evidence)
    if isinstance(entry, ChampionChanged):
        found = entry.found
        entry = _release(workspace, NOT_YET, version, found, digest(key, "changed"), entry.sentence, evidence)
        if isinstance(entry, ChampionChanged):
            raise ConfigError(f"{name}: {entry.sentence}")
    crash_point("after-decision")
    move_aliases(workspace)
    return entry


def _release(
    workspace: Workspace,
    action: Action,
    version: int,
    expected: int | None,
    key: str,
    reason: str,
    evidence: dict[str, Any],
) -> Entry | ChampionChanged:
    return workspace.ledger.release(
        workspace.project.name,
        action=action,
        version=version,
        expected_champion=expected,
        key=key,
        reason=reason,
        actor=workspace.actor,
        as_of=workspace.as_of,
        at=datetime.now(UTC),
        payload=evidence,
    )


def _champion(workspace: Workspace) -> int | None:
    champion = workspace.ledger.champion(workspace.project.name)
    return champion.version if champion else None


def _called(version: int | None) -> str:
    return "no champion" if version is None else f"version {version}"
