"""The one door to Evidently: a picture of each window, and the workspace whose pages show their history.

The pictures are drawn from a bounded sample and are no numbers of record. Those come from all rows; they are put into
the workspace as the means of columns of one row, so that its dashboard plots them. In names and values from the
data, characters that mean something to a page are replaced, since Evidently writes them into scripts as they are.

They may be read by many: columns that look like personal data are left out, and texts that few rows hold are drawn as
one, class labels among them.
"""

from __future__ import annotations

import html
import json
import math
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.config import LoadedProject
from tasks.files import safe_name, scratch_folder, whole_file
from tasks.monitoring.counts import column_kind
from tasks.monitoring.reference import RoleNames
from tasks.results import Window
from tasks.stage import crash_point
from tasks.stats.metrics import TaskType
from tasks.stats.personal import FEWEST_OF_A_VALUE, find_personal

_SPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
_HARMLESS = str.maketrans({"<": "(", ">": ")", "&": "+", '"': "”", "'": "”", "`": "”", "\\": "/"})
_OTHER = "other"
OWN = "Verdicts further down are Evidently's, by its defaults and on the sample; they decide nothing."
DRAWN = 30  # columns in the drift table, and
SUMMARISED = 6  # columns that are described in full: those that moved most
RECORD = "trueup: "  # the numbers of record stand in the workspace under names that begin so
ROWS, LABELLED = f"{RECORD}rows", f"{RECORD}rows with a known label"
DRIFTED, WATCHED = f"{RECORD}columns drifted", f"{RECORD}columns watched"
REALISED, LOW, HIGH = f"{RECORD}realised", f"{RECORD}lower end", f"{RECORD}upper end"
PROMISED = f"{RECORD}promised"
PANELS = {
    "The project's metric on labelled rows, with its interval": (REALISED, LOW, HIGH, PROMISED),
    # Whole numbers: the axis of a share that stays the same is labelled 0, whatever it is.
    "Columns that drifted, of those that are watched": (DRIFTED, WATCHED),
    "Rows": (ROWS, LABELLED),
}


@dataclass(frozen=True)
class Picture:
    """What was drawn: the page, its numbers, and the columns that were left out, with the reason for each."""

    page: Path
    numbers: Path
    left_out: tuple[str, ...]


@dataclass
class _Sides:
    """Both samples in the types, names and values that Evidently is given."""

    reference: dict[str, Any] = field(default_factory=dict)
    window: dict[str, Any] = field(default_factory=dict)
    numbers: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    shown: dict[str, str] = field(default_factory=dict)  # column -> its name on the page
    left_out: list[str] = field(default_factory=list)
    rare: frozenset[str] = frozenset()  # class labels that are drawn as one


