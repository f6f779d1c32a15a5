"""The words of an alert: a title, what happened, what to do, where to look. Plain text that no channel reads as markup.

Sentences come from the ledger, and with them names and values of strangers.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from datetime import datetime

from flows.answer import show_plain
from flows.changes import Change
from flows.workspace import Workspace

MOST_CHANGES = 5
LONGEST_SENTENCE = 500
LONGEST_KEY = 60


def describe_changes(workspace: Workspace, changes: Sequence[Change]) -> tuple[str, str]:
    """Title and body of one alert about some changes, which are in the order of their windows."""
    newest, name = changes[-1], workspace.project.name
    title = f"trueup: {name} {_plain(newest.batch, LONGEST_KEY)} {newest.kind}"
    if len(changes) == 1:
        lines = [_sentence(newest)]
    else:
        title += f", and {len(changes) - 1} more change{'s' if len(changes) > 2 else ''} of health"
        listed = list(reversed(changes))[:MOST_CHANGES]
        lines = [f"- {_plain(c.batch, LONGEST_KEY)} {c.kind}: {_sentence(c)}{_name_action(c)}" for c in listed]
        lines += [f"... and {len(changes) - len(listed)} more"] if len(changes) > len(listed) else []
    lines += ["", f"What to do: {_advise(workspace, newest)}", f"Where to look: {_find_page(workspace, newest)}"]
    model = f"model version {newest.version}; " if newest.version is not None else ""
    lines.append(f"{model}before: {newest.previous}; as of {_tell_moment(workspace)}")
    return title, "\n".join(lines)


def _name_action(change: Change) -> str:
    return f" Action: {_plain(change.action, LONGEST_SENTENCE)}." if change.action not in ("", "none") else ""


def _advise(workspace: Workspace, change: Change) -> str:
    argument = shlex.quote(workspace.project.argument)
    moment = "" if workspace.as_of == workspace.now else f" --as-of {_to_argument(workspace, workspace.as_of)}"
    if change.action == "retrain":
        return f"train a challenger, and let the gates decide: trueup train {argument}{moment}"
    if change.action == "fix upstream":
        return (
            "mend what is named above where the rows are made (or the contract, where the rows are right), and then: "
            f"trueup run {argument}{moment}"
        )
    if change.action == "watch":
        return "nothing now; watch the next windows."
    return "nothing." if change.action in ("", "none") else _plain(change.action, LONGEST_SENTENCE)


def _find_page(workspace: Workspace, change: Change) -> str:
    report = workspace.located(change.report)
    if report is None:
        checked = workspace.ledger.latest(workspace.project.name, step="validate", subject=change.batch)
        report = workspace.located(checked.payload.get("page")) if checked is not None else None
    pages = "trueup ui shows all pages in the browser"
    return pages if report is None else f"{show_plain(report)}; {pages}"


def _tell_moment(workspace: Workspace) -> str:
    data = workspace.project.spec.data
    return f"{workspace.as_of.astimezone(data.zone):%Y-%m-%d %H:%M} ({data.timezone})"


def _to_argument(workspace: Workspace, moment: datetime) -> str:
    """A moment as `--as-of` takes it: a date where it is midnight in the project's time zone."""
    local = moment.astimezone(workspace.project.spec.data.zone)
    midnight = (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0)
    return local.strftime("%Y-%m-%d") if midnight else moment.isoformat(timespec="seconds")


def _sentence(change: Change) -> str:
    return f"{_plain(change.sentence, LONGEST_SENTENCE).rstrip('.')}."


def _plain(text: str, most: int) -> str:
    """A stranger's text, cut, and with nothing in it that mail, Markdown or a chat makes a link, a tag or a call of."""
    shown = show_plain(text, most).translate({ord("<"): "‹", ord(">"): "›", ord("@"): "(at)", ord("`"): "'"})  # noqa: RUF001
    return re.sub(r"(?i)\b(www)\.", r"\1 .", shown.replace("](", "] (").replace("://", ": //"))
