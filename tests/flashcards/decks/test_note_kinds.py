"""Kinds of cards: what each note makes, with ids that never change, and what is wrong with a bad one."""

from pathlib import Path

import pytest

import lora_lab.quantities  # noqa: F401 - numeric cards compute their answers
from flashcards.decks.deck import Decks, load_decks
from flashcards.decks.note import KINDS, clean_edit, open_gap
from flashcards.decks.pictures import render_picture
from flashcards.decks.typed_answers import render_back
from study.base.errors import LearnerError
from study.content.concepts import ConceptMap
from study.content.yaml_reader import ContentError

HEAD = "deck: One\ncards:\n"
COMMON = "    concepts: [matrix-rank]\n    level: beginner\n    why: so\n    source: a book\n"


def load(folder: Path, concepts: ConceptMap, *notes: str) -> Decks:
    text = HEAD + "".join(f"  - {note}\n{COMMON}" for note in notes)
    (folder / "one.yaml").write_text(text)
    return load_decks(concepts, folder=folder)


def test_the_app_has_two_notes_of_every_kind(concepts: ConceptMap) -> None:
    notes = load_decks(concepts).notes.values()
    assert all(sum(note.kind == kind for note in notes) >= 2 for kind in KINDS)
    texts = [text for note in notes for text in note.texts.values()]
    assert sum("$$" in text for text in texts) >= 2
    assert sum("```" in text for text in texts) >= 2


def test_a_reversed_note_asks_both_ways(tmp_path: Path, concepts: ConceptMap) -> None:
    decks = load(tmp_path, concepts, "id: term\n    kind: reversed\n    front: Rank\n    back: Its rows")
    assert [(card.id, card.front, card.back, card.note_id) for card in decks.cards] == [
        ("term", "Rank", "Its rows", "term"),
        ("term--reversed", "Its rows", "Rank", "term"),
    ]


def test_a_cloze_makes_a_card_for_each_number(tmp_path: Path, concepts: ConceptMap) -> None:
    text = "{{c2::B}} is {{c1::zero}}, {{c1::at first::when?}}."
    decks = load(tmp_path, concepts, f'id: gaps\n    kind: cloze\n    text: "{text}"')
    assert [(card.id, card.front, card.back) for card in decks.cards] == [
        ("gaps--c1", "B is […], [when?].", "zero; at first"),
        ("gaps--c2", "[…] is zero, at first.", "B"),
    ]


def test_braces_of_a_formula_stay_in_its_gap() -> None:
    assert open_gap("It is {{c1::$r (d_{in} + d_{out})$}} long", 1) == (
        "It is […] long",
        "$r (d_{in} + d_{out})$",
    )


def test_a_numeric_card_computes_its_answer_when_it_is_shown(concepts: ConceptMap) -> None:
    card = load_decks(concepts).by_id["work-out-count"]
    assert "1,221,120" not in card.back
    assert render_back(card).startswith("1,221,120, which is")


def test_pictures_are_part_of_the_page_and_say_what_they_show(concepts: ConceptMap) -> None:
    cards = load_decks(concepts).by_id
    drawn, file = cards["picture-count-by-rank"].picture, cards["picture-lora-branch"].picture
    assert drawn is not None
    assert file is not None
    assert "2.44M" in render_picture(drawn)
    assert f'aria-label="{drawn.alt}"' in render_picture(drawn)
    assert 'src="data:image/svg+xml;base64,' in render_picture(file)


@pytest.mark.parametrize(
    ("note", "problem"),
    [
        ("id: a\n    kind: cloze\n    text: no gap", "needs a gap such as"),
        ("id: a\n    kind: numeric\n    front: how many", "needs an `answer` with a `quantity`"),
        ("id: a\n    kind: image\n    front: x\n    back: y", "an image card needs a `picture`"),
        ("id: a--c1\n    front: x\n    back: y", "must not have `--`"),
        ("id: a\n    kind: spoken\n    front: x\n    back: y", "`kind` must be one of basic"),
        (
            "id: a\n    front: x\n    back: y\n    picture: {alt: z, file: ../x.svg}",
            "no picture '../x.svg'",
        ),
        ("id: a\n    front: x\n    back: y\n    picture: {alt: z}", "either a `file` or `bars`"),
    ],
)
def test_a_note_that_makes_no_card_is_reported(
    tmp_path: Path, concepts: ConceptMap, note: str, problem: str
) -> None:
    with pytest.raises(ContentError, match=problem):
        load(tmp_path, concepts, note)


def test_an_edit_changes_the_text_of_all_siblings_and_no_id(tmp_path: Path, concepts: ConceptMap) -> None:
    decks = load(tmp_path, concepts, "id: term\n    kind: reversed\n    front: Rank\n    back: Its rows")
    edited = decks.apply_edits({"term": {"front": "Rank of a matrix"}})
    assert [card.id for card in edited.cards] == [card.id for card in decks.cards]
    assert edited.by_id["term--reversed"].back == "Rank of a matrix"
    assert edited.by_id["term"].own
    assert decks.apply_edits({}) is decks


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ({"text": "no gap", "why": "x"}, "has no gap"),
        ({"text": " ", "why": "x"}, "The text is empty"),
        ({"text": "{{c1::x}}", "why": "y" * 4001}, r"has 4,001 characters\. Shorten it to at most 4,000"),
    ],
)
def test_an_edit_that_makes_no_card_is_refused(
    tmp_path: Path, concepts: ConceptMap, texts: dict[str, str], problem: str
) -> None:
    decks = load(tmp_path, concepts, 'id: gaps\n    kind: cloze\n    text: "{{c1::B}}"')
    with pytest.raises(LearnerError, match=problem):
        clean_edit(decks.notes["gaps"], texts)


def test_an_edit_of_the_greatest_length_is_taken(tmp_path: Path, concepts: ConceptMap) -> None:
    decks = load(tmp_path, concepts, 'id: gaps\n    kind: cloze\n    text: "{{c1::B}}"')
    assert len(clean_edit(decks.notes["gaps"], {"text": "{{c1::x}}", "why": "y" * 4000})["why"]) == 4000
