"""Test rows that are the same as a row to learn from, and whether so many would be by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.data.strength import Values, read_values
from tasks.results import TrainingFrame

Hashes = NDArray[np.uint64]
_PROBE_ROWS = 2_000
_FEW_VALUES = 100
_MOST_COLUMNS = 40
_REPEATED = 3
_MOST_ALIKE = 0.9
"""A column of which two rows share the value nearly always says nothing about chance."""


@dataclass(frozen=True)
class Twins:
    """How many of the test rows looked at are the same, in every feature and the target, as a row to learn from."""

    test: int
    rows: int
    by_chance: float  # the share of `rows` that is such by chance, from 0 to 1


def count_twins(rows: TrainingFrame, test: NDArray[np.bool_], most: int, seed: int) -> Twins:
    """Twins among about `most` rows, which are chosen by their content so that twins are chosen together.

    `test` (n,) marks test rows; all others are learned from. By chance: where columns take few values, rows that are
    the same in all columns but one are there in numbers, and as many of them as the values of that one agree at random
    are the same in it too. The column that tells of the most such twins counts; that columns go with each other, which
    makes twins likelier than each by itself would, is so allowed for.
    """
    chosen, by = _choose(rows, most, seed)
    target = Values(rows.target.to_numpy(np.float64)[chosen])
    hashes = [_hash(read_values(rows.frame[name].iloc[chosen]), i) for i, name in enumerate(rows.features)]
    hashes.append(_hash(target, len(hashes)))
    whole = np.zeros(len(chosen), np.uint64)
    for one in hashes:
        whole += one
    part = test[chosen]
    pairs, twins = _count_pairs(whole, part)
    if not pairs:
        return Twins(int(part.sum()), 0, 0.0)
    # Repeated rows would make the values of any column seem to agree; where nearly all rows are repeated, they do.
    first = np.unique(whole, return_index=True)[1]
    once = first if len(first) * _REPEATED >= len(whole) else slice(None)
    alike = [_agree(one[once]) for one in hashes]
    open_to_chance = [j for j in range(len(hashes)) if j not in by and 0 < alike[j] <= _MOST_ALIKE]
    open_to_chance.sort(key=lambda j: abs(alike[j] - 0.3))  # where near rows are neither too few nor all
    chance = 0.0
    for j in open_to_chance[:_MOST_COLUMNS]:
        near = _count_pairs(whole - hashes[j], part)[0] - pairs
        chance = max(chance, near * alike[j] / (1 - alike[j]) / pairs)
    return Twins(int(part.sum()), twins, min(1.0, chance))


def _choose(rows: TrainingFrame, most: int, seed: int) -> tuple[NDArray[np.int64], Sequence[int]]:
    """Positions of about `most` rows, and the features whose values chose them: none where all rows are taken."""
    count = len(rows.target)
    if count <= most:
        return np.arange(count), ()
    probe = np.random.default_rng(seed).choice(count, min(_PROBE_ROWS, count), replace=False)
    distinct = [_count_distinct(read_values(rows.frame[name].iloc[probe])) for name in rows.features]
    order = sorted(range(len(distinct)), key=lambda j: -distinct[j])
    by = order[: 1 if distinct[order[0]] >= _FEW_VALUES else 2]
    mixed = np.zeros(count, np.uint64)
    for j in by:
        mixed += _hash(read_values(rows.frame[rows.features[j]]), j)
    return np.flatnonzero(_mix(mixed).astype(np.float64) / 2.0**64 < most / count), by


def _count_distinct(values: Values) -> int:
    return len(np.unique(values.codes if values.numbers is None else values.numbers))


def _hash(values: Values, salt: int) -> Hashes:
    """A hash per value (n,) that is another one in another column; missing values are alike."""
    if values.numbers is None:
        bits = values.codes.view(np.uint64)
    else:
        bits = np.where(np.isnan(values.numbers), np.nan, values.numbers + 0.0).view(np.uint64)
    salted = (0x9E3779B97F4A7C15 * (salt + 1)) % 2**64
    return _mix(bits + np.uint64(salted))


def _mix(values: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele et al., 2014). Arrays wrap around without a warning."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = values ^ (values >> np.uint64(31))
    return mixed


def _count_pairs(hashes: Hashes, test: NDArray[np.bool_]) -> tuple[float, int]:
    """Pairs of a test row and another one that are the same, and the test rows among them."""
    of = np.unique(hashes, return_inverse=True)[1]
    count = int(of.max(initial=-1)) + 1
    tested, learned = np.bincount(of[test], minlength=count), np.bincount(of[~test], minlength=count)
    return float(tested.astype(np.float64) @ learned), int(tested[learned > 0].sum())


def _agree(hashes: Hashes) -> float:
    """How likely two of these rows have the same value."""
    count = np.unique(hashes, return_counts=True)[1].astype(np.float64)
    return float((count * (count - 1)).sum() / max(len(hashes) * (len(hashes) - 1.0), 1.0))
