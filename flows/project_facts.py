"""What the ledger knows of a whole project, gathered for its page. Neither the source nor MLflow is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from flows.challenger import proposed_version
from flows.decisions import is_verdict
from flows.links import Links
from flows.plan import DELIVERIES
from flows.policy import STEP as RETRAIN
from flows.policy import find_pause
from flows.walk import list_replays
from flows.window_facts import list_windows
from tasks.config import LoadedProject
from tasks.ledger import Entry, Ledger, read_release
from tasks.reports.facts import (
    CheckFacts,
    DecisionFacts,
    Incident,
    PolicyFacts,
    ProjectFacts,
    RetrainingFacts,
    TrainingFacts,
)
from tasks.retraining.policy import describe_policy

LOOP = ("validate", "train", "look", "retrain", "monitor", "labels", "turn")  # their moment is that of a turn
BESIDE = ("release", "alert", "alias", "prune", "restore")
Entries = Mapping[str, tuple[Entry, ...]]


def gather_facts(
    ledger: Ledger, name: str, home: Path, project: LoadedProject | None = None, newest: int | None = None
) -> ProjectFacts:
    """A project as its ledger has it, links relative to its folder below `home`.

    `project` is its file, where that is at hand: what it says of commands, the policy and personal data. Without one
    the newest turn says what commands take. `newest`: only the newest so many entries of each step are read, and links
    are relative to `home`, as the index needs them.
    """
    found = {step: ledger.entries(name, step=step, limit=newest) for step in (*LOOP, *BESIDE)}
    turn = found["turn"][-1] if found["turn"] else None
    timezone, argument = _find_setting(turn, name, project)
    zone = ZoneInfo(timezone)
    links = Links(home, home / name if newest is None else home)
    moments = [e.as_of for step in LOOP for e in found[step] if e.as_of is not None]
    written = [turn] if turn is not None else [entries[-1] for step in LOOP if (entries := found[step])]
    as_of = max(moments, default=None)
    standing = ledger.standing(name)
    champion = standing.champion
    decisions = _list_decisions(found, links)
    checks, refusals, mended = _list_checks(found["validate"], links)
    trainings = found["train"]
    if champion is not None and not any(e.subject == str(champion.version) for e in trainings):
        own = ledger.latest(name, step="train", subject=str(champion.version))
        trainings = ((own,) if own is not None else ()) + trainings
    windows = list_windows(found["monitor"], trainings, {c.batch: c.page for c in checks}, links)
    delivered = [e for e in found["labels"] if e.subject == DELIVERIES]
    return ProjectFacts(
        project=name,
        argument=argument,
        description=(project.spec.description or "") if project is not None else "",
        zone=zone,
        timezone=timezone,
        as_of=as_of,
        turned=max((e.at for e in written), default=None),
        windows=windows,
        trainings=tuple(_read_training(e) for e in trainings),
        decisions=decisions,
        retrainings=tuple(_read_retraining(e) for e in found[RETRAIN]),
        checks=checks,
        refusals=refusals,
        incidents=(*mended, *_list_incidents(found)),
        champion=champion.version if champion else None,
        since=next((d for d in decisions if champion and d.seq == champion.seq), None),
        previous=champion.previous if champion else None,
        waiting=proposed_version(ledger, name),
        policy=_read_policy(project, ledger, as_of),
        personal=_find_personal(found["validate"], project),
        deliveries=delivered[-1].reason if delivered else "",
        faulty_deliveries=bool(delivered) and delivered[-1].outcome == "faulty",
        unreached=_find_unreached(found["alert"]),
        links=_list_links(found, home, name, champion.version if champion else None, links),
    )


def describe_setting(project: LoadedProject) -> dict[str, str]:
    """What a turn leaves of the project file for pages that are written without it."""
    return {"argument": project.address, "timezone": project.spec.data.timezone}


def _find_setting(turn: Entry | None, name: str, project: LoadedProject | None) -> tuple[str, str]:
    """The time zone and what commands take, from the project file or else from the newest turn."""
    if project is not None:
        return project.spec.data.timezone, project.address
    left = turn.payload if turn is not None else {}
    timezone = str(left.get("timezone", "UTC"))
    try:
        ZoneInfo(timezone)
    except (ValueError, OSError, KeyError):  # an edited row, or a zone that is not known here
        timezone = "UTC"
    return timezone, str(left.get("argument", name))


def _read_training(entry: Entry) -> TrainingFacts:
    made = entry.payload
    return TrainingFacts(
        version=int(str(entry.subject)),
        seq=entry.seq,
        moment=entry.as_of,
        candidate=str(made.get("candidate", "")),
        rows=int(made.get("rows") or 0),
        batches=tuple(map(str, made.get("batches") or ())),
        asked=made.get("trigger"),
    )


def _list_decisions(found: Entries, links: Links) -> tuple[DecisionFacts, ...]:
    evidence = [*found["train"], *found["look"]]
    decisions = []
    before: int | None = None
    for entry in found["release"]:
        after = read_release(entry).champion
        verdicts = [e for e in evidence if e.subject == entry.subject]
        overruled = tuple(map(str, entry.payload.get("overruled") or ())) if entry.payload.get("override") else None
        decisions.append(
            DecisionFacts(
                seq=entry.seq,
                moment=entry.as_of or entry.at,
                written=entry.at,
                version=int(str(entry.subject)),
                action=entry.outcome,
                actor=entry.actor,
                reason=entry.reason.removeprefix(f"Overruled {', '.join(overruled or ())}: "),
                by_gates=any(is_verdict(entry, verdict) for verdict in verdicts),
                before=before,
                champion=after.version if after else None,
                overruled=overruled,
                page=links.to(f"{entry.project}/decisions/v{entry.subject}.html"),
            )
        )
        before = after.version if after else None
    return tuple(decisions)


def _read_retraining(entry: Entry) -> RetrainingFacts:
    until = entry.payload.get("not_before")
    return RetrainingFacts(
        seq=entry.seq,
        moment=entry.as_of,
        outcome=entry.outcome,
        code=str(entry.payload.get("code", "")),
        sentence=entry.reason,
        not_before=datetime.fromisoformat(until) if isinstance(until, str) else until,
    )


def _list_checks(
    validated: Sequence[Entry], links: Links
) -> tuple[tuple[CheckFacts, ...], tuple[CheckFacts, ...], tuple[Incident, ...]]:
    """The newest check of each batch, each refusal that was news, and what was mended after one.

    Of a batch that was checked for scoring too, what training's own check says is left out.
    """
    order = dict.fromkeys(str(e.subject) for e in validated)
    scored = {str(e.subject) for e in validated if not e.payload.get("labels")}
    newest: dict[str, Entry] = {}
    refusals, mended = [], []
    for entry in validated:
        key = str(entry.subject)
        if key in scored and entry.payload.get("labels"):
            continue
        before = newest.get(key)
        newest[key] = entry
        if entry.outcome == "refused" and (before is None or before.outcome != "refused"):
            refusals.append(_read_check(entry, links))
        elif entry.outcome == "accepted" and before is not None and before.outcome == "refused":
            mended.append(Incident(entry.seq, entry.as_of, "accepted", f"{key}, delivered again, was accepted"))
    return tuple(_read_check(newest[key], links) for key in order), tuple(refusals), tuple(mended)


def _read_check(entry: Entry, links: Links) -> CheckFacts:
    made = entry.payload
    return CheckFacts(
        seq=entry.seq,
        moment=entry.as_of,
        batch=str(entry.subject),
        outcome=entry.outcome,
        reason=entry.reason,
        rows=int(made.get("rows") or 0),
        quarantined=int(made.get("quarantined") or 0),
        page=links.to(made.get("page")),
        quarantine=links.to(made.get("quarantine")),
    )


def _list_incidents(found: Entries) -> list[Incident]:
    incidents = []
    for entry in {e.key: e for e in found["alert"]}.values():
        failed = _list_failed(entry)
        if failed:
            said = f"the alert about {entry.subject} ({entry.outcome}) did not reach {', '.join(failed)}"
            incidents.append(Incident(entry.seq, entry.as_of, "alert", said))
    for entry in found["alias"]:
        if entry.outcome in ("restored", "missing"):
            incidents.append(Incident(entry.seq, entry.as_of, "alias", entry.reason))
    faulty = ""
    for entry in found["labels"]:
        if entry.outcome == "faulty" and entry.reason != faulty:
            said = f"labels were delivered that cannot be used: {entry.reason}"
            incidents.append(Incident(entry.seq, entry.as_of, "labels", said))
        faulty = entry.reason if entry.outcome == "faulty" else ""
    for step, said in (("prune", "old files and models were removed"), ("restore", "restored from a backup")):
        incidents += [Incident(e.seq, e.as_of, step, f"{said}: {e.reason}") for e in found[step]]
    return incidents


def _list_failed(alert: Entry) -> list[str]:
    """The channels that an alert did not reach."""
    channels = (alert.payload.get("channels") or {}).items()
    return ["Prefect" if name == "prefect" else str(name) for name, d in channels if d.get("state") == "failed"]


def _find_unreached(alerts: Sequence[Entry]) -> str:
    return ", ".join(_list_failed(alerts[-1])) if alerts else ""


def _find_personal(validated: Iterable[Entry], project: LoadedProject | None) -> dict[str, str]:
    """Columns that look like personal data, and about which the project file says nothing."""
    if project is None:
        return {}
    data = project.spec.data
    settled = {*data.personal, *data.not_personal, *data.exclude}
    newest = {str(e.subject): e for e in validated}
    return {
        c: str(k) for e in newest.values() for c, k in (e.payload.get("personal") or {}).items() if c not in settled
    }


def _read_policy(project: LoadedProject | None, ledger: Ledger, as_of: datetime | None) -> PolicyFacts:
    if project is None:
        return PolicyFacts()
    policy = project.spec.retrain
    used, until = find_pause(project, ledger, as_of) if as_of is not None else (0, None)
    return PolicyFacts(
        sentence=describe_policy(policy),
        used=used,
        most=policy.max_per_quarter if policy.on else None,
        not_before=until,
        budget=project.spec.monitor.false_alarms,
    )


def _list_links(found: Entries, home: Path, name: str, champion: int | None, links: Links) -> dict[str, str]:
    """What there is to look at beside the page, by what it is."""
    window = found["monitor"][-1] if found["monitor"] else None
    check = found["validate"][-1] if found["validate"] else None
    places = {
        "champion: decision page": f"{name}/decisions/v{champion}.html",
        "champion: model card": f"{name}/decisions/v{champion}-card.html",
        f"drift report of {window.subject}" if window else "": window.payload.get("report") if window else None,
        f"contract page of {check.subject}" if check else "": check.payload.get("page") if check else None,
        **list_replays(home, name),
    }
    return {said: link for said, stored in places.items() if (link := links.to(stored)) is not None}
