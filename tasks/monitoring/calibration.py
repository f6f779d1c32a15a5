"""Whether predictions lie too high or too low on average, here and on the champion's test rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.stats.intervals import Blocks, Replicates, block_rows, count_effective, deal_rows
from tasks.stats.metrics import TaskType

CONFIDENCE = 0.95
SMALLEST = 0.05  # of a probability; of a regression's error, SMALLEST_SHARE of its standard deviation
SMALLEST_SHARE = 0.25
SMALLEST_OF_RARE = 0.5  # of a rare positive class: of its share


@dataclass(frozen=True)
class Bias:
    """The mean of outcome minus prediction, with its interval (nan where nothing can be said).

    The outcome of a binary target is 0 or 1; of a multiclass one whether the likeliest class was right, beside its
    probability; of a regression the value. `worth`: the smallest difference that is worth a look.
    """

    value: float
    low: float
    high: float
    worth: float

    def differs_from(self, promised: Bias) -> bool:
        """Whether the intervals lie apart, and the values by more than is worth a look. False where one is unknown."""
        apart = self.low > promised.high or self.high < promised.low
        return apart and abs(self.value - promised.value) >= promised.worth


def measure_bias(y: NDArray[Any], prediction: NDArray[np.float64], task: TaskType, blocks: Blocks) -> Bias | None:
    """The bias of predictions (n,) or (n, classes) on labels (n,), by the jackknife over blocks; None without rows."""
    if not len(y):
        return None
    if task == "multiclass":
        error = (prediction.argmax(axis=1) == y) - prediction.max(axis=1)
    else:
        error = y - prediction
    worth = SMALLEST_SHARE * float(np.std(error)) if task == "regression" else SMALLEST
    if task == "binary":
        worth = min(worth, SMALLEST_OF_RARE * float(np.mean(y)) or worth)
    total, rows = float(error.sum()), len(error)
    of_block = np.bincount(blocks.of_row, error, blocks.count)
    sizes = np.bincount(blocks.of_row, minlength=blocks.count)
    if (sizes == rows).any():
        return Bias(total / rows, math.nan, math.nan, worth)
    without = (total - of_block) / (rows - sizes)
    reach = Replicates(total / rows, without, count_effective(blocks), blocks.ordered).reach((1 + CONFIDENCE) / 2, 1.0)
    return Bias(total / rows, total / rows - reach, total / rows + reach, worth)


def measure_reference_bias(
    reference: pd.DataFrame,
    target: str,
    probabilities: Sequence[str],
    block: str | None,
    task: TaskType,
    classes: Sequence[Any],
    seed: int,
) -> Bias | None:
    """The bias on the reference's test rows. `probabilities`: the columns of the prediction; `block`: that of the
    rows' days or groups. None where the reference lacks one of them."""
    if reference.empty or any(name not in reference for name in (target, *probabilities)):
        return None
    of = reference[list(probabilities)].to_numpy(np.float64)
    y = reference[target]
    if task == "regression":
        labels = y.to_numpy(np.float64)
    else:
        labels = y.map({label: code for code, label in enumerate(classes)}).to_numpy(np.float64)
    known = np.isfinite(labels) & np.isfinite(of).all(axis=1)
    dealt = deal_rows(int(known.sum()), seed)
    days = reference[block][known] if block is not None and block in reference else None
    blocks = dealt if days is None or days.isna().any() else block_rows(days.astype(str).tolist(), "days", ordered=True)
    kept = labels[known] if task == "regression" else labels[known].astype(np.int64)
    return measure_bias(kept, of[known] if task == "multiclass" else of[known, 0], task, blocks)
