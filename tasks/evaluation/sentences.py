"""The words that gates share: numbers as a person reads them, and what would settle an open question."""

from __future__ import annotations

from tasks.results import Comparison, MetricValue
from tasks.stats.intervals import MIN_EFFECTIVE_BLOCKS
from tasks.stats.metrics import METRICS


def has_unit(metric: str) -> bool:
    """Whether the metric is measured in the target's unit or that of the costs."""
    return metric in METRICS and METRICS[metric].unit


def find_title(metric: str) -> str:
    """How a metric is called in a sentence; its own name where the table does not know it."""
    return METRICS[metric].title if metric in METRICS else metric


def write_number(value: float) -> str:
    """Three digits that count; whole from a thousand on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def write_signed(value: float) -> str:
    """With its sign, also where it is positive."""
    return f"{'+' if value >= 0 else '-'}{write_number(abs(value))}"


def write_percent(share: float) -> str:
    """A share as a percentage."""
    return f"{share * 100:.4g}%"


def write_amount(value: float, asked: float | str) -> str:
    """An amount in the metric's own units, and where it comes from if the project file has it as a percentage."""
    return write_number(value) + (f" ({asked} of the constant prediction's)" if isinstance(asked, str) else "")


def write_rows(found: Comparison | MetricValue) -> str:
    """Such as "12,345 test rows (18 days)"."""
    return f"{found.rows:,} test rows ({_unit(found)})"


def capitalise(text: str) -> str:
    """The first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def say_rows_needed(found: Comparison | MetricValue, supposed: str, otherwise: str) -> str:
    """What more rows would bring where a bound does not settle it: a sentence, with a space before it.

    `supposed` is what the number of rows holds for, such as "if the two are equal"; `otherwise` is said where no
    number of rows can be named.
    """
    needed = found.rows_needed
    if needed is None:
        return f" {otherwise}"
    if needed <= found.rows:
        return (
            f" So many rows show it 4 times in 5, {supposed}; so that is doubtful, and a better model will help sooner"
            " than more rows."
        )
    more = needed - found.rows
    return f" About {_round_up(needed):,} test rows would show it 4 times in 5, {supposed}: {_round_up(more):,} more."


def _round_up(rows: int) -> int:
    """To two digits: an estimate has no more."""
    step = int(10 ** max(len(str(rows)) - 2, 0))
    return -(-rows // step) * step


def say_too_few(found: Comparison | MetricValue, metric: str) -> str:
    """Why no bound can be told from these rows, and what would help."""
    if not found.effective_blocks >= MIN_EFFECTIVE_BLOCKS - 1e-9:  # five equal blocks are five, whatever the rounding
        by_day = "day" in _unit(found)
        random = "; so does split.how: random, where rows of one day do not depend on each other" if by_day else ""
        return (
            f"{write_rows(found)} are worth {found.effective_blocks:.1f} independent blocks; "
            f"at least {MIN_EFFECTIVE_BLOCKS:g} are needed to tell chance from skill. More rows or a larger split.test "
            f"give more{random}"
        )
    return (
        f"{find_title(metric)} is not defined on all parts of {write_rows(found)}; more rows, a larger split.test or "
        "another metric (train.metric) are needed"
    )


def _unit(found: Comparison | MetricValue) -> str:
    return found.method.rpartition(" over ")[2]
