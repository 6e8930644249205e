"""A question as it is shown: the options, then feedback. What an answer does to the log."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from quizzes.bank import Option, Question, load_bank
from quizzes.session import draw, options_in_order
from quizzes.sittings import Sittings
from study import events
from study.concepts import ConceptMap
from study.context import Context, Visit
from study.errors import LearnerError
from study.markup import to_plain
from study.progress import typical_seconds
from study.stations import AskForCards, Piece, Steps
from study.store.quizzes import QuizAnswer, QuizRecord
from study.store.runs import ReviewRun
from study.templates import render

SECONDS_A_QUESTION = 30.0


@dataclass(frozen=True, kw_only=True)
class QuizExercise:
    """Asks questions and gives feedback; the Quiz page and the five-minute review are built on it."""

    sittings: Sittings
    concepts: ConceptMap
    ask_for_cards: AskForCards
    label: str = "questions"

    @property
    def subjects(self) -> Mapping[str, tuple[str, ...]]:
        """Which concepts each question is about."""
        return self.sittings.bank.concepts_of

    def question(
        self, visit: Visit, record: QuizRecord, question: Question, *, number: int, total: int
    ) -> Piece:
        """The question with its options; which of them is right is not in this HTML."""
        html = render(
            "quizzes/question.html",
            question=question,
            topic=self.sittings.bank.topics[question.topic],
            options=options_in_order(question, seed=record.seed),
            number=number,
            total=total,
            session=record.id,
            shown_at=visit.now.isoformat(),
        )
        return Piece(
            html=Markup(html), say=f"Question {number} of {total}: {to_plain(question.stem)}", focus="#stem"
        )

    def answer(self, visit: Visit, event: Mapping[str, Any], *, alone: bool = True) -> Piece:
        """Store an answer, make cards due after a miss, and show what there is to learn from it."""
        record = self.sittings.record(visit.profile.id, events.text(event, "session"))
        chosen = events.field(event, "option")
        if not chosen:
            raise LearnerError("No answer is chosen yet.", do_next="Choose one first: press A, B, C or D.")
        order = dict(options_in_order(self._question(event), seed=record.seed))
        if chosen not in order:
            raise LearnerError(f"There is no option {chosen!r}.", do_next="Choose one that is listed.")
        question = self._question(event)
        given = self.sittings.answer(
            record, question.id, order[chosen].id, shown_at=events.moment(event, "shown"), now=visit.now
        )
        asked_for = 0 if given.correct else self.ask_for_cards(visit, question.concepts, because=question.id)
        return self._feedback(record, question, given, asked_for=asked_for, alone=alone)

    def _question(self, event: Mapping[str, Any]) -> Question:
        question = self.sittings.bank.by_id.get(events.text(event, "question"))
        if question is None:
            raise LearnerError(
                "That question is not in the bank any more.", do_next="Reload the page to go on."
            )
        return question

    def _feedback(
        self, record: QuizRecord, question: Question, given: QuizAnswer, *, asked_for: int, alone: bool
    ) -> Piece:
        options = options_in_order(question, seed=record.seed)
        chosen = next(option for option in question.options if option.id == given.option)
        position = self.sittings.position(record)
        html = render(
            "quizzes/feedback.html",
            question=question,
            topic=self.sittings.bank.topics[question.topic],
            options=options,
            chosen=chosen,
            number=position.total - sum(q not in position.answered for q in record.question_ids),
            total=position.total,
            last=position.question is None,
            alone=alone,
            asked_for=asked_for,
            concepts=self.concepts,
        )
        return Piece(html=Markup(html), say=_verdict(options, chosen, question.right), focus="#next")

    # ---- as a station of the five-minute review ----

    def seconds_each(self, visit: Visit) -> float:
        """What a question takes this learner."""
        history = self.sittings.store.quizzes.history(visit.profile.id)
        return typical_seconds([a.duration_ms for a in history], until_known=SECONDS_A_QUESTION)

    def drawn(self, visit: Visit, *, length: int, seed: int) -> tuple[str, ...]:
        """Missed questions first, then new ones, then the rest; the seed shuffles within each."""
        history = self.sittings.store.quizzes.history(visit.profile.id)
        seen = {answer.question_id for answer in history}
        missed = self.sittings.missed(visit.profile.id)
        missed_ids = {question.id for question in missed}
        new = [question for question in self.sittings.bank.questions if question.id not in seen]
        rest = [q for q in self.sittings.bank.questions if q.id in seen and q.id not in missed_ids]
        beginners = [question for question in new if question.level == "beginner"]
        groups = (missed, beginners, [question for question in new if question not in beginners], rest)
        ordered = [question for group in groups for question in draw(group, seed=seed, length=len(group))]
        return tuple(question.id for question in ordered[:length])

    def steps(self, visit: Visit, run: ReviewRun) -> Steps:
        """Answered questions of the run's quiz."""
        position = self.sittings.position(self.sittings.record(visit.profile.id, run.quiz_session_id))
        return Steps(done=len(position.answered), total=position.total)

    def show(self, visit: Visit, run: ReviewRun) -> Piece:
        """The next question."""
        record = self.sittings.record(visit.profile.id, run.quiz_session_id)
        position = self.sittings.position(record)
        if position.question is None:
            raise LearnerError("All questions are answered.", do_next="Reload the page to go on.")
        return self.question(visit, record, position.question, number=position.number, total=position.total)

    def act(self, event: dict[str, Any], visit: Visit, run: ReviewRun) -> Piece | None:
        """Answer, or go on to the next."""
        return self.answer(visit, event, alone=False) if event.get("act") == "answer" else None

    def summary(self, visit: Visit, run: ReviewRun) -> str:
        """How the questions of a run went."""
        position = self.sittings.position(self.sittings.record(visit.profile.id, run.quiz_session_id))
        return f"{position.right} of {len(position.answered)} questions right."


def quiz_exercise(context: Context, *, ask_for_cards: AskForCards) -> QuizExercise:
    """The questions of an app: its bank, read and checked, on its store."""
    sittings = Sittings(store=context.store, bank=load_bank(context.concepts))
    return QuizExercise(sittings=sittings, concepts=context.concepts, ask_for_cards=ask_for_cards)


def _verdict(options: list[tuple[str, Option]], chosen: Option, right: Option) -> str:
    letters = {option.id: letter for letter, option in options}
    if chosen.correct:
        return f"Right. {to_plain(chosen.feedback)}"
    return (
        f"Not {letters[chosen.id]}: {to_plain(chosen.feedback)} "
        f"{letters[right.id]} is right: {to_plain(right.text)}. {to_plain(right.feedback)}"
    )
