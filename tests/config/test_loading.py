"""The project file: defaults, overrides, and errors that say what to do."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tasks.config import Project, json_schema, load_project
from tasks.config.monitoring import Monitor
from tasks.config.retraining import Retrain
from tasks.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
LABELLED = "name: shop\ndata: {source: a.csv, target: y, labels: "
SMALLEST = "name: shop\ndata: {source: shop.csv, target: bought}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "shop.yaml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_project(write(folder, text), overrides)
    return str(caught.value)


def test_three_keys_are_enough(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, SMALLEST))
    assert (project.spec.data.cut, project.spec.split_how, project.root) == ("all", "random", tmp_path)


def test_the_shipped_example_is_valid() -> None:
    project = load_project(ROOT / "configs" / "flights.yaml")
    assert project.root == ROOT
    assert project.spec.data.label_delay == timedelta(days=1)
    assert project.spec.contract.max_quarantine == 0.02
    assert {"dep_delay", "arr_delay"} <= project.spec.data.not_features


def test_a_name_is_found_in_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "shop.yaml").write_text(SMALLEST)
    monkeypatch.chdir(tmp_path)
    assert load_project("shop").root == tmp_path
    with pytest.raises(ConfigError, match=r"Did you mean 'shop'\?"):
        load_project("shpo")


def test_overrides_are_validated_like_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, SMALLEST)
    project = load_project(path, ["train.search.trials=5", "split.test=10%", "promotion=manual"])
    assert (project.spec.train.search.trials, project.spec.split.test, project.spec.promotion) == (5, 0.1, "manual")
    assert "found 'many'" in refusal(tmp_path, SMALLEST, "train.search.trials=many")
    assert "expected key.path=value" in refusal(tmp_path, SMALLEST, "trials")
    assert "holds a value" in refusal(tmp_path, SMALLEST, "name.first=x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: shop\ndata: {source: a.csv, target: y}\ntrian: {}\n", "trian: unknown key. Did you mean 'train'?"),
        ("name: shop\ndata: {source: a.csv, taget: y}\n", "data.taget: unknown key. Did you mean 'target'?"),
        ("name: shop\ndata: {source: a.csv}\n", "data.target: this key is required"),
        (SMALLEST + "train: {search: {trials: five}}\n", "train.search.trials: expected a valid integer"),
        (SMALLEST + "train: {search: {trials: 0}}\n", "train.search.trials: expected greater than or equal to 1"),
        (SMALLEST + "contract: {max_quarantine: 200%}\n", "contract.max_quarantine"),
        (SMALLEST + "split: {how: time}\n", "split.how: time needs data.time"),
        ("name: Shop Floor\ndata: {source: a.csv, target: y}\n", "name: "),
        ("name: shop\ndata: {source: a.csv, target: y, batch: day}\n", "batch: day needs a time column"),
        ("name: shop\ndata: {source: a.csv, target: y, timezone: Mars/Olympus}\n", "IANA time zone"),
        ("name: shop\ndata: {source: a.csv, target: y, label_delay: soon}\n", "a duration such as"),
        ("name: shop\ndata: {source: a.csv, target: y, exclude: [y]}\n", "also in exclude"),
        (LABELLED + "{source: l.csv}}\n", "labels are joined by id; set data.id"),
        (
            LABELLED + "{source: l.csv, query: SELECT 1}, id: k}\n",
            "source (files) or query (SQL), one of the two; found both",
        ),
        (LABELLED + "{time: said}, id: k}\n", "one of the two; found neither"),
        (LABELLED + "{source: l.csv, time_format: '%Y'}, id: k}\n", "time_format says how time is written"),
        (LABELLED + "{source: l.csv, label: k}, id: k}\n", "id, label and time are columns of their own"),
        (
            LABELLED + "{query: SELECT 1, url: x}, id: k}\n",
            "data.labels.url: unknown key. Known here: source, query, id",
        ),
        ("- a\n- b\n", "found a list"),
        ("name: [\n", "not valid YAML"),
        ("", "found nothing"),
    ],
)
def test_an_error_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    message = refusal(tmp_path, text)
    assert said in message
    assert "shop.yaml" in message


def test_the_schema_describes_every_key() -> None:
    schema = json_schema()
    undescribed = [
        f"{section}.{name}"
        for section, part in schema["$defs"].items()
        for name, field in part.get("properties", {}).items()
        if "$ref" not in field and "description" not in field
    ]
    assert undescribed == []


def test_the_sections_that_the_readme_shows_are_read() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"test_loading\.py reads it -->\n```yaml\n(.*?)^```", text, re.M | re.S)
    merged: dict[str, Any] = {"name": "shop", "data": {"source": "x.csv", "target": "y", "id": "key"}}
    for section in shown:
        for key, value in yaml.safe_load(section).items():
            merged[key] = {**merged.get(key, {}), **value}
    project = Project.model_validate(merged)
    assert (project.monitor.persistence, project.monitor.segments) == ("1 of 1", ("origin",))
    assert project.data.labels is not None and len(shown) == 3
    assert project.retrain == Retrain(), "the README shows the defaults"


@pytest.mark.parametrize("asked", ["2 per quarter", "5% of windows", "0.5 per year"])
def test_budgets_that_are_read(asked: str) -> None:
    assert Monitor.model_validate({"false_alarms": asked}).false_alarms == asked.removesuffix(" of windows")


@pytest.mark.parametrize(
    "section", [{"false_alarms": "often"}, {"false_alarms": "90%"}, {"persistence": "3 of 2"}, {"persistence": True}]
)
def test_budgets_that_are_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="is expected"):
        Monitor.model_validate(section)
