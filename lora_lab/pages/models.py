"""The Models page: the catalogue with its numbers, and a form that adds a model from its config.json."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gradio as gr
from markupsafe import Markup

from lora_lab.engine.shape_reader import MODEL_KINDS, ShapeReader, parse_config
from lora_lab.lab import Lab
from lora_lab.pages import form_fields
from lora_lab.pages.shared_parts import render_problem
from lora_lab.parameters.shapes import ModelShape, load_catalogue
from lora_lab.settings.urls import LAB, MODELS
from lora_lab.views import memory_form
from lora_lab.views.tabs import render_tabs
from study.base.errors import LearnerError
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

LONGEST_CONFIG = 20_000
LONGEST_MODEL_NAME = 100

LEARNERS_MAY = ()


class ModelsPage:
    """Handlers of the page; each added model is a file in the data folder."""

    place = frame.IslandPlace(
        elem_id="models", title="Models", path=MODELS, under=LAB, look="lab", learners_may=LEARNERS_MAY
    )

    def __init__(self, lab: Lab, reader: ShapeReader) -> None:
        self._lab = lab
        self._home = lab.home
        self._reader = reader

    def load(self, request: gr.Request) -> Markup:
        """Render every model whose shape is known."""
        return self._render_page(form_fields.read_page_query(request), added="")

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Add a model from its pasted configuration, or delete one that was added."""
        match event.get("act"):
            case "add":
                return self._add(event)
            case "delete":
                return self._delete(event)
        raise form_event.build_unknown_act_error(event)

    def _add(self, event: dict[str, Any]) -> Reply:
        try:
            shape = self._read(
                *(
                    form_event.read_field(event, name, limit=LONGEST_CONFIG)
                    for name in ("name", "kind", "config")
                )
            )
        except LearnerError as error:
            return {"parts": {"add-problem": render_problem(error)}}
        self._home.save_shape(shape)
        say = f"{shape.name} has {shape.modules.base_parameters:,} parameters."
        return {
            "html": self._render_page(frame.read_event_query(event), added=shape.name),
            "say": say,
            "focus": "#added",
        }

    def _delete(self, event: dict[str, Any]) -> Reply:
        """Delete an added model. Raises LearnerError while a run needs its shape."""
        name = form_event.read_text(event, "name", limit=LONGEST_MODEL_NAME)
        runs = sum(run.spec.model == name for run in self._lab.runs())
        if runs:
            one = runs == 1
            raise LearnerError(
                f"{'A run' if one else f'{runs} runs'} of {name} {'needs' if one else 'need'} its numbers.",
                do_next=f"Delete {'that run' if one else 'those runs'} on the Lab page first.",
            )
        self._home.delete_shape(name)
        html = self._render_page(frame.read_event_query(event), added="")
        return {"html": html, "say": f"{name} is deleted.", "focus": "#main"}

    def _read(self, name: str, kind: str, written: str) -> ModelShape:
        name = name.strip()
        if not 0 < len(name) <= LONGEST_MODEL_NAME or name in load_catalogue():
            raise LearnerError(
                "The model needs a name of its own, at most 100 characters.",
                do_next="Its hub id is best: then it can be trained as well.",
            )
        return replace(self._reader.read(parse_config(written), kind=kind or None), name=name, hub_id=name)

    def _group(self) -> list[tuple[str, list[ModelShape]]]:
        """Return the models as Will it fit? groups them, then those whose memory it can't compute."""
        known = [(f"{size} parameters", shapes) for size, shapes in memory_form.group_models()]
        listed = {shape.name for shape in memory_form.list_models()}
        others = [shape for shape in load_catalogue().values() if shape.name not in listed]
        return [("Yours", self._home.read_shapes()), *known, ("Counted only", others)]

    def _render_page(self, query: Mapping[str, str], *, added: str) -> Markup:
        return render(
            "lora_lab/models/models.html",
            tabs=render_tabs(MODELS, "Models", query),
            groups=self._group(),
            kinds=MODEL_KINDS,
            added=added,
            names=lambda shape: ", ".join(shape.modules.linear_names),
        )
