"""Pictures are made for what is there, and no feature name can break or blow them up."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.evaluation.challenger import evaluate_test_rows
from tasks.evaluation.curves import draw_curves
from tasks.evaluation.plots import NAME_LENGTH, draw_plots, plain_name
from tasks.results import Evaluation
from tests.evaluation.rows import fit_model, make_frame, make_several, make_spec, make_split, make_values

HOSTILE = (
    "$x^{$",
    "a$b$c",
    "\\frac{",
    "<script>alert(1)</script>",
    "../../etc",
    "日本",
    "😀",
    "line\nbreak",
    "x" * 10_000,
    "",
    "\ud800",
)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    frame = make_frame()
    split = make_split(frame)
    return evaluate_test_rows(fit_model(frame, split), frame, split, make_spec())


def size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    return struct.unpack(">II", head[16:24])


def test_each_curve_has_its_picture(evaluation: Evaluation, tmp_path: Path) -> None:
    made = draw_plots(evaluation, tmp_path / "new" / "plots")
    assert [p.name for p in made] == ["roc.png", "precision_recall.png", "calibration.png", "importance.png"]
    assert all(size(p)[0] == 640 for p in made)


def test_several_classes_have_their_pictures(tmp_path: Path) -> None:
    frame = make_several()
    split = make_split(frame)
    evaluation = evaluate_test_rows(fit_model(frame, split, metric="log_loss"), frame, split, make_spec())
    made = draw_plots(evaluation, tmp_path)
    names = ["roc.png", "precision_recall.png", "calibration.png", "confusion.png", "importance.png"]
    assert [p.name for p in made] == names
    assert all(size(p)[0] > 400 for p in made)


def test_a_regression_has_its_pictures(tmp_path: Path) -> None:
    frame = make_values()
    split = make_split(frame)
    evaluation = evaluate_test_rows(fit_model(frame, split, metric="mae"), frame, split, make_spec())
    assert [p.name for p in draw_plots(evaluation, tmp_path)] == ["quantiles.png", "residuals.png", "importance.png"]


@pytest.mark.filterwarnings("error")
def test_hostile_classes_are_drawn_as_text(evaluation: Evaluation, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = (*HOSTILE, "_hidden")
    prediction = rng.dirichlet(np.ones(len(names)), 600)
    curves = draw_curves(rng.integers(0, len(names), 600), prediction, "multiclass", names)
    made = draw_plots(replace(evaluation, curves=curves, importance={}), tmp_path)
    assert len(made) == 4
    assert all(max(size(p)) <= 1200 for p in made)


def test_an_evaluation_without_curves_has_no_picture(evaluation: Evaluation, tmp_path: Path) -> None:
    assert draw_plots(replace(evaluation, curves={}, importance={}), tmp_path) == []


@pytest.mark.filterwarnings("error")
def test_hostile_names_are_drawn_as_text(evaluation: Evaluation, tmp_path: Path) -> None:
    hostile = {name: 0.1 / (i + 1) for i, name in enumerate(HOSTILE)} | {"nan": float("nan")}
    (path,) = draw_plots(replace(evaluation, curves={}, importance=hostile), tmp_path)
    width, height = size(path)
    assert width <= 700
    assert height <= 1000
    assert [p.name for p in tmp_path.iterdir()] == ["importance.png"]


def test_many_features_make_no_endless_picture(evaluation: Evaluation, tmp_path: Path) -> None:
    many = {f"feature {i}": 1 / (i + 1) for i in range(2000)}
    (path,) = draw_plots(replace(evaluation, curves={}, importance=many), tmp_path)
    assert size(path)[1] <= 1000


@pytest.mark.parametrize("name", HOSTILE)
def test_a_plain_name_is_short_and_printable(name: str) -> None:
    plain = plain_name(name)
    assert 0 < len(plain) <= NAME_LENGTH
    assert plain.isprintable()
