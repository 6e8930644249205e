"""Gradio's pages in the app's site, their look, and what is replaced in Gradio for them.

Read it after an upgrade of Gradio. `stub_files.py` replaces one thing more, before Gradio is imported.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from http import HTTPStatus
from typing import Any

import gradio as gr
import gradio.blocks
import gradio.state_holder
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from study.base.errors import LearnerError
from study.base.settings import APP_NAME
from study.text.templates import render
from study.web import page_files
from study.web.security.content_policy import GradioPages
from study.web.security.middleware import BODY_LIMIT_BYTES

QUEUE_PAUSE_SECONDS = 0.1
"""Gradio 6.31 looks 1,000 times a second for events in its queue, where none of ours ever waits: that takes
an idle app 4 % of a core."""

SESSIONS_KEPT = 500
"""Gradio's record of a session is made again when an older one comes back; no page here keeps state in it."""

_colors = gr.themes.colors

# Paper and ink of Gradio's own components, as in page.css; both say every colour for light and for dark.
PAPER, SHEET, INK, SOFT, RULE = "#fbfaf6", "#ffffff", "#1d2329", "#55606b", "#d9d3c7"
PAPER_DARK, SHEET_DARK, INK_DARK, SOFT_DARK, RULE_DARK = "#15181c", "#1c2026", "#e8e4da", "#aab1b9", "#3a414a"
ACCENT, ACCENT_DARK = "#1c4f8f", "#8db8f0"

COLOURS = {  # on a light page, and on a dark one
    "body_background_fill": (PAPER, PAPER_DARK),
    "body_text_color": (INK, INK_DARK),
    "body_text_color_subdued": (SOFT, SOFT_DARK),
    "background_fill_primary": (SHEET, SHEET_DARK),
    "background_fill_secondary": (PAPER, PAPER_DARK),
    "border_color_primary": (RULE, RULE_DARK),
    "block_background_fill": (SHEET, SHEET_DARK),
    "block_border_color": (RULE, RULE_DARK),
    "block_shadow": ("none", "none"),
    "block_info_text_color": (SOFT, SOFT_DARK),
    "block_label_text_color": (SOFT, SOFT_DARK),
    "block_title_text_color": (INK, INK_DARK),
    "input_border_color": ("#7b838c", "#7b838c"),
    "input_placeholder_color": ("#6a737d", "#98a1ab"),
    "checkbox_border_color": ("#7b838c", "#98a1ab"),
    "link_text_color": (ACCENT, ACCENT_DARK),
    "button_primary_background_fill": (ACCENT, ACCENT_DARK),
    "button_primary_background_fill_hover": ("#143c6e", "#b3d0f6"),
    "button_primary_text_color": ("#ffffff", "#10151b"),
    "button_cancel_background_fill": ("#9b2c2c", "#f0a8a0"),
    "button_cancel_text_color": ("#ffffff", "#10151b"),
}

THEME = gr.themes.Default(
    primary_hue=_colors.blue,
    secondary_hue=_colors.blue,
    neutral_hue=_colors.slate,
    radius_size=gr.themes.sizes.radius_sm,
    text_size=gr.themes.sizes.text_md,
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"],
    font_mono=["ui-monospace", "Cascadia Mono", "Menlo", "DejaVu Sans Mono", "monospace"],
).set(
    color_accent=ACCENT,
    **{name: light for name, (light, _) in COLOURS.items()},
    **{f"{name}_dark": dark for name, (_, dark) in COLOURS.items()},
)

_original_session = gradio.state_holder.SessionState


@contextmanager
def building_pages() -> Iterator[None]:
    """Make pages without what Gradio makes at the end of each page and throws away at the next one.

    Gradio 6.31 ends every page with a whole FastAPI app (`App.create_app`, 0.2 s) and the configuration of
    all pages so far. Only `mount` needs either, and makes its own. A Gradio without these is left alone.
    """
    made = [(gradio.blocks, "App", "create_app"), (gradio, "Blocks", "get_config_file")]
    found = [(getattr(module, owner, None), name) for module, owner, name in made]
    replaced = [(owner, name, vars(owner)[name]) for owner, name in found if name in vars(owner or object)]
    try:
        for owner, name, _ in replaced:
            setattr(owner, name, staticmethod(lambda *_, **__: {}))
        yield
    finally:
        for owner, name, original in replaced:
            setattr(owner, name, original)


def share_session_config() -> None:
    """Let all sessions share what Gradio 6.31 computes for each: the configuration of every component.

    It is for deep links, which no page has, and costs a session 35 ms of processor time and .2 MB.
    """
    made = gradio.state_holder.SessionState
    if made is not _original_session:
        return
    templates: dict[int, Any] = {}

    def copy_session(blocks: gr.Blocks) -> Any:
        if id(blocks) not in templates:
            templates.clear()  # one app a process; tests build several
            templates[id(blocks)] = made(blocks)
        session = copy(templates[id(blocks)])
        session.blocks_config = copy(blocks.default_config)
        session.state_data, session._state_ttl = {}, {}
        return session

    gradio.state_holder.SessionState = copy_session


def mount(site: FastAPI, pages: gr.Blocks, *, head: str) -> FastAPI:
    """Put the pages at the root of a site; the site's own routes go first. `head` goes into each page's."""
    with building_pages():
        pages.queue(max_size=200, default_concurrency_limit=4)
    pages._queue.sleep_when_free = pages._queue.progress_update_sleep_when_free = QUEUE_PAUSE_SECONDS
    pages.state_session_capacity = SESSIONS_KEPT
    share_session_config()

    @site.get("/theme.css")
    def serve_theme(request: Request) -> Response:
        return page_files.answer_kept(request, f"theme-{pages.theme_hash}.css", pages.theme_css.encode)

    with warnings.catch_warnings():
        # Gradio 6.31 warns that it turns server-side rendering off even where it was never on.
        warnings.filterwarnings("ignore", message="SSR mode is not supported")
        gr.mount_gradio_app(
            site,
            pages,
            path="/",
            theme=THEME,
            footer_links=[],
            run_history=False,  # on by default since Gradio 6: it keeps every learner's inputs in the browser
            show_error=False,
            max_file_size=BODY_LIMIT_BYTES,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            app_kwargs={
                "openapi_url": None,
                "docs_url": None,
                "redoc_url": None,
                "exception_handlers": {HTTPStatus.NOT_FOUND: _answer_missing},
                "middleware": [Middleware(GradioPages, head=head)],
            },
        )
    pages.app = site.routes[-1].app  # type: ignore[attr-defined]  # its queue asks it for the root path
    return site


async def _answer_missing(request: Request, error: Exception) -> Response:
    """Answer a mistyped address: a page for a person, and for a program the JSON that it expects."""
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": getattr(error, "detail", "Not Found")}, HTTPStatus.NOT_FOUND)
    lost = LearnerError("There is no page at this address.", do_next="Check it, or go on from Today.")
    html = render("study/frame/missing.html", error=lost, app_name=APP_NAME)
    return HTMLResponse(html, HTTPStatus.NOT_FOUND)
