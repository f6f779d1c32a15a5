"""The page of a replay: policies of retraining side by side over one past, what each took, and how models aged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.reports.figures import Axis, draw_row, draw_scale
from tasks.reports.lived import Compared, Lived, LivedWindow, Replayed, conclude, conclude_ages, spent
from tasks.reports.rendering import render_html
from tasks.reports.timeline import LOOKS, Course, Dot, Lane, Mark, draw_key, draw_timeline
from tasks.reports.wording import NOTHING, is_number, number, plain, shorten, signed

MOST_DRAWN = 120  # windows; beyond, neighbours are drawn as their mean
MOST_LISTED = 60  # windows of the table, the newest
MOST_TOLD = 40  # happenings of one policy, the newest
MOST_CAUSES = 12
_DODGE = 0.12


@dataclass(frozen=True)
class Drawn:
    """A picture with what its lines and signs mean."""

    figure: Markup
    key: Markup


def write_replay_page(replayed: Replayed) -> str:
    """The page as HTML: self-contained, without script, below 1 MB however long the past was.

    The same replay gives the same page.
    """
    concluded, compared = conclude(replayed), replayed.compared
    dearest = max(replayed.lived, key=lambda one: (one.training_seconds, one.trained))
    return render_html(
        "replay.html.jinja",
        r=replayed,
        concluded=concluded,
        picked=next((one for one in replayed.lived if one.policy == concluded.policy), None),
        pictures=_draw_performance(replayed),
        grouped=_group(len(replayed.batches)),
        policies=[_view_policy(one, dearest) for one in replayed.lived],
        dearest=dearest.policy,
        compared=_view_compared(compared),
        ages=_view_ages(replayed),
        ages_said=conclude_ages(replayed),
        ages_drawn=_draw_ages(replayed),
        stories=[(one, _tell_story(one), max(0, len(one.happenings) - MOST_TOLD)) for one in replayed.lived],
        causes=[(one.policy, _list_causes(one)) for one in replayed.lived if _list_causes(one)],
        windows=_view_windows(replayed),
        earlier=max(0, len(replayed.batches) - MOST_LISTED),
    )


def _group(windows: int) -> int:
    """How many windows one dot stands for."""
    return math.ceil(windows / MOST_DRAWN) if windows else 1


def _draw_performance(replayed: Replayed) -> list[Drawn]:
    """The metric over the windows, at most so many policies a picture as can be told apart."""
    found = []
    for start in range(0, len(replayed.lived), LOOKS):
        some = replayed.lived[start : start + LOOKS]
        group = _group(len(replayed.batches))
        courses = [
            Course(one.policy, _dots(one, group, _DODGE * (i - (len(some) - 1) / 2)), i) for i, one in enumerate(some)
        ]
        lanes = [lane for one in some for lane in _lanes(one, group)]
        figure = draw_timeline(
            f"{replayed.title} of each policy's model, window by window",
            "; ".join(f"{one.policy}: {number(one.mean)} on average, {one.trained} trainings" for one in some),
            replayed.batches[::group],
            courses,
            lanes=lanes,
            height=260,
        )
        found.append(Drawn(figure, draw_key(courses, sorted({m.kind for lane in lanes for m in lane.marks}))))
    return found


def _dots(one: Lived, group: int, aside: float) -> tuple[Dot, ...]:
    dots = []
    for place, start in enumerate(range(0, len(one.windows), group)):
        some = [w for w in one.windows[start : start + group] if math.isfinite(w.value)]
        if not some:
            continue
        value = sum(w.value for w in some) / len(some)
        ends = (some[0].low, some[0].high) if group == 1 else None
        named = some[0].batch if len(some) == 1 else f"{some[0].batch} to {some[-1].batch}, their mean"
        dots.append(Dot(place + aside, value, ends, f"{one.policy}, {named}: {number(value)}"))
    return tuple(dots)


def _lanes(one: Lived, group: int) -> list[Lane]:
    """The windows that were not well; and, in a row of its own, what the turns between them decided."""
    marks = []
    for place, window in enumerate(one.windows):
        for kind in _signs(window):
            marks.append(Mark(place // group, kind, f"{window.batch}: {window.why}"))
    decided = [Mark(math.ceil((h.at + 0.5) / group) - 0.5, h.kind, h.says) for h in one.happenings]
    lanes = [Lane(one.policy, _distinct(marks))]
    return [*lanes, Lane("", _distinct(decided))] if decided else lanes


def _distinct(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """One of a kind at each place, the last."""
    return tuple({(m.at, m.kind): m for m in marks}.values())


def _signs(window: LivedWindow) -> list[str]:
    if window.health in ("broken", "degraded"):
        return [window.health, *(["alarm"] if window.alarm else [])]
    return ["alarm"] if window.alarm else ["drifting"] if window.health == "drifting" else []


def _view_policy(one: Lived, dearest: Lived) -> dict[str, str]:
    """A policy's row: what it did, what that took, and what it was worth."""
    saved = dearest.training_seconds - one.training_seconds
    values = [w.value for w in one.windows if math.isfinite(w.value)]
    outcomes = [
        f"{count} {word}"
        for count, word in (
            (one.promoted, "promoted"),
            (one.held, "held"),
            (one.rejected, "rejected"),
            (one.failed, "could not be trained"),
        )
        if count
    ]
    return {
        "policy": one.policy,
        "trained": str(one.trained),
        "outcomes": ", ".join(outcomes) or NOTHING,
        "held_back": str(one.held_back),
        "alarms": str(one.alarms),
        "bad": f"{len(one.bad)} of {len(one.windows)}",
        "training": spent(one.training_seconds),
        "all": spent(one.seconds),
        "saved": NOTHING
        if one is dearest or not dearest.training_seconds
        else f"{saved / dearest.training_seconds:.0%}",
        "mean": number(one.mean),
        "range": f"{number(min(values))} to {number(max(values))}" if values else NOTHING,
    }


