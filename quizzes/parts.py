"""The quizzes and explanations part of the app. It is built after the flashcards, which a miss requests."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from quizzes.bank.experiments import load_experiments
from quizzes.bank.misconceptions import Misconception, load_misconceptions
from quizzes.explain.class_grader import QuizClassGrader
from quizzes.explain.presenter import explain_exercise
from quizzes.grader.grader_client import GraderClient
from quizzes.interchange.exchange import build_question_exchange, open_exchange
from quizzes.interchange.user_bank import LiveBank
from quizzes.interchange.written_question import QuestionWriter
from quizzes.kinds.question import Question
from quizzes.pages.explain import ExplainPage
from quizzes.pages.progress_section import QuizSection
from quizzes.pages.quiz import QuizPage
from quizzes.pages.writing import ADDRESS, QuestionWriting
from quizzes.session.challenge import build_challenge_link
from quizzes.session.class_answers import QuizClassKinds
from quizzes.session.class_questions import find_class_question, list_class_twins, search_class_questions
from quizzes.session.operations import QuizOperations
from quizzes.session.presenter import QuizExercise
from quizzes.stats.recurring_misses import find_recurring_misses
from study.content.concepts import build_concept_address
from study.content.search import SearchEntry
from study.parts import QUESTION_STYLES, AppPart, Core
from study.ports.context import Context, Visit
from study.ports.learn import MisconceptionLink, RecurringMiss
from study.ports.ports import Ports
from study.text.markup import to_plain

WRITE = SearchEntry(
    kind="Actions",
    title="Write a question",
    address=ADDRESS,
    about="Make a question of your own: a right answer and wrong ones.",
)
STATIC = Path(__file__).parent / "static"


def build(core: Core, *, grader: bool) -> AppPart:
    """Read questions and prompts. Without the grader, learners judge their own explanations."""
    context, ports = core.context, core.ports
    bank = LiveBank(context.concepts, core.settings.questions_dir)
    client = GraderClient(core.settings.models_dir) if grader else None
    explain = explain_exercise(context, ask_for_cards=ports.ask_for_cards, grader=client)
    ports.explain = explain
    ports.subjects = replace(
        ports.subjects,
        of_prompt=explain.subjects,
        asked={prompt.id: prompt.text for prompt in explain.prompts.values()},
        of_idea={key: (advice.about,) for key, advice in explain.advices.items()},
    )
    quiz = QuizExercise(
        operations=QuizOperations(store=context.store, bank=bank, subjects=ports.subjects),
        concepts=context.concepts,
        ask_for_cards=ports.ask_for_cards,
        figure_about=ports.figure_about,
    )
    exchange = build_question_exchange(core.settings.home, context.concepts, bank)
    writer = QuestionWriter(exchange=exchange, imports=core.imports)
    writing = QuestionWriting(context=context, writer=writer)
    ports.quiz = quiz
    ports.open_quiz = quiz.open_quiz
    ports.subjects = replace(ports.subjects, of_question=quiz.subjects)
    ports.challenge_link = partial(build_challenge_link, quiz.operations, context.rng)
    ports.class_kinds = QuizClassKinds()
    ports.class_question = partial(find_class_question, bank)
    ports.class_twins = partial(list_class_twins, bank)
    ports.search_class_questions = partial(search_class_questions, bank, rng=context.rng)
    ports.class_grader = QuizClassGrader(prompts=explain.prompts, client=client)
    ports.misconception = find_misconception
    ports.misconceptions_about = list_misconceptions
    ports.recurring_misses = partial(list_recurring, context, ports, bank)
    return AppPart(
        pages=lambda: (
            QuizPage(context=context, exercise=quiz, writing=writing),
            ExplainPage(context=context, exercise=explain),
        ),
        exchanges={"questions": exchange},
        exchange_openers=(open_exchange,),
        sections=(QuizSection(store=context.store, bank=bank, recurring=ports.recurring_misses),),
        searchable=(lambda: [WRITE], lambda: map(_search_entry, bank.questions)),
        styles=(QUESTION_STYLES, STATIC / "quiz.css", STATIC / "explain.css"),
        # The queue closes before the grader, because a waiting job must not start the grader again.
        closers=(*((client.close,) if client else ()), explain.room.close),
    )


def find_misconception(misconception_id: str) -> MisconceptionLink | None:
    """Return the name of a misconception and the page that refutes it; None when it is gone."""
    found = next((each for each in load_misconceptions() if each.id == misconception_id), None)
    return _link_misconception(found) if found else None


def list_misconceptions(concept_id: str) -> list[MisconceptionLink]:
    """Return the misconceptions that the page of a concept refutes."""
    return [_link_misconception(each) for each in load_misconceptions() if each.concept == concept_id]


def _link_misconception(found: Misconception) -> MisconceptionLink:
    experiment = load_experiments()[found.id]
    return MisconceptionLink(
        id=found.id,
        name=found.name,
        address=build_concept_address(found.concept),
        experiment=experiment.do,
        experiment_address=experiment.address,
    )


def list_recurring(context: Context, ports: Ports, bank: LiveBank, visit: Visit) -> list[RecurringMiss]:
    """Return what recurs in a learner's latest misses of every kind, each with what to do about it."""
    misses = find_recurring_misses(context.store, visit.profile.id, bank, ports.task_misses(visit))
    found = []
    for each in misses.recurring:
        concept = each.misconception.concept
        task = next(iter(ports.tasks_about(visit, concept)), None)
        found.append(
            RecurringMiss(
                misconception=_link_misconception(each.misconception),
                count=each.count,
                total=misses.total,
                where=each.where,
                questions=f"/quiz?{urlencode({'concept': concept})}",
                task=task.address if task else "",
                task_name=task.name if task else "",
            )
        )
    return found


def _search_entry(question: Question) -> SearchEntry:
    return SearchEntry(
        kind="Questions",
        title=to_plain(question.stem),
        address=f"/quiz?{urlencode({'question': question.id})}",
    )
