"""What a turn did, from the ledger's entries: at most 15 lines, each saying what a person may want to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.answer import label_text, show_plain, wrap_text
from flows.overview import page_path
from flows.plan import Plan, approval, find_twin
from flows.shadow_evidence import say_live
from flows.workspace import Workspace
from tasks.config import LoadedProject, shown
from tasks.ledger import Entry, Ledger
from tasks.stats.disagreement import say_disagreement

MOST_LINES = 15
MOST_NAMED = 3  # windows that were not well, beside the newest
TOO_GOOD = 0.99  # ROC AUC on test rows
_LONGEST_KEY = 40  # of a batch, whose file may have any name
_LONGEST_COLUMN = 24
BAD = {"reject", "refused", "degraded", "broken", "failed"}


@dataclass(frozen=True)
class TurnReport:
    """What was done. `exit_code` is 1 where a model was rejected, a batch refused or a window is bad, else 0."""

    project: str
    headline: str
    outcome: str
    exit_code: int
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def last_seq(workspace: Workspace) -> int:
    """The number of the project's newest ledger entry; 0 where there is none."""
    return newest_seq(workspace.ledger, workspace.project.name)


def newest_seq(ledger: Ledger, name: str) -> int:
    """The number of a project's newest ledger entry; 0 where there is none."""
    newest = ledger.latest(name)
    return newest.seq if newest else 0


def summarise(workspace: Workspace, since: int, plan: Plan | None = None) -> TurnReport:
    """The report of everything that was written to the ledger after entry `since`."""
    local = workspace.as_of.astimezone(workspace.project.spec.data.zone)
    title = f"{workspace.project.name} as of {local:%Y-%m-%d %H:%M} ({workspace.project.spec.data.timezone})"
    entries = [e for e in workspace.ledger.entries(workspace.project.name) if e.seq > since]
    page = f"  {'look at':<10} page: {shown(page_path(workspace.project))}"
    return describe(workspace.project, workspace.ledger, entries, title, plan.waiting if plan else (), (page,))


def describe(
    project: LoadedProject,
    ledger: Ledger,
    entries: Sequence[Entry],
    title: str,
    waiting: Sequence[str] = (),
    pages: Sequence[str] = (),
) -> TurnReport:
    """The report of some ledger entries. `pages` are lines that say where to look first."""
    by_step: dict[str, list[Entry]] = {}
    for entry in entries:
        by_step.setdefault(entry.step, []).append(entry)
    lines = [title]
    lines += _delivered(by_step.get("labels", []))
    lines += _checked(by_step.get("validate", []))
    lines += _looked(by_step.get("look", []))
    lines += _asked(by_step.get("retrain", []))
    lines += _trained(by_step.get("train", []))
    lines += _released(project, by_step.get("release", []), by_step.get("alias", []))
    lines += _scored(by_step.get("score", []))
    lines += _shadowed(by_step.get("shadow", []), by_step.get("monitor", []))
    lines += _monitored(by_step.get("monitor", []))
    lines += _told(by_step.get("alert", []))
    if len(lines) == 1:
        lines.append(_line("nothing", "to do: everything was done before"))
    personal = _personal(project, by_step.get("validate", []))
    lines += personal
    said_so = {e.outcome for e in by_step.get("release", [])}
    lines += [_line("waiting", text) for text in waiting if "propose" not in said_so]
    all_lines = lines
    said = [part for line in lines for part in wrap_text(line) or [line]]
    looks = [*pages, *_where(project, by_step)]
    lines = [*said[: MOST_LINES - min(len(looks), 3)], *looks][:MOST_LINES]
    newest_windows = {e.subject: e.outcome for e in by_step.get("monitor", [])}
    bad = [e for e in entries if e.outcome in BAD and e.step in ("validate", "release", "retrain")]
    bad_windows = [o for o in newest_windows.values() if o in BAD]
    code = 1 if bad or bad_windows else 0
    outcome = "done" if code == 0 else (bad[0].outcome if bad else bad_windows[0])
    done = [line for line in all_lines[1:] if line not in personal]
    headline = "; ".join(" ".join(line.split()) for line in done[:3])
    return TurnReport(project.name, headline, outcome, code, tuple(lines))


def _delivered(entries: list[Entry]) -> list[str]:
    """What was said about labels apart from the rows, in the newest entry's words."""
    return [_line("labels", e.reason) for e in entries[-1:]]


