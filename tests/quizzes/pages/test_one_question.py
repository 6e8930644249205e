"""The quiz of one question, which a search leads to."""

from html import unescape

import pytest

import lora_lab.quantities  # noqa: F401 - feedback shows the numbers it was checked against
from quizzes.pages.quiz import QuizPage
from study.ports.context import Context
from study.web.frame import Reply
from tests.quizzes.answering import right_fields, wrong_fields
from tests.quizzes.pages.quizzing import build_quiz
from tests.visits import build_event, opened, words

QUESTION = "q-lora-goal"
ADDRESS = f"question={QUESTION}"


@pytest.fixture
def page(context: Context) -> QuizPage:
    return build_quiz(context)


def address_in(html: str) -> str:
    """The query of the address that the address bar shows for a page."""
    return unescape(str(html).split('data-address="/quiz?', 1)[1].split('"', 1)[0])


def answer(page: QuizPage, html: str, *, correct: bool) -> Reply:
    query = address_in(html)
    seed = int(query.rpartition("seed=")[2])
    question = page.exercise.operations.bank.by_id[build_event(html, "answer")["question"]]
    fields = (right_fields if correct else wrong_fields)(question, seed=seed)
    return page.act(build_event(html, "answer", query=f"?{query}", fields=fields), opened("b1"))


def test_the_address_of_a_question_opens_it_and_it_is_answered_like_any_other(page: QuizPage) -> None:
    html = page.load(opened("b1", ADDRESS))
    assert "Question 1 of 1" in words(html)
    assert build_event(html, "answer")["question"] == QUESTION
    assert "Try again" in words(answer(page, html, correct=False)["html"])
    html = page.load(opened("b1", ADDRESS))
    assert "Second attempt" in words(html)
    done = answer(page, html, correct=True)["html"]
    query = address_in(done)
    assert "1 of 1 right." in words(page.act({"act": "next", "query": f"?{query}"}, opened("b1"))["html"])
    assert "1 of 1 right." in words(page.load(opened("b1", query)))


def test_an_answered_question_is_asked_anew_from_its_address_and_an_open_one_only_once(
    page: QuizPage,
) -> None:
    first = page.load(opened("b1", ADDRESS))
    assert address_in(page.load(opened("b1", ADDRESS))) == address_in(first)
    answer(page, first, correct=True)
    again = page.load(opened("b1", ADDRESS))
    assert address_in(again) != address_in(first)
    assert "Question 1 of 1" in words(again)


def test_looking_a_question_up_hides_neither_an_open_quiz_nor_an_open_exam(page: QuizPage) -> None:
    for mode, name in (("practice", "quiz"), ("exam", "exam")):
        form = {"mode": [mode], "length": ["5"], "seed": ["7"]}
        started = page.act({"act": "start", "fields": form}, opened("b1"))["html"]
        answer(page, started, correct=True)
        found = page.load(opened("b1", ADDRESS))
        answer(page, found, correct=True)
        assert f"Go on with your {name} : 1 of 5 answered." in words(page.load(opened("b1")))
        again = {"act": "again", "query": f"?{address_in(found)}"}
        assert "Question 1 of 1" in words(page.act(again, opened("b1"))["html"])
        answer(page, page.load(opened("b1", ADDRESS)), correct=True)


def test_a_question_that_is_gone_is_said_to_be_gone(page: QuizPage) -> None:
    shown = words(page.load(opened("b1", "question=nope")))
    assert "That question is no longer here. Choose a quiz instead." in shown
    assert "Mode" in shown
    assert "The quiz of this link has no questions." in words(
        page.load(opened("b1", "question=nope&n=1&seed=3"))
    )
