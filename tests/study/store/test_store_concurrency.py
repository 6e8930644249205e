"""Several threads and several processes use one store at the same time, and nothing is lost or doubled."""

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import event, select

from study.base.errors import StaleError
from study.base.settings import Settings
from study.store import Store, open_store
from study.store import schema as t
from study.store.database import put_row

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
SPAWN = multiprocessing.get_context("spawn")


def rate(store: Store, profile: str, card: str, expected: int = 0) -> bool:
    try:
        store.cards.append(
            profile,
            card,
            rating=3,
            expected_review_id=expected,
            reviewed_at=NOW,
            duration_ms=1,
            before=None,
            after={"due": "later"},
        )
    except StaleError:
        return False
    return True


def open_and_rate(url: str, profile: str, name: str) -> int:
    """What another process does: open the store (which migrates) and write twenty ratings."""
    store = open_store(url)
    done = sum(rate(store, profile, f"{name}-{number}") for number in range(20))
    store.close()
    return done


def open_and_visit(url: str, browser: str) -> str:
    store = open_store(url)
    profile = store.profiles.open_for_browser(browser, now=NOW)
    store.close()
    return profile.id


def rate_and_be_killed(url: str, profile: str) -> None:
    store = open_store(url)
    rate(store, profile, "rated just before the crash")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_loses_no_answer(store: Store, ana: str, settings: Settings) -> None:
    process = SPAWN.Process(target=rate_and_be_killed, args=(settings.database_url, ana))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert [review.card_id for review in store.cards.history(ana)] == ["rated just before the crash"]
    assert rate(store, ana, "and the next one")


def test_ratings_of_many_threads_are_all_kept(store: Store, ana: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(partial(rate, store, ana), [f"card-{number}" for number in range(80)]))
    assert all(done)
    assert len(store.cards.history(ana)) == 80


def test_one_card_rated_by_many_threads_at_once_counts_once(store: Store, ana: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(partial(rate, store, ana), ["same card"] * 16))
    assert done.count(True) == 1
    assert len(store.cards.history(ana)) == 1


def test_a_browser_that_asks_twice_at_once_gets_one_profile(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(partial(store.profiles.open_for_browser, now=NOW), ["new browser"] * 16))
    assert len({profile.id for profile in found}) == 1
    assert len(store.profiles.all()) == 1


def test_two_processes_write_at_the_same_time_as_this_one(store: Store, ana: str, settings: Settings) -> None:
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        others = [pool.submit(open_and_rate, settings.database_url, ana, name) for name in ("one", "two")]
        own = sum(rate(store, ana, f"own-{number}") for number in range(20))
        assert own + sum(other.result() for other in others) == 60
    assert len(store.cards.history(ana)) == 60


def test_two_processes_may_create_the_same_database(settings: Settings) -> None:
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        visits = [pool.submit(open_and_visit, settings.database_url, "browser") for _ in range(2)]
        assert len({visit.result() for visit in visits}) == 1


def test_two_clicks_of_one_browser_overwrite_one_row(store: Store, ana: str) -> None:
    """The second waits for the first on PostgreSQL, and then finds its row."""
    first = partial(put_row, table=t.browsers, key={"id": "b1"}, values={"profile_id": ana, "chosen_at": NOW})
    with ThreadPoolExecutor() as pool, store.database.write() as connection:
        first(connection)
        second = pool.submit(store.profiles.switch, "b1", ana, now=NOW + timedelta(minutes=1))
        wait([second], timeout=0.5)
        connection.commit()
        second.result(timeout=30)
    with store.database.read() as connection:
        chosen_at = connection.scalars(select(t.browsers.c.chosen_at).where(t.browsers.c.id == "b1")).one()
    assert chosen_at == NOW + timedelta(minutes=1)


def test_a_row_is_overwritten_in_one_statement(store: Store, ana: str) -> None:
    """Between a deletion and an insertion another transaction would find no row to wait for."""
    values = {"profile_id": ana, "chosen_at": NOW}
    said: list[str] = []
    event.listen(store.database.engine, "before_cursor_execute", lambda *given: said.append(given[2]))
    with store.database.write() as connection:
        put_row(connection, t.browsers, {"id": "b1"}, values)
    assert [each.split()[0] for each in said if not each.startswith("BEGIN")] == ["INSERT"]
