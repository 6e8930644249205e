"""The keys that the pages name: one key for one meaning, written in one way."""

import re
from pathlib import Path

import pytest

from study.base.settings import ROOT

TEMPLATES = sorted(
    path for room in ("study", "flashcards", "quizzes", "lora_lab") for path in (ROOT / room).rglob("*.html")
)
BUTTON = re.compile(r'<(?:button|label)[^>]*data-key="([^"{]+)"[^>]*>(.*?)</(?:button|label)>', re.S)
KEYS = [(path, key, words) for path in TEMPLATES for key, words in BUTTON.findall(path.read_text())]


def test_space_shows_the_answer_on_a_card_and_in_a_quiz_and_x_suspends() -> None:
    shows = {key for _, key, words in KEYS if "Show the answer" in words}
    suspends = {key for _, key, words in KEYS if "Suspend" in words}
    assert (shows, suspends) == ({"Space"}, {"x"})


def test_no_page_takes_the_key_that_searches_everything() -> None:
    assert not [path.name for path, key, _ in KEYS if key == "/"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_letter_on_a_keycap_is_small(path: Path) -> None:
    assert not re.findall(r"<kbd[^>]*>([A-Z])</kbd>", path.read_text())
