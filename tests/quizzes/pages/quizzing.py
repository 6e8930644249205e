"""The Quiz page for tests, as the app makes it."""

from flashcards.review.presenter import card_exercise
from quizzes.interchange.exchange import question_exchange
from quizzes.interchange.user_bank import LiveBank
from quizzes.interchange.written_question import QuestionWriter
from quizzes.pages.quiz import QuizPage
from quizzes.pages.writing import QuestionWriting
from quizzes.session.presenter import QuizExercise, quiz_exercise
from study.io.apply_import import Imports
from study.ports.context import Context


def build_quiz(context: Context, exercise: QuizExercise | None = None) -> QuizPage:
    """Build it on the questions of the context's data folder; `exercise` may bring another clock."""
    home = context.settings.home
    bank = LiveBank(context.concepts, context.settings.questions_dir)
    writer = QuestionWriter(
        exchange=question_exchange(home, context.concepts, bank),
        imports=Imports(store=context.store, home=home),
    )
    exercise = exercise or quiz_exercise(context, ask_for_cards=card_exercise(context).ask_for, bank=bank)
    return QuizPage(
        context=context, exercise=exercise, writing=QuestionWriting(context=context, writer=writer)
    )
