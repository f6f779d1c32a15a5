"""Evidently's pictures: drawn from hostile columns, never doubled, and an extra whose failure costs nothing."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.config import LoadedProject, load_project
from tasks.monitoring.reference import RoleNames
from tasks.monitoring.report import PANELS, draw_window
from tasks.monitoring.window import _draw
from tasks.results import MetricValue, Window
from tests.stats.people import make_people

HOSTILE = "</script><script>alert(1)</script>"
CLASSES = ("<no>", "yes")


def make_project(folder: Path) -> LoadedProject:
    (folder / "configs").mkdir()
    path = folder / "configs" / "shop.yaml"
    path.write_text("name: shop\ndata: {source: rows.parquet, target: bought}\nmonitor: {max_categories: 5}\n")
    return load_project(path)


def make_rows(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    p = random.random(rows)
    return pd.DataFrame(
        {
            HOSTILE: random.normal(size=rows),
            "": random.choice(["a", HOSTILE], rows),
            "prediction": np.where(random.random(rows) < 0.01, np.inf, random.normal(size=rows)),
            "flag": random.random(rows) < 0.5,
            "same": 3.0,
            "whole": pd.array(random.integers(0, 9, rows), "Int64"),
            "empty": np.nan,
            "when": pd.Timestamp("2013-01-01") + pd.to_timedelta(random.integers(0, 10**6, rows), unit="s"),
            "person": [f"person {i}" for i in random.integers(0, 10**9, rows)],
            "levels": random.choice([f"level {i}" for i in range(12)], rows, p=[0.2] * 4 + [0.025] * 8),
            "trueup: rows": random.normal(size=rows),
            "target": np.where(random.random(rows) < p, "yes", "<no>"),
            "prediction_": np.where(p > 0.5, "yes", "<no>"),
            "probability": p,
        }
    )


FEATURES = tuple(make_rows(1, 0))[:-3]


def make_window(batch: str = "2013-04", rows: int = 4_000) -> Window:
    value = MetricValue("average_precision", 0.7, 0.6, 0.8, 0.95, True, "x")
    return Window(
        batch=batch,
        version=3,
        health="drifting",
        sentence="<b>1</b> column drifted",
        action="watch",
        rows=rows,
        labelled=3_000,
        metrics={},
        drift=dict.fromkeys(FEATURES, 0.1),
        promised={"average_precision": 0.75},
        performance=(value,),
        end=datetime(2013, 5, 1, tzinfo=UTC),
    )


def draw(project: LoadedProject, window: Window, rows: int = 400) -> tuple[Path, tuple[str, ...]]:
    picture = draw_window(
        project, window, reference=make_rows(400, 1), sample=make_rows(rows, 2), features=FEATURES, task="binary",
        classes=CLASSES,
    )  # fmt: skip
    assert picture.numbers.is_file()
    return picture.page, picture.left_out


def test_a_window_is_drawn_and_stands_in_the_workspace_once(tmp_path: Path) -> None:
    assert RoleNames.beside(FEATURES) == RoleNames("target", "prediction_", "probability")
    project = make_project(tmp_path)
    page, left_out = draw(project, make_window())
    text = page.read_text()
    assert "<script>alert" not in text
    assert "person 1" not in text
    assert "&lt;b&gt;1&lt;/b&gt; column drifted" in text
    assert "Pictures: 400 of 4,000 rows, spread evenly over them; numbers of record: all rows." in text
    assert set(left_out) == {
        "'empty': no value in the reference",
        "'when': a time",
        "'person': too many different values to draw",
    }
    names = {m["config"].get("column") for m in json.loads(page.with_suffix(".json").read_text())["metrics"]}
    assert {"whole", "flag", "(no name)", "_trueup: rows"} <= names
    assert "level 0" in text  # the five most frequent have a name
    assert sum(f"level {i}" in text for i in range(4, 12)) == 1

    again, _ = draw(project, make_window(rows=5_000))
    draw(project, make_window("2013-05 </script>"))
    assert again == page

    from evidently.ui.workspace import Workspace

    workspace = Workspace(str(project.home / "evidently"))
    (own,) = workspace.list_projects()
    assert own.name == "shop"
    runs = [workspace.get_run(own.id, run) for run in workspace.list_runs(own.id)]
    assert sorted(run.tags[0] for run in runs) == ["2013-04", "2013-05 (/script)"]
    april = next(run for run in runs if run.tags == ["2013-04"])
    assert april.timestamp == datetime(2013, 5, 1, tzinfo=UTC)
    numbers = {
        r.metric_value_location.metric.params["column"]: r.value
        for r in april.metric_results.values()
        if r.metric_value_location.metric.params.get("column", "").startswith("trueup: ")
    }
    assert numbers == {
        "trueup: rows": 5_000, "trueup: rows with a known label": 3_000, "trueup: columns drifted": 0,
        "trueup: columns watched": len(FEATURES), "trueup: realised": 0.7,
        "trueup: lower end": 0.6, "trueup: upper end": 0.8, "trueup: promised": 0.75,
    }  # fmt: skip
    assert [panel.title for panel in own.dashboard.model().panels] == list(PANELS)
    assert not list((project.home).rglob("*.tmp"))
    assert not list((project.home / "evidently").glob(".new-*"))


def test_two_at_once_make_one_project(tmp_path: Path) -> None:
    from tasks.monitoring.report import _add_to_workspace

    project = make_project(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(_add_to_workspace, project, str(i), {"metric_results": {}}, {"metric_results": {}})
                     for i in range(8)]:  # fmt: skip
            done.result()
    (folder,) = (project.home / "evidently").iterdir()
    assert len(list((folder / "snapshots").iterdir())) == 8
    assert json.loads((folder / "dashboard.json").read_text())["panels"]


def test_a_picture_that_fails_costs_no_verdict(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    project = make_project(tmp_path)
    nothing = pd.DataFrame({"x": [np.nan] * 3})
    with caplog.at_level(logging.INFO):
        window = _draw(make_window(), project, nothing, nothing, ("x",), "binary", CLASSES)
    assert (window.health, window.report) == ("drifting", None)
    assert window.notes[0].startswith("Evidently drew no picture: ")
    assert "Evidently drew no picture" in caplog.text


def test_evidently_is_imported_only_to_draw() -> None:
    code = "import sys, tasks.monitoring.window, tasks.monitoring.report; sys.exit('evidently' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_no_personal_column_and_no_rare_text_is_in_a_picture(tmp_path: Path) -> None:
    """Nor in its numbers or the workspace: those that look so, those that the project file names, rare class labels."""
    project = make_project(tmp_path)
    path = project.path
    path.write_text(path.read_text().replace("bought}", "bought, personal: [ward, shoe], not_personal: [last_name]}"))
    project = load_project(path)

    def make(seed: int) -> pd.DataFrame:
        people = make_people(300, seed)
        random = np.random.default_rng(seed)
        label = random.choice(["gold", "silver", "lead"], 300).astype(object)
        label[:2] = f"Zebedee {seed} Quux"  # rare where the other sample has other such
        return pd.DataFrame(
            {
                "mail": people["email"],
                "phone": [int(p.replace("-", "")) for p in people["phone"]],
                "card": [float(c) for c in people["card"]],
                "ssn": people["ssn"],
                "full_name": people["name"],
                "last_name": random.choice(["Meyer", "Brown", "Novak", "Smith", "Garcia"], 300),
                "ward": random.choice(["Ward Seven", "Ward Eight"], 300),
                "shoe": random.choice([41.125, 42.625], 300),
                "town": ["Nether Wallop"] * 2 + ["Ghent"] * 200 + ["Bruges"] * 98,
                "size": random.normal(size=300),
                "target": label,
                "prediction": np.where(random.random(300) < 0.8, label, "lead"),
            }
        )

    reference, sample = make(1), make(2)
    reference.loc[0, "prediction"] = sample.loc[0, "prediction"] = "gold"
    features = list(reference)[:-2]
    window = replace(make_window(), drift=dict.fromkeys(features, 0.1))
    picture = draw_window(
        project, window, reference=reference, sample=sample, features=features, task="multiclass",
        classes=("gold", "lead", "silver", "Zebedee 1 Quux", "Zebedee 2 Quux"),
    )  # fmt: skip
    assert set(picture.left_out) == {
        "'mail': e-mail addresses",
        "'phone': phone numbers",
        "'card': payment-card numbers",
        "'ssn': US social-security numbers",
        "'full_name': names of people",
        "'ward': personal data, as the project file says",
        "'shoe': personal data, as the project file says",
    }
    files = [f for f in (*picture.page.parent.iterdir(), *(project.home / "evidently").rglob("*")) if f.is_file()]
    assert len(files) >= 4
    hidden = [c for c in features if c not in ("last_name", "town", "size")]
    values = {str(v) for side in (reference, sample) for c in hidden for v in side[c]} | {"Nether Wallop", "Zebedee"}
    values |= {str(int(v)) for side in (reference, sample) for v in side["card"]}
    for file in files:
        text = file.read_text()
        assert not [v for v in values if v in text], file
    page = picture.page.read_text()
    assert "Confusion Matrix" in page and "silver" in page and "Bruges" in page and "Meyer" in page


def test_a_class_label_that_names_a_person_is_left_out_with_the_predictions_of_it(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    rows = make_rows(300, 1).drop(columns=[HOSTILE, ""])
    labels = np.where(rows["target"] == "yes", "ann@mail.example", "bob@mail.example")
    rows = rows.assign(target=labels, prediction_=labels)
    picture = draw_window(
        project, make_window(), reference=rows, sample=rows, features=list(rows)[:-3], task="binary",
        classes=("ann@mail.example", "bob@mail.example"),
    )  # fmt: skip
    assert {"'target': e-mail addresses", "'prediction_': e-mail addresses"} <= set(picture.left_out)
    assert "mail.example" not in picture.page.read_text() + picture.numbers.read_text()
