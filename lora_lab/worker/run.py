"""One run from its folder to its last event."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import bitsandbytes
import hqq
import peft
import torch
import transformers

from lora_lab import datasets, memory
from lora_lab.batches import row_sizes
from lora_lab.counts import count
from lora_lab.datasets import Example
from lora_lab.embedded import Progress
from lora_lab.home import LabHome, write_json
from lora_lab.runs import failures
from lora_lab.runs.failures import Failure
from lora_lab.runs.folder import RunFolder
from lora_lab.shapes import ModelShape
from lora_lab.spec import RunSpec
from lora_lab.worker.data import Encoded, cut_to, encode
from lora_lab.worker.generate import answers
from lora_lab.worker.models import config_of
from lora_lab.worker.session import Adapted, Machine, Session, attach, find_machine, meter_for, open_session
from lora_lab.worker.shapes import shape_of_config
from lora_lab.worker.training import NonFiniteLoss, StepResult, held_out_loss, train
from study.errors import LearnerError

SAVE_EVERY_SECONDS = 15
SAMPLE_PROMPTS = 3


def execute(
    run: RunFolder,
    home: LabHome,
    models_dir: Path,
    *,
    ready: Session | None = None,
    app_is_gone: Callable[[], bool],
) -> bool:
    """Do the run; every way it can end is an event. True unless it failed."""
    spec = run.spec
    work = Work(run, spec, home, app_is_gone)
    try:
        work.do(ready if ready is not None and ready.fits(spec) else None, models_dir)
    except LearnerError as error:
        return work.fail(Failure(cause="settings", what=error.what, do_next=error.do_next))
    except NonFiniteLoss as error:
        work.save(error.step - 1)
        return work.fail(failures.non_finite(spec, step=error.step))
    except (MemoryError, torch.OutOfMemoryError):
        return work.fail(work.out_of_memory())
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):
            raise
        return work.fail(work.out_of_memory())
    except OSError as error:
        return work.fail(
            Failure(
                cause="disk",
                what=f"A file could not be read or written ({error.strerror or error}).",
                do_next="Free some disk space, then start again; your settings are kept.",
            )
        )
    return True


class Work:
    """What one run is in the middle of."""

    def __init__(self, run: RunFolder, spec: RunSpec, home: LabHome, app_is_gone: Callable[[], bool]) -> None:
        self.run, self.spec, self.home = run, spec, home
        self._app_is_gone = app_is_gone
        self._adapted: Adapted | None = None
        self.step = 0
        self.saved_step = 0
        self._saved_at = time.monotonic()

    def do(self, session: Session | None, models_dir: Path) -> None:
        """Load, attach, train, compare, finish."""
        if session is None:
            machine = find_machine(self.spec.compute_dtype)
            session = open_session(
                self.spec.model, self.spec.bits, machine, models_dir=models_dir, report=self.report
            )
        dataset = datasets.load_saved(self.run.path)
        everything = [encode(session.tokenizer, example) for example in dataset.train]
        shape = shape_for(self.spec.model, self.home)
        self.home.save_lengths(self.spec.model, dataset.digest, [item.length for item in everything])
        examples = cut_to(everything, self.spec.seq_len_tokens)
        # Both before training: data that this length leaves nothing of is refused at once.
        encoded = [encode(session.tokenizer, example) for example in dataset.held_out]
        kept = cut_to(encoded, self.spec.seq_len_tokens)
        self._adapted = adapted = attach(session, self.spec, shape)
        self._announce(shape, everything, examples, session.machine)

        model = adapted.model
        train(
            model,
            examples,
            self.spec,
            autocast=session.machine.autocast,
            meter=meter_for(model, session.machine),
            on_step=self._on_step,
            should_stop=self.should_stop,
        )
        stopped = self.step < self.spec.steps
        self.save(self.step)
        if self._app_is_gone():
            self.run.emit("stopped", step=self.step)
            return

        self.report(Progress(step="Measuring the held-out loss before and after"))
        with model.disable_adapter():
            before = held_out_loss(model, kept, session.machine.autocast)
        after = held_out_loss(model, kept, session.machine.autocast)
        self.run.emit("evaluated", loss_before=before, loss_after=after, examples=len(kept))

        self.report(Progress(step="Asking both models the same questions"))
        self._write_samples(session, sorted(dataset.held_out, key=_prompt_length)[:SAMPLE_PROMPTS])
        self.run.emit("stopped" if stopped else "finished", step=self.step)

    def should_stop(self) -> bool:
        """The learner asked, or the app that started this process is gone."""
        return self.run.stop_path.exists() or self._app_is_gone()

    def report(self, progress: Progress) -> None:
        """Progress before and after training."""
        values = asdict(progress)
        self.run.emit("status", text=values.pop("step"), **values)

    def save(self, step: int) -> None:
        """Write the adapter beside the old one, then swap them, so there is always a whole one."""
        if self._adapted is None or step < 1:
            return
        fresh = self.run.path / "adapter.partial"
        self._adapted.model.save_pretrained(fresh)
        if self.run.adapter_path.exists():
            shutil.rmtree(self.run.adapter_path)
        os.replace(fresh, self.run.adapter_path)
        self.saved_step, self._saved_at = step, time.monotonic()
        self.run.emit("saved", step=step)

    def fail(self, failure: Failure) -> bool:
        """Write the ending down."""
        self.run.emit("failed", step=self.step, **asdict(failure))
        return False

    def out_of_memory(self) -> Failure:
        """With the step that could not be done."""
        return failures.out_of_memory(self.spec, step=self.step + 1, saved_step=self.saved_step)

    def _on_step(self, result: StepResult) -> None:
        self.step = result.step
        self.run.emit("step", **asdict(result))
        if time.monotonic() - self._saved_at > SAVE_EVERY_SECONDS and result.step < self.spec.steps:
            self.save(result.step)

    def _announce(
        self, shape: ModelShape, everything: list[Encoded], examples: list[Encoded], machine: Machine
    ) -> None:
        adapted, spec = self._adapted, self.spec
        assert adapted is not None
        rows = row_sizes(
            [item.length for item in everything],
            batch=spec.batch,
            steps=spec.steps,
            seed=spec.seed,
            seq_len_tokens=spec.seq_len_tokens,
            on_gpu=machine.device.type == "cuda",
        )
        row = memory.heaviest_row(shape, spec, rows, machine.compute_name)
        ledger = memory.predict(shape, spec, row, machine.compute_name)
        self.run.emit(
            "started",
            device=machine.description,
            versions=versions(),
            trainable=adapted.trainable_parameters(),
            total=count(shape, rank=spec.rank, targets=spec.targets, variant=spec.variant).total,
            train_examples=len(examples),
            cut_examples=sum(len(item.ids) > spec.seq_len_tokens for item in everything),
            row=asdict(row),
            predicted=asdict(ledger),
            predicted_bytes=ledger.total_bytes,
        )

    def _write_samples(self, session: Session, held_out: list[Example]) -> None:
        adapted = self._adapted
        assert adapted is not None
        prompts = [example.prompt for example in held_out]
        with adapted.decoder.kept_if_it_fits(adapted.model):
            with adapted.model.disable_adapter():
                before = answers(adapted.model, session.tokenizer, prompts, session.machine.autocast())
            after = answers(adapted.model, session.tokenizer, prompts, session.machine.autocast())
        samples = [
            {"prompt": example.prompt, "reference": example.answer, "base": base, "tuned": tuned}
            for example, base, tuned in zip(held_out, before, after, strict=True)
        ]
        write_json(self.run.path / "samples.json", {"samples": samples})


def _prompt_length(example: Example) -> int:
    """Short prompts first: they are the readable ones."""
    return len(example.prompt)


def shape_for(model: str, home: LabHome) -> ModelShape:
    """The model's shape from the catalogue or the data folder; read from its configuration the first time."""
    try:
        return home.shape(model)
    except LearnerError:
        shape = shape_of_config(config_of(model), name=model, hub_id=model)
        home.save_shape(shape)
        return shape


def versions() -> dict[str, str]:
    """Library versions that every result names."""
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "bitsandbytes": bitsandbytes.__version__,
        "hqq": hqq.__version__,
    }
