"""Windows over the months of one champion: what is natural is learned, a fault is named, a drift is one alarm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows import monitor as monitoring
from flows.run import run
from flows.show import describe_window
from tasks.ledger import Entry, open_ledger
from tasks.monitoring.past import PastWindow
from tasks.monitoring.profile import LABEL, PREDICTION, Profile
from tests.conftest import MakeProject, make_rows
from tests.flows.test_show import render

MONTHS = [f"2024-{m:02d}" for m in range(1, 9)]


def delivered() -> dict[str, pd.DataFrame]:
    """Eight months of 300 rows: sizes in another unit in June, another population from July on."""
    rows = make_rows(rows=2_400, months=8, seed=3)
    month = rows["at"].dt.strftime("%Y-%m")
    rows["price"] = np.random.default_rng(5).lognormal(3, 0.4, len(rows))
    rows.loc[month == "2024-06", "price"] *= 100
    rows.loc[month >= "2024-07", "count"] += 40
    return {f"{key}.parquet": part for key, part in rows.groupby(month)}


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Entry]:
    """The newest entry of each window after a first turn over four months and one over all."""
    folder = tmp_path_factory.mktemp("watching")
    make: MakeProject = _maker(folder)
    project = make(delivered(), data={"batch": "month"}, monitor={"segments": ["colour"], "false_alarms": "10%"})
    patch = pytest.MonkeyPatch()
    patch.setenv("TRUEUP_HOME", str(folder / "home"))
    patch.setattr(monitoring, "show_window", lambda workspace, window: _PAGES.append(describe_window(window)))
    try:
        run(str(project.path), "2024-05-01")
        run(str(project.path), "2024-10-01")
        with open_ledger(folder / "home") as ledger:
            return ledger.by_subject(project.name, "monitor")
    finally:
        patch.undo()


_PAGES: list[str] = []


def _maker(folder: Path) -> MakeProject:
    from tests.conftest import make_project

    return make_project.__wrapped__(folder)  # type: ignore[attr-defined,no-any-return]


def trace_of(windows: Mapping[str, Entry], key: str) -> PastWindow:
    return PastWindow.from_plain(windows[key].payload["trace"])


def test_windows_are_compared_with_those_before(windows: Mapping[str, Entry]) -> None:
    assert list(windows) == MONTHS[3:]
    promises = {key: windows[key].payload["promise"] for key in windows}
    assert "with 3 comparable past windows" in promises["2024-04"]
    assert "with 4 comparable past windows" in promises["2024-05"]
    # June was broken, and is none to compare with.
    assert "with 5 comparable past windows" in promises["2024-07"]
    assert "of 9" in windows["2024-07"].reason or "9" in promises["2024-07"]


def test_a_month_like_the_others_is_healthy(windows: Mapping[str, Entry]) -> None:
    assert [windows[key].outcome for key in ("2024-04", "2024-05")] == ["healthy", "healthy"]
    assert not windows["2024-05"].payload["alarm"]


def test_another_unit_is_broken_and_named(windows: Mapping[str, Entry]) -> None:
    june = windows["2024-06"]
    assert (june.outcome, june.payload["action"], june.payload["cause"]) == ("broken", "fix upstream", "unit 'price'")
    assert "'price' is multiplied by 100, as wholes to hundredths" in june.reason


def test_a_drift_that_stays_is_one_alarm(windows: Mapping[str, Entry]) -> None:
    july, august = windows["2024-07"], windows["2024-08"]
    assert "count" in july.payload["trace"]["drifted"]
    assert (july.payload["trace"]["signal"], august.payload["trace"]["signal"]) == ("alarm", "continues")
    assert july.payload["alarm"] and not august.payload["alarm"]
    assert july.payload["cause"] == august.payload["cause"]
    assert "1 alarm in 5 windows" in august.payload["realised"]  # June was broken, and that is none about drift
    assert "since 2024-07: " in august.reason


def test_what_is_kept_of_a_window_reads_back(windows: Mapping[str, Entry]) -> None:
    trace = trace_of(windows, "2024-05")
    assert trace.to_plain() == windows["2024-05"].payload["trace"]
    assert {"size", "price", PREDICTION, LABEL, "colour=red: size"} <= set(trace.distances)


def test_the_page_in_prefect_says_what_is_promised_and_where_it_sits(windows: Mapping[str, Entry]) -> None:
    page = render(_PAGES[-1])
    assert "<strong>False alarms:</strong> learning: " in page
    assert "estimated without labels" in page and "How long labels take" in page
    assert "Where it sits" in page and "colour=" in page


def test_a_profile_of_an_earlier_form_costs_no_turn(
    make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_HOME", str(tmp_path / "home"))
    project = make_project(data={"batch": "month"})
    read = Profile.from_json

    def old(text: str) -> Any:
        return read(text.replace('"format": 2', '"format": 1', 1))

    monkeypatch.setattr(Profile, "from_json", staticmethod(old))
    run(str(project.path), "2024-10-01")
    with open_ledger(tmp_path / "home") as ledger:
        (entry,) = ledger.entries(project.name, step="monitor")
    assert entry.payload["drift"] == {} and "Train again" in entry.payload["notes"][0]
