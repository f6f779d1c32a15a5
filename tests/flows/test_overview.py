"""The project page and the index, as turns, decisions and `trueup page` leave them in a home."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from flows.overview import PAGE, publish_overview, refresh_overview, tell_page
from flows.prune import prune
from flows.release import release
from flows.run import run
from flows.validate import validate
from tasks.config import LoadedProject, load_project
from tasks.errors import ConfigError, InfrastructureError
from tasks.ledger import open_ledger
from tests.conftest import MakeProject, make_rows
from tests.flows.forking import Forks
from tests.flows.history import History
from tests.flows.shops import Shops
from tests.flows.turns import FIRST, crash, write_shop
from tests.reports.reading import Page, read_page

APRIL, MAY = "2024-04-01", "2024-05-01"


def read(path: Path) -> Page:
    return read_page(path.read_text(encoding="utf-8"), links=True)


def write_again(project: LoadedProject) -> Path:
    with open_ledger(project.home) as ledger:
        return publish_overview(project, ledger)


def check_links(path: Path) -> set[str]:
    """Every link leads to a file; returns the addresses."""
    addresses = {str(a["href"]) for a in read(path).named("a")}
    for address in addresses:
        assert (path.parent / address).is_file(), address
    return addresses


def test_a_turn_leaves_the_page_and_a_second_one_does_not_write_it_again(make_project: MakeProject) -> None:
    project = make_project({"rows.parquet": make_rows(1500, months=4)}, split={"how": "random", "test": 0.4})
    report = run(str(project.path), APRIL)
    path = project.folder / PAGE
    assert any(line.split()[:3] == ["look", "at", "page:"] and line.endswith(f"shop/{PAGE}") for line in report.lines)
    assert len(report.lines) <= 15
    page = read(path)
    assert "version 1 serves" in page.text and "2024-03" in page.text and "as of 2024-04-01 (UTC)" in page.text
    assert {"../index.html", "decisions/v1.html", "decisions/v1-card.html"} <= check_links(path)
    written = path.stat().st_mtime_ns, (project.home / "index.html").stat().st_mtime_ns
    refresh_overview(load_project(project.path))
    run(str(project.path), APRIL)
    assert written == (path.stat().st_mtime_ns, (project.home / "index.html").stat().st_mtime_ns)
    run(str(project.path), MAY)
    text = read(path).text
    assert "as of 2024-05-01" in text and "2 windows in all" in text and "trueup run" in text
    for folder, asked in (("shop-1", '{"project": "shop", "from": "2024-02", "to": "2024-03"}'), ("odd", "[]")):
        (project.home / "replays" / folder).mkdir(parents=True)
        (project.home / "replays" / folder / "replay.json").write_text(asked)
        (project.home / "replays" / folder / "replay.html").write_text("x")
    write_again(project)
    assert "../replays/shop-1/replay.html" in check_links(path) and "replay of 2024-02 to 2024-03" in read(path).text


def test_it_is_made_from_the_ledger_alone_wherever_the_home_lies(
    shops: Shops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = shops.copy(tmp_path / "there", monkeypatch)
    before = write_again(load_project(there.file("binary"))).read_bytes()
    shutil.rmtree(there.root / "tables")
    shutil.rmtree(there.home / "mlflow")
    (there.home / "binary" / PAGE).unlink()
    answer = tell_page(str(there.file("binary")))
    assert (there.home / "binary" / PAGE).read_bytes() == before
    assert answer.lines[0].startswith("binary: All is well so far: version 1 serves") and answer.exit_code == 0
    assert any(line.split()[0] == "page" and line.endswith(f"binary/{PAGE}") for line in answer.lines)
    check_links(there.home / "binary" / PAGE)


def test_the_index_has_a_row_for_each_project_and_links_to_those_with_a_page(
    shops: Shops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = shops.copy(tmp_path / "there", monkeypatch)
    tell_page(str(there.file("binary")))
    tell_page(str(there.file("regression")))
    (there.home / "multiclass" / PAGE).unlink(missing_ok=True)
    tell_page(str(there.file("binary")))
    index = there.home / "index.html"
    assert check_links(index) == {f"binary/{PAGE}", f"regression/{PAGE}"}
    text = read(index).text
    assert "binary" in text and "multiclass" in text and "version 1, 0 days old" in text
    rows = read(index).text
    tell_page(str(there.file("regression")))
    assert read(index).text == rows, "whoever writes it, it says the same"


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_task_has_a_page(shops: Shops, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = shops.copy(tmp_path / "there", monkeypatch)
    run(str(there.file(task)), "2024-04-01")
    page = read(there.home / task / PAGE)
    assert "2024-03" in page.text and "] in 2024-03" in page.text
    assert "rows in quarantine" not in page.text or "quarantine/" in page.text


def test_a_decision_by_hand_is_on_the_page_at_once(history: History) -> None:
    release(history.shop, action="rollback", reason="the first was <better>")
    page = read(history.home / "shop" / PAGE)
    assert "Version 1 became champion again in place of version 4" in page.text
    assert "Reason: The first was <better>." in page.text
    assert prune(history.shop, 1, False).exit_code == 0
    assert (history.home / "shop" / PAGE).is_file() and (history.home / "index.html").is_file()
    check_links(history.home / "shop" / PAGE)


def test_a_version_that_waits_and_one_that_is_rejected(make_project: MakeProject) -> None:
    rows = make_rows(1500, months=3)
    project = make_project({"rows.parquet": rows}, split={"how": "random", "test": 0.4}, promotion="manual")
    run(str(project.path), APRIL)
    text = read(project.folder / PAGE).text
    assert "Needs you: version 1 passed its gates and waits for approval." in text and "trueup approve" in text
    release(str(project.path), action="reject", reason="not this one", version=1)
    text = read(project.folder / PAGE).text
    assert "no model serves yet, since version 1 was rejected: not this one" in text


def test_a_table_without_time_and_one_that_was_refused(make_project: MakeProject) -> None:
    project = make_project({"rows.parquet": make_rows(900)}, data={"time": None})
    run(str(project.path), "now")
    assert "version 1 serves" in read(project.folder / PAGE).text

    (project.path.parent / "shop.contract.yaml").write_text("rows: {min: 5000}\n")
    raw = {**yaml.safe_load(project.path.read_text()), "name": "other"}
    other = project.path.with_name("other.yaml")
    other.write_text(yaml.safe_dump({**raw, "contract": {"file": "shop.contract.yaml", "data_docs": False}}))
    assert validate(str(other), "now") != []
    answer = tell_page(str(other))
    assert "Needs you: the contract refused" in answer.lines[0]
    assert "The contract refused" in read(project.home / "other" / PAGE).text
    assert check_links(project.home / "index.html") == {f"shop/{PAGE}", f"other/{PAGE}"}


def test_columns_that_look_personal_are_a_question_until_they_are_settled(make_project: MakeProject) -> None:
    rows = make_rows(900, months=3)
    rows["mail"] = [f"anna{i}@example.org" for i in range(len(rows))]
    project = make_project({"rows.parquet": rows}, split={"how": "random", "test": 0.4})
    run(str(project.path), APRIL)
    page = read(project.folder / PAGE)
    assert "'mail' looks like" in page.text and "example.org" not in page.text
    raw = yaml.safe_load(project.path.read_text())
    raw["data"]["exclude"] = ["mail"]
    project.path.write_text(yaml.safe_dump(raw))
    tell_page(str(project.path))
    assert "'mail' looks like" not in read(project.folder / PAGE).text


def test_a_page_that_cannot_be_written_is_said(history: History) -> None:
    path = history.home / "shop" / PAGE
    path.unlink(missing_ok=True)
    path.mkdir()
    with pytest.raises(InfrastructureError, match="cannot be written"):
        tell_page(history.shop)


def test_a_project_without_a_ledger(make_project: MakeProject) -> None:
    project = make_project({"rows.parquet": pd.DataFrame({"bought": [True, False]})})
    with pytest.raises(ConfigError, match="holds no ledger"):
        tell_page(str(project.path))
    with open_ledger(project.home):
        pass
    with pytest.raises(ConfigError, match="no entry of this project"):
        tell_page(str(project.path))
    assert not (project.home / "index.html").exists()


def test_what_an_earlier_trueup_did_not_record_is_left_out(history: History) -> None:
    with open_ledger(history.home) as ledger:
        for step, subject, outcome in (("monitor", "2024-04", "drifting"), ("retrain", "2024-04", "wait")):
            newest = ledger.latest("shop")
            assert newest is not None
            ledger.append(
                "shop", step=step, key=f"{step} of old", subject=subject, outcome=outcome, reason="so it was",
                actor="me", as_of=newest.as_of, at=newest.at, payload={"version": 4},
            )  # fmt: skip
    tell_page(history.shop)
    assert "so it was" in read(history.home / "shop" / PAGE).text


def test_a_turn_that_was_killed_before_its_page_is_made_up_for(forks: Forks, tmp_path: Path) -> None:
    shop, home = write_shop(tmp_path / "work"), tmp_path / "home"
    crash(forks, shop, home, FIRST, "before-turn")
    page = home / "shop" / PAGE
    page.unlink()  # what the training left
    crash(forks, shop, home, FIRST, "before-page")
    assert not page.exists()
    ended = forks.run("run", shop, *FIRST, TRUEUP_HOME=str(home))
    assert ended.code == 0 and "up to date" in ended.out, ended
    assert "version 1 serves" in read(page).text
    ended = forks.run("page", shop, TRUEUP_HOME=str(home))
    assert ended.code == 0 and ended.out.startswith("shop: ") and f"shop/{PAGE}" in ended.out, ended