def _checked(entries: list[Entry]) -> list[str]:
    accepted = {e.subject: e for e in entries if e.outcome == "accepted"}
    lines = []
    if accepted:
        rows = sum(e.payload["rows"] for e in accepted.values())
        out = sum(e.payload["quarantined"] for e in accepted.values())
        keys = _keys(sorted(map(str, accepted)))
        lines.append(_line("validated", f"{keys}: {rows:,} rows accepted, {out:,} in quarantine"))
    for entry in {e.subject: e for e in entries if e.outcome == "refused"}.values():
        lines.append(_line("refused", f"{_keys([entry.subject])}: {entry.reason}"))
    return lines[:4]


def _personal(project: LoadedProject, entries: list[Entry]) -> list[str]:
    """One line, short enough not to be wrapped, where a column looks like personal data and nobody has said a word."""
    data = project.spec.data
    settled = {*data.personal, *data.not_personal, *data.exclude}
    found = {c: k for e in entries for c, k in (e.payload.get("personal") or {}).items() if c not in settled}
    if not found:
        return []
    column, looks = next(iter(found.items()))
    name = show_plain(repr(column), _LONGEST_COLUMN)
    what = (
        f"{name} and {len(found) - 1} more look like personal data" if len(found) > 1 else f"{name} looks like {looks}"
    )
    return [_line("personal", f"{what}: data.exclude, .personal or .not_personal")]


def _asked(entries: list[Entry]) -> list[str]:
    """What the policy decided where something asked for a challenger."""
    said = {"retrain": "decided: {}", "wait": "not now: {}", "failed": "failed: {}"}
    return [_line("retrain", said[e.outcome].format(_short(e.reason))) for e in entries[-2:] if e.outcome in said]


def _short(reason: str) -> str:
    """The first clauses of a sentence that quotes a window's whole one, which stands below."""
    head, but, bound = reason.partition(", but ")
    parts = head.split("; ")
    return f"{parts[0]}{but}{bound.split(': ')[0]}" if but else "; ".join(dict.fromkeys([parts[0], parts[-1]]))


def _trained(entries: list[Entry]) -> list[str]:
    lines = []
    for entry in entries[-2:]:
        made, twin = entry.payload, find_twin(entry.payload)
        again = f"version {twin} fitted again, " if twin is not None else ""
        lines.append(
            _line(
                "trained",
                f"version {entry.subject}: {again}{made['candidate']} on {made['rows']:,} rows of "
                f"{_keys(made['batches'])}, {made['seconds']:.0f} s",
            )
        )
    for entry in entries[-2:]:
        if find_twin(entry.payload) is not None and entry.outcome == "promote":
            continue  # in the words of the look, which stand above
        lines.append(_line("verdict", f"{entry.outcome}: {entry.reason}"))
        lines += _too_good(entry)
    return lines


def _looked(entries: list[Entry]) -> list[str]:
    return [
        _line("look", f"{e.payload['look']} of {e.payload['looks']} at version {e.subject}: {e.outcome}: {e.reason}")
        for e in entries[-1:]
    ]


def _too_good(entry: Entry) -> list[str]:
    """A model that is nearly always right has mostly been told: say which column it leans on."""
    area = next((m["value"] for m in entry.payload["metrics"] if m["name"] == "roc_auc"), None)
    importance = entry.payload["importance"]
    if area is None or area < TOO_GOOD or not importance:
        return []
    strongest = max(importance, key=lambda name: importance[name] or 0.0)
    signs = ((entry.payload.get("audit") or {}).get("leaks") or {}).get("signs") or ()
    if any(s["cleared"] and s["column"] == strongest for s in signs):  # a person has said that it is
        return []
    text = f"ROC AUC {area:.3f} is too good for most tables: is {strongest!r} known in time? If not, data.exclude it"
    return [_line("beware", text)]


def _released(project: LoadedProject, entries: list[Entry], aliases: list[Entry]) -> list[str]:
    said = {
        "promote": "version {0} is champion",
        "approve": "version {0} is champion, approved by {1}",
        "rollback": "version {0} is champion again, rolled back by {1}",
        "propose": "version {0} waits for approval: {3}",
        "hold": "version {0} is held; {2}",
        "reject": "version {0} is rejected; {2}",
    }
    lines = [
        _line("released" if e.outcome in ("promote", "approve", "rollback") else "release",
              said[e.outcome].format(e.subject, e.actor, _left(e), approval(project, str(e.subject))))
        for e in entries[-2:]
    ]  # fmt: skip
    lines += [_line("aliases", e.reason) for e in aliases if e.outcome in ("restored", "missing")][:1]
    return lines


def _left(entry: Entry) -> str:
    champion = entry.payload["compared_with"]
    return "there is no champion yet" if champion is None else f"version {champion} stays champion"


def _scored(entries: list[Entry]) -> list[str]:
    if not entries:
        return []
    rows = sum(e.payload["rows"] for e in entries)
    versions = sorted({e.payload["version"] for e in entries})
    return [_line("scored", f"{_keys([e.subject for e in entries])}: {rows:,} rows by version "
                            f"{', '.join(map(str, versions))}")]  # fmt: skip


