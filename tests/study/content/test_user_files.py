"""A folder of own files that is damaged itself: what can be read in it is, and changes are still noticed."""

from pathlib import Path

import pytest

import lora_lab.quantities  # noqa: F401 - registers what the texts compute
from flashcards.interchange.user_decks import LiveDecks
from study.content.concepts import ConceptMap

CARD = '[{"front": "What is r?", "back": "The rank."}]'


def deck_in(folder: Path, name: str) -> None:
    (folder / f"{name}.json").write_text(f'{{"deck": "{name}", "cards": {CARD}}}', "utf-8")


@pytest.mark.parametrize("target", ["gone.yaml", "broken.yaml"])
def test_a_link_that_leads_nowhere_hides_no_change_of_the_other_files(
    tmp_path: Path, concepts: ConceptMap, target: str
) -> None:
    """To a file that is gone, and to itself."""
    (tmp_path / "broken.yaml").symlink_to(target)
    deck_in(tmp_path, "first")
    decks = LiveDecks(concepts, tmp_path)
    assert "first" in decks.titles
    deck_in(tmp_path, "second")
    assert "second" in decks.titles


def test_a_file_in_the_folders_place_leaves_the_apps_own_decks(tmp_path: Path, concepts: ConceptMap) -> None:
    folder = tmp_path / "decks"
    folder.write_text("a file", "utf-8")
    assert LiveDecks(concepts, folder).titles
