"""What can be told to be wrong before anything is done: asked before a flow runs, and again when a training starts."""

from __future__ import annotations

from flows.cut import Cut
from tasks.config import LoadedProject, Project, TaskType
from tasks.contract.suite import load_contract
from tasks.data.snapshot import check_columns
from tasks.data.target import check_target
from tasks.errors import ConfigError

TASKS: tuple[TaskType, ...] = ("binary", "multiclass", "regression")


def check_settings(project: LoadedProject) -> None:
    """Refuse a project file that asks for a metric or candidate that there is not, or has a contract with a fault.

    Which of them fit is known with the target; here those are refused that fit no task, or not the one it names.
    """
    from tasks.stats.metrics import METRICS

    load_contract(project)
    spec, name, refusals = project.spec, project.spec.train.metric, []
    tasks = TASKS
    if spec.data.task is not None:
        tasks = (spec.data.task,)
    elif name in METRICS:
        tasks = METRICS[name].tasks
    elif name is not None:
        raise ConfigError(f"train.metric: there is no {name!r}; expected one of: {', '.join(METRICS)}.")
    for task in tasks:
        try:
            check_kind(spec, task)
        except ConfigError as error:
            refusals.append(error)
    if len(refusals) == len(tasks):
        raise next((e for e in refusals if "mitigation" in str(e)), refusals[0])


def check_kind(spec: Project, task: TaskType) -> None:
    """Refuse what a target of this kind does not have: a metric, a candidate, costs, a floor."""
    from tasks.evaluation.bounds import check_gates
    from tasks.training.model import check_task

    check_task(spec, task)
    check_gates(spec, task)


def check_training(project: LoadedProject, cut: Cut) -> None:
    """As `check_settings`, and that columns and labels are such that something can be learned from them.

    Reads the target only: a contract's check or a search over millions of rows is not done in vain. Where there is
    a contract it decides first: it may refuse the batch or take out the rows that are in the way.
    """
    check_settings(project)
    contract = project.contract_path is not None
    if not contract:
        check_columns(cut.batches, project.spec)
    task = check_target(cut.batches, project.spec.data, cut.as_of, quarantine=contract)
    if task is not None:
        check_kind(project.spec, task)