def _shadowed(entries: list[Entry], windows: list[Entry]) -> list[str]:
    """One line of the challenger beside the champion: what the newest window with labels says of both, else how far its
    newest predictions lie from what was served; and one where it could not score."""
    failed = [e for e in entries if e.outcome == "failed"]
    scored = [e for e in entries if e.outcome != "failed"]
    lines = [
        _line("shadow", f"{_keys([e.subject])}: version {e.payload['version']} failed: {e.reason}") for e in failed[-1:]
    ]
    measured = [e for e in windows if (e.payload.get("shadow") or {}).get("rows")]
    if measured:
        lines.append(_line("shadow", f"{_keys([measured[-1].subject])}: {say_live(measured[-1].payload['shadow'])}"))
    elif scored:
        rows, far = sum(e.payload["rows"] for e in scored), say_disagreement(scored[-1].payload["disagreement"])
        keys = _keys(list(dict.fromkeys(e.subject for e in scored)))
        lines.append(_line("shadow", f"{keys}: {rows:,} rows by version {scored[-1].payload['version']} beside; {far}"))
    return lines


def _monitored(entries: list[Entry]) -> list[str]:
    newest = list({e.subject: e for e in entries}.values())
    lines = []
    if len(newest) > 1:
        counts: dict[str, int] = {}
        for e in newest[:-1]:
            counts[e.outcome] = counts.get(e.outcome, 0) + 1
        unwell = [f"{_keys([e.subject])} {e.outcome}" for e in newest[:-1] if e.outcome != "healthy"]
        text = ", ".join(f"{n} {state}" for state, n in counts.items())
        if unwell and len(newest) > 2:
            text += f" ({', '.join(unwell[-MOST_NAMED:])}{', ...' if len(unwell) > MOST_NAMED else ''})"
        lines.append(_line("earlier", f"{_keys([e.subject for e in newest[:-1]])}: {text}"))
    if newest:
        last = newest[-1]
        action = "" if last.payload["action"] == "none" else f", action: {last.payload['action']}"
        lines.append(_line("health", f"{_keys([last.subject])} {last.outcome}{action}: {last.reason}"))
        told = [text for text in last.payload["notes"] if last.payload["report"] is None or text.startswith("monitor.")]
        lines += [_line("note", text) for text in told]
    return lines


def _told(entries: list[Entry]) -> list[str]:
    """Whom the alerts of this turn reached; nothing where no address is set."""
    lines = []
    for entry in entries[-2:]:
        reached: dict[str, list[str]] = {"sent": [], "failed": []}
        for name, delivery in entry.payload["channels"].items():
            reached[delivery["state"]].append(name)
        sent = [name for name in reached["sent"] if name != "prefect"]
        parts = [f"sent to {', '.join(sent)}"] if sent else []
        parts += [f"did not reach {', '.join(reached['failed'])}"] if reached["failed"] else []
        if parts:
            lines.append(_line("alert", f"{_keys([entry.subject])} {entry.outcome}: {'; '.join(parts)}"))
    return lines


def _where(project: LoadedProject, by_step: Mapping[str, list[Entry]]) -> list[str]:
    """Where to look: the newest drift report, contract page and predictions, and how to see the rest."""
    pages = [("drift", "monitor", "report"), ("contract", "validate", "page"), ("rows", "score", "path")]
    lines = []
    decided = by_step.get("release") or by_step.get("look") or by_step.get("train")
    if decided:
        page = project.folder / "decisions" / f"v{decided[-1].subject}.html"
        lines += [f"  {'look at':<10} decision: {shown(page)}"] if page.is_file() else []
    for name, step, field in pages:
        done = by_step.get(step)
        stored = done[-1].payload.get(field) if done else None
        if stored:
            lines.append(f"  {'look at':<10} {name}: {shown(project.home / stored)}")
    if by_step.get("train") or by_step.get("monitor"):
        lines.append(f"  {'look at':<10} everything: trueup ui (Prefect, MLflow and Evidently in the browser)")
    return lines


def _keys(keys: Sequence[Any]) -> str:
    names = [show_plain(k, _LONGEST_KEY) for k in keys]
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} batches from {names[0]} to {names[-1]}"


def _line(label: str, text: str) -> str:
    return label_text(label, " ".join(str(text).split()))


def report_of(project: LoadedProject, ledger: Ledger, since: int, title: str) -> TurnReport:
    """The report of all entries after `since`, for commands that do one step."""
    return describe(project, ledger, [e for e in ledger.entries(project.name) if e.seq > since], title)
