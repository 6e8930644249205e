"""The Quiz page: choose, answer, read the feedback, see what to review."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from quizzes.bank import Question
from quizzes.exercise import QuizExercise
from quizzes.session import SEEDS, USUAL_LENGTH, by_concept
from quizzes.sittings import QuizChoice, new_seed
from study import events, frame
from study.content import LEVELS
from study.context import Context, Visit
from study.errors import LearnerError, StaleError
from study.frame import Reply
from study.stations import Piece
from study.store.quizzes import QuizRecord
from study.templates import render

LENGTHS = (5, 10, 20)


def build(app: gr.Blocks, context: Context, exercise: QuizExercise) -> None:
    """Add the page to the app."""
    page = QuizPage(context=context, exercise=exercise)
    with frame.page(app, context, title="Quiz", path="/quiz"):
        frame.island(page.act, page.load, "quiz", waiting=frame.waiting("Quiz"))


@dataclass(frozen=True, kw_only=True)
class QuizPage:
    """Handlers of the Quiz page.

    The address holds the choice and the seed, so it can be shared; the log holds the answers. Opening an
    address goes on with the newest quiz that was drawn by it, or offers to start one.
    """

    context: Context
    exercise: QuizExercise

    def load(self, request: gr.Request) -> str:
        """Wherever the address leads."""
        visit = frame.visit_of(self.context, request)
        choice = _choice_of(visit.query)
        if choice is None:
            return self._chooser(visit)
        record = self.exercise.sittings.newest(visit.profile.id, choice)
        if record is None:
            return self._chooser(visit, shared=choice)
        return self._onward(visit, record, choice).get("html", "")

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """One press."""
        visit = frame.visit_of(self.context, request, event)
        match event.get("act"):
            case "start":
                return self._start(visit, self._chosen(event))
            case "again":
                return self._start(visit, _named(visit))
            case "answer":
                return self._answer(visit, event)
            case "next":
                return self._next(visit)
        raise LearnerError(f"This page has no {event.get('act')!r}.", do_next="Reload the page.")

    def _answer(self, visit: Visit, event: dict[str, Any]) -> Reply:
        try:
            return self._wrap(self.exercise.answer(visit, event))
        except StaleError as stale:
            return {**self._next(visit), "error": str(stale)}

    def _next(self, visit: Visit) -> Reply:
        choice = _named(visit)
        record = self.exercise.sittings.newest(visit.profile.id, choice)
        return self._onward(visit, record, choice) if record else {"goto": _address(choice)}

    def _chosen(self, event: Mapping[str, Any]) -> QuizChoice:
        seed = events.field(event, "seed")
        return QuizChoice(
            topic=events.field(event, "topic"),
            level=events.field(event, "level"),
            concept=events.field(event, "concept"),
            length=events.number(events.field(event, "length"), default=USUAL_LENGTH, low=1, high=50),
            seed=events.number(seed, default=new_seed(self.context.dice), low=0, high=SEEDS - 1),
        )

    def _start(self, visit: Visit, choice: QuizChoice) -> Reply:
        record = self.exercise.sittings.start(visit.profile.id, choice, now=visit.now)
        return {**self._onward(visit, record, choice), "url": _address(choice)}

    def _onward(self, visit: Visit, record: QuizRecord, choice: QuizChoice) -> Reply:
        position = self.exercise.sittings.position(record)
        if position.question is None:
            return self._summary(record, choice)
        piece = self.exercise.question(
            visit, record, position.question, number=position.number, total=position.total
        )
        return self._wrap(piece)

    def _wrap(self, piece: Piece) -> Reply:
        return {
            "html": render("quizzes/quiz.html", piece=piece.html),
            "say": piece.say,
            "focus": piece.focus,
        }

    def _summary(self, record: QuizRecord, choice: QuizChoice) -> Reply:
        sittings = self.exercise.sittings
        position = sittings.position(record)
        missed = [sittings.bank.by_id[a.question_id] for a in position.answered.values() if not a.correct]
        html = render(
            "quizzes/summary.html",
            position=position,
            scores=by_concept(sittings.bank, position.answered.values()),
            missed=missed,
            choice=choice,
            concepts=self.context.concepts,
        )
        return {
            "html": html,
            "say": f"Quiz done: {position.right} of {position.total} right.",
            "focus": "#main",
        }

    def _chooser(self, visit: Visit, *, shared: QuizChoice | None = None) -> str:
        bank = self.exercise.sittings.bank
        concept = visit.query.get("concept", "")
        return render(
            "quizzes/choose.html",
            topics=bank.topics,
            levels=LEVELS,
            lengths=LENGTHS,
            usual=USUAL_LENGTH,
            bank=bank,
            shared=shared,
            concept=concept,
            concept_name=self.context.concepts.name(concept) if concept else "",
            asked_topic=visit.query.get("topic", ""),
            unfinished=self._unfinished(visit),
            shared_count=min(shared.length, len(self._pool(shared))) if shared else 0,
        )

    def _unfinished(self, visit: Visit) -> dict[str, Any] | None:
        found = self.exercise.sittings.unfinished(visit.profile.id)
        return {"address": _address(found[0]), "position": found[1]} if found else None

    def _pool(self, choice: QuizChoice) -> list[Question]:
        bank = self.exercise.sittings.bank
        return bank.matching(topic=choice.topic, level=choice.level, concept=choice.concept)


def _named(visit: Visit) -> QuizChoice:
    choice = _choice_of(visit.query)
    if choice is None:
        raise LearnerError("This address names no quiz.", do_next="Start one from the Quiz page.")
    return choice


def _choice_of(query: Mapping[str, str]) -> QuizChoice | None:
    """The quiz that an address names; one without a seed names none."""
    if not query.get("seed", "").isdecimal():
        return None
    return QuizChoice(
        topic=query.get("topic", "")[:120],
        level=query.get("level", "")[:120],
        concept=query.get("concept", "")[:120],
        length=events.number(query.get("n", ""), default=USUAL_LENGTH, low=1, high=50),
        seed=events.number(query["seed"], default=0, low=0, high=SEEDS - 1),
    )


def _address(choice: QuizChoice) -> str:
    named = {"topic": choice.topic, "level": choice.level, "concept": choice.concept}
    chosen = {name: value for name, value in named.items() if value}
    return "/quiz?" + urlencode({**chosen, "n": choice.length, "seed": choice.seed})
