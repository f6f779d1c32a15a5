"""Slices: what is worse is found, what is small is said to be so, and what a limit is one of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.config.gates import Slices
from tasks.errors import ConfigError
from tasks.evaluation.judged_rows import JudgedRows
from tasks.evaluation.parts import cut_column
from tasks.evaluation.slices import Rival, find_slice_metric, judge_slices
from tasks.results import SliceAudit
from tasks.stats.intervals import block_rows, deal_rows
from tasks.stats.metrics import AT_HALF, METRICS

RNG = np.random.default_rng(1)
ROWS = 4_000
GROUP = RNG.choice(["north", "south", "west", "tiny"], ROWS, p=[0.5, 0.3, 0.196, 0.004])
Y = (RNG.random(ROWS) < 0.3).astype(np.int64)
FRAME = pd.DataFrame({"group": GROUP})
PARTS = cut_column(pd.Series(np.repeat(["north", "south", "west", "tiny"], 30)), "group", 4)


def score(skill: Any) -> Any:
    z = RNG.normal(size=ROWS) + skill * Y
    return 1 / (1 + np.exp(-z))


EVEN = score(1.5)
SOUTH_IS_WEAK = score(np.where(GROUP == "south", 0.2, 1.5))


def judge(prediction: Any, max_drop: float | str | None = 0.05, rival: Rival | None = None, **more: Any) -> SliceAudit:
    blocks = more.pop("blocks", deal_rows(ROWS, 0))
    return judge_slices(
        JudgedRows(Y, blocks, "binary"), prediction, AT_HALF, FRAME, PARTS, more.pop("found", []),
        Slices(max_drop=max_drop), METRICS[more.pop("metric", "roc_auc")], np.full(ROWS, 0.3), 0.95, rival,
    )  # fmt: skip


def findings(audit: SliceAudit) -> dict[str, str]:
    return {s.name.removeprefix("group = "): s.finding for s in audit.slices}


def test_a_slice_that_is_worse_than_all_rows_fails_and_the_others_do_not() -> None:
    audit = judge(SOUTH_IS_WEAK)
    assert findings(audit) == {"north": "pass", "south": "fail", "tiny": "too small", "west": "pass"}
    (south,) = (s for s in audit.slices if s.name == "group = south")
    assert south.low > 0.05, "it fails only where its interval lies beyond the limit"
    assert south.p_value < 1 - south.confidence
    assert south.drop == pytest.approx(METRICS["roc_auc"].compute(Y, SOUTH_IS_WEAK) - south.metric.value)
    assert south.rows == int((GROUP == "south").sum())


def test_an_even_model_passes() -> None:
    assert set(findings(judge(EVEN)).values()) == {"pass", "too small"}


def test_a_champion_is_what_it_is_held_to_on_the_same_slice() -> None:
    weak_as_ever = Rival(SOUTH_IS_WEAK, AT_HALF, np.ones(ROWS, bool))
    audit = judge(SOUTH_IS_WEAK, rival=weak_as_ever)
    assert audit.against == "champion"
    assert findings(audit)["south"] == "pass", "no worse than the champion is there"
    assert findings(judge(SOUTH_IS_WEAK, rival=Rival(EVEN, AT_HALF, np.ones(ROWS, bool))))["south"] == "fail"


def test_only_rows_that_the_champion_has_not_seen_count() -> None:
    unseen = np.arange(ROWS) % 2 == 0
    audit = judge(SOUTH_IS_WEAK, rival=Rival(EVEN, AT_HALF, unseen))
    assert sum(s.rows for s in audit.slices) == unseen.sum()


def test_without_a_limit_slices_are_reported() -> None:
    audit = judge(SOUTH_IS_WEAK, None)
    assert set(findings(audit).values()) == {"reported", "too small"}
    assert audit.max_drop is None


def test_found_slices_join_the_family_and_are_marked() -> None:
    searched = [p.joined(p) for p in PARTS[:1]]
    audit = judge(EVEN, found=searched)
    assert [s.found for s in audit.slices].count(True) == 1
    assert [s.finding for s in audit.slices if s.found] == ["reported"], "weaker than all rows by its nature"
    beside = judge(SOUTH_IS_WEAK, found=searched, rival=Rival(EVEN, AT_HALF, np.ones(ROWS, bool)))
    assert [s.finding for s in beside.slices if s.found] == ["pass"]
    assert not [s for s in judge(EVEN, found=PARTS[:1]).slices if s.found], "what is declared is not found once more"


def test_r2_is_held_against_the_spread_of_all_rows() -> None:
    y = RNG.normal(size=ROWS) + 5 * (GROUP == "south")
    prediction = y + 0.3 * RNG.normal(size=ROWS)
    audit = judge_slices(
        JudgedRows(y, deal_rows(ROWS, 0), "regression"), prediction, AT_HALF, FRAME, PARTS, [], Slices(max_drop=0.05),
        METRICS["r2"], np.full(ROWS, y.mean()), 0.95,
    )  # fmt: skip
    assert {s.finding for s in audit.slices} <= {"pass", "too small"}
    assert audit.slices[0].other == pytest.approx(METRICS["r2"].compute(y, prediction))


def test_a_limit_in_per_cent_is_one_of_the_constant_predictions_metric() -> None:
    audit = judge(EVEN, "10%", metric="log_loss")
    constant = -(0.3 * np.log(0.3) + 0.7 * np.log(0.7))
    assert audit.max_drop == pytest.approx(0.1 * constant, rel=0.05)


def test_few_days_tell_nothing() -> None:
    days = np.array(["a", "b", "c", "d"], dtype=object)[np.arange(ROWS) % 4]
    audit = judge(SOUTH_IS_WEAK, blocks=block_rows(days, "days", ordered=True))
    assert set(findings(audit).values()) == {"too small"}


def test_more_slices_widen_the_interval() -> None:
    rival = Rival(SOUTH_IS_WEAK, AT_HALF, np.ones(ROWS, bool))
    few, many = judge(EVEN, rival=rival), judge(EVEN, rival=rival, found=[p.joined(p) for p in PARTS] * 5)
    assert many.slices[0].high > few.slices[0].high
    assert many.slices[0].metric == few.slices[0].metric, "what is shown for itself stays as it is"


def test_what_follows_the_share_of_positives_is_not_compared_between_slices() -> None:
    assert find_slice_metric(Slices(), "average_precision", "binary").name == "roc_auc"
    assert find_slice_metric(Slices(), None, "binary").name == "roc_auc", "the default metric is one of them"
    assert find_slice_metric(Slices(), "log_loss", "binary").name == "log_loss"
    assert find_slice_metric(Slices(metric="average_precision"), None, "binary").name == "average_precision"
    assert find_slice_metric(Slices(), None, "regression").name == "r2"
    with pytest.raises(ConfigError, match=r"gates\.slices\.metric: .*accuracy"):
        find_slice_metric(Slices(metric="mae"), None, "multiclass")
