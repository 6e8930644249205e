"""Published tables: each number as printed, recomputed where possible."""

from typing import get_args

import gradio as gr
from markupsafe import Markup

from lora_lab.charts.published_scores import plot_published
from lora_lab.pages import form_fields
from lora_lab.papers.tables import Agreement, read_published_tables
from lora_lab.settings.urls import LAB, PAPERS
from lora_lab.views.setting_plots import render_plot_part
from lora_lab.views.tabs import render_tabs
from study.text.templates import render
from study.web import frame


class PapersPage:
    """Handlers of the page; it has only links."""

    place = frame.IslandPlace(elem_id="papers", title="Published numbers", path=PAPERS, under=LAB, look="lab")
    act = None

    def load(self, request: gr.Request) -> Markup:
        """Render all tables; they are the same for every learner."""
        tables = read_published_tables()
        return render(
            "lora_lab/models/papers.html",
            tabs=render_tabs(PAPERS, "Published numbers", form_fields.read_page_query(request)),
            tables=tables,
            plots={table.id: plot_published(table) for table in tables if table.drawn},
            drawn=render_plot_part,
            counts={name: sum(table.count(name) for table in tables) for name in get_args(Agreement)},
        )
