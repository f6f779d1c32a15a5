"""What stands on the pages of Prefect: sentences as they are, and nothing that a stranger's name could do there."""

from __future__ import annotations

import re

import pytest

from flows import show
from flows.summary import TurnReport
from tasks.reports.markdown import code, escape

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "![](http://far/picture.png)",
    "[text](javascript:alert(1))",
    "**bold** _slanted_ `code` ~~gone~~ # head",
    "a | b",
    "&lt;b&gt; &amp; $x$ \\",
    "line\nbreak\n\n# head",
)


def render(markdown: str) -> str:
    """As a page would that lets HTML through, which Prefect's do."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))


def text_of(page: str) -> str:
    from html import unescape

    return unescape(re.sub(r"<[^>]+>", "", page)).strip()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_strangers_name_is_shown_and_not_read(name: str) -> None:
    page = render(f"# {escape(name)}")
    assert text_of(page) == " ".join(name.split())
    assert set(re.findall(r"</?(\w+)", page)) == {"h1"}
    cell = render(show._table(("name",), [(name,)]))
    assert text_of(cell).split("\n")[-1] == " ".join(name.split()) or " ".join(name.split()) in text_of(cell)
    assert set(re.findall(r"</?(\w+)", cell)) == {"table", "thead", "tbody", "tr", "th", "td"}
    assert cell.count("<td>") == 1
    place = render(f"at {code(name)}")
    assert set(re.findall(r"</?(\w+)", place)) == {"p", "code"} and " ".join(name.split()) in text_of(place)


def test_a_turns_report_is_whole_sentences() -> None:
    lines = (
        "shop as of 2024-03-01 00:00 (UTC)",
        "  verdict    promote: Every gate passed. Average precision is .5,",
        "             better by .1",
        "  look at    drift: /a b/report_1.html",
    )
    page = render(show.describe_turn(TurnReport("shop", "h", "done", 0, lines)))
    assert [line for line in text_of(page).split("\n") if line] == [
        "shop as of 2024-03-01 00:00 (UTC): done",
        "verdict promote: Every gate passed. Average precision is .5, better by .1",
        "look at drift: /a b/report_1.html",
    ]
