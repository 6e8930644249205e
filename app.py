"""The app: `python app.py` builds its pages into one and serves them; `--help` lists the options."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any

from lora_lab.cli.startup_status import announce
from lora_lab.engine.local import LocalEngine
from study.base.settings import Settings
from study.web.server import run

ROOT = Path(__file__).parent
MENU = (
    ("Today", "/"),
    ("Learn", "/learn"),
    ("Cards", "/cards"),
    ("Quiz", "/quiz"),
    ("Explain", "/explain"),
    ("Lab", "/lab"),
    ("Progress", "/progress"),
)
STYLES = (
    ROOT / "flashcards/static/cards.css",
    ROOT / "quizzes/static/quiz.css",
    ROOT / "quizzes/static/explain.css",
    ROOT / "lora_lab/static/lab.css",
    ROOT / "study/static/figures.css",
)


def build_app(
    settings: Settings, *, hosts: Sequence[str] = (), projector: bool = False, worker: bool = True
) -> Any:
    """All pages behind one door, as an ASGI app."""
    engine = LocalEngine(settings, warm=worker)
    engine.start()  # first: it gets ready on one core while this process imports on the other
    if worker:
        announce(engine.home, _say)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read while gradio is imported
    os.environ.setdefault("GRADIO_TEMP_DIR", str(settings.home / "uploads"))
    return _composed(settings, engine, hosts=hosts, projector=projector, worker=worker)


def _composed(
    settings: Settings, engine: LocalEngine, *, hosts: Sequence[str], projector: bool, worker: bool
) -> Any:
    """Every page and file route. Gradio takes seconds to import, hence the imports in here."""
    import gradio as gr
    from fastapi import FastAPI
    from starlette.middleware.gzip import GZipMiddleware

    import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
    from flashcards.interchange.anki_schedule import row_problem
    from flashcards.interchange.exchange import card_exchange
    from flashcards.interchange.user_decks import LiveDecks
    from flashcards.pages import browse as browse_page
    from flashcards.pages import cards as cards_page
    from flashcards.review.presenter import card_exercise
    from flashcards.stats.progress import CardSection
    from lora_lab.engine.shape_reader import ShapeReader
    from lora_lab.figures import figures
    from lora_lab.lab import Lab
    from lora_lab.pages import all as lab_pages
    from lora_lab.pages import project_files
    from lora_lab.pages import projects as projects_page
    from lora_lab.pages.downloads import register
    from lora_lab.predictions import of_microscope as microscope
    from lora_lab.predictions.judging import QUANTITY_CONCEPTS
    from lora_lab.projects.service import ProjectDesk
    from lora_lab.views.lesson_link import lab_door
    from lora_lab.views.run_panel import last_run
    from lora_lab.views.setting_plots import first_chart
    from quizzes.explain.presenter import explain_exercise
    from quizzes.grader.grader_client import GraderDesk
    from quizzes.interchange.exchange import question_exchange
    from quizzes.interchange.user_bank import LiveBank
    from quizzes.pages import explain as explain_page
    from quizzes.pages import quiz as quiz_page
    from quizzes.session.challenge import Challenges
    from quizzes.session.presenter import quiz_exercise
    from quizzes.stats.progress import QuizSection
    from study.content.concepts import load_concepts
    from study.figures import figure
    from study.io.backup import BackupExchange
    from study.io.exchange import Exchange
    from study.io.pending_upload import Pending
    from study.learner.due import Subjects
    from study.lessons.lesson import Lessons
    from study.lessons.lesson_text import terms_of
    from study.pages import concept as concept_page
    from study.pages import figures as figures_page
    from study.pages import inout as inout_page
    from study.pages import learn as learn_page
    from study.pages import progress as progress_page
    from study.pages import review as review_page
    from study.pages import settings as settings_page
    from study.pages import today as today_page
    from study.ports.context import Context
    from study.ports.doors import Doors
    from study.store import open_store
    from study.web import documents, figure_route, frame, middleware, progress_files, transfer_routes

    context = Context(
        settings=settings,
        store=open_store(settings.database_url),
        concepts=load_concepts(),
        clock=_now,
        dice=SystemRandom(),
        menu=MENU,
    )
    decks = LiveDecks(context.concepts, settings.decks_dir)
    bank = LiveBank(context.concepts, settings.questions_dir)
    live_figures = figures(settings.models_dir)
    figure_about = figure.about(live_figures)
    cards = card_exercise(context, decks, figure_about=figure_about)
    grader = GraderDesk(settings.models_dir) if worker else None
    explain = explain_exercise(context, ask_for_cards=cards.ask_for, desk=grader)
    beside_quizzes = Subjects(
        of_card=cards.subjects,
        of_prompt=explain.subjects,
        asked=explain.asked,
        of_idea=explain.idea_subjects,
        of_prediction=QUANTITY_CONCEPTS | microscope.QUANTITY_CONCEPTS,
    )
    quiz = quiz_exercise(
        context,
        ask_for_cards=cards.ask_for,
        elsewhere=beside_quizzes,
        bank=bank,
        figure_about=figure_about,
    )
    subjects = replace(beside_quizzes, of_question=quiz.subjects)
    review = review_page.ReviewPage(context=context, cards=cards, quiz=quiz, explain=explain)
    sections = (CardSection(exercise=cards), QuizSection(store=context.store, bank=bank))

    exchanges: dict[str, Exchange] = {
        "backup": BackupExchange(store=context.store, home=settings.home, row_problem=row_problem),
        "questions": question_exchange(settings.home, context.concepts, bank),
        "cards": card_exchange(context.store, settings.home, context.concepts, decks),
    }
    pending = Pending(folder=settings.imports_dir)
    inout = inout_page.InOutPage(context=context, exchanges=exchanges, pending=pending)

    lab = Lab(settings, engine)
    reader = ShapeReader(lab.home.shape)
    projects = ProjectDesk(store=context.store, lab=lab)
    lessons = Lessons(concepts=context.concepts, check_preset=lab_door)
    doors = Doors(
        lab=lab_door,
        challenge=Challenges(sittings=quiz.sittings, dice=context.dice).door,
        project=projects.door,
    )
    corners = today_page.Corners(first_chart=first_chart, last_run=partial(last_run, lab))

    pages = gr.Blocks(title=frame.APP_NAME, analytics_enabled=False, delete_cache=(3600, 86_400))
    today_page.build(pages, context, review=review, cards_due=cards.due, subjects=subjects, corners=corners)
    learn_page.build(pages, context, subjects=subjects)
    concept_page.build(
        pages,
        context,
        subjects=subjects,
        lessons=lessons,
        terms=terms_of(context.concepts),
        figures=live_figures,
        doors=doors,
    )
    projects_page.build(pages, context, projects)
    figures_page.build(pages, context, figures=live_figures)
    cards_page.build(pages, context, cards)
    browse_page.build(pages, context, cards)
    quiz_page.build(pages, context, quiz)
    explain_page.build(pages, context, explain)
    review_page.build(pages, context, review)
    settings_page.build(pages, context)
    progress_page.build(pages, context, subjects=subjects, sections=sections)
    inout_page.build(pages, context, inout)
    lab_pages.build(pages, context, lab, reader, ask_for_cards=cards.ask_for)

    site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    closing = ExitStack()
    closing.callback(lab.close)
    closing.callback(reader.close)
    closing.callback(cards.fitting.close)
    if grader is not None:
        closing.callback(grader.close)
    closing.callback(explain.room.close)  # runs before the grader's: what waits must not start it anew
    site.state.close = closing.close
    register(site, lab)
    project_files.register(site, context, projects)
    figure_route.register(site, live_figures)
    documents.register(site)
    progress_files.register(site, context, sections)
    transfer_routes.register(site, context, exchanges, pending)
    site.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)  # pages to a third, in about 2 ms
    site.add_middleware(middleware.Doorkeeper, hosts=hosts, larger=transfer_routes.LARGER_BODIES)
    return frame.mount(site, pages, styles=STYLES, projector=projector)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - for the person who started the app


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(run(build_app))
