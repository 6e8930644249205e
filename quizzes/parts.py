"""The quizzes and explanations part of the app. It is built after the flashcards, which a miss requests."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from quizzes.bank.bank import Question
from quizzes.explain.class_grader import QuizClassGrader
from quizzes.explain.presenter import explain_exercise
from quizzes.grader.grader_client import GraderClient
from quizzes.interchange.exchange import question_exchange
from quizzes.interchange.user_bank import LiveBank
from quizzes.pages import explain as explain_page
from quizzes.pages import quiz as quiz_page
from quizzes.session.challenge import Challenges
from quizzes.session.class_questions import class_question
from quizzes.session.presenter import quiz_exercise
from quizzes.stats.progress import QuizSection
from study.content.search import SearchEntry
from study.parts import AppPart, Core
from study.text.markup import to_plain

STATIC = Path(__file__).parent / "static"


def build(core: Core, *, grader: bool) -> AppPart:
    """Read questions and prompts. Without the grader, learners judge their own explanations."""
    context, ports = core.context, core.ports
    bank = LiveBank(context.concepts, core.settings.questions_dir)
    client = GraderClient(core.settings.models_dir) if grader else None
    explain = explain_exercise(context, ask_for_cards=ports.ask_for_cards, grader=client)
    ports.explain = explain
    ports.subjects = replace(
        ports.subjects, of_prompt=explain.subjects, asked=explain.asked, of_idea=explain.idea_subjects
    )
    quiz = quiz_exercise(
        context,
        ask_for_cards=ports.ask_for_cards,
        elsewhere=ports.subjects,
        bank=bank,
        figure_about=ports.figure_about,
    )
    ports.quiz = quiz
    ports.subjects = replace(ports.subjects, of_question=quiz.subjects)
    ports.challenge_door = Challenges(sittings=quiz.sittings, dice=context.dice).door
    ports.class_question = partial(class_question, bank.by_id)
    ports.class_grader = QuizClassGrader(prompts=explain.prompts, client=client)
    return AppPart(
        pages=(
            lambda app: quiz_page.build(app, context, quiz),
            lambda app: explain_page.build(app, context, explain),
        ),
        exchanges={"questions": question_exchange(core.settings.home, context.concepts, bank)},
        sections=(QuizSection(store=context.store, bank=bank),),
        searchable=(lambda: map(_search_entry, bank.questions),),
        styles=(STATIC / "quiz.css", STATIC / "explain.css"),
        # The queue closes before the grader, because a waiting job must not start the grader again.
        closers=(*((client.close,) if client else ()), explain.room.close),
    )


def _search_entry(question: Question) -> SearchEntry:
    concepts = question.concepts
    return SearchEntry(
        kind="Questions",
        title=to_plain(question.stem),
        address=f"/quiz?{urlencode({'concept': concepts[0]})}" if concepts else "/quiz",
    )