def draw_window(
    project: LoadedProject,
    window: Window,
    *,
    reference: pd.DataFrame,
    sample: pd.DataFrame,
    features: Sequence[str],
    task: TaskType,
    classes: Sequence[Any],
) -> Picture:
    """Draw a sample of a window beside one of the reference; write page and numbers; add both to the workspace at
    `<home>/evidently` under the window's end. Drawing the same batch again replaces what stood there.

    `reference` and `sample` hold the features and the columns of `RoleNames`. Raises whatever Evidently raises.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import MeanValue
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    names = RoleNames.beside(features)
    moved = sorted(features, key=lambda name: -window.drift.get(name, 0.0))
    columns = [names.target, names.prediction, names.probability, *moved]
    labels = () if task == "regression" else (names.target, names.prediction)
    data = project.spec.data
    personal = find_personal(
        *(side[[c for c in columns if c in side]] for side in (reference, sample)),
        names={names.target: data.target, names.prediction: data.target},
        stated=data.personal,
        cleared=data.not_personal,
    )
    sides = _prepare(reference, sample, columns, project.spec.monitor.max_categories, labels, personal)
    known = dict.fromkeys(_pool_label(c, sides.rare) for c in classes)
    quality, roles = _describe_task(sides, names, task, tuple(known))
    summary = DataSummaryPreset(columns=list(sides.shown.values())[:SUMMARISED])
    record = pd.DataFrame({name: [value] for name, value in _record(window).items() if math.isfinite(value)})
    drawn = f"pictures: {len(sample):,} of {window.rows:,} rows, spread evenly over them; numbers of record: all rows"
    about = {
        "name": f"{_clean(window.batch)}, model version {window.version}",
        "timestamp": window.end,
        "tags": [_clean(window.batch)],
        "metadata": {
            "batch": _clean(window.batch),
            "model version": str(window.version),
            "health": window.health,
            "action": window.action,
        },
    }
    definition = DataDefinition(numerical_columns=sides.numbers, categorical_columns=sides.categories, **roles)
    with _quiet_and_light():
        snapshot = Report([DataDriftPreset(), summary, *quality], include_tests=False).run(
            Dataset.from_pandas(pd.DataFrame(sides.window), data_definition=definition),
            Dataset.from_pandas(pd.DataFrame(sides.reference), data_definition=definition),
            **about,
        )
        numbers = Report([MeanValue(column=c) for c in record], include_tests=False).run(
            Dataset.from_pandas(record, data_definition=DataDefinition(numerical_columns=list(record))), None, **about
        )
        page = _head(snapshot.get_html_str(as_iframe=False), project.name, window, drawn, sides.left_out)
    path = project.folder / "reports" / f"{safe_name(window.batch)}-v{window.version}.html"
    for target, text in ((path, page), (path.with_suffix(".json"), snapshot.json())):
        with whole_file(target) as file:
            file.write(text.encode("utf-8", "replace"))
    crash_point("window-drawn")
    kept = json.loads(snapshot.dumps())
    kept["widgets"].insert(0, _say_what_it_is(window, drawn))
    _add_to_workspace(project, window.batch, kept, json.loads(numbers.dumps()))
    return Picture(path, path.with_suffix(".json"), tuple(sides.left_out))


@contextmanager
def _quiet_and_light() -> Iterator[None]:
    """Evidently without its warnings about constant or tiny columns (nothing is decided here), and with plots that do
    not each carry plotly's default template: it is half of their size and a fifth of the time."""
    import plotly.io

    before = plotly.io.templates.default
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plotly.io.templates.default = None
        try:
            yield
        finally:
            plotly.io.templates.default = before


def _record(window: Window) -> dict[str, float]:
    """The numbers of record for the dashboard's plots; nan where a window has none."""
    realised = window.performance[0] if window.performance else None
    return {
        ROWS: window.rows,
        LABELLED: window.labelled,
        DRIFTED: len(window.drifted),
        WATCHED: len(window.drift) - (window.prediction is not None) - (window.label is not None),
        REALISED: realised.value if realised else math.nan,
        LOW: realised.low if realised else math.nan,
        HIGH: realised.high if realised else math.nan,
        PROMISED: window.promised.get(realised.name, math.nan) if realised else math.nan,
    }


def _prepare(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    columns: Sequence[str],
    most: int,
    labels: Sequence[str],
    personal: Mapping[str, str],
) -> _Sides:
    """The first DRAWN of `columns` that can be drawn. `labels` are classes even where they are numbers, of which only
    rare texts are pooled. `personal` columns are left out, with what they look like."""
    sides = _Sides(rare=_find_rare_labels(reference, window, labels))
    for number, name in enumerate(columns):
        if name not in reference or name not in window:
            continue
        if name in personal:
            sides.left_out.append(f"{name!r}: {personal[name]}")
            continue
        if len(sides.shown) == DRAWN:
            sides.left_out.append(f"{len(columns) - number:,} columns that moved less than these {DRAWN}")
            break
        one, other = reference[name], window[name]
        if not one.notna().any() or not other.notna().any():
            sides.left_out.append(f"{name!r}: no value in {'the window' if one.notna().any() else 'the reference'}")
            continue
        if pd.api.types.is_datetime64_any_dtype(one.dtype):
            sides.left_out.append(f"{name!r}: a time")  # Evidently has no drift of times
            continue
        pair = None if name in labels else _as_numbers(one, other)
        pair = pair or _as_categories(one, other, most, sides.rare if name in labels else None)
        if pair is None:
            sides.left_out.append(f"{name!r}: too many different values to draw")
            continue
        if _is_needle(*pair):
            sides.left_out.append(f"{name!r}: values too close together to draw")
            continue
        shown = _free_name(_clean(name), sides.reference)
        sides.shown[name] = shown
        (sides.numbers if pd.api.types.is_float_dtype(pair[0].dtype) else sides.categories).append(shown)
        sides.reference[shown], sides.window[shown] = (p.reset_index(drop=True) for p in pair)
    return sides


