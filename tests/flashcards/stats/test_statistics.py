"""What the card log adds up to, on a small log whose sums can be done by hand; and the charts that say so."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from xml.etree import ElementTree

import pytest

from flashcards.decks.deck import Decks
from flashcards.scheduling.scheduler import RATINGS, Memory, Scheduling, apply_rating
from flashcards.scheduling.simulation import StudyPlan, simulate_study
from flashcards.stats.log_charts import chart_calendar, chart_cards, chart_forecast
from flashcards.stats.statistics import (
    CardHistory,
    compute_forgetting,
    count_buttons,
    count_due_by_day,
    count_reviews_by_day,
    recall_by_subject,
    recall_by_week,
    recall_lately,
    recall_now,
    sum_minutes_by_day,
    sum_minutes_by_subject,
)
from study.base.confidence_intervals import Share
from study.content.concepts import ConceptMap
from study.plots.plot import Plot, to_csv
from study.plots.render import render_plot
from study.plots.sheet import NARROW_INCHES, WIDE_INCHES
from study.store.logs.cards import CardReview
from tests.flashcards.builders import NOW, card

DECKS = Decks(
    (card("a", concepts=("lora-rank",)), card("b", deck="two", concepts=("lora-rank", "nf4"))),
    {"one": "One", "two": "Two"},
)


def utc_day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def review(card_id: str, rating: int, days: int, *, new: bool = False) -> CardReview:
    at = NOW - timedelta(days=days)
    return CardReview(id=1, card_id=card_id, rating=rating, reviewed_at=at, duration_ms=60_000, new=new)


def history(*reviews: CardReview, now: datetime = NOW) -> CardHistory:
    known = memories(reviews)
    return CardHistory(
        reviews=reviews,
        memories=known,
        due_dates={card_id: memory.due for card_id, memory in known.items()},
        scheduling=Scheduling(),
        now=now,
        day_of=utc_day,
    )


def memories(reviews: tuple[CardReview, ...]) -> Mapping[str, Memory]:
    found: dict[str, Memory] = {}
    for each in reviews:
        before = found.get(each.card_id)
        found[each.card_id] = apply_rating(
            before, RATINGS[each.rating - 1], now=each.reviewed_at, scheduling=Scheduling()
        )
    return found


SMALL = history(
    review("a", 4, 20, new=True),
    review("b", 4, 20, new=True),
    review("a", 3, 10),
    review("b", 1, 10),
    review("b", 3, 3),
)


def test_days_and_minutes_are_counted() -> None:
    assert count_reviews_by_day(SMALL) == {date(2026, 2, 12): 2, date(2026, 2, 22): 2, date(2026, 3, 1): 1}
    spent = sum_minutes_by_day(SMALL, days=5)
    assert list(spent)[-1] == date(2026, 3, 4)
    assert sum(spent.values()) == 1
    assert sum_minutes_by_subject(SMALL, DECKS.titles_of) == {"Two": 3, "One": 2}
    assert sum_minutes_by_subject(SMALL, DECKS.concepts_of) == {"lora-rank": 3.5, "nf4": 1.5}


def test_recall_is_counted_by_week_deck_and_concept_weakest_first() -> None:
    weeks = recall_by_week(SMALL)
    assert {day: (s.hits, s.trials) for day, s in weeks.items()} == {
        date(2026, 2, 25): (1, 2),
        date(2026, 3, 4): (1, 1),
    }
    assert recall_lately(SMALL) == Share(hits=2, trials=3)
    by_deck = recall_by_subject(SMALL, DECKS.titles_of)
    assert [(name, s.hits, s.trials) for name, s in by_deck.items()] == [("Two", 1, 2), ("One", 1, 1)]
    by_concept = [(name, s.hits, s.trials) for name, s in recall_by_subject(SMALL, DECKS.concepts_of).items()]
    assert by_concept == [("nf4", 1, 2), ("lora-rank", 2, 3)]


def test_the_forgetting_curve_has_what_happened_beside_what_was_expected() -> None:
    week, fortnight = compute_forgetting(SMALL)
    assert (week.label, week.share.hits, week.share.trials) == ("5–7 d", 1, 1)
    assert (fortnight.label, fortnight.share.hits, fortnight.share.trials) == ("8–14 d", 1, 2)
    expected = [recall.predicted for recall in SMALL.recalls if recall.elapsed_days == 10]
    assert fortnight.expected == pytest.approx(sum(expected) / 2)


def test_buttons_are_counted_apart_for_new_cards() -> None:
    assert count_buttons(SMALL) == ([0, 0, 0, 2], [1, 0, 2, 0])


def test_the_forecast_puts_what_is_overdue_on_today() -> None:
    due = count_due_by_day(SMALL, days=400)
    assert next(iter(due)) == date(2026, 3, 4)
    assert sum(due.values()) == 2
    late = count_due_by_day(history(review("a", 4, 100, new=True)), days=3)
    assert list(late.values()) == [1, 0, 0]


def test_the_forecast_says_which_day_has_most_cards() -> None:
    plot = chart_forecast(history(review("a", 4, 100, new=True)), "all cards")
    assert plot.title == "1 card is due in the next 30 days; the peak is today: 1"


def test_the_calendar_says_how_many_ratings_a_day_had() -> None:
    day = history(review("a", 4, 3, new=True), review("b", 3, 3, new=True))
    one = history(review("a", 4, 3, new=True))
    assert chart_calendar(day, "all cards").title.endswith(
        "1 of the last 30 days, on average 2 ratings on each"
    )
    assert chart_calendar(one, "all cards").title.endswith(
        "1 of the last 30 days, on average 1 rating on each"
    )


def test_a_part_has_only_its_cards() -> None:
    part = SMALL.select(["a"])
    assert {each.card_id for each in part.reviews} == {"a"}
    assert len(recall_now(part)) == 1
    assert 0 < recall_now(part)[0] <= 1


def big(concepts: ConceptMap) -> tuple[CardHistory, Decks]:
    log = list(simulate_study(StudyPlan(cards=24, new_a_day=4, days=30), Scheduling(), seed=2))
    names = list(concepts.by_id)
    cards = tuple(
        card(str(n), deck=("one", "two")[n % 2], concepts=(names[n], names[n + 1])) for n in range(24)
    )
    moved = tuple(replace(each, duration_ms=9_000) for each in log)
    now = moved[-1].reviewed_at + timedelta(hours=20)
    return history(*moved, now=now), Decks(cards, {"one": "One", "two": "Two"})


EVERY_CHART = [
    "calendar", "retention", "forgetting", "forecast", "stability", "difficulty", "retrievability", "buttons",
    "time", "retention-by-deck", "retention-by-concept", "time-by-deck", "time-by-concept",
]  # fmt: skip


def test_every_chart_tells_its_finding_and_exports(concepts: ConceptMap) -> None:
    found, decks = big(concepts)
    plots = list(chart_cards(found, decks, concepts, scope="all cards"))
    assert [plot.name for plot in plots] == EVERY_CHART
    for plot in plots:
        assert any(letter.isdigit() for letter in plot.title), plot.title
        assert plot.alt.startswith(plot.title)
        assert "all cards" in plot.subtitle
        assert len(to_csv(plot).splitlines()) == len(plot.rows) + 1
        assert all(len(row) == len(plot.header) for row in plot.rows)
        for width in (WIDE_INCHES, NARROW_INCHES):
            assert_stays_on_the_sheet(plot, width)
    assert render_plot(plots[0], "png", on_page=False).startswith(b"\x89PNG")


def assert_stays_on_the_sheet(plot: Plot, width_inches: float) -> None:
    root = ElementTree.fromstring(render_plot(plot, "svg", on_page=True, width_inches=width_inches))
    assert root.attrib["aria-label"] == plot.alt
    drawn = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any(plot.title.startswith(line) for line in drawn)


def test_charts_of_one_new_card_are_drawn_too(concepts: ConceptMap) -> None:
    one = history(review("a", 3, 0, new=True))
    plots = list(chart_cards(one, DECKS, concepts, scope="all cards"))
    assert "calendar" in [plot.name for plot in plots]
    assert "retention" not in [plot.name for plot in plots]
    for plot in plots:
        render_plot(plot, "svg", on_page=True)
