"""Two fits that came out the same have the same content, however and wherever they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.errors import InfrastructureError
from tasks.registry import digest_estimator, digest_stored, save_model_files


def fit(shift: float = 0.0) -> Any:
    from sklearn.linear_model import LogisticRegression

    x = np.arange(20.0).reshape(-1, 2)
    x[0, 0] += shift
    return LogisticRegression().fit(x, np.arange(10) % 2)


def test_equal_fits_have_equal_content(tmp_path: Path) -> None:
    rows = pd.DataFrame(np.arange(4.0).reshape(2, 2), columns=["a", "b"])
    stored = [
        save_model_files(fit(), tmp_path / name, input_example=rows, pip_requirements=[], trusted_types=[])
        for name in ("one", "two")
    ]
    assert stored[0].digest != stored[1].digest, "else the digest of the folder would do"
    assert digest_stored(stored[0].path) == digest_stored(stored[1].path) == digest_estimator(fit())
    assert digest_estimator(fit(1e-9)) != digest_estimator(fit())


def test_a_model_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="cannot be read as a model"):
        digest_stored(tmp_path)
    (tmp_path / "model.skops").write_bytes(b"no zip file")
    with pytest.raises(InfrastructureError, match="cannot be read as a model"):
        digest_stored(tmp_path)
