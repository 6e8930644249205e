"""The routes of a class without the other pages: starts within seconds, so that it can be killed often.

python -m benchmarks.class_server --port 8700 --data-folder /tmp/class
"""

from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from classroom.access.gate import ClassGate
from classroom.access.keys import Keys
from classroom.live.hub import Hub
from classroom.pages.documents import render_refusal
from classroom.pages.report_routes import ReportRoutes
from classroom.pages.student_routes import StudentRoutes
from classroom.pages.teacher_routes import TeacherRoutes
from classroom.plans.plan import Plans
from lora_lab.engine.local import LocalEngine
from lora_lab.figures import build_figures
from lora_lab.lab import Lab
from lora_lab.views.class_grids import LabClassGrids
from lora_lab.views.class_runs import LabClassRuns
from quizzes.bank.bank import load_bank
from quizzes.explain.class_grader import QuizClassGrader
from quizzes.grader.prompts import load_prompts
from quizzes.session.class_answers import QuizClassKinds
from quizzes.session.class_questions import find_class_question
from study.base.command_line import build_module_parser
from study.base.settings import load_settings
from study.content.concepts import load_concepts
from study.ports.context import Context
from study.store import open_store
from study.web.security.middleware import RequestGuard
from study.web.serving.server import take_port


def main() -> None:
    """Serve until killed."""
    parser = build_module_parser("benchmarks.class_server", __doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-folder", type=Path, required=True)
    options = parser.parse_args()
    settings = load_settings(home=options.data_folder)
    context = Context(settings=settings, store=open_store(settings.database_url), concepts=load_concepts())
    lab = Lab(settings, LocalEngine(settings, warm=False))  # never started: this benchmark trains nothing
    runs, grids = LabClassRuns(lab=lab), LabClassGrids(lab=lab)
    grader = QuizClassGrader(prompts=load_prompts(context.concepts), client=None)
    figures = build_figures(settings.models_dir)
    bank = load_bank(context.concepts)
    plans = Plans(
        find_question=partial(find_class_question, bank),
        runs=runs,
        grids=grids,
        grader=grader,
        figures=figures,
        own_folder=settings.plans_dir,
    )
    hub = Hub(context=context, runs=runs, grids=grids, grader=grader, figures=figures, kinds=QuizClassKinds())
    keys = Keys(log=context.store.classes)
    site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    TeacherRoutes(context, hub, plans, keys, reachable=True).register(site)
    ReportRoutes(context, hub, keys).register(site)
    StudentRoutes(hub).register(site)
    site.add_middleware(partial(ClassGate, keys=keys, only_class=True, render_refusal=render_refusal))
    site.add_middleware(RequestGuard)
    with take_port("127.0.0.1", options.port) as listening:
        print(f"Ready: http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(site, log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    main()
