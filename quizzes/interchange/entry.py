"""A question between two formats: the fields of a question file, whatever the kind."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from quizzes.bank.bank import Bank
from quizzes.kinds import Task
from quizzes.kinds.arranging import Matching, Ordering
from quizzes.kinds.charts import ReadChart
from quizzes.kinds.choices import UNSAID, Multiple, Option, Single, TrueFalse
from quizzes.kinds.lines import FindTheError
from quizzes.kinds.numeric import Numeric, NumericMistake
from quizzes.kinds.question import Question
from quizzes.kinds.words import Cloze, ShortText, TextMistake
from study.base.checks import Check
from study.content.user_files import number_ids
from study.io.exchange import ImportEntry
from study.text.html_import import normalize_html

OWN = "your own question"  # the source of a question that names none

Fields = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class QuestionEntry:
    topic: str
    """The topic's title."""

    fields: Fields
    line: int = field(default=0, compare=False)

    @property
    def id(self) -> str:
        """The id; empty if the format has none."""
        return str(self.fields.get("id", ""))

    @property
    def kind(self) -> str:
        """The kind, as in `quizzes.kinds`."""
        return str(self.fields.get("kind", "single"))

    def text(self, name: str) -> str:
        """Return a text field; empty if it is missing."""
        return str(self.fields.get(name, ""))

    def children(self, name: str) -> list[Fields]:
        """Return a list of mappings; empty if it is missing."""
        return [child for child in self._list(name) if isinstance(child, Mapping)]

    def texts(self, name: str) -> list[str]:
        """Return a list of texts; empty if it is missing."""
        return [str(item) for item in self._list(name)]

    def _list(self, name: str) -> list[Any]:
        found = self.fields.get(name)
        return list(found) if isinstance(found, list | tuple) else []

    def collect_content(self) -> Any:
        """Collect the content to compare: normalized fields without check, id and source."""
        shown = {name: value for name, value in self.fields.items() if name not in ("check", "id", "source")}
        return _as_html(shown)


