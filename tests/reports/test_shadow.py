"""The section of a version in shadow: what it did batch by batch, said to be no gate, and not to be bent by a name."""

from __future__ import annotations

from typing import Any

from tasks.reports.decision import write_decision_page
from tasks.reports.dossier import ShadowBatch
from tasks.reports.shadow import view_shadow
from tests.reports.dossiers import make_decision, make_dossier, make_record
from tests.reports.reading import Page, read_page

APART = {"rows": 504, "decisions": 0.0179, "distance": 0.038, "spread": None, "relative": None}


def make_batch(name: str = "2024-06", **changes: Any) -> ShadowBatch:
    known = {"labelled": 480, "value": 0.43, "champion_value": 0.41, "gain": 0.02, "low": -0.01, "high": 0.05}
    given = {"version": 2, "champion": 1, "rows": 504, "disagreement": APART, "metric": "average_precision"}
    return ShadowBatch(name, **{**given, **known, "confidence": 0.95, **changes})


def read(*batches: ShadowBatch, **changes: Any) -> Page:
    dossier = make_dossier(make_record("hold"), make_decision("hold", by_gates=True), shadow=batches, **changes)
    return read_page(write_decision_page(dossier))


def test_each_batch_with_what_is_known_of_it() -> None:
    page = read(make_batch(), make_batch("2024-07", labelled=0, value=None, champion_value=None, gain=None))
    text = " ".join(page.text.split())
    assert "In shadow" in text and "To look at, and no gate." in text
    assert "The error rate that is promised is that of the looks" in text
    assert "1.79% of decisions" in text and "version 1: 0.41" in text and "480 rows" in text
    assert "+0.02" in text and "\u22120.01 to +0.05" in text and "each at 95% confidence for its batch alone" in text
    assert "2024-07" in text


def test_nothing_where_it_never_was_in_shadow() -> None:
    assert "In shadow" not in read().text
    assert view_shadow(make_dossier()) is None


def test_values_and_failures() -> None:
    values = {"rows": 9, "decisions": None, "distance": 0.5, "spread": 4.0, "relative": 0.125}
    failed = make_batch("2024-08", champion=None, rows=0, disagreement={}, labelled=0, failed="its files <i>differ</i>")
    text = " ".join(read(make_batch(disagreement=values), failed, make_batch("2024-09", disagreement={})).text.split())
    assert "0.5 on average 12.5% of its spread" in text
    assert "Could not be scored: its files <i>differ</i>" in text


def test_of_a_version_that_was_fitted_again_it_is_its_twins() -> None:
    assert "version 2, which this version is fitted again from, scored" in " ".join(
        read(make_batch(), version=3).text.split()
    )


def test_names_of_strangers_and_many_batches() -> None:
    hostile = "<script>alert(1)</script>" + "x" * 5_000
    shown = write_decision_page(make_dossier(shadow=[make_batch(f"{n} {hostile}") for n in range(200)]))
    assert "<script" not in shown and len(shown) < 1_000_000
    assert "And 170 earlier ones" in " ".join(read_page(shown).text.split())
