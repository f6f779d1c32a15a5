"""What a browser would make of a page: its elements, its text, and whether anything on it acts or is fetched."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br"}
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "div", "p", "h1", "h2", "h3", "strong", "code"),
    *("dl", "dt", "dd", "ul", "ol", "li", "section", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("br", "bdi", "span", "figure", "figcaption", "footer", "details", "summary"),
    *("svg", "desc", "rect", "line", "text", "circle", "polyline", "a"),
}  # fmt: skip
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "role", "title", "scope", "data-label", "points"),
    *("aria-label", "width", "height", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "text-anchor", "overflow"),
    *("viewbox", "transform", "tabindex", "colspan", "open", "dx", "aria-hidden", "href"),
}  # fmt: skip


@dataclass
class Page(HTMLParser):
    """A parsed page; parsing fails where elements are not closed in order."""

    source: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    @property
    def text(self) -> str:
        """All that is read, white space as single spaces."""
        return " ".join(" ".join(self.texts).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each element of that kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def read_page(source: str, links: bool = False) -> Page:
    """A page of ours, after a look at whether it is harmless whatever stands in it. `links`: it may link to files
    beside it, and to nothing else."""
    assert len(source.encode("utf-8")) < 1_000_000
    page = Page(source)
    for tag, attributes in page.elements:
        assert tag in ELEMENTS, tag
        assert set(attributes) <= ATTRIBUTES, (tag, attributes)  # so no handler, no other address, no style
        if tag == "a" or "href" in attributes:
            address = str(attributes["href"])
            assert links and tag == "a" and re.fullmatch(r"[\w.%-]+(/[\w.%-]+)*", address, re.A), (tag, address)
    assert [m for m in page.named("meta") if m.get("http-equiv")] == [
        {
            "http-equiv": "Content-Security-Policy",
            "content": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
        }
    ]
    (style,) = re.findall(r"<style>(.*?)</style>", source, re.S)
    assert "url(" not in style and "@import" not in style and "expression" not in style
    return page
