"""What one worker serves: the students' routes, and 403 for all else."""

from functools import partial

from fastapi import FastAPI

from classroom.access.gate import ClassGate
from classroom.live.hub import Hub
from classroom.pages import figure_routes
from classroom.pages.documents import render_refusal
from classroom.pages.student_routes import StudentRoutes
from classroom.pages.take_home_routes import TakeHomeRoutes
from study.figures.figure import Figures
from study.ports.classes import ClassKinds, WriteClassCards
from study.ports.context import Context
from study.web import storage_troubles
from study.web.documents import mount_fonts
from study.web.security.middleware import RequestGuard


def build_students_site(
    context: Context,
    *,
    figures: Figures,
    kinds: ClassKinds,
    write_cards: WriteClassCards,
    hosts: tuple[str, ...] = (),
) -> FastAPI:
    """Build it. `hosts` are names that browsers reach it by, besides this machine's own and all addresses."""
    hub = Hub(context=context, figures=figures, kinds=kinds)
    site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    storage_troubles.register(site)
    TakeHomeRoutes(context, hub, write_cards=write_cards, ask_for_cards=None, only_class=True).register(site)
    StudentRoutes(hub).register(site)
    figure_routes.register(site, hub)
    mount_fonts(site)
    site.add_middleware(partial(ClassGate, keys=None, only_class=True, render_refusal=render_refusal))
    site.add_middleware(RequestGuard, hosts=hosts)
    return site
