"""One run's work: its folder and events, and its way through PyTorch's graph from loading to the end."""

import contextlib
import os
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError

from lora_lab.data import datasets
from lora_lab.data.batches import RowSize, compute_row_sizes
from lora_lab.data.datasets import Example
from lora_lab.data.lab_folder import LabHome, write_json
from lora_lab.memory import ledger as memory
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import ModelShape
from lora_lab.runs import failures
from lora_lab.runs.failures import Failure
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import RunSpec
from lora_lab.worker.device.gpu import list_memory_figures
from lora_lab.worker.device.machine import Machine
from lora_lab.worker.model.load import load_config
from lora_lab.worker.model.read_shape import read_config_shape
from lora_lab.worker.training.generate import NEW_TOKENS, generate_answers
from lora_lab.worker.training.group_loop import SharedStep
from lora_lab.worker.training.loaded_model import Adapted, LoadedModel, attach_adapter
from lora_lab.worker.training.loop import NonFiniteLoss, StepResult, held_out_loss, train_adapter
from lora_lab.worker.training.memory_meter import is_out_of_memory
from lora_lab.worker.training.model_cache import ModelCache
from lora_lab.worker.training.packing import Encoded, cut_to, encode_example, list_lengths
from lora_lab.worker.training.time_limit import read_limit
from lora_lab.worker.training.tokenize import keep_read
from study.base.errors import LearnerError
from study.base.model_files import Progress

SAVE_EVERY_SECONDS = 15
SAMPLE_PROMPTS = 3
WITHOUT_ADAPTER, WITH_ADAPTER = "without the adapter", "with the adapter"
ASKING_BASE = "Asking the base model about held-out prompts"
ASKING_TUNED = "Asking the tuned model about held-out prompts"
ASKING_BOTH = "Asking both models about held-out prompts"
PREPARING = "Preparing the run"
HELD_OUT = "held-out "
UNMEASURED = "It was stopped while it was being measured. Its adapter is saved."


class MeasuringStopped(Exception):
    """The learner stopped the run after its last step: nothing more is measured."""


def execute_with_graph(
    run: RunFolder, home: LabHome, cache: ModelCache, *, app_is_gone: Callable[[], bool]
) -> bool:
    """Do a run with PyTorch's graph; every way it can end is an event. Return True unless it failed."""
    work = Work(run, run.spec, home, app_is_gone)
    failure: Failure | None = None
    try:
        work.do(cache)
    except Exception as error:  # the run's outermost frame: whatever it was, the next run can begin
        failure = describe_failure(error, work)
        work.end("failed", **asdict(failure))
    model = work.release_model()
    if failure is not None and failure.cause in ("out-of-memory", "crash"):
        del model  # something failed at an unknown point: the base may be damaged
        cache.clear()
    elif model is not None:
        cache.take_back(model)
    return failure is None


def describe_failure(error: Exception, work: "Work") -> Failure:
    """Describe an error for a learner; the run's log gets the traceback if we have no message for it.

    When the loss isn't a number, the adapter of the step before is saved first, if the disk allows it.
    """
    if isinstance(error, LearnerError):
        return Failure(cause="settings", what=error.what, do_next=error.do_next)
    if isinstance(error, NonFiniteLoss):
        with contextlib.suppress(OSError, SafetensorError):
            work.save(error.step - 1)
        return failures.describe_non_finite(work.spec, step=error.step, saved_step=work.saved_step)
    if is_out_of_memory(error):
        return failures.describe_out_of_memory(work.spec, step=work.step + 1, saved_step=work.saved_step)
    if isinstance(error, OSError | SafetensorError):  # safetensors raises the second on a full disk
        return failures.describe_refusal("disk", error)
    traceback.print_exception(error)
    return failures.describe_unknown(error, step=work.step, saved_step=work.saved_step)


def say_waiting(run: RunFolder) -> None:
    """Say that a run is in the worker's job and others come first: its time does not count yet."""
    run.emit("status", text="Waiting for its turn", waiting=True)


