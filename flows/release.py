"""Challenger to champion and back: by verdict, or by a person. The ledger decides; MLflow's aliases follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flows.aliases import move_aliases, note_ledger
from flows.challenger import proposed_version
from flows.champion import find_evidence, find_training
from flows.engine.launch import flow
from flows.keys import digest, verdict_key
from flows.overview import publish_overview
from flows.parameters import DecidedBy, OptionalModelNumber, Override, ProjectName, Reason, ReleaseAction
from flows.plan import aliases_follow
from flows.recheck import check_served, find_overruled, find_rolled_back_twin, is_unreadable, renew_evidence
from flows.show import show_decision
from flows.workspace import Workspace, check_begun, open_workspace
from tasks.config import load_project
from tasks.errors import ConfigError, InfrastructureError
from tasks.ledger import Action, Champion, ChampionChanged, Entry, find_rolled_back, open_ledger
from tasks.stage import crash_point

BY_VERDICT: dict[str, Action] = {"promote": "promote", "hold": "hold", "reject": "reject"}
NOT_YET: Action = "hold"
RELEASING = ("promote", "approve", "rollback")
_EVIDENCE = ("run_id", "snapshot", "gates", "deciding", "compared_with")


@flow(name="release", run_name="{action} {project} {version}")
def release(
    project: ProjectName,
    action: ReleaseAction,
    reason: Reason,
    version: OptionalModelNumber = None,
    override: Override = False,
    decided_by: DecidedBy = None,
) -> str:
    """Approve, reject, promote or roll back a version of a project's model. Returns what was done, as a sentence.

    A version whose gates did not pass is released by a promotion that overrules them, and by nothing else.
    """
    if version is None and action != "rollback":
        raise ConfigError(f"{action}: which version? Only a rollback may leave it out: it goes to the one before.")
    if override and action != "promote":
        raise ConfigError(f"{action}: only promote may overrule gates.")
    if len(reason.strip()) < 3:
        raise ConfigError("reason: expected a few words that will still make sense in a year.")
    seen = _see_champion(project)
    with open_workspace(project, "now", [], "release", reads=False) as workspace:
        if decided_by and decided_by.strip():
            workspace = replace(workspace, actor=f"{' '.join(decided_by.split())} (stated; {workspace.actor})")
        done = decide_by_hand(workspace, action, version, reason.strip(), override, seen)
        note_ledger(workspace)
        publish_overview(workspace.project, workspace.ledger)
        show_decision(workspace, done)
        return done


def decide_by_hand(
    workspace: Workspace, action: str, version: int | None, reason: str, override: bool, seen: int | None
) -> str:
    """A person's decision about a version; ConfigError where it is not theirs to make.

    `seen` is who was champion when they asked: where that changed until it was their turn, they decide again.
    """
    name, ledger = workspace.project.name, workspace.ledger
    if not aliases_follow(ledger, name):
        move_aliases(workspace)  # of a decision that was cut off
    champion = ledger.champion(name)
    if version is None:
        version = _find_previous(workspace, champion, seen)
    present = champion.version if champion else None
    _check_known(workspace, version)
    if present == version:
        hint = " To take it out of service, roll back to another version." if action == "reject" else ""
        raise ConfigError(f"{name}: version {version} is the champion already.{hint}")
    if action == "reject":
        evidence = find_evidence(workspace, version)
        _decide(workspace, evidence, "reject", present, reason)
        return f"{name}: version {version} is rejected."
    if present != seen:
        raise ConfigError(
            f"{name}: the champion was {_called(seen)} when this was asked, and is now {_called(present)}; nothing was "
            f"changed. Look at `trueup history {workspace.project.argument}` and decide again."
        )
    if action == "rollback":
        return _roll_back(workspace, version, present, reason)
    evidence = _find_approved(workspace, version, present) if action == "approve" else find_evidence(workspace, version)
    overruled = find_overruled(workspace, evidence, override)
    if evidence.payload["compared_with"] != present and not (overruled and is_unreadable(workspace, evidence)):
        compared = evidence.payload["compared_with"]
        raise ConfigError(
            f"{name}: version {version} was compared with {_called(compared)}, but the champion is now "
            f"{_called(present)}; nothing was changed. Train again, so that it is compared with that one: "
            f"trueup train {workspace.project.argument} --force"
        )
    check_served(workspace, version)
    more: dict[str, Any] = {}
    if overruled:
        more = {"override": True, "overruled": overruled}
        reason = f"Overruled {', '.join(overruled)}: {reason}"
    _decide(workspace, evidence, "approve" if action == "approve" else "promote", present, reason, more)
    loud = f" OVERRULED: {', '.join(overruled)}." if overruled else " Every gate had passed." if override else ""
    return f"{name}: version {version} is champion.{loud}"


def settle_verdict(workspace: Workspace, evidence: Entry) -> Entry:
    """Follow the verdict of a training or a look: promote, wait for a person, hold or reject.

    Done once; repeats find it done, also where a person has decided otherwise since.
    """
    name, version = workspace.project.name, int(str(evidence.subject))
    decisions = workspace.ledger.entries(name, step="release")
    for entry in decisions:
        if entry.subject == evidence.subject and entry.seq > evidence.seq:
            move_aliases(workspace)
            return entry
    action, reason = BY_VERDICT[evidence.outcome], evidence.reason
    back = find_rolled_back_twin(workspace, version, find_rolled_back(decisions)) if action == "promote" else ""
    if back:
        action, reason = "propose", f"Waits for approval: {back}. {reason}"
    elif action == "promote" and workspace.project.spec.promotion == "manual":
        action, reason = "propose", f"Waits for approval. {reason}"
    champion = workspace.ledger.champion(name)
    present = champion.version if champion else None
    expected = evidence.payload["compared_with"] if action in ("promote", "propose") else present
    key = verdict_key(evidence)
    decided = _append(workspace, evidence, action, expected, key, reason)
    if isinstance(decided, ChampionChanged):
        key = verdict_key(evidence, changed=True)
        decided = _append(workspace, evidence, NOT_YET, decided.found, key, decided.sentence)
        if isinstance(decided, ChampionChanged):
            raise InfrastructureError(f"{name}: {decided.sentence}")
    return decided


def _roll_back(workspace: Workspace, version: int, present: int | None, reason: str) -> str:
    name, ledger = workspace.project.name, workspace.ledger
    before = [e.subject for e in ledger.entries(name, step="release") if e.outcome in RELEASING]
    if str(version) not in before:
        raise ConfigError(f"{name}: version {version} never was champion; rollback goes back to one that was.")
    against = check_served(workspace, version, forgiving=True)
    _decide(workspace, find_evidence(workspace, version), "rollback", present, reason)
    beware = f" Beware: it {against}." if against else ""
    return f"{name}: version {version} is champion again.{beware}"


def _find_approved(workspace: Workspace, version: int, present: int | None) -> Entry:
    """The evidence of a version that waits, against the present champion; ConfigError where it may not be approved."""
    name, argument = workspace.project.name, workspace.project.argument
    waiting, challenger = proposed_version(workspace.ledger, name), workspace.ledger.standing(name).challenger
    if waiting != version:
        newest = workspace.ledger.latest(name, step="release", subject=str(version))
        waits = f"version {waiting} waits" if waiting else "none waits"
        hint = ""
        if newest is not None and newest.outcome == "propose":  # a newer challenger took its place
            waits = waits if waiting else f"version {challenger} took its place and is held"
            hint = f" To release it all the same: trueup promote {argument} {version} --reason '...'"
        raise ConfigError(f"{name}: version {version} does not wait for approval; {waits}.{hint}")
    return renew_evidence(workspace, version, present)


def _find_previous(workspace: Workspace, champion: Champion | None, seen: int | None) -> int:
    """The version that a rollback goes to where none is named."""
    name = workspace.project.name
    if champion is None or champion.previous is None:
        has = f"version {champion.version} is the first" if champion else "there is none now"
        raise ConfigError(f"{name}: there is no champion to roll back to; {has}.")
    if champion.version != seen:  # or two who ask at once would go back two steps
        raise ConfigError(
            f"{name}: the champion was {_called(seen)} when this was asked, and is now version {champion.version}; "
            f"nothing was changed. To go on to version {champion.previous}, ask again."
        )
    return champion.previous


def _check_known(workspace: Workspace, version: int) -> None:
    versions = [e.subject for e in workspace.ledger.entries(workspace.project.name, step="train")]
    if str(version) not in versions:
        known = f"Known: {', '.join(map(str, versions[-12:]))}" if versions else "Nothing was trained in this home yet"
        raise ConfigError(
            f"{workspace.project.name}: there is no version {version}. {known}. Check TRUEUP_HOME if there should be."
        )


def _see_champion(project: str) -> int | None:
    """Who is champion at this instant, before anything is waited for; ConfigError where there is no ledger."""
    loaded = load_project(project)
    check_begun(loaded)
    with open_ledger(loaded.home) as ledger:
        champion = ledger.champion(loaded.name)
    return champion.version if champion else None


def _decide(
    workspace: Workspace,
    evidence: Entry,
    action: Action,
    present: int | None,
    reason: str,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write a person's decision; ConfigError where the champion changed in the meantime."""
    crash_point("before-decision")
    name = workspace.project.name
    key = digest("by hand", evidence.subject, action, present, len(workspace.ledger.entries(name, step="release")))
    decided = _append(workspace, evidence, action, present, key, reason, more)
    if isinstance(decided, ChampionChanged):
        raise ConfigError(f"{name}: {decided.sentence}")


def _append(
    workspace: Workspace,
    evidence: Entry,
    action: Action,
    expected: int | None,
    key: str,
    reason: str,
    more: Mapping[str, Any] | None = None,
) -> Entry | ChampionChanged:
    """Write a decision with the evidence it rests on, and make MLflow follow it."""
    name, version = workspace.project.name, int(str(evidence.subject))
    if not aliases_follow(workspace.ledger, name):
        move_aliases(workspace)  # of the decision before, if that was cut off
    trained = find_training(workspace, version).payload
    shown = {k: evidence.payload.get(k, trained.get(k)) for k in _EVIDENCE} | {"evidence": evidence.seq}
    entry = workspace.ledger.release(
        name,
        action=action,
        version=version,
        expected_champion=expected,
        key=key,
        reason=reason,
        actor=workspace.actor,
        as_of=workspace.as_of,
        at=datetime.now(UTC),
        payload={**shown, **(more or {})},
    )
    if isinstance(entry, ChampionChanged):
        return entry
    crash_point("after-decision")
    move_aliases(workspace)
    return entry


def _called(version: int | None) -> str:
    return "no champion" if version is None else f"version {version}"
