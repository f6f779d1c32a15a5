"""Labels that come in files of their own or from a database: windows are opened again, and the end is the same."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.cli import main
from tasks.ledger import open_ledger
from tests.conftest import make_rows
from tests.flows.test_small_projects import Bench

FIRST, THEN = "2024-04-01", "2024-05-20"
DATA = {"time": "at", "id": "key", "labels": {"source": "labels/*.csv", "time": "said"}}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Four months of rows without labels."""
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / "home"))
    bench = Bench("late", tmp_path / "work", tmp_path / "home")
    bench.put("rows.parquet", make_rows(1_200, months=4).drop(columns=["bought", "count", "member"]))
    bench.write(data=DATA)
    yield bench


def draw_words() -> pd.DataFrame:
    """What is said about all rows, two days after each."""
    rows = make_rows(1_200, months=4)
    bought = rows["bought"].map({True: "yes", False: "no"})
    return pd.DataFrame({"key": rows["key"], "bought": bought, "said": rows["at"] + pd.Timedelta(days=2)})


def turn_round(words: pd.DataFrame, said: str = "0h") -> pd.DataFrame:
    """The same words with the other label, said so much earlier."""
    other = words["bought"].map({"yes": "no", "no": "yes"})
    return words.assign(bought=other, said=words["said"] - pd.Timedelta(said))


def deliver(bench: Bench, name: str, words: pd.DataFrame) -> None:
    (bench.root / "labels").mkdir(exist_ok=True)
    words.to_csv(bench.root / "labels" / name, index=False)


def read_windows(home: Path, name: str) -> dict[str, Any]:
    """Of each batch what its newest window says."""
    with open_ledger(home) as ledger:
        newest = ledger.by_subject(name, "monitor")
    facts = ("rows", "labelled", "metrics", "promised", "drift", "action", "version")
    return {key: (e.outcome, e.reason, {f: e.payload[f] for f in facts}) for key, e in newest.items()}


