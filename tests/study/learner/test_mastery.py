"""Levels from cards, questions, explanations and predictions, and what to do next about them."""

from datetime import datetime, timedelta

import pytest

from study.content.concepts import ConceptMap
from study.learner.mastery import compute_mastery, suggest_steps
from study.learner.path import choose_next_concept, list_understood
from study.learner.progress import Mastery
from study.ports.subjects import Subjects
from study.store import Store
from study.store.logs.quizzes import QuizAnswer
from tests.study.opinions import opinions

SUBJECTS = Subjects(
    of_card={"card": ("lora-rank",)},
    of_question={
        "q": ("lora-rank",),
        "other": ("nf4",),
        "third": ("qlora",),
        "wide": ("lora-rank", "nf4", "qlora"),
    },
    of_prompt={"prompt": ("lora-update", "nf4")},
    of_idea={("prompt", "idea"): ("lora-update",), ("prompt", "other"): ("nf4",)},
    of_prediction={"percent": ("counting-parameters",)},
)
MIXED = ("q", "other", "third")


def quiz(
    store: Store, profile: str, at: datetime, *, asked: tuple[str, ...], right: bool = True, **choice: str
) -> None:
    """A quiz whose first question is answered."""
    record = store.quizzes.start(profile, seed=1, question_ids=asked, choice=choice, started_at=at)
    answer = QuizAnswer(
        question_id=asked[0],
        option="right" if right else "slip",
        correct=right,
        answered_at=at,
        duration_ms=1000,
    )
    store.quizzes.append(record.id, answer)


def level(store: Store, profile: str) -> str:
    return compute_mastery(store, profile, SUBJECTS)["lora-rank"].level


def rate(store: Store, profile: str, at: datetime, rating: int = 3) -> None:
    """A rating of the card; the first one is its first look."""
    last = store.cards.latest(profile).get("card")
    store.cards.append(
        profile,
        "card",
        rating=rating,
        expected_review_id=last.id if last else 0,
        reviewed_at=at,
        duration_ms=1000,
        before=last.after if last else None,
        after={"phase": "review"},
    )


def test_four_right_answers_in_one_session_are_familiar_and_no_more(
    store: Store, ana: str, now: datetime
) -> None:
    for minute in range(5):
        rate(store, ana, now + timedelta(minutes=minute))
    assert level(store, ana) == "Familiar"
    quiz(store, ana, now + timedelta(minutes=6), asked=("q",))
    assert level(store, ana) == "Familiar"  # two kinds of exercise, one day
    rate(store, ana, now + timedelta(days=1))
    assert level(store, ana) == "Proficient"


def test_one_kind_of_exercise_on_many_days_is_familiar(store: Store, ana: str, now: datetime) -> None:
    for day in range(4):
        quiz(store, ana, now + timedelta(days=day), asked=MIXED)
    assert level(store, ana) == "Familiar"
    rate(store, ana, now + timedelta(days=4))
    rate(store, ana, now + timedelta(days=4, minutes=10))  # the first look counts for nothing
    assert level(store, ana) == "Mastered"


def test_right_answers_climb_and_a_miss_takes_down(store: Store, ana: str, now: datetime) -> None:
    rate(store, ana, now)
    rate(store, ana, now + timedelta(minutes=10))
    quiz(store, ana, now + timedelta(minutes=20), asked=("q",))
    assert level(store, ana) == "Attempted"
    day = now + timedelta(days=1)
    quiz(store, ana, day, asked=("q",))
    assert level(store, ana) == "Proficient"
    quiz(store, ana, day + timedelta(minutes=3), asked=MIXED)
    assert level(store, ana) == "Mastered"
    quiz(store, ana, day + timedelta(minutes=4), asked=("q",), right=False)
    assert level(store, ana) in ("Familiar", "Attempted")
    quiz(store, ana, day + timedelta(minutes=5), asked=("q",), right=False)
    assert level(store, ana) == "Attempted"


