"""Quiz operations on the store: start, position, answer. Page and command line both call these."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random

from quizzes.bank.bank import Bank
from quizzes.kinds.grade import Response
from quizzes.kinds.question import Question
from quizzes.session.modes import SECOND_ATTEMPT
from quizzes.session.quiz_options import QuizChoice, ends_at, find_rules, read_choice
from quizzes.session.session import (
    SEEDS,
    Position,
    draw_check,
    draw_problems,
    draw_questions,
    find_position,
    list_missed,
)
from quizzes.session.spaced_retry import Returning, list_due, list_returning
from study.base.days import StudyDays
from study.base.errors import LearnerError, StaleError
from study.base.units import to_milliseconds
from study.content.yaml_reader import LEVELS
from study.learner.mastery import compute_mastery
from study.learner.path import read_path_ids
from study.learner.progress import Mastery, find_weakest
from study.ports.subjects import Subjects
from study.store import Store
from study.store.logs.quizzes import Confidence, QuizAnswer, QuizRecord, build_answered_elsewhere_error

FEW_CONCEPTS = 10
"""With fewer concepts met, a review first asks new questions about known ones only."""

INTRODUCED = 5
"""The first concepts of the path: fine-tuning, B·A, the update, the rank, and counting parameters."""

LOOK_BACK = 100  # quizzes; the URL of an older one starts a new quiz
TIME_IS_UP = "The time for this quiz is up; that answer came too late to count."


@dataclass(frozen=True, kw_only=True)
class QuizOperations:
    """The quiz operations of one app on its bank and its store."""

    store: Store
    bank: Bank
    subjects: Subjects = field(default_factory=Subjects)
    """Weak concepts also show in cards, explanations and predictions."""

    def start(self, profile_id: str, choice: QuizChoice, *, now: datetime) -> QuizRecord:
        """Draw the questions and record the quiz. Raises LearnerError when no question matches."""
        drawn = self.choose_questions(profile_id, choice, now=now)
        if not drawn:
            raise self._build_nothing_fits_error(profile_id, choice, now=now)
        ids = tuple(question.id for question in drawn)
        return self.store.quizzes.start(
            profile_id, seed=choice.seed, question_ids=ids, choice=choice.to_json(), started_at=now
        )

    def choose_questions(self, profile_id: str, choice: QuizChoice, *, now: datetime) -> tuple[Question, ...]:
        """Draw the questions that a quiz started now would ask."""
        if choice.question:
            named = self.bank.by_id.get(choice.question)
            return (named,) if named else ()
        pool = self.bank.build_pool(
            seed=choice.seed, topic=choice.topic, level=choice.level, concept=choice.concept
        )
        match choice.mode:
            case "check":
                return draw_check(pool, seed=choice.seed)
            case "challenge":
                return draw_problems(pool, seed=choice.seed, length=choice.count)
            case "weak":
                weak = set(self.list_weak_concepts(profile_id))
                about = [question for question in pool if weak & set(question.concepts)]
                return draw_questions(about, seed=choice.seed, length=choice.count)
            case "again":
                return tuple(self.list_due_again(profile_id, now=now)[: choice.count])
        return self._sort_for_newcomer(
            profile_id, draw_questions(pool, seed=choice.seed, length=choice.count)
        )

    def find_newest(self, profile_id: str, choice: QuizChoice) -> QuizRecord | None:
        """Find the last quiz that was drawn by this choice and seed."""
        records = self.store.quizzes.latest(profile_id, limit=LOOK_BACK)
        return next((record for record in records if read_choice(record) == choice), None)

    def open_question(
        self, profile_id: str, question_id: str, *, seed: int, now: datetime
    ) -> tuple[QuizChoice, QuizRecord]:
        """Return the open quiz of this one question, or start one with this seed.

        Raises LearnerError when the question is not in the bank.
        """
        for record in self.store.quizzes.latest(profile_id, limit=LOOK_BACK):
            choice = read_choice(record)
            if choice and choice.question == question_id and self.compute_position(record, now=now).question:
                return choice, record
        choice = QuizChoice(question=question_id, length=1, seed=seed)
        return choice, self.start(profile_id, choice, now=now)

    def find_unfinished(self, profile_id: str, *, now: datetime) -> tuple[QuizChoice, Position] | None:
        """Find the last quiz that the profile chose, if it was begun and not ended."""
        last = self.find_last_chosen(profile_id)
        if last is None:
            return None
        choice, record = last
        where = self.compute_position(record, now=now)
        return (choice, where) if where.question and (where.begun or ends_at(record)) else None

    def find_last_chosen(self, profile_id: str) -> tuple[QuizChoice, QuizRecord] | None:
        """Find the last quiz that isn't one of a five-minute review, which has its own way back.

        A quiz of one question that a search found doesn't count either: looking it up must not hide the quiz
        that is open.
        """
        records = self.store.quizzes.latest(profile_id, limit=LOOK_BACK)
        chosen = ((read_choice(record), record) for record in records)
        return next(((choice, record) for choice, record in chosen if choice and not choice.question), None)

    def read_record(self, profile_id: str, session_id: str) -> QuizRecord:
        """Read a quiz of this profile. Raises LearnerError when the profile doesn't have it."""
        record = self.store.quizzes.session(profile_id, session_id)
        if record is None:
            raise LearnerError("That quiz is not in this profile.", do_next="Start a new one.")
        return record

    def compute_position(self, record: QuizRecord, *, now: datetime) -> Position:
        """Compute the learner's position in a quiz from its answers."""
        limit = ends_at(record)
        return find_position(
            self.bank,
            record,
            self.store.quizzes.answers(record.id),
            attempts=find_rules(record).attempts,
            over=limit is not None and now >= limit,
        )

    def answer(
        self,
        record: QuizRecord,
        question_id: str,
        response: Response,
        *,
        shown_at: datetime,
        now: datetime,
        confidence: Confidence | None = None,
        attempt: int = 1,
    ) -> QuizAnswer:
        question = self._require_open(record, question_id, attempt=attempt, now=now)
        grade = question.task.grade(response)
        answer = QuizAnswer(
            question_id=question_id,
            option=str(response.get("option", "")),
            correct=grade.correct,
            answered_at=now,
            duration_ms=to_milliseconds(now - shown_at),
            response=response,
            points=grade.fraction * (1.0 if attempt == 1 else SECOND_ATTEMPT),
            confidence=confidence,
            attempt=attempt,
            hints=int(question_id in self.store.quizzes.hinted(record.id)),
        )
        self.store.quizzes.append(record.id, answer)
        return answer

    def give_up(
        self, record: QuizRecord, question_id: str, *, shown_at: datetime, now: datetime, attempt: int
    ) -> QuizAnswer:
        """Record the attempts from this one on as empty, so the answer can be shown; return the first."""
        later = range(attempt + 1, find_rules(record).attempts + 1)
        first = self.answer(record, question_id, {}, shown_at=shown_at, now=now, attempt=attempt)
        for number in later:
            self.answer(record, question_id, {}, shown_at=now, now=now, attempt=number)
        return first

    def hint(self, record: QuizRecord, question_id: str, *, now: datetime) -> str:
        """Return a question's hint, and record that it was shown."""
        question = self.bank.by_id.get(question_id)
        if question is None or question_id not in record.question_ids or not find_rules(record).hints:
            raise LearnerError("There is no hint here.", do_next="Answer with what you know.")
        self.store.quizzes.show_hint(record.id, question_id, at=now)
        return question.hint

    def list_missed(self, profile_id: str) -> list[Question]:
        """List what this learner last got wrong, oldest first; confident errors return on their day."""
        waiting = {each.question_id for each in self.list_returning(profile_id)}
        missed = list_missed(self.bank, self.store.quizzes.history(profile_id))
        return [question for question in missed if question.id not in waiting]

    def list_returning(self, profile_id: str) -> list[Returning]:
        """List this learner's confident errors, and when each is asked again (spaced retrieval)."""
        found = list_returning(self.store.quizzes.history(profile_id), days=self._read_days(profile_id))
        return [each for each in found if each.question_id in self.bank.by_id]

    def list_due(self, profile_id: str, *, now: datetime) -> list[Question]:
        """List the confident errors whose day has come."""
        come = list_due(self.list_returning(profile_id), now=now, days=self._read_days(profile_id))
        return [self.bank.by_id[each.question_id] for each in come]

    def list_due_again(self, profile_id: str, *, now: datetime) -> list[Question]:
        """List what to ask again: confident errors whose day has come, then what else was last missed."""
        return [*self.list_due(profile_id, now=now), *self.list_missed(profile_id)]

    def list_weak_concepts(self, profile_id: str) -> list[str]:
        """List the concepts that need the most work, by the rule of mastery."""
        return [concept for concept, _ in find_weakest(self._compute_mastery(profile_id))]

    def list_known_concepts(self, profile_id: str) -> set[str] | None:
        """List the concepts that a newcomer met in an exercise, opened in Learn, or meets first.

        None for a learner who has met `FEW_CONCEPTS` or more.
        """
        marks = self.store.lessons.marks(profile_id)
        met = self._compute_mastery(profile_id).keys() | {mark.concept_id for mark in marks}
        return met | set(read_path_ids()[:INTRODUCED]) if len(met) < FEW_CONCEPTS else None

    def _compute_mastery(self, profile_id: str) -> dict[str, Mastery]:
        return compute_mastery(
            self.store, profile_id, replace(self.subjects, of_question=self.bank.concepts_of)
        )

    def _sort_for_newcomer(self, profile_id: str, drawn: tuple[Question, ...]) -> tuple[Question, ...]:
        """Sort easy questions first for a learner who has met less than half of the quiz's concepts.

        The set of questions stays that of the URL, so a class has the same ones.
        """
        about = {concept for question in drawn for concept in question.concepts}
        if 2 * len(about & self._compute_mastery(profile_id).keys()) >= len(about):
            return drawn
        return tuple(sorted(drawn, key=lambda question: LEVELS.index(question.level)))

    def count_badges(self, profile_id: str, *, now: datetime) -> int:
        """Count the timed challenges that had all answers right."""
        challenges = self.store.quizzes.in_mode(profile_id, "challenge")
        return sum(self.has_badge(record, now=now) for record in challenges)

    def has_badge(self, record: QuizRecord, *, now: datetime) -> bool:
        """Return whether this was a challenge with all answers right."""
        choice = read_choice(record)
        if choice is None or choice.mode != "challenge":
            return False
        where = self.compute_position(record, now=now)
        return 0 < where.total == where.right

    def _read_days(self, profile_id: str) -> StudyDays:
        return self.store.preferences.read(profile_id).days

    def _require_open(self, record: QuizRecord, question_id: str, *, attempt: int, now: datetime) -> Question:
        """Return the question, if it is open for this attempt. Raises LearnerError or StaleError if not."""
        question = self.bank.by_id.get(question_id)
        if question is None or question_id not in record.question_ids:
            raise LearnerError(
                "That answer does not belong to this question.", do_next="Choose one of its options."
            )
        limit = ends_at(record)
        if limit is not None and now >= limit:
            raise StaleError(TIME_IS_UP, do_next="Here is how it went.")
        made = [a for a in self.store.quizzes.answers(record.id) if a.question_id == question_id]
        if attempt != len(made) + 1 or attempt > find_rules(record).attempts or any(a.correct for a in made):
            raise build_answered_elsewhere_error()
        return question

    def _build_nothing_fits_error(
        self, profile_id: str, choice: QuizChoice, *, now: datetime
    ) -> LearnerError:
        match choice.mode:
            case "again":
                return LearnerError(
                    "Nothing comes back today.", do_next="Choose another mode; what you miss will come back."
                )
            case "weak":
                return LearnerError(
                    "No concept was missed lately.",
                    do_next="Choose another mode, such as the 10-question check.",
                )
        wider = {
            "all levels": replace(choice, level=""),
            "all topics": replace(choice, topic=""),
            "any concept": replace(choice, concept=""),
        }
        helps = [name for name, other in wider.items() if self.choose_questions(profile_id, other, now=now)]
        return LearnerError(
            "No question matches this selection.",
            do_next=f"Choose {' or '.join(helps) or 'all levels and all topics'}.",
        )


def draw_seed(rng: Random) -> int:
    """Draw a seed for a quiz that isn't a repetition."""
    return rng.randrange(SEEDS)
