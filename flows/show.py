"""What a person sees on a flow run's page in Prefect: the verdict, a window's health, and where the rest is."""

from __future__ import annotations

from typing import Any

from flows.artifacts import show_link, show_markdown, show_table
from flows.workspace import Workspace
from tasks.ledger import Entry
from tasks.registry import open_registry, run_link
from tasks.results import ContractResult, Window


def show_verdict(workspace: Workspace, trained: Entry) -> None:
    """The gates of a training as a table, and the way to its MLflow run."""
    made = trained.payload
    gates = [
        {
            "gate": g["name"],
            "status": g["status"],
            "observed": _number(g["observed"]),
            "limit": _number(g["limit"]),
            "why": g["sentence"],
        }
        for g in made["gates"]
    ]
    title = f"{workspace.project.name} version {trained.subject}: {trained.outcome}. {trained.reason}"
    show_table("verdict", gates, title)
    metrics = [
        {"metric": m["name"], "value": _number(m["value"]), "low": _number(m["low"]), "high": _number(m["high"])}
        for m in made["metrics"]
    ]
    show_table("metrics", metrics, f"Test metrics of version {trained.subject}, {made['split']}")
    link = run_link(open_registry(workspace.project.home), made["run_id"])
    if link.startswith("http"):
        show_link("mlflow-run", link, f"MLflow run of version {trained.subject}")
    else:
        show_markdown("mlflow-run", f"`{link}`", f"MLflow run of version {trained.subject}")


def show_window(workspace: Workspace, window: Window) -> None:
    """A window's health, its numbers, and the way to Evidently's report."""
    lines = [f"# {window.batch}: {window.health}", "", window.sentence, "", f"**Action:** {window.action}", ""]
    if window.report is not None:
        lines.append(f"Drift report: `{window.report}`")
    lines += [f"- {note}" for note in window.notes]
    show_markdown("health", "\n".join(lines), f"Health of {window.batch}")
    moved = sorted(window.drift.items(), key=lambda item: -item[1])[:20]
    if moved:
        rows = [{"column": c, "distance (PSI)": _number(d), "drifted": c in window.drifted} for c, d in moved]
        show_table("drift", rows, "Columns by their distance to the profile")


def show_check(result: ContractResult) -> None:
    """What a contract check found, and the way to its page."""
    rules = [
        {"rule": r.name, "failed": r.failed, "expected": r.expected, "observed": r.observed}
        for r in result.rules
        if not r.passed
    ]
    title = f"{result.batch}: {result.outcome}. {result.reason} Page: {result.page}"
    show_table("contract", rules or [{"rule": "all", "failed": 0, "expected": "", "observed": ""}], title)


def _number(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
