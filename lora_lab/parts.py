"""The lab as a part of the app: its pages and files, live figures, and its share of Today and Learn."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from lora_lab.claims.service import ClaimService
from lora_lab.engine.local import LocalEngine
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.figures import build_figures
from lora_lab.lab import Lab
from lora_lab.pages import downloads, project_files
from lora_lab.pages.claims import ClaimsPage
from lora_lab.pages.compare import ComparePage
from lora_lab.pages.grid import GridPage
from lora_lab.pages.memory import MemoryPage
from lora_lab.pages.microscope import MicroscopePage
from lora_lab.pages.models import ModelsPage
from lora_lab.pages.papers import PapersPage
from lora_lab.pages.projects import ProjectsPage
from lora_lab.pages.tasks import TasksPage
from lora_lab.pages.train import LabPage
from lora_lab.pages.xray import XrayPage
from lora_lab.predictions.judging import QUANTITY_CONCEPTS
from lora_lab.predictions.run_predictions import Predictions
from lora_lab.projects.service import ProjectService
from lora_lab.tasks.service import TaskService, list_entries
from lora_lab.views.class_grids import LabClassGrids
from lora_lab.views.class_runs import LabClassRuns
from lora_lab.views.first_run import FirstRun, predict_step
from lora_lab.views.lesson_link import build_lab_link
from lora_lab.views.run_panel import render_last_run
from lora_lab.views.search_entries import list_models, list_pages, list_settings
from lora_lab.xray.service import XrayService
from study.figures import figure
from study.parts import AppPart, Core
from study.web.frame import IslandPage

STATIC = Path(__file__).parent / "static"


def build(core: Core, engine: LocalEngine) -> AppPart:
    """Provide live figures, links into the lab, and each prediction's concepts. Closing stops the engine."""
    context, ports = core.context, core.ports
    lab = Lab(core.settings, engine)
    reader = ShapeReader(lab.home.find_shape)
    judged = TaskService(store=context.store)
    guided = ProjectService(store=context.store, lab=lab)
    ports.figures = build_figures(core.settings.models_dir, predict=partial(predict_step, lab))
    ports.figure_about = figure.build_figure_lookup(ports.figures)
    ports.subjects = replace(ports.subjects, of_prediction=QUANTITY_CONCEPTS)
    ports.lab_link = build_lab_link
    ports.project_link = guided.build_link
    guesses = Predictions(
        context=context,
        lab=lab,
        ask_for_cards=lambda *args, **more: ports.ask_for_cards(*args, **more),  # the cards are built later
    )
    ports.first_run = FirstRun(lab, guesses)
    ports.class_runs = LabClassRuns(lab=lab)
    ports.class_grids = LabClassGrids(lab=lab)
    ports.last_run = partial(render_last_run, lab, guesses)
    ports.tasks_about = judged.list_links
    ports.tasks_done = judged.count_done
    ports.task_misses = judged.list_misses

    def make_pages() -> Sequence[IslandPage]:
        ask = ports.ask_for_cards
        return (
            ProjectsPage(context=context, service=guided),
            TasksPage(context=context, service=judged, ports=ports),
            LabPage(context, lab, ask_for_cards=ask),
            GridPage(context, lab),
            ComparePage(context, lab),
            XrayPage(context, XrayService(lab), ask_for_cards=ask),
            MemoryPage(lab),
            MicroscopePage(context, lab, ask_for_cards=ask),
            ClaimsPage(ClaimService(reader)),
            ModelsPage(lab, reader),
            PapersPage(),
        )

    return AppPart(
        quantity_modules=("lora_lab.quantities",),
        pages=make_pages,
        routes=(
            lambda site: downloads.register(site, lab),
            lambda site: project_files.register(site, context, guided),
        ),
        searchable=(list_pages, list_settings, list_entries, list_models),
        styles=(STATIC / "lab.css", STATIC / "tasks.css"),
        closers=(lab.close, reader.close),
    )
