"""What is remembered of a learner's logs is what the database holds, whoever wrote to it."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from study.base.errors import LearnerError
from study.store import Store, database, open_store, profiles, schema
from study.store.database import share_view
from study.store.logs.quizzes import QuizAnswer
from study.store.read_cache import MISSING, ReadCache

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
CARDS = ("a", "b")
Action = Callable[[Store, str, datetime], Any]


def rate(store: Store, ana: str, card_id: str, rating: int, at: datetime) -> None:
    before = store.cards.latest(ana).get(card_id)
    store.cards.append(
        ana,
        card_id,
        rating=rating,
        expected_review_id=before.id if before else 0,
        reviewed_at=at,
        duration_ms=1000 + rating,
        before=before.after if before else None,
        after={"phase": "review" if rating > 2 else "learning"},
    )


def answer(store: Store, ana: str, at: datetime) -> None:
    record = store.quizzes.start(ana, seed=1, question_ids=("q",), choice={}, started_at=at)
    given = QuizAnswer(question_id="q", option="x", correct=True, answered_at=at, duration_ms=1, points=1.0)
    store.quizzes.append(record.id, given)


def undo(store: Store, ana: str, at: datetime) -> None:
    last = store.card_operations.last(ana)
    if last is not None:
        store.card_operations.undo(ana, expected_id=last.id, undone_at=at)


def everything(store: Store, ana: str) -> list[Any]:
    cards, verbs = store.cards, store.card_operations
    return [
        cards.latest(ana),
        cards.lapses(ana),
        cards.history(ana),
        cards.history(ana, since=NOW + timedelta(minutes=3)),
        cards.count(ana),
        cards.read_last_durations_ms(ana),
        cards.read_last_durations_ms(ana, limit=2),
        cards.count_repeats_since(ana, since=NOW),
        cards.requests(ana),
        verbs.last(ana),
        verbs.just_undone(ana),
        verbs.live(ana, ("rate", "flag")),
        verbs.live(ana, ("rate",), since=NOW + timedelta(minutes=3)),
        verbs.live(ana, ("flag",)),
        store.preferences.read(ana),
        store.drafts.read(ana, "k"),
        store.quizzes.history(ana),
        store.quizzes.latest(ana),
        store.explains.attempts(ana),
        store.fits.newest(ana, kept=True),
        store.lessons.marks(ana),
        store.projects.entries(ana),
    ]


def rating(card_id: str, rating: int) -> Action:
    return lambda store, ana, at: rate(store, ana, card_id, rating, at)


ACTIONS: dict[str, Action] = {
    **{f"rate {card} {number}": rating(card, number) for card in CARDS for number in (1, 3)},
    "undo": undo,
    "flag": lambda s, a, at: s.card_operations.append(a, "flag", "a", value="red", at=at),
    "answer": answer,
    "ask": lambda s, a, at: s.cards.request(a, ["b"], because="q", at=at),
    "explain": lambda s, a, at: s.explains.submit(a, "p", "words", at=at),
    "draft": lambda s, a, at: s.drafts.save(a, "k", str(at), at=at),
    "prefer": lambda s, a, at: s.preferences.change(a, new_cards_a_day=at.minute),
    "mark": lambda s, a, at: s.lessons.mark(a, "c", "learn", "opened", at=at),
    "write": lambda s, a, at: s.projects.write(a, "p", "hypothesis", "x", at=at),
}


# Twelve show that a rating is not brought along where the clock was put back, or a lapse counted too often.
@hypothesis_settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    actions=st.lists(
        st.tuples(st.sampled_from(sorted(ACTIONS)), st.booleans(), st.integers(0, 9)), max_size=8
    )
)
def test_a_press_sees_what_a_fresh_look_sees(actions: list[tuple[str, bool, int]], tmp_path: Path) -> None:
    """Actions of this process and of another one, in any order, also where the clock is put back."""
    (tmp_path / "study.sqlite3").unlink(missing_ok=True)
    url = f"sqlite:///{tmp_path / 'study.sqlite3'}"
    store, other = open_store(url), open_store(url)
    ana = store.profiles.add("browser", "Ana", now=NOW).id
    try:
        for action, elsewhere, minute in actions:
            with share_view():
                store.profiles.open_for_browser("browser", now=NOW)
                everything(store, ana)
                ACTIONS[action](other if elsewhere else store, ana, NOW + timedelta(minutes=minute))
                if not elsewhere:
                    assert everything(store, ana) == everything(other, ana)
            with share_view():
                store.profiles.open_for_browser("browser", now=NOW)
                remembered = everything(store, ana)
            assert remembered == everything(store, ana)  # outside a view nothing is remembered
    finally:
        store.close()
        other.close()


@pytest.fixture
def statements(store: Store) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(store.database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(store.database.engine, "before_cursor_execute", note)


def test_a_second_press_reads_the_profile_and_nothing_else(
    store: Store, ana: str, statements: list[str]
) -> None:
    for _ in range(2):
        statements.clear()
        with share_view():
            store.profiles.open_for_browser("browser-of-ana", now=NOW)
            everything(store, ana)
    queries = [statement for statement in statements if not statement.startswith("BEGIN")]
    assert len(queries) == 1


def test_a_write_that_fails_changes_nothing_that_is_remembered(store: Store, ana: str) -> None:
    rate(store, ana, "a", 3, NOW)
    with share_view():
        store.profiles.open_for_browser("browser-of-ana", now=NOW)
        before = everything(store, ana)
        with pytest.raises(LearnerError):
            store.card_operations.append(ana, "edit", "a", value={}, at=NOW, expected_id=99)
        assert everything(store, ana) == before


def test_the_least_used_profile_makes_room() -> None:
    cache = ReadCache(rows_at_most=10)
    cache.keep("a", 1, ("m", ()), ["t"], [1] * 6)
    cache.keep("b", 1, ("m", ()), ["t"], [1] * 6)
    assert cache.find("a", 1, ("m", ())) is MISSING
    assert cache.find("b", 1, ("m", ())) == [1] * 6


def test_a_value_that_two_windows_read_at_once_counts_once() -> None:
    cache = ReadCache(rows_at_most=10)
    for _ in range(5):
        cache.keep("a", 1, ("m", ()), ["t"], [1] * 4)
    cache.keep("b", 1, ("m", ()), ["t"], [1] * 4)
    assert cache.find("a", 1, ("m", ())) == [1] * 4
    cache.advance("a", 2, ["t"], {})
    cache.advance("b", 2, ["t"], {})
    assert cache._rows == 0


# ---- presses at the same moment


def rate_elsewhere(store: Store, ana: str, card_id: str) -> None:
    """Rate a card in another thread, which has a view of its own."""
    rating = threading.Thread(target=rate, args=(store, ana, card_id, 3, NOW))
    rating.start()
    rating.join()


def test_a_press_sees_one_state_whatever_others_write_meanwhile(store: Store, ana: str) -> None:
    rate(store, ana, "a", 3, NOW)
    with share_view():
        store.profiles.open_for_browser("browser-of-ana", now=NOW)
        assert store.cards.count(ana) == 1
        rate_elsewhere(store, ana, "b")
        assert len(store.cards.history(ana)) == 1
    assert store.cards.count(ana) == 2


@pytest.mark.parametrize("writes", [False, True])
def test_a_rating_counts_once_for_a_press_that_reads_before_the_cache_knows_it(
    store: Store, ana: str, monkeypatch: pytest.MonkeyPatch, *, writes: bool
) -> None:
    """The other press has committed its rating, and then tells the cache."""
    advance, begun, read = store.database.cache.advance, threading.Event(), threading.Event()

    def advance_late(*arguments: Any) -> None:
        begun.set()
        assert read.wait(30)
        advance(*arguments)

    rating = threading.Thread(target=rate, args=(store, ana, "a", 3, NOW))
    with share_view():
        store.profiles.open_for_browser("browser-of-ana", now=NOW)
        if writes:
            store.drafts.save(ana, "k", "text", at=NOW)
        monkeypatch.setattr(store.database.cache, "advance", advance_late)
        rating.start()
        assert begun.wait(30)
        store.cards.history(ana)
        read.set()
        rating.join()
    with share_view():
        store.profiles.open_for_browser("browser-of-ana", now=NOW)
        assert [review.card_id for review in store.cards.history(ana)] == ["a"]


def test_only_what_is_remembered_is_searched_for_its_tables(
    store: Store, ana: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[object] = []

    def note(statement: object) -> tuple[()]:
        searched.append(statement)
        return ()

    monkeypatch.setattr(database, "iterate", note)
    with share_view():
        store.profiles.open_for_browser("browser-of-ana", now=NOW)
        store.cards.count(ana)
        assert len(searched) == 1
        store.profiles.list_seen()
        assert not store.profiles.has_worked(ana)
    assert len(searched) == 1


def test_a_read_that_is_part_of_another_adds_its_tables(store: Store) -> None:
    with store.database.read() as connection, database._noting_tables(connection) as whole:
        connection.execute(select(schema.profiles.c.id))
        with database._noting_tables(connection) as part:
            connection.execute(select(schema.drafts.c.key))
        connection.execute(select(schema.browsers.c.id))
    assert part == {"drafts"}
    assert whole == {"profiles", "drafts", "browsers"}


def test_what_each_page_asks_of_a_guest_is_put_together_once(
    store: Store, ana: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(profiles, "select")
    assert [seen.name for seen in store.profiles.list_seen()] == ["Ana"]
    assert not store.profiles.has_worked(ana)
    rate(store, ana, "a", 3, NOW)
    assert store.profiles.has_worked(ana)
