"""What is found and what is blamed without cause, beside Evidently's defaults: `python -m benchmarks.drift`.

Tables are drawn anew each time, of 20 columns (see `tests/stats/drift_simulations.py`); both look at the same rows.
Nothing fails here: it prints. See benchmarks/drift.md.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

os.environ.setdefault("DO_NOT_TRACK", "true")  # read on import by evidently

import numpy as np
import pandas as pd

from tasks.stats.alarms import rank_window
from tasks.stats.divergence import measure_distance
from tests.stats.drift_simulations import (
    CATEGORIES,
    CHANGES,
    change_rows,
    count_reference,
    count_rows,
    draw_rows,
    judge_rows,
    lay_columns,
    pair_rows,
)
from tests.stats.simulations import describe_rate

ALPHA = 1 / 12
PAST = 12
COLUMNS = 20
REFERENCE = 10_000
# Evidently draws a category of 1,000 levels for seconds; such columns have five levels here
KINDS = tuple("5 levels" if kind == "1,000 levels" else kind for kind in lay_columns(COLUMNS))
TOUCHED = {"a category renamed": (3,), "unit change, x 60": (5,), "three columns broken": (0, 3, 5)}
QUIET = ((1_001, 50), (1_000, 50), (1_000, 1_000), (10_000, 200), (10_000, 1_000), (10_000, 10_000))


@dataclass(frozen=True)
class Verdict:
    """Per column whether it drifted, (columns,), and of the table as a whole."""

    columns: np.ndarray
    table: bool


def ask_evidently(reference: Sequence[np.ndarray], window: Sequence[np.ndarray]) -> Verdict:
    """Evidently's preset with its defaults: a test per column, and drift of the table where half of them drifted."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = [f"c{i}" for i in range(len(KINDS))]
    definition = DataDefinition(
        numerical_columns=[n for n, k in zip(names, KINDS, strict=True) if k not in CATEGORIES],
        categorical_columns=[n for n, k in zip(names, KINDS, strict=True) if k in CATEGORIES],
    )
    sides = []
    for rows in (reference, window):
        values = {n: v.astype(str) if k in CATEGORIES else v for n, k, v in zip(names, KINDS, rows, strict=True)}
        sides.append(Dataset.from_pandas(pd.DataFrame(values), data_definition=definition))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = Report([DataDriftPreset()], include_tests=False).run(sides[1], sides[0]).dict()["metrics"]
    drifted = dict.fromkeys(names, False)
    table = metrics[0]["value"]
    for metric in metrics[1:]:
        about, value = metric["config"], float(metric["value"])
        is_p = "p_value" in about["method"]
        drifted[about["column"]] = value < about["threshold"] if is_p else value >= about["threshold"]
    found = np.array(list(drifted.values()))
    assert found.sum() == table["count"], "a column is read as Evidently counts it"
    return Verdict(found, table["share"] >= metrics[0]["config"]["drift_share"])


def show_power(rows: int, size: int, asked: int, seed: int) -> None:
    """How often each change is found in its columns: all three of them where three are broken."""
    rng = np.random.default_rng(seed)
    found = {change: np.zeros(4, int) for change in CHANGES}
    for i in range(size):
        drawn = draw_rows(KINDS, REFERENCE, rng)
        reference = count_reference(KINDS, drawn)
        past = [pair_rows(reference, count_rows(reference, draw_rows(KINDS, rows, rng))) for _ in range(PAST)]
        before = np.array([[measure_distance(cells) for cells in window] for window in past])
        for change in CHANGES:
            touched = list(TOUCHED.get(change, (0,)))
            window = change_rows(draw_rows(KINDS, rows, rng), change, rng)
            judged = judge_rows(reference, window, ALPHA, int(rng.integers(2**31)))
            among = judged.significant & rank_window(judged.distances, before, ALPHA).columns
            found[change][:2] += judged.significant[touched].all(), among[touched].all()
            if i < asked:
                verdict = ask_evidently(drawn, window)
                found[change][2:] += verdict.columns[touched].all(), verdict.table
    for change, counts in found.items():
        ours, theirs = (
            [describe_rate(int(c), n) for c in part] for part, n in ((counts[:2], size), (counts[2:], asked))
        )
        print(f"| {change} | {rows:,} | {' | '.join([*ours, *theirs])} |", flush=True)


def show_false_alarms(reference_rows: int, rows: int, size: int, asked: int, seed: int) -> None:
    """How often anything is found where nothing drifted: with no smallest distance, with it, and by Evidently."""
    rng = np.random.default_rng(seed)
    counts = np.zeros(2, int)
    theirs = np.zeros(3)
    for i in range(size):
        drawn, window = draw_rows(KINDS, reference_rows, rng), draw_rows(KINDS, rows, rng)
        while any(np.isnan(values).all() for values in window):  # Evidently raises for a column without a value
            window = draw_rows(KINDS, rows, rng)
        judged = judge_rows(count_reference(KINDS, drawn), window, ALPHA, int(rng.integers(2**31)), 0.0)
        counts += judged.significant.any(), (judged.significant & (judged.distances >= 0.02)).any()
        if i < asked:
            verdict = ask_evidently(drawn, window)
            theirs += verdict.columns.any(), verdict.table, verdict.columns.mean()
    ours = [describe_rate(int(c), size) for c in counts]
    of_them = [describe_rate(int(c), asked) for c in theirs[:2]]
    share = f"{100 * theirs[2] / asked:.0f}%"
    print(f"| {reference_rows:,} | {rows:,} | {' | '.join([*ours, *of_them, share])} |", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=60, help="of ours (default: 60)")
    parser.add_argument("--evidently", type=int, default=5, help="of them also by Evidently (default: 5)")
    given = parser.parse_args()
    start = time.process_time()
    print("| change | rows | significant | and among 12 past windows | Evidently: the column | Evidently: the table |")
    print("|---|---|---|---|---|---|")
    for rows in (1_000, 10_000):
        show_power(rows, given.replications, given.evidently, seed=rows)
    print()
    print("| reference | rows | significant | and worth a look | Evidently: a column | the table | share of columns |")
    print("|---|---|---|---|---|---|---|")
    for reference, rows in QUIET:
        show_false_alarms(reference, rows, 5 * given.replications, 4 * given.evidently, seed=reference + rows)
    print(f"\n{time.process_time() - start:.0f} CPU seconds")


if __name__ == "__main__":
    main()
