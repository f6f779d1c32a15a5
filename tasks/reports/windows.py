"""A project's windows in their order: drawn over time, with what happened to its model, and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from tasks.reports.dossier import metric_title
from tasks.reports.facts import DecisionFacts, ProjectFacts, Reading, WindowFacts
from tasks.reports.timeline import GLYPHS, Band, Course, Dot, Lane, Mark, draw_key, draw_timeline
from tasks.reports.wording import NOTHING, find_decimals, fixed, number, plain, shorten

DRAWN = 60  # the newest windows
LISTED = 24
CROWDED = 24  # windows, from which on a narrow page scrolls the drawing
ASIDE = 0.125  # of a window, so that two intervals stand beside each other; a share that adds up exactly
_SAYS = 160  # characters of what a mark says
_ROW_TEXT = 260
_SIGNS = {"promote": "promote", "approve": "promote", "rollback": "rollback", "reject": "reject"}


@dataclass(frozen=True)
class Drawing:
    """The picture, what its signs mean, and what it leaves out."""

    figure: Markup
    key: Markup
    metric: str
    left_out: int
    crowded: bool


@dataclass(frozen=True)
class Row:
    """A window as the table has it."""

    name: str
    version: str
    rows: str
    labelled: str
    realised: tuple[str, str]  # a value, and its interval
    estimated: tuple[str, str]
    promised: tuple[str, str]
    sign: tuple[str, str, str]  # a glyph, the word for it, its tone
    cause: str
    action: str
    links: tuple[tuple[str, str], ...]


def draw_windows(facts: ProjectFacts) -> Drawing | None:
    """The newest windows: what came true, what was estimated and promised, health, alarms and the model's changes.

    None where nothing was monitored yet. All of one metric, that of the newest window with one.
    """
    windows = facts.windows[-DRAWN:]
    if not windows:
        return None
    metric, places = find_metric(facts), find_places(facts)
    realised = Course("came true, from labels", tuple(_dots(windows, metric, places, "realised", -ASIDE)), 0)
    estimated = Course("estimated without labels", tuple(_dots(windows, metric, places, "estimated", ASIDE)), 3)
    courses = [course for course in (realised, estimated) if course.dots]
    health = Lane("health", tuple(Mark(i, w.health, _say(f"{w.key} {w.health}: {w.sentence}"))
                                  for i, w in enumerate(windows) if w.health in GLYPHS))  # fmt: skip
    alarms = Lane("alarms", tuple(Mark(i, "alarm", _say(f"{w.key}: {w.tally or w.sentence}"))
                                  for i, w in enumerate(windows) if w.alarm))  # fmt: skip
    model = Lane("model", tuple(_mark_model(facts, windows)))
    lanes = [lane for lane in (health, alarms, model) if lane.marks]
    title = metric_title(metric) if metric else "Health"
    counts = [f"{len(list(same))} {health}" for health, same in groupby(sorted(w.health for w in windows))]
    figure = draw_timeline(
        f"{title} of {plain(facts.project)} by window",
        f"{len(windows)} windows from {_short(windows[0].key)} to {_short(windows[-1].key)}: {', '.join(counts)}",
        [w.key for w in windows],
        courses,
        bands=tuple(_bands(windows, metric, places)),
        lanes=lanes,
        height=240 if len(windows) > 1 else 160,
    )
    key = draw_key(courses, [mark.kind for lane in lanes for mark in lane.marks])
    return Drawing(figure, key, title, len(facts.windows) - len(windows), len(windows) > CROWDED)


def list_windows(facts: ProjectFacts) -> tuple[list[Row], int]:
    """The newest windows as rows, the newest first, and how many there are before them."""
    metric, places = find_metric(facts), find_places(facts)
    rows = [_make_row(window, metric, places) for window in reversed(facts.windows[-LISTED:])]
    return rows, max(0, len(facts.windows) - LISTED)


def find_metric(facts: ProjectFacts) -> str | None:
    """The metric of the newest window that has one."""
    return next((w.metric for w in reversed(facts.windows) if w.metric), None)


def find_places(facts: ProjectFacts) -> int:
    """After how many decimals the project's metric is written: the same on all of its page."""
    metric = find_metric(facts)
    readings = [r for w in facts.windows if w.metric == metric for r in (w.realised, w.estimated, w.promised)]
    return find_decimals([reading.value for reading in readings if reading is not None])