class Work:
    """The execution of one run: its settings, state and callbacks."""

    def __init__(self, run: RunFolder, spec: RunSpec, home: LabHome, app_is_gone: Callable[[], bool]) -> None:
        self.run, self.spec, self.home = run, spec, home
        self.limit = read_limit(run)
        self._app_is_gone = app_is_gone
        self._adapted: Adapted | None = None
        self.writer: Callable[[Path], None] | None = None
        """Saves the adapter to a folder that doesn't exist yet; None before the adapter exists."""

        self.step = 0
        self.ended = False
        self.saved_step = 0
        self._saved_at = time.monotonic()

    def do(self, cache: ModelCache) -> None:
        """Load, attach, train, compare, finish."""
        if self.end_early():
            return
        self.report(Progress(step=PREPARING))
        loaded = cache.lend(self.spec, self.report)
        dataset = datasets.load_saved(self.run.path)
        everything = [encode_example(loaded.tokenizer, example) for example in dataset.train]
        shape = find_or_read_shape(self.spec.model, self.home)
        keep_read(self.home, self.spec.model, dataset, loaded.tokenizer, everything)
        examples = cut_to(everything, self.spec.seq_len_tokens)
        # Both before training: raises at once if nothing of the data is left at this length.
        encoded = [encode_example(loaded.tokenizer, example) for example in dataset.held_out]
        kept = cut_to(encoded, self.spec.seq_len_tokens, part=HELD_OUT)
        loaded.check_positions([*examples, *kept])
        asked = select_asked(dataset.held_out, encoded, positions=loaded.positions)
        self._adapted = adapted = attach_adapter(loaded, self.spec, shape)
        self.writer = adapted.model.save_pretrained
        started = build_announcement(self.spec, shape, everything, examples, loaded.machine, graph=True)
        self.run.emit("started", trainable=adapted.count_trainable_parameters(), **started)

        model = adapted.model
        on_gpu = train_adapter(
            model, examples, self.spec, loaded.machine, on_step=self.on_step, should_stop=self.should_stop
        )
        if on_gpu is not None:
            self.run.emit("gpu_memory", **list_memory_figures(on_gpu, loaded.machine.device))
        self.save(self.step)
        if self.end_early():
            return
        if self._app_is_gone():
            self.end_cut_off()
            return

        try:
            with model.disable_adapter():
                before = self._measure(model, kept, loaded, WITHOUT_ADAPTER)
            after = self._measure(model, kept, loaded, WITH_ADAPTER)
            self.run.emit("evaluated", loss_before=before, loss_after=after, examples=len(kept))
            answers = self.limit is None or not self.limit.is_over
            if answers:
                self._write_samples(loaded, asked)
        except MeasuringStopped:
            self.end("stopped", what=UNMEASURED)
        else:
            self.end_measured(len(kept), len(kept), answered=answers)

    def end(self, kind: str, **values: Any) -> None:
        self.ended = True
        self.run.emit(kind, step=self.step, **values)

    def end_cut_off(self) -> None:
        """End a run whose app is gone; another may replace it, unless the learner had just stopped it."""
        self.end("stopped", cut_off=not self.run.stop_path.exists())

    def end_early(self) -> bool:
        """End a run that was stopped before its first step, which has nothing to measure; return whether it
        has ended.
        """
        if not (self.step or self.ended) and self.should_stop():
            self.end_cut_off()
        return self.ended

    def should_stop(self) -> bool:
        """Return whether the learner asked to stop, the app that started this process is gone, or the run has
        trained as long as it may.
        """
        return self.run.stop_path.exists() or self._app_is_gone() or self._has_trained_enough

    def stops_measuring(self) -> bool:
        """Return whether the learner asked to stop after the last step, also where the time made it the last.

        A run that was stopped earlier is still measured. So is a cell of a grid: measuring takes seconds, and
        without it the grid's table would lack a row.
        """
        trained = self.step == self.spec.steps or self._has_trained_enough
        return trained and self.run.stop_path.exists() and not self.run.state().sweep

    @property
    def _has_trained_enough(self) -> bool:
        return self.limit is not None and self.limit.ends_training(self.step)

    def end_measured(self, examples: int, of: int, *, answered: bool) -> None:
        """End a run that was measured, and say what was left out for its time."""
        self.end(
            "finished" if self.step == self.spec.steps else "stopped",
            **self._note_left_out(examples, of, answered=answered),
        )

    def _note_left_out(self, examples: int, of: int, *, answered: bool) -> dict[str, str]:
        if self.limit is None or self.run.stop_path.exists():
            return {}
        left_out = []
        if self.step < self.spec.steps:
            left_out.append(f"trained {self.step} of {self.spec.steps} steps")
        if examples < of:
            left_out.append(f"measured the loss on {examples} of {of} unseen examples")
        if not answered:
            left_out.append("asked no sample questions")
        if not left_out:
            return {}
        *others, last = left_out
        done = f"{', '.join(others)} and {last}" if others else last
        return {"what": f"To end within about {self.limit.seconds:g} seconds, it {done}."}

    def report(self, progress: Progress) -> None:
        """Report progress before and after training."""
        values = asdict(progress)
        self.run.emit("status", text=values.pop("step"), **values)

    def save(self, step: int) -> None:
        """Write the adapter next to the old one, which stays if that fails, then swap them."""
        if self.writer is None or step < 1:
            return
        fresh = self.run.path / "adapter.partial"
        try:
            self.writer(fresh)
        except (OSError, SafetensorError):
            shutil.rmtree(fresh, ignore_errors=True)  # frees disk space for the failure event
            raise
        if self.run.adapter_path.exists():
            shutil.rmtree(self.run.adapter_path)
        os.replace(fresh, self.run.adapter_path)
        self.saved_step, self._saved_at = step, time.monotonic()
        self.run.emit("saved", step=step)

    def release_model(self) -> PeftModel | None:
        """Release the model with its adapter and return it; None before the adapter was attached."""
        adapted, self._adapted, self.writer = self._adapted, None, None
        return adapted.model if adapted else None

    def on_step(self, result: StepResult | SharedStep) -> None:
        """Record a step, and save the adapter now and then."""
        self.step = result.step
        self.run.emit("step", **asdict(result))
        interval = SAVE_EVERY_SECONDS * (result.shared_by if isinstance(result, SharedStep) else 1)
        if time.monotonic() - self._saved_at > interval and result.step < self.spec.steps:
            self.save(result.step)

    def _measure(self, model: PeftModel, kept: Sequence[Encoded], loaded: LoadedModel, whose: str) -> float:
        """Measure the held-out loss; each batch says that the process is at work."""

        def note_measured(done: int) -> None:
            self._go_on_measuring(say_measured(whose, done, len(kept)))

        note_measured(0)
        return held_out_loss(model, kept, loaded.machine.autocast, note_measured)

    def _go_on_measuring(self, text: str) -> None:
        """Say what is measured next. Raises MeasuringStopped if the learner has asked to stop."""
        if self.stops_measuring():
            raise MeasuringStopped
        self.report(Progress(step=text))

    def _write_samples(self, loaded: LoadedModel, held_out: list[Example]) -> None:
        adapted = self._adapted
        if not held_out:
            return
        assert adapted is not None
        prompts = [example.prompt for example in held_out]
        self._go_on_measuring(ASKING_BASE)
        with adapted.decoder.cache_if_it_fits(adapted.model):
            with adapted.model.disable_adapter():
                before = generate_answers(adapted.model, loaded.tokenizer, prompts, loaded.machine.autocast())
            self._go_on_measuring(ASKING_TUNED)
            after = generate_answers(adapted.model, loaded.tokenizer, prompts, loaded.machine.autocast())
        write_samples(self.run, held_out, before, after)