@dataclass(frozen=True, kw_only=True)
class QuestionReading:
    """The contents of a file: questions, rejected entries, and notes for the learner."""

    entries: tuple[QuestionEntry, ...] = ()
    rejected: tuple[ImportEntry, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """The text of a file, and the questions that its format has no form for."""

    text: str
    left_out: tuple[QuestionEntry, ...] = ()


def to_entries(bank: Bank) -> list[QuestionEntry]:
    """Convert all written questions; families are left out, because their questions vary by seed."""
    topics = bank.topics
    return [to_entry(question, topics[question.topic]) for question in bank.questions]


def to_entry(question: Question, topic: str) -> QuestionEntry:
    task = question.task
    stem = _cloze_stem(task) if isinstance(task, Cloze) else question.stem
    fields: dict[str, Any] = {
        "id": question.id,
        "kind": question.kind,
        "concepts": list(question.concepts),
        "level": question.level,
        "stem": stem,
        **_write_task(task),
        "keep": question.keep,
        "hint": question.hint,
        "steps": list(question.steps),
        "shape": asdict(question.shape) if question.shape else "",
        "source": question.evidence.source,
        "check": [_write_check(check) for check in question.evidence.checks],
    }
    return QuestionEntry(
        topic=topic, fields={name: value for name, value in fields.items() if value not in ("", [])}
    )


def assign_ids(entries: Sequence[QuestionEntry]) -> list[QuestionEntry]:
    """Return the entries with ids; a missing id is made from the topic and the first words."""
    wanted = ((entry.id, f"{entry.topic} {entry.text('stem')}") for entry in entries)
    ids = number_ids(wanted, otherwise="question")
    return [
        replace(entry, fields={**entry.fields, "id": id_}) for entry, id_ in zip(entries, ids, strict=True)
    ]


def complete_fields(fields: Fields) -> dict[str, Any]:
    """Add what other programs do not ask for: ids, and names of the misconceptions behind distractors."""
    whole = {"concepts": [], "level": "beginner", "source": OWN, **fields}
    for name in ("options", "reasons"):
        if isinstance(fields.get(name), Sequence) and not isinstance(fields[name], str):
            several = whole.get("kind") == "multiple"
            whole[name] = [
                _write_option(option, number, several) for number, option in enumerate(fields[name], 1)
            ]
    for name, kind in (("pairs", "pair"), ("others", "other"), ("items", "item"), ("lines", "line")):
        if isinstance(fields.get(name), Sequence) and not isinstance(fields[name], str):
            whole[name] = [
                {"id": f"{kind}-{number}", **child} if isinstance(child, Mapping) else child
                for number, child in enumerate(fields[name], 1)
            ]
    return whole


def _write_option(option: Any, number: int, several: bool) -> Any:
    if not isinstance(option, Mapping):
        return option
    if option.get("correct"):
        return {"id": f"right-{number}", **option} if several else option
    return {"misconception": f"wrong-{number}: {UNSAID}", **option}


def _write_task(task: Task) -> dict[str, Any]:
    match task:
        case Single() | Multiple():
            several = isinstance(task, Multiple)
            return {"options": [_write_options(option, several=several) for option in task.options]}
        case TrueFalse():
            reasons = [_write_options(option) for option in task.options]
            return {"answer": task.truth, "feedback": task.feedback, "reasons": reasons}
        case Numeric():
            slips = [{"value": slip.value, **_write_mistake(slip)} for slip in task.slips]
            return {**vars(task), "slips": slips}
        case ShortText():
            mistakes = [{"texts": list(each.texts), **_write_mistake(each)} for each in task.mistakes]
            return {"accept": list(task.accept), "feedback": task.feedback, "mistakes": mistakes}
        case Matching():
            return _write_matching(task)
        case Ordering():
            return {"items": [_write_item(item) for item in task.items]}
        case Cloze():
            return {"feedback": [blank.feedback for blank in task.blanks]}
        case FindTheError():
            lines = [_write_item(line) | ({"fix": line.fix} if line.error else {}) for line in task.lines]
            return {"lines": lines}
        case ReadChart():
            return _write_task(task.asked)


def _write_mistake(mistake: NumericMistake | TextMistake) -> dict[str, Any]:
    return {"misconception": f"{mistake.id}: {mistake.misconception}", "feedback": mistake.feedback}


def _write_matching(task: Matching) -> dict[str, Any]:
    by_id = {choice.id: choice for choice in task.choices}
    paired = {pair.choice for pair in task.pairs}
    return {
        "pairs": [
            {"id": p.id, "left": p.left, "right": by_id[p.choice].text, "feedback": by_id[p.choice].feedback}
            for p in task.pairs
        ],
        "others": [_write_item(choice) for choice in task.choices if choice.id not in paired],
    }


def _cloze_stem(task: Cloze) -> str:
    blanks = [f"{{{{{'|'.join(blank.accept)}}}}}" for blank in task.blanks]
    return "".join(text + blank for text, blank in zip(task.segments, [*blanks, ""], strict=True))


def _write_options(option: Option, *, several: bool = False) -> dict[str, Any]:
    named: dict[str, Any] = {"misconception": f"{option.id}: {option.misconception}"}
    if option.correct:
        named = {"correct": True, **({"id": option.id} if several else {})}
    return {"text": option.text, **named, "feedback": option.feedback}


def _write_item(item: Any) -> dict[str, Any]:
    return {"id": item.id, "text": item.text, "feedback": item.feedback}


def _write_check(check: Check) -> dict[str, Any]:
    expected = {"expect": check.expect, "tolerance": check.tolerance}
    return {"quantity": check.quantity, **check.arguments, **expected}


def _as_html(value: Any) -> Any:
    """Convert texts to normalized HTML, because some formats keep only HTML; other values stay."""
    if isinstance(value, str):
        return normalize_html(re.sub(r"\s+", " ", value))
    if isinstance(value, Mapping):
        return {name: _as_html(inside) for name, inside in value.items() if inside not in ("", [])}
    if isinstance(value, list | tuple):
        return [_as_html(inside) for inside in value]
    return value
