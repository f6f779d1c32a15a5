"""What groups of people are compared by, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tasks.reports.wording import NOTHING, fixed, number, plain, shorten, spoken

RATES = {  # what a group gets
    "selection_rate": "decided positive",
    "true_positive_rate": "found of the true ones",
    "false_positive_rate": "wrongly decided positive",
    "calibration": "observed less given",
    "accuracy": "decided right",
    "mean_error": "mean error",
    "absolute_error": "size of the error",
}
EXPLAINED = {
    "selection_rate": "decided positive: the share of a group's rows for which the model says yes",
    "true_positive_rate": "found: of the rows where yes is true, the share for which it says so",
    "false_positive_rate": "wrongly decided positive: of the rows where no is true, the share for which it says yes",
    "calibration": "observed less given: how much more often (+) or less often (\u2212) yes is true than the "
    "model gave, in points of a hundred",
    "accuracy": "decided right: the share of rows that it decides as they truly are",
    "mean_error": "mean error: by how much predictions lie above (+) or below (\u2212) what came, on average",
    "absolute_error": "size of the error: how far predictions lie from what came, on average, either way",
}
MEASURES = {  # over all groups
    "demographic_parity_ratio": "lowest share decided positive over the highest",
    "demographic_parity_difference": "largest difference in the share decided positive",
    "equalized_odds_ratio": "lowest over highest of the shares found, or wrongly decided positive",
    "equalized_odds_difference": "largest difference in the shares found, or wrongly decided positive",
    "true_positive_rate_difference": "largest difference in the share found of the true ones",
    "calibration_difference": "largest difference in observed less given",
    "accuracy_difference": "largest difference in the share decided right",
    "mean_error_difference": "largest difference in the mean error",
    "absolute_error_difference": "largest difference in the size of the error",
}
_SHARES = frozenset(RATES) - {"mean_error", "absolute_error"}


def measure_title(name: object) -> str:
    """A fairness measure as people say it."""
    return MEASURES.get(str(name)) or shorten(spoken(name), 80)


def rate_title(name: object) -> str:
    """A rate as people say it."""
    return RATES.get(str(name)) or shorten(spoken(name), 80)


def by_words(columns: Sequence[Any]) -> str:
    """The columns that tell groups apart."""
    return " and ".join(shorten(plain(column), 40) for column in columns) or "no column"


def write_rate(name: str, value: float) -> str:
    """A share in per cent, a calibration in points of it with its sign, a mean error as it is."""
    if not math.isfinite(value):
        return NOTHING
    if name not in _SHARES:
        return number(value)
    text = fixed(100 * value, 1, sign=name == "calibration")
    return text if name == "calibration" else f"{text}%"


def write_rates(name: str, low: float, high: float) -> str:
    """Both ends of a rate's interval, without their unit."""
    return f"{write_rate(name, low).removesuffix('%')} to {write_rate(name, high).removesuffix('%')}"
