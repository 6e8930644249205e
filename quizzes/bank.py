"""The question bank: YAML files of multiple-choice questions, read and checked, all problems at once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from study.concepts import ConceptMap, note_unknown_concepts
from study.content import LEVELS, ContentError, Fields, Level, Problem, note_repeated_ids, read_mapping
from study.evidence import Evidence, read_evidence

QUESTIONS_DIR = Path(__file__).parent / "questions"
RIGHT = "right"  # the right option's id; a wrong one is known by its misconception

_MISCONCEPTION = re.compile(r"(?P<slug>[a-z0-9]+(?:-[a-z0-9]+)*): (?P<name>.+)")


@dataclass(frozen=True, kw_only=True)
class Option:
    """One choice. A wrong one is wrong for a reason, and the reason has a name."""

    id: str
    text: str
    feedback: str
    misconception: str

    @property
    def correct(self) -> bool:
        """Whether it is the right one."""
        return self.id == RIGHT


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question with exactly one right option."""

    id: str
    topic: str
    concepts: tuple[str, ...]
    level: Level
    stem: str
    options: tuple[Option, ...]
    keep: str
    evidence: Evidence

    @property
    def right(self) -> Option:
        """The right option."""
        return next(option for option in self.options if option.correct)


@dataclass(frozen=True)
class Bank:
    """All questions, in the order they are written; a topic is known by its file's name."""

    questions: tuple[Question, ...]
    topics: Mapping[str, str]

    @cached_property
    def by_id(self) -> dict[str, Question]:
        """Each question under its id."""
        return {question.id: question for question in self.questions}

    @cached_property
    def concepts_of(self) -> dict[str, tuple[str, ...]]:
        """Which concepts each question is about."""
        return {question.id: question.concepts for question in self.questions}

    def matching(self, *, topic: str = "", level: str = "", concept: str = "") -> list[Question]:
        """The questions of a topic, a level, a concept; empty means all."""
        return [
            question
            for question in self.questions
            if topic in ("", question.topic)
            and level in ("", question.level)
            and (not concept or concept in question.concepts)
        ]


def load_bank(concepts: ConceptMap, *, folder: Path = QUESTIONS_DIR) -> Bank:
    """Read every question file of a folder, or raise with all problems of all files."""
    problems: list[Problem] = []
    read: list[tuple[Question, Fields]] = []
    topics: dict[str, str] = {}
    for path in sorted(folder.glob("*.yaml")):
        file = read_mapping(path, kind="topic", problems=problems)
        if file is None:
            continue
        topics[path.stem] = file.text("topic")
        entries = file.children("questions", kind="question")
        file.close()
        read.extend((_read_question(entry, path.stem, concepts), entry) for entry in entries)
    note_repeated_ids((question.id, fields) for question, fields in read)
    if problems:
        raise ContentError(problems)
    return Bank(tuple(question for question, _ in read), topics)


def _read_question(fields: Fields, topic: str, concepts: ConceptMap) -> Question:
    stem, keep = fields.text("stem"), fields.text("keep")
    options = tuple(_read_option(entry) for entry in fields.children("options", kind="option"))
    texts = [stem, keep, *(f"{option.text} {option.feedback}" for option in options)]
    question = Question(
        id=fields.text("id"),
        topic=topic,
        concepts=fields.texts("concepts"),
        level=fields.choice("level", LEVELS),
        stem=stem,
        options=options,
        keep=keep,
        evidence=read_evidence(fields, printed=" ".join(texts)),
    )
    note_unknown_concepts(fields, question.concepts, concepts)
    _note_option_problems(fields, options)
    fields.close()
    return question


def _read_option(fields: Fields) -> Option:
    correct = fields.flag("correct")
    written = fields.text("misconception", default="")
    named = _MISCONCEPTION.fullmatch(written)
    if correct and written:
        fields.note("the right option cannot have a misconception")
    if not correct and named is None:
        fields.note(f'a wrong option needs `misconception: "slug: short name"`, got {written!r}')
    option = Option(
        id=RIGHT if correct else named["slug"] if named else "",
        text=fields.text("text"),
        feedback=fields.text("feedback"),
        misconception=named["name"] if named else "",
    )
    fields.close()
    return option


def _note_option_problems(fields: Fields, options: tuple[Option, ...]) -> None:
    ids = [option.id for option in options]
    if not 3 <= len(options) <= 4:
        fields.note(f"needs 3 or 4 options, got {len(options)}")
    if ids.count(RIGHT) != 1:
        fields.note(f"needs exactly one right option, got {ids.count(RIGHT)}")
    if len(set(ids)) != len(ids):
        fields.note("two options share a misconception, so answers could not be told apart")
    if len({option.text for option in options}) != len(options):
        fields.note("two options read the same")
