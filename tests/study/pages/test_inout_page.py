"""The Import and export page as functions: a preview before anything changes, import, undo, and downloads."""

import json
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import pytest

from flashcards.review.presenter import CardExercise
from study.base import import_limits
from study.base.errors import LearnerError
from study.pages import inout
from study.pages.inout import InOutPage
from study.ports.context import Context
from study.web.transfer_routes import Transfer
from tests.exercises import build_card_exercise
from tests.flashcards.card_events import shown
from tests.study.pages.importing import DECK, build_page, send
from tests.visits import build_event, opened, primary, words


@pytest.fixture
def page(context: Context, monkeypatch: pytest.MonkeyPatch) -> InOutPage:
    monkeypatch.setattr(inout, "ANSWERS_AT_ONCE_SECONDS", 60)  # a busy machine reads a small file as well
    return build_page(context)


@pytest.fixture
def exercise(context: Context) -> CardExercise:
    """Made before the import, as the running app's is."""
    return build_card_exercise(context)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.suffix == ".json"
    }


def test_a_preview_says_what_would_happen_and_changes_nothing(
    page: InOutPage, exercise: CardExercise
) -> None:
    html = send(page, "mine.md", DECK)
    assert "mine.md: nothing has been changed yet" in words(html)
    assert "Cards 2 0 0 1" in words(html)
    assert "mine.md:4 a Q: without its A:" in words(html)
    assert "mine" not in exercise.reviews.decks.titles
    assert words(page.load(opened("b1"))) == words(html)


def test_the_page_states_the_limits(page: InOutPage) -> None:
    html = page.load(opened("b1"))
    assert f'data-limit="{import_limits.PACKAGE_BYTES}"' in html
    limits = (
        "Limits: 20 MB for a file with cards or questions, 64 MB for a package with pictures or a backup; "
        "20,000 cards or questions; 20,000 characters in one text."
    )
    assert limits in words(html)
    found = (import_limits.FILE_BYTES, import_limits.ITEMS, import_limits.TEXT_CHARACTERS)
    assert found == (20_000_000, 20_000, 20_000)