def test_a_quiz_chosen_by_its_concept_is_no_mixed_set(store: Store, ana: str, now: datetime) -> None:
    rate(store, ana, now)
    rate(store, ana, now + timedelta(minutes=10))
    for day in range(3):
        quiz(store, ana, now + timedelta(days=day), asked=MIXED, concept="lora-rank")
    assert level(store, ana) == "Proficient"


def test_a_quiz_of_one_question_about_many_concepts_is_no_mixed_set(
    store: Store, ana: str, now: datetime
) -> None:
    rate(store, ana, now)
    rate(store, ana, now + timedelta(minutes=10))
    for day in range(3):
        quiz(store, ana, now + timedelta(days=day), asked=("wide",))
    assert level(store, ana) == "Proficient"


@pytest.mark.parametrize(
    ("verdict", "misses"), [("covered", 0), ("partial", 1), ("missing", 1), ("contradicted", 1)]
)
def test_an_explanation_counts_for_the_concept_that_each_part_of_it_is_about(
    store: Store, ana: str, now: datetime, verdict: str, misses: int
) -> None:
    attempt = store.explains.submit(ana, "prompt", "my words", at=now)
    assert "lora-update" not in compute_mastery(store, ana, SUBJECTS)
    store.explains.record(ana, attempt, opinions(idea=verdict, other="covered"), by="learner", at=now)
    found = compute_mastery(store, ana, SUBJECTS)
    assert (found["lora-update"].answers, found["lora-update"].misses) == (1, misses)
    assert found["nf4"].misses == 0


def test_a_judged_prediction_counts(store: Store, ana: str, now: datetime) -> None:
    made = store.predictions.make(ana, setting={}, guess={}, at=now)
    store.predictions.judge(made, {"percent": False}, at=now)
    assert compute_mastery(store, ana, SUBJECTS)["counting-parameters"].misses == 1


def known(share: float | None, misses: int, now: datetime, *, answers: int = 10, kinds: int = 2) -> Mastery:
    return Mastery(
        share=share, answers=answers, misses=misses, last_seen=now, days_right=2, kinds_right=kinds
    )


def test_what_to_do_next_repairs_then_proves_then_goes_on(concepts: ConceptMap, now: datetime) -> None:
    found = {
        "lora-rank": known(0.6, 3, now),
        "nf4": known(1.0, 0, now),
        "linear-layer": known(0.9, 0, now),
    }
    repair, prove, learn = suggest_steps(concepts, found, set(), SUBJECTS)
    assert (repair.concept, repair.do, repair.href) == ("lora-rank", "1 card", "/cards?concept=lora-rank")
    assert repair.why == "3 misses in the last 10 answers that count"
    assert (prove.concept, prove.href) == ("nf4", "/quiz")
    assert learn.do == "Learn it"
    assert learn.concept not in found


def test_what_is_right_in_one_kind_of_exercise_is_tested_in_another(
    concepts: ConceptMap, now: datetime
) -> None:
    found = {"lora-rank": known(1.0, 0, now, kinds=1)}
    test, learn = suggest_steps(concepts, found, set(), SUBJECTS)
    assert (test.do, test.href) == ("2 questions", "/quiz?concept=lora-rank")
    assert "two kinds of exercise, on two days, make it Proficient" in test.why
    assert learn.do == "Learn it"


def test_what_to_learn_next_is_the_next_step_of_the_path_also_when_it_was_practised(
    concepts: ConceptMap, now: datetime
) -> None:
    found = {"low-rank-factorization": known(0.1, 5, now)}
    done = list_understood([], found) | {"fine-tuning"}
    _, learn = suggest_steps(concepts, found, done, SUBJECTS)
    following = choose_next_concept(concepts, done)
    assert following is not None
    assert learn.concept == following.id == "low-rank-factorization"
    assert learn.why == "step 2 of the path"


def test_a_single_answer_that_was_a_miss_is_said_as_one(concepts: ConceptMap, now: datetime) -> None:
    repair, _ = suggest_steps(concepts, {"lora-rank": known(None, 1, now, answers=1)}, set(), SUBJECTS)
    assert repair.why == "missed once"
