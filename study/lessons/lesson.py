"""The texts of a concept's study modes: one YAML file per concept in `lessons/`, read on first use."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from study.base.errors import LearnerError
from study.content.concepts import ConceptMap
from study.content.declared import read_declared
from study.content.yaml_reader import ContentError, Fields, Problem, read_mapping
from study.text.computed_text import find_problems

LESSONS_DIR = Path(__file__).parent

ProjectId = Literal[
    "does-rank-matter",
    "what-does-4-bit-cost",
    "where-does-memory-go",
    "which-layers",
    "learning-rate-or-rank",
    "forgetting",
    "merge-it",
    "break-and-mend",
]

PARAGRAPHS = (4, 8)
MEASURES = (2, 4)

Preset = Mapping[str, Any]
"""Settings of a training run, by name; the lab checks whether they are valid."""

CheckPreset = Callable[[Preset], object]
"""A function that raises LearnerError on a preset that isn't a valid run."""


def _read_minutes(fields: Fields, name: str) -> int:
    value = fields.raw(name)
    if not isinstance(value, int) or not 1 <= value <= 60:
        fields.note(f"`{name}` must be a whole number from 1 to 60, got {value!r}")
        return 1
    return value


def _read_words(fields: Fields, name: str) -> str:
    text = fields.text(name)
    _note_numbers(fields, name, text)
    return text


def _read_paragraphs(fields: Fields, name: str) -> tuple[str, ...]:
    texts = tuple(" ".join(text.split()) for text in fields.texts(name))
    for text in texts:
        _note_numbers(fields, name, text)
    return texts


def read_sources(fields: Fields) -> tuple[str, ...]:
    """Read the sources of a lesson's texts: one text, or a list."""
    return fields.texts("source") if isinstance(fields.peek("source"), list) else (fields.text("source"),)


def _note_numbers(fields: Fields, name: str, text: str) -> None:
    for problem in find_problems(text):
        fields.note(f"`{name}`: {problem}")


def _note_count(fields: Fields, name: str, entries: Sequence[object], limits: tuple[int, int]) -> None:
    low, high = limits
    if not low <= len(entries) <= high:
        fields.note(f"`{name}` must have {low} to {high} entries, got {len(entries)}")


Minutes = Annotated[int, _read_minutes]
Words = Annotated[str, _read_words]
"""A text whose numbers are computed where they stand."""


@dataclass(frozen=True, kw_only=True)
class Learn:
    """The explanation."""

    minutes: Minutes
    takeaway: Words
    paragraphs: Annotated[tuple[str, ...], _read_paragraphs]
    picture: Words
    breaks: Words
    """Where the analogy stops being true."""

    def note_problems(self, fields: Fields) -> None:
        """Note an explanation that is too short or too long."""
        _note_count(fields, "paragraphs", self.paragraphs, PARAGRAPHS)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A few lines of code or numbers under a title."""

    title: Words
    lines: tuple[str, ...]
    """Lines of code keep their spaces."""

    def note_problems(self, fields: Fields) -> None:
        """Note numbers that can't be computed."""
        for line in self.lines:
            _note_numbers(fields, "lines", line)


@dataclass(frozen=True, kw_only=True)
class Why:
    """The purpose of the concept."""

    minutes: Minutes
    problem: Words
    before: Words
    change: Words
    not_when: Words
    compare: tuple[Listing, ...]


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """One step of the derivation, with the shapes of its symbols."""

    text: Words
    formula: Words
    shapes: Words


@dataclass(frozen=True, kw_only=True)
class Deep:
    """The derivation."""

    minutes: Minutes
    steps: tuple[Derivation, ...]
    references: tuple[str, ...]

    def note_problems(self, fields: Fields) -> None:
        """Note a derivation without a source."""
        if not self.references:
            fields.note("`references` must name at least one source")


@dataclass(frozen=True, kw_only=True)
class Visualize:
    """A live figure, what to move and what to notice."""

    minutes: Minutes
    figure: str
    do: Words
    notice: Words


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A quantity to measure, and how to read it."""

    what: Words
    good: Words
    bad: Words
    pitfall: Words


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The quantities to measure."""

    minutes: Minutes
    measures: tuple[Measure, ...]
    run: Words
    """What a real training run showed."""

    def note_problems(self, fields: Fields) -> None:
        """Note too few or too many measures."""
        _note_count(fields, "measures", self.measures, MEASURES)


@dataclass(frozen=True, kw_only=True)
class Try:
    """A training run that shows the concept."""

    minutes: Minutes
    preset: Preset
    watch: Words


@dataclass(frozen=True, kw_only=True)
class ProjectPart:
    """This concept's question in a project."""

    minutes: Minutes
    project: ProjectId
    question: Words


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """The texts of one concept."""

    concept: str
    sources: tuple[str, ...]
    learn: Learn
    why: Why
    deep: Deep
    visualize: Visualize
    metrics: Metrics
    try_it: Try
    project: ProjectPart


@dataclass
class Lessons:
    """All lessons, each read and checked when its page is first opened, because reading all takes seconds."""

    concepts: ConceptMap
    check_preset: CheckPreset
    folder: Path = LESSONS_DIR
    _read: dict[str, Lesson | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, concept_id: str) -> Lesson | None:
        """Return the lesson of a concept; None without one. Raises ContentError with all its problems."""
        with self._lock:
            if concept_id not in self._read:
                path = self.folder / f"{concept_id}.yaml"
                known = concept_id in self.concepts.by_id and path.is_file()
                self._read[concept_id] = read_lesson(path, self.check_preset) if known else None
            return self._read[concept_id]


def read_lesson(path: Path, check_preset: CheckPreset) -> Lesson:
    """Read one file. Raises ContentError with every problem, including numbers that can't be computed."""
    problems: list[Problem] = []
    fields = read_mapping(path, kind="lesson", problems=problems)
    lesson = _read_lesson(fields, path.stem, check_preset) if fields else None
    if problems or lesson is None:
        raise ContentError(problems)
    return lesson


def _read_lesson(fields: Fields, concept_id: str, check_preset: CheckPreset) -> Lesson:
    preset = _read_try(fields.read_child("try", kind="try"), check_preset)
    lesson = read_declared(fields, Lesson, sources=read_sources(fields), try_it=preset)
    if lesson.concept != concept_id:
        fields.note(f"`concept` must be the name of the file, {concept_id}")
    return lesson


def _read_try(fields: Fields, check_preset: CheckPreset) -> Try:
    preset = fields.raw("preset")
    if not isinstance(preset, dict):
        fields.note(f"`preset` must be a mapping, got {preset!r}")
        preset = {}
    try:
        check_preset(dict(preset))
    except LearnerError as error:
        fields.note(f"`preset` isn't a run: {error.what}")
    return read_declared(fields, Try, preset=dict(preset))
