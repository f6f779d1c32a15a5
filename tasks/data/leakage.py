"""Signs that test rows flatter the model: columns that know the answer, and rows that are on both sides of the split.

What test rows alone cannot show: a leak makes the model as good on them as where it was fitted. So each column is
asked what it knows by itself, and where it has values at all. The limits below were set on tables as they should be
(flights, census, beans, bicycles), of which none is named, and on the same tables with their known leaks left in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import Project
from tasks.data.copies import Copy, find_copies
from tasks.data.strength import Cut, Halves, Others, make_halves, measure_alone, measure_others, read_values
from tasks.data.twins import count_twins
from tasks.results import Filled, LeakAudit, LeakSign, Split, TrainingFrame
from tasks.stage import stage

MOST_ROWS, MOST_CELLS, FEWEST_ROWS = 50_000, 2_500_000, 2_000
"""Rows that are looked at, at most; of wide tables fewer, but not fewer than the last."""
STRONG = {"binary": 0.7, "multiclass": 0.7, "regression": 0.9}
"""A column as strong as that by itself is named if all others are far weaker: a ROC AUC of 0.85, or R2 on ranks. Higher
for numbers, where one column that honestly tells nearly all is common: the last value, the size."""
WHOLE = {"binary": 0.98, "multiclass": 0.98, "regression": 0.995}
"""A column as strong as that about decides the target: a ROC AUC of 0.99. Honest series reach R2 of 0.99."""
FAR_WEAKER = 3.0
"""All others are far weaker where they leave so many times as much open."""
FILLED, BARE, QUITE_BARE = 0.95, 0.2, 0.02
"""Named: values in so many of the rows with a label at least, and of those without at most; near-certain: the last."""
FEWEST_UNLABELLED, QUITE_ENOUGH_UNLABELLED = 30, 100
SHARED_ROWS, FEWEST_SHARED = 0.01, 5
MOST_BY_CHANCE = 0.25
"""Where more of the shared rows than that may be by chance, they are no sign."""
_COLUMN = "{}"
_WAITING_SPANS = 7
_MOST_CANDIDATES = 20
_LONGEST_NAME = 80
_LONGEST_LIST = 5


@dataclass(frozen=True)
class _Seen:
    """What was seen of one column, before it is put into a sign."""

    kind: Literal["copy of the target", "alone decides", "filled with the label"]
    column: str
    certain: bool
    subject: str  # with {} for the column's name
    words: str
    strength: float
    numbers: Mapping[str, float]


def find_leaks(rows: TrainingFrame, split: Split, spec: Project) -> LeakAudit:
    """Name the signs that test rows flatter the model, the near-certain ones that nobody has cleared first.

    `rows.features` may be of any type and have missing values: those are looked at as a value like others. Columns are
    measured on a sample of `rows.frame`: what is learned on one half of it (the earlier one where rows have a time,
    whole groups where they have a group) is judged on the other. No sentence shows a value of the data.
    """
    chosen = _choose_rows(rows, spec.train.seed)
    seen = [*_look_at_columns(rows, chosen, spec), *_look_at_fill(rows, spec)]
    of: dict[str, list[_Seen]] = {}
    for one in seen:
        of.setdefault(one.column, []).append(one)
    signs = [_make_sign(one, of[one.column], spec) for one in seen]
    signs += _look_at_rows(rows, split, spec)
    signs.sort(key=lambda s: (not s.certain or s.cleared, s.cleared, -s.numbers["strength"]))
    return LeakAudit(columns=len(rows.features), rows=len(chosen), signs=tuple(signs))


def _choose_rows(rows: TrainingFrame, seed: int) -> NDArray[np.int64]:
    count, most = len(rows.target), _bound_rows(rows)
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def _bound_rows(rows: TrainingFrame) -> int:
    return max(FEWEST_ROWS, min(MOST_ROWS, MOST_CELLS // max(1, len(rows.features))))


def _find_later(rows: TrainingFrame, chosen: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which of the chosen rows judge what the others teach."""
    shuffle = np.random.default_rng(seed).permutation
    if rows.group is not None:
        group = pd.factorize(rows.group.iloc[chosen], use_na_sentinel=False)[0]
        if group.max() >= 3:
            return np.asarray(shuffle(int(group.max()) + 1)[group] * 2 > group.max())
    if rows.time is not None and rows.time.iloc[chosen].nunique() > 1:
        order = rows.time.iloc[chosen].reset_index(drop=True).argsort(kind="stable").to_numpy()
    else:
        order = shuffle(len(chosen))
    later = np.zeros(len(chosen), bool)
    later[order[len(chosen) // 2 :]] = True
    return later


def _look_at_columns(rows: TrainingFrame, chosen: NDArray[np.int64], spec: Project) -> list[_Seen]:
    seed, target = spec.train.seed, rows.target.to_numpy()[chosen]
    halves = make_halves(target, rows.task, _find_later(rows, chosen, seed), seed)
    values = {j: read_values(rows.frame[name].iloc[chosen]) for j, name in enumerate(rows.features)}
    copies = find_copies(values, target, rows.task)
    seen = [_tell_copy(rows.features, j, copy, spec, len(chosen)) for j, copy in copies.items()]
    if halves is None:
        return seen
    cuts = [measure_alone(values.pop(j), halves) for j in range(len(rows.features))]
    named = (j for j in range(len(cuts)) if j not in copies and cuts[j].alone >= STRONG[rows.task])
    candidates = sorted(named, key=lambda j: -cuts[j].alone)[:_MOST_CANDIDATES]
    if candidates:
        suspect = {j for j, name in enumerate(rows.features) if _judge_fill(rows, name, spec) is not None}
        whole = {j for j in candidates if cuts[j].alone >= WHOLE[rows.task]}
        others = measure_others(cuts, candidates, {*copies, *suspect, *whole}, halves)
        told = (_tell_alone(rows.features[j], cuts[j], o, halves) for j, o in zip(candidates, others, strict=True))
        seen += [one for one in told if one is not None]
    return seen


def _tell_copy(names: Sequence[str], j: int, copy: Copy, spec: Project, rows: int) -> _Seen:
    target = _quote(spec.data.target)
    where = "in all rows" if copy.share == 1 else f"wherever it has a value ({_percent(copy.share)} of the rows)"
    if copy.kind == "same":
        words = f"is the target: it equals {target} {where}"
    elif copy.kind == "renamed":
        words = f"is the target under other names: each of its values goes with one of {target} {where}"
    elif copy.kind == "scaled":
        words = f"is the target in other units: {target} can be computed from it {where}"
    else:
        others = [_quote(names[i]) for i in copy.parts if i != j]
        more = f" and {len(others) - _LONGEST_LIST} more" if len(others) > _LONGEST_LIST else ""
        words = (
            f"is a part of the target: {target} is a weighted sum of it and {', '.join(others[:_LONGEST_LIST])}"
            f"{more}, without any error"
        )
    certain = copy.share >= 0.1  # what agrees in a small part of the rows only may be a rule for those
    numbers = {"strength": 1.0, "share": copy.share, "rows": float(rows)}
    return _Seen("copy of the target", names[j], certain, _COLUMN, words, 1.0, numbers)


def _tell_alone(name: str, cut: Cut, others: Others, halves: Halves) -> _Seen | None:
    task = halves.task
    whole, compared = cut.alone >= WHOLE[task], others.columns > 0
    far = (1 - others.strength) >= FAR_WEAKER * (1 - cut.alone)
    if not whole and not (compared and far):
        return None
    # Where the mark of a missing value does as well as the column, it is the mark that knows.
    subject = "whether {} has a value," if cut.mark >= 0.95 * cut.alone else _COLUMN
    if task == "regression":
        words = f"alone explains {_percent(cut.alone)} of the differences in the target, by rank"
        against = f"all {others.columns:,} other columns together {_percent(others.strength)}"
    else:
        mean = "a mean ROC AUC over classes" if task == "multiclass" else "a ROC AUC"
        words = f"alone reaches {mean} of {_decimals((1 + cut.alone) / 2)}"
        against = f"all {others.columns:,} other columns together {_decimals((1 + others.strength) / 2)}"
    if others.columns == 1:
        against = against.replace("all 1 other columns together", "the other column")
    words = f"{words}, {against}" if compared else words
    numbers = {"strength": cut.alone, "others": others.strength, "other_columns": float(others.columns)}
    numbers |= {"missing_mark": cut.mark} | ({"roc_auc": (1 + cut.alone) / 2} if task != "regression" else {})
    return _Seen("alone decides", name, whole and (far or not compared), subject, words, cut.alone, numbers)


@dataclass(frozen=True)
class _Fill:
    labelled: float
    unlabelled: float  # of those whose label is not just still to come
    waiting: int
    certain: bool


def _judge_fill(rows: TrainingFrame, name: str, spec: Project) -> _Fill | None:
    """Where a column has values nearly always with a label and nearly never without; else None.

    Rows whose label is still to come have all values that will ever come, if the source is read after the fact. Where
    they may hide the sign, about as many as newly come within data.label_delay are taken off: the others tell.
    """
    counts = rows.filled.get(name, Filled())
    share, plain = counts.filled / max(1, counts.labelled), counts.filled_unlabelled / max(1, counts.unlabelled)
    waiting = _count_waiting(rows, spec) if plain > BARE else 0
    left = counts.unlabelled - waiting
    if share < FILLED or left < FEWEST_UNLABELLED:
        return None
    bare = max(0.0, counts.filled_unlabelled - waiting * share) / left
    if bare > BARE:
        return None
    certain = share >= 1 - QUITE_BARE and plain <= QUITE_BARE and counts.unlabelled >= QUITE_ENOUGH_UNLABELLED
    return _Fill(share, bare, waiting, certain)


def _count_waiting(rows: TrainingFrame, spec: Project) -> int:
    """About how many rows came within data.label_delay, by the newest that have a label; 0 where none can wait."""
    if rows.time is None or not spec.data.label_delay or rows.time.empty:
        return 0
    newest, span = rows.time.max(), rows.time.max() - rows.time.min()
    windows = max(1.0, min(_WAITING_SPANS, float(span / spec.data.label_delay)))  # a week, where a label takes a day
    came = int((rows.time > newest - windows * pd.Timedelta(spec.data.label_delay)).sum())
    return int(came / windows)


def _look_at_fill(rows: TrainingFrame, spec: Project) -> list[_Seen]:
    seen = []
    for name in rows.features:
        fill = _judge_fill(rows, name, spec)
        if fill is None:
            continue
        words = (
            f"has a value in {_percent(fill.labelled)} of the rows with a known label, in "
            f"{_percent(fill.unlabelled)} of those without"
            + (f" (about {fill.waiting:,} that only wait for theirs set aside)" if fill.waiting else "")
        )
        counts = rows.filled[name]
        numbers = {"strength": fill.labelled - fill.unlabelled, "labelled": fill.labelled}
        numbers |= {"unlabelled": fill.unlabelled, "unlabelled_rows": float(counts.unlabelled)}
        seen.append(_Seen("filled with the label", name, fill.certain, _COLUMN, words, numbers["strength"], numbers))
    return seen


def _make_sign(one: _Seen, of_column: Sequence[_Seen], spec: Project) -> LeakSign:
    """A sign of one column; two of different kinds make each other near-certain."""
    cleared = one.column in spec.data.known_in_time
    others = (f"{o.subject.replace('{}', 'it')} {o.words}" for o in of_column if o is not one)
    words = "; and ".join([f"{one.subject.replace('{}', _quote(one.column))} {one.words}", *others])
    if cleared:
        advice = "data.known_in_time says that it is known when the prediction is made."
    else:
        advice = (
            "If it is known only afterwards, add it to data.exclude; if it is known when the prediction is made, to "
            "data.known_in_time."
        )
    return LeakSign(
        kind=one.kind,
        column=one.column,
        certain=one.certain or len(of_column) > 1,
        cleared=cleared,
        sentence=f"{words[0].upper()}{words[1:]}. {advice}",
        numbers=one.numbers,
    )


def _look_at_rows(rows: TrainingFrame, split: Split, spec: Project) -> list[LeakSign]:
    test = np.zeros(len(rows.target), bool)
    test[list(split.test)] = True
    signs = []
    twins = count_twins(rows, test, _bound_rows(rows), spec.train.seed)
    share = twins.rows / max(1, twins.test)
    if twins.rows >= FEWEST_SHARED and share >= SHARED_ROWS and twins.by_chance <= MOST_BY_CHANCE:
        sentence = (
            f"{_percent(share)} of {twins.test:,} test rows are the same, in every feature and the target, as a row "
            "that is learned from, and hardly by chance: few rows are the same in all columns but one. Take repeated "
            "rows out of the source; if they belong together, name what they share as data.group."
        )
        numbers = {"strength": share, "test_rows": float(twins.test), "by_chance": share * twins.by_chance}
        certain = share * (1 - twins.by_chance) > spec.gates.leaks.max_shared_rows
        signs.append(LeakSign("shared rows", None, certain, False, sentence, numbers))
    if spec.data.id and spec.data.id in rows.frame:
        ids = pd.factorize(rows.frame[spec.data.id])[0]
        named = test & (ids >= 0)
        shared = int(np.isin(ids[named], ids[~test]).sum())
        if shared:
            name, count = _quote(spec.data.id), int(test.sum())
            sentence = (
                f"{shared:,} of {count:,} test rows ({_percent(shared / count)}) have a value of {name} that rows to "
                "learn from have too, so the model may know them. If rows of one such value belong together, set "
                f"data.group to {name}; if each row should have its own, mend data.id."
            )
            numbers = {"strength": shared / count, "shared": float(shared), "test_rows": float(count)}
            signs.append(LeakSign("shared ids", spec.data.id, False, False, sentence, numbers))
    return signs


def _quote(name: str) -> str:
    """A column's name, which a stranger chose: quoted, nothing in it unprintable, and not too long."""
    text = repr(name)
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 4]}...{text[-1]}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if 0.01 <= share <= 0.99 or share in (0, 1) else f"{share:.1%}"


def _decimals(value: float) -> str:
    return f"{value:.2f}" if value < 0.985 else f"{value:.3f}"


@stage("look for leaks")
def look_for_leaks(rows: TrainingFrame, split: Split, spec: Project) -> LeakAudit:
    """Signs that test rows flatter the model; see `find_leaks`."""
    return find_leaks(rows, split, spec)