def test_three_deliveries_end_as_one(bench: Bench, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = draw_words()
    month = make_rows(1_200, months=4)["at"].dt.strftime("%Y-%m")
    early, march, april = month < "2024-03", month == "2024-03", month == "2024-04"
    third = april & (words.index % 3 == 0)
    first = words[early]
    second = words[march]
    wrong, clash = turn_round(words[march].head(20), said="1h"), turn_round(words[april & ~third].tail(3))
    strange = words.head(5).assign(key=[f"none-{i}" for i in range(5)])
    last = pd.concat([words[april & ~third], wrong, clash, strange, words[march].head(7)])

    shutil.copytree(migrated, bench.home)
    deliver(bench, "1.csv", pd.concat([first, words[third]]))
    bench.turn(FIRST)
    assert bench.champion() == 1
    assert bench.newest("train").payload["batches"] == ["2024-01", "2024-02"]
    assert bench.newest("train").payload["dropped"]["label not known"] > 0, "some were said after the end of February"
    assert bench.newest("monitor", "2024-03").payload["labelled"] == 0

    deliver(bench, "2.csv", second)
    report = bench.turn(THEN)
    assert f"{len(first) + sum(third) + len(second):,} words" in str(report), report
    assert bench.newest("monitor", "2024-03").payload["labelled"] == march.sum()
    assert bench.newest("monitor", "2024-04").payload["labelled"] == third.sum()

    deliver(bench, "3.csv", last)
    report = bench.turn(THEN)
    assert [len(bench.entries("monitor", key)) for key in ("2024-03", "2024-04")] == [2, 2], (
        "later words stood in March"
    )
    assert bench.newest("monitor", "2024-04").payload["labelled"] == april.sum() - 3
    assert len(bench.entries("score")) == 2, "what the model sees did not change"
    said = " ".join(str(report).split())
    assert "3 ids (" in said and "contradict each other" in said, report
    assert "5 ids that no batch holds" in said and "7 said twice" in said, report
    told = bench.newest("labels")
    assert (told.outcome, told.payload["examples"]) == ("faulty", sorted(clash["key"]))
    assert len(list((bench.home / "late" / "labels").glob("*.sqlite"))) == 1, "indexes of earlier deliveries are gone"

    # All of it at once, in a home of its own and from a database.
    at_once = Bench("late", bench.root, bench.root / "home")
    shutil.copytree(migrated, at_once.home)
    monkeypatch.setenv("TRUEUP_HOME", str(at_once.home))
    everything = pd.concat([last, words[third], first, second]).sample(frac=1, random_state=1)
    ask_database(bench, monkeypatch, everything)
    at_once.turn(FIRST)
    at_once.turn(THEN)
    assert read_windows(at_once.home, "late") == read_windows(bench.home, "late")
    assert at_once.newest("labels").payload == told.payload


def ask_database(bench: Bench, monkeypatch: pytest.MonkeyPatch, words: pd.DataFrame) -> Path:
    """Put words into a database, and have the project file ask for them there."""
    path = bench.root / "labels.db"
    with closing(sqlite3.connect(path)) as database:
        words.assign(said=words["said"].astype(str)).to_sql("outcomes", database, index=False)
    query = "SELECT key AS named, bought, said FROM outcomes WHERE said > '2000-01-01 00:00'"
    bench.write(data={**DATA, "labels": {"query": query, "id": "named", "time": "said"}})
    monkeypatch.setenv("TRUEUP_LABELS_URL", f"sqlite:///{path}")
    return path


def refusal(bench: Bench, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """What the command says of the project, and that it wrote nothing."""
    before = sorted(bench.home.rglob("*"))
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["run", bench.file, "--as-of", THEN])
    assert sorted(bench.home.rglob("*")) == before
    return int(ended.value.code or 0), " ".join(capsys.readouterr().err.split())


def test_what_is_wrong_is_said_before_anything_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refusal(bench, capsys)
    assert code == 3 and "data.labels.source: 'labels/*.csv' matches no file" in said, said
    (bench.root / "labels").mkdir()
    code, said = refusal(bench, capsys)
    assert code == 3 and "no row has a known label" in said, said
    deliver(bench, "1.csv", draw_words().rename(columns={"key": "keys"}))
    code, said = refusal(bench, capsys)
    assert code == 3 and "1.csv: no column 'key', which data.id names" in said and "Did you mean 'keys'?" in said, said
    (bench.root / "labels" / "1.csv").write_text("key,bought,said\na,yes,2024-01-02\nb,no\n")
    code, said = refusal(bench, capsys)
    assert code == 3 and "1.csv: cannot be read as CSV" in said, said
    deliver(bench, "1.csv", draw_words().assign(said="31.12.2024 10:00"))
    code, said = refusal(bench, capsys)
    assert code == 3 and "set data.labels.time_format" in said, said
    bench.write(data={**DATA, "id": None})
    code, said = refusal(bench, capsys)
    assert code == 2 and "labels are joined by id; set data.id" in said, said

    path = ask_database(bench, monkeypatch, draw_words())
    monkeypatch.delenv("TRUEUP_LABELS_URL")
    code, said = refusal(bench, capsys)
    assert code == 2 and "TRUEUP_LABELS_URL" in said, said
    monkeypatch.setenv("TRUEUP_LABELS_URL", "postgresql+psycopg://me:secret@127.0.0.1:9/labels")
    code, said = refusal(bench, capsys)
    assert code == 4 and "127.0.0.1:9/labels cannot be read" in said and "secret" not in said, said
    monkeypatch.setenv("TRUEUP_LABELS_URL", f"sqlite:///{path}.gone")
    code, said = refusal(bench, capsys)
    assert code == 4 and "no such file" in said and not Path(f"{path}.gone").exists(), said
    monkeypatch.setenv("TRUEUP_LABELS_URL", f"sqlite:///{path}")
    bench.write(data={**DATA, "labels": {"query": "SELECT absent FROM outcomes"}})
    code, said = refusal(bench, capsys)
    assert code == 2 and "refuses it: no such column: absent" in said, said
    bench.write(data={**DATA, "labels": {"query": "SELECT key, said FROM outcomes"}})
    code, said = refusal(bench, capsys)
    assert code == 3 and "no column 'bought' in its result" in said, said
