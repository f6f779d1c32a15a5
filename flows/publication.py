"""A version's pages: its decision page and its model card, made from the ledger and put where people look."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.champion import find_training, version_of
from flows.decisions import is_verdict
from flows.plan import find_twin
from flows.shadow_evidence import Finding, gather_shadow
from flows.workspace import Workspace
from tasks.config import LoadedProject
from tasks.errors import InfrastructureError
from tasks.files import whole_file
from tasks.ledger import Entry
from tasks.registry import Registry, log_pages, open_registry, read_artifact
from tasks.results import ModelVersion

if TYPE_CHECKING:
    from tasks.reports.dossier import Decision, Dossier

DECISION, CARD, CARD_TEXT = "decision.html", "model_card.html", "model_card.md"  # in the version's MLflow run


def page_paths(project: LoadedProject, version: int) -> dict[str, Path]:
    """Where a version's pages are under the home, by their names in MLflow."""
    folder = project.folder / "decisions"
    return {
        DECISION: folder / f"v{version}.html",
        CARD: folder / f"v{version}-card.html",
        CARD_TEXT: folder / f"v{version}-card.md",
    }


def publish(workspace: Workspace, version: int) -> None:
    """Write a version's pages and log them to its MLflow run; so too those of whom it displaced, and of its twin.

    The same ledger gives the same pages; what is there already is not written again. InfrastructureError where the
    disk or MLflow refuses.
    """
    decisions = workspace.ledger.entries(workspace.project.name, step="release")
    moved = [(before, after) for _, before, after in _follow(decisions) if before not in (None, after)]
    displaced = [before for before, after in moved[-1:] if after == version and before is not None]
    twin = find_twin(find_training(workspace, version).payload)
    for number in (version, *displaced, *([twin] if twin is not None else [])):
        _publish_one(workspace, number, decisions)


def publish_shadow(workspace: Workspace, version: int, pending: Finding) -> None:
    """Write the pages of a version in shadow as they are once `pending` stands in the ledger: a turn that is cut off
    in between leaves no entry, is done again, and makes the same pages. InfrastructureError as for `publish`."""
    _publish_one(workspace, version, workspace.ledger.entries(workspace.project.name, step="release"), pending)


def gather_dossier(
    workspace: Workspace, version: int, decisions: Sequence[Entry], pending: Finding | None = None
) -> Dossier:
    """What the ledger has about a version; `decisions` are all release entries of the project, in order, and `pending`
    is what is about to be written of its scoring in shadow."""
    from tasks.reports.dossier import Dossier, Look

    project, ledger = workspace.project, workspace.ledger
    trained = find_training(workspace, version)
    again = [e for e in ledger.entries(project.name, step="look") if e.subject == trained.subject]
    judged = [e for e in again if e.seq > trained.seq]
    again_as = [e.subject for e in ledger.entries(project.name, step="train") if find_twin(e.payload) == version]
    looks = [
        Look(int(e.payload.get("look", n)), e.at, e.outcome, e.reason, e.payload)
        for n, e in enumerate((trained, *judged), 1)
    ]
    twin = find_twin(trained.payload)
    return Dossier(
        project=project.name,
        argument=project.address,
        version=version,
        record={**trained.payload, "curves": _read_curves(open_registry(project.home), version_of(trained))},
        trained_at=trained.at,
        trained_by=trained.actor,
        code_version=trained.code_version,
        looks=looks,
        decisions=_list_decisions(decisions, version, (trained, *judged)),
        spec=_read_spec(open_registry(project.home), version_of(trained)),
        successor=int(str(again_as[-1])) if again_as else None,
        shadow=gather_shadow(ledger, project.name, {version, *([twin] if twin is not None else [])}, pending),
    )


def _publish_one(
    workspace: Workspace, version: int, decisions: Sequence[Entry], pending: Finding | None = None
) -> None:
    from tasks.reports.advice import tell_state
    from tasks.reports.card import write_card_html, write_card_markdown
    from tasks.reports.decision import write_decision_page

    dossier = gather_dossier(workspace, version, decisions, pending)
    pages = {
        DECISION: write_decision_page(dossier),
        CARD: write_card_html(dossier),
        CARD_TEXT: write_card_markdown(dossier),
    }
    for name, path in page_paths(workspace.project, version).items():
        content = pages[name].encode("utf-8", "replace")
        if not path.is_file() or path.read_bytes() != content:
            with whole_file(path) as file:
                file.write(content)
    record = dossier.record
    description = (
        f"{tell_state(dossier).sentence}\n\nVerdict: {dossier.look.outcome}. {dossier.look.reason}\n\n"
        f"Chosen: {record.get('choice')}\n\nSplit {record.get('split')}\n\n"
        f"Its pages are among the artifacts of its run: {DECISION} and {CARD}"
    )
    stored = version_of(find_training(workspace, version))
    log_pages(open_registry(workspace.project.home), stored, pages, description)


def _follow(decisions: Sequence[Entry]) -> list[tuple[Entry, int | None, int | None]]:
    """Each decision with the champion before and after it."""
    followed = []
    before: int | None = None
    for entry in decisions:
        after = entry.payload["release"]["champion"]
        followed.append((entry, before, after))
        before = after
    return followed


def _list_decisions(decisions: Sequence[Entry], version: int, evidence: Sequence[Entry]) -> list[Decision]:
    """The decisions about a version, and those that put another in its place."""
    from tasks.reports.dossier import Decision

    found = []
    for entry, before, after in _follow(decisions):
        own = entry.subject == str(version)
        if not own and (before != version or after == version):
            continue
        gone = "rolled back" if entry.outcome == "rollback" else "replaced"
        overruled = tuple(entry.payload.get("overruled") or ()) if entry.payload.get("override") else None
        found.append(
            Decision(
                at=entry.at,
                action=entry.outcome if own else gone,
                actor=entry.actor,
                reason=entry.reason.removeprefix(f"Overruled {', '.join(overruled or ())}: "),
                champion=after,
                previous=before if before != after else None,
                by_gates=own and any(is_verdict(entry, verdict) for verdict in evidence),
                overruled=overruled if own else None,
            )
        )
    return found


def _read_curves(registry: Registry, version: ModelVersion) -> Mapping[str, Any]:
    """The curves of the version's test rows; empty where its run does not have them."""
    try:
        curves = read_artifact(registry, version, "curves.json", lambda path: json.loads(path.read_bytes()))
    except InfrastructureError:
        return {}
    return curves if isinstance(curves, Mapping) else {}


def _read_spec(registry: Registry, version: ModelVersion) -> Mapping[str, Any]:
    """The project file as the version was trained by it; empty where its run does not have it any more."""
    import yaml

    try:
        spec = read_artifact(registry, version, "project.yaml", lambda path: yaml.safe_load(path.read_bytes()))
    except InfrastructureError:
        return {}
    return spec if isinstance(spec, Mapping) else {}
