"""The Quiz page: choose, answer, read the feedback, see what to review."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from quizzes.exercise import QuizExercise
from quizzes.session import SEEDS, USUAL_LENGTH, by_concept, draw
from quizzes.sittings import QuizChoice, new_seed
from study import events, frame
from study.content import LEVELS
from study.context import Context, Visit
from study.errors import LearnerError
from study.frame import Reply
from study.stations import Piece
from study.store.quizzes import QuizRecord
from study.templates import render

LENGTHS = (5, 10, 20)
REMEMBERED_SESSIONS = 50  # how far back the address of a quiz is looked up


def build(app: gr.Blocks, context: Context, exercise: QuizExercise) -> None:
    """Add the page to the app."""
    page = QuizPage(context=context, exercise=exercise)
    with frame.page(app, context, title="Quiz", path="/quiz"):
        frame.island(page.act, page.load, "quiz", waiting=frame.waiting("Quiz"))


@dataclass(frozen=True, kw_only=True)
class QuizPage:
    """Handlers of the Quiz page.

    The address holds the choice and the seed, so it can be shared; the log holds the answers. Opening an address
    goes on with the newest session that drew the same questions, or offers to start one.
    """

    context: Context
    exercise: QuizExercise

    def load(self, request: gr.Request) -> str:
        """Wherever the address leads."""
        visit = frame.visit_of(self.context, request)
        choice = _choice_of(visit.query)
        if choice is None:
            return self._chooser(visit)
        record = self._session_of(visit, choice)
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
                return self._start(visit, _known(_choice_of(visit.query)))
            case "answer":
                return self._wrap(self.exercise.answer(visit, event))
            case "next":
                choice = _known(_choice_of(visit.query))
                return self._onward(visit, _known(self._session_of(visit, choice)), choice)
        raise LearnerError(f"This page has no {event.get('act')!r}.", do_next="Reload the page.")

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
            shared_count=len(self._drawn(shared)) if shared else 0,
            concept=concept,
            concept_name=self.context.concepts.name(concept) if concept else "",
            asked_topic=visit.query.get("topic", ""),
            unfinished=self._unfinished(visit),
        )

    def _unfinished(self, visit: Visit) -> dict[str, Any] | None:
        for record in self.exercise.sittings.store.quizzes.latest(visit.profile.id, limit=1):
            position = self.exercise.sittings.position(record)
            if position.question is not None and position.answered:
                return {"record": record, "position": position}
        return None

    def _drawn(self, choice: QuizChoice) -> tuple[str, ...]:
        pool = self.exercise.sittings.bank.matching(topic=choice.topic, level=choice.level, concept=choice.concept)
        return tuple(question.id for question in draw(pool, seed=choice.seed, length=choice.length))

    def _session_of(self, visit: Visit, choice: QuizChoice) -> QuizRecord | None:
        drawn = self._drawn(choice)
        records = self.exercise.sittings.store.quizzes.latest(visit.profile.id, limit=REMEMBERED_SESSIONS)
        same = [record for record in records if record.seed == choice.seed and record.question_ids == drawn]
        return same[0] if same else None


def _choice_of(query: Mapping[str, str]) -> QuizChoice | None:
    """The quiz that an address names; one without a seed names none."""
    if not query.get("seed", "").isdecimal():
        return None
    choice = QuizChoice(
        length=events.number(query.get("n", ""), default=USUAL_LENGTH, low=1, high=50),
        seed=events.number(query["seed"], default=0, low=0, high=SEEDS - 1),
    )
    return replace(choice, **{name: query.get(name, "")[:120] for name in ("topic", "level", "concept")})


def _address(choice: QuizChoice) -> str:
    named = {"topic": choice.topic, "level": choice.level, "concept": choice.concept}
    chosen = {name: value for name, value in named.items() if value}
    return "/quiz?" + urlencode({**chosen, "n": choice.length, "seed": choice.seed})
