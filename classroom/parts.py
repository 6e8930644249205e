"""Live classes as a part of the app: their pages and routes, and the gate in front of all others."""

import contextlib
from collections.abc import Callable
from datetime import datetime
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from classroom.access.gate import ClassGate
from classroom.access.keys import Keys
from classroom.live.hub import Hub
from classroom.pages import figure_routes
from classroom.pages.documents import render_refusal
from classroom.pages.report_routes import ReportRoutes
from classroom.pages.student_routes import StudentRoutes
from classroom.pages.take_home_routes import TakeHomeRoutes
from classroom.pages.teacher_routes import TeacherRoutes
from classroom.plans.plan import Plans
from study.base.errors import StorageError
from study.base.periodic_task import EVERY_SECONDS, PeriodicTask
from study.parts import AppPart, Core
from study.store.classes import ClassLog


def build(core: Core, *, only_class: bool, reachable: bool, students_at: str = "") -> AppPart:
    """Build it after the quizzes and the lab, whose questions and runs it uses.

    `only_class`: other devices reach nothing but a class's student routes. `reachable`: they reach the app.
    `students_at`: where other processes or a proxy answer students; empty: this app does.
    """
    context, ports = core.context, core.ports
    runs, grids, grader, figures = ports.class_runs, ports.class_grids, ports.class_grader, ports.figures
    plans = Plans(
        find_question=ports.class_question,
        search_questions=ports.search_class_questions,
        find_twins=ports.class_twins,
        runs=runs,
        grids=grids,
        grader=grader,
        figures=figures,
        own_folder=context.settings.plans_dir,
        concepts=context.concepts,
    )
    hub = Hub(
        context=context, runs=runs, grids=grids, grader=grader, figures=figures, kinds=ports.class_kinds
    )
    keys = Keys(log=context.store.classes)
    name_expiry = start_name_expiry(context.store.classes, context.clock)
    return AppPart(
        routes=(
            TeacherRoutes(context, hub, plans, keys, reachable=reachable, students_at=students_at).register,
            ReportRoutes(context, hub, keys).register,
            TakeHomeRoutes(
                context,
                hub,
                write_cards=ports.class_cards,
                ask_for_cards=ports.ask_for_cards,
                only_class=only_class,
            ).register,
            StudentRoutes(hub, reachable=reachable, students_at=students_at).register,
            partial(figure_routes.register, hub=hub),
        ),
        closers=(name_expiry.close,),
        gates=(partial(ClassGate, keys=keys, only_class=only_class, render_refusal=render_refusal),),
    )


def start_name_expiry(log: ClassLog, clock: Callable[[], datetime]) -> PeriodicTask:
    """Start the task that deletes expired names now and every hour."""

    def look() -> None:
        # Where the database is away for a while, the next look deletes them.
        with contextlib.suppress(SQLAlchemyError, StorageError):
            log.transact([lambda t: t.forget_names(now=clock())])

    task = PeriodicTask("class-names", look, every_seconds=EVERY_SECONDS)
    task.start()
    return task
