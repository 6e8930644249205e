"""How much SQL a press on the Quiz page takes, once the learner's logs have been read."""

import pytest

import lora_lab.quantities  # noqa: F401 - feedback shows the numbers it was checked against
from quizzes.pages.quiz import QuizPage
from study.ports.context import Context
from study.store.database import share_view
from study.web.frame import Reply
from tests.quizzes.answering import right_fields, wrong_fields
from tests.quizzes.pages.quizzing import build_quiz
from tests.visits import build_event, opened, query_of


@pytest.fixture
def page(context: Context) -> QuizPage:
    return build_quiz(context)


def test_start_answer_and_next_take_no_more_statements_and_transactions_than_these(
    page: QuizPage, statements: list[str]
) -> None:
    """Statements, transactions among them. A miss also requests cards: two reads and a write more."""

    def press(event: dict[str, object], *, statements_at_most: int, transactions: int) -> Reply:
        statements.clear()
        with share_view():
            reply = page.act(event, opened("b1"))
        assert len(statements) <= statements_at_most, statements
        assert sum(each.startswith("BEGIN") for each in statements) == transactions, statements
        return reply

    with share_view():  # as the app opens a page
        page.load(opened("b1"))
    for seed in (7, 8):
        form = {"length": ["5"], "seed": [str(seed)]}
        started = press({"act": "start", "fields": form}, statements_at_most=17, transactions=3)
        query, html = query_of(started["step"]), started["html"]
        question = page.exercise.operations.bank.by_id[build_event(html, "answer")["question"]]
        missed = build_event(html, "answer", query=query, fields=wrong_fields(question, seed=seed))
        press(missed, statements_at_most=24, transactions=5)
        html = press({"act": "next", "query": query}, statements_at_most=6, transactions=1)["html"]
        right = build_event(html, "answer", query=query, fields=right_fields(question, seed=seed))
        press(right, statements_at_most=11, transactions=3)
