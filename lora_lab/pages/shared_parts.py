"""What the forms of Lab and Grid share: the parts that a poll or an upload renders again."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from markupsafe import Markup

from lora_lab.charts.run_view import format_title
from lora_lab.data.machine import COMPUTE_TYPES, name_device
from lora_lab.lab import Lab
from lora_lab.pages import form_fields
from lora_lab.runs.separate_files import read_upload_apart
from lora_lab.settings.urls import LAB
from lora_lab.spec import OWN_DATA, RunSpec
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.io.separate_reading import stop_readings
from study.io.set_aside import set_aside
from study.ports.context import Visit
from study.text.templates import render
from study.web import form_event
from study.web.frame import Reply

LONGEST_NAME = 60
"""An address may be written by anyone, so the name of a run in it is cut where it is said."""


def run_link(lab: Lab, run_id: str) -> tuple[str, str] | None:
    """Return name and address of the run that a view belongs to; None when there is no such run."""
    run = lab.find_run(run_id)
    return (format_title(run.spec), f"{LAB}?run={run.run_id}") if run else None


def render_data(lab: Lab, chosen: str) -> Markup:
    """Render the list of data sets: the app's cards, then the learner's uploads, newest first."""
    own = lab.uploads.find(OWN_DATA)
    cards = (OWN_DATA, f"{own.label} ({len(own.train)} + {len(own.held_out)} held out)")
    chosen = OWN_DATA if chosen == own.digest else chosen
    labels, damaged = lab.uploads.with_damaged()
    return render("lora_lab/shared/data.html", choices=[cards, *labels], chosen=chosen, damaged=damaged)


def render_worker(lab: Lab, *, says_pause: bool = True) -> Markup:
    """Render the device and its number type, or the worker's progress at starting.

    A worker also starts after every run. Nothing waits for that one, so it is not shown: the page would move
    under whoever reads a result. With `says_pause` the part says that a paused queue holds runs back: a pause
    outlives the grid that it was made for, whose buttons are gone then.
    """
    state = lab.engine.read_worker_state()
    waited_for = (
        not state["device"] or state["total_bytes"] or lab.engine.find_current() or lab.engine.list_waiting()
    )
    return render(
        "lora_lab/shared/worker.html",
        state=state,
        waited_for=waited_for,
        device=lab.home.describe_device(),
        kept=lab.home.number_type(),
        types=COMPUTE_TYPES,
        chosen=lab.home.read_chosen_device(),
        warm=lab.engine.is_warm,
        held_back=len(lab.engine.list_waiting()) if says_pause and lab.engine.is_paused else 0,
    )


def render_machine(lab: Lab) -> Markup:
    """Render what the costs beside it were computed for."""
    return render("lora_lab/shared/machine.html", machine=_name_machine(lab))


def is_for_another_machine(lab: Lab, event: Mapping[str, Any]) -> bool:
    """Return whether the costs that the page shows are for another device than the worker's. While a guess is
    typed, costs stay as they are.
    """
    return not form_fields.is_guessing(event) and any(
        name != _name_machine(lab) for name in form_event.read_fields(event, "machine")
    )


def _name_machine(lab: Lab) -> str:
    device = lab.home.describe_device()
    return f"{device.get('id', '')} {name_device(device)}".strip()


WORKER_ACTS = ("retry-model", "device", "number-type", "go-on")


def handle_worker_act(lab: Lab, event: Mapping[str, Any]) -> Reply:
    """Do what a button of the worker's part asks for."""
    match event["act"]:
        case "device":
            return _choose_device(lab, event)
        case "number-type":
            return _number_type_chosen(lab, event)
        case "go-on":
            lab.engine.resume()
            return {"say": "The queue continues.", "parts": {"worker": render_worker(lab)}}
    lab.engine.retry_model()
    return {"say": "Trying again.", "parts": {"worker": render_worker(lab)}}


