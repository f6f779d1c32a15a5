"""The audit on the decision page: slices, groups of people, worse rows and leaks, each where there is something."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.reports.card import write_card_html, write_card_markdown
from tasks.reports.decision import write_decision_page
from tasks.results import Finding, GroupComparison, LeakAudit
from tests.reports.audits import (
    MITIGATION,
    NAN,
    make_audit,
    make_group,
    make_groups,
    make_limit,
    make_sign,
    make_slice,
    make_slices,
    make_step,
    make_stress,
)
from tests.reports.dossiers import make_decision, make_dossier, make_gate, make_gates, make_record
from tests.reports.reading import Page, read_page

TITLES = ("Slices", "Groups of people", "Robustness ladder", "Leaks")


def read(audit: Any = None, mitigation: Any = None, **changes: Any) -> Page:
    record = make_record(audit=audit, mitigation=mitigation, **changes)
    return read_page(write_decision_page(make_dossier(record, make_decision("promote", by_gates=True))))


def part_of(page: Page, title: str) -> str:
    """The text of one section."""
    rest = page.text.split(f"{title} ", 1)[1]
    ends = [rest.index(f" {t} ") for t in (*TITLES, "What would change the verdict") if f" {t} " in rest and t != title]
    return rest[: min(ends)]


def has(page: Page, title: str) -> bool:
    return f">{title}</h2>" in page.source


def test_sections_come_in_order_after_the_comparison_and_only_where_there_is_something() -> None:
    page = read(make_audit())
    places = [page.source.index(f">{t}</h2>") for t in ("Compared with the champion", *TITLES)]
    assert places == sorted(places)
    nothing: Any
    for nothing in (None, {}, {"slices": None, "groups": [], "fairness": [], "robustness": None, "leaks": None}):
        bare = read(nothing)
        assert not any(has(bare, t) for t in TITLES)
    without = read(make_audit(groups=(), fairness=(), leaks=None, price=None))
    assert [has(without, t) for t in TITLES] == [True, False, True, False]


def test_slices_are_told_weakest_first_with_those_that_are_found_apart() -> None:
    text = part_of(read(make_audit()), "Slices")
    assert text.startswith(
        "On 2 of 4 slices that are large enough, the model is shown to be worse than allowed: size = small and colour "
        "= red, size = small."
    )
    assert "Solid line: all test rows, 0.9. Dashed: the worst that is allowed, 0.85." in text
    order = ["size = small 400 rows", "size = large", "colour = red 400", "Found by search", "size = small and colour"]
    places = [text.index(part, text.index("finding")) for part in order]
    assert places == sorted(places)
    assert "✗ worse than allowed" in text and "✓ within the limit" in text and "? cannot be told" in text
    assert "size = small 400 rows 0.810 0.770 to 0.850 +0.090 0.070 to 0.110" in text
    assert "Too few rows, or too few independent days, to tell: colour = mauve (12 rows)." in text


def count_drawn(page: Page, kind: str) -> int:
    return sum(kind == s.get("class") for _, s in page.elements)


def test_a_champion_is_marked_on_each_slice() -> None:
    slices = [make_slice(f"size = {i}", 0.01 * i) for i in range(3)]
    page = read(make_audit(slices=make_slices(*slices, against="champion")))
    assert count_drawn(page, "rival") == 3
    assert "Diamond: the champion on the same rows." in page.text and "champion 0.900" in page.text
    assert count_drawn(read(make_audit()), "rival") == 0


def test_without_a_limit_the_weakest_is_named_and_no_finding_claimed() -> None:
    slices = make_slices(
        make_slice("size = a", 0.1, "reported"), make_slice("size = b", 0.02, "reported"), max_drop=None
    )
    text = part_of(read(make_audit(slices=slices)), "Slices")
    assert "the model is weakest on size = a: ROC AUC is 0.8 there, against 0.9 on all test rows." in text
    assert "each at 95% by itself" in text and "no limit stated" not in text and "finding" not in text


def test_a_loss_is_worse_where_it_is_larger() -> None:
    slices = make_slices(
        make_slice("size = a", 3.0, "fail", metric="mae", other=40.0, larger=False), metric="mae", max_drop=2.0
    )
    text = part_of(read(make_audit(slices=slices)), "Slices")
    assert "Dashed: the worst that is allowed, 42." in text and "43.0" in text and "+3.00" in text


def test_slices_that_say_nothing_are_told_too() -> None:
    small = make_slices(make_slice("size = a", 0.1, "too small"))
    text = part_of(read(make_audit(slices=small)), "Slices")
    assert text == (
        "The only slice has too few rows or independent days to tell. "
        "Too few rows, or too few independent days, to tell: size = a (400 rows)."
    )
    broken = part_of(read(make_audit(slices=make_slices(problem="it broke"))), "Slices")
    assert broken == "The slices could not be judged: it broke."


def test_of_many_slices_the_weakest_are_drawn_and_the_page_stays_small() -> None:
    long = "<&\"'>" * 100
    slices = [make_slice(f"c{i % 4} = {long}{i}", 0.001 * i, "pass", found=i > 56) for i in range(60)]
    small = [make_slice(f"d = {i}", finding="too small", rows=i) for i in range(40)]
    groups = [make_group(f"race = {i}", 0.1 + i / 100, small=i % 5 == 0) for i in range(30)]
    pairs = [make_group(f"sex = x and race = {i}", 0.1) for i in range(60)]
    audit = make_audit(
        slices=make_slices(*[make_slice(f"c{i % 4} = {i}", 0.001 * i) for i in range(60)], *small, against="champion"),
        groups=(make_groups(), make_groups(*groups, by=("race",)), make_groups(*pairs, by=("sex", "race"))),
    )
    page = read(audit, MITIGATION)
    assert len(page.source.encode()) < 200_000
    assert "And 20 more slices, which are weak by less." in page.text and "c3 = 59" in page.text
    assert "c3 = 19" not in page.text and "and 10 more." in page.text
    assert "And 30 smaller groups." in page.text  # of the pairs
    assert len(read(make_audit(slices=make_slices(*slices))).source.encode()) < 400_000  # names as long as they come


def test_groups_are_told_with_rates_limits_and_measures() -> None:
    page = read(make_audit())
    text = part_of(page, "Groups of people")
    for part in (
        "The model treats groups more differently than the project file allows. By sex, the lowest share decided "
        "positive over the highest is 0.35; at least 0.8 is asked.",
        "sex = Female 900 9.0% 7.0 to 11.0",
        "+9.0 +7.0 to +11.0",  # observed less given, with its sign
        "sex = Female sex = Male decided positive 0.35 0.3 to 0.4 ✗ breaks the limit",
        "over the highest (demographic parity ratio) 0.35 at least 0.8 ✗ breaks the limit",
        "Both at once: sex and race",
    ):
        assert part in text, part
    assert "2.9" not in text  # the way back
    assert page.named("details") == [{}]
    on_a_pair = make_audit(fairness=(make_limit(by=("sex", "race")),))
    assert "open" in read(on_a_pair).named("details")[0]


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        (("pass",), "The stated limit is shown to be kept."),
        (("pass", "pass"), "All 2 stated limits are shown to be kept."),
        (("undecided",), "The stated limit is not shown to be broken, nor that every group keeps it."),
        (("pass", "too small"), "No stated limit is shown to be broken; for 1 of 2 it is not shown that all keep it."),
        (
            (),
            "The widest gap between groups: decided positive is 9.0% for sex = Female and 25.0% for sex = Male.",
        ),
    ],
)
def test_the_answer_on_groups_is_what_was_found(findings: tuple[Finding, ...], said: str) -> None:
    metrics = ("demographic_parity_ratio", "equalized_odds_ratio")
    limits = tuple(make_limit(f, metric=m) for f, m in zip(findings, metrics, strict=False))
    assert part_of(read(make_audit(fairness=limits)), "Groups of people").startswith(said)


def test_of_small_groups_no_number_is_shown() -> None:
    groups = make_groups(make_group("sex = Female", 0.731, 7, small=True), make_group("sex = Male", 0.25))
    text = part_of(read(make_audit(groups=(groups,), fairness=())), "Groups of people")
    assert "sex = Female 7 too few to tell" in text and "73.1" not in text


def test_a_difference_shows_who_gets_more_and_a_problem_is_told() -> None:
    pairs = tuple(
        GroupComparison("sex = Male", f"sex = {i}", "true_positive_rate", 0.3, 0.2, 0.4, 0.99, 0.01, 90, "fail")
        for i in range(7)
    )
    limit = make_limit(metric="true_positive_rate_difference", kind="difference", limit=0.1, comparisons=pairs)
    text = part_of(read(make_audit(fairness=(limit,))), "Groups of people")
    assert "at most 0.1 is asked" in text and "And 2 more comparisons." in text
    none = make_limit("too small", comparisons=(), problem="fewer than two groups are large enough", too_small=("a",))
    text = part_of(read(make_audit(groups=(), fairness=(none,))), "Groups of people")
    assert "Fewer than two groups are large enough." in text and "Too few rows to tell: a." in text


def test_a_mitigation_is_told_with_its_price() -> None:
    text = part_of(read(make_audit(), MITIGATION), "Groups of people")
    for part in (
        "Each group by sex has a threshold of its own, so that the same share of rows is decided positive in each",
        "are then scores, and no longer probabilities within a group. It reads the column sex at scoring",
        "Female 1,267 0.15 20%",
        "which keep the model's: unknown.",
        "ROC AUC is 0.897 with it and 0.925 without, on the same test rows: a loss of 0.028 (one-sided bounds 0.0246",
        "less alike in other ways: largest difference in the share found of the true ones from 0.026 to 0.330.",
        "accuracy 0.870 0.850 \u22120.020",
        "Lowest share decided positive over the highest 0.350 0.967 +0.617",
    ):
        assert part in text, part
    assert "Its price" not in read(make_audit(), {}).text
    assert "Decided more alike" in read(None, {**MITIGATION, "strength": 0.5}).text
    assert "50% of the way" in read(None, {**MITIGATION, "strength": 0.5}).text


def test_the_ladder_tells_falls_what_breaks_and_what_is_needless() -> None:
    text = part_of(read(make_audit()), "Robustness ladder")
    assert text.startswith(
        "The model does not break. ROC AUC falls most without size: by 0.2 of 0.9. No limit is stated"
    )
    assert "10% of all values missing 0.890 +0.010 0.006 to 0.014" in text
    assert (
        "Losing any one of these columns costs nothing that can be seen (at most 0.005 of ROC AUC): size, colour."
        in text
    )
    assert "no proof that they are useless together" in text
    steps = [make_step("lost", 0.01 * i, f"feature{i}", limit=0.05) for i in range(14)]
    steps.append(make_step("lost", NAN, "size", problem="it fails with ValueError: no", finding="fail", low=NAN))
    text = part_of(read(make_audit(robustness=make_stress(*steps, needless=()))), "Robustness ladder")
    assert text.startswith("The model breaks without size: it fails with ValueError: no.")
    assert "Without size It breaks: it fails with ValueError: no. ✗ breaks" in text
    assert "And 5 more columns whose loss costs less." in text and "allowed 0.05" in text and "Losing" not in text
    fallen = make_stress(make_step(fall=0.3, limit=0.1, finding="fail"), make_step("noise", 0.01, limit=0.1))
    text = part_of(read(make_audit(robustness=fallen)), "Robustness ladder")
    assert text.startswith(
        "ROC AUC falls further than allowed with 10% of all values missing: by 0.3, where 0.1 is allowed."
    )
    assert "✗ breaks the limit" in text and "✓ keeps the limit" in text
    untried = part_of(read(make_audit(robustness=make_stress(problem="no rows", needless=()))), "Robustness ladder")
    assert untried.startswith("It was not tried on rows that are worse than these: no rows.")


def test_leaks_are_told_by_how_sure_they_are() -> None:
    text = part_of(read(make_audit()), "Leaks")
    assert text.startswith("1 sign near-certainly says that the test rows flatter the model")
    for part in ("paid ✗ near-certain", "seen ? worth a look", "late ✓ cleared by the project file"):
        assert part in text
    none = part_of(read(make_audit(leaks=LeakAudit(9, 100))), "Leaks")
    assert none == "Nothing was found in 9 columns that says that the test rows flatter the model."
    mild = part_of(read(make_audit(leaks=LeakAudit(9, 100, (make_sign(None, certain=False),)))), "Leaks")
    assert mild.startswith("No near-certain sign of a leak in 9 columns; 1 sign is worth a look.")


# ---------------------------------------------------------------- gates


FAIR = make_gate(
    "fairness sex demographic_parity_ratio", "fail", limit=0.8, observed=0.35,
    evidence={"value": 0.35, "low": 0.3, "high": 0.4, "confidence": 0.98, "by": ["sex"]},
    sentence="sex = Female: less. `mitigation: {by: sex}` below `train:` makes decisions more alike.",
)  # fmt: skip
SLICES = make_gate(
    "slices", "fail", limit=0.05, observed=0.12, evidence={"failed": ["size = small"], "metric": "roc_auc"}
)
ROBUST = make_gate("robust", "fail", limit=0.0, observed=1.0, evidence={"broken": 1})
LEAKS = make_gate("leaks", "inconclusive", limit=0.0, observed=1.0, evidence={"signs": 1})


def decide(gate: Any, outcome: str) -> Page:
    record = make_record(
        outcome, audit=make_audit(), gates=[gate, *make_gates()], deciding=gate["name"], look=1, looks=3
    )
    return read_page(write_decision_page(make_dossier(record, make_decision(outcome, by_gates=True))))


@pytest.mark.parametrize(
    ("gate", "outcome", "why", "step", "change"),
    [
        (
            FAIR, "reject", "it treats groups of people, by sex, more differently than is allowed.",
            "mitigation: {by: sex} below train:", "even the upper bound 0.4 of the ratio lies beyond the limit 0.8.",
        ),
        (
            SLICES, "reject", "it is worse than is allowed on 1 part of the rows.",
            "Look at the rows of size = small:", "even the lower bound 0.1 of the drop lies beyond the limit 0.05.",
        ),
        (
            ROBUST, "reject", "it breaks where rows are worse than they were.",
            "Look under Robustness ladder", "a model must not break on such rows",
        ),
        (
            LEAKS, "hold", "the test rows near-certainly flatter it.",
            "Ask whether paid is known when predictions are made. If not, leave it out (data.exclude); if so, say so "
            "(data.known_in_time). Then train again", "More labels do not change it.",
        ),
    ],
)  # fmt: skip
def test_each_gate_says_why_what_next_and_what_would_change(
    gate: Any, outcome: str, why: str, step: str, change: str
) -> None:
    page = decide(gate, outcome)
    top = page.text.split("The ladder of gates")[0]
    assert why in top and step in top and "judged again by itself" not in top
    assert change in page.text.split("What would change the verdict")[1]


def test_a_gate_of_the_audit_is_drawn_with_its_bounds_and_said_to_be_judged_by_failing() -> None:
    page = decide(FAIR, "reject")
    assert "Fair by sex: lowest share decided positive over the highest" in page.text
    assert "passes from 0.8 ▸" in page.text and "ratio 0.35 lower bound, 98% 0.3 upper bound, 98% 0.4" in page.text
    assert "judged the other way round" in page.text and "judged the other way round" not in read().text
    page = decide(SLICES, "reject")
    assert "◂ passes up to 0.05" in page.text and "drop 0.12 lower bound, one-sided 0.1" in page.text
    assert "passes up to 0 " not in decide(LEAKS, "hold").text  # a count is no length


def test_a_limit_on_a_difference_passes_below_it_and_may_pass_with_a_bar_across() -> None:
    evidence = {"value": 0.3, "low": 0.08, "high": 0.4, "confidence": 0.98, "by": ["a b", "c"]}
    name = "fairness a b x c accuracy_difference"
    page = decide(make_gate(name, limit=0.1, observed=0.3, evidence=evidence), "promote")
    assert "Fair by a b and c: largest difference in the share decided right" in page.text
    assert "◂ passes up to 0.1" in page.text
    assert "with bounds on both sides of the limit 0.1, so it is shown neither to keep it nor to break it" in page.text
    kept = make_gate(name, limit=0.1, observed=0.01, evidence={**evidence, "value": 0.01, "low": 0.0, "high": 0.05})
    assert (
        "even the upper bound 0.05 of the difference where it is worst keeps the limit 0.1"
        in decide(kept, "promote").text
    )
    bare = make_gate(name, limit=0.1, observed=0.3, evidence={**evidence, "low": None, "high": None})
    assert "It fails where a bound crosses it." in decide(bare, "promote").text


def test_the_promise_covers_slices_and_groups_where_a_limit_is_stated() -> None:
    said = "Slices and groups: at most 5% chance of blaming any of them, all comparisons of one kind together"
    assert said in read(make_audit()).text
    assert "Slices and groups:" not in read(make_audit(slices=make_slices(max_drop=None), fairness=())).text
    assert "Slices and groups:" not in read().text


# ---------------------------------------------------------------- what may be missing, and what may be brought


def list_places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from list_places(inner, (*path, key))


def replace_at(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    copy = json.loads(json.dumps(value))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return copy


WHOLE = {"audit": make_audit(), "mitigation": json.loads(json.dumps(MITIGATION))}
PLACES = list(list_places(WHOLE))


def render_all(parts: Any) -> None:
    gates = [FAIR, SLICES, ROBUST, LEAKS, *make_gates()]
    dossier = make_dossier(make_record(gates=gates, deciding="slices", **parts), make_decision("reject", by_gates=True))
    read_page(write_decision_page(dossier))
    read_page(write_card_html(dossier))
    write_card_markdown(dossier)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from([None, [], {}, "text", 3, True]))
def test_whatever_is_missing_breaks_no_page(place: tuple[Any, ...], new: Any) -> None:
    render_all(replace_at(WHOLE, place, new))


def empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: empty(inner) for key, inner in value.items()}
    return [empty(inner) for inner in value] if isinstance(value, list) else None


def test_nulls_everywhere_break_no_page() -> None:
    render_all(empty(WHOLE))


def rename(value: Any, text: str) -> Any:
    """Every text of an audit but its keys replaced, where a stranger may have brought it."""
    if isinstance(value, dict):
        kept = {"finding", "kind", "metric", "against", "parity", "how"}
        return {k: v if k in kept else rename(v, text) for k, v in value.items()}
    if isinstance(value, list):
        return [rename(inner, text) for inner in value]
    return text if isinstance(value, str) else value


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "' onload='x",
        "{{ 7 * 7 }}",
        "\u202e\u0000",
        "a" * 10_000,
        "</svg></title><!--",
        "| # [x](y)",
    ],
)
def test_what_strangers_brought_is_shown_and_does_nothing(text: str) -> None:
    render_all(rename(WHOLE, text))
    gates = [
        {**g, "name": g["name"].replace("sex", text), "evidence": rename(g["evidence"], text)} for g in (FAIR, SLICES)
    ]
    record = make_record("reject", gates=gates, deciding=gates[0]["name"], **rename(WHOLE, text))
    page = read_page(write_decision_page(make_dossier(record, make_decision("reject", by_gates=True))))
    assert "\u202e" not in page.source and "\u0000" not in page.source
    if text.startswith("<script"):
        assert text in page.text


def test_tables_and_pictures_speak_for_themselves() -> None:
    page = read(make_audit(), MITIGATION)
    assert len(page.named("table")) == len(page.named("caption"))
    named = [s for s in page.named("svg") if s.get("role") == "img"]
    assert all(s.get("aria-label") for s in named) and len(page.named("desc")) == len(named)
    assert all(th.get("scope") in ("col", "row", "rowgroup") for th in page.named("th"))
