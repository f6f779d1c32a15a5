"""What a person sees on a flow run's page in Prefect: the verdict, a window's health, and where the rest is.

Pages are Markdown, since Prefect's table of cells cuts sentences off. Whatever may come from data is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.answer import INDENT
from flows.engine.artifacts import show_link, show_markdown, show_table
from flows.publication import CARD, DECISION, page_paths
from flows.shadow_evidence import say_live
from flows.summary import TurnReport
from flows.workspace import Workspace
from tasks.ledger import Entry
from tasks.registry import open_registry, page_link, run_link
from tasks.reports.markdown import code, escape
from tasks.results import ContractResult, MetricValue, Window
from tasks.stats.disagreement import say_disagreement
from tasks.stats.metrics import METRICS

MOST_COLUMNS = 20


def show_verdict(workspace: Workspace, trained: Entry) -> None:
    """The gates and metrics of a training or a look, and the way to the version's pages and its MLflow run."""
    made, name = trained.payload, workspace.project.name
    gates = [
        (g["name"], g["status"].replace("_", " "), _number(g["observed"]), _number(g["limit"]), g["sentence"])
        for g in made["gates"]
    ]
    metrics = [(m["name"], _number(m["value"]), _number(m["low"]), _number(m["high"])) for m in made["metrics"]]
    link = run_link(open_registry(workspace.project.home), made["run_id"])
    page = page_link(link, DECISION)
    title = f"{name} version {trained.subject}: {trained.outcome}"
    lines = [
        f"# {escape(title)}",
        escape(trained.reason),
        _table(("gate", "status", "observed", "limit", "why"), gates),
        f"## Test metrics\n\n{escape(made['split'])}",
        _table(("metric", "value", "from", "to"), metrics),
        *_list_pages(page_paths(workspace.project, int(str(trained.subject))), link),
        _link_run(link),
    ]
    show_markdown(f"{name}-verdict", "\n\n".join(lines), f"{title}. {trained.reason}")
    if page is not None:
        show_link(f"{name}-mlflow-run", link, title, f"MLflow run of version {trained.subject}")
        show_link(f"{name}-decision-page", page, title, f"Decision page of version {trained.subject}")


def show_decision(workspace: Workspace, said: str) -> None:
    """The newest decision, and the way to the version's pages. `said` tells in a sentence what was done."""
    name = workspace.project.name
    decided = workspace.ledger.latest(name, step="release")
    if decided is None:
        return
    link = run_link(open_registry(workspace.project.home), decided.payload["run_id"])
    page = page_link(link, DECISION)
    paths = page_paths(workspace.project, int(str(decided.subject)))
    show_markdown(f"{name}-decision", describe_decision(decided, said, paths, link), said)
    if page is not None:
        show_link(f"{name}-decision-page", page, said, f"Decision page of version {decided.subject}")


def describe_decision(decided: Entry, said: str, paths: Mapping[str, Path], run: str) -> str:
    """A decision as Markdown: what was done, why and by whom, and where the version's pages are."""
    lines = [
        f"# {escape(said)}",
        f"{escape(decided.reason)}, decided by {escape(decided.actor)}",
        *_list_pages(paths, run),
        _link_run(run),
    ]
    return "\n\n".join(lines)


def _link_run(run: str) -> str:
    return f"In MLflow: [its run](<{run}>)" if run.startswith("http") else code(run)


def show_window(workspace: Workspace, window: Window) -> None:
    """A window's health, its numbers, and the way to Evidently's report."""
    name = workspace.project.name
    show_markdown(f"{name}-health", describe_window(window), f"{window.batch}: {window.health}")
    drifted: set[str | None] = {*window.drifted}
    drifted |= {window.prediction} if window.prediction_drifted else set()
    drifted |= {window.label} if window.label_drifted else set()
    beside = {window.prediction: "(the predictions)", window.label: "(the labels)"}
    effects = window.effects
    order = sorted(window.drift, key=lambda c: (c not in drifted, -effects.get(c, 0.0), -window.drift[c]))
    rows = [
        {
            "column": beside.get(c, c),
            "distance (PSI)": float(_number(window.drift[c])),
            "distance x importance": float(_number(effects.get(c, 0.0))),
            "drifted": "yes" if c in drifted else "no",
        }
        for c in order[:MOST_COLUMNS]
    ]
    show_table(f"{name}-drift", rows, f"{window.batch}: columns by what their move may do to the model")


