"""A version's pages: made from the ledger, logged to MLflow, made again with each decision and by whoever is next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flows.publication import page_paths, publish
from flows.release import decide_by_hand, settle_verdict
from flows.show import _list_pages, describe_decision
from flows.train import make_cut, train_challenger
from flows.workspace import open_workspace
from tasks.config import LoadedProject
from tasks.errors import InfrastructureError
from tasks.ledger import open_ledger
from tasks.registry import open_registry
from tests.conftest import make_rows
from tests.reports.reading import Page, read_page

STRANGE = "<script>alert(1)</script>'; DROP TABLE entries;--"
LATER = "2024-05-01"


@pytest.fixture
def shop(make_project: Callable[..., LoadedProject]) -> LoadedProject:
    """A project with a column and a value that want to be more than text, and two versions, the second champion."""
    rows = make_rows(1500, months=4).rename(columns={"count": STRANGE})
    rows["colour"] = rows["colour"].where(rows["colour"] != "red", f"{STRANGE}\u202e")
    project = make_project(
        {"rows.parquet": rows}, description=f"Who buys. {STRANGE}", gates={"champion": {"margin": 0.3}}
    )
    for number, overrides in enumerate(([], ["train.seed=8"]), 1):
        with open_workspace(str(project.path), LATER, overrides, "train") as workspace:
            trained = train_challenger(workspace, make_cut(workspace, None), f"key-{number}")
            assert trained.subject == str(number)
            settle_verdict(workspace, trained)
    return project


def read(project: LoadedProject, name: str) -> Page:
    return read_page((project.folder / "decisions" / name).read_text(encoding="utf-8"))


def list_artifacts(project: LoadedProject, version: int) -> dict[str, tuple[str, int]]:
    """The text of the pages in a version's run, and when each was written."""
    with open_ledger(project.home) as ledger:
        entry = ledger.latest(project.name, step="train", subject=str(version))
    assert entry is not None
    folder = project.home / "mlflow" / "artifacts" / entry.payload["run_id"] / "artifacts"
    names = ("decision.html", "model_card.html", "model_card.md")
    return {n: ((folder / n).read_text(encoding="utf-8"), (folder / n).stat().st_mtime_ns) for n in names}


def find_version(project: LoadedProject, version: int) -> Any:
    return open_registry(project.home).client().get_model_version(project.name, str(version))


def test_a_versions_pages_follow_what_is_decided_about_it(shop: LoadedProject) -> None:
    assert "Version 2 passed every gate and was released in place of version 1." in read(shop, "v2.html").text
    assert "Version 1 was released, and version 2 has taken over since." in read(shop, "v1.html").text
    assert "by the gates, run by" in read(shop, "v2.html").text
    for page in ("v1.html", "v2.html", "v1-card.html", "v2-card.html"):
        assert STRANGE in read(shop, page).text
    assert find_version(shop, 2).description.startswith("Version 2 passed every gate and was released")

    with open_workspace(str(shop.path), "now", [], "release", reads=False) as workspace:
        decide_by_hand(workspace, "rollback", None, "it sells nothing", False, 2)
    assert "Version 2 was rolled back: version 1 took its place again." in read(shop, "v2.html").text
    assert "it sells nothing" in read(shop, "v2.html").text.split("The ladder of gates")[0]
    assert "Version 1 was made champion again in place of version 2 by" in read(shop, "v1.html").text
    for version in (1, 2):
        paths = {"decision.html": f"v{version}.html", "model_card.html": f"v{version}-card.html"}
        paths["model_card.md"] = f"v{version}-card.md"
        for name, (text, _) in list_artifacts(shop, version).items():
            assert text == (shop.folder / "decisions" / paths[name]).read_text(encoding="utf-8")
    assert find_version(shop, 2).description.startswith("Version 2 was rolled back")

    _is_made_again_only_where_it_is_missing(shop)
    _is_named_on_the_runs_page(shop)


def _is_made_again_only_where_it_is_missing(shop: LoadedProject) -> None:
    folder = shop.folder / "decisions"
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    logged = list_artifacts(shop, 1), list_artifacts(shop, 2)
    with open_workspace(str(shop.path), "now", [], "publish", reads=False) as workspace:
        publish(workspace, 1)
        assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before
        assert (list_artifacts(shop, 1), list_artifacts(shop, 2)) == logged

        # Cut off between the files and the mark that stands for all of them.
        client = open_registry(shop.home).client()
        client.delete_model_version_tag(shop.name, "1", "trueup.pages")
        client.update_model_version(shop.name, "1", "half")
        (folder / "v1.html").write_text("half")
        publish(workspace, 1)
        assert "champion again" in read(shop, "v1.html").text
        again = list_artifacts(shop, 1)
        assert {n: text for n, (text, _) in again.items()} == {n: text for n, (text, _) in logged[0].items()}
        assert again["decision.html"][1] > logged[0]["decision.html"][1]
        assert find_version(shop, 1).description.startswith("Version 1 was made champion again")

        # What MLflow cannot take is an error of the stores; a version that was deleted there is none of ours.
        client.delete_model_version(shop.name, "2")
        publish(workspace, 2)
        client.delete_model_version_tag(shop.name, "1", "trueup.pages")
        _refuses_artifacts(shop, lambda: publish(workspace, 1))


def _refuses_artifacts(shop: LoadedProject, act: Callable[[], None]) -> None:
    with open_ledger(shop.home) as ledger:
        entry = ledger.latest(shop.name, step="train", subject="1")
    assert entry is not None
    artifacts = shop.home / "mlflow" / "artifacts" / entry.payload["run_id"] / "artifacts"
    artifacts.rename(artifacts.with_name("gone"))
    artifacts.write_text("no folder")
    with pytest.raises(InfrastructureError, match="cannot be written"):
        act()


def _is_named_on_the_runs_page(shop: LoadedProject) -> None:
    paths = page_paths(shop, 1)
    lines = _list_pages(paths, "MLflow run r (trueup ui shows it)")
    assert [line.split(":")[0] for line in lines] == ["Decision page", "Model card"]
    assert f"`{shop.folder / 'decisions' / 'v1.html'}`" in lines[0]
    link, _ = _list_pages(paths, "http://far/#/experiments/1/runs/r?workflowType=machine_learning")
    assert "[in MLflow](<http://far/#/experiments/1/runs/r/artifacts/decision.html>)" in link
    with open_ledger(shop.home) as ledger:
        decided = ledger.latest(shop.name, step="release")
    assert decided is not None
    told = describe_decision(decided, "shop: version 1 is champion again.", paths, "MLflow run r").split("\n\n")
    assert told[0] == "# shop: version 1 is champion again." and told[1].startswith("it sells nothing, decided by ")
    assert len(told) == 5 and told[-1] == "`MLflow run r`"
