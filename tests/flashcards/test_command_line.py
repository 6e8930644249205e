"""`python -m flashcards`: the same engines as the page, in readable lines."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from flashcards.__main__ import main
from flashcards.decks.deck import load_decks
from study.base.settings import load_settings
from study.content.concepts import ConceptMap
from study.store import open_store


def test_list_narrows_as_the_page_does(capsys: pytest.CaptureFixture[str], concepts: ConceptMap) -> None:
    assert main(["list", "--deck", "qlora", "--level", "advanced"]) == 0
    listed = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    cards = load_decks(concepts).cards
    assert listed == [card.id for card in cards if (card.deck, card.level) == ("qlora", "advanced")]


def test_an_empty_choice_is_an_error_with_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--deck", "gone"]) == 1
    assert "No card matches these options" in capsys.readouterr().err


def test_validate_computes_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate"]) == 0
    assert "are in order" in capsys.readouterr().out


def test_due_names_the_learner_and_the_cards(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    folder = ["--data-folder", str(tmp_path)]
    assert main(["due", *folder]) == 1
    assert "Nobody has studied here yet" in capsys.readouterr().err
    add_learner(tmp_path, "Ana")
    assert main(["due", *folder]) == 0
    assert "Ana: 0 due, 10 new" in capsys.readouterr().out
    add_learner(tmp_path, "Ben")
    assert main(["due", *folder]) == 1
    assert "Name one with --profile: Ana, Ben" in capsys.readouterr().err
    assert main(["due", *folder, "--profile", "Ben"]) == 0
    assert main(["due", *folder, "--profile", "Eve"]) == 1


def add_learner(folder: Path, name: str) -> None:
    store = open_store(load_settings(home=folder).database_url)
    store.profiles.add(f"browser of {name}", name, now=datetime(2026, 3, 4, tzinfo=UTC))
    store.close()
