"""Published tables: each number as printed, computed again where it can be."""

from typing import Any, get_args

import gradio as gr

from lora_lab.charts import drawn
from lora_lab.papers import Verdict, published_tables
from lora_lab.plots.published import published
from lora_lab.sections import LAB, PAPERS, sections
from study import frame
from study.context import Context
from study.errors import LearnerError
from study.frame import Reply
from study.templates import render


def build(app: gr.Blocks, context: Context) -> None:
    """Add the page to the app."""
    with frame.page(app, context, title="Published numbers", path=PAPERS, under=LAB):
        frame.island(act, load, "papers", waiting=frame.waiting("Published numbers", "lab"))


def load(request: gr.Request) -> str:
    """All tables; the same for everybody."""
    del request
    tables = published_tables()
    return render(
        "lora_lab/papers.html",
        sections=sections(PAPERS),
        tables=tables,
        plots={table.id: published(table) for table in tables if table.drawn},
        drawn=drawn,
        counts={name: sum(table.count(name) for table in tables) for name in get_args(Verdict)},
    )


def act(event: dict[str, Any], request: gr.Request) -> Reply:
    """The page has nothing to press but links."""
    raise LearnerError(f"This page has no {event.get('act')!r}.", do_next="Reload the page.")
