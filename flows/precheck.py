"""What can be told to be wrong before anything is done: asked before a flow runs, and again when a training starts."""

from __future__ import annotations

from flows.plan import Cut
from tasks.config import LoadedProject
from tasks.contract.suite import load_contract
from tasks.data.snapshot import check_columns
from tasks.data.target import SUPPORTED, check_target
from tasks.errors import ConfigError


def check_settings(project: LoadedProject) -> None:
    """Refuse a project file that asks for a metric or candidate that there is not, or has a contract with a fault.

    Which of them fit is known with the target; here those are refused that fit no target of this version.
    """
    from tasks.stats.metrics import find_metric
    from tasks.training.candidates import find_candidates

    load_contract(project)
    train, refusals = project.spec.train, []
    for task in SUPPORTED:
        try:
            find_metric(train.metric, task)
            find_candidates(train.candidates, task)
        except ConfigError as error:
            refusals.append(error)
    if len(refusals) == len(SUPPORTED):
        raise refusals[0]


def check_training(project: LoadedProject, cut: Cut) -> None:
    """As `check_settings`, and that columns and labels are such that something can be learned from them.

    Reads the target only: a contract's check or a search over millions of rows is not done in vain. Where there is
    a contract it decides first: it may refuse the batch or take out the rows that are in the way.
    """
    check_settings(project)
    contract = project.contract_path is not None
    if not contract:
        check_columns(cut.batches, project.spec.data)
    check_target(cut.batches, project.spec.data, cut.as_of, quarantine=contract)
