"""One turn of the loop: bring a project up to date as of a moment. What is done is not done again."""

from __future__ import annotations

from flows.alerts import announced_together
from flows.aliases import move_aliases, note_ledger
from flows.cut import first_cut
from flows.engine.launch import flow
from flows.late_labels import note_deliveries
from flows.look import look_again
from flows.monitor import monitor
from flows.overview import publish_overview
from flows.parameters import AsOf, Force, Overrides, ProjectName
from flows.plan import ASKED, Action, Plan, Step, pending_release, plan_turn
from flows.policy import find_asked
from flows.project_facts import describe_setting
from flows.refit import settle_evidence
from flows.retraining import record_decision, record_failure
from flows.score import score
from flows.show import show_turn
from flows.summary import TurnReport, last_seq, summarise
from flows.train import train
from flows.validate import validate
from flows.workspace import Workspace, open_workspace
from tasks.errors import DataError, InfrastructureError
from tasks.stage import crash_point


@flow(name="run", run_name="run {project} as of {as_of}")
def run(
    project: ProjectName = "flights",
    as_of: AsOf = "now",
    overrides: Overrides = [],  # noqa: B006 - never changed; a list makes Prefect's form show one
    force: Force = False,
) -> TurnReport:
    """Bring a project up to date as of a moment: validate, train, release, score and monitor what is due, in order.

    Safe to call again at any time: finished steps are found in the ledger, and one that was cut off is done again.
    """
    with open_workspace(project, as_of, overrides, "run") as workspace:
        since = last_seq(workspace)
        done: set[tuple[str, str]] = set()
        with announced_together(workspace):
            while (step := _first_due(workspace, done)) is not None:
                _perform(workspace, step, project, overrides)
                done.add((step.action, step.subject))
            if force and workspace.visible:
                newest = workspace.visible[-1].key
                again: tuple[Action, ...] = ("validate", "score", "monitor")
                for action in again:
                    if (action, newest) not in done:
                        _perform(workspace, Step(action, newest, True, "forced"), project, overrides, force=True)
        left = _plan(workspace)
        if left.due:
            step = left.due[0]
            raise InfrastructureError(
                f"{workspace.project.name}: {step.action} of {step.subject} is still due after it was done "
                f"({step.why}). The source may have changed meanwhile; run again."
            )
        move_aliases(workspace)  # also where nothing was released: what others did to them is reported
        report = summarise(workspace, since, left)
        crash_point("before-turn")
        setting = describe_setting(workspace.project)
        workspace.record("turn", str(since), workspace.as_of.isoformat(), report.outcome, report.headline, setting)
        note_ledger(workspace)
        show_turn(report, publish_overview(workspace.project, workspace.ledger))
        return report


def _plan(workspace: Workspace) -> Plan:
    source = workspace.source
    return plan_turn(workspace.project, workspace.ledger, source.batches, workspace.as_of, source.labels)


def _first_due(workspace: Workspace, done: set[tuple[str, str]]) -> Step | None:
    plan = _plan(workspace)
    return next((s for s in plan.due if (s.action, s.subject) not in done), None)


def _perform(workspace: Workspace, step: Step, project: str, overrides: list[str], force: bool = False) -> None:
    moment = workspace.as_of.isoformat()
    if step.action == "labels":
        note_deliveries(workspace)
    elif step.action == "release":
        pending = pending_release(workspace.ledger, workspace.project.name)
        if pending is not None:
            settle_evidence(workspace, pending)
        else:
            move_aliases(workspace)
    elif step.action == "retrain":
        record_decision(workspace)
        crash_point("after-retrain-decision")
    elif step.action == "train" and step.subject == ASKED:
        _train_as_asked(workspace, project, overrides)
    elif step.action == "look":
        settle_evidence(workspace, look_again(workspace, int(step.subject)))
    elif step.action == "train":
        if workspace.ledger.champion(workspace.project.name) is None:
            cut = first_cut(workspace.visible, workspace.as_of)
            train(project, cut.as_of.isoformat() if cut.as_of else moment, before=cut.before, overrides=overrides)
        else:
            train(project, moment, overrides=overrides)
    else:
        flow = {"validate": validate, "score": score, "shadow": score, "monitor": monitor}[step.action]
        flow(project, moment, batch=step.subject, overrides=overrides, force=force)


def _train_as_asked(workspace: Workspace, project: str, overrides: list[str]) -> None:
    """The training that the policy asks for. Rows that cannot be used cost the turn nothing: it has scored by now."""
    asked = find_asked(workspace.ledger, workspace.project.name, workspace.as_of)
    try:
        train(project, workspace.as_of.isoformat(), overrides=overrides)
    except DataError as error:
        if asked is None:
            raise
        record_failure(workspace, asked, error)
