"""Decks: every problem of every file at once, and ids that are unique across files."""

from pathlib import Path

import pytest

from flashcards.decks.deck import load_decks
from study.content.concepts import ConceptMap
from study.content.yaml_reader import ContentError

GOOD = """
  - id: {id}
    concepts: [matrix-rank]
    level: beginner
    tags: [basics]
    front: What is the rank of a matrix?
    back: The number of its linearly independent rows.
    why: LoRA limits it.
    source: a book
"""


def write(folder: Path, name: str, *cards: str) -> None:
    (folder / f"{name}.yaml").write_text(f"deck: The {name} deck\ncards:{''.join(cards)}")


def test_a_deck_is_read_with_its_title_and_file_name(tmp_path: Path, concepts: ConceptMap) -> None:
    write(tmp_path, "one", GOOD.format(id="rank-what"))
    decks = load_decks(concepts, folder=tmp_path)
    assert decks.titles == {"one": "The one deck"}
    assert decks.by_id["rank-what"].deck == "one"
    assert decks.concepts_of == {"rank-what": ("matrix-rank",)}


def test_problems_of_all_decks_are_reported_together(tmp_path: Path, concepts: ConceptMap) -> None:
    write(tmp_path, "one", GOOD.format(id="a").replace("    source: a book\n", ""))
    write(tmp_path, "two", GOOD.format(id="b").replace("matrix-rank", "no-such-concept"), GOOD.format(id="a"))
    with pytest.raises(ContentError) as raised:
        load_decks(concepts, folder=tmp_path)
    assert [str(problem) for problem in raised.value.problems] == [
        "one.yaml:3  card a: no source and no check",
        "two.yaml:3  card b: unknown concept 'no-such-concept'",
        "two.yaml:12  card a: this id is used more than once",
    ]


def test_a_check_must_be_about_a_number_that_the_card_prints(tmp_path: Path, concepts: ConceptMap) -> None:
    checked = "    check: {quantity: linear_parameters, d_in: 8, d_out: 8, expect: 64}\n"
    write(tmp_path, "one", GOOD.format(id="a") + checked)
    with pytest.raises(ContentError, match=r"card a: the check expects 64, but no text prints that number"):
        load_decks(concepts, folder=tmp_path)


def test_a_large_number_that_no_text_prints_is_named_digit_by_digit(
    tmp_path: Path, concepts: ConceptMap
) -> None:
    checked = "    check: {quantity: linear_parameters, d_in: 4096, d_out: 11008, expect: 45088768}\n"
    write(tmp_path, "one", GOOD.format(id="a") + checked)
    with pytest.raises(ContentError, match=r"the check expects 45,088,768, but no text prints that number"):
        load_decks(concepts, folder=tmp_path)


def test_cards_are_found_by_the_concepts_they_share(tmp_path: Path, concepts: ConceptMap) -> None:
    write(tmp_path, "one", GOOD.format(id="a"))
    decks = load_decks(concepts, folder=tmp_path)
    assert [card.id for card in decks.list_about(["matrix-rank", "nf4"])] == ["a"]
    assert decks.list_about(["nf4"]) == []