def _as_numbers(one: pd.Series[Any], other: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]] | None:
    """Both as floats without their most extreme values, which may name a person; None where they are no numbers."""
    sides = []
    for values in (one, other):
        if column_kind(values) != "number":
            return None
        numbers = pd.Series(values.to_numpy(np.float64, na_value=np.nan)).replace([np.inf, -np.inf], np.nan)
        sides.append(numbers.clip(float(numbers.quantile(0.001)), float(numbers.quantile(0.999))))
    return (sides[0], sides[1]) if all(s.notna().any() for s in sides) else None


def _is_needle(one: pd.Series[Any], other: pd.Series[Any]) -> bool:
    """Whether numbers differ, but by less than bins can tell apart, as with ids of 19 digits."""
    if not pd.api.types.is_float_dtype(one.dtype):
        return False
    for values in (one, other, pd.concat([one, other])):
        low, high = float(values.min()), float(values.max())
        if 0 < high - low < 1e-9 * max(abs(low), abs(high)):
            return True
    return False


def _as_categories(
    one: pd.Series[Any], other: pd.Series[Any], most: int, rare: frozenset[str] | None
) -> tuple[pd.Series[Any], pd.Series[Any]] | None:
    """Both as text, rare values pooled; None where hardly any row would keep its value, as with free text or times.

    `rare` are those of class labels, of which every other one is kept.
    """
    texts = [v.map(_spell, na_action="ignore").astype(object) for v in (one, other)]
    counts = pd.concat(texts).value_counts()
    if rare is None:
        kept = counts.index[(counts >= FEWEST_OF_A_VALUE).to_numpy()][:most]
        if counts[kept].sum() < 0.5 * counts.sum():
            return None
    else:
        kept = counts.index[~counts.index.isin(list(rare))]
    pooled = [t.where(t.isin(kept) | t.isna(), _OTHER) for t in texts]
    return pooled[0], pooled[1]


def _find_rare_labels(reference: pd.DataFrame, window: pd.DataFrame, labels: Sequence[str]) -> frozenset[str]:
    """Texts that few rows have as their class, and few as their prediction. Numbers and flags name nobody."""
    most: dict[str, int] = {}
    for name in labels:
        sides = [side[name].dropna() for side in (reference, window) if name in side]
        if sides:
            values = pd.concat([side[side.map(lambda v: isinstance(v, str))].astype(object) for side in sides])
            for text, rows in values.map(_spell).value_counts().items():
                most[str(text)] = max(most.get(str(text), 0), int(rows))
    return frozenset(text for text, rows in most.items() if rows < FEWEST_OF_A_VALUE)


def _pool_label(label: Any, rare: frozenset[str]) -> Any:
    return _OTHER if isinstance(label, str) and _spell(label) in rare else label


