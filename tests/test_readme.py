"""The README is true: its commands are run as they stand, in its order, on the example thinned to a tenth."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    language: str
    text: str
    elsewhere: bool  # needs servers that stay up, or other data; the test that runs it is named in the README


def read_blocks() -> Iterator[Block]:
    for found in re.finditer(r"(<!-- (?:servers|elsewhere): (\S+) [^>]*-->\n)?^```(\w+)\n(.*?)^```", TEXT, re.M | re.S):
        if found[2]:
            assert (ROOT / found[2]).is_file(), f"{found[2]} is named in the README and is not there"
        yield Block(found[3], found[4], bool(found[1]))


BLOCKS = list(read_blocks())


def make_place(folder: Path) -> None:
    """The example with a tenth of its rows, so that commands are quick; contract and project file as they are but
    for the number of rows."""
    (folder / "configs").mkdir()
    (folder / "data" / "flights").mkdir(parents=True)
    (folder / "tables").mkdir()
    for path in sorted((ROOT / "data" / "flights").glob("2013-0[1-7].parquet")):
        pd.read_parquet(path).sample(frac=0.1, random_state=1).to_parquet(folder / "data" / "flights" / path.name)
    (folder / "configs" / "flights.yaml").write_text((ROOT / "configs" / "flights.yaml").read_text())
    contract = (ROOT / "configs" / "flights.contract.yaml").read_text()
    assert "min: 20000, max: 40000" in contract
    (folder / "configs" / "flights.contract.yaml").write_text(contract.replace("min: 20000, max: 40000", "min: 2000"))
    rng = np.random.default_rng(0)
    rows = 1_500
    amount = rng.lognormal(3, 1, rows)
    pd.DataFrame(
        {
            "order_id": [f"o{i}" for i in range(rows)],
            "ordered_at": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(rng.random(rows)) * 150, unit="D"),
            "amount": amount.round(2),
            "country": rng.choice(["DE", "FR", "US"], rows),
            "refund": 0.0,
            "returned": rng.random(rows) < 1 / (1 + np.exp(2.5 - amount / 20)),
        }
    ).to_csv(folder / "tables" / "orders.csv", index=False)


def test_every_command_of_the_readme_works(tmp_path: Path) -> None:
    make_place(tmp_path)
    environment = {k: v for k, v in os.environ.items() if k != "TRUEUP_HOME"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    ran = []
    yamls = iter(["orders.yaml", "orders.yaml", "orders.contract.yaml"])
    for block in BLOCKS:
        if block.elsewhere:
            continue
        if block.language == "yaml":
            (tmp_path / "configs" / next(yamls)).write_text(block.text)
        elif block.language == "python":
            ran.append(run([sys.executable, "-c", block.text], tmp_path, environment))
        elif block.language == "bash" and "make " not in block.text:
            ran.append(run(["bash", "-e", "-c", block.text], tmp_path, environment))
    assert next(yamls, None) is None
    assert len(ran) == 3
    assert "orders as of 2024-04-01" in ran[-1]
    assert "is champion" in ran[-1]
    assert "validated  2024-04" in ran[-1], "the second command goes on to the next batch"


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1000)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)$", TEXT, re.M))
def test_every_make_target_of_the_readme_exists(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_readme_names_what_is_there() -> None:
    for path in re.findall(r"`((?:tests|tasks|flows|data|configs)/[\w./-]+)`", TEXT):
        if "orders" not in path:
            assert (ROOT / path).exists(), path
    help_text = subprocess.run(
        [sys.executable, "-m", "flows", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for command in {c for c in re.findall(r"`?trueup (\w+)", TEXT) if c.islower()} - {"takes", "and", "has"}:
        assert command in help_text, command
