"""How much SQL a press on the Cards page takes, once the learner's logs have been read."""

import lora_lab.quantities  # noqa: F401 - a card shows the number it was checked against
from flashcards.pages.cards import CardsPage
from study.ports.context import Context
from study.store.database import share_view
from tests.exercises import build_card_exercise
from tests.visits import build_event, opened


def test_a_flip_takes_ten_statements_at_most_and_a_rating_twelve_in_two_transactions(
    context: Context, statements: list[str]
) -> None:
    page = CardsPage(context=context, exercise=build_card_exercise(context))
    with share_view():
        front = page.load(opened("b1"))
        back = page.act(build_event(front, "flip"), opened("b1"))["html"]
        front = page.act(build_event(back, "rate", nth=2), opened("b1"))["html"]
    for _ in range(3):
        statements.clear()
        with share_view():
            back = page.act(build_event(front, "flip"), opened("b1"))["html"]
        assert len(statements) <= 10
        statements.clear()
        with share_view():
            front = page.act(build_event(back, "rate", nth=2), opened("b1"))["html"]
        assert len(statements) <= 12
        assert sum(statement.startswith("BEGIN") for statement in statements) == 2