def describe_window(window: Window) -> str:
    """A window's health as Markdown: the verdict, what is promised of it, performance and what scoring saw anew."""
    lines = [f"# {escape(window.batch)}: {window.health}", escape(window.sentence), f"**Action:** {window.action}"]
    if window.promise:
        lines.append(f"**False alarms:** {escape(window.promise)}. So far: {escape(window.realised)}.")
    compared = {m.name: m for m in window.performance}
    estimated = {m.name: m for m in window.estimated}
    rows = [
        (
            METRICS[n].title if n in METRICS else n,
            _with_interval(compared.get(n)),
            _with_interval(estimated.get(n)),
            _number(window.promised.get(n)),
        )
        for n in dict.fromkeys([*compared, *estimated])
    ]
    if rows:
        lines.append(_table(("metric", "realised", "estimated without labels", "promised"), rows))
    if window.trust:
        lines.append(f"**Estimates so far:** {escape(window.trust)}")
    if window.shadow:
        said = (say_live(window.shadow), say_disagreement(window.shadow.get("disagreement")))
        lines.append(f"**In shadow:** {escape('; '.join(part for part in said if part))}.")
    if window.delays and window.labelled:
        curve = [
            ("1 day" if days == 1 else f"{days} days", f"{share:.0%}", f"{old:,}") for days, old, share in window.delays
        ]
        lines.append("## How long labels take\n\n" + _table(("after", "known", "of rows so old"), curve))
    if window.parts:
        parts = sorted(window.parts.items(), key=lambda item: -item[1])[:MOST_COLUMNS]
        lines.append("## Where it sits\n\n" + _table(("part", "distance (PSI)"), [(n, _number(d)) for n, d in parts]))
    if window.skew:
        skew = list(window.skew.items())[:MOST_COLUMNS]
        lines.append("## Scoring saw what training did not\n\n" + _table(("column", "what"), skew))
    if window.report is not None:
        lines.append(f"Drift report: {code(str(window.report))}; trueup ui shows it in Evidently")
    if window.notes:
        lines.append("\n".join(f"- {escape(note)}" for note in window.notes))
    return "\n\n".join(lines)


def _with_interval(value: MetricValue | None) -> str | None:
    if value is None:
        return None
    ends = f" [{_number(value.low)}, {_number(value.high)}]" if math.isfinite(value.low) else ""
    return f"{_number(value.value)}{ends}"


def show_check(workspace: Workspace, result: ContractResult) -> None:
    """What a contract check found, and the way to its page."""
    title = f"{result.batch}: {result.outcome}"
    show_markdown(f"{workspace.project.name}-contract", describe_check(result), f"{title}. {result.reason}")


def describe_check(result: ContractResult) -> str:
    """A contract check as Markdown: its outcome, the rules that broke, and the columns of personal data."""
    rules = [(r.name, f"{r.failed:,}", r.expected, r.observed) for r in result.rules if not r.passed]
    lines = [f"# {escape(f'{result.batch}: {result.outcome}')}", escape(result.reason)]
    if rules:
        lines.append(_table(("rule", "failed", "expected", "observed"), rules))
    if result.personal:
        named = "; ".join(f"{code(name)}: {escape(looks)}" for name, looks in result.personal.items())
        lines.append(f"**Personal data**, of which no value is shown: {named}")
    if result.page is not None:
        lines.append(f"Every rule: {code(str(result.page))}")
    return "\n\n".join(lines)


def show_turn(report: TurnReport, page: Path) -> None:
    """What a turn did, as the command prints it, and the way to the project's page."""
    title = f"{report.lines[0]}: {report.outcome}"
    show_markdown(f"{report.project}-summary", describe_turn(report), title)
    show_link(f"{report.project}-page", page.as_uri(), title, f"Project page of {report.project}")


def describe_turn(report: TurnReport) -> str:
    """The lines of a turn's report as Markdown, one item for each thing that was done."""
    items: list[tuple[str, str]] = []
    for line in report.lines[1:]:
        label, text = line[:INDENT].strip(), line[INDENT:].strip()
        if label or not items:
            items.append((label, text))
        else:
            items[-1] = (items[-1][0], f"{items[-1][1]} {text}")
    lines = []
    for label, text in items:
        kind, _, place = text.partition(": ")
        shown = f"{kind}: {code(place)}" if label == "look at" else escape(text)
        lines.append(f"- **{escape(label)}** {shown}")
    return "\n".join([f"# {escape(report.lines[0])}: {report.outcome}", "", *lines])


def _list_pages(paths: Mapping[str, Path], run: str) -> list[str]:
    """Where the decision page and the model card are: links where MLflow is a server, and files under the home.

    No browser follows a link from Prefect's page to a file, so a file's path is there to be copied.
    """
    lines = []
    for title, name in (("Decision page", DECISION), ("Model card", CARD)):
        link = page_link(run, name)
        in_mlflow = escape(f"{name} in the run's artifacts (trueup ui)") if link is None else f"[in MLflow](<{link}>)"
        if paths[name].is_file():
            lines.append(f"{title}: {in_mlflow}, {code(str(paths[name]))}")
    return lines


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; cells escaped, None as an empty one."""
    cells = [["" if value is None else escape(str(value)) for value in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in ([*heads], ["---"] * len(heads), *cells))


def _number(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
