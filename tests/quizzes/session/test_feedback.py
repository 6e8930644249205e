"""What a screen reader hears of an answer that has several parts."""

from typing import cast

from quizzes.kinds.arranging import ArrangedItem, Matching, MatchingPair
from quizzes.kinds.grade import Grade
from quizzes.session.feedback import FeedbackRow, announce_feedback, announce_wrong
from study.store.logs.quizzes import QuizAnswer

TASK = Matching(
    pairs=(
        MatchingPair(id="a", left="The matrix A", choice="down"),
        MatchingPair(id="b", left="The matrix B", choice="up"),
    ),
    choices=(
        ArrangedItem(id="down", text="Takes the input down", feedback="It has r rows."),
        ArrangedItem(id="up", text="Takes it up again", feedback="It has r columns."),
        ArrangedItem(id="rate", text="The learning rate", feedback=""),
    ),
)


def grade_swapped() -> tuple[Grade, list[FeedbackRow]]:
    grade = TASK.grade({"pairs": {"a": "down", "b": "rate"}})
    return grade, [FeedbackRow(letter="", part=part, mark="") for part in grade.parts]


def test_each_wrong_pair_is_named_with_what_was_chosen() -> None:
    _, rows = grade_swapped()
    said = [announce_wrong(row) for row in rows if row.part.state == "wrong"]
    assert said == ["The matrix B: not The learning rate."]


def test_the_solution_names_each_pair_and_what_belongs_to_it() -> None:
    grade, rows = grade_swapped()
    answer = cast(QuizAnswer, type("Answer", (), {"given": {"pairs": {"b": "rate"}}, "score": 0.5}))
    assert announce_feedback(answer, grade, rows) == (
        "Partly right. It counts as 0.50 of a point. The matrix B: not The learning rate. "
        "The matrix B, the right answer: Takes it up again. It has r columns."
    )
