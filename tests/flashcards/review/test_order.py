"""Order and limits of a day: weakest first, mixed, lookalikes in turn, one card of a note, and the bar."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from flashcards.decks.note import Card
from flashcards.review.ordering import interleave
from flashcards.review.session import CardSession, Log, StudyRules, choose_next_card
from flashcards.scheduling.scheduler import RATINGS, Rating, preview_outcomes
from tests.flashcards.builders import DAY_ENDS, NOW, card, memory

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
RULES = StudyRules(day_ends=DAY_ENDS)
ALIKE = {"lora": frozenset({"qlora"}), "qlora": frozenset({"lora"})}


def session(cards: list[Card], log: Log, rules: StudyRules = RULES) -> CardSession:
    return choose_next_card(cards, log, now=NOW, rules=rules)


def shown(found: CardSession) -> str:
    assert found.card is not None
    return found.card.id


def test_weakest_first_means_least_likely_recalled() -> None:
    memories = {
        "sure": replace(memory(due_in=-DAY), stability=100.0),
        "shaky": replace(memory(due_in=-DAY), stability=0.5),
    }
    found = session([card("sure"), card("shaky")], Log(memories=memories), replace(RULES, order="weakest"))
    assert shown(found) == "shaky"


def test_mixed_puts_new_cards_between_the_reviews() -> None:
    cards = [card(name) for name in ("n1", "n2", "r1", "r2", "r3", "r4")]
    memories = {name: memory(due_in=-DAY) for name in ("r1", "r2", "r3", "r4")}
    log, kinds = Log(memories=memories), ""
    for _ in cards:
        name = shown(session(cards, log, replace(RULES, order="mixed")))
        kinds += name[0]
        new, counts = name.startswith("n"), {**log.rated_today, name: 1}
        log = replace(
            log,
            memories={**log.memories, name: memory(due_in=9 * DAY)},
            rated_today=counts,
            new_today=log.new_today + new,
            reviews_today=log.reviews_today + (not new),
        )
    assert kinds == "rnrrnr"


def test_a_lookalike_of_the_last_card_comes_next_and_the_rest_keeps_its_order() -> None:
    first, last = card("l1", concepts=("lora",)), card("l2", concepts=("lora",))
    other, alike = card("o", concepts=("rank",)), card("q", concepts=("qlora",))
    assert interleave([last, other, alike], first, ALIKE) == [alike, last, other]
    assert interleave([last, other], first, ALIKE) == [last, other]
    assert interleave([last, alike], None, ALIKE) == [last, alike]


def test_lookalikes_alternate_in_a_session() -> None:
    cards = [card(f"{name}{n}", concepts=(name,)) for name in ("lora", "qlora") for n in (1, 2)]
    log = Log(memories={c.id: memory(due_in=-DAY - n * MINUTE) for n, c in enumerate(reversed(cards))})
    seen = []
    for _ in cards:
        seen.append(shown(session(cards, log, replace(RULES, lookalikes=ALIKE))))
        log = replace(
            log,
            memories={**log.memories, seen[-1]: memory(due_in=9 * DAY)},
            rated_today=dict.fromkeys(seen, 1),
        )
    assert [name[:-1] for name in seen] == ["lora", "qlora", "lora", "qlora"]


def test_of_the_cards_of_one_note_one_is_shown_a_day() -> None:
    cards = [card("n", note="n"), card("n--reversed", note="n"), card("x")]
    fresh = session(cards, Log(memories={}))
    assert (shown(fresh), fresh.counts.new) == ("n", 2)
    rated = Log(memories={"n": memory(due_in=9 * DAY)}, rated_today={"n": 1}, new_today=1)
    assert shown(session(cards, rated)) == "x"
    tomorrow = Log(memories={"n": memory(due_in=9 * DAY)})
    assert session(cards, tomorrow).counts.new == 2


def test_a_card_being_learnt_goes_on_whatever_its_siblings_do() -> None:
    cards = [card("n", note="n"), card("n--reversed", note="n")]
    log = Log(
        memories={name.id: memory(phase="learning", due_in=-MINUTE) for name in cards},
        rated_today={name.id: 1 for name in cards},
    )
    assert session(cards, log).counts.learning == 2


def test_reviews_stop_at_the_limit_of_the_day_and_the_rest_is_counted() -> None:
    cards = [card(f"c{n}") for n in range(5)]
    log = Log(memories={c.id: memory(due_in=-DAY) for c in cards}, reviews_today=2)
    found = session(cards, log, replace(RULES, reviews=4))
    assert (found.counts.review, found.waiting) == (2, 5)
    assert session(cards, log, replace(RULES, reviews=2)).card is None


def test_what_is_set_aside_is_not_shown() -> None:
    log = Log(memories={"a": memory(due_in=-DAY)}, hidden=frozenset({"a", "b"}))
    assert shown(session([card("a"), card("b"), card("c")], log)) == "c"


def test_learning_cards_come_as_early_as_the_learner_allows() -> None:
    log = Log(memories={"a": memory(phase="learning", due_in=15 * MINUTE)})
    assert session([card("a")], log).queue == "ahead"
    assert session([card("a")], log, replace(RULES, learn_ahead=10 * MINUTE)).card is None


@given(st.lists(st.sampled_from(RATINGS), max_size=20))
def test_the_total_of_a_day_stays_and_the_answers_left_shrink_to_none(ratings: list[Rating]) -> None:
    cards, log, now = [card(name) for name in "abc"], Log(memories={}), NOW
    for rating in ratings:
        before = choose_next_card(cards, log, now=now, rules=RULES)
        if before.card is None:
            break
        name = before.card.id
        after = preview_outcomes(log.memories.get(name), now=now)[rating - 1].after
        log = replace(
            log,
            memories={**log.memories, name: after},
            rated_today={**log.rated_today, name: log.rated_today.get(name, 0) + 1},
            new_today=log.new_today + (name not in log.memories),
        )
        now += MINUTE
        found = choose_next_card(cards, log, now=now, rules=RULES)
        assert found.total == before.total
        if rating >= 3:
            assert found.answers_left < before.answers_left
    found = choose_next_card(cards, log, now=now, rules=RULES)
    assert (found.answers_left == 0) == (found.counts.left == 0)
