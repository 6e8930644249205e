"""`python -m lora_lab microscope`: the page's findings as lines, from the same inspections."""

import argparse
import json
import time
from contextlib import closing

from lora_lab.cli.progress import Write
from lora_lab.engine.inspections import LOOK_SECONDS
from lora_lab.engine.local import LocalEngine
from lora_lab.lab import Lab
from lora_lab.microscope.panels import build_panels
from lora_lab.microscope.query import (
    KIND,
    SCHEMES,
    SIDES,
    MicroscopeQuestion,
    check_question,
    parse_question,
    settle_question,
)
from lora_lab.parameters.shapes import ModelShape
from study.base.errors import LearnerError
from study.base.settings import load_settings


def format_microscope(options: argparse.Namespace, say: Write) -> str:
    """Run the inspection and format its findings. Raises LearnerError when it fails."""
    settings = load_settings(home=options.data_folder)
    with closing(Lab(settings, LocalEngine(settings, warm=False))) as lab:
        question = _build_question(options, _read_shape(lab, options.model))
        look = lab.inspections.wait(KIND, question.order, say)
    if options.json:
        return json.dumps(look.found)
    return "\n".join(f"{panel.title}: {panel.shown.finding}" for panel in build_panels(question, look.found))


def _build_question(options: argparse.Namespace, shape: ModelShape) -> MicroscopeQuestion:
    fields = {"model": options.model, "layer": str(options.layer), "matrix": options.matrix}
    for side in SIDES:
        bits, _, block = getattr(options, side).partition(":")
        fields |= {side: bits, f"{side}_block": block}
        read = parse_question(fields).side(side)
        if bits not in SCHEMES or (block and str(read.block) != block):
            raise LearnerError(
                f"{getattr(options, side)} isn't a scheme.",
                do_next=f"Choose one of {', '.join(SCHEMES)}; nf4:128 sets blocks of 128.",
            )
    asked = parse_question(fields)
    question = settle_question(asked, shape)
    if question.layer != options.layer or (options.matrix and question.matrix != options.matrix):
        raise LearnerError(
            f"{options.model} has no {options.matrix or 'matrix'} in layer {options.layer}.",
            do_next=f"Choose a layer from 0 to {shape.layers - 1}, and one of its matrices.",
        )
    return check_question(question, shape)


def _read_shape(lab: Lab, model: str) -> ModelShape:
    while (shape := lab.ask_for_shape(model, browser_id="the command line")) is None:
        time.sleep(LOOK_SECONDS)
    return shape
