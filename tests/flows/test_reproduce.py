"""A version trained again: identical where nothing changed, and what changed named where something did."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flows.answer import Answer
from flows.reproduce import reproduce
from tasks.errors import ConfigError, DataError
from tests.flows.shops import TRAIN, Shops


def again(shops: Shops, name: str = "binary", version: int = 1) -> Answer:
    """The answer, outside a flow run: Prefect has no part in what is compared."""
    answer: Answer = reproduce.fn(str(shops.file(name)), version)
    assert len(answer.lines) <= 15 and all(len(x) <= 120 or "/" in x for x in answer.lines), answer
    return answer


def said(answer: Answer) -> str:
    return " ".join(" ".join(answer.lines).split())


@pytest.fixture
def mine(shops: Shops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shops:
    return shops.copy(tmp_path / "mine", monkeypatch)


@pytest.mark.parametrize("name", TRAIN)
def test_identical_for_every_task_and_nothing_is_written(mine: Shops, name: str) -> None:
    before, files = mine.entries(name), sorted(mine.home.rglob("*"))
    trained = next(e for e in before if e.step == "train")
    assert bool(trained.payload["refit"]) == (name == "regression"), "one of them serves a model that saw all rows"
    answer = reproduce(str(mine.file(name)), 1) if name == "binary" else again(mine, name)
    text = said(answer)
    assert answer.exit_code == 0, text
    assert answer.lines[0].endswith("identical") and "differs" not in text
    assert "model content" in text and "test predictions" in text and "metrics with their intervals" in text
    assert "code, lock, libraries, Python, platform and threads" in text
    assert mine.entries(name) == before
    kept = [p for p in files if "prefect" not in p.parts]
    assert kept == [p for p in sorted(mine.home.rglob("*")) if "prefect" not in p.parts]


def test_a_changed_row_is_found_by_its_batch(mine: Shops) -> None:
    rows = pd.read_parquet(mine.table("binary"))
    rows.loc[rows["at"] < "2024-02-01", "size"] *= 1.5
    rows.to_parquet(mine.table("binary"))
    answer = again(mine)
    text = said(answer)
    assert answer.exit_code == 1
    assert "batch 2024-01 changed since" in text and "metrics with their intervals" in text
    assert "by at most" in text and "not those that it was trained on" in text
    assert "2024-02 changed" not in text


def test_rows_in_another_order(mine: Shops) -> None:
    rows = pd.read_parquet(mine.table("binary"))
    order = list(rows.index)
    order[1:3] = [2, 1]
    rows.loc[order].to_parquet(mine.table("binary"), index=False)
    assert "identical" in again(mine).lines[0], "their time orders them"
    rows.iloc[::-1].to_parquet(mine.table("binary"), index=False)
    assert "no batch changed its content, so their rows came in another order" in said(again(mine)), (
        "quarantine is by it"
    )


def test_rows_that_are_gone(mine: Shops) -> None:
    rows = pd.read_parquet(mine.table("binary"))
    rows.drop(rows.index[:3]).to_parquet(mine.table("binary"))
    with pytest.raises(DataError, match=r"3 of the .* rows of batch 2024-01 are gone"):
        again(mine)
    rows[rows["at"] >= "2024-02-01"].to_parquet(mine.table("binary"))
    with pytest.raises(DataError, match=r"batch 2024-01 with .* rows are gone"):
        again(mine)


def test_another_lock_is_told_and_changes_nothing(mine: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    (mine.root / "uv.lock").write_text("other libraries")
    monkeypatch.setattr("flows.provenance._LOCK", mine.root / "uv.lock")
    answer = again(mine)
    assert answer.exit_code == 0
    assert "changed lock" in said(answer) and "also with what changed around it" in said(answer)


def test_a_stored_model_that_was_tampered_with(mine: Shops) -> None:
    for path in (mine.home / "mlflow").rglob("model.skops"):
        path.write_bytes(path.read_bytes() + b"x")
    answer = again(mine)
    text = said(answer)
    assert answer.exit_code == 1
    assert "differs stored model: The model in" in text and "is not the one that was registered" in text
    assert "predictions kept with the version" in text.split("differs stored model")[0], "they need no stored model"


def test_the_recorded_project_file_is_used(mine: Shops) -> None:
    mine.change("binary", train={"seed": 9, "candidates": ["random_forest"]}, data={"label_delay": "3d"})
    answer = again(mine)
    assert answer.exit_code == 0
    assert (
        "its file says otherwise now (data.label_delay, train.candidates, train.seed); the recorded one was used"
        in said(answer)
    )


def test_versions_that_are_not_there(mine: Shops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"there is no version 9\. Known: 1"):
        again(mine, version=9)
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="nothing was trained yet"):
        again(mine)
    assert not (tmp_path / "nowhere").exists()
