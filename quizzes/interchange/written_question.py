"""Questions that the learner writes in the app, into a topic of their own. Each takes the importer's path."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from quizzes.interchange.entry import QuestionEntry
from quizzes.interchange.exchange import QuestionExchange
from quizzes.interchange.schema import write_questions
from quizzes.kinds.question import Question
from study.content.user_files import as_bytes, find_key_of_title
from study.io.apply_import import Imports
from study.io.exchange import File
from study.io.written_item import add_written, find_free_id, find_text_problem, quote_item
from study.text.html_import import normalize_html

TOPIC = "Your own questions"
WRONG = tuple(f"wrong-{number}" for number in range(1, 6))
OPTIONS = ("right", *WRONG)
TEXTS = ("stem", *(name for option in OPTIONS for name in (option, f"{option}-why")), "keep")
FIELDS = (*TEXTS, "concept")
REQUIRED = {"stem": "The question is empty.", "right": "The right answer is empty."}


@dataclass(frozen=True, kw_only=True)
class QuestionWriter:
    """Writes questions of the learner's own. Each is one import, and is undone like one."""

    exchange: QuestionExchange
    imports: Imports

    @property
    def topic(self) -> str:
        """The id of the topic that written questions go to."""
        return find_key_of_title(TOPIC, self.exchange.bank.topics)

    def find_problems(self, typed: Mapping[str, str]) -> dict[str, str]:
        """Return what is wrong with each text, as a sentence; one that is right is left out."""
        found = {name: find_text_problem(typed[name]) for name in TEXTS}
        found |= {name: problem for name, problem in REQUIRED.items() if not typed[name]}
        if not any(typed[name] for name in WRONG):
            found[WRONG[0]] = "A choice needs at least one wrong answer."
        for option in WRONG:
            if typed[f"{option}-why"] and not typed[option]:
                found[option] = "There is feedback for this wrong answer, but the answer is empty."
        given: set[str] = set()
        for option in (name for name in OPTIONS if typed[name]):
            if typed[option] in given:
                found[option] = "This answer is there twice."
            given.add(typed[option])
        if not found["stem"] and self._has_stem(typed["stem"]):
            found["stem"] = "You have already written this question. Change its words."
        return {name: found[name] for name in TEXTS if found[name]}

    def write(
        self, profile_id: str, typed: Mapping[str, str], *, may_change_files: bool, now: datetime
    ) -> tuple[str, int]:
        """Store a question; return its id and its import's. Raises LearnerError if it can't be stored."""
        answered = {answer.question_id for answer in self.imports.store.quizzes.history(profile_id)}
        taken = {*self.exchange.bank.by_id, *answered}
        question_id = find_free_id(f"{TOPIC} {typed['stem']}", taken, otherwise="question")
        entry = QuestionEntry(topic=TOPIC, fields={"id": question_id, **_build_fields(typed)})
        import_id = add_written(
            profile_id,
            File(name="question.json", content=as_bytes(write_questions(TOPIC, [entry]))),
            self.exchange,
            self.imports,
            called=f"question {quote_item(typed['stem'])}",
            may_change_files=may_change_files,
            now=now,
        )
        return question_id, import_id

    def read_typed(self, question_id: str) -> dict[str, str]:
        """Return the fields of the form from which a question was made; empty for one that is gone."""
        question = self.exchange.bank.by_id.get(question_id)
        return _list_typed(question) if question is not None else {}

    def _has_stem(self, stem: str) -> bool:
        bank, shown = self.exchange.bank, normalize_html(stem)
        written = (question for question in bank.questions if question.topic == self.topic)
        return any(normalize_html(question.stem) == shown for question in written)


def _build_fields(typed: Mapping[str, str]) -> dict[str, Any]:
    options = []
    for name in (name for name in OPTIONS if typed[name]):
        right: dict[str, Any] = {"correct": True} if name == "right" else {}
        why = {"feedback": typed[f"{name}-why"]} if typed[f"{name}-why"] else {}
        options.append({"text": typed[name], **right, **why})
    keep = {"keep": typed["keep"]} if typed["keep"] else {}
    concepts = [typed["concept"]] if typed["concept"] else []
    return {"concepts": concepts, "level": "beginner", "stem": typed["stem"], "options": options, **keep}


def _list_typed(question: Question) -> dict[str, str]:
    options = getattr(question.task, "options", ())
    right = [option for option in options if option.correct]
    wrong = [option for option in options if not option.correct]
    typed = {"stem": question.stem, "keep": question.keep, "concept": next(iter(question.concepts), "")}
    for name, option in zip(OPTIONS, [*right[:1], *wrong], strict=False):
        typed |= {name: option.text, f"{name}-why": option.feedback}
    return typed
