"""The winning specification once more, on every labelled row: for a model whose twin has passed its gates."""

from __future__ import annotations

from dataclasses import replace

from tasks.config import Project
from tasks.results import FittedModel, Split, TrainingFrame
from tasks.stage import stage
from tasks.training.model import fit_model


def refit_winner(model: FittedModel, frame: TrainingFrame, split: Split, spec: Project) -> FittedModel:
    """`model`'s candidate and parameters, fitted again on all rows of `frame`; nothing is searched or chosen anew.

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
    trial = next(t for t in model.trials if t.candidate == model.candidate and dict(t.params) == dict(model.params))
    again = fit_model(frame, shifted, spec, [trial])
    return replace(again, trials=model.trials, choice=model.choice)


@stage("refit")
def refit_model(model: FittedModel, frame: TrainingFrame, split: Split, spec: Project) -> FittedModel:
    """The winner on all labelled rows; see `refit_winner`."""
    return refit_winner(model, frame, split, spec)
