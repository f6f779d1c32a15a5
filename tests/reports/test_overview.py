"""The project page: what it tells of any project, whether it is harmless, and whether it stays small."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from tasks.reports.facts import Incident, PolicyFacts, ProjectFacts, Reading
from tasks.reports.headline import tell_headline
from tasks.reports.overview import write_index, write_overview
from tasks.reports.story import tell_story
from tests.reports.projects import (
    make_check,
    make_decision,
    make_project,
    make_retraining,
    make_training,
    make_window,
    month,
)
from tests.reports.reading import Page, read_page

HOSTILE = '<script>alert(1)</script>" onload="x\u202e\x1b[31m & {{ 7 * 7 }} javascript:alert(1)'


def read(facts: ProjectFacts) -> Page:
    return read_page(write_overview(facts), links=True)


def commands(facts: ProjectFacts) -> list[str]:
    return [step.command for step in tell_headline(facts).steps]


def test_all_is_well_is_said_once_and_in_front() -> None:
    facts = make_project(make_window(1), make_window(2))
    page = read(facts)
    assert page.text.index("All is well: version 1 serves, and 2024-02 is healthy.") < 300
    assert "Nothing has to be done." in page.text and "trueup run shop" in page.text
    assert tell_headline(facts).tone == "good"


def test_the_tiles_tell_age_performance_alarms_labels_quarantine_and_what_may_be_retrained() -> None:
    checks = (make_check("2024-01", quarantined=7), make_check("2024-02", quarantined=2))
    policy = PolicyFacts("p", 2, 3, month(7), "1 per year")
    facts = make_project(make_window(1, "drifting", alarm=True), make_window(2), checks=checks, policy=policy)
    text = read(facts).text
    for said in (
        "logistic, trained 2024-01-01", "180 days old", "champion since 2024-01-01",
        "0.410", "[0.300, 0.500] in 2024-02", "promised 0.400 [0.300, 0.500]", "estimated 0.380",
        "1 in 2 windows", "1 per year may be false", "the budget allows 0.2 false ones in so many",
        "99% known in 2024-02", "9 rows", "2 in 2024-02", "9 of 2,000 rows in all",
        "2 of 3 this quarter", "not before 2024-07-29",
    ):  # fmt: skip
        assert said in text, said


def test_a_window_that_waits_for_labels_says_what_is_estimated() -> None:
    late = make_window(2, realised=None, labelled=100, doubt="10% of the labels are known")
    text = read(make_project(make_window(1), late)).text
    assert "900 of 1 window" in text and "[0.300, 0.500] in 2024-01" in text
    assert "estimated 0.380 [0.200, 0.600] in 2024-02" in text


@pytest.mark.parametrize(
    ("health", "code", "more", "tone", "says", "command"),
    [
        ("broken", None, {}, "bad", "Needs you: 2024-03 is broken", "trueup run shop"),
        ("degraded", None, {}, "bad", "Needs you: 2024-03 is degraded", "trueup train shop"),
        ("degraded", "never", {"outcome": "none"}, "bad", "Needs you: 2024-03 is degraded", "trueup train shop"),
        ("degraded", "cooldown", {"not_before": month(5)}, "bad", "in hand: 2024-03 is degraded", "trueup run shop"),
        ("degraded", "same_rows", {}, "bad", "Needs you: 2024-03 is degraded", "trueup train shop"),
        ("drifting", None, {}, "warn", "worth a look: 2024-03 is drifting", "trueup run shop"),
    ],
)
def test_what_is_wrong_is_the_headline_with_what_to_do(
    health: str, code: str | None, more: dict[str, object], tone: str, says: str, command: str
) -> None:
    asked = (make_retraining(**{"outcome": "wait", "code": code, **more}),) if code else ()  # type: ignore[arg-type]
    facts = make_project(make_window(1), make_window(3, health), retrainings=asked)
    headline = tell_headline(facts)
    assert headline.tone == tone and says in headline.sentence, headline.sentence
    assert command in commands(facts)
    assert says in read(facts).text


def test_a_degraded_window_counts_until_its_champion_is_replaced() -> None:
    windows = (make_window(1), make_window(2, "degraded"), make_window(3, realised=None, labelled=0, doubt="none"))
    assert tell_headline(make_project(*windows)).word == "degraded"
    later = make_decision(2, seq=900, before=1)
    assert tell_headline(make_project(*windows, champion=2, since=later)).tone == "good"


def test_a_challenger_that_was_rejected_is_told_with_its_page() -> None:
    asked = make_retraining("retrain", "performance", seq=300)
    made = make_decision(2, "reject", seq=302, before=1, champion=1)
    trained = make_training(2, asked="performance")
    facts = make_project(make_window(2, "degraded"), retrainings=(asked,), decisions=(make_decision(1), made),
                         trainings=(make_training(1), trained))  # fmt: skip
    headline = tell_headline(facts)
    assert "Version 2 was trained for it and was rejected" in headline.sentence
    assert headline.steps[0].page == "decisions/v2.html"
    assert "because a window was degraded, was rejected; version 1 stays champion" in read(facts).text


def test_a_version_that_waits_is_approved_or_turned_down_by_a_command() -> None:
    made = make_decision(2, "propose", seq=400, before=1, champion=1)
    facts = make_project(make_window(1), waiting=2, argument="my shops/a.yaml", decisions=(make_decision(1), made))
    assert "trueup approve 'my shops/a.yaml' 2 --reason \"...\"" in commands(facts)
    assert "trueup reject 'my shops/a.yaml' 2 --reason \"...\"" in commands(facts)
    assert tell_headline(facts).sentence == "Needs you: version 2 passed its gates and waits for approval."


def test_without_a_champion_it_says_why() -> None:
    made = make_decision(1, "reject", reason="It does not beat the constant.")
    facts = make_project(champion=None, since=None, decisions=(made,), checks=())
    headline = tell_headline(facts)
    assert headline.tone == "bad"
    assert "no model serves yet, since version 1 was rejected: It does not beat the constant" in headline.sentence
    read(facts)


def test_only_a_refused_first_batch() -> None:
    check = make_check("2024-01", "refused", reason="too few rows", page="contract/a.html")
    facts = ProjectFacts("shop", "shop", as_of=month(1), turned=month(1), checks=(check,), refusals=(check,))
    assert tell_headline(facts).sentence == "Needs you: the contract refused 2024-01: too few rows."
    page = read(facts)
    assert "The contract refused 2024-01: too few rows." in page.text
    assert {"href": "contract/a.html"} in page.named("a")


def test_a_project_of_which_nothing_is_known_yet() -> None:
    page = read(ProjectFacts("shop", "shop"))
    assert "no model was trained yet" in page.text and "Nothing yet." in page.text


def test_an_override_is_loud_and_no_all_is_well() -> None:
    made = make_decision(1, overruled=("champion", "slices"), by_gates=False, reason="we must")
    facts = make_project(make_window(1), decisions=(made,), since=made)
    assert "serves by override: anna overruled champion, slices" in tell_headline(facts).sentence
    page = read(facts)
    assert "was released by anna against champion, slices. Reason: We must." in page.text
    assert {"class": "loud"} in page.named("li")


def test_what_is_beside_the_gravest_matter_is_said_too() -> None:
    facts = make_project(
        make_window(1, "broken"), unreached="slack", personal={"mail": "e-mail addresses"}, waiting=None,
        faulty_deliveries=True, deliveries="3 ids that no batch holds",
    )  # fmt: skip
    headline = tell_headline(facts)
    assert headline.word == "broken" and len(headline.beside) == 3
    text = read(facts).text
    assert "An alert did not reach slack." in text and "'mail' looks like e-mail addresses." in text
    assert "data.not_personal" in text and "3 ids that no batch holds" in text


def test_a_project_that_lives_through_the_past_says_so_in_its_commands() -> None:
    zone = ZoneInfo("America/New_York")
    as_of = month(4).replace(tzinfo=zone)
    facts = make_project(make_window(2, "degraded"), as_of=as_of, turned=as_of + timedelta(days=900), zone=zone,
                         timezone="America/New_York")  # fmt: skip
    assert commands(facts)[0] == "trueup train shop --as-of 2024-04-30"
    assert commands(facts)[-1] == "trueup run shop --as-of next"
    odd = dataclasses.replace(facts, as_of=as_of + timedelta(hours=5))
    assert commands(odd)[0].endswith("T05:00:00-04:00")


def test_the_story_is_told_newest_first_one_line_for_each_event() -> None:
    facts = make_project(
        make_window(1),
        make_window(2, "drifting"),
        make_window(3, "degraded"),
        make_window(4, "broken", cause="refused"),
        make_window(5),
        decisions=(make_decision(1), make_decision(2, "hold", seq=350, before=1, champion=1)),
        retrainings=(make_retraining("retrain", "performance", seq=340), make_retraining("none", "no_reason", seq=90)),
        refusals=(make_check("2024-04", "refused", seq=390, reason="half of the rows"),),
        incidents=(Incident(395, month(4), "alert", "the alert did not reach slack"),),
    )
    events, earlier = tell_story(facts, 40)
    assert earlier == 0 and [e.seq for e in events] == [500, 395, 390, 350, 340, 300, 200, 10]
    texts = [e.text for e in events]
    assert texts[0].startswith("2024-05 is healthy again")
    assert texts[2].startswith("The contract refused 2024-04: half of the rows.")
    assert texts[3].startswith("Version 2 was held; version 1 stays champion.")
    assert texts[5].startswith("2024-03 was degraded") and texts[5].endswith("Action: retrain.")
    assert tell_story(facts, 3)[1] == 5


def test_regression_and_multiclass_metrics_with_missing_intervals() -> None:
    for metric, value in (("rmse", 23_456.7), ("log_loss", 0.02), ("r2", -1.5), ("mine", 1e12)):
        window = make_window(1, metric=metric, realised=Reading(value), estimated=None, promised=Reading(value / 2))
        read(make_project(window, make_window(2, metric=metric, realised=None, estimated=Reading(value, value, value))))


def test_windows_of_another_metric_are_not_drawn_with_these() -> None:
    other = make_window(1, metric="roc_auc", realised=Reading(0.9, 0.8, 0.95))
    page = read(make_project(other, make_window(2)))
    assert "0.900" not in page.text


def test_links_are_to_files_beside_it_and_only_where_there_are_any() -> None:
    page = read(make_project(make_window(1, report="reports/a%20b.html", contract=None)))
    assert {str(a["href"]) for a in page.named("a")} == {"../index.html", "reports/a%20b.html", "decisions/v1.html"}


def test_strangers_names_are_shown_as_they_are() -> None:
    window = make_window(1, "degraded", key=HOSTILE, sentence=HOSTILE, cause=HOSTILE, doubt=HOSTILE, tally=HOSTILE)
    made = make_decision(1, actor=HOSTILE, reason=HOSTILE)
    facts = make_project(
        window, argument=HOSTILE, description=HOSTILE, decisions=(made,), since=made, unreached=HOSTILE,
        personal={HOSTILE: HOSTILE}, deliveries=HOSTILE, faulty_deliveries=True,
        refusals=(make_check(HOSTILE, "refused", reason=HOSTILE),), checks=(make_check(HOSTILE, reason=HOSTILE),),
        retrainings=(make_retraining("wait", HOSTILE, sentence=HOSTILE),),
        trainings=(make_training(1, candidate=HOSTILE, batches=(HOSTILE,)),),
        incidents=(Incident(1, None, HOSTILE, HOSTILE),),
    )  # fmt: skip
    source = write_overview(facts)
    page = read_page(source, links=True)
    assert "<script>alert(1)</script>" in page.text and "{{ 7 * 7 }}" in page.text
    assert "\u202e" not in source and "\x1b" not in source
    read_page(write_index([facts], ["shop/page.html"]), links=True)


def test_it_stays_small_with_hundreds_of_windows_and_endless_names() -> None:
    endless = "<&>'\"" * 2_000
    windows = [
        make_window(n, "drifting", key=f"{endless}{n}", sentence=endless, tally=endless, alarm=True) for n in range(500)
    ]
    decisions = [make_decision(n, "reject", seq=10 * n, actor=endless, reason=endless) for n in range(300)]
    facts = make_project(*windows, decisions=tuple(decisions), description=endless)
    source = write_overview(facts)
    page = read_page(source, links=True)
    assert "440 earlier windows are not drawn" in page.text and "476 before them" in page.text
    assert len(write_overview(make_project(*map(make_window, range(500)))).encode()) < 200_000


def test_the_same_facts_give_the_same_page() -> None:
    facts = make_project(make_window(1), make_window(2, "drifting"))
    assert write_overview(facts) == write_overview(facts)


def test_the_index_puts_those_first_that_need_somebody() -> None:
    well, ill = make_project(make_window(1), project="a"), make_project(make_window(1, "broken"), project="b")
    page = read_page(write_index([well, ill], ["a/page.html", None]), links=True)
    assert "1 of 2 projects is not well" in page.text
    assert page.text.index("2024-01 is broken") < page.text.index("All is well: version 1")
    assert [a["href"] for a in page.named("a")] == ["a/page.html"]
    assert "version 1, 180 days old" in page.text and "trueup run" in page.text
    assert "All is well" in read_page(write_index([well], [None]), links=True).text
    many = read_page(write_index([well] * 300, [None] * 300), links=True).text
    assert "And 100 more." in many
