"""The model card: what a version is for, what it was made of, what it was measured on, and what nobody looked at.

One document, written as HTML and as Markdown. It claims nothing that was not measured or recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.reports import advice, outlook
from tasks.reports.audit_card import list_gaps, tell_audit
from tasks.reports.decision import describe_refit, list_items, listed_batches, view_metrics
from tasks.reports.dossier import RELEASED, Dossier, metric_title
from tasks.reports.findings import entries
from tasks.reports.rendering import render_html, render_markdown
from tasks.reports.section import Section, Table
from tasks.reports.wording import listed, moment, number, plain, sentence, shorten, span


def write_card_html(dossier: Dossier) -> str:
    """The card as a self-contained HTML page, without script."""
    return render_html("card.html.jinja", **_fill(dossier))


def write_card_markdown(dossier: Dossier) -> str:
    """The card as Markdown; nothing that the data or a person brought is read as Markdown or HTML."""
    return render_markdown("card.md.jinja", **_fill(dossier))


def _fill(dossier: Dossier) -> dict[str, Any]:
    override = dossier.override
    warning = ""
    if override is not None:
        gates = listed(override.overruled or ()) if override.overruled else "its gates"
        warning = (
            f"Gates were overruled: {plain(override.actor)} released this version on {moment(override.at)} against "
            f"{gates}. Reason given: {plain(override.reason)}"
        )
    sections = [
        _purpose(dossier),
        _use(dossier),
        _data(dossier),
        _measured(dossier),
        *tell_audit(dossier),
        _decided(dossier),
        _limits(dossier),
        _again(dossier),
    ]
    return {"d": dossier, "state": advice.tell_state(dossier), "warning": warning, "sections": sections}


def _purpose(d: Dossier) -> Section:
    said = d.section("description") or d.record.get("description")
    none = "The project file states none: its description is empty." if d.spec else "Not recorded."
    text = sentence(plain(said)) if said else none
    return Section("Purpose", (text,))


def _use(d: Dossier) -> Section:
    record = d.record
    features = record.get("features") or ()
    target = record.get("target") or d.section("data", "target")
    of = f" of the column {shorten(plain(target), 80)!r}" if target else ""
    classes = record.get("classes") or ()
    task = str(record.get("task", ""))
    what = {
        "binary": f"For each row {'a score' if record.get('mitigation') else 'the probability'}{of}"
        + (f" being {shorten(plain(classes[-1]), 80)}" if classes else " being the positive class"),
        "multiclass": f"For each row a probability for each of {number(len(classes))} classes{of}",
        "regression": f"For each row a number: the value{of} that is expected",
    }.get(task, f"For each row a prediction{of}")
    sentences = [
        f"{what}, from {number(len(features))} columns of a table like the one it was trained on.",
        "It was made to score batches of this project, from the same source, with the same meaning of its columns. "
        "Nothing was measured on rows from elsewhere.",
    ]
    if record.get("threshold") is not None:
        sentences.append(
            "Where a yes or no is needed, the threshold is "
            f"{sentence(plain(record.get('threshold_how') or number(record['threshold'])))}"
        )
    return Section("What it gives, and for which rows", tuple(sentences))


def _data(d: Dossier) -> Section:
    record = d.record
    rows = [
        ("snapshot", plain(record.get("snapshot", "not recorded"))),
        ("batches", listed_batches(record.get("batches") or ())),
        ("labelled rows", number(record.get("rows"))),
        ("split", plain(record.get("split") or "not recorded")),
    ]
    if record.get("known_as_of"):
        rows.append(("known as of", moment(record["known_as_of"])))
    if record.get("refused"):
        rows.append(("batches refused by the contract", listed_batches(record["refused"])))
    rows += [(f"left out: {name}", value) for name, value in list_items(record.get("dropped") or {})[0]]
    features = [shorten(plain(name), 80) for name in (record.get("features") or ())]
    more = f" and {len(features) - 60:,} more" if len(features) > 60 else ""
    refit = describe_refit(record.get("refit"))
    tables = [Table("Rows", ("", ""), tuple(rows))]
    gone = list_items(record.get("dropped_features") or {})[0]
    if gone:
        tables.append(Table("Columns that were left out", ("column", "why"), tuple(gone)))
    points = [f"Columns it reads: {', '.join(features[:60]) or 'not recorded'}{more}."]
    return Section("Data", (refit,) if refit else (), tuple(points), tuple(tables))


def _measured(d: Dossier) -> Section:
    evidence, title = d.evidence, metric_title(d.metric)
    metrics: Sequence[Mapping[str, Any]] = evidence.get("metrics") or ()
    if not metrics:
        return Section("Measured", ("No metric could be computed on its test rows.",))
    views = view_metrics(metrics)
    rows = [(v.name, v.value, v.interval) for v in views]
    baseline = evidence.get("baseline")
    if baseline:
        (view,) = view_metrics([baseline])
        rows.append((f"{title} of a constant prediction", view.value, view.interval))
    first = metrics[0]
    count = f"{d.judged_rows:,} rows" if d.judged_rows is not None else "rows"
    text = (
        f"On {count} that it has not learned from. The decision was made on {title}; the other metrics are there "
        f"to look at. Intervals: {float(first.get('confidence') or 0) * 100:.4g}%, {plain(first.get('method', ''))}, "
        "each for its metric alone."
    )
    return Section("Measured", (text,), tables=(Table("Metrics", ("metric", "value", "interval"), tuple(rows)),))


def _decided(d: Dossier) -> Section:
    gates = tuple(
        (str(g.get("name")), str(g.get("status", "")).replace("_", " "), plain(g.get("sentence", ""))) for g in d.gates
    )
    told = tuple(
        (moment(x.at), advice.action_word(x.action), advice.decided_line(x), plain(x.reason)) for x in d.decisions[-20:]
    )
    approved = next((x for x in reversed(d.decisions) if x.action in RELEASED and not x.by_gates), None)
    person = (
        f"Released by a person: {plain(approved.actor)}, {moment(approved.at)}."
        if approved
        else "Released by the gates; no person has approved it."
        if any(x.action in RELEASED for x in d.decisions)
        else "It was not released so far."
    )
    tables = [Table("Gates", ("gate", "status", "why"), gates)]
    if told:
        tables.append(Table("Decisions", ("when", "what", "who", "why"), told))
    return Section(
        "How it was decided", (sentence(plain(d.look.reason)), person), tuple(outlook.tell_promise(d)), tuple(tables)
    )


def _limits(d: Dossier) -> Section:
    record, points = d.record, []
    if record.get("known_as_of"):
        points.append(
            f"It knows nothing that became known after {moment(record['known_as_of'])}. "
            "Whether it still holds is what monitoring tells, batch by batch."
        )
    delay = d.section("data", "label_delay")
    if delay and span(delay):
        points.append(
            f"A label counts as known {span(delay)} after its row; rows without a known label are not in any number "
            "here."
        )
    made = record.get("mitigation")
    read = set(entries(made, "by")) if isinstance(made, Mapping) else set()
    excluded = [c for c in d.section("data", "exclude") or () if c not in read]
    if excluded:
        points.append(f"Columns that the project file keeps from it: {listed(excluded, 30)}.")
    method = next((str(m.get("method", "")) for m in d.evidence.get("metrics") or ()), "")
    blocks = method.rpartition(" over ")[2]
    if blocks:
        points.append(f"All intervals rest on {plain(blocks)} of test rows.")
    calibration = str(record.get("calibration") or "")
    if calibration:
        points.append(f"Calibration of its probabilities: {sentence(plain(calibration))}")
    points += list_gaps(d)
    points.append(
        "Not assessed: what happens where people change their behaviour because of its predictions, and whether any "
        "column causes the outcome."
    )
    return Section("Limits", (), tuple(points))


def _again(d: Dossier) -> Section:
    record = d.record
    rows = [
        ("candidate", plain(record.get("candidate", "not recorded"))),
        ("why this one", plain(record.get("choice") or "not recorded")),
        *((f"parameter {name}", value) for name, value in list_items(record.get("params") or {})[0]),
        ("MLflow run", plain(record.get("run_id", "not recorded"))),
        ("digest of its files", plain(record.get("digest", "not recorded"))),
        ("trained", f"{moment(d.trained_at)} by {plain(d.trained_by)}, trueup {plain(d.code_version)}"),
    ]
    import shlex

    project = shlex.quote(d.argument)
    steps = (
        advice.Step("Train it again from its snapshot, and see whether it is the same:",
                    f"trueup reproduce {project} {d.version}"),
        advice.Step("Go back to the champion before, where this one serves:",
                    f"trueup rollback {project} {advice.REASON}"),
        advice.Step("Everything that was decided:", f"trueup history {project}"),
    )  # fmt: skip
    return Section("To make it again, and to undo it", (), (), (Table("What made it", ("", ""), tuple(rows)),), steps)
