"""The view of a question: what to answer, then feedback; and what an answer appends to the log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from markupsafe import Markup

from quizzes.kinds.question import Question
from quizzes.session.feedback import announce_feedback, announce_wrong, format_verdict, list_rows
from quizzes.session.modes import SECOND_ATTEMPT_RULE
from quizzes.session.operations import QuizOperations
from quizzes.session.quiz_options import build_address, ends_at, find_pace, find_rules
from quizzes.session.session import Position, draw_questions, offer_choices
from quizzes.session.spaced_retry import format_due_day
from study.base.errors import LearnerError, StaleError
from study.content.concepts import ConceptMap
from study.figures.figure import FigureAbout, render_no_figure
from study.learner.progress import compute_typical_seconds
from study.ports.context import Visit
from study.ports.review import AskForCards, Ending, Fragment, Missed, Steps
from study.ports.today import OpenQuiz
from study.store.logs.five_minute_reviews import FiveMinuteReview
from study.store.logs.quizzes import CONFIDENCES, Confidence, QuizAnswer, QuizRecord
from study.text.markup import to_html, to_plain
from study.text.templates import render
from study.web import form_event

SECONDS_A_QUESTION = 30.0
TYPED = {"numeric": "#answer", "short-text": "#answer", "cloze": "#blank-1"}
SURE: tuple[tuple[Confidence, str], ...] = (("guess", "A guess"), ("think", "I think so"), ("sure", "Sure"))


@dataclass(frozen=True, kw_only=True)
class TimedOutQuiz:
    """A quiz whose time ran out before all of its questions were answered."""

    name: str
    """What it is called in a sentence: an exam, or a challenge."""

    address: str
    """Where its result is."""

    ended_on: date
    right: int
    total: int


@dataclass(frozen=True, kw_only=True)
class QuizExercise:
    """The quiz exercise (ask, grade, explain) on which the Quiz page and the five-minute review are built."""

    operations: QuizOperations
    concepts: ConceptMap
    ask_for_cards: AskForCards
    figure_about: FigureAbout = render_no_figure
    label: str = "questions"

    @property
    def subjects(self) -> Mapping[str, tuple[str, ...]]:
        return self.operations.bank.concepts_of

    def open_quiz(self, visit: Visit) -> OpenQuiz | None:
        """Return the quiz that the learner chose last, if it was begun and not ended."""
        found = self.operations.find_unfinished(visit.profile.id, now=visit.now)
        if found is None:
            return None
        choice, position = found
        return OpenQuiz(
            name="exam" if choice.mode == "exam" else "quiz",
            address=build_address(choice),
            answered=len(position.answered),
            total=position.total,
            has_clock=find_pace(choice) > 0,
        )

    def find_timed_out(self, visit: Visit) -> TimedOutQuiz | None:
        """Return the quiz that the learner chose last, if it was begun and its time ran out."""
        last = self.operations.find_last_chosen(visit.profile.id)
        ended_at = ends_at(last[1]) if last else None
        if last is None or ended_at is None or visit.now < ended_at:
            return None
        choice, record = last
        position = self.operations.compute_position(record, now=visit.now)
        if not 0 < len(position.answered) < position.total:
            return None
        return TimedOutQuiz(
            name="exam" if choice.mode == "exam" else "challenge",
            address=build_address(choice),
            ended_on=visit.days.day(ended_at),
            right=position.right,
            total=position.total,
        )

    def render_question(self, visit: Visit, record: QuizRecord, position: Position) -> Fragment:
        """Render the open question; its HTML doesn't reveal what is right."""
        question = position.question
        if question is None:
            raise LearnerError("All questions are answered.", do_next="Reload the page to go on.")
        hinted = self.operations.store.quizzes.hinted(record.id)
        html = render(
            "quizzes/quiz/question.html",
            question=question,
            task=question.task,
            topic=self.operations.bank.topics[question.topic],
            offered=offer_choices(question, seed=record.seed),
            position=position,
            session=record.id,
            shown_at=visit.now.isoformat(),
            sure=SURE,
            checked_at_once=find_rules(record).feedback_at_once,
            has_hint=find_rules(record).hints and bool(question.hint),
            hint=self._hint(record, question, shown=question.id in hinted),
            second_attempt_rule=SECOND_ATTEMPT_RULE,
        )
        where = f"Question {position.number} of {position.total}: {to_plain(question.stem)}"
        return Fragment(html=html, say=where, focus=_name_first_field(question))

    def answer(self, visit: Visit, event: Mapping[str, Any], *, alone: bool = True) -> Fragment:
        """Record an answer, make cards due after a miss, and render the feedback."""
        record, question = self._require_asked(visit, event)
        response = question.task.read(form_event.read_form(event), offer_choices(question, seed=record.seed))
        given = self.operations.answer(
            record,
            question.id,
            response,
            shown_at=form_event.read_moment(event, "shown"),
            now=visit.now,
            confidence=_read_confidence(event),
            attempt=form_event.read_whole(event, "attempt"),
        )
        return self._render_after(visit, record, question, given, alone=alone)

    def give_up(self, visit: Visit, event: Mapping[str, Any], *, alone: bool = True) -> Fragment:
        """Render the answer to someone who doesn't know it, at the first attempt or instead of a second."""
        record, question = self._require_asked(visit, event)
        given = self.operations.give_up(
            record,
            question.id,
            shown_at=form_event.read_moment(event, "shown"),
            now=visit.now,
            attempt=form_event.read_whole(event, "attempt"),
        )
        if given.attempt == 1:
            return self._render_after(visit, record, question, given, alone=alone)
        made = self.operations.store.quizzes.answers(record.id)
        first = next(answer for answer in made if answer.question_id == question.id)
        position = self.operations.compute_position(record, now=visit.now)
        return self._render_feedback(record, question, first, position, alone=alone)

    def hint(self, visit: Visit, event: Mapping[str, Any]) -> Markup:
        """Render the place of the hint, with the hint in it."""
        record, question = self._require_asked(visit, event)
        self.operations.hint(record, question.id, now=visit.now)
        return self._hint(record, question, shown=True)

    def render_explained(self, record: QuizRecord, question: Question, given: QuizAnswer | None) -> Markup:
        """Render an answer with the reasons for each part of it; None is a question left without one."""
        grade = question.task.grade(given.given if given else {})
        return render(
            "quizzes/quiz/explained.html",
            question=question,
            rows=list_rows(question, grade, offer_choices(question, seed=record.seed)),
            verdict=format_verdict(given, grade),
        )

    def _require_asked(self, visit: Visit, event: Mapping[str, Any]) -> tuple[QuizRecord, Question]:
        record = self.operations.read_record(visit.profile.id, form_event.read_text(event, "session"))
        question = self.operations.bank.by_id.get(form_event.read_text(event, "question"))
        if question is None:
            raise StaleError("That question is no longer in the bank.", do_next="Go on with the next one.")
        return record, question

    def _render_after(
        self, visit: Visit, record: QuizRecord, question: Question, given: QuizAnswer, *, alone: bool
    ) -> Fragment:
        missed = not given.correct and given.attempt == 1
        asked_for = self.ask_for_cards(visit, question.concepts, because=question.id) if missed else 0
        position = self.operations.compute_position(record, now=visit.now)
        if position.tried is not None and position.tried.question_id == question.id:
            return self._render_retry(record, question, given, position, asked_for=asked_for)
        return self._render_feedback(record, question, given, position, alone=alone, asked_for=asked_for)

    def _render_retry(
        self, record: QuizRecord, question: Question, given: QuizAnswer, position: Position, *, asked_for: int
    ) -> Fragment:
        """Render what was wrong with a first attempt, without the answer."""
        grade = question.task.grade(given.given)
        listed = list_rows(question, grade, offer_choices(question, seed=record.seed))
        wrong = [row for row in listed if row.part.state == "wrong"]
        html = render(
            "quizzes/quiz/not_yet.html",
            question=question,
            topic=self.operations.bank.topics[question.topic],
            verdict=format_verdict(given, grade),
            session=record.id,
            shown_at=given.answered_at.isoformat(),
            number=position.number,
            total=position.total,
            wrong=wrong,
            asked_for=asked_for,
            rule=SECOND_ATTEMPT_RULE,
        )
        said = " ".join(
            announce_wrong(row) if row.part.about else to_plain(row.part.feedback)
            for row in wrong
            if row.part.about or row.part.feedback
        )
        # Not on a button, which would take Space for itself: Enter tries again, Space shows the answer.
        return Fragment(html=html, say=f"{format_verdict(given, grade)} {said}".strip(), focus="#verdict")

    def _render_feedback(
        self,
        record: QuizRecord,
        question: Question,
        given: QuizAnswer,
        position: Position,
        *,
        alone: bool,
        asked_for: int = 0,
    ) -> Fragment:
        grade = question.task.grade(given.given)
        listed = list_rows(question, grade, offer_choices(question, seed=record.seed))
        html = render(
            "quizzes/quiz/feedback.html",
            question=question,
            topic=self.operations.bank.topics[question.topic],
            explained=self.render_explained(record, question, given),
            number=position.number - (1 if position.question else 0),
            total=position.total,
            last=position.question is None,
            figure=self.figure_about(question.concepts),
            alone=alone,
            asked_for=asked_for,
            comes_back=given.confidence == "sure" and not given.correct and given.attempt == 1,
        )
        return Fragment(html=html, say=announce_feedback(given, grade, listed), focus="#next")

    def _hint(self, record: QuizRecord, question: Question, *, shown: bool) -> Markup:
        return render("quizzes/quiz/hint.html", question=question, session=record.id, shown=shown)

    # ---- activity of the five-minute review ----

    def estimate_seconds_each(self, visit: Visit) -> float:
        history = self.operations.store.quizzes.history(visit.profile.id)
        return compute_typical_seconds([a.duration_ms for a in history], until_known=SECONDS_A_QUESTION)

    def count_returning(self, visit: Visit) -> int:
        """Count the confident errors that come back today."""
        return len(self.operations.list_due(visit.profile.id, now=visit.now))

    def draw_question_ids(
        self, visit: Visit, *, length: int, seed: int, concept: str = ""
    ) -> tuple[str, ...]:
        """Draw what comes back today, missed, new, other questions, in this order; the seed shuffles each.

        Of the new ones, easy ones come first, and for a newcomer those about known concepts only. What comes
        back on a later day is left out: its page has said when.
        """
        history = self.operations.store.quizzes.history(visit.profile.id)
        seen = {answer.question_id for answer in history}
        due = self.operations.list_due(visit.profile.id, now=visit.now)
        missed = self.operations.list_missed(visit.profile.id)
        returning = {each.question_id for each in self.operations.list_returning(visit.profile.id)}
        asked_again = returning | {question.id for question in missed}
        pool = self.operations.bank.build_pool(seed=seed, concept=concept)
        new = [question for question in pool if question.id not in seen]
        rest = [q for q in pool if q.id in seen and q.id not in asked_again]
        known = self.operations.list_known_concepts(visit.profile.id)
        by_known: dict[bool, list[Question]] = {True: [], False: []}
        for question in new:
            by_known[known is None or known.issuperset(question.concepts)].append(question)
        groups = (due, missed, *_sort_easy_first(by_known[True]), *_sort_easy_first(by_known[False]), rest)
        ordered = [
            question
            for group in groups
            for question in draw_questions(group, seed=seed, length=len(group))
            if not concept or concept in question.concepts
        ]
        return tuple(question.id for question in ordered[:length])

    def count_steps(self, visit: Visit, review: FiveMinuteReview) -> Steps:
        position = self._compute_position(visit, review)
        return Steps(done=len(position.answered), total=position.total)

    def show(self, visit: Visit, review: FiveMinuteReview) -> Fragment:
        record = self.operations.read_record(visit.profile.id, review.quiz_session_id)
        return self.render_question(visit, record, self.operations.compute_position(record, now=visit.now))

    def act(self, event: dict[str, Any], visit: Visit, review: FiveMinuteReview) -> Fragment | None:
        """Handle an answer, or go on to the next question."""
        match event.get("act"):
            case "answer":
                return self.answer(visit, event, alone=False)
            case "give-up":
                return self.give_up(visit, event, alone=False)
        return None

    def describe_ending(self, visit: Visit, review: FiveMinuteReview) -> Ending:
        position = self._compute_position(visit, review)
        return Ending(
            summary=f"{position.right} of {len(position.answered)} questions right.",
            missed=self.list_missed(visit, position),
        )

    def list_missed(self, visit: Visit, position: Position) -> tuple[Missed, ...]:
        """Return the questions that were answered wrong, and when each is asked again."""
        retries = self.list_return_days(visit)
        wrong = [
            self.operations.bank.by_id[a.question_id] for a in position.answered.values() if not a.correct
        ]
        return tuple(
            Missed(
                name=to_html(question.stem),
                returns=f"comes back {retries[question.id]}: you were sure"
                if question.id in retries
                else "asked again in a later review",
                concepts=question.concepts,
            )
            for question in wrong
        )

    def list_return_days(self, visit: Visit) -> dict[str, str]:
        """Return when each confident error is asked again, by question id."""
        today = visit.today
        waiting = self.operations.list_returning(visit.profile.id)
        return {each.question_id: format_due_day(each.due_on, today=today) for each in waiting}

    def _compute_position(self, visit: Visit, review: FiveMinuteReview) -> Position:
        record = self.operations.read_record(visit.profile.id, review.quiz_session_id)
        return self.operations.compute_position(record, now=visit.now)


def _sort_easy_first(questions: Sequence[Question]) -> tuple[list[Question], list[Question]]:
    easy = [question for question in questions if question.level == "beginner"]
    return easy, [question for question in questions if question.level != "beginner"]


def _read_confidence(event: Mapping[str, Any]) -> Confidence | None:
    said = form_event.read_field(event, "confidence")
    return next((each for each in CONFIDENCES if each == said), None)


def _name_first_field(question: Question) -> str:
    asked = getattr(question.task, "asked", question.task)
    return TYPED.get(asked.kind, "#stem")
