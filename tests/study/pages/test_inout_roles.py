"""Import and export on a server for learners: what is theirs, and what is the owner's."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from quizzes.interchange.exchange import build_question_exchange
from study.base.errors import LearnerError
from study.pages import inout
from study.pages.inout import InOutPage
from study.ports.context import Context
from study.store.snapshots import Snapshots
from study.web import frame
from tests.study.pages.importing import DECK, build_page, send, send_as
from tests.visits import build_event, opened, words


@pytest.fixture
def page(context: Context, monkeypatch: pytest.MonkeyPatch) -> InOutPage:
    monkeypatch.setattr(inout, "ANSWERS_AT_ONCE_SECONDS", 60)  # a busy machine reads a small file as well
    return build_page(context)


def learner(browser: str) -> Any:
    """A request of somebody who does not own the server."""
    request = opened(browser, client="192.0.2.77")
    request.scope = {"role": "learner"}
    return request


def backup_of(page: InOutPage, profile_id: str) -> bytes:
    [file] = page.exchanges["backup"].export(profile_id, "json", now=page.context.clock())
    return file.content


def test_a_learners_backup_comes_back_after_the_owner_changed_a_deck(page: InOutPage, now: datetime) -> None:
    store, folder = page.context.store, page.context.settings.decks_dir
    folder.mkdir()
    (folder / "own.yaml").write_text("deck: Own\ncards: []\n")
    lea = store.profiles.open_for_browser("lea", now=now).id
    store.preferences.change(lea, new_cards_a_day=7)
    content = backup_of(page, lea)
    (folder / "own.yaml").write_text("deck: Own, changed\ncards: []\n")
    html = send_as(page, "b.json", content, learner("another browser of lea"))
    assert "Own decks and questions 0 0 0 1" in words(html)
    assert "the decks and questions of this server are its owner's" in words(html)
    done = page.act(build_event(html, "apply"), learner("another browser of lea"))
    assert done["say"] == "b.json is imported: 1 new, 0 changed."
    found = store.profiles.open_for_browser("another browser of lea", now=now).id
    assert store.preferences.read(found).new_cards_a_day == 7
    assert (folder / "own.yaml").read_text() == "deck: Own, changed\ncards: []\n"


def test_a_learner_imports_no_decks(page: InOutPage) -> None:
    html = send_as(page, "mine.md", DECK, learner("lea"))
    with pytest.raises(LearnerError, match="only its owner can import them"):
        page.act(build_event(html, "apply"), learner("lea"))
    assert not page.context.settings.decks_dir.exists()


def test_an_import_that_replaces_makes_a_backup_but_learners_make_one_an_hour(
    page: InOutPage, now: datetime
) -> None:
    settings, store = page.context.settings, page.context.store
    snapshots = Snapshots(settings.home / "study.sqlite3", settings.home)
    page = replace(page, snapshots=snapshots)
    for request, reasons in (
        (learner("lea"), ["learner-import"]),
        (learner("max"), ["learner-import"]),  # in the same hour
        (opened("ola"), ["import", "learner-import"]),
    ):
        profile = frame.open_visit(page.context, request).profile.id
        store.preferences.change(profile, new_cards_a_day=7)
        content = backup_of(page, profile)
        store.preferences.change(profile, new_cards_a_day=8)
        html = send_as(page, "b.json", content, request)
        assert "1 changed" in page.act(build_event(html, "apply"), request)["say"]
        assert sorted(snapshot.reason for snapshot in snapshots.list_snapshots()) == reasons


def test_a_learner_is_not_shown_where_the_data_lie(page: InOutPage) -> None:
    home = str(page.context.settings.home)
    assert home in page.load(opened("b1"))
    assert home not in page.load(learner("b2"))


@pytest.fixture
def damaged(page: InOutPage) -> InOutPage:
    """A page with an own deck and a file of questions that can't be read, and a deck with one bad card."""
    context = page.context
    for folder, name, text in (
        ("decks", "torn.yaml", "deck: Torn\ncards: ["),
        (
            "decks",
            "partly.yaml",
            "deck: Partly\ncards:\n  - {front: A, back: B}\n  - {front: Only a front}\n",
        ),
        ("decks", "empty.yaml", "deck: Empty\ncards: []\n"),
        ("questions", "torn.json", "5"),
    ):
        (context.settings.home / folder).mkdir(exist_ok=True)
        (context.settings.home / folder / name).write_text(text)
    questions = build_question_exchange(context.settings.home, context.concepts)
    return replace(page, exchanges={**page.exchanges, "questions": questions})


def test_own_files_that_cant_be_read_are_named_and_set_aside(damaged: InOutPage) -> None:
    home = damaged.context.settings.home
    shown = damaged.load(opened("b1"))
    assert "2 files can't be read: torn.yaml , torn.json . Set them aside" in words(shown)
    assert "Move them to set-aside/decks and set-aside/questions in the data folder?" in shown
    done = damaged.act(build_event(shown, "set-aside"), opened("b1"))
    assert done["say"] == "Moved to set-aside/decks and set-aside/questions in the data folder."
    assert "can't be read" not in words(done["html"])
    assert "partly.yaml:4 card partly-only-a-front: back must be a text" in words(done["html"])
    assert sorted(path.name for path in (home / "decks").iterdir()) == ["empty.yaml", "partly.yaml"]
    assert (home / "set-aside" / "decks" / "torn.yaml").read_text() == "deck: Torn\ncards: ["
    assert (home / "set-aside" / "questions" / "torn.json").read_text() == "5"
    assert damaged.act({"act": "set-aside"}, opened("b1"))["say"] == ""  # pressed twice
    (home / "decks" / "torn.yaml").write_text("[")
    again = damaged.act({"act": "set-aside"}, opened("b1"))
    assert again["say"] == "Moved to set-aside/decks in the data folder."
    assert (home / "set-aside" / "decks" / "torn.yaml").read_text() == "deck: Torn\ncards: ["


def test_only_the_owner_sets_files_aside(damaged: InOutPage) -> None:
    assert "torn.yaml" in damaged.load(learner("lea"))
    assert "set-aside" not in damaged.load(learner("lea"))
    with pytest.raises(LearnerError, match="belongs to the owner"):
        damaged.act({"act": "set-aside"}, learner("lea"))
    assert (damaged.context.settings.home / "decks" / "torn.yaml").exists()


def test_the_list_of_backups_stays_after_a_press(page: InOutPage, now: datetime) -> None:
    home = page.context.settings.home
    page = replace(page, snapshots=Snapshots(home / "study.sqlite3", home))
    assert page.snapshots is not None
    page.snapshots.make("daily", now=now)
    done = page.act(build_event(send(page, "mine.md", DECK), "apply"), opened("b1"))["html"]
    assert "Automatic backups" in done
    assert "Automatic backups" not in page.act({"act": "cancel"}, learner("b1"))["html"]


def test_few_previews_are_kept_and_none_of_a_file_that_is_gone(
    page: InOutPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inout, "PREVIEWS_KEPT", 3)
    for number in range(5):
        html = send(page, "mine.md", DECK, f"browser-{number}")
    assert len(page._previews) == 3
    page.act(build_event(html, "apply"), opened("browser-4"))
    page.act({"act": "cancel"}, opened("browser-3"))
    assert len(page._previews) == 1
