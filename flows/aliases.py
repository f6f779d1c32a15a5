"""The newest decision as MLflow shows it: aliases, marks, pages, the ledger's head. Whoever comes next finishes it."""

from __future__ import annotations

import logging

from flows.keys import digest
from flows.plan import aliases_follow
from flows.publication import publish
from flows.workspace import Workspace
from tasks.ledger import Head
from tasks.registry import mark_override, mirror_aliases, note_head, open_registry, read_head
from tasks.stage import crash_point

log = logging.getLogger(__name__)


def move_aliases(workspace: Workspace) -> None:
    """Make MLflow the image of the newest decision: aliases, the mark of an override, and the version's pages.

    Whoever comes next does this for a decision that was cut off. An alias that was edited by hand is reported and
    restored, and one whose version MLflow no longer has is reported.
    """
    name, ledger, registry = workspace.project.name, workspace.ledger, open_registry(workspace.project.home)
    standing, decided = ledger.standing(name), ledger.latest(name, step="release")
    due = not aliases_follow(ledger, name)
    champion = standing.champion
    findings = mirror_aliases(
        registry,
        name,
        champion=champion.version if champion else None,
        challenger=standing.challenger,
        previous=champion.previous if champion else None,
    )
    crash_point("after-aliases")
    if due and decided is not None:
        version = int(str(decided.subject))
        if decided.payload.get("override"):
            mark_override(registry, name, version, f"{decided.reason} ({decided.actor})")
            crash_point("after-override")
        publish(workspace, version)
        crash_point("after-pages")
    note_ledger(workspace)
    crash_point("after-head")
    for outcome, sentence in findings:
        key = digest(sentence, workspace.now) if outcome == "restored" else digest(sentence)
        if outcome == "restored" or ledger.find(name, "alias", key) is None:
            workspace.record("alias", key, "aliases", outcome, sentence, {})
    if due:
        called = f"version {champion.version}" if champion else "no champion"
        workspace.record("alias", digest(standing), "aliases", "moved", f"champion is {called}", {})


def note_ledger(workspace: Workspace) -> None:
    """Note the ledger's head in MLflow, where `trueup history --verify` compares it.

    A noted head that is none of the ledger's rows stays: it is what shows that they were rewritten.
    """
    name, ledger, registry = workspace.project.name, workspace.ledger, open_registry(workspace.project.home)
    head, noted = ledger.head(name), read_head(registry, name)
    if noted is not None and not ledger.has(name, Head(*noted)):
        log.warning(
            "%s: row %s, as MLflow has noted it, is not in the ledger: one of the two was rewritten or replaced. "
            "`trueup history %s --verify` says what to do.",
            name,
            noted[0],
            workspace.project.argument,
        )
    elif head is not None:
        note_head(registry, name, head)
