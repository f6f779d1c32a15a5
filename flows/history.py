"""Who decided what about a project's models, who was champion when, and whether the record is still as it was written.

Only the ledger is read, and MLflow for the head that it has noted: neither source nor models have to be there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

from flows.answer import Answer, label_text
from flows.decisions import DONE, tell_backdated, tell_decision, tell_time, wrap_line
from flows.workspace import check_begun
from tasks.config import LoadedProject, load_project
from tasks.errors import ConfigError, InfrastructureError
from tasks.ledger import Entry, Head, Ledger, open_ledger, read_release
from tasks.registry import open_registry, read_aliases, read_head

BROKEN = 4


def tell_history(project: str, at: str | None, verify: bool, limit: int | None) -> Answer:
    """Every decision about a project's models, the newest last; or who was champion at a time; or whether it holds.

    `at` is an ISO date (00:00 in data.timezone) or time. `limit` tells the newest so many decisions only. Exit code 4
    where the record was changed, or could not be compared with the head that MLflow has noted. ConfigError for a
    project that there is none of, a home without a ledger, and a time or limit that is none.
    """
    loaded = load_project(project)
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit {limit}: expected 1 or more.")
    moment = None if at is None else _read_moment(at, loaded)
    check_begun(loaded)
    with open_ledger(loaded.home) as ledger:
        lines, code = _verify(loaded, ledger) if verify else ([], 0)
        if moment is not None:
            lines += list(_tell_moment(loaded, ledger, moment))
        elif not verify:
            lines += list(_tell_all(loaded, ledger, limit))
    return Answer(tuple(part for line in lines for part in wrap_line(line)), code)


def _tell_all(project: LoadedProject, ledger: Ledger, limit: int | None) -> Iterator[str]:
    entries = ledger.entries(project.name)
    if not entries:
        raise ConfigError(
            f"{project.name}: the ledger has no entry of this project. Check TRUEUP_HOME and TRUEUP_DATABASE_URL."
        )
    told = [e for e in entries if e.step == "release" or (e.step == "alias" and e.outcome != "moved")]
    shown = told if limit is None else told[-limit:]
    evidence = {e.seq: e for e in entries if e.step in ("train", "look")}
    zone = project.spec.data.zone
    standing = ledger.standing(project.name)
    champion = f"champion: version {standing.champion.version}" if standing.champion else "no champion"
    left = f"; the newest {len(shown)} of them" if len(shown) < len(told) else ""
    yield f"{project.name}: {len(told)} decisions{left}; {champion} (times in {project.spec.data.timezone})"
    before: int | None = None
    for entry in told:
        if entry.step == "alias":
            if entry in shown:
                yield from ("", f"{tell_time(entry.at, zone)}  {entry.outcome.upper()} in MLflow  [row {entry.seq}]")
                yield label_text("what", entry.reason)
            continue
        champion_now = read_release(entry).champion
        after = champion_now.version if champion_now else None
        if entry in shown:
            yield ""
            yield from tell_decision(entry, evidence, before, after, zone)
        before = after


def _tell_moment(project: LoadedProject, ledger: Ledger, moment: datetime) -> Iterator[str]:
    """Who was champion: by when decisions were written, and by the moments they looked from where that differs."""
    zone, decisions = project.spec.data.zone, ledger.entries(project.name, step="release")
    yield f"{project.name} at {tell_time(moment, zone)} ({project.spec.data.timezone})"
    if not decisions:
        yield label_text("champion", "none: nothing was decided yet, then or since")
        return
    written = [e for e in decisions if e.at <= moment]
    yield label_text("champion", _describe_champion(decisions, written, "written", zone))
    looked = [e for e in decisions if (e.as_of or e.at) <= moment]
    if _champion_of(looked) != _champion_of(written):
        yield label_text("as of", _describe_champion(decisions, looked, "as of", zone))
        yield label_text(
            "", "The first is by when each decision was written, the second by the moment that it looked from: turns "
            "were run over the past."
        )  # fmt: skip


def _describe_champion(decisions: Sequence[Entry], until: Sequence[Entry], how: str, zone: tzinfo) -> str:
    if not until:
        first = min(e.at if how == "written" else e.as_of or e.at for e in decisions)
        return f"none: the first decision was {'written on' if how == 'written' else 'as of'} {tell_time(first, zone)}"
    champion = _champion_of(until)
    if champion is None:
        return f"none: {len(until)} decisions by then, none of which released a version"
    (made,) = [e for e in decisions if e.seq == champion[1]]
    since = made.at if how == "written" else made.as_of or made.at
    done = "PROMOTED OVER ITS GATES" if made.payload.get("override") else DONE.get(made.outcome, made.outcome)
    return (
        f"version {champion[0]}, since {tell_time(since, zone)}: {done.removesuffix(' to')} by {made.actor} "
        f"[row {made.seq}{tell_backdated(made, zone)}]. {made.reason}"
    )


def _champion_of(decisions: Sequence[Entry]) -> tuple[int, int] | None:
    """Version and the row that made it champion, after the newest of some decisions."""
    champion = read_release(decisions[-1]).champion if decisions else None
    return (champion.version, champion.seq) if champion else None


def _verify(project: LoadedProject, ledger: Ledger) -> tuple[list[str], int]:
    """Walk the chain against the head that MLflow has noted; lines, and the exit code."""
    name, registry = project.name, open_registry(project.home)
    noted, unreachable, aliases = None, "", {}
    try:
        found = read_head(registry, name)
        noted, aliases = (None if found is None else Head(*found)), read_aliases(registry, name)
    except InfrastructureError as error:
        unreachable = str(error)
    result = ledger.verify(name, noted)
    title = f"{name}: the ledger {'holds' if result.holds else 'WAS CHANGED'}"
    if not result.holds:
        mend = (
            f"Restore the ledger from a backup that holds (trueup restore), and compare its row {result.broken} with "
            "this one to see what was changed. Where the ledger was replaced on purpose, delete the tag "
            f"trueup.ledger_head of the registered model {name!r} in MLflow: the next turn notes the head anew."
        )
        return [title, label_text("broken", result.sentence), label_text("do", mend)], BROKEN
    if result.rows == 0 and not unreachable:
        raise ConfigError(
            f"{name}: the ledger has no entry of this project. Check TRUEUP_HOME and TRUEUP_DATABASE_URL."
        )
    lines = [title, label_text("rows", result.sentence)]
    if unreachable:
        lines[0] = f"{name}: the ledger holds by itself; verified WITHOUT the head that MLflow has noted"
        return [*lines, label_text("unreachable", unreachable)], BROKEN
    if noted is None and ledger.latest(name, step="alias") is not None:
        lines[0] = f"{name}: the ledger holds by itself, but the head that MLflow had noted is GONE"
        gone = "Someone removed it, or MLflow was replaced. The next turn or decision notes the head anew."
        return [*lines, label_text("do", gone)], BROKEN
    if result.rows > result.covered > 0:
        after = "The next turn or decision notes the head anew; until then an edit of the rows after it that also made "
        lines.append(label_text("beware", after + "their hashes anew would not show."))
    standing = ledger.standing(name)
    champion = standing.champion.version if standing.champion else None
    if aliases.get("champion") != champion:
        named = aliases.get("champion")
        lines.append(
            label_text(
                "aliases",
                f"MLflow's alias 'champion' names {f'version {named}' if named else 'nothing'}, the ledger "
                f"{f'version {champion}' if champion else 'no champion'}; the next turn or decision sets it right.",
            )
        )
    return lines, 0


def _read_moment(text: str, project: LoadedProject) -> datetime:
    zone = project.spec.data.zone
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        moment.astimezone(zone)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"--at {text}: expected an ISO date or time such as 2013-05-01 or 2013-05-01T06:00."
        ) from None
    return moment
