"""The winning specification once more, on every labelled row: for a model whose twin has passed its gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tasks.config import Project
from tasks.results import FittedModel, Split, TrainingFrame, Trial
from tasks.stage import stage
from tasks.training.model import fit_model


@dataclass(frozen=True)
class Winner:
    """What a search chose: a candidate with its parameters, among the finished trials, and the sentence that says why.

    A model that was just fitted has it, and so does what was recorded of one.
    """

    candidate: str
    params: Mapping[str, Any]
    trials: Sequence[Trial]
    choice: str

    @classmethod
    def of(cls, model: FittedModel) -> Winner:
        """That of a fitted model."""
        return cls(model.candidate, model.params, model.trials, model.choice)


def refit_winner(winner: Winner, frame: TrainingFrame, split: Split, spec: Project) -> FittedModel:
    """The winner's candidate and parameters, fitted on all rows of `frame`; nothing is searched or chosen anew.

    What calibrated joins the rows to fit on, and the test rows calibrate: so the newest rows, or those that the hash
    set apart, stay the ones that the fit has not seen. Where nothing is calibrated, the fit sees all.
    """
    shifted = Split(
        fit=tuple(sorted((*split.fit, *split.calibration))),
        calibration=split.test,
        test=(),
        folds=split.folds,  # the choice is made, but its margin is still worked out on them
        how="all labelled rows",
    )
    trial = next(t for t in winner.trials if t.candidate == winner.candidate and dict(t.params) == dict(winner.params))
    again = fit_model(frame, shifted, spec, [trial])
    return replace(again, trials=tuple(winner.trials), choice=winner.choice)


@stage("refit")
def refit_model(winner: Winner, frame: TrainingFrame, split: Split, spec: Project) -> FittedModel:
    """The winner on all labelled rows; see `refit_winner`."""
    return refit_winner(winner, frame, split, spec)
