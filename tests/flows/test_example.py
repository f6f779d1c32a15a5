"""The rows that MLflow shows as an example of a model's input: of the same types, and of nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from flows.registration import NOT_SHOWN, make_example
from tasks.config.project import Data
from tasks.registry import save_model_files
from tasks.training.candidates import TRUSTED_TYPES
from tests.stats.people import make_people

PEOPLE = make_people(40)
ROWS = pd.DataFrame(
    {
        "mail": [None, *PEOPLE["email"][1:]],
        "phone": [int(p.replace("-", "")) for p in PEOPLE["phone"]],
        "card": [np.nan, *(float(c) for c in PEOPLE["card"][1:])],
        "ward": ["Ward Seven"] * 40,
        "born": pd.date_range("1950-01-01", periods=40, tz="UTC"),
        "seen": pd.date_range("2024-01-01", periods=40),
        "city": ["Ghent", "Nether Wallop", "Ghent", None, "Bruges"] * 8,
        "size": np.arange(40.0),
        "count": range(40),
        "member": [True, False] * 20,
        "asked": [True, None] * 20,
    }
)
ROWS.loc[11:, "city"] = "Ghent"  # Nether Wallop: 2 rows, Bruges: 2
STATED = Data(source="x", target="y", personal=("ward", "born", "member"), not_personal=())


def test_values_of_personal_columns_and_rare_texts_are_replaced() -> None:
    example = make_example(ROWS, STATED)
    assert len(example) == 5
    assert example["mail"].isna().tolist() == [True, False, False, False, False]
    assert set(example["mail"].dropna()) == set(example["ward"]) == {NOT_SHOWN}
    assert example["phone"].tolist() == [0] * 5 and example["card"].tolist()[1:] == [0.0] * 4
    assert example["born"].tolist() == [pd.Timestamp(0, tz="UTC")] * 5
    assert example["city"].fillna("").tolist() == ["Ghent", NOT_SHOWN, "Ghent", "", NOT_SHOWN]
    for name in ("size", "count", "seen", "asked"):
        pd.testing.assert_series_equal(example[name], ROWS[name].head(5))
    assert example.dtypes.to_dict() == ROWS.dtypes.to_dict()


def test_the_project_file_takes_columns_away_and_nothing_else_is_changed() -> None:
    cleared = Data(source="x", target="y", not_personal=("phone", "card"))
    example = make_example(ROWS, cleared)
    pd.testing.assert_frame_equal(example[["phone", "card", "born"]], ROWS[["phone", "card", "born"]].head(5))
    assert set(make_example(ROWS)["ward"]) == {"Ward Seven"}  # what only the project file knows, it has to say


def test_the_signature_is_that_of_the_rows(tmp_path: Path) -> None:
    features = ["mail", "city", "size", "count", "phone", "member"]
    rows = ROWS[features]
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["mail", "city"]), remainder="passthrough"),
        Ridge(),
    ).fit(rows, rows["size"])
    kept = {}
    for name, example in (("raw", rows.head(5)), ("shown", make_example(rows))):
        stored = save_model_files(
            model, tmp_path / name, input_example=example, pip_requirements=[], trusted_types=TRUSTED_TYPES
        )
        described = yaml.safe_load((stored.path / "MLmodel").read_text())
        kept[name] = described["signature"]["inputs"]
        files = [p for p in stored.path.iterdir() if "example" in p.name]
        assert files
        text = "".join(p.read_text() for p in files)
        assert ("@mail" in text, "Nether Wallop" in text) == (name == "raw", name == "raw")
    assert kept["raw"] == kept["shown"]
