"""A stage's arguments reach it as they are, unread by Prefect, and the run's graph still knows where they come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.engine.launch import flow
from tasks.stage import stage

pytestmark = pytest.mark.server
Ask = Callable[[str], list[tuple[Any, ...]]]


class Rows(list[int]):
    """A list that knows how often it was read."""

    read = 0

    def __iter__(self) -> Iterator[int]:
        type(self).read += 1
        return super().__iter__()


@stage("make")
def make() -> dict[str, int]:
    return {"made": 1}


@stage("take")
def take(rows: Rows, made: dict[str, int], *, more: dict[str, Rows]) -> tuple[int, int, int]:
    return id(rows), id(made), id(more["rows"])


@flow(name="stages")
def stages(project: str) -> bool:
    rows, made = Rows([1, 2, 3]), make()
    return take(rows, made, more={"rows": rows}) == (id(rows), id(made), id(rows))


def test_prefect_does_not_look_into_what_a_stage_is_given(project: str, home: Path, ask: Ask) -> None:
    assert stages(project), "an argument was copied"
    assert Rows.read == 0, "an argument was walked over, element by element"
    inputs = dict(ask("SELECT name, task_inputs FROM task_run"))
    (taken,) = (json.loads(found) for name, found in inputs.items() if name.startswith("take"))
    ((maker,),) = ask("SELECT id FROM task_run WHERE name LIKE 'make%'")
    assert [str(one["id"]).replace("-", "") for one in taken["made"]] == [str(maker).replace("-", "")]
    assert taken["rows"] == taken["more"] == []
