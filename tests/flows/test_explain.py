"""The score of one row, step by step: the score of the file, contributions that add up to it, and honest refusals."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.answer import Answer
from flows.champion import load_served
from flows.explain import explain, explain_score
from flows.find_row import ScoredRow, find_raw_row, find_row
from flows.workspace import look_in
from tasks.errors import ConfigError, DataError, InfrastructureError
from tasks.registry import load_artifact, open_registry
from tasks.training.anatomy import take_apart
from tests.flows.shops import HOSTILE, TRAIN, Shops


@pytest.fixture
def mine(shops: Shops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shops:
    return shops.copy(tmp_path / "mine", monkeypatch)


@pytest.fixture
def asked(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> Shops:
    """The shared home, to be read only."""
    monkeypatch.setenv("TRUEUP_HOME", str(shops.home))
    return shops


def ask(shops: Shops, name: str, row: object, batch: str | None = None) -> Answer:
    answer = explain(str(shops.file(name)), str(row), batch)
    assert len(answer.lines) <= 30 and all(len(line) <= 160 for line in answer.lines), answer
    assert all(line.isprintable() for line in answer.lines), answer
    return answer


def said(answer: Answer) -> str:
    return " ".join(" ".join(answer.lines).split())


@pytest.mark.parametrize("name", TRAIN)
def test_contributions_and_base_add_up_to_the_score(asked: Shops, name: str) -> None:
    scored = asked.predictions(name)
    for at in (0, 100):
        row = scored.iloc[at]
        with look_in(str(asked.file(name))) as workspace:
            found = find_row(workspace, row["row_id"], None)
            assert isinstance(found, ScoredRow) and found.position == row["row"]
            served = load_served(workspace, found.version)
            registry = open_registry(workspace.project.home)
            sample = pd.read_parquet(load_artifact(registry, served.version, "reference.parquet"))
            raw = find_raw_row(workspace, found, served.features)
            anatomy = take_apart(served.estimator)
            told = explain_score(workspace, served, anatomy, found, raw, sample[list(served.features)])
        total = told.parts.base + sum(told.parts.values.values())
        if name == "binary":  # exact in the log-odds of the calibrated probability
            assert told.exact and told.unit == "log-odds"
            assert total == pytest.approx(np.log(row["probability"] / (1 - row["probability"])), abs=1e-9)
        elif name == "regression":
            assert told.exact and total == pytest.approx(row["prediction"], abs=1e-9)
        else:
            of_class = served.classes.index(row["prediction"])
            assert not told.exact and total == pytest.approx(row[f"probability_{of_class}"], abs=1e-9)
            assert all(error >= 0 for error in told.parts.errors.values())
        assert set(told.parts.values) == set(served.features)
        answer = ask(asked, name, row["row_id"])
        assert answer.exit_code == 0 and "the predictions file says the same" in said(answer)


def test_each_step_from_raw_values_to_the_decision(asked: Shops) -> None:
    table = pd.read_parquet(asked.table("binary"))
    scored = asked.predictions("binary").merge(table, left_on="row_id", right_on="key")
    row = scored[(scored["colour"] == HOSTILE) & scored["size"].isna()].iloc[0]
    text = said(ask(asked, "binary", row["row_id"], "2024-03"))
    assert f"row {row['row_id']} of batch 2024-03 (position {row['row']:,}), scored by version 1" in text
    assert f"{row['probability']:.6g}: probability that bought is True" in text
    assert ("not below" if row["prediction"] else "is below") in text and "threshold 0.3333" in text
    assert "sigmoid calibration makes it" in text
    assert r"colour red\x1b[31m\x07 <b>" in text, "a stranger's value is shown, not obeyed"
    assert "size missing missing" in text and "marked missing" in text
    assert f"{row['when']:%Y-%m-%d}" in text


def test_the_same_question_has_the_same_answer(asked: Shops) -> None:
    row = asked.predictions("multiclass")["row_id"].iloc[7]
    assert ask(asked, "multiclass", row) == ask(asked, "multiclass", row)


def test_a_row_in_quarantine_says_which_rules(asked: Shops) -> None:
    table = pd.read_parquet(asked.table("binary"))
    held = table[(table["count"] < 0) & (table["at"] >= "2024-03-10")]["key"].iloc[0]
    answer = ask(asked, "binary", held)
    assert answer.exit_code == 1
    assert "is in quarantine" in said(answer) and "broke count: at least 0" in said(answer)


def test_an_id_that_several_rows_have(mine: Shops) -> None:
    (path,) = (mine.home / "binary" / "predictions").glob("*.parquet")
    scored = pd.read_parquet(path)
    scored.loc[3, "row_id"] = scored.loc[2, "row_id"]  # a contract that lets repeated ids pass
    scored.to_parquet(path)
    with pytest.raises(ConfigError, match="2 rows of batch 2024-03 have this id") as refused:
        ask(mine, "binary", scored.loc[2, "row_id"])
    names = re.findall(r"\(([0-9a-f]{32})\)", str(refused.value))
    assert names == list(scored["prediction_id"][2:4])
    assert f"(position {scored.loc[2, 'row']})" in said(ask(mine, "binary", names[0]))


def test_rows_and_batches_that_are_not_there(asked: Shops) -> None:
    with pytest.raises(ConfigError, match="no scored row has this key or prediction_id"):
        ask(asked, "binary", "nobody\x1b[2J")
    with pytest.raises(ConfigError, match="batch 2024-02 was not scored yet"):
        ask(asked, "binary", "row-0-3", "2024-02")
    with pytest.raises(ConfigError, match="the source has no such batch"):
        ask(asked, "binary", "row-0-3", "1999-01")


def test_a_row_that_changed_since_is_told_loudly(mine: Shops) -> None:
    row = mine.predictions("binary").iloc[50]
    table = pd.read_parquet(mine.table("binary"))
    table.loc[table["key"] == row["row_id"], "size"] = 9.0
    table.to_parquet(mine.table("binary"))
    answer = ask(mine, "binary", row["row_id"])
    assert answer.exit_code == 1
    assert "MISMATCH" in answer.lines[1] and "the batch changed since it was scored" in said(answer)


def test_a_row_that_moved_is_found_by_its_id(mine: Shops) -> None:
    row = mine.predictions("binary").iloc[50]
    table = pd.read_parquet(mine.table("binary"))
    table.iloc[::-1].to_parquet(mine.table("binary"))
    assert ask(mine, "binary", row["row_id"]).exit_code == 0
    table[table["key"] != row["row_id"]].to_parquet(mine.table("binary"))
    with pytest.raises(DataError, match="is not in it any more"):
        ask(mine, "binary", row["row_id"])


def test_predictions_and_models_that_are_gone_or_changed(mine: Shops) -> None:
    row = mine.predictions("binary")["row_id"].iloc[0]
    for path in (mine.home / "mlflow").rglob("model.skops"):
        path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InfrastructureError, match="not the one that was registered"):
        ask(mine, "binary", row)
    for path in (mine.home / "binary" / "predictions").glob("*.parquet"):
        path.unlink()
    with pytest.raises(InfrastructureError, match=r"predictions of batch 2024-03 .* are gone"):
        ask(mine, "binary", row)


def test_a_table_without_ids_is_asked_by_position(mine: Shops) -> None:
    scored = mine.predictions("regression")
    mine.change("regression", data={"id": None})
    with pytest.raises(ConfigError, match="there is no id column"):
        ask(mine, "regression", 10)
    row = scored.iloc[3]
    answer = ask(mine, "regression", row["prediction_id"])
    assert answer.exit_code == 0 and f"(position {row['row']:,})" in answer.lines[0]
