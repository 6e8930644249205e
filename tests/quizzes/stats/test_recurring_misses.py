"""What recurs in the latest misses, over questions, cards, explanations and tasks."""

from datetime import UTC, datetime, timedelta

from flashcards.decks.deck import load_decks
from quizzes.bank.bank import load_bank
from quizzes.bank.misconceptions import load_misconceptions, load_signs
from quizzes.grader.prompts import load_prompts
from quizzes.stats.recurring_misses import (
    LATEST,
    Miss,
    find_recurring,
    list_card_misses,
    list_explanation_misses,
    list_question_misses,
)
from study.content.concepts import load_concepts
from study.store.logs.cards import CardReview
from study.store.logs.explains import ExplainAttempt, Judgement
from study.store.logs.quizzes import QuizAnswer

BANK = load_bank(load_concepts())
NOW = datetime(2026, 3, 4, tzinfo=UTC)


def missed(question: str, option: str = "", text: str = "") -> QuizAnswer:
    return QuizAnswer(
        question_id=question,
        option=option,
        correct=False,
        answered_at=NOW,
        duration_ms=1000,
        response={"text": text} if text else None,
    )


def test_two_questions_with_one_misconception_recur() -> None:
    misses = list_question_misses(
        [missed("q-alpha-rank-change", "alpha-is-the-scale"), missed("n-scaling-32-64", text="32")], BANK
    )
    found = find_recurring(misses)
    [recurring] = found.recurring
    assert (found.total, recurring.count, recurring.misconception.id) == (2, 2, "alpha-is-the-scale")
    assert recurring.where == "2 questions"


def test_a_question_a_card_an_explanation_and_a_task_add_up() -> None:
    answers = [missed("q-frozen-backward", "frozen-means-skipped")]
    misses = [
        *list_question_misses(answers, BANK),
        *list_card_misses([rated("frozen-still-computes", 1)]),
        *list_explanation_misses([explained("explain-frozen-base", backprop_passes_through="contradicted")]),
        Miss(at=NOW, kind="task", ids=frozenset({"frozen-means-skipped"})),
        Miss(at=NOW, kind="task", ids=frozenset({"rank-drives-memory"})),
    ]
    found = find_recurring(misses)
    [recurring] = found.recurring
    assert (found.total, recurring.count, recurring.misconception.id) == (5, 4, "frozen-means-skipped")
    assert recurring.where == "1 question, 1 card, 1 explanation and 1 task"


def test_an_explanation_that_is_wrong_in_another_way_names_no_misconception() -> None:
    wrong = explained("explain-rank", parameters_grow_linearly="contradicted", inner_dimension="contradicted")
    assert list(list_explanation_misses([wrong])) == []


def test_forgotten_cards_alone_name_no_misconception() -> None:
    forgotten = list(list_card_misses([rated("alpha-what", 1), rated("alpha-example", 1)]))
    assert find_recurring(forgotten).recurring == ()
    chosen = list_question_misses([missed("q-alpha-rank-change", "alpha-is-the-scale")], BANK)
    [recurring] = find_recurring([*forgotten, *chosen]).recurring
    assert recurring.where == "2 cards and 1 question"


def test_a_new_or_remembered_card_and_a_missing_idea_show_nothing() -> None:
    assert (
        list(list_card_misses([rated("alpha-what", 1, new=True), rated("alpha-what", 2), rated("gone", 1)]))
        == []
    )
    missing = explained("explain-frozen-base", backprop_passes_through="missing")
    assert list(list_explanation_misses([missing])) == []


def test_signs_name_cards_and_ideas_that_exist() -> None:
    signs = load_signs()
    cards = {card.id for card in load_decks(load_concepts()).cards}
    prompts = load_prompts(load_concepts()).values()
    ideas = {(prompt.id, idea.id) for prompt in prompts for idea in prompt.concepts}
    assert set(signs.of_card) <= cards
    assert set(signs.of_idea) <= ideas
    assert len(signs.of_card) >= 170
    assert len(signs.of_idea) >= 36
    assert len({each.id for each in [*signs.of_card.values(), *signs.of_idea.values()]}) >= 115
    assert {each.id for each in signs.of_card.values()} <= {each.id for each in load_misconceptions()}


def test_a_single_miss_does_not_recur() -> None:
    found = find_recurring(list_question_misses([missed("q-alpha-rank-change", "alpha-is-the-scale")], BANK))
    assert (found.total, found.recurring) == (1, ())


def test_only_the_latest_misses_count_whatever_order_they_come_in() -> None:
    old = [Miss(at=NOW - timedelta(days=1), kind="question", ids=frozenset({"alpha-is-the-scale"}))] * 2
    new = [Miss(at=NOW, kind="task", ids=frozenset({"sum-for-product"}))] * LATEST
    found = find_recurring([*new, *old])
    assert [each.misconception.id for each in found.recurring] == ["sum-for-product"]
    assert found.total == LATEST


def test_questions_that_are_gone_and_unknown_numbers_are_passed_over() -> None:
    answers = [missed("q-gone", "alpha-is-the-scale"), missed("n-scaling-32-64", text="77")]
    assert list(list_question_misses(answers, BANK)) == []


def rated(card: str, rating: int, *, new: bool = False) -> CardReview:
    return CardReview(id=1, card_id=card, rating=rating, reviewed_at=NOW, duration_ms=1000, new=new)


def explained(prompt: str, **verdicts: str) -> ExplainAttempt:
    return ExplainAttempt(
        id=1,
        prompt_id=prompt,
        text="An explanation.",
        submitted_at=NOW,
        judgements=tuple(
            Judgement(concept_id=idea.replace("_", "-"), verdict=verdict, id=at, by="grader", at=NOW)
            for at, (idea, verdict) in enumerate(verdicts.items())
        ),
    )
