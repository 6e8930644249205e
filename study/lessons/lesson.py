"""The texts of a concept's study modes: one YAML file per concept in `lessons/`, read on first use."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from study.base.errors import LearnerError
from study.content.concepts import ConceptMap
from study.content.yaml_reader import ContentError, Fields, Problem, read_mapping
from study.text.computed_text import problems_of

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
PROJECT_IDS: tuple[ProjectId, ...] = get_args(ProjectId)

PARAGRAPHS = (4, 8)
MEASURES = (2, 4)

Preset = Mapping[str, Any]
"""Settings of a training run, by name; the lab checks whether they are valid."""

CheckPreset = Callable[[Preset], object]
"""A function that raises LearnerError on a preset that isn't a valid run."""


@dataclass(frozen=True, kw_only=True)
class Learn:
    """The explanation."""

    minutes: int
    takeaway: str
    paragraphs: tuple[str, ...]
    picture: str
    breaks: str
    """Where the analogy stops being true."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A few lines of code or numbers under a title."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Why:
    """The purpose of the concept."""

    minutes: int
    problem: str
    before: str
    change: str
    not_when: str
    compare: tuple[Listing, ...]


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """One step of the derivation, with the shapes of its symbols."""

    text: str
    formula: str
    shapes: str


@dataclass(frozen=True, kw_only=True)
class Deep:
    """The derivation."""

    minutes: int
    steps: tuple[Derivation, ...]
    references: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Visualize:
    """A live figure, what to move and what to notice."""

    minutes: int
    figure: str
    do: str
    notice: str


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A quantity to measure, and how to read it."""

    what: str
    good: str
    bad: str
    pitfall: str


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The quantities to measure."""

    minutes: int
    measures: tuple[Measure, ...]
    run: str
    """What a real training run showed."""


@dataclass(frozen=True, kw_only=True)
class Try:
    """A training run that shows the concept."""

    minutes: int
    preset: Preset
    watch: str


@dataclass(frozen=True, kw_only=True)
class ProjectPart:
    """This concept's question in a project."""

    minutes: int
    project: ProjectId
    question: str


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
    if fields.text("concept") != concept_id:
        fields.note(f"`concept` must be the name of the file, {concept_id}")
    lesson = Lesson(
        concept=concept_id,
        sources=_read_sources(fields),
        learn=_read_learn(_read_part(fields, "learn")),
        why=_read_why(_read_part(fields, "why")),
        deep=_read_deep(_read_part(fields, "deep")),
        visualize=_read_visualize(_read_part(fields, "visualize")),
        metrics=_read_metrics(_read_part(fields, "metrics")),
        try_it=_read_try(_read_part(fields, "try"), check_preset),
        project=_read_project(_read_part(fields, "project")),
    )
    fields.close()
    return lesson


def _read_part(fields: Fields, name: str) -> Fields:
    return fields.needed_child(name, kind=name)


def _read_sources(fields: Fields) -> tuple[str, ...]:
    return fields.texts("source") if isinstance(fields.peek("source"), list) else (fields.text("source"),)


def _read_learn(part: Fields) -> Learn:
    made = Learn(
        minutes=_read_minutes(part),
        takeaway=_read_text(part, "takeaway"),
        paragraphs=_read_texts(part, "paragraphs"),
        picture=_read_text(part, "picture"),
        breaks=_read_text(part, "breaks"),
    )
    _note_count(part, "paragraphs", len(made.paragraphs), PARAGRAPHS)
    part.close()
    return made


def _read_why(part: Fields) -> Why:
    made = Why(
        minutes=_read_minutes(part),
        problem=_read_text(part, "problem"),
        before=_read_text(part, "before"),
        change=_read_text(part, "change"),
        not_when=_read_text(part, "not_when"),
        compare=tuple(_read_listing(each) for each in part.children("compare", kind="listing")),
    )
    part.close()
    return made


def _read_listing(entry: Fields) -> Listing:
    # Lines of code keep their spaces.
    made = Listing(title=_read_text(entry, "title"), lines=entry.texts("lines"))
    for line in made.lines:
        _note_problems(entry, "lines", line)
    entry.close()
    return made


def _read_deep(part: Fields) -> Deep:
    made = Deep(
        minutes=_read_minutes(part),
        steps=tuple(_read_derivation(each) for each in part.children("steps", kind="step")),
        references=part.texts("references"),
    )
    if not made.references:
        part.note("`references` must name at least one source")
    part.close()
    return made


def _read_derivation(entry: Fields) -> Derivation:
    made = Derivation(
        text=_read_text(entry, "text"),
        formula=_read_text(entry, "formula"),
        shapes=_read_text(entry, "shapes"),
    )
    entry.close()
    return made


def _read_visualize(part: Fields) -> Visualize:
    made = Visualize(
        minutes=_read_minutes(part),
        figure=part.text("figure"),
        do=_read_text(part, "do"),
        notice=_read_text(part, "notice"),
    )
    part.close()
    return made


def _read_metrics(part: Fields) -> Metrics:
    made = Metrics(
        minutes=_read_minutes(part),
        measures=tuple(_read_measure(each) for each in part.children("measures", kind="measure")),
        run=_read_text(part, "run"),
    )
    _note_count(part, "measures", len(made.measures), MEASURES)
    part.close()
    return made


def _read_measure(entry: Fields) -> Measure:
    made = Measure(**{name: _read_text(entry, name) for name in ("what", "good", "bad", "pitfall")})
    entry.close()
    return made


def _read_try(part: Fields, check_preset: CheckPreset) -> Try:
    preset = part.raw("preset")
    if not isinstance(preset, dict):
        part.note(f"`preset` must be a mapping, got {preset!r}")
        preset = {}
    try:
        check_preset(dict(preset))
    except LearnerError as error:
        part.note(f"`preset` isn't a run: {error.what}")
    made = Try(minutes=_read_minutes(part), preset=dict(preset), watch=_read_text(part, "watch"))
    part.close()
    return made


def _read_project(part: Fields) -> ProjectPart:
    made = ProjectPart(
        minutes=_read_minutes(part),
        project=part.choice("project", PROJECT_IDS),
        question=_read_text(part, "question"),
    )
    part.close()
    return made


def _read_minutes(part: Fields) -> int:
    value = part.raw("minutes")
    if not isinstance(value, int) or not 1 <= value <= 60:
        part.note(f"`minutes` must be a whole number from 1 to 60, got {value!r}")
        return 1
    return value


def _read_text(fields: Fields, name: str) -> str:
    text = fields.text(name)
    _note_problems(fields, name, text)
    return text


def _read_texts(fields: Fields, name: str) -> tuple[str, ...]:
    texts = tuple(" ".join(text.split()) for text in fields.texts(name))
    for text in texts:
        _note_problems(fields, name, text)
    return texts


def _note_problems(fields: Fields, name: str, text: str) -> None:
    for problem in problems_of(text):
        fields.note(f"`{name}`: {problem}")


def _note_count(part: Fields, name: str, count: int, limits: tuple[int, int]) -> None:
    low, high = limits
    if not low <= count <= high:
        part.note(f"`{name}` must have {low} to {high} entries, got {count}")
