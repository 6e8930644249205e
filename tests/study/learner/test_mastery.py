"""Levels from cards, questions, explanations and predictions, and what to do next about them."""

from datetime import datetime, timedelta

import pytest

from study.content.concepts import ConceptMap
from study.learner.mastery import mastery, next_steps
from study.learner.progress import Mastery
from study.ports.activities import Subjects
from study.store import Store
from study.store.quizzes import QuizAnswer

SUBJECTS = Subjects(
    of_card={"card": ("lora-rank",)},
    of_question={"q": ("lora-rank",), "other": ("nf4",), "third": ("qlora",)},
    of_prompt={"prompt": ("lora-update", "nf4")},
    of_idea={("prompt", "idea"): ("lora-update",), ("prompt", "other"): ("nf4",)},
    of_prediction={"percent": ("counting-parameters",)},
)
MIXED = ("q", "other", "third")


def quiz(
    store: Store, profile: str, at: datetime, *, asked: tuple[str, ...], right: bool = True, **choice: str
) -> None:
    record = store.quizzes.start(profile, seed=1, question_ids=asked, choice=choice, started_at=at)
    answer = QuizAnswer(
        question_id="q", option="right" if right else "slip", correct=right, answered_at=at, duration_ms=1000
    )
    store.quizzes.append(record.id, answer)


def level(store: Store, profile: str) -> str:
    return mastery(store, profile, SUBJECTS)["lora-rank"].level


def test_right_answers_climb_and_a_miss_takes_down(store: Store, ana: str, now: datetime) -> None:
    for minute in range(2):
        quiz(store, ana, now + timedelta(minutes=minute), asked=("q",))
    assert level(store, ana) == "Attempted"
    quiz(store, ana, now + timedelta(minutes=2), asked=("q",))
    assert level(store, ana) == "Proficient"
    quiz(store, ana, now + timedelta(minutes=3), asked=MIXED)
    assert level(store, ana) == "Mastered"
    quiz(store, ana, now + timedelta(minutes=4), asked=("q",), right=False)
    assert level(store, ana) == "Familiar" or mastery(store, ana, SUBJECTS)["lora-rank"].share < 0.7  # type: ignore[operator]
    quiz(store, ana, now + timedelta(minutes=5), asked=("q",), right=False)
    assert level(store, ana) == "Attempted"


def test_a_quiz_chosen_by_its_concept_is_no_mixed_set(store: Store, ana: str, now: datetime) -> None:
    for minute in range(3):
        quiz(store, ana, now + timedelta(minutes=minute), asked=MIXED, concept="lora-rank")
    assert level(store, ana) == "Proficient"


@pytest.mark.parametrize(
    ("verdict", "misses"), [("covered", 0), ("partial", 1), ("missing", 1), ("contradicted", 1)]
)
def test_an_explanation_counts_for_the_concept_that_each_part_of_it_is_about(
    store: Store, ana: str, now: datetime, verdict: str, misses: int
) -> None:
    attempt = store.explains.submit(ana, "prompt", "my words", at=now)
    assert "lora-update" not in mastery(store, ana, SUBJECTS)
    store.explains.judge(ana, attempt, {"idea": verdict, "other": "covered"}, by="learner", at=now)
    found = mastery(store, ana, SUBJECTS)
    assert (found["lora-update"].answers, found["lora-update"].misses) == (1, misses)
    assert found["nf4"].misses == 0


def test_a_judged_prediction_counts(store: Store, ana: str, now: datetime) -> None:
    made = store.predictions.make(ana, setting={}, guess={}, at=now)
    store.predictions.judge(made, {"percent": False}, at=now)
    assert mastery(store, ana, SUBJECTS)["counting-parameters"].misses == 1


def known(share: float | None, misses: int, now: datetime) -> Mastery:
    return Mastery(share=share, answers=10, misses=misses, last_seen=now)


def test_what_to_do_next_repairs_then_proves_then_goes_on(concepts: ConceptMap, now: datetime) -> None:
    found = {
        "lora-rank": known(0.6, 3, now),
        "nf4": known(1.0, 0, now),
        "linear-layer": known(0.9, 0, now),
    }
    repair, prove, learn = next_steps(concepts, found, SUBJECTS)
    assert (repair.concept, repair.do, repair.href) == ("lora-rank", "1 card", "/cards?concept=lora-rank")
    assert repair.why == "3 misses in your last 10 answers"
    assert (prove.concept, prove.href) == ("nf4", "/quiz")
    assert learn.do == "Learn it"
    assert learn.concept not in found
