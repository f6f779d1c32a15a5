"""The project page and the index over all projects of a home: written after every turn, and by `trueup page`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.answer import Answer, label_text, wrap_text
from flows.project_facts import gather_facts
from flows.workspace import check_begun
from tasks.config import LoadedProject, load_project, shown
from tasks.errors import ConfigError
from tasks.files import whole_file
from tasks.ledger import Ledger, open_ledger
from tasks.stage import crash_point

PAGE, INDEX = "page.html", "index.html"
NEWEST = 60  # entries of each step that a row of the index is made of
ATTEMPTS = 5  # at a page of what the ledger holds, while others write to it


def page_path(project: LoadedProject) -> Path:
    """Where a project's page is."""
    return project.folder / PAGE


def publish_overview(project: LoadedProject, ledger: Ledger) -> Path:
    """Write the project's page, and the index over the projects of its home, where they would say something else.

    The same ledger gives the same pages: nothing else is asked, but for which of the files that they link to are
    there. Where another process writes to the ledger meanwhile, they are written once more. InfrastructureError
    where the disk refuses.
    """
    from tasks.reports.overview import write_overview

    path = page_path(project)
    for _ in range(ATTEMPTS):
        head = ledger.head(project.name)
        page = write_overview(gather_facts(ledger, project.name, project.home, project))
        crash_point("before-page")
        _write(path, page)
        _write(project.home / INDEX, _make_index(project.home, ledger))
        if ledger.head(project.name) == head:
            break
    return path


def refresh_overview(project: LoadedProject) -> None:
    """The pages after a turn that found nothing to do: an earlier one may have been killed before it wrote them."""
    with open_ledger(project.home) as ledger:
        if ledger.head(project.name) is not None:
            publish_overview(project, ledger)


def tell_page(project: str) -> Answer:
    """Write the project's page and the index, and say where they are, and whether all is well.

    Neither source nor models have to be there. ConfigError where nothing was done in the project's home yet.
    """
    from tasks.reports.headline import tell_headline

    loaded = load_project(project)
    check_begun(loaded)
    with open_ledger(loaded.home) as ledger:
        if ledger.head(loaded.name) is None:
            raise ConfigError(
                f"{loaded.name}: the ledger has no entry of this project. Check TRUEUP_HOME and TRUEUP_DATABASE_URL."
            )
        path = publish_overview(loaded, ledger)
        headline = tell_headline(gather_facts(ledger, loaded.name, loaded.home, loaded))
    lines = [*wrap_text(f"{loaded.name}: {headline.sentence}".replace("\n", " "))]
    for step in headline.steps:
        lines += wrap_text(label_text("do", f"{step.text} {step.command}".strip()))
    lines += [
        label_text("page", shown(path)),
        label_text("projects", shown(loaded.home / INDEX)),
    ]
    return Answer(tuple(lines))


def _make_index(home: Path, ledger: Ledger) -> str:
    """Every project that the ledger knows; those that have a page in this home with a link to it."""
    from tasks.reports.overview import write_index

    names: Sequence[str] = ledger.projects()
    facts = [gather_facts(ledger, name, home, newest=NEWEST) for name in names]
    pages = [f"{name}/{PAGE}" if (home / name / PAGE).is_file() else None for name in names]
    return write_index(facts, pages)


def _write(path: Path, page: str) -> None:
    content = page.encode("utf-8", "replace")
    if not path.is_file() or path.read_bytes() != content:
        with whole_file(path) as file:
            file.write(content)
