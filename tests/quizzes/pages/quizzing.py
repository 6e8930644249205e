"""The Quiz page for tests, as the app makes it."""

from quizzes.interchange.exchange import build_question_exchange
from quizzes.interchange.user_bank import LiveBank
from quizzes.interchange.written_question import QuestionWriter
from quizzes.pages.quiz import QuizPage
from quizzes.pages.writing import QuestionWriting
from quizzes.session.presenter import QuizExercise
from study.io.apply_import import Imports
from study.ports.context import Context
from tests.exercises import build_card_exercise, build_quiz_exercise


def build_quiz(context: Context, exercise: QuizExercise | None = None) -> QuizPage:
    """Build it on the questions of the context's data folder; `exercise` may bring another clock."""
    home = context.settings.home
    bank = LiveBank(context.concepts, context.settings.questions_dir)
    writer = QuestionWriter(
        exchange=build_question_exchange(home, context.concepts, bank),
        imports=Imports(store=context.store, home=home),
    )
    exercise = exercise or build_quiz_exercise(
        context, ask_for_cards=build_card_exercise(context).ask_for, bank=bank
    )
    return QuizPage(
        context=context, exercise=exercise, writing=QuestionWriting(context=context, writer=writer)
    )
