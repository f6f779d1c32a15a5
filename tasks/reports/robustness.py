"""The robustness ladder and the signs of leaks, as the pages tell them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.reports.dossier import metric_title
from tasks.reports.figures import Axis, draw_row, draw_scale
from tasks.reports.findings import (
    Part,
    Status,
    between,
    count,
    counted,
    ends,
    entries,
    figure,
    find_status,
    list_names,
    named,
    part,
    parts,
)
from tasks.reports.wording import capital, find_decimals, fixed, number, percent, plain, sentence, shorten, signed

_MOST_LOST = 10
_MOST_NEEDLESS = 12


@dataclass(frozen=True)
class Step:
    """One thing that was done to the rows: the metric then, by how much it falls, or how the model broke."""

    what: str
    value: str
    fall: str
    bounds: str
    limit: str
    drawn: Markup
    problem: str
    status: Status | None


@dataclass(frozen=True)
class RobustnessView:
    """The section "Robustness ladder"."""

    answer: str
    metric: str
    whole: str
    rows: str
    limited: bool
    scale: Markup
    steps: tuple[Step, ...]
    left: int
    needless: str


def view_robustness(audit: Part) -> RobustnessView | None:
    """The section; None where the model was not tried on such rows."""
    found = part(audit, "robustness")
    steps = parts(found, "steps")
    if not steps and not found.get("problem"):
        return None
    lost = sorted((s for s in steps if s.get("kind") == "lost"), key=_order)
    shown = [*(s for s in steps if s.get("kind") != "lost"), *lost[:_MOST_LOST]]
    seen = [0.0, *(figure(s, n) for s in shown for n in ("fall", "limit")), *(e for s in shown for e in ends(s) or ())]
    axis = Axis.around([v for v in seen if math.isfinite(v)])
    decimals = find_decimals(figure(s, "value") for s in shown), find_decimals(figure(s, "fall") for s in shown)
    limited = any(_is_judged(s) for s in shown)
    return RobustnessView(
        answer=tell_robustness(found),
        metric=metric_title(found.get("metric")),
        whole=number(figure(found, "whole")),
        rows=number(count(found, "rows")),
        limited=limited,
        scale=draw_scale("fall", axis),
        steps=tuple(_view_step(s, axis, decimals) for s in shown),
        left=len(steps) - len(shown),
        needless=tell_needless(found),
    )


def tell_robustness(found: Part) -> str:
    """The answer, in a sentence or two."""
    steps, title = parts(found, "steps"), metric_title(found.get("metric"))
    if found.get("problem"):
        return f"It was not tried on rows that are worse than these: {sentence(plain(found['problem']))}"
    broken = [s for s in steps if s.get("problem")]
    if broken:
        more = f" So it does in {counted(len(broken) - 1, 'other case')}." if len(broken) > 1 else ""
        return f"The model breaks {tell_step(broken[0])}: {sentence(plain(broken[0]['problem']))}{more}"
    known = sorted((s for s in steps if math.isfinite(figure(s, "fall"))), key=_order)
    failed = [s for s in known if s.get("finding") == "fail"]
    if failed:
        rest = f", and so it is in {counted(len(failed) - 1, 'other case')}" if len(failed) > 1 else ""
        return (
            f"{capital(title)} falls further than allowed {tell_step(failed[0])}: by "
            f"{number(figure(failed[0], 'fall'))}, where {number(figure(failed[0], 'limit'))} is allowed{rest}."
        )
    if not known:
        return "The model does not break; by how much it gets worse could not be measured."
    worst = known[0]
    held = any(math.isfinite(figure(s, "limit")) for s in steps)
    open_ = sum(s.get("finding") in ("undecided", "too small") for s in known)
    rest = "" if held else " No limit is stated (gates.robustness), so no fall holds a release."
    if open_:
        rest = f" In {counted(open_, 'case')} it is not shown to keep its limit, nor to break it."
    fall = figure(worst, "fall")
    if fall <= 0:
        return f"The model does not break, and {title} does not fall.{rest}"
    return (
        f"The model does not break. {capital(title)} falls most {tell_step(worst)}: by {number(fall)} of "
        f"{number(figure(found, 'whole'))}.{rest}"
    )


def tell_step(step: Part) -> str:
    """What was done to the rows, in a clause."""
    share = percent(figure(step, "amount"))
    said = {
        "missing": f"with {share} of all values missing",
        "unseen": f"with {share} of category values never seen before",
        "noise": f"with noise of {share} of each number's spread",
        "lost": f"without {named(step.get('column'))}",
    }
    return said.get(str(step.get("kind")), "on changed rows")


def tell_needless(found: Part) -> str:
    """The columns whose loss costs nothing that can be seen, and what to do; empty where there is none."""
    names = entries(found, "needless")
    if not names:
        return ""
    limit, title = figure(found, "needless_limit"), metric_title(found.get("metric"))
    most = f" (at most {number(limit)} of {title})" if math.isfinite(limit) else ""
    if len(names) == 1:
        said = f"Losing {named(names[0])} costs nothing that can be seen{most}. Leaving it out (data.exclude)"
        return f"{said} means one column less to keep alive."
    return (
        f"Losing any one of these columns costs nothing that can be seen{most}: {list_names(names, _MOST_NEEDLESS)}. "
        "Leaving them out (data.exclude) means fewer columns to keep alive. It is no proof that they are useless "
        "together: leave out one, train again and look."
    )


def _view_step(step: Part, axis: Axis, decimals: tuple[int, int]) -> Step:
    fall, limit, bounds = figure(step, "fall"), figure(step, "limit"), ends(step)
    problem, status, known = plain(step.get("problem") or ""), find_status(step), math.isfinite(fall)
    title = f"{shorten(tell_step(step), 60)}: {signed(fall)}"
    lines: Sequence[tuple[str, float]] = [("zero", 0.0)]
    own = limit if math.isfinite(limit) else None
    return Step(
        what=capital(tell_step(step).removeprefix("with ")),
        value=fixed(figure(step, "value"), decimals[0]),
        fall=fixed(fall, decimals[1], sign=True),
        bounds=between(bounds, decimals[1]),
        limit=number(limit) if math.isfinite(limit) else "",
        drawn=draw_row(title, axis, fall, bounds, status.mark, lines=lines, limit=own) if known else Markup(""),
        problem=f"It breaks: {sentence(problem)}" if problem else "",
        status=status if _is_judged(step) else None,
    )


def _is_judged(step: Part) -> bool:
    return bool(step.get("problem")) or math.isfinite(figure(step, "limit"))


def _order(step: Part) -> tuple[bool, float]:
    """Those that break first, then the largest falls; what is not known last."""
    fall = figure(step, "fall")
    return not step.get("problem"), -fall if math.isfinite(fall) else math.inf
