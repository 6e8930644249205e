"""The question bank: YAML files of questions of all kinds, read and checked; all problems come at once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from quizzes import families
from quizzes.families.family import QuestionFamily
from quizzes.kinds import KINDS, read_task
from quizzes.kinds.matrix_shape import read_shape
from quizzes.kinds.question import Question
from study.content.concepts import ConceptMap, note_unknown_concepts
from study.content.evidence import read_checks, read_evidence_of
from study.content.yaml_reader import LEVELS, ContentError, Fields, Problem, note_repeated_ids, read_folder

QUESTIONS_DIR = Path(__file__).parents[1] / "questions"

KIND_TOPIC_PREFIX = "kinds-"
"""How the names of files begin whose topic is a kind of question."""

V = TypeVar("V")


class ByQuestion(Mapping[str, V]):
    """Values by question id. Ids of generated questions are found, but not listed."""

    def __init__(self, written: Mapping[str, V], drawn: Callable[[str], V | None]) -> None:
        self._written = written
        self._drawn = drawn

    def __getitem__(self, question_id: str) -> V:
        if question_id in self._written:
            return self._written[question_id]
        found = self._drawn(question_id)
        if found is None:
            raise KeyError(question_id)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._written)

    def __len__(self) -> int:
        return len(self._written)


@dataclass(frozen=True)
class Bank:
    """All questions, in file order; the id of a topic is its file's name."""

    questions: tuple[Question, ...]
    topics: Mapping[str, str]
    families: Mapping[str, QuestionFamily] = field(default_factory=dict)

    @cached_property
    def by_id(self) -> Mapping[str, Question]:
        """Each question by its id, including the ones that families generate."""
        draw = partial(families.find_question, families=self.families)
        return ByQuestion({question.id: question for question in self.questions}, draw)

    @cached_property
    def concepts_of(self) -> Mapping[str, tuple[str, ...]]:
        def draw(question_id: str) -> tuple[str, ...] | None:
            family = families.match_family(question_id, self.families)
            return family.concepts if family else None

        return ByQuestion({question.id: question.concepts for question in self.questions}, draw)

    def group_topics(self) -> dict[str, dict[str, str]]:
        """Group the topics under two headings: the subjects, and those that collect a kind of question."""
        kinds = {slug for slug in self.topics if slug.startswith(KIND_TOPIC_PREFIX) or slug == families.TOPIC}
        return {
            "By subject": {slug: title for slug, title in self.topics.items() if slug not in kinds},
            "By kind of question": {slug: title for slug, title in self.topics.items() if slug in kinds},
        }

    def list_matching(self, *, topic: str = "", level: str = "", concept: str = "") -> list[Question]:
        """List the written questions of a topic, a level, a concept; empty matches all."""
        wanted = {"topic": topic, "level": level, "concept": concept}
        return [question for question in self.questions if _fits(question, question.topic, **wanted)]

    def count_questions(self, topic: str) -> int:
        """Count the questions of a topic; a family counts once."""
        return len(self.families) if topic == families.TOPIC else len(self.list_matching(topic=topic))

    def build_pool(self, *, seed: int, topic: str = "", level: str = "", concept: str = "") -> list[Question]:
        """Build the matching questions, plus one of each matching family with the seed's numbers."""
        fitting = self.list_families_matching(topic=topic, level=level, concept=concept)
        drawn = [self.by_id[families.choose_variant(family, seed=seed)] for family in fitting]
        return [*self.list_matching(topic=topic, level=level, concept=concept), *drawn]

    def list_families_matching(
        self, *, topic: str = "", level: str = "", concept: str = ""
    ) -> list[QuestionFamily]:
        """List the families of a topic, a level, a concept; empty matches all."""
        wanted = {"topic": topic, "level": level, "concept": concept}
        return [family for family in self.families.values() if _fits(family, families.TOPIC, **wanted)]


def _fits(item: Question | QuestionFamily, of_topic: str, *, topic: str, level: str, concept: str) -> bool:
    """Return whether an item is of a topic, a level and about a concept; empty matches all."""
    about = not concept or concept in item.concepts
    return topic in ("", of_topic) and level in ("", item.level) and about


def load_bank(concepts: ConceptMap, *, folder: Path = QUESTIONS_DIR) -> Bank:
    """Read every question file of a folder. Raises ContentError with all problems of all files."""
    problems: list[Problem] = []
    read: list[tuple[Question, Fields]] = []
    topics: dict[str, str] = {}
    for topic, file in read_folder(folder, kind="topic", problems=problems):
        topics[topic] = file.text("topic")
        entries = file.children("questions", kind="question")
        file.close()
        read.extend((read_question(entry, topic, concepts), entry) for entry in entries)
    note_repeated_ids((question.id, fields) for question, fields in read)
    drawn = families.read_families(concepts, problems)
    if problems:
        raise ContentError(problems)
    return Bank(
        tuple(question for question, _ in read), {**topics, families.TOPIC: families.TOPIC_TITLE}, drawn
    )


def read_question(fields: Fields, topic: str, concepts: ConceptMap) -> Question:
    """Read one entry of a question file and note its problems."""
    kind = fields.choice("kind", KINDS) if fields.has("kind") else KINDS[0]
    checks = read_checks(fields)
    stem, task = read_task(fields, kind, stem=fields.text("stem"), checks=checks)
    keep, steps = fields.text("keep"), fields.texts("steps", default=())
    question = Question(
        id=fields.text("id"),
        topic=topic,
        concepts=fields.texts("concepts"),
        level=fields.choice("level", LEVELS),
        stem=stem,
        task=task,
        keep=keep,
        evidence=read_evidence_of(fields, checks, printed=" ".join([stem, keep, *steps, *task.texts])),
        hint=fields.text("hint", default=""),
        steps=steps,
        shape=read_shape(fields),
    )
    note_unknown_concepts(fields, question.concepts, concepts)
    fields.close()
    return question