def _view_compared(compared: Sequence[Compared]) -> list[dict[str, object]]:
    """The pairs of policies on one axis."""
    told = [pair for pair in compared if pair.gain.windows]
    ends = [v for p in told for v in (p.gain.value, p.gain.low, p.gain.high) if is_number(v)]
    axis = Axis.around([0.0, *ends])
    rows: list[dict[str, object]] = []
    for pair in compared:
        gain = pair.gain
        reach = (gain.low, gain.high) if is_number(gain.low) else None
        told_so = "the same models" if not pair.windows else "no labels" if not gain.windows else "too few to tell"
        said = (
            {1: f"{pair.one} is better", -1: f"{pair.other} is better", 0: "not shown"}[gain.sign] if reach else told_so
        )
        status = "pass" if gain.sign else "inconclusive"
        drawn = draw_row(f"{pair.one} against {pair.other}", axis, gain.value, reach, status, lines=[("zero", 0.0)])
        rows.append(
            {
                "pair": f"{pair.one} against {pair.other}",
                "gain": signed(gain.value) if gain.windows else NOTHING,
                "ends": f"{signed(gain.low)} to {signed(gain.high)}" if reach else NOTHING,
                "won": f"{pair.won} of {gain.windows}",
                "said": said,
                "drawn": drawn if gain.windows else Markup(""),
                "scale": draw_scale("gain", axis),
            }
        )
    return rows


def _view_ages(replayed: Replayed) -> list[tuple[str, str, str, str]]:
    rows = []
    for point in replayed.ages:
        loss = point.loss
        ends = f"{signed(loss.low)} to {signed(loss.high)}" if is_number(loss.low) else "too few to tell"
        rows.append((_say_ages(point.from_days, point.to_days), signed(loss.value), ends, str(loss.windows)))
    return rows


def _draw_ages(replayed: Replayed) -> Drawn | None:
    if not replayed.ages:
        return None
    dots = [
        Dot(
            i + 1,
            p.loss.value,
            (p.loss.low, p.loss.high),
            f"{_say_ages(p.from_days, p.to_days)}: {signed(p.loss.value)}",
        )
        for i, p in enumerate(replayed.ages)
    ]
    names = [
        "fresh",
        *(f"{p.from_days:.0f} d" if p.from_days >= 2 else f"{p.from_days * 24:.0f} h" for p in replayed.ages),
    ]
    course = Course("loss against a model that was just trained", (Dot(0, 0.0, None, "fresh"), *dots))
    figure = draw_timeline(
        f"Loss in {replayed.title} by the model's age at the start of the window",
        "above zero is worse than a model that was just trained",
        names,
        [course],
        height=180,
        zero=True,
    )
    return Drawn(figure, draw_key([course]))


def _say_ages(low: float, high: float) -> str:
    return f"{low:.0f} to {high:.0f} days" if high >= 3 else f"{low * 24:.0f} to {high * 24:.0f} hours"


def _tell_story(one: Lived) -> list[tuple[str, str]]:
    return [(h.when, h.says) for h in one.happenings[-MOST_TOLD:]]


def _list_causes(one: Lived) -> list[tuple[str, str, str, str]]:
    """The windows that were not healthy: which, how, why, and what monitoring said to do."""
    found = [w for w in one.windows if w.health != "healthy"]
    return [(w.batch, w.health, w.why, w.action) for w in found[-MOST_CAUSES:]]


def _view_windows(replayed: Replayed) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each window's row: for each policy the metric, and the version that served with its health."""
    rows = []
    for i, batch in list(enumerate(replayed.batches))[-MOST_LISTED:]:
        cells = []
        for one in replayed.lived:
            window = one.windows[i]
            served = NOTHING if window.version is None else f"v{window.version}"
            cells.append((number(window.value), f"{served} {window.health}"))
        rows.append((shorten(plain(batch), 40), cells))
    return rows
