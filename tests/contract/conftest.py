"""A project, a contract and a batch, made from a few values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tasks.config import LoadedProject, load_project
from tasks.contract.check import check_batch
from tasks.contract.suite import ContractSpec, load_contract
from tasks.results import ContractResult, RuleResult
from tasks.table import Schema, TableRef, infer_schema

NOW = datetime(2024, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Checked:
    """A check's result with a way to ask for a rule by its name."""

    result: ContractResult
    project: LoadedProject
    contract: ContractSpec
    table: TableRef

    def rule(self, name: str) -> RuleResult:
        found = [r for r in self.result.rules if r.name == name]
        assert len(found) == 1, f"{name!r} is not one of {[r.name for r in self.result.rules]}"
        return found[0]

    def broken(self) -> list[str]:
        return [r.name for r in self.result.rules if not r.passed]

    def quarantined(self) -> dict[int, list[str]]:
        if self.result.quarantine is None:
            return {}
        frame = pd.read_parquet(self.result.quarantine)
        return {int(row): list(rules) for row, rules in zip(frame["_row"], frame["_rules"], strict=True)}


class World:
    """Makes projects, contracts and batches under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "configs").mkdir()

    def project(self, rules: Any = None, text: str | None = None, **spec: Any) -> LoadedProject:
        data = {"source": "x.parquet", "target": "y", **spec.pop("data", {})}
        path = self.folder / "configs" / "toy.yaml"
        path.write_text(yaml.safe_dump({"name": "toy", "data": data, **spec}))
        if rules is not None or text is not None:
            body = yaml.safe_dump(rules, sort_keys=False) if text is None else text
            (self.folder / "configs" / "toy.contract.yaml").write_text(body, encoding="utf-8")
        return load_project(str(path))

    def table(self, *frames: Any, batch: str = "b", **more: Any) -> TableRef:
        files, schema = [], Schema(())
        for number, frame in enumerate(frames):
            path = self.folder / f"part-{number}.{'csv' if isinstance(frame, str) else 'parquet'}"
            if isinstance(frame, str):
                path.write_text(frame)
            else:
                pd.DataFrame(frame).to_parquet(path)
            files.append(str(path))
            schema = schema.united(infer_schema(str(path)))
        return TableRef(batch=batch, files=tuple(files), schema=schema, target="y", **more)

    def check(
        self,
        rules: Any,
        *frames: Any,
        data: dict[str, Any] | None = None,
        table: dict[str, Any] | None = None,
        max_quarantine: float = 1.0,
        label_expected: bool = True,
        **more: Any,
    ) -> Checked:
        project = self.project(rules, data=data or {}, contract={"max_quarantine": max_quarantine})
        spec = load_contract(project)
        ref = self.table(*frames, **{"time": (data or {}).get("time"), **(table or {})})
        return Checked(
            check_batch(project, spec, ref, label_expected=label_expected, **{"now": NOW, **more}), project, spec, ref
        )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / "home"))
    return World(tmp_path)


Check = Callable[..., Checked]


@pytest.fixture
def check(world: World) -> Check:
    return world.check
