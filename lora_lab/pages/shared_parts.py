"""What the forms of Lab and Grid have in common: the parts that a look or an upload makes anew."""

from collections.abc import Mapping
from typing import Any

from lora_lab.lab import Lab
from lora_lab.pages import form_fields
from lora_lab.views.options import data_choices
from study.base.errors import LearnerError
from study.text.templates import render
from study.web.frame import Reply


def data_part(lab: Lab, chosen: str) -> str:
    """The list of data sets."""
    return render("lora_lab/data.html", **data_choices(lab.uploads, chosen))


def worker_part(lab: Lab) -> str:
    """The device, or how far the worker is."""
    return render("lora_lab/worker.html", state=lab.home.worker_state(), warm=lab.engine.is_warm)


def problem_part(error: LearnerError) -> str:
    """What is wrong, where the cost would stand."""
    return render("lora_lab/problem.html", error=error)


def uploaded(lab: Lab, event: Mapping[str, Any]) -> Reply:
    """Keep a learner's examples and choose them."""
    dataset = lab.uploads.add(*form_fields.file_of(event))
    train, held_out = len(dataset.train), len(dataset.held_out)
    return {
        "parts": {"data": data_part(lab, dataset.digest)},
        "say": f"{dataset.label}: {train} examples to train on, {held_out} held out.",
        "then": "change",
    }
