"""The project page: one look tells whether all is well, what happened, and what to do now. One file, no script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.reports.advice import Tone, action_word
from tasks.reports.dossier import metric_title
from tasks.reports.facts import ProjectFacts, WindowFacts
from tasks.reports.headline import Headline, tell_headline
from tasks.reports.rendering import render_html
from tasks.reports.story import tell_story
from tasks.reports.timeline import GLYPHS
from tasks.reports.windows import draw_windows, find_metric, find_places, list_windows, show_reading
from tasks.reports.wording import NOTHING, number, plain, shorten

EVENTS = 40
DECISIONS = 15
PROJECTS = 200
_LONGEST = 420
_IN_INDEX = 200


@dataclass(frozen=True)
class Tile:
    """One fact: what it is of, its value, what a person wants to know beside it, and a word in its tone."""

    title: str
    value: str
    beside: tuple[str, ...] = ()
    sign: tuple[str, str, Tone] | None = None


@dataclass(frozen=True)
class Listed:
    """A project in the index: `page` is the address of its page, None where it has none here."""

    project: str
    headline: Headline
    champion: str
    window: str
    sign: tuple[str, str, str] | None
    turned: str
    page: str | None


def write_overview(facts: ProjectFacts) -> str:
    """The page as HTML: self-contained, without script, below 1 MB whatever the data and the people brought.

    It tells only what the facts hold. The same facts give the same page.
    """
    events, earlier = tell_story(facts, EVENTS)
    rows, before = list_windows(facts)
    decided = list(reversed(facts.decisions[-DECISIONS:]))
    return render_html(
        "overview.html.jinja",
        f=facts,
        headline=tell_headline(facts),
        tiles=list(_make_tiles(facts)),
        drawing=draw_windows(facts),
        events=events,
        earlier=earlier,
        signs=GLYPHS,
        rows=rows,
        before=before,
        decisions=[
            {
                "version": made.version,
                "day": facts.day(made.moment),
                "action": "released against its gates" if made.overruled is not None else action_word(made.action),
                "loud": made.overruled is not None,
                "actor": "the gates" if made.by_gates else made.actor,
                "reason": shorten(plain(made.reason), _LONGEST),
                "page": made.page,
            }
            for made in decided
        ],
        undecided=max(0, len(facts.decisions) - DECISIONS),
    )


def write_index(projects: Sequence[ProjectFacts], pages: Sequence[str | None]) -> str:
    """The page over all projects of a home, those that need somebody first. `pages` are the addresses of theirs."""
    rows = [_list_project(facts, page) for facts, page in zip(projects, pages, strict=True)]
    order = {"bad": 0, "warn": 1, "na": 2, "good": 3}
    rows.sort(key=lambda row: (order[row.headline.tone], row.project))
    counts = [(tone, sum(row.headline.tone == tone for row in rows)) for tone in order]
    return render_html("index.html.jinja", rows=rows[:PROJECTS], more=max(0, len(rows) - PROJECTS), counts=dict(counts))


def _list_project(facts: ProjectFacts, page: str | None) -> Listed:
    headline, newest = tell_headline(facts), facts.newest
    aged = _tell_age(facts)
    return Listed(
        project=facts.project,
        headline=Headline(headline.word, headline.tone, shorten(headline.sentence, _IN_INDEX), (), headline.steps[:1]),
        champion=f"version {facts.champion}{f', {aged}' if aged else ''}" if facts.champion is not None else "none",
        window=newest.key if newest else NOTHING,
        sign=GLYPHS.get(newest.health) if newest else None,
        turned=_tell_moment(facts),
        page=page,
    )


def _make_tiles(facts: ProjectFacts) -> Iterator[Tile]:
    yield _tile_champion(facts)
    newest = facts.newest
    if newest is None:
        yield Tile("newest window", "none yet", ("what is scored is monitored by a turn",))
    else:
        glyph, word, tone = GLYPHS.get(newest.health, ("·", newest.health, "na"))
        beside = (f"{number(newest.rows)} rows", f"{len(facts.windows):,} windows in all")
        yield Tile("newest window", newest.key, beside, (glyph, word, tone))  # type: ignore[arg-type]
    yield _tile_performance(facts)
    yield _tile_alarms(facts)
    yield _tile_labels(facts)
    yield _tile_quarantine(facts)
    yield _tile_retraining(facts)
    done = f"done {facts.turned:%Y-%m-%d}" if facts.past and facts.turned else ""
    yield Tile("as of", facts.day(facts.as_of), tuple(t for t in (facts.timezone, done) if t))


def _tile_champion(facts: ProjectFacts) -> Tile:
    if facts.champion is None:
        trained = len(facts.trainings)
        said = f"{trained} version{'' if trained == 1 else 's'} trained, none released" if trained else "none trained"
        return Tile("champion", "none", (said,))
    training, since = facts.training, facts.since
    beside: list[str] = []
    if training is not None:
        beside.append(f"{plain(training.candidate)}, trained {facts.day(training.moment)}")
    aged = _tell_age(facts)
    beside += [aged] if aged else []
    if since is not None:
        beside.append(f"champion since {facts.day(since.moment if since.by_gates else since.written)}")
    sign: tuple[str, str, Tone] | None = ("⚠", "by override", "bad") if since and since.overruled is not None else None
    return Tile("champion", f"version {facts.champion}", tuple(beside), sign)


def _tell_age(facts: ProjectFacts) -> str:
    training = facts.training
    if training is None or training.moment is None or facts.as_of is None or training.moment > facts.as_of:
        return ""
    days = (facts.as_of - training.moment).days
    return f"{days:,} day{'' if days == 1 else 's'} old"


def _tile_performance(facts: ProjectFacts) -> Tile:
    metric = find_metric(facts)
    if metric is None:
        return Tile("performance", NOTHING, ("nothing was measured on scored rows yet",))
    with_labels = [w for w in facts.windows if w.realised is not None and w.metric == metric]
    newest, places = facts.newest, find_places(facts)
    beside: list[str] = []
    if with_labels:
        window = with_labels[-1]
        value, ends = show_reading(window.realised, places)
        beside.append(f"{ends} in {_key(window)}".strip())
    else:
        window = newest or facts.windows[-1]
        value = NOTHING
        beside.append("no labels yet")
    if window.promised is not None:
        promised, ends = show_reading(window.promised, places)
        beside.append(f"promised {promised} {ends}".strip())
    if newest is not None and newest.metric == metric and newest.estimated is not None:
        where = "" if newest is window else f" in {_key(newest)}"
        estimated, ends = show_reading(newest.estimated, places)
        beside.append(f"estimated {estimated} {ends}{where}".strip())
    return Tile(f"{metric_title(metric)}, from labels", value, tuple(beside))


def _tile_alarms(facts: ProjectFacts) -> Tile:
    alarms = sum(w.alarm for w in facts.windows)
    beside = []
    if facts.policy.budget:
        beside.append(f"{facts.policy.budget} may be false")
    tally = next((w.tally for w in reversed(facts.windows) if w.tally), "")
    if tally:
        beside.append(plain(tally.rpartition("; ")[2]))
    if any(w.promise for w in facts.windows[-1:]) and facts.windows[-1].promise.startswith("learning"):
        beside.append("learning: too few past windows to promise that yet")
    if alarms:
        beside.append(f"the newest in {next(_key(w) for w in reversed(facts.windows) if w.alarm)}")
    value = f"{alarms:,} in {len(facts.windows):,} window{'' if len(facts.windows) == 1 else 's'}"
    return Tile("drift alarms", value, tuple(beside))


def _tile_labels(facts: ProjectFacts) -> Tile:
    scored = [w for w in facts.windows if w.rows and w.version is not None and w.cause != "refused"]
    waiting = [w for w in scored if not w.speaks]
    beside = []
    if scored:
        newest = scored[-1]
        beside.append(f"{newest.labelled / newest.rows:.0%} known in {_key(newest)}")
    if waiting:
        beside.append(f"{', '.join(_key(w) for w in waiting[-3:])}{', ...' if len(waiting) > 3 else ''}")
    if facts.deliveries:
        beside.append(shorten(plain(facts.deliveries), 120))
    rows = sum(max(0, w.rows - w.labelled) for w in waiting)
    value = f"{rows:,} of {len(waiting):,} window{'' if len(waiting) == 1 else 's'}" if waiting else "none"
    return Tile("labels awaited", value if scored else NOTHING, tuple(beside))


def _tile_quarantine(facts: ProjectFacts) -> Tile:
    if not facts.checks:
        return Tile("quarantine", NOTHING, ("no batch was checked yet",))
    newest = facts.checks[-1]
    rows, out = sum(c.rows for c in facts.checks), sum(c.quarantined for c in facts.checks)
    beside = [
        f"{number(newest.quarantined)} in {shorten(plain(newest.batch), 40)}",
        f"{number(out)} of {number(rows)} rows in all",
    ]
    refused = [c for c in facts.checks if c.outcome == "refused"]
    sign: tuple[str, str, Tone] | None = None
    if refused:
        sign = ("■", f"{len(refused)} batch{'' if len(refused) == 1 else 'es'} refused", "bad")
    return Tile("quarantine", f"{number(out)} rows", tuple(beside), sign)


def _tile_retraining(facts: ProjectFacts) -> Tile:
    policy = facts.policy
    newest = facts.retrainings[-1] if facts.retrainings else None
    value = NOTHING
    if policy.most is not None:
        value = f"{policy.used} of {policy.most} this quarter"
    beside = []
    if policy.not_before is not None:
        beside.append(f"not before {facts.day(policy.not_before)}")
    elif policy.most is not None and facts.champion is not None:
        beside.append("possible at any turn")
    if newest is not None:
        said = {"none": "nothing asks for it", "wait": "asked for, and held back", "retrain": "asked for",
                "failed": "asked for, and failed"}  # fmt: skip
        beside.append(f"{said.get(newest.outcome, newest.outcome)} as of {facts.day(newest.moment)}")
    return Tile("retrained by itself", value, tuple(beside))


def _tell_moment(facts: ProjectFacts) -> str:
    if facts.as_of is None:
        return NOTHING
    done = f", done {facts.turned:%Y-%m-%d}" if facts.past and facts.turned else ""
    return f"as of {facts.day(facts.as_of)}{done}"


def _key(window: WindowFacts) -> str:
    return shorten(plain(window.key), 40)
