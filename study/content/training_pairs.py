"""The app's own cards and questions as prompt and answer pairs: the data set that the lab fine-tunes on."""

import re
from collections.abc import Iterator
from pathlib import Path

from study.base.settings import ROOT
from study.content.yaml_reader import ContentError, Fields, Problem, read_folder

_GAP = re.compile(r"\{\{c\d+::(.+?)(?:::.+?)?\}\}", re.DOTALL)
# The other packages store their content in folders with these names.
DECKS = sorted(ROOT.glob("[a-z]*/decks"))
QUESTIONS = sorted(ROOT.glob("[a-z]*/questions"))

TrainingPair = tuple[str, str]
"""A prompt and its answer."""


def read_training_pairs() -> list[TrainingPair]:
    """Read front and back of all cards except computed ones; stem, right option and idea of single choices.

    Raises ContentError with every problem in the files.
    """
    problems: list[Problem] = []
    pairs = [pair for folder in DECKS for pair in _read_card_pairs(folder, problems)]
    pairs += [pair for folder in QUESTIONS for pair in _read_question_pairs(folder, problems)]
    if problems:
        raise ContentError(problems)
    return pairs


def _read_card_pairs(folder: Path, problems: list[Problem]) -> Iterator[TrainingPair]:
    for card in _read_items(folder, "cards", kind="card", problems=problems):
        kind = card.text("kind", default="basic")
        if kind == "cloze":
            text = card.text("text")
            yield _GAP.sub("…", text), _GAP.sub(r"\1", text)
        elif kind != "numeric":  # its number is computed when it is shown, so it isn't in the file
            yield card.text("front"), card.text("back")


def _read_question_pairs(folder: Path, problems: list[Problem]) -> Iterator[TrainingPair]:
    for question in _read_items(folder, "questions", kind="question", problems=problems):
        if question.raw("kind") not in (None, "single"):
            continue  # arranging, or picking from a figure, gives no text to train on
        right = [
            option.text("text")
            for option in question.children("options", kind="option")
            if option.flag("correct")
        ]
        yield question.text("stem"), " ".join([*right, question.text("keep")])


def _read_items(folder: Path, field: str, *, kind: str, problems: list[Problem]) -> Iterator[Fields]:
    for _, file in read_folder(folder, kind="file", problems=problems):
        yield from file.children(field, kind=kind)
