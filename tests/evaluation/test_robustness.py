"""Rows made worse: how far the metric falls, what breaks a model, which features are not needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.config.gates import Robustness
from tasks.evaluation.judged_rows import JudgedRows
from tasks.evaluation.robustness import NEVER_SEEN, stress_model
from tasks.results import RobustnessAudit
from tasks.stats.intervals import deal_rows
from tasks.stats.metrics import AT_HALF, METRICS
from tests.evaluation.rows import make_frame

ROWS = 2_000
FRAME = make_frame(ROWS)
COLUMNS = FRAME.frame[["size", "colour", "noise"]].assign(
    flag=np.arange(ROWS) % 2 == 0, count=np.arange(ROWS) % 7, when=pd.Timestamp("2024-01-01", tz="UTC")
)
Y = FRAME.target.to_numpy()


def predict(frame: pd.DataFrame) -> Any:
    odds = 1.5 * frame["size"].fillna(0.0) + np.where(frame["colour"] == "red", 0.8, -0.4) - 1
    return 1 / (1 + np.exp(-odds.to_numpy(np.float64)))


def stress(model: Any = predict, frame: pd.DataFrame = COLUMNS, **asked: Any) -> RobustnessAudit:
    return stress_model(
        model, JudgedRows(Y, deal_rows(ROWS, 0), "binary"), frame, METRICS["roc_auc"], AT_HALF, np.full(ROWS, 0.3),
        Robustness(**asked), 0.005, 0.95, 3,
    )  # fmt: skip


def by_name(audit: RobustnessAudit) -> dict[str, Any]:
    return {step.column or step.kind: step for step in audit.steps}


def test_the_ladder() -> None:
    found = by_name(stress())
    assert list(found) == ["missing", "unseen", "noise", "size", "colour", "flag", "count", "when"]  # "noise" is both
    assert found["size"].fall > 0.1, "what the model leans on most"
    assert 0 < found["missing"].fall < found["size"].fall
    assert found["colour"].fall > 0
    assert all(step.finding == "reported" for step in found.values()), "no limit is stated"


def test_a_needless_feature_is_named_and_a_needed_one_is_not() -> None:
    audit = stress()
    assert {"noise", "flag", "count", "when"} == set(audit.needless)
    assert audit.needless_limit == 0.005


def test_limits_fail_and_pass() -> None:
    lost = by_name(stress(max_drop_lost=0.02))
    assert (lost["size"].finding, lost["flag"].finding, lost["missing"].finding) == ("fail", "pass", "reported")
    assert lost["size"].low > 0.02
    assert by_name(stress(max_drop=0.3))["missing"].finding == "pass"
    assert by_name(stress(missing=0.6, max_drop=0.01))["missing"].finding == "fail"


def test_nothing_is_done_to_the_rows_themselves() -> None:
    before = COLUMNS.copy(deep=True)
    stress()
    pd.testing.assert_frame_equal(COLUMNS, before)


@pytest.mark.parametrize(
    ("broken", "kind", "said"),
    [
        (lambda f: _demand(f, ~f["colour"].eq(NEVER_SEEN).any()), "unseen", "KeyError"),
        (lambda f: np.where(f["size"].isna(), np.nan, 0.5), "missing", "not finite"),
        (lambda f: _demand(f, not f["flag"].isna().all()), "flag", "KeyError"),
    ],
)
def test_a_model_that_breaks_fails_whatever_the_limits(broken: Any, kind: str, said: str) -> None:
    def model(frame: pd.DataFrame) -> Any:
        given = broken(frame)
        return predict(frame) if given is None else given

    step = by_name(stress(model))[kind]
    assert step.finding == "fail"
    assert said in step.problem


def _demand(frame: pd.DataFrame, holds: bool) -> None:
    if not holds:
        raise KeyError("no such value")


def test_a_model_that_breaks_on_rows_as_they_are_says_so() -> None:
    audit = stress(lambda f: _demand(f, False))
    assert (audit.steps, "KeyError" in audit.problem) == ((), True)


@pytest.mark.parametrize("dtype", ["Int64", "float32", "boolean", "category", "string", "object", "datetime64[ns]"])
def test_columns_of_any_type_are_perturbed(dtype: str) -> None:
    column = pd.Series(np.arange(ROWS) % 2).astype("datetime64[ns]" if "date" in dtype else dtype)
    audit = stress(frame=COLUMNS.assign(other=column))
    assert not [s.problem for s in audit.steps if s.problem]


def test_many_features_are_lost_on_fewer_rows() -> None:
    wide = COLUMNS.assign(**{f"x{i}": 0.0 for i in range(400)})
    assert stress(frame=wide).rows == 1_000
