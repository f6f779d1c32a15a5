"""The decision page: it says what was decided, why and what next, for every outcome and task, and cannot be bent."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.reports.decision import write_decision_page
from tests.reports.dossiers import (
    NAN,
    make_comparison,
    make_decision,
    make_dossier,
    make_gate,
    make_gates,
    make_metric,
    make_record,
)
from tests.reports.reading import Page, read_page


def read(*arguments: Any, **more: Any) -> Page:
    return read_page(write_decision_page(make_dossier(*arguments, **more)))


def heading(page: Page) -> str:
    return re.split(r"What to do next", page.text)[0]


@pytest.mark.parametrize(
    ("outcome", "decision", "said", "next_step"),
    [
        (
            "promote",
            make_decision("promote", by_gates=True, champion=2, previous=1),
            "Version 2 passed every gate and was released in place of version 1.",
            "trueup rollback shop --reason",
        ),
        (
            "promote",
            make_decision("propose", by_gates=True),
            "Version 2 passed every gate and waits for a person to approve it.",
            "trueup approve shop 2 --reason",
        ),
        (
            "promote",
            make_decision("approve", actor="grace", champion=2, previous=1),
            "Version 2 was released in place of version 1 by grace.",
            "Nothing has to be done",
        ),
        (
            "hold",
            make_decision("hold", by_gates=True),
            "Version 2 is held and was not released: whether it is as good as the champion cannot be told yet.",
            "trueup promote shop 2 --override --reason",
        ),
        (
            "promote",
            make_decision("hold", by_gates=True, reason="The champion changed."),
            "Version 2 is held and was not released.",
            "trueup train shop --force",
        ),
        (
            "reject",
            make_decision("reject", by_gates=True),
            "Version 2 was rejected: it is worse than the champion by more than is allowed.",
            "Version 1 stays champion.",
        ),
        (
            "promote",
            make_decision("reject", actor="grace"),
            "Version 2 was rejected by grace.",
            "Version 1 stays champion; nothing has to be done.",
        ),
        (
            "promote",
            make_decision("rollback", actor="grace", champion=2, previous=3),
            "Version 2 was made champion again in place of version 3 by grace.",
            "Nothing has to be done",
        ),
        (
            "promote",
            make_decision("rolled back", champion=1),
            "Version 2 was rolled back: version 1 took its place again.",
            "trueup history shop",
        ),
        (
            "promote",
            make_decision("replaced", champion=3),
            "Version 2 was released, and version 3 has taken over since.",
            "trueup history shop",
        ),
    ],
)
def test_the_top_says_what_happened_and_what_to_do(outcome: str, decision: Any, said: str, next_step: str) -> None:
    page = read(make_record(outcome), decision)
    assert said in heading(page)
    assert next_step in page.text.split("What to do next")[1].split("The ladder of gates")[0]


def test_a_version_that_nobody_decided_about_yet_says_so() -> None:
    page = read(make_record())
    assert "was judged and not decided about yet: passed every gate." in heading(page)
    assert "trueup run shop" in page.text and "None yet." in page.text


def test_an_override_is_loud() -> None:
    page = read(
        make_record("hold"),
        make_decision("hold", by_gates=True),
        make_decision("promote", 2, actor="grace", reason="Monday", champion=2, previous=1, overruled=("champion",)),
    )
    assert page.text.split("shop · version 2")[0].split("⚠")[1].strip() == (
        "Gates were overruled grace released version 2 on 2024-05-01 11:30 UTC against the gate champion . "
        "The evidence below did not allow it. Reason given: “ Monday ”"
    )
    assert {"class": "banner", "role": "alert"} in page.named("div")
    assert "overruled by a person" in page.text and "although its gates did not pass" in page.text
    assert "override: champion" in page.text
    assert "banner" not in str(read(make_record("hold"), make_decision("hold")).elements)


def test_what_cannot_serve_is_not_offered_for_an_override() -> None:
    gates = [make_gate("sound", "inconclusive", limit=1e-6) if g["name"] == "sound" else g for g in make_gates()]
    page = read(make_record("hold", gates=gates, deciding="sound"), make_decision("hold", by_gates=True))
    assert "the stored model could not be tried" in page.text and "--override" not in page.text


@pytest.mark.parametrize(
    ("status", "gain", "mark"), [("pass", 0.02, "circle"), ("fail", -0.05, "rect"), ("inconclusive", 0.001, "circle")]
)
def test_a_gate_is_drawn_against_its_limit(status: str, gain: float, mark: str) -> None:
    source = write_decision_page(make_dossier(make_record(gates=make_gates(status, gain))))
    figure = re.findall(r'<svg class="gate-figure".*?</svg>\s*(?=<p class="caption">)', source, re.S)[1]
    place = {
        kind: float(re.search(rf'class="{kind}" x1?="([\d.]+)%"', figure)[1])  # type: ignore[index]
        for kind in ("limit", "zero", f"bar {status}")
    }
    ends = [float(x) for x in re.findall(r'class="cap" x1="([\d.]+)%"', figure)]
    assert place["limit"] < place["zero"] and place[f"bar {status}"] == ends[0] < ends[1]
    beyond = [end > place["limit"] for end in ends]
    assert beyond == {"pass": [True, True], "fail": [False, False], "inconclusive": [False, True]}[status]
    assert f'class="mark {status}"><{mark}' in figure  # told without colour
    assert f"<title>Not worse than the champion</title><desc>{status}: " in figure


def test_ceilings_pass_below_their_limit_and_floors_above() -> None:
    value = {"metric": "log_loss", "value": 0.5, "low": 0.47, "high": 0.53, "confidence": 0.95}
    gates = [
        make_gate("ceiling log_loss", "fail", limit=0.4, observed=0.53, evidence=value),
        make_gate("floor roc_auc", "inconclusive", limit=0.5, evidence=value),
    ]
    page = read(make_record(gates=gates))
    assert "◂ passes up to 0.4" in page.text and "passes from 0.5 ▸" in page.text
    assert (
        "Ceiling of log loss: even the lower bound 0.47 does not reach the limit 0.4. A model that is better by 0.13 "
        "would pass, if its bounds were as wide."
    ) in page.text
    assert "the lower bound 0.47 misses the limit 0.5 by 0.03." in page.text


def test_what_would_change_the_verdict_is_concrete() -> None:
    gates = make_gates("inconclusive", 0.001)
    gates[3] = make_gate("speed", "fail", limit=200.0, observed=311.0)
    text = read(make_record("reject", gates=gates, deciding="speed")).text
    told = text.replace("\u2212", "-").split("What would change the verdict")[1].split("What these numbers promise")[0]
    lines = [
        "Fast enough: 311 was found; at most 200 would pass.",
        "Not worse than the champion: the lower bound -0.007 misses the limit -0.005 by 0.002. It passes with a better "
        "model, or with narrower bounds, which come from more rows: about 41,000 instead of 15,553, 2.64 times as "
        "many.",
        "Worth it: better than a constant prediction: the lower bound +0.13 lies 0.11 above the limit +0.02. On the "
        "other side of it, the version would have been held.",
        "Sound: loads elsewhere and predicts the same: 0 against a limit of 1·10⁻⁶. Beyond it, the version would fail.",
    ]
    places = [told.index(line) for line in lines]
    assert places == sorted(places)


def test_the_promise_is_that_of_one_comparison_and_of_its_looks() -> None:
    look = make_record("hold", comparison=make_comparison(confidence=1 - 0.05 / 3), look=2, looks=3, judged=31_000)
    page = read(make_record("hold", look=1, looks=3), make_decision("hold", by_gates=True), looks=(look,))
    assert "Nominally 1.667% per comparison" in page.text
    assert "not per year, and not for the best of many" in page.text
    assert (
        "This was look 2 of at most 3. Each look takes 1.667%, so that all of them together stay nominally at 5%."
        in (page.text)
    )
    assert "It is judged again by itself once more as labels come" in page.text
    assert "judged on 31,000 rows" in page.text and "How often it was judged" in page.text
    assert "Nominally 5% per comparison" in read().text and "This was look" not in read().text
    nothing = make_record("hold", comparison=None, gates=[make_gate("champion", "inconclusive")])
    assert "so no error rate is stated" in read(nothing).text


def test_a_refit_says_whose_evidence_it_is() -> None:
    refit = {
        "rows": 92_550,
        "twin_rows": 76_997,
        "batches": ["2024-01", "2024-02"],
        "until": "2024-04-01T00:00:00+00:00",
    }
    page = read(make_record(refit=refit))
    assert (
        "This model was fitted again, to the same specification, on 92,550 labelled rows of 2024-01, 2024-02, "
        "the newest of 2024-04-01 00:00 UTC: it has seen the test rows too. All evidence here is that of its twin, "
        "which was fitted on 76,997 rows without them"
    ) in page.text
    assert "Fitted again" not in read(make_record(refit=None)).text
    later = read(make_record(refit={**refit, "twin": 4}, curves=CURVES)).text
    assert "it has seen the rows that were judged on too" in later
    assert "that of its twin, version 4, which was fitted on 76,997 rows" in later
    assert "those of version 4, its twin, at its training" in later


def test_a_version_that_was_fitted_again_names_the_one_that_took_its_place() -> None:
    held, look = make_record("hold", look=1, looks=3), make_record("promote", look=2, looks=3)
    page = read(held, make_decision("hold", by_gates=True), looks=(look,), successor=7)
    assert "passed every gate at a later look, and was fitted again as version 7" in page.text
    assert "trueup history" in page.text and "Train again" not in page.text


RANKED = {
    "false_positive_rate": [0.0, 0.2, 1.0],
    "true_positive_rate": [0.0, 0.7, 1.0],
    "recall": [0.2, 1.0],
    "precision": [0.9, 0.3],
}
CLASSES = [{"class": f"class {i}", "rows": 10 * i, **RANKED} for i in range(6)]
CURVES = {
    "roc": RANKED,
    "precision_recall": RANKED,
    "calibration": {"predicted": [0.1, 0.5], "observed": [0.12, 0.45], "rows": [10, 12]},
    "roc_by_class": CLASSES,
    "precision_recall_by_class": CLASSES[:3],
    "quantiles": {"actual": [1.0, 9.0, 200.5], "predicted": [2.0, 8.0, 150.0]},
    "residuals": {
        "predicted": [10.0, 250.5], "low": [-9.0, -50.5], "median": [0.5, -1.0], "high": [7.0, 66.0], "rows": [5, 5],
    },
    "confusion": {"classes": ["a", "b", "(others)"], "counts": [[8, 1, 1], [0, 0, 0], [5, 5, 10]]},
}  # fmt: skip


def count_curves(page: Page) -> int:
    return sum(s.get("class") == "curve-figure" for s in page.named("svg"))


def test_curves_are_drawn_where_they_are_and_left_out_where_they_are_not() -> None:
    page = read(make_record(curves=CURVES))
    assert count_curves(page) == len(CURVES) - 1
    assert "The 4 most frequent of 6 classes." in page.text
    assert [name in page.text for name in ("class 5", "class 2", "class 0")] == [True, True, True]
    assert "a 8 1 1 80% b 0 0 0 no rows (others) 5 5 10 50%" in page.text
    for broken in (
        None,
        {},
        [],
        {"recall": [1.0]},
        {"recall": [None], "precision": [1.0]},
        [3],
        [{"class": 1}],
        "text",
    ):
        assert count_curves(read(make_record(curves=dict.fromkeys(CURVES, broken)))) == 0
    for counts in ([[1]], [[1, 2], [3]], [[1, None], [3, 4]], []):
        record = make_record(curves={"confusion": {"classes": ["a", "b"], "counts": counts}})
        assert "Rows of each actual class" not in read(record).text


@pytest.mark.parametrize(
    ("task", "metric", "scale"),
    [("multiclass", "log_loss", 1.0), ("regression", "mae", 1e4), ("regression", "r2", -3.0)],
)
def test_other_tasks_have_their_pages(task: str, metric: str, scale: float) -> None:
    record = make_record(
        task=task,
        metric=metric,
        classes=["a", "b", "c"] if task == "multiclass" else [],
        threshold=None,
        metrics=[make_metric(metric, scale, abs(scale) / 10)],
        baseline=make_metric(metric, 2 * scale, abs(scale) / 5),
        comparison=make_comparison(scale / 50, abs(scale) / 40, metric=metric),
    )
    page = read(record, make_decision("promote", by_gates=True))
    assert task in page.text and "decision threshold" not in page.text


def test_what_is_missing_or_not_a_number_breaks_no_page() -> None:
    bare = {"verdict": {"outcome": "hold", "reason": ""}, "gates": []}
    assert "not recorded" in read(bare).text
    unjudged = make_record(
        "hold",
        metrics=[make_metric(value=NAN)],
        baseline=make_metric(value=NAN),
        champion=None,
        comparison=make_comparison(NAN, NAN),
        gates=[make_gate("baseline", "inconclusive", limit=0.02, evidence=make_comparison(NAN)), *make_gates()[2:]],
        importance={"size": NAN},
        deciding="baseline",
    )
    page = read(unjudged, make_decision("hold", by_gates=True))
    assert "whether it is better than a constant prediction by as much as is asked cannot be told yet" in page.text


def test_the_same_dossier_gives_the_same_page() -> None:
    dossier = make_dossier(make_record(), make_decision("promote"))
    assert write_decision_page(dossier) == write_decision_page(dossier)


def test_tables_and_pictures_speak_for_themselves() -> None:
    page = read(make_record(curves=CURVES), make_decision("promote", by_gates=True))
    tables, captions = page.named("table"), page.named("caption")
    assert len(tables) == len(captions) > 5
    named = [s for s in page.named("svg") if s.get("role") == "img"]
    assert all(s.get("aria-label") for s in named) and len(page.named("desc")) == len(named)
    assert all(th.get("scope") in ("col", "row") for th in page.named("th"))
    assert page.named("html") == [{"lang": "en"}]


FRAGMENTS = (
    "<script>alert(1)</script>", "</style></svg></title>", "<img src=x onerror=alert(1)>", "javascript:alert(1)",
    "' onload='x", '" autofocus onfocus="x', "../../etc/passwd", "'; DROP TABLE entries;--", "{{ 7 * 7 }}", "{% raw %}",
    "🤖", "\u202e", "\u0000", "\ud800", "&lt;", "<!--", "]]>", "http://far.example/x.png", "a" * 10_000, "\n# head",
)  # fmt: skip
hostile = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=12)), min_size=1, max_size=4).map("".join)


def make_hostile(text: str, other: str) -> Any:
    """A dossier in which every text that a stranger may have brought is this one."""
    record = make_record(
        "hold",
        batches=[text, other] * 5,
        refused=[text],
        dropped={text: 3},
        features=[text, other],
        dropped_features={text: other},
        classes=[text, other],
        choice=text,
        calibration=text,
        threshold_how=text,
        params={text: other},
        split=text,
        importance={f"{text}{i}": 0.1 * i for i in range(40)},
        curves={
            "roc_by_class": [{"class": text, "rows": 3, **RANKED}, {"class": other, "rows": 5, **RANKED}],
            "confusion": {"classes": [text, other], "counts": [[1, 2], [3, 4]]},
        },
        metrics=[make_metric(text)],
        gates=[*make_gates(), make_gate(text, "fail", limit=1.0, observed=2.0, sentence=other)],
        verdict={"outcome": "hold", "reason": text},
        refit={"rows": 3, "batches": [text], "until": text},
        target=text,
    )
    overruled = make_decision("promote", actor=text, reason=other, overruled=(text, other), champion=2)
    return make_dossier(
        record, overruled, make_decision("rolled back", 2, actor=other, reason=text), argument=text, project=text,
        trained_by=text, spec={"description": text, "data": {"target": text, "exclude": [text], "label_delay": other}},
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(hostile, hostile)
def test_nothing_that_a_stranger_brought_acts_or_is_lost(text: str, other: str) -> None:
    page = read_page(write_decision_page(make_hostile(text, other)))
    assert "\u202e" not in page.source and "\u0000" not in page.source


def test_what_a_stranger_brought_is_shown_as_it_is() -> None:
    text = '<b>"it\'s"</b> {{ 7 * 7 }} & ../../x; DROP TABLE t'
    page = read_page(write_decision_page(make_hostile(text, "plain")))
    assert page.text.count(text) > 10


def test_the_longest_page_stays_small() -> None:
    long = "<&\"'>" * 2_000
    record = make_record(
        params={f"{long}{i}": long for i in range(300)},
        dropped={f"{long}{i}": 1 for i in range(300)},
        dropped_features={f"{long}{i}": long for i in range(300)},
        importance={f"{long}{i}": 0.1 for i in range(300)},
        batches=[f"{long}{i}" for i in range(5_000)],
        metrics=[make_metric(f"{long}{i}") for i in range(100)],
        gates=[make_gate(long, "fail", sentence=long) for _ in range(30)],
    )
    decisions = [make_decision("hold", i, actor=long, reason=long) for i in range(300)]
    page = read(record, *decisions)
    assert "260 earlier ones" in page.text and "And 285 more that matter less" in page.text
