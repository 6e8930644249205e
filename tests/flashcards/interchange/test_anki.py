"""Cards to and from Anki, with the real Anki as judge of what we write and as writer of what we read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from anki.collection import Collection

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from flashcards.interchange.anki_read import read_apkg
from flashcards.interchange.anki_schedule import History, list_missing_ratings
from flashcards.interchange.anki_write import write_apkg
from flashcards.interchange.entry import CardReading
from flashcards.interchange.exchange import build_card_exchange
from flashcards.interchange.table import write_csv
from flashcards.review.operations import Reviews
from study.content.concepts import ConceptMap
from study.io.apply_import import Imports
from study.io.exchange import File
from study.store import Store
from tests.flashcards.anki_cards import CARDS
from tests.flashcards.anki_oracle import (
    as_first_generation,
    collection,
    give_package,
    take_package,
    take_table,
    without_templates,
)
from tests.flashcards.builders import NOW
from tests.flashcards.card_events import shown


def test_anki_takes_every_kind_of_card_and_knows_it_again(tmp_path: Path) -> None:
    path = tmp_path / "cards.apkg"
    path.write_bytes(write_apkg(CARDS, now=NOW))
    with collection(tmp_path / "anki") as anki:
        assert take_package(anki, path) == {"new": 4, "updated": 0, "duplicate": 0, "conflicting": 0}
        assert anki.card_count() == 6  # both ways, and two gaps
        assert take_package(anki, path)["duplicate"] == 4
        [note_id] = anki.find_notes("tag:lora::rank")
        note = anki.get_note(note_id)
        assert "\\(r &lt; d\\)" in note["Front"]
        assert {"lora::level::advanced", "lora::tag::basics"} <= set(note.tags)


def test_an_edited_card_updates_its_note_and_keeps_what_anki_learnt(tmp_path: Path) -> None:
    path = tmp_path / "cards.apkg"
    path.write_bytes(write_apkg(CARDS[:1], now=NOW))
    with collection(tmp_path / "anki") as anki:
        take_package(anki, path)
        answer(anki, rating=3)
        path.write_bytes(write_apkg([replace(CARDS[0], back="Another answer.")], now=NOW + timedelta(days=1)))
        assert take_package(anki, path) == {"new": 0, "updated": 1, "duplicate": 0, "conflicting": 0}
        [card] = [anki.get_card(card_id) for card_id in anki.find_cards("")]
        assert (card.note()["Back"], card.reps) == ("Another answer.", 1)


def test_a_table_has_the_same_notes_as_the_package(tmp_path: Path) -> None:
    package, table = tmp_path / "cards.apkg", tmp_path / "cards.csv"
    basic = [CARDS[0], replace(CARDS[0], id="formula", front="=1+1", back="-2")]
    package.write_bytes(write_apkg(basic, now=NOW))
    table.write_bytes(write_csv(basic))
    with collection(tmp_path / "anki") as anki:
        assert take_table(anki, table)["new"] == 2
        assert take_table(anki, table)["duplicate"] == 2
        [note_id] = anki.find_notes("Front:re:1.1")
        assert (anki.get_note(note_id)["Front"], anki.get_note(note_id)["Back"]) == ("&#61;1+1", "&#45;2")
        table.write_bytes(write_csv([replace(basic[0], back="Edited."), basic[1]]))
        assert take_table(anki, table)["updated"] == 1
        assert anki.note_count() == 2


@pytest.mark.parametrize("legacy", [True, False], ids=["anki21", "anki21b"])
def test_what_goes_through_anki_comes_back_as_it_was(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "cards.apkg"
    path.write_bytes(write_apkg(CARDS, now=NOW))
    assert set(read(path.read_bytes()).entries) == set(CARDS)
    with collection(tmp_path / "anki") as anki:
        take_package(anki, path)
        reading = read(give_package(anki, tmp_path / "back.apkg", legacy=legacy))
    assert set(reading.entries) == set(CARDS)
    assert reading.histories == {}
    assert reading.notes[0].endswith(f"{'anki21' if legacy else 'anki21b'}.")


@pytest.mark.parametrize("generation", ["anki2", "anki21", "anki21b"])
@pytest.mark.parametrize("fsrs", [True, False], ids=["fsrs", "sm2"])
def test_a_studied_card_comes_with_its_ratings_and_ankis_schedule(
    tmp_path: Path, generation: str, fsrs: bool
) -> None:
    with collection(tmp_path / "anki") as anki:
        anki.set_config("fsrs", fsrs)
        note = anki.new_note(anki.models.by_name("Basic"))
        note["Front"], note["Back"] = "What is <b>rank</b>?<div>Say it.</div>", "[latex]$r$[/latex]"
        anki.add_note(note, anki.decks.id("Own::Deck"))
        answer(anki, rating=4)
        card = note.cards()[0]
        due = datetime.fromtimestamp(anki.crt + card.due * 86_400, UTC)
        card.load()
        state = card.memory_state
        content = give_package(anki, tmp_path / "back.apkg", legacy=generation != "anki21b")
    reading = read(as_first_generation(content) if generation == "anki2" else content)
    assert reading.notes[0].endswith(f" {generation}.")
    [entry] = reading.entries
    assert (entry.deck, entry.front, entry.back) == ("Own::Deck", "What is rank?\nSay it.", "$r$")
    assert entry.id == f"anki-{note.guid.encode().hex()}"
    history = reading.histories[entry.id]
    [row] = list_missing_ratings(entry.id, history, memory=None, newest=None, now=datetime.now(UTC))
    assert (row["rating"], row["before"]) == (4, None)
    assert row["after"]["phase"] == "review"
    assert datetime.fromisoformat(row["after"]["due"]).date() == due.date()
    assert (history.schedule.stability is not None) is fsrs
    if fsrs:
        assert row["after"]["stability"] == pytest.approx(state.stability, abs=1e-3)
        assert row["after"]["difficulty"] == pytest.approx(state.difficulty, abs=1e-2)
    assert any("1 ratings of 1 cards are replayed" in said for said in reading.notes)


def test_a_schedule_without_a_log_is_entered_as_one_good_and_says_so(tmp_path: Path) -> None:
    with collection(tmp_path / "anki") as anki:
        note = anki.new_note(anki.models.by_name("Basic (and reversed card)"))
        note["Front"], note["Back"] = "A", "B"
        anki.add_note(note, anki.decks.id("Own"))
        first, second = note.cards()
        anki.sched.set_due_date([first.id], "5")
        anki.db.execute("delete from revlog")
        anki.sched.suspend_cards([second.id])
        reading = read(give_package(anki, tmp_path / "back.apkg", legacy=False))
    [entry] = reading.entries
    assert (entry.kind, entry.front, entry.back) == ("reversed", "A", "B")
    [row] = list_missing_ratings(
        entry.id, reading.histories[entry.id], memory=None, newest=None, now=datetime.now(UTC)
    )
    reviewed = datetime.fromisoformat(row["reviewed_at"])
    assert row["rating"] == 3
    assert datetime.fromisoformat(row["after"]["due"]) - reviewed == timedelta(days=5)
    assert row["after"]["stability"] == pytest.approx(5)
    assert 1 <= row["after"]["difficulty"] <= 10
    assert any("1 cards have a schedule but no ratings" in said for said in reading.notes)


def test_a_card_due_long_after_its_interval_was_reviewed_by_now_and_can_be_rated(
    tmp_path: Path, store: Store, ana: str, concepts: ConceptMap
) -> None:
    with collection(tmp_path / "anki") as anki:
        note = anki.new_note(anki.models.by_name("Basic"))
        note["Front"], note["Back"] = "A", "B"
        anki.add_note(note, anki.decks.id("Own"))
        [card] = note.cards()
        anki.sched.set_due_date([card.id], "3")
        anki.sched.set_due_date([card.id], "60")  # the interval stays 3
        anki.db.execute("delete from revlog")
        content = give_package(anki, tmp_path / "own.apkg", legacy=False)
    exchange = build_card_exchange(store, tmp_path, concepts)
    now = datetime.now(UTC)
    plan = exchange.plan(ana, File(name="own.apkg", content=content), now=now)
    Imports(store=store, home=tmp_path).apply(ana, plan, file_name="own.apkg", now=now)
    [(card_id, latest)] = store.cards.latest(ana).items()
    assert latest.reviewed_at == now
    assert datetime.fromisoformat(latest.after["due"]) > now + timedelta(days=50)
    reviews = Reviews(store=store, decks=exchange.decks)
    assert reviews.rate(ana, shown(reviews, ana, card_id, now=now), rating=3, now=now).after.due > now


def test_a_studied_deck_is_imported_whole_and_taken_back(
    tmp_path: Path, store: Store, ana: str, concepts: ConceptMap
) -> None:
    with collection(tmp_path / "anki") as anki:
        for front in ("A", "B"):
            note = anki.new_note(anki.models.by_name("Basic"))
            note["Front"], note["Back"] = front, f"back of {front}"
            anki.add_note(note, anki.decks.id("Own"))
        answer(anki, rating=3)
        anki.sched.suspend_cards(anki.find_cards("back:*B"))
        content = give_package(anki, tmp_path / "own.apkg", legacy=False)
    exchange = build_card_exchange(store, tmp_path, concepts)
    imports = Imports(store=store, home=tmp_path)
    now = datetime.now(UTC) + timedelta(days=1)  # Anki has rated by the machine's clock
    plan = exchange.plan(ana, File(name="own.apkg", content=content), now=now)
    report = imports.apply(ana, plan, file_name="own.apkg", now=now)
    assert {group.title: group.counts["new"] for group in report.groups} == {
        "Cards": 2,
        "Card reviews": 1,
        "Actions on cards": 1,
    }
    reviews = Reviews(store=store, decks=exchange.decks)
    rated = {review.card_id for review in store.cards.history(ana)}
    assert rated <= exchange.decks.by_id.keys()
    assert len(reviews.read_snapshot(ana, now=now).status.suspended) == 1
    again = exchange.plan(ana, File(name="own.apkg", content=content), now=now)
    assert not imports.report(ana, again).does_something
    [record] = imports.store.imports.list_undoable(ana)
    imports.undo(ana, record.id, now=now)
    assert store.cards.history(ana) == []
    assert rated.isdisjoint(exchange.decks.by_id)


def test_a_rejected_note_changes_nothing_of_another_whose_id_begins_alike(tmp_path: Path) -> None:
    with collection(tmp_path / "anki") as anki:
        for guid, front in (("ab", "A"), ("a", "<img src='a.png'>")):
            note = anki.new_note(anki.models.by_name("Basic"))
            note["Front"], note["Back"], note.guid = front, "B", guid
            anki.add_note(note, anki.decks.id("Own"))
        anki.sched.suspend_cards([card.id for card in note.cards()])
        reading = read(give_package(anki, tmp_path / "own.apkg", legacy=True))
    assert [entry.id for entry in reading.entries] == ["anki-6162"]
    assert [entry.why for entry in reading.rejected] == [
        "a side has only a picture or a sound, which stay in Anki"
    ]
    assert reading.suspended == ()


def test_a_note_whose_type_has_no_template_is_rejected_with_the_reason(tmp_path: Path) -> None:
    with collection(tmp_path / "anki") as anki:
        note = anki.new_note(anki.models.by_name("Basic"))
        note["Front"], note["Back"] = "A", "B"
        anki.add_note(note, anki.decks.id("Own"))
        package = give_package(anki, tmp_path / "own.apkg", legacy=True)
    [entry] = read(without_templates(package)).rejected
    assert (entry.item, entry.why) == ("A", "its note type has no card template")


def test_ratings_that_are_here_already_are_not_taken_twice(tmp_path: Path) -> None:
    history = history_of_one(tmp_path)
    newest = history.ratings[-1].at
    assert list_missing_ratings("card", history, memory=None, newest=newest, now=datetime.now(UTC)) == []
    assert (
        len(
            list_missing_ratings(
                "card", history, memory=None, newest=newest - timedelta(seconds=1), now=datetime.now(UTC)
            )
        )
        == 1
    )


def history_of_one(folder: Path) -> History:
    with collection(folder / "anki") as anki:
        note = anki.new_note(anki.models.by_name("Basic"))
        note["Front"], note["Back"] = "A", "B"
        anki.add_note(note, anki.decks.id("Own"))
        answer(anki, rating=4)
        reading = read(give_package(anki, folder / "one.apkg", legacy=True))
    [history] = reading.histories.values()
    assert isinstance(history, History)
    return history


def read(content: bytes) -> CardReading:
    return read_apkg(File(name="deck.apkg", content=content), known={}, concepts=("rank",))


def answer(anki: Collection, *, rating: int) -> None:
    """Rate the next card as a person at Anki would."""
    for deck in anki.decks.all_names_and_ids():
        anki.decks.select(deck.id)
        queued = anki.sched.get_queued_cards()
        if queued.cards:
            card = anki.get_card(queued.cards[0].card.id)
            card.start_timer()
            states = queued.cards[0].states
            anki.sched.answer_card(anki.sched.build_answer(card=card, states=states, rating=rating - 1))
            return
    raise AssertionError("no card is waiting in Anki")