def _describe_task(
    sides: _Sides, names: RoleNames, task: TaskType, classes: Sequence[Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Metrics of quality and the roles of the columns, where labels and predictions are there on both sides."""
    from evidently import BinaryClassification, MulticlassClassification, Regression
    from evidently.presets import RegressionQuality
    from evidently.presets.classification import ClassificationQuality

    target, prediction = sides.shown.get(names.target), sides.shown.get(names.prediction)
    if target is None or prediction is None:
        return [], {}
    if task == "regression":
        return [RegressionQuality()], {"regression": [Regression(target=target, prediction=prediction)]}
    for side in (sides.reference, sides.window):
        both = side[target].notna() & side[prediction].notna()
        if side[target][both].nunique() < len(classes) or len({_clean(str(c)) for c in classes}) < len(classes):
            return [], {}  # Evidently's metrics are not defined on one class
    if task == "multiclass":
        roles = MulticlassClassification(target=target, prediction_labels=prediction)
        return [ClassificationQuality(conf_matrix=True)], {"classification": [roles]}
    binary = BinaryClassification(
        target=target,
        prediction_labels=prediction,
        prediction_probas=sides.shown.get(names.probability),
        pos_label=_clean(str(classes[1])),
    )
    return [ClassificationQuality(conf_matrix=True, pr_curve=True)], {"classification": [binary]}


def _add_to_workspace(project: LoadedProject, batch: str, snapshot: dict[str, Any], numbers: dict[str, Any]) -> None:
    """One run per batch, named by it: drawn again, it replaces the old one, and a crash leaves no second one."""
    folder = project.home / "evidently" / str(uuid.uuid5(_SPACE, f"trueup/{project.name}"))
    if not (folder / "metadata.json").exists():
        _make_project(project, folder)
    snapshot["metric_results"].update(numbers["metric_results"])
    run = uuid.uuid5(uuid.UUID(folder.name), batch)
    with whole_file(folder / "snapshots" / f"{run}.json") as file:
        file.write(json.dumps(snapshot).encode())


def _make_project(project: LoadedProject, folder: Path) -> None:
    """Make the project with its dashboard elsewhere and rename it into place: whole, and once, whoever comes first."""
    from evidently.sdk.models import PanelMetric, ProjectModel
    from evidently.sdk.panels import line_plot_panel
    from evidently.ui.workspace import Workspace

    with scratch_folder(folder.parent) as made:
        workspace = Workspace(str(made))
        own = ProjectModel(id=uuid.UUID(folder.name), name=project.name, description=project.spec.description or None)
        dashboard = workspace.add_project(own).dashboard
        for title, columns in PANELS.items():
            metrics = [
                PanelMetric(legend=c.removeprefix(RECORD), metric="MeanValue", metric_labels={"column": c})
                for c in columns
            ]
            dashboard.add_panel(line_plot_panel(title=title, values=metrics, size="full"), tab="Windows")
        (made / folder.name / "snapshots").mkdir(exist_ok=True)
        try:
            (made / folder.name).rename(folder)
        except OSError:  # it is there by now, made by another process
            if not (folder / "metadata.json").exists():
                raise


def _plain(text: str) -> str:
    """Without characters that mean something to a page."""
    return "".join(c if c.isprintable() else " " for c in text.translate(_HARMLESS)).strip()


def _clean(text: str) -> str:
    """Without characters that mean something to a page; a name of the numbers of record cannot be taken."""
    plain = _plain(text)[:80]
    return f"_{plain}" if plain.startswith(RECORD.strip()) else plain or "(no name)"


def _spell(value: Any) -> str:
    """A value as text; a whole number reads the same where it arrives as 5 and as 5.0."""
    whole = isinstance(value, float) and value.is_integer()
    return _clean(str(int(value) if whole else value))


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    return free


def _say_what_it_is(window: Window, drawn: str) -> dict[str, Any]:
    """The first thing on the report's page in the workspace: our verdict, and that those below are Evidently's."""
    from evidently.legacy.renderers.html_widgets import CounterData, counter

    verdict = f"{_clean(window.batch)}: {window.health}; action: {window.action}"
    about = f"{_plain(window.sentence)}. {drawn.capitalize()}. {OWN}"
    made = counter(counters=[CounterData(label=about, value=verdict)]).dict()
    return dict(made) | {"id": str(uuid.uuid5(_SPACE, f"trueup/{window.batch}"))}


def _head(page: str, project: str, window: Window, drawn: str, left_out: Sequence[str]) -> str:
    """Say above the pictures what they are of."""
    said = f"batch {window.batch}: {window.health}. {window.sentence[:1].upper()}{window.sentence[1:]}."
    lines = [f"<b>{html.escape(project)}</b>, {html.escape(said)}", html.escape(f"{drawn.capitalize()}. {OWN}")]
    if left_out:
        lines.append("Left out: " + "; ".join(html.escape(item) for item in left_out) + ".")
    shown = "".join(f'<p style="font-family: sans-serif; margin: 8px 16px">{line}</p>' for line in lines)
    at = page.find("<body")
    at = page.find(">", at) + 1
    return page[:at] + shown + page[at:]
