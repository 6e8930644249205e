"""Which card comes next, as a function of the log: the order, the limits, and what counts as done."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from flashcards.decks.note import Card
from flashcards.review.session import CardFilter, CardSession, Log, Queue, StudyRules, choose_next_card
from tests.flashcards.builders import DAY_ENDS, NOW, card, memory

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def session(cards: list[Card], log: Log, *, new: int = 10, wanted: CardFilter | None = None) -> CardSession:
    return choose_next_card(
        cards, log, now=NOW, rules=StudyRules(day_ends=DAY_ENDS, new_cards=new), wanted=wanted
    )


def test_cards_come_in_the_order_a_learner_needs_them() -> None:
    cards = [card(name) for name in ("new", "ahead", "review", "requested", "learning", "undone")]
    memories = {
        "ahead": memory(phase="learning", due_in=5 * MINUTE),
        "review": memory(due_in=-DAY),
        "learning": memory(phase="learning", due_in=-MINUTE),
        "undone": memory(due_in=30 * DAY),
    }
    order: list[tuple[str, Queue]] = []
    undone: str | None = "undone"
    requested = frozenset({"requested"})
    while len(order) < 6:
        log = Log(memories=memories, requested=requested, just_undone=undone)
        shown = session(cards, log)
        assert shown.card is not None
        assert shown.queue is not None
        order.append((shown.card.id, shown.queue))
        memories = {**memories, shown.card.id: memory(due_in=30 * DAY)}
        requested -= {shown.card.id}
        undone = None
    assert order == [
        ("undone", "undone"),
        ("learning", "learning"),
        ("requested", "requested"),
        ("review", "review"),
        ("new", "new"),
        ("ahead", "ahead"),
    ]


def test_a_review_due_this_evening_is_shown_this_morning() -> None:
    later = {"c": memory(due_in=9 * HOUR)}
    assert session([card("c")], Log(memories=later)).queue == "review"
    tomorrow = {"c": memory(due_in=20 * HOUR)}
    assert session([card("c")], Log(memories=tomorrow)).card is None


def test_the_longest_overdue_review_comes_first() -> None:
    due_dates = {"young": -DAY, "old": -9 * DAY, "middle": -3 * DAY}
    memories = {name: memory(due_in=due) for name, due in due_dates.items()}
    shown = session([card(name) for name in due_dates], Log(memories=memories)).card
    assert shown is not None
    assert shown.id == "old"


def test_new_cards_stop_at_the_limit_of_the_day() -> None:
    cards = [card(f"c{number}") for number in range(5)]
    assert session(cards, Log(memories={}), new=3).counts.new == 3
    assert session(cards, Log(memories={}, new_today=2), new=3).counts.new == 1
    assert session(cards, Log(memories={}, new_today=3), new=3).card is None


def test_easier_new_cards_come_before_harder_ones() -> None:
    cards = [card("hard", level="advanced"), card("easy"), card("medium", level="intermediate")]
    shown = session(cards, Log(memories={})).card
    assert shown is not None
    assert shown.id == "easy"


def test_new_cards_that_were_asked_for_take_their_places_from_the_start() -> None:
    cards, asked = [card(name) for name in "abc"], frozenset({"a"})
    before = session(cards, Log(memories={}, requested=asked), new=2)
    assert (before.queue, before.total) == ("requested", 2)
    rated = Log(
        memories={"a": memory(phase="learning", due_in=10 * MINUTE)}, rated_today={"a": 1}, new_today=1
    )
    assert session(cards, rated, new=2).total == before.total


def test_a_card_asked_for_is_shown_even_when_the_limit_is_reached() -> None:
    found = session([card("c")], Log(memories={}, requested=frozenset({"c"})), new=0)
    assert found.queue == "requested"
    assert found.counts.review == 1
    assert found.counts.unseen == 1
    assert (
        session(
            [card("c")], Log(memories={"c": memory(due_in=30 * MINUTE)}, requested=frozenset({"c"}))
        ).counts.unseen
        == 0
    )


def test_a_learning_card_due_in_half_an_hour_is_not_shown_yet() -> None:
    waiting = {"c": memory(phase="learning", due_in=30 * MINUTE)}
    found = session([card("c")], Log(memories=waiting))
    assert (found.card, found.counts.left) == (None, 0)


def test_a_filter_narrows_all_queues() -> None:
    cards = [
        card("a", deck="lora", level="advanced", tags=("papers",), concepts=("rank", "alpha")),
        card("b", deck="qlora", concepts=("nf4",)),
    ]
    for wanted in (
        CardFilter(deck="lora"),
        CardFilter(level="advanced"),
        CardFilter(tag="papers"),
        CardFilter(concept="alpha"),
    ):
        found = session(cards, Log(memories={}), wanted=wanted)
        assert (found.card, found.total) == (cards[0], 1)


def test_listed_cards_are_the_only_ones_and_new_ones_come_as_they_are_listed() -> None:
    cards = [card("a"), card("b", level="advanced"), card("c")]
    wanted = CardFilter(ids="b,a,gone")
    first = session(cards, Log(memories={}), wanted=wanted)
    assert (first.card, first.total) == (cards[1], 2)
    second = session(cards, Log(memories={"b": memory(due_in=4 * DAY)}, new_today=1), wanted=wanted)
    assert (second.card, second.counts.left) == (cards[0], 1)


def test_done_counts_cards_seen_today_that_need_nothing_more() -> None:
    memories = {"done": memory(due_in=4 * DAY), "learning": memory(phase="learning", due_in=MINUTE)}
    log = Log(memories=memories, rated_today=dict.fromkeys(memories, 1))
    found = session([card("done"), card("learning"), card("new")], log)
    assert (found.done, found.total) == (1, 3)


@given(
    due_dates=st.dictionaries(st.sampled_from("abcdef"), st.integers(-5000, 5000)),
    learning=st.sets(st.sampled_from("abcdef")),
    requested=st.sets(st.sampled_from("abcdef")),
    new=st.integers(0, 8),
)
def test_a_card_is_shown_exactly_when_something_is_left(
    due_dates: dict[str, int], learning: set[str], requested: set[str], new: int
) -> None:
    memories = {
        name: memory(due_in=due * MINUTE, phase="learning" if name in learning else "review")
        for name, due in due_dates.items()
    }
    log = Log(memories=memories, requested=frozenset(requested))
    found = session([card(name) for name in "abcdef"], log, new=new)
    assert (found.card is None) == (found.counts.left == 0)
    assert found.counts.left <= 6
