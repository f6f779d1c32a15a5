"""Small flows to test the door to Prefect with, and a command line for those tests that need a process of its own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from flows.engine.artifacts import show_link, show_markdown, show_table
from flows.engine.launch import current_run_id, flow
from tasks.errors import DataError
from tasks.stage import stage


@stage("double")
def double(number: int) -> int:
    if number < 0:
        raise DataError(f"rows.csv: {number} is negative; expected a count.")
    return 2 * number


@flow(name="part")
def part(project: str, number: int) -> int:
    return double(number)


@flow(name="toy", run_name="toy {numbers}")
def toy(project: str, numbers: int = 3, seconds: float = 0.0, broken: bool = False) -> int:
    """Double numbers, one task run each."""
    total = sum(double(number) for number in range(numbers)) + part(project, 1)
    time.sleep(seconds)
    return total + (double(-1) if broken else 0)


@flow(name="show")
def show(project: str) -> str | None:
    show_markdown("Summary of it", "**done**", "What was done")
    show_table("gates", [{"gate": "size", "value": float("nan")}, {"gate": "speed", "value": 1.5}])
    show_table("nothing", [])
    show_link("page", "http://127.0.0.1/page", "The page")
    return current_run_id()


def write_project(folder: Path) -> str:
    """A project file that names a home; its data is never read. Returns its path."""
    path = folder / "configs" / "toy.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("name: toy\ndata: {source: none.csv, target: y}\n")
    return str(path)


def main() -> None:
    """Run `toy` with the parameters given as JSON; prints its result, and every address that was asked for."""
    asked: list[Any] = []
    sys.addaudithook(
        lambda event, args: asked.append(args) if event in ("socket.connect", "socket.getaddrinfo") else None
    )
    result = toy(**json.loads(sys.argv[1]))
    addresses = {str(args[1][0]) if isinstance(args[1], tuple) else str(args[0]) for args in asked}
    print(json.dumps({"result": result, "addresses": sorted(addresses)}))


if __name__ == "__main__":
    main()
