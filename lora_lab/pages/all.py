"""All pages of the lab, in the order of their links."""

import gradio as gr

from lora_lab.claims.service import ClaimService
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.lab import Lab
from lora_lab.pages import claims, compare, grid, memory, microscope, models, papers, train, xray
from study.ports.activities import AskForCards
from study.ports.context import Context


def build(
    app: gr.Blocks, context: Context, lab: Lab, reader: ShapeReader, *, ask_for_cards: AskForCards
) -> None:
    """Add all pages to the app."""
    train.build(app, context, lab, ask_for_cards=ask_for_cards)
    grid.build(app, context, lab)
    compare.build(app, context, lab)
    xray.build(app, context, lab, ask_for_cards=ask_for_cards)
    memory.build(app, context, lab)
    microscope.build(app, context, lab, ask_for_cards=ask_for_cards)
    claims.build(app, context, ClaimService(reader))
    models.build(app, context, lab, reader)
    papers.build(app, context)