def test_a_file_is_read_once_however_often_the_page_opens(
    page: InOutPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = send(page, "mine.md", DECK)
    monkeypatch.setattr(type(page.exchanges["cards"]), "plan", None)  # it would raise
    assert words(page.load(opened("b1"))) == words(first)


def test_a_file_that_can_not_be_read_is_put_away_where_the_page_finds_it_after_a_restart(
    page: InOutPage,
) -> None:
    send(page, "mine.csv", b"Front,Back\nWhat?,That.\n")
    [file] = page.pending.folder.glob("*.file")
    file.write_bytes(b"\xff\xff")
    page = replace(page, _previews={})
    assert "nothing has been changed yet" not in words(page.load(opened("b1")))
    job = page.jobs.find(page.context.store.profiles.open_for_browser("b1", now=page.context.clock()).id)
    assert job is not None
    wait([job.future])
    assert "is not UTF-8" in page.act({"act": "poll"}, opened("b1"))["error"]
    assert list(page.pending.folder.glob("*.file")) == []


def test_imported_cards_are_studied_at_once_and_an_undo_takes_them_away(
    page: InOutPage, exercise: CardExercise
) -> None:
    before = len(exercise.reviews.decks.cards)
    done = page.act(build_event(send(page, "mine.md", DECK), "apply"), opened("b1"))
    assert done["say"] == "mine.md is imported: 2 new, 0 changed."
    assert len(exercise.reviews.decks.cards) == before + 2
    card = exercise.reviews.decks.by_id["mine-what-is-the-rank-of-b-a"]
    assert (card.back, exercise.subjects[card.id], card.evidence.source) == (
        "At most r.",
        (),
        "your own card",
    )
    undone = page.act(build_event(done["html"], "undo"), opened("b1"))
    assert undone["say"] == "The import of mine.md is undone."
    assert len(exercise.reviews.decks.cards) == before
    assert files_of(page.context.settings.decks_dir) == {}
    assert "Imported so far" not in words(undone["html"])


def test_an_import_ends_in_studying_it_or_undoing_it(page: InOutPage, exercise: CardExercise) -> None:
    done = page.act(build_event(send(page, "mine.md", DECK), "apply"), opened("b1"))["html"]
    assert primary(done) == ["Study these"]
    assert 'class="button primary" href="/cards?deck=mine&amp;new=2"' in done
    assert build_event(done, "undo")["import"]
    later = page.load(opened("b1"))
    assert primary(later) == ["Download everything"]
    assert 'href="/cards?deck=mine&amp;new=2"' in later


def test_an_undo_keeps_the_ratings_given_since_and_says_so(page: InOutPage, exercise: CardExercise) -> None:
    done = page.act(build_event(send(page, "mine.md", DECK), "apply"), opened("b1"))["html"]
    profile, now = page.context.store.profiles.all()[0].id, page.context.clock()
    card = "mine-what-is-the-rank-of-b-a"
    exercise.reviews.rate(profile, shown(exercise.reviews, profile, card, now=now), rating=3, now=now)
    undone = page.act(build_event(done, "undo"), opened("b1"))
    assert undone["say"] == (
        "The import of mine.md is undone. 1 answer that you have given to its cards or questions since then "
        "stays in your log, and will count again if you import the file again."
    )
    assert [review.card_id for review in page.context.store.cards.history(profile)] == [card]
    page.act(build_event(send(page, "mine.md", DECK), "apply"), opened("b1"))
    assert card in exercise.reviews.read_snapshot(profile, now=now).latest


@pytest.mark.parametrize("name", ["notes.md", "notes.txt"])
def test_plain_notes_get_a_true_sentence_and_the_format(page: InOutPage, name: str) -> None:
    notes = b"# LoRA\n\nLoRA is, in short, a trick.\nThe base is frozen, A and B learn.\n"
    with pytest.raises(LearnerError) as refused:
        send(page, name, notes)
    assert str(refused.value).startswith(f"{name} has 3 lines of text and no card. A card is a question `Q:`")
    assert "A: The inner dimension" in str(refused.value)
    assert "nothing has been changed yet" not in words(page.load(opened("b1")))


def test_cards_in_a_text_file_are_read_as_in_markdown(page: InOutPage) -> None:
    assert "Cards 2 0 0 1" in words(send(page, "mine.txt", DECK))


@pytest.mark.parametrize(
    ("name", "again", "sentence"),
    [
        (
            "mine.md",
            DECK,
            "What can be read in it is already here; the rest is left out for the reasons above.",
        ),
        ("mine.md", b"Q: What is the rank of B A?\nA: At most r.\n", "All of it is already here."),
        ("a.csv", b"front,back\nOne,\n", "Nothing in it can be imported, for the reasons above."),
    ],
)
def test_a_file_without_news_says_why(page: InOutPage, name: str, again: bytes, sentence: str) -> None:
    page.act(build_event(send(page, "mine.md", DECK), "apply"), opened("b1"))
    html = send(page, name, again)
    assert sentence in words(html)
    assert "Choose another file" in words(html)


def test_a_later_import_of_a_corrected_card_changes_it_and_undo_brings_the_old_words(
    page: InOutPage, exercise: CardExercise
) -> None:
    page.act(build_event(send(page, "mine.md", DECK), "apply"), opened("b1"))
    first = files_of(page.context.settings.home)
    html = send(page, "mine.md", DECK.replace(b"At most r.", b"r or less."))
    assert "Cards 0 1 1 1" in words(html)
    done = page.act(build_event(html, "apply"), opened("b1"))
    assert exercise.reviews.decks.by_id["mine-what-is-the-rank-of-b-a"].back == "r or less."
    with pytest.raises(LearnerError, match="Undo the later import first"):
        page.act(build_event(done["html"], "undo", nth=1), opened("b1"))
    page.act(build_event(done["html"], "undo"), opened("b1"))
    assert files_of(page.context.settings.home) == first


def test_an_undo_looks_again_at_the_file_that_is_waiting(page: InOutPage) -> None:
    page.act(build_event(send(page, "mine.md", DECK), "apply"), opened("b1"))
    waiting = send(page, "mine.md", DECK)
    assert "Cards 0 0 2 1" in words(waiting)
    undone = page.act(build_event(waiting, "undo"), opened("b1"))["html"]
    for html in (undone, page.load(opened("b1"))):
        assert "Cards 2 0 0 1" in words(html)
        assert "is already here" not in words(html)
    done = page.act(build_event(undone, "apply"), opened("b1"))
    assert done["say"] == "mine.md is imported: 2 new, 0 changed."


def test_what_changed_since_the_preview_is_shown_again_instead_of_imported(page: InOutPage) -> None:
    html = send(page, "mine.md", DECK)
    (page.context.settings.decks_dir).mkdir()
    (page.context.settings.decks_dir / "mine.md").write_bytes(DECK)
    reply = page.act(build_event(html, "apply"), opened("b1"))
    assert "changed since the preview" in reply["error"]
    assert "Cards 0 0 2 1" in words(reply["html"])
    put_away = page.act(build_event(reply["html"], "cancel"), opened("b1"))
    assert "nothing has been changed yet" not in words(put_away["html"])


def test_a_file_of_no_known_kind_is_refused_with_the_kinds_that_are(page: InOutPage) -> None:
    page.load(opened("b1"))
    with pytest.raises(LearnerError, match=r"Choose one that can: backups .*Anki decks \(\.apkg\)"):
        send(page, "mine.docx", b"PK")
    assert page.pending.find(page.context.store.profiles.all()[0].id) is None


def test_problems_in_own_files_name_file_line_and_field(page: InOutPage) -> None:
    folder = page.context.settings.decks_dir
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "deck: Mine\ncards:\n  - id: one\n    front: Only a front\n"
        "  - id: two\n    front: A\n    back: B\n    hint: C\n"
    )
    html = words(page.load(opened("b1")))
    assert "mine.yaml:3 card one: back must be a text" in html
    assert "mine.yaml:5 card two: unknown field hint" in html


def test_an_upload_over_the_limit_is_not_kept(page: InOutPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_limits, "PACKAGE_BYTES", 20)
    with pytest.raises(LearnerError, match=r"mine\.md is larger than"):
        send(page, "mine.md", DECK)
    assert list(page.pending.folder.iterdir()) == []


def test_the_backup_downloads_for_the_learner_of_this_browser(page: InOutPage) -> None:
    page.load(opened("b1"))
    files = Transfer(page.context, page.exchanges, page.pending)
    answer = files.download("backup", "json", opened("b1"))
    assert json.loads(bytes(answer.body))["profile"] == "Guest learner"
    assert files.download("backup", "json", opened("")).status_code == 403
    assert files.download("cards", "exe", opened("b1")).status_code == 404
    assert bytes(files.download("cards", "md", opened("b1")).body).startswith(b"PK")
