"""A home with a history: two champions, two versions that never were, a corrected delivery, a training cut off.

Made once per process; every test takes a copy, and puts it anywhere: a home may be moved.
"""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.flows.turns import write_shop

AS_OF = "2024-05-01"
SEED = ["train.seed=8"]
HELD = ["gates.champion.margin=0.001"]


@dataclass(frozen=True)
class History:
    """A project file and a home of it. Versions 1 and 4 were champions, 2 was held and 3 rejected."""

    shop: str
    home: Path

    @property
    def registry(self) -> Any:
        from tasks.registry import open_registry

        return open_registry(self.home)

    def due(self) -> tuple[Any, ...]:
        """What a turn would do now."""
        from flows.preview import preview_turn

        return preview_turn(self.shop, AS_OF, SEED).due

    def verify(self) -> bool:
        """Whether the ledger's chain holds, against the head noted in MLflow too."""
        from tasks.ledger import Head, open_ledger
        from tasks.registry import read_head

        noted = read_head(self.registry, "shop")
        assert noted is not None
        with open_ledger(self.home) as ledger:
            return ledger.verify("shop", Head(*noted)).holds

    def score_by_mlflow(self) -> None:
        """The champion as MLflow loads it by its alias predicts what stands in the newest predictions."""
        import mlflow
        import numpy as np

        from tasks.ledger import open_ledger

        with open_ledger(self.home) as ledger:
            entry, champion = ledger.latest("shop", "score"), ledger.champion("shop")
        assert entry is not None and champion is not None and entry.payload["version"] == champion.version
        scored = pd.read_parquet(self.home / entry.payload["path"]).set_index("row_id")
        rows = pd.read_parquet(Path(self.shop).parents[1] / "tables" / "rows.parquet").set_index("key")
        mlflow.set_tracking_uri(f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}")
        try:
            served = mlflow.pyfunc.load_model("models:/shop@champion")
        finally:
            mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
        found = served.predict(rows.loc[scored.index, ["size", "count", "colour", "member"]])
        assert np.allclose(found[:, 1], scored["probability"], rtol=0, atol=1e-12)


@functools.cache
def make_history(root: Path, migrated: Path | None = None) -> History:
    """Build it below `root`; what is made is only read afterwards. `migrated` is a home with a Prefect database."""
    from flows.release import release
    from flows.run import run
    from flows.score import score
    from flows.train import train

    shop, home = write_shop(root / "work"), root / "home"
    if migrated is not None:
        shutil.copytree(migrated, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_HOME", str(home))
        assert run(shop, "2024-04-01").outcome == "done"
        assert [train(shop, "2024-04-01", overrides=[*HELD, f"train.seed={seed}"]) for seed in (11, 12)] == [2, 3]
        # Else it is looked at again when labels come.
        release(shop, action="reject", reason="the first one is good enough", version=3)
        run(shop, AS_OF, SEED)
        table = root / "work" / "tables" / "rows.parquet"
        rows = pd.read_parquet(table)
        rows.loc[rows.index[-1], "size"] += 0.25
        rows.to_parquet(table)
        score(shop, AS_OF, overrides=SEED)
        run(shop, AS_OF, SEED)
        _cut_off_a_training(home)
    return History(shop, home)


def copy_history(made: History, home: Path) -> History:
    """The same in a home of its own."""
    shutil.copytree(made.home, home)
    return History(made.shop, home)


def _cut_off_a_training(home: Path) -> None:
    """What a training leaves that is killed after it logged its model and before it registered a version."""
    from tasks.registry import open_registry

    registry = open_registry(home)
    client, experiment = registry.client(), registry.experiment("shop")
    tags = {"trueup.kind": "training", "trueup.project": "shop"}
    run = client.create_run(experiment, tags=tags).info.run_id
    client.log_text(run, "text", "project.yaml")
    model = client.create_logged_model(experiment, name="model", source_run_id=run)
    folder = home / "unfinished"
    folder.mkdir()
    (folder / "MLmodel").write_text("half")
    client.log_model_artifacts(model.model_id, str(folder))
    client.set_terminated(run, "KILLED")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> History:
    return make_history(tmp_path_factory.getbasetemp() / "history", migrated)


@pytest.fixture
def history(made: History, tmp_path: Path) -> History:
    """A copy in the home that commands use."""
    return copy_history(made, tmp_path / "home")
