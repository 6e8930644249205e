"""Mastery of each concept from all four logs, and the next steps with their reasons."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from study.content.concepts import Concept, ConceptMap, build_concept_address
from study.learner.path import choose_next_concept, say_place
from study.learner.progress import SPACED_KINDS, AnswerOutcome, Mastery, derive_mastery, find_weakest
from study.ports.subjects import Subjects
from study.store import Store
from study.store.logs.quizzes import QuizRecord

MIXED = 3  # a quiz of fewer questions, or about fewer concepts, is practice, not a mixed set
STEPS = 4

Sourced = Iterator[tuple[tuple[str, ...], AnswerOutcome]]


@dataclass(frozen=True, kw_only=True)
class NextStep:
    concept: str
    do: str
    why: str
    href: str


def compute_mastery(store: Store, profile_id: str, subjects: Subjects) -> dict[str, Mastery]:
    """Compute mastery of every concept met in a card, question, explanation or prediction."""
    return derive_mastery(
        store.cards.history(profile_id),
        of_card=subjects.of_card,
        others=[
            *_read_questions(store, profile_id, subjects),
            *_read_explanations(store, profile_id, subjects),
            *_read_predictions(store, profile_id, subjects),
        ],
        days=store.preferences.read(profile_id).days,
    )


def suggest_steps(
    concepts: ConceptMap, known: Mapping[str, Mastery], done: Collection[str], subjects: Subjects
) -> list[NextStep]:
    """Suggest steps, best first: repair what was missed, test again what was right, then learn the next.

    `done` are the concepts that are understood, by the rule of the path; they are not suggested for learning.
    """
    following = choose_next_concept(concepts, done)
    learn = [_suggest_concept(concepts, following)] if following else []
    tests = [step for concept, found in known.items() if (step := _propose_test(concept, found, subjects))][
        :1
    ]
    repairs = find_weakest(known, limit=STEPS - len(tests) - len(learn))
    return [*(_suggest_repair(concept, found, subjects) for concept, found in repairs), *tests, *learn]


def _suggest_repair(concept: str, known: Mastery, subjects: Subjects) -> NextStep:
    cards, questions = subjects.count_items(concept)
    if cards:
        do, href = _format_count(cards, "card"), _build_url("/cards", concept)
    elif questions:
        do, href = _format_count(questions, "question"), _build_url("/quiz", concept)
    else:
        do, href = "Read it again", build_concept_address(concept)
    return NextStep(concept=concept, do=do, why=known.misses_in_words, href=href)


def _propose_test(concept: str, known: Mastery, subjects: Subjects) -> NextStep | None:
    """Propose what lifts a concept without a miss to its next level; None where nothing does today."""
    if known.level == "Proficient":
        why = "all of your last answers were right; one more in a mixed quiz makes it Mastered"
        return NextStep(concept=concept, do="Mixed quiz", why=why, href="/quiz")
    _, questions = subjects.count_items(concept)
    if known.share != 1 or known.kinds_right >= SPACED_KINDS or not questions:
        return None
    why = "all right so far; right answers in two kinds of exercise, on two days, make it Proficient"
    return NextStep(
        concept=concept, do=_format_count(questions, "question"), why=why, href=_build_url("/quiz", concept)
    )


def _suggest_concept(concepts: ConceptMap, concept: Concept) -> NextStep:
    why = say_place(concepts, concept)
    return NextStep(concept=concept.id, do="Learn it", why=why, href=build_concept_address(concept.id))


def _read_questions(store: Store, profile_id: str, subjects: Subjects) -> Sourced:
    for record, answers in store.quizzes.read_answered_sessions(profile_id):
        mixed = _is_mixed(record, subjects)
        for answer in answers:
            about = subjects.of_question.get(answer.question_id, ())
            yield (
                about,
                AnswerOutcome(at=answer.answered_at, right=answer.correct, kind="question", mixed=mixed),
            )


def _is_mixed(record: QuizRecord, subjects: Subjects) -> bool:
    asked = {
        concept for question in record.question_ids for concept in subjects.of_question.get(question, ())
    }
    return min(len(record.question_ids), len(asked)) >= MIXED and not record.choice.get("concept")


def _read_explanations(store: Store, profile_id: str, subjects: Subjects) -> Sourced:
    for one in store.explains.counted(profile_id):
        about = subjects.of_idea.get((one.prompt_id, one.concept_id), ())
        yield about, AnswerOutcome(at=one.at, right=one.verdict == "covered", kind="explanation")


def _read_predictions(store: Store, profile_id: str, subjects: Subjects) -> Sourced:
    for judged in store.predictions.judged(profile_id):
        about = subjects.of_prediction.get(judged.quantity, ())
        yield about, AnswerOutcome(at=judged.at, right=judged.correct, kind="prediction")


def _format_count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _build_url(path: str, concept: str) -> str:
    return f"{path}?{urlencode({'concept': concept})}"