def build_announcement(
    spec: RunSpec,
    shape: ModelShape,
    everything: Sequence[Encoded],
    examples: Sequence[Encoded],
    machine: Machine,
    *,
    graph: bool = False,
) -> dict[str, Any]:
    """Build the fields of the `started` event, which are known before the first step; `graph` says that the
    run takes PyTorch's graph whatever its layer is.
    """
    rows = list_row_sizes(spec, everything, machine)
    row = memory.find_heaviest_row(shape, spec, rows, machine.compute_name, graph=graph)
    ledger = memory.predict_ledger(shape, spec, row, machine.compute_name, graph=graph)
    return {
        "device": machine.description,
        "versions": list_versions(),
        "total": count_parameters(shape, rank=spec.rank, targets=spec.targets, variant=spec.variant).total,
        "train_examples": len(examples),
        "cut_examples": sum(len(item.ids) > spec.seq_len_tokens for item in everything),
        "row": asdict(row),
        "predicted": asdict(ledger),
        "predicted_bytes": ledger.total_bytes,
    }


def list_row_sizes(spec: RunSpec, everything: Sequence[Encoded], machine: Machine) -> list[RowSize]:
    return compute_row_sizes(list_lengths(everything), spec, on_gpu=machine.on_gpu)


def select_asked(
    held_out: Sequence[Example], encoded: Sequence[Encoded], *, positions: int | None
) -> list[Example]:
    """Select the examples that both models are asked, with room for an answer in the model's positions: short
    prompts are easy to read.
    """
    fitting = [
        example
        for example, item in zip(held_out, encoded, strict=True)
        if positions is None or len(item.ids) - item.answer_tokens + NEW_TOKENS <= positions
    ]
    return sorted(fitting, key=lambda example: len(example.prompt))[:SAMPLE_PROMPTS]


def say_measured(whose: str, done: int, of: int) -> str:
    """Say how far the measuring of the held-out loss has got."""
    return f"Measuring the held-out loss {whose}: {done} of {of} examples"


def write_samples(
    run: RunFolder, examples: Sequence[Example], base: Sequence[str], tuned: Sequence[str]
) -> None:
    """Write both models' answers and the data's reference answer."""
    samples = [
        {"prompt": example.prompt, "reference": example.answer, "base": before, "tuned": after}
        for example, before, after in zip(examples, base, tuned, strict=True)
    ]
    write_json(run.path / "samples.json", {"samples": samples})


def find_or_read_shape(model: str, home: LabHome) -> ModelShape:
    """Find the model's shape in catalogue or data folder; read it from its configuration the first time."""
    try:
        return home.find_shape(model)
    except LearnerError:
        shape = read_config_shape(load_config(model), name=model, hub_id=model)
        home.save_shape(shape)
        return shape


def describe_setup(machine: Machine) -> dict[str, Any]:
    """Describe what a result was computed with: device, number type, library versions."""
    return {
        "device": machine.description["name"],
        "compute_dtype": machine.compute_name,
        "versions": list_versions(),
    }


def list_versions() -> dict[str, str]:
    """List the library versions that every result names."""
    others = ("transformers", "peft", "bitsandbytes", "hqq")
    return {"torch": torch.__version__} | {name: version(name) for name in others}
