"""The composition of the app: what all parts share, what a part provides, and the site made of them.

A part is a package next to `study` whose `parts.py` has

    def build(core: Core) -> AppPart

It builds what the package needs, sets in `core.ports` what it provides for the others, and returns its pages,
routes and files. `build_site` makes one site of all parts; pages come last, when every port is set.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from sqlalchemy.engine import make_url
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from study.base.owner_log import OwnerLog
from study.base.settings import APP_NAME, Settings
from study.content.concepts import load_concepts
from study.io.apply_import import Imports
from study.io.backup import BackupExchange
from study.io.exchange import Exchange
from study.io.import_jobs import ImportJobs
from study.io.import_process import ProcessPlanner
from study.io.pending_upload import PendingUploads
from study.io.planning import DirectPlanner, Planner
from study.io.unfinished_import import restore_unfinished
from study.lessons.lesson import Lessons
from study.lessons.lesson_text import collect_terms
from study.pages import (
    concept,
    figures,
    inout,
    learn,
    practise,
    progress,
    reference,
    review,
    settings,
    start,
    today,
)
from study.pages.search_entries import list_entries
from study.ports.context import Context
from study.ports.places import Place
from study.ports.ports import Ports
from study.ports.progress import Section
from study.store import open_store
from study.store.snapshots import find_snapshots
from study.store.upkeep import start_upkeep
from study.web import (
    device_routes,
    documents,
    figure_route,
    frame,
    island_route,
    mounting,
    page_files,
    search_route,
    storage_troubles,
    transfer_routes,
)
from study.web.compression import BrotliAnswers
from study.web.device_routes import Devices
from study.web.security import middleware
from study.web.security.access import RoleGate, ServerKeys

FIGURE_STYLES = Path(__file__).parent / "static" / "figures.css"
REFERENCE_STYLES = Path(__file__).parent / "static" / "reference.css"
QUESTION_STYLES = Path(__file__).parent / "static" / "questions.css"
"""Of the kinds of question, for the quiz; a class's pages have them too."""


@dataclass(frozen=True, kw_only=True)
class Core:
    """What all parts share."""

    context: Context
    ports: Ports = field(default_factory=Ports)

    @property
    def settings(self) -> Settings:
        """The app's folders and addresses."""
        return self.context.settings

    @property
    def imports(self) -> Imports:
        """What applies imports and undoes them."""
        return Imports(store=self.context.store, home=self.settings.home)


@dataclass(frozen=True, kw_only=True)
class AppPart:
    """What a package adds to the site."""

    pages: Callable[[], Sequence[frame.IslandPage]] = tuple
    """Makes the pages, each with one island (`frame.add_island_page`), once all parts are built."""

    routes: Sequence[Callable[[FastAPI], None]] = ()
    """Functions that add routes, which come before the pages."""

    exchanges: Mapping[str, Exchange] = field(default_factory=dict)
    """Import and export, by the name in URLs."""

    claims_last: bool = False
    """Whether its exchanges take any table or text, and so are asked after those that know their files."""

    exchange_openers: Sequence[Callable[..., Exchange]] = ()
    """Functions that open the same exchanges in the process that reads files."""

    quantity_modules: Sequence[str] = ()
    """Modules that register the quantities which content is checked against; that process needs them too."""

    sections: Sequence[Section] = ()
    """Its sections on Progress."""

    searchable: Sequence[search_route.Searchable] = ()
    """What a search finds in it, in the order of the results."""

    styles: Sequence[Path] = ()
    """Style sheets for every page."""

    gates: Sequence[Callable[[ASGIApp], ASGIApp]] = ()
    """Middleware that refuses requests, behind the check of host names."""

    closers: Sequence[Callable[[], None]] = ()
    """Shutdown functions, called in reverse order."""


def build_core(settings: Settings, *, places: tuple[Place, ...], shared: bool = False) -> Core:
    """Open the store and read the concept map."""
    return Core(
        context=Context(
            settings=settings,
            store=open_store(settings.database_url, home=settings.home),
            concepts=load_concepts(),
            places=places,
            shared=shared,
        )
    )