def show_reading(reading: Reading | None, places: int) -> tuple[str, str]:
    """A value, and its interval in brackets; a dash where there is none."""
    if reading is None:
        return NOTHING, ""
    ends = reading.ends
    return fixed(reading.value, places), f"[{fixed(ends[0], places)}, {fixed(ends[1], places)}]" if ends else ""


def _make_row(window: WindowFacts, metric: str | None, places: int) -> Row:
    same = window.metric == metric
    links = [("drift", window.report), ("contract", window.contract)]
    share = f" ({window.labelled / window.rows:.0%})" if window.rows and window.labelled else ""
    return Row(
        name=window.key,
        version=str(window.version) if window.version is not None else NOTHING,
        rows=number(window.rows),
        labelled=f"{number(window.labelled)}{share}",
        realised=show_reading(window.realised if same else None, places),
        estimated=show_reading(window.estimated if same else None, places),
        promised=show_reading(window.promised if same else None, places),
        sign=GLYPHS.get(window.health, ("·", window.health, "na")),
        cause=shorten(_find_cause(window), _ROW_TEXT),
        action="" if window.action == "none" else window.action,
        links=tuple((name, link) for name, link in links if link),
    )


def _find_cause(window: WindowFacts) -> str:
    """Monitoring's sentence without what has a column of its own, or is said once for all windows."""
    own = (f"{metric_title(window.metric)} ", "promised ", "learning: ") if window.metric else ()
    clauses = plain(window.sentence).split("; ")
    return "; ".join(c for c in clauses if not c.startswith(own)) or clauses[0]


def _dots(windows: Sequence[WindowFacts], metric: str | None, places: int, side: str, aside: float) -> Iterator[Dot]:
    for i, window in enumerate(windows):
        reading: Reading | None = getattr(window, side)
        if reading is not None and window.metric == metric:
            value, ends = show_reading(reading, places)
            yield Dot(i + aside, reading.value, reading.ends, _say(f"{window.key}: {side} {value} {ends}"))


def _bands(windows: Sequence[WindowFacts], metric: str | None, places: int) -> Iterator[Band]:
    """What each version promised, over the windows that it scored."""
    placed = [(i, w) for i, w in enumerate(windows) if w.metric == metric and w.promised and w.promised.ends]
    for _, group in groupby(placed, key=lambda pair: (pair[1].version, pair[1].promised)):
        run = list(group)
        first = run[0][1]
        if first.promised is None or first.promised.ends is None:
            continue
        value, ends = show_reading(first.promised, places)
        says = f"version {first.version} promised {value} {ends}"
        yield Band(run[0][0], run[-1][0], *first.promised.ends, says)


def _mark_model(facts: ProjectFacts, windows: Sequence[WindowFacts]) -> Iterator[Mark]:
    """What happened to the model, between the windows that it lies between."""

    def place(seq: int) -> float:  # what came before the first window stays clear of the lane's name
        return max(sum(w.first_seq < seq for w in windows) - 0.5, -0.25)

    began = windows[0].first_seq if len(facts.windows) > len(windows) else 0
    trained = {t.moment for t in facts.trainings if t.asked}
    happened = [(made.seq, _SIGNS.get(made.action, "hold"), _describe(made)) for made in facts.decisions]
    for asked in facts.retrainings:  # one that was trained since is told by what was decided about it
        if asked.outcome == "wait" or (asked.outcome == "retrain" and asked.moment not in trained):
            happened.append((asked.seq, asked.outcome, asked.sentence))
    for seq, kind, said in sorted(happened):
        if seq >= began:
            yield Mark(place(seq), kind, _say(said))


def _describe(made: DecisionFacts) -> str:
    loud = " AGAINST ITS GATES" if made.overruled is not None else ""
    return f"version {made.version}: {made.action}{loud}: {made.reason}"


def _say(text: str) -> str:
    return shorten(plain(text), _SAYS)


def _short(text: str) -> str:
    return shorten(plain(text), 40)
