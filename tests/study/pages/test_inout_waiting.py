"""Files that take long: what the page shows meanwhile, and what several presses do to each other."""

import pytest
from sqlalchemy.pool import QueuePool

from study.base.errors import LearnerError
from study.io.import_jobs import ImportJob
from study.io.planning import PlannedImport
from study.pages import inout
from study.pages.inout import InOutPage
from study.ports.context import Context
from study.store.database import share_view
from study.web import frame
from tests.study.pages.importing import DECK, SlowPlanner, build_page, send, slow_page
from tests.visits import build_event, opened, words


def job_of(page: InOutPage, browser: str = "b1") -> ImportJob:
    job = page.jobs.find(frame.open_visit(page.context, opened(browser)).profile.id)
    assert job is not None
    return job


@pytest.fixture
def page(context: Context) -> InOutPage:
    return build_page(context)


@pytest.fixture
def slow(page: InOutPage, monkeypatch: pytest.MonkeyPatch) -> tuple[InOutPage, SlowPlanner]:
    monkeypatch.setattr(inout, "ANSWERS_AT_ONCE_SECONDS", 0.01)
    return slow_page(page)


def test_a_large_file_shows_how_far_it_is_until_its_preview_comes(
    slow: tuple[InOutPage, SlowPlanner],
) -> None:
    page, planner = slow
    reading = send(page, "deck.md", DECK)
    assert "Reading deck.md" in reading
    assert 'data-poll="700"' in reading
    assert planner.begun.wait(60)
    polled = page.act({"act": "poll"}, opened("b1"))
    assert "3 of 10 checked" in polled["parts"]["reading"]
    assert "Reading deck.md" in page.load(opened("b1"))  # also after a reload
    job = job_of(page)
    planner.let_go.set()
    assert job.wait_for_plan(60)
    preview = page.act({"act": "poll"}, opened("b1"))["html"]
    assert "nothing has been changed yet" in preview
    assert "data-poll" not in preview


def test_a_large_file_can_be_stopped(slow: tuple[InOutPage, SlowPlanner]) -> None:
    page, planner = slow
    reading = send(page, "deck.md", DECK)
    assert planner.begun.wait(60)
    job = job_of(page)
    reply = page.act(build_event(reading, "cancel"), opened("b1"))
    assert "Nothing was changed" in reply["say"]
    with pytest.raises(LearnerError, match="was stopped"):
        job.wait_for_plan(60)
    assert "Reading" not in page.load(opened("b1"))


def test_a_second_file_is_shown_while_the_first_is_being_read(slow: tuple[InOutPage, SlowPlanner]) -> None:
    page, planner = slow
    send(page, "first.md", DECK)
    assert planner.begun.wait(60)
    first = job_of(page)
    assert "Reading second.md" in send(page, "second.md", DECK + b"\n")
    with pytest.raises(LearnerError, match="was stopped"):
        first.wait_for_plan(60)
    told = page._fetch(frame.open_visit(page.context, opened("b1")), first, 0)
    assert told is not None
    assert "error" not in told
    planner.let_go.set()
    assert job_of(page).wait_for_plan(60)
    assert "second.md: nothing has been changed yet" in words(page.act({"act": "poll"}, opened("b1"))["html"])


def test_a_press_that_waits_for_a_file_keeps_no_connection_from_others(
    slow: tuple[InOutPage, SlowPlanner], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, planner = slow
    pool = page.context.store.database.engine.pool
    assert isinstance(pool, QueuePool)
    kept = []
    result = ImportJob.wait_for_plan

    def note_connections(job: ImportJob, seconds: float) -> PlannedImport | None:
        kept.append(pool.checkedout())
        return result(job, seconds)

    monkeypatch.setattr(ImportJob, "wait_for_plan", note_connections)
    with share_view():
        send(page, "deck.md", DECK)
    planner.let_go.set()
    assert kept == [0]


def test_a_file_that_waits_for_its_turn_is_told_when_it_is_stopped(
    slow: tuple[InOutPage, SlowPlanner],
) -> None:
    page, planner = slow
    send(page, "slow.md", DECK)
    assert planner.begun.wait(60)
    send(page, "other.md", DECK, "b2")
    waiting = job_of(page, "b2")
    send(page, "again.md", DECK, "b2")
    with pytest.raises(LearnerError, match=r"Reading other\.md was stopped"):
        waiting.wait_for_plan(0)
    planner.let_go.set()


def test_a_deck_that_changed_while_an_import_was_under_way_is_not_overwritten(
    slow: tuple[InOutPage, SlowPlanner],
) -> None:
    page, planner = slow
    send(page, "mine.md", DECK)
    planner.let_go.set()
    assert job_of(page).wait_for_plan(60)
    html = page.act({"act": "poll"}, opened("b1"))["html"]
    planner.let_go.clear()
    assert "Reading mine.md" in page.act(build_event(html, "apply"), opened("b1"))["html"]
    planner.let_go.set()
    assert job_of(page).wait_for_plan(60)
    folder = page.context.settings.decks_dir
    folder.mkdir(exist_ok=True)
    (folder / "mine.imported.json").write_text('{"cards": []}')
    reply = page.act({"act": "poll"}, opened("b1"))
    assert (
        "decks/mine.imported.json has just been changed elsewhere, so nothing was saved. Try again."
        in reply["error"]
    )
    assert (folder / "mine.imported.json").read_text() == '{"cards": []}'
