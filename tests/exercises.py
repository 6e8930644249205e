"""The exercises of cards and questions on a test's store, as the parts of the app build them."""

from flashcards.interchange.user_decks import LiveDecks
from flashcards.review.fit_scheduler import Fitting
from flashcards.review.operations import Reviews
from flashcards.review.presenter import CardExercise
from quizzes.interchange.user_bank import LiveBank
from quizzes.session.operations import QuizOperations
from quizzes.session.presenter import QuizExercise
from study.content.confusable import load_confusable
from study.ports.context import Context
from study.ports.review import AskForCards
from study.ports.subjects import Subjects


def build_card_exercise(context: Context, decks: LiveDecks | None = None) -> CardExercise:
    """The cards; the decks are read here unless they are given."""
    reviews = Reviews(
        store=context.store,
        decks=decks or LiveDecks(context.concepts, context.settings.decks_dir),
        lookalikes=load_confusable(context.concepts),
    )
    fitting = Fitting(reviews, clock=context.clock)
    return CardExercise(reviews=reviews, concepts=context.concepts, fitting=fitting)


def build_quiz_exercise(
    context: Context,
    *,
    ask_for_cards: AskForCards,
    elsewhere: Subjects | None = None,
    bank: LiveBank | None = None,
) -> QuizExercise:
    """The questions; the bank is read here unless it is given."""
    operations = QuizOperations(
        store=context.store,
        bank=bank or LiveBank(context.concepts, context.settings.questions_dir),
        subjects=elsewhere or Subjects(),
    )
    return QuizExercise(operations=operations, concepts=context.concepts, ask_for_cards=ask_for_cards)
