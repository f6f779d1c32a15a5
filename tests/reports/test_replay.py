"""The page of a replay: it calls nothing better that is not shown to be, and bears any past."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.reports.lived import Happening, Replayed, conclude, conclude_ages
from tasks.reports.replay import MOST_LISTED, write_replay_page
from tests.reports.pasts import make_growth, make_lived, make_replayed, make_windows
from tests.reports.reading import Page, read_page


def read(replayed: Replayed) -> Page:
    return read_page(write_replay_page(replayed), links=True)


def test_the_policy_that_took_least_among_the_good_ones_is_named() -> None:
    replayed = make_growth()
    concluded = conclude(replayed)
    assert concluded.policy == "on-health"
    assert concluded.headline.startswith("Training again pays: on-health did clearly better than never, by ")
    assert concluded.headline.endswith("with 3 trainings.")
    assert any("never took no training, and was clearly worse than" in said for said in concluded.reasons)
    monthly = next(said for said in concluded.reasons if said.startswith("monthly"))
    assert "11 trainings" in monthly and ("was not shown" in monthly or "clearly better" in monthly)
    page = read(replayed)
    assert concluded.headline in page.text
    assert "retrain: {on: [on-health]}" in page.text
    assert "Version 4 was trained; promote: better" in page.text
    assert "it cools down until 2024-05-14" in page.text
    assert "MAE rose above what was promised" in page.text


def test_where_training_changes_nothing_it_is_said_not_to_pay() -> None:
    values = [10 + math.sin(i) for i in range(12)]
    noisy = [v + 0.3 * math.cos(9 * i) for i, v in enumerate(values)]
    replayed = make_replayed(
        make_lived("never", make_windows(values, ["k1"] * 12), 0),
        make_lived("monthly", make_windows(noisy, [f"k{i + 1}" for i in range(12)]), 11),
    )
    concluded = conclude(replayed)
    assert concluded.policy == "never" and concluded.headline == "Training again was not shown to pay."
    assert "monthly took 11 trainings" in concluded.reasons[0]
    assert "was not shown to be better than never" in concluded.reasons[0]


def test_few_windows_are_said_to_be_few() -> None:
    concluded = conclude(make_growth(4))
    assert concluded.policy is None and concluded.headline.startswith("Too few windows to tell the policies apart: 3")
    read(make_growth(4))


def test_policies_that_served_the_same_models_do_not_differ() -> None:
    windows = make_windows([1.0] * 6, ["k1"] * 6)
    concluded = conclude(make_replayed(make_lived("never", windows, 0), make_lived("on-health", windows, 0)))
    assert concluded.headline == "The policies served the same models throughout, so they do not differ."


def test_one_policy_alone_is_told_without_a_comparison() -> None:
    replayed = make_replayed(make_lived("own", make_windows([1.0, 2.0], ["k1", "k1"]), 0))
    assert conclude(replayed).headline == "own trained nothing in 2 windows; its mean MAE is 1.5."
    assert "Against each other" not in read(replayed).text


def test_the_curve_of_staleness_is_told_and_drawn() -> None:
    replayed = make_growth()
    assert conclude_ages(replayed).startswith("From an age of 30 days on a loss is shown (12 versions, 11 windows): ")
    page = read(replayed)
    assert "30 to 61 days" in page.text and "too few to tell" in page.text
    alone = make_growth(more={"ages": (), "versions": 1})
    assert "cannot be told from one version" in read(alone).text


def test_a_long_past_stays_below_a_megabyte() -> None:
    count = 1_500
    told = [Happening(i + 0.5, "2024-01-01T00:00:00+00:00", "wait", "but " * 200) for i in range(count)]
    lived = [make_lived(f"p{k}", make_windows([1.0] * count, [f"k{k}"] * count), 0, happenings=told) for k in range(6)]
    page = read(make_replayed(*lived))
    assert f"{count - MOST_LISTED:,} earlier ones are in windows.csv" in page.text


@settings(max_examples=30)
@given(
    st.text(max_size=30),
    st.lists(st.one_of(st.none(), st.floats(-1e100, 1e100), st.just(math.nan)), min_size=1, max_size=9),
)
def test_whatever_the_names_and_numbers_the_page_holds(name: str, values: list[float | None]) -> None:
    numbers = [math.nan if v is None else v for v in values]
    windows = make_windows(numbers, ["k1"] * len(numbers), w0="broken")
    other = make_windows(numbers[::-1], [""] * len(numbers))
    told = [Happening(0.5, "2024-01-01T00:00:00+00:00", "reject", name)]
    replayed = make_replayed(
        make_lived("never", windows, 0, happenings=told),
        make_lived("monthly", other, 1),
        settings=(name,),
        larger_is_better=True,
    )
    read(replayed)


@pytest.mark.parametrize("larger_is_better", [True, False])
def test_a_gain_is_better_whichever_way_the_metric_goes(larger_is_better: bool) -> None:
    sign = 1 if larger_is_better else -1
    good = make_windows([sign * (5 + 0.1 * math.sin(i)) for i in range(8)], ["k2"] * 8)
    bad = make_windows([sign * (3 + 0.1 * math.cos(i)) for i in range(8)], ["k1"] * 8)
    replayed = make_replayed(
        make_lived("never", bad, 0), make_lived("monthly", good, 7), larger_is_better=larger_is_better
    )
    assert conclude(replayed).policy == "monthly"
    assert replayed.compared[0].gain.sign == -1
