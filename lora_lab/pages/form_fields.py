"""What the Lab page sends with an event: its form, a file, and whether it is narrow."""

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gradio as gr

from lora_lab.data.datasets import MAX_FILE_BYTES
from lora_lab.settings.grid import Grid
from lora_lab.settings.grid_form import AXIS_LABELS, parse_grid_form
from lora_lab.settings.run_form import parse_spec_form
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from study.web import form_event

UPLOAD_LIMIT = MAX_FILE_BYTES * 2  # base64 adds a third
GUESS_FIELDS = ("guess_percent", "guess_mb", "lower")
LABELS = {
    "rank": "Rank r", "bits": "Weights stored in", "steps": "Steps", "targets": "Adapted matrices",
    "model": "Model", "alpha": "alpha", "batch": "batch, examples", "seq_len_tokens": "length, tokens",
    "learning_rate": "learning rate", "seed": "seed", "compute_dtype": "compute in", "variant": "variant",
    "optimizer": "optimizer",
}  # fmt: skip
"""The words that the Lab's form has for the settings of a run."""
LISTS = AXIS_LABELS | {"ranks": "Ranks r"}
"""The words of the Grid's form for its lists."""
LISTED = LABELS | {AXIS_LABELS[axis]: label for axis, label in LISTS.items()} | {"alpha / r": "alpha / r"}
"""The words of both forms for what an error lists as empty."""


def read_page_query(request: gr.Request) -> dict[str, str]:
    """Read the address of a page that is being opened."""
    return {name: str(value) for name, value in dict(request.query_params).items()}


def read_form_fields(event: Mapping[str, Any], *, limit: int = 500) -> dict[str, list[str]]:
    """Read all fields of the form, each with its values of at most `limit` characters.

    Raises LearnerError when the event has no form.
    """
    if not isinstance(event.get("fields"), dict):
        raise LearnerError(
            "The request came without the form's values.", do_next="Reload the page and try again."
        )
    return form_event.read_form(event, limit=limit)


def read_firsts(event: Mapping[str, Any], *, limit: int = 500) -> dict[str, str]:
    """Parse the first value of every field of the form."""
    return {name: values[0] for name, values in read_form_fields(event, limit=limit).items() if values}


def read_uploaded_file(event: Mapping[str, Any]) -> tuple[str, bytes]:
    """Read name and content of an uploaded file. Raises LearnerError when it is not valid base64."""
    name = form_event.read_text(event, "name")
    try:
        return name, base64.b64decode(
            form_event.read_text(event, "content", limit=UPLOAD_LIMIT), validate=True
        )
    except ValueError as error:
        raise LearnerError(f"{name} did not arrive whole.", do_next="Choose it again.") from error


def parse_run(form: Mapping[str, list[str]]) -> RunSpec:
    """Parse the setting in the fields of the Lab's form. Raises LearnerError in the words of the form."""
    with _name_as_labelled():
        return parse_spec_form(form)


def parse_grid(form: Mapping[str, list[str]]) -> Grid:
    """Parse the grid in the fields of the Grid's form. Raises LearnerError in the words of the form."""
    with _name_as_labelled():
        return parse_grid_form(form)


@contextmanager
def _name_as_labelled() -> Iterator[None]:
    """Name settings in errors as the form does: a learner knows no `seq_len_tokens`."""
    names, lists = "|".join(LABELS), "|".join(LISTS)
    try:
        yield
    except LearnerError as error:
        what = re.sub(
            rf"\b({lists}): \w+(?= must be)", lambda found: f"“{LISTS[found[1]]}”: each", error.what
        )
        what = re.sub(rf"\b({names})(?= must be)", lambda found: f"“{LABELS[found[1]]}”", what)
        what = re.sub(r"^.+(?=(?: is| are) empty\.$|: nothing is chosen\.$)", _quote_listed, what)
        do_next = re.sub(
            rf"\bSet ({names})(?= to )", lambda found: f"Set “{LABELS[found[1]]}”", error.do_next
        )
        raise LearnerError(what, do_next=do_next) from error


def _quote_listed(found: re.Match[str]) -> str:
    names = "|".join(sorted(LISTED, key=len, reverse=True))
    return re.sub(rf"\b({names})\b", lambda name: f"“{LISTED[name[1]]}”", found[0])


def is_guessing(event: Mapping[str, Any]) -> bool:
    """Return whether the figures are hidden until the learner commits a prediction."""
    return form_event.read_field(event, "predicting") == "yes"


def holds_guess(event: Mapping[str, Any]) -> bool:
    """Return whether the figures are hidden and a prediction is typed that is not committed yet."""
    return is_guessing(event) and any(read_firsts(event).get(name) for name in GUESS_FIELDS)


def is_narrow(event: Mapping[str, Any]) -> bool:
    """Return whether the requesting page is as narrow as a phone; every form says so."""
    return form_event.read_field(event, "narrow") == "yes"