def _choose_device(lab: Lab, event: Mapping[str, Any]) -> Reply:
    """Keep the device that the learner chose. Idle workers restart on it; a busy one finishes first."""
    lab.home.choose_device(form_event.read_text(event, "device"))
    lab.chat.end_idle_worker()
    lab.inspections.end_idle_worker()
    if lab.engine.is_warm:
        lab.engine.retry_model()
    return {"say": "New runs will use it.", "parts": {"worker": render_worker(lab)}}


def _number_type_chosen(lab: Lab, event: Mapping[str, Any]) -> Reply:
    """Keep the number type that the learner chose for this machine, and compute the costs again."""
    chosen = form_event.read_text(event, "type")
    if chosen not in COMPUTE_TYPES:
        raise LearnerError(
            f"There is no number type {chosen}.", do_next=f"Choose {', '.join(COMPUTE_TYPES)}."
        )
    kept = lab.home.choose_number_type(chosen)
    return {
        "parts": {"worker": render_worker(lab)},
        "say": f"Runs compute in {kept.compute} from now on.",
        "then": "change",
    }


def render_problem(error: LearnerError) -> Markup:
    return render("lora_lab/shared/problem.html", error=error)


NO_TROUBLE: dict[str, Markup] = {"trouble": NO_HTML}
"""The part without what was wrong in an address, for a reply that brings another address."""


def render_trouble(problems: Sequence[str], *, do_next: str) -> Markup:
    """Render what is wrong in an address, which may be old or typed by hand; nothing without problems."""
    return render_problem(LearnerError(" ".join(problems), do_next=do_next)) if problems else NO_HTML


def list_missing_runs(lab: Lab, run_ids: Iterable[str]) -> list[str]:
    """Return a sentence for each run that an address names and that is gone."""
    return [
        f"The run {run_id[:LONGEST_NAME]} is no longer here."
        for run_id in dict.fromkeys(run_ids)
        if run_id and lab.find_run(run_id) is None
    ]


def render_gone_run(lab: Lab, query: Mapping[str, str]) -> Markup:
    """Render that the run in the lab's address is gone; nothing if it is there."""
    gone = list_missing_runs(lab, [query.get("run", "")])
    return render_trouble(gone, do_next="Choose one of “Earlier runs”, at the end of this page.")


FILE_ACTS = ("upload", "stop-reading", "set-aside-data")


def handle_file_act(lab: Lab, event: Mapping[str, Any], visit: Visit) -> Reply:
    """Store a file of examples, end the reading of one, or set aside those that can't be read."""
    match event["act"]:
        case "stop-reading":  # the answer to the file says that it was stopped
            stop_readings(visit.profile.id)
            return {}
        case "set-aside-data":
            return _set_aside_data(lab, event)
    return _store_upload(lab, event, visit)


def _set_aside_data(lab: Lab, event: Mapping[str, Any]) -> Reply:
    set_aside(lab.uploads.with_damaged()[1], lab.settings.home)
    return {
        "parts": {"data": render_data(lab, form_event.read_field(event, "data"))},
        "say": "Moved to set-aside/data in the data folder.",
        "focus": "[name=data]",
    }


def _store_upload(lab: Lab, event: Mapping[str, Any], visit: Visit) -> Reply:
    """Store a learner's examples and select them; a problem is said beside the field."""
    read = partial(read_upload_apart, profile_id=visit.profile.id)
    try:
        dataset = lab.uploads.add(*form_fields.read_uploaded_file(event), read=read)
    except LearnerError as error:
        return {"parts": {"data-problem": render_problem(error)}}
    train, held_out = len(dataset.train), len(dataset.held_out)
    return {
        "parts": {"data": render_data(lab, dataset.digest), "data-problem": NO_HTML},
        "say": f"{dataset.label}: {train} examples to train on, {held_out} held out.",
        "then": "change",
    }


def render_still_reading(spec: RunSpec) -> Markup:
    """Render the answer to a press on Start before the model is known; it stays until its numbers come."""
    return render("lora_lab/lab/still_reading.html", model=spec.model)
