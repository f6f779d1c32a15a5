"""A column's values as text, the same whatever type they arrive in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def as_text(column: pd.Series[Any]) -> NDArray[np.object_]:
    """Objects: str, or None where missing. A whole number reads the same whether it arrives as 5, 5.0 or "5"."""
    objects = column.astype(object).to_numpy()
    missing = column.isna().to_numpy()
    texts = np.empty(len(objects), dtype=object)
    texts[:] = [None if m else v if type(v) is str else _write(v) for v, m in zip(objects, missing, strict=True)]
    return texts


def _write(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer() and abs(float(value)) < 1e15:
        return str(int(value))
    return str(value)
