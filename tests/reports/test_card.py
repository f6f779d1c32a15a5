"""The model card: one document in two forms, which claims nothing that was not measured and cannot be bent."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt

from tasks.reports.card import write_card_html, write_card_markdown
from tests.reports.audits import MITIGATION, make_audit, make_slices
from tests.reports.dossiers import make_decision, make_dossier, make_gate, make_gates, make_record
from tests.reports.reading import Page, read_page
from tests.reports.test_decision import hostile, make_hostile


def read(*arguments: Any, **more: Any) -> Page:
    return read_page(write_card_html(make_dossier(*arguments, **more)))


def render(markdown: str) -> str:
    """As a page would that lets HTML through."""
    return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


def words(markup: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def test_it_tells_what_the_ledger_knows() -> None:
    text = read(make_record(), make_decision("approve", actor="grace", champion=2)).text
    for part in (
        "Purpose Who buys.",
        "For each row the probability of the column 'bought' being True, from 2 columns",
        "the threshold is 0.5, since no costs are given (train.costs).",
        "snapshot " + "s" * 32,
        "On 15,553 rows that it has not learned from. The decision was made on average precision",
        "average precision 0.41 0.36 to 0.46",
        "average precision of a constant prediction 0.22 0.17 to 0.27",
        "Released by a person: grace, 2024-05-01 10:30 UTC.",
        "A label counts as known 1 day after its row",
        "Columns that the project file keeps from it: paid.",
        "All intervals rest on 17 days of test rows.",
        "trueup reproduce shop 2",
        "trueup rollback shop --reason",
    ):
        assert part in text, part


@pytest.mark.parametrize("audited", [False, True])
def test_both_forms_say_the_same(audited: bool) -> None:
    record = make_record("hold", audit=make_audit() if audited else None, mitigation=MITIGATION if audited else None)
    dossier = make_dossier(record, make_decision("hold", by_gates=True))
    page, text = read_page(write_card_html(dossier)).text, words(render(write_card_markdown(dossier)))
    sentences = re.split(r"(?<=[.:]) ", text.removeprefix("Model card: version 2 of shop "))
    missing = [s for s in sentences if s not in page]
    assert missing == [], missing


def test_it_claims_no_more_than_was_looked_at() -> None:
    text = read(make_record()).text
    assert "Not assessed: fairness between groups of people." in text
    assert "It was not released so far." in text
    gates = [*make_gates(), make_gate("fairness sex"), make_gate("slices")]
    assert "Not assessed: fairness" not in read(make_record(gates=gates)).text
    assert "Not assessed: how it does on parts" not in read(make_record(gates=gates)).text
    by_gates = read(make_record(), make_decision("promote", by_gates=True)).text
    assert "Released by the gates; no person has approved it." in by_gates
    assert "Purpose Not recorded." in read(make_record(), spec={}).text
    assert "its description is empty" in read(make_record(), spec={"name": "shop"}).text
    assert "No metric could be computed" in read(make_record(metrics=[])).text


def test_it_tells_the_audit_in_short() -> None:
    text = read(make_record(audit=make_audit(), mitigation=MITIGATION)).text
    for part in (
        "Parts of the rows On 2 of 4 slices that are large enough, the model is shown to be worse than allowed",
        "1 slice has too few rows or independent days to tell.",
        "The 4 weakest of 4 slices",
        "size = small and colour = red 400 rows 0.780 0.740 to 0.820 0.900 +0.120 (0.100 to 0.140) worse than allowed",
        "Groups of people The model treats groups more differently than the project file allows.",
        "By sex, lowest share decided positive over the highest: 0.35; at least 0.8 is asked: breaks the limit.",
        "sex = Female 900 9.0% (7.0 to 11.0)",
        "Each group by sex has a threshold of its own",
        "no longer probabilities within a group",
        "What it costs metric without with change accuracy 0.870 0.850",
        "Worse rows The model does not break.",
        "10% of all values missing: +0.010",
        "Losing any one of these columns costs nothing that can be seen",
        "Leaks 1 sign near-certainly says that the test rows flatter the model",
        "near-certain, paid: paid alone decides it.",
    ):
        assert part in text, part
    assert "Not assessed: fairness" not in text and "(slices)" not in text


def test_what_the_audit_left_out_is_said_with_how_to_have_it() -> None:
    bare = make_audit(slices=make_slices(), groups=(), fairness=(), robustness=None, leaks=None, price=None)
    text = read(make_record(audit=bare)).text
    assert (
        "Not assessed: fairness between groups of people; no protected column is stated. Name those that say who a row "
        "is about in data.protected." in text
    )
    assert "beside the overall metric; name columns in gates.slices.by." in text
    assert "Not assessed: rows that are worse than the test rows." in text
    for title in ("Parts of the rows", "Groups of people", "Worse rows", "Leaks"):
        assert title not in text and title not in read(make_record()).text


def test_an_override_is_loud_in_both_forms() -> None:
    dossier = make_dossier(
        make_record("hold"),
        make_decision("promote", actor="grace", reason="Monday", overruled=("champion",), champion=2),
    )
    told = "Gates were overruled: grace released this version on 2024-05-01 10:30 UTC against champion."
    assert told in read_page(write_card_html(dossier)).text.split("model card")[0]
    assert told in words(render(write_card_markdown(dossier)).split("<h2>")[0])


@pytest.mark.parametrize(
    ("task", "classes", "said"),
    [
        ("multiclass", ["a", "b", "c"], "For each row a probability for each of 3 classes of the column 'bought'"),
        ("regression", [], "For each row a number: the value of the column 'bought' that is expected"),
    ],
)
def test_it_says_what_each_task_gives(task: str, classes: list[str], said: str) -> None:
    assert said in read(make_record(task=task, classes=classes, threshold=None)).text


@settings(max_examples=25, deadline=None)
@given(hostile, hostile)
def test_nothing_that_a_stranger_brought_acts(text: str, other: str) -> None:
    dossier = make_hostile(text, other)
    read_page(write_card_html(dossier))
    markdown = write_card_markdown(dossier)
    assert len(markdown.encode("utf-8")) < 1_000_000
    tags = set(re.findall(r"</?([a-z]\w*)", render(markdown), re.I))
    assert tags <= {
        *("h1", "h2", "p", "ul", "li", "blockquote", "strong", "code"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