def build_site(
    core: Core, parts: Sequence[AppPart], *, hosts: Sequence[str], projector: bool, open_lab: bool = False
) -> FastAPI:
    """Build one site of all parts, as an ASGI app; `site.state.close` stops its background work.

    `site.state.prepare` does ahead what the first visitor would wait for, in a second of processor time.
    `site.state.owner_key` opens the whole app from another machine, where others can reach it.
    """
    keys = ServerKeys(core.settings.home) if core.context.shared else None
    devices = Devices(context=core.context, keys=keys) if keys else None
    shared = _build_shared(core, parts, devices)
    all_parts = (shared, *parts)
    with mounting.building_pages():
        blocks = gr.Blocks(title=APP_NAME, analytics_enabled=False, delete_cache=(3600, 86_400))
        for part in all_parts:
            for page in part.pages():
                frame.add_island_page(blocks, core.context, page)

    site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    storage_troubles.register(site)
    island_route.register(site, frame.collect_acts(blocks))
    page_files.register(site)
    closing = ExitStack()
    for part in all_parts:
        for add_routes in part.routes:
            add_routes(site)
        for close in part.closers:
            closing.callback(close)
    site.state.close = closing.close
    site.state.prepare = partial(_prepare_first_visit, core.ports)
    site.add_middleware(middleware.ErrorNotes)
    site.add_middleware(BrotliAnswers, minimum_bytes=24_000)
    site.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)  # pages to a third in about 2 ms
    for part in all_parts:
        for gate in part.gates:
            site.add_middleware(gate)
    site.state.owner_key = keys.owner if keys else ""
    if keys:
        site.add_middleware(RoleGate, keys=keys, open_lab=open_lab)
    site.add_middleware(
        middleware.RequestGuard,
        hosts=hosts,
        public_names=core.settings.public_names,
        larger=transfer_routes.LARGER_BODIES,
    )
    styles = [*(sheet for part in parts for sheet in part.styles), FIGURE_STYLES, REFERENCE_STYLES]
    return mounting.mount(site, blocks, head=page_files.build_head(styles, projector=projector))


def _prepare_first_visit(ports: Ports) -> None:
    """Compress the files of every page, and read what Today says to a newcomer."""
    page_files.compress_first_files()
    # Gradio 6.31 imports it before it answers the first page, which draws nothing.
    import_module("matplotlib")
    today.render_newcomer_page(ports)


def _build_shared(core: Core, parts: Sequence[AppPart], devices: Devices | None) -> AppPart:
    """Build the pages that show something of every part."""
    context, ports, home = core.context, core.ports, core.settings.home
    restore_unfinished(context.store, home)
    exchanges: dict[str, Exchange] = {
        "backup": BackupExchange(store=context.store, home=home, row_problem=ports.row_problem)
    }
    for part in parts:
        exchanges |= part.exchanges
    sections = [section for part in parts for section in part.sections]
    snapshots = find_snapshots(core.settings.database_url, home)
    jobs = ImportJobs(_build_planner(core, parts, exchanges))
    upkeep = start_upkeep(context.store.profiles, snapshots)
    pending = PendingUploads(folder=core.settings.imports_dir)
    transfer = inout.InOutPage(
        context=context, exchanges=exchanges, pending=pending, jobs=jobs, snapshots=snapshots
    )
    searchable: list[search_route.Searchable] = [
        partial(list_entries, context, ports.figures),
        *(entries for part in parts for entries in part.searchable),
    ]
    return AppPart(
        pages=lambda: (
            *_list_study_pages(core),
            settings.SettingsPage(context=context, devices=devices),
            progress.ProgressPage(context=context, subjects=ports.subjects, sections=sections),
            transfer,
        ),
        routes=(
            partial(figure_route.register, figures=ports.figures),
            partial(documents.register, places=context.places),
            *((partial(device_routes.register, devices=devices),) if devices else ()),
            partial(progress.register_chart_files, context=context, sections=sections),
            partial(transfer_routes.register, context=context, exchanges=exchanges, pending=pending),
            partial(search_route.register, searchable=searchable, places=context.places),
        ),
        closers=(OwnerLog(home).close, context.store.close, upkeep.close, jobs.close),
    )


def _list_study_pages(core: Core) -> Sequence[frame.IslandPage]:
    """List the pages that a learner studies on, each with what it shows of the parts."""
    context, ports = core.context, core.ports
    terms = collect_terms(context.concepts)
    lessons = Lessons(concepts=context.concepts, check_preset=ports.lab_link)
    mixed = review.ReviewPage(context=context, cards=ports.cards, quiz=ports.quiz, explain=ports.explain)
    return (
        today.TodayPage(context=context, review=mixed, ports=ports),
        learn.LearnPage(context=context, subjects=ports.subjects),
        concept.ConceptPage(context=context, ports=ports, lessons=lessons, terms=terms, review=mixed),
        start.StartPage(context=context, figures=ports.figures, terms=terms, first_run=ports.first_run),
        figures.FiguresPage(context=context, figures=ports.figures),
        reference.ReferencePage(context=context, terms=terms),
        practise.PractisePage(context=context, review=mixed, ports=ports),
        mixed,
    )


def _build_planner(core: Core, parts: Sequence[AppPart], exchanges: Mapping[str, Exchange]) -> Planner:
    """Read files in a process of their own, unless the database lives in this one."""
    settings = core.settings
    asked = sorted(parts, key=lambda part: part.claims_last)
    if make_url(settings.database_url).database in (None, "", ":memory:"):
        of_parts = [exchange for part in asked for exchange in part.exchanges.values()]
        return DirectPlanner(exchanges=[exchanges["backup"], *of_parts], imports=core.imports)
    openers = [opener for part in asked for opener in part.exchange_openers]
    modules = [module for part in parts for module in part.quantity_modules]
    return ProcessPlanner(settings, openers, modules=modules, row_problem=core.ports.row_problem)
