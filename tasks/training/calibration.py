"""Probabilities that mean what they say, and the threshold that turns them into decisions."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config.project import Costs, Train
from tasks.stats.metrics import OperatingPoint, TaskType

Method = Literal["none", "sigmoid", "isotonic", "temperature"]
Wanted = Literal["auto", "none", "sigmoid", "isotonic", "temperature"]
ISOTONIC_ROWS, SIGMOID_ROWS = 2_000, 100
"""Rows of the rarer class that each method needs under `auto`: a step function needs many, two numbers few."""
TEMPERATURE_ROWS = 100
"""Rows of any class that a temperature needs: it is one number for all classes."""
_LEAST_ROWS = 5  # scikit-learn's calibrator needs five of each class


def choose_calibration(wanted: Wanted, target: NDArray[Any], classes: int, weighted: bool) -> tuple[Method, str]:
    """The method for calibration rows with these targets, and what the pages say of it.

    `target` (n,) are the calibration rows' labels, `classes` how many classes there are. The text is the method's
    name, or "none: ..." with the reason. `weighted` says that the fit weighs the classes.

    `auto` maps each class by itself where there are two. Of several it takes a temperature, which keeps their order
    and needs no rows of the rare ones; only where the fit weighs the classes are they mapped one by one, since a
    temperature cannot bring the base rates back.
    """
    warning = (
        " Caution: train.class_weight is set, so the probabilities are those of rows with the classes in balance and"
        " not the true base rate"
        if weighted
        else ""
    )
    if wanted == "none":
        return "none", "none: train.calibrate asks for none." + (warning + "." if warning else "")
    labels, counts = np.unique(target, return_counts=True)
    rarer = int(counts.min()) if len(labels) == classes else 0
    by_temperature = wanted == "temperature" or (wanted == "auto" and classes > 2 and not weighted)
    if by_temperature:
        least = TEMPERATURE_ROWS if wanted == "auto" else _LEAST_ROWS
        if len(target) >= least and rarer > 0:
            return "temperature", "temperature"
        found = f"{len(target)} calibration rows" + ("" if rarer else " lack a class, and")
        why = f"none: {found} are too few: temperature needs {least} and every class; these rows were used for the fit."
        return "none", why + (warning + "." if warning else "")
    if wanted != "auto":
        if rarer >= _LEAST_ROWS:
            return wanted, wanted
        least = _LEAST_ROWS
    elif rarer >= ISOTONIC_ROWS and classes == 2:
        return "isotonic", "isotonic"
    elif rarer >= SIGMOID_ROWS:
        return "sigmoid", "sigmoid"
    else:
        least = SIGMOID_ROWS
    method = "sigmoid" if wanted == "auto" else wanted
    reason = (
        f"none: {rarer} of the {len(target)} calibration rows are of the rarest class, {method} needs {least}; these"
        " rows were used for the fit."
    )
    return "none", reason + (warning + "; set train.calibrate: sigmoid." if warning else "")


def calibrate(estimator: Any, frame: pd.DataFrame, target: NDArray[Any], method: Method) -> Any:
    """`estimator` (fitted, left as it is) with its probabilities mapped to what `frame` and `target` (n,) show.

    The map is learned on rows that the fit did not see and are not weighted, so the base rate is true again whatever
    weights the fit used.
    """
    from sklearn.base import clone
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    calibrated = CalibratedClassifierCV(FrozenEstimator(estimator), method=method).fit(frame, target)
    # The fitted one is in `calibrated_classifiers_`; held a second time it would be stored a second time.
    return calibrated.set_params(estimator=clone(estimator))


def choose_threshold(costs: Costs | None, calibrated: bool, weight_ratio: float = 1.0) -> tuple[float, str]:
    """The probability from which a row counts as positive, and a sentence that says how it was found.

    With costs it follows from the probabilities: predicting positive is the cheaper choice from p = FP / (FP + FN)
    on. No row is used to search for it: a search would be noisier, and would use the calibration rows a second time.
    `weight_ratio` is the weight of a positive over that of a negative row in a fit that was not calibrated
    afterwards; it multiplies the odds that the model gives, and so the threshold's.
    """
    if costs is None:
        return 0.5, "0.5, since no costs are given (train.costs)."
    odds = costs.false_positive / costs.false_negative * (1.0 if calibrated else weight_ratio)
    threshold = odds / (1 + odds)
    how = (
        f"{threshold:.4g}: from there on the expected cost of a false positive ({costs.false_positive:g}) is below that"
        f" of a false negative ({costs.false_negative:g}); worked out from the"
        f" {'calibrated' if calibrated else 'uncalibrated'} probabilities, which spares rows"
    )
    if not calibrated and weight_ratio != 1.0:
        how += f", and moved for the class weights (a positive row weighs {weight_ratio:.3g} times a negative one)"
    return threshold, how + "."


def weigh_positive(train: Train, target: NDArray[Any]) -> float:
    """The weight of a positive over that of a negative row in a fit on these 0/1 labels (n,)."""
    if train.class_weight is None:
        return 1.0
    positives = float(np.sum(target))
    return (len(target) - positives) / positives


def find_operating_point(train: Train, target: NDArray[Any], task: TaskType = "binary") -> OperatingPoint:
    """Where a model fitted on these labels (n,) and not calibrated decides, what wrong decisions cost, or at which
    quantile a regression aims."""
    if task != "binary":
        return OperatingPoint(quantile=train.quantile)
    threshold, _ = choose_threshold(train.costs, False, weigh_positive(train, target))
    if train.costs is None:
        return OperatingPoint(threshold)
    return OperatingPoint(threshold, train.costs.false_positive, train.costs.false_negative)


def carry_threshold(estimator: Any, threshold: float, frame: pd.DataFrame, target: NDArray[Any]) -> Any:
    """`estimator` with a `predict` that obeys the threshold; probabilities stay as they are. Nothing is fitted."""
    from sklearn.base import clone
    from sklearn.frozen import FrozenEstimator
    from sklearn.model_selection import FixedThresholdClassifier

    carrier = FixedThresholdClassifier(
        FrozenEstimator(estimator), threshold=threshold, pos_label=1, response_method="predict_proba"
    )
    return carrier.fit(frame, target).set_params(estimator=clone(estimator))  # as above; fitted in `estimator_`
