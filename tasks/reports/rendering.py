"""The two ways a page is written: HTML and Markdown, from templates in which everything is escaped by default."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from tasks.reports import wording
from tasks.reports.markdown import code, escape

if TYPE_CHECKING:
    from jinja2 import Environment

_SHOWN = 80  # characters of a column's or a category's name
_IN_TITLE = 300


def render_html(template: str, **values: Any) -> str:
    """A template under `templates/` as HTML. Strings are strangers' unless they are `markupsafe.Markup`."""
    return _environment(html=True).get_template(template).render(**values)


def render_markdown(template: str, **values: Any) -> str:
    """A template under `templates/` as Markdown; every value is shown as text."""
    return _environment(html=False).get_template(template).render(**values)


@cache
def _environment(html: bool) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tasks.reports"),
        autoescape=html,  # noqa: S701 - where it is off, `finalize` escapes for Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_show_html if html else _show_markdown,
    )
    environment.filters.update(
        number=wording.number,
        signed=wording.signed,
        percent=wording.percent,
        moment=wording.moment,
        spoken=wording.spoken,
        sentence=wording.sentence,
        capital=wording.capital,
        name=_name if html else wording.plain,
        copied=_copied,
        command=_command,
    )
    return environment


def _show_html(value: Any) -> Any:
    from markupsafe import Markup

    return value if value is None or isinstance(value, Markup) else wording.plain(value)


def _show_markdown(value: Any) -> Any:
    from markupsafe import Markup

    if isinstance(value, Markup):  # only what a filter below made
        return str(value)
    return escape(wording.shorten(wording.plain(value), 400))


def _copied(text: str) -> Any:
    from markupsafe import Markup

    return Markup(code(wording.plain(text)))  # noqa: S704 - Markdown, where `code` lets nothing out


def _command(text: str) -> Any:
    """A command that is broken between its words only."""
    from markupsafe import Markup

    return Markup(" ").join(Markup('<span class="word">{}</span>').format(w) for w in wording.plain(text).split())


def _name(text: object) -> Any:
    """A name from the data: isolated from the direction of its neighbours, shortened, its beginning as a tooltip."""
    from markupsafe import Markup

    full = wording.plain(text)
    if len(full) <= _SHOWN:
        return Markup("<bdi>{}</bdi>").format(full)
    title = f"{wording.shorten(full, _IN_TITLE)} ({len(str(text)):,} characters)"
    return Markup('<bdi title="{}">{}</bdi>').format(title, wording.shorten(full, _SHOWN))
