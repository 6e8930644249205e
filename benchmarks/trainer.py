"""The usual recipe: Hugging Face Trainer + PEFT + bitsandbytes, one adapter per process.

    python -m benchmarks.trainer --rank 8 --learning-rate 2e-3 --steps 40 --adapter FOLDER

Trains the embedded model on the app's own cards with the batches, learning rates and updates of the lab's
loop, rows padded to the longest of each batch, saves the adapter and then evaluates it. Prints one JSON line.
"""

import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from lora_lab.data.batches import step_plan
from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.embedded_model import find_model_folder
from lora_lab.data.machine import COMPUTE_TYPES
from lora_lab.spec import RunSpec
from lora_lab.worker.device.number_type import DTYPES
from lora_lab.worker.training.loop import EVALUATION_BATCH, compute_learning_rate
from lora_lab.worker.training.packing import IGNORED, Encoded, encode_example
from study.base.command_line import build_module_parser
from study.base.settings import load_settings


@dataclass(frozen=True)
class Timed:
    """The times and losses of one round of one variant."""

    cpu_seconds: float
    wall_seconds: float
    losses: list[float]
    seconds_per_step: float = 0.0
    """The median wall time of a step without the first, which loads a GPU's kernels."""


def main() -> None:
    """Train and save one adapter, evaluate it, and print one JSON line."""
    parser = build_module_parser("benchmarks.trainer", __doc__)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--compute", choices=COMPUTE_TYPES, default="bf16")
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--gpu", action="store_true", help="train on the GPU")
    options = parser.parse_args()
    spec = RunSpec(rank=options.rank, learning_rate=options.learning_rate, steps=options.steps)
    folder = find_model_folder(load_settings().models_dir)
    dtype, precision = DTYPES[options.compute], choose_precision(options.compute)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    base = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_use_double_quant=True,
        ),
    )
    model = with_usual_adapter(base, spec)
    examples = [encode_example(tokenizer, example) for example in build_own_dataset().train]
    timed = with_trainer(model, examples, spec, pad_to=None, **precision, use_cpu=not options.gpu)
    model.save_pretrained(options.adapter)
    before = time.process_time()
    held_out = [encode_example(tokenizer, example) for example in build_own_dataset().held_out]
    loss = held_out_loss(model, held_out, **precision, use_cpu=not options.gpu)
    spent = {"held_out_loss": loss, "cpu_seconds_of_held_out_loss": time.process_time() - before}
    print(json.dumps(asdict(timed) | spent))


def choose_precision(compute: str) -> dict[str, bool]:
    """Choose Trainer's arguments for a number type; fp16 scales the loss, and needs a GPU."""
    return {name: name == compute for name in ("bf16", "fp16")}


def with_usual_adapter(base: nn.Module, spec: RunSpec) -> PeftModel:
    """Attach PEFT's own layers to a base in 4 bits, after prepare_model_for_kbit_training."""
    base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
    torch.manual_seed(spec.seed)
    config = LoraConfig(
        r=spec.rank, lora_alpha=int(spec.alpha), target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(base, config)


def with_trainer(
    model: nn.Module,
    examples: Sequence[Encoded],
    spec: RunSpec,
    *,
    pad_to: int | None,
    bf16: bool,
    fp16: bool = False,
    use_cpu: bool = True,
) -> Timed:
    """Train all steps with Trainer's defaults, on the lab's batches; building the Trainer is not timed."""
    plan = step_plan(len(examples), batch=spec.batch, steps=spec.steps, seed=spec.seed)
    rows = [as_row(examples[i]) for i in itertools.chain.from_iterable(plan)]
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=spec.batch,
            max_steps=spec.steps,
            learning_rate=spec.learning_rate,
            weight_decay=0.0,
            bf16=bf16,
            fp16=fp16,
            use_cpu=use_cpu,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            train_sampling_strategy="sequential",
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=Padding(pad_to),
            callbacks=[clock],
            optimizers=_build_updates(model, spec),
        )
        trainer.remove_callback(_build_printer(trainer))
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Timed(clock.cpu_seconds, clock.wall_seconds, losses, clock.seconds_per_step)


def held_out_loss(
    model: nn.Module,
    examples: Sequence[Encoded],
    *,
    bf16: bool,
    fp16: bool = False,
    use_cpu: bool = True,
) -> float:
    """Compute the held-out loss as Trainer does: the mean of its batches' means."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_eval_batch_size=EVALUATION_BATCH,
            bf16=bf16,
            fp16=fp16,
            use_cpu=use_cpu,
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            prediction_loss_only=True,
        )
        rows = [as_row(item) for item in examples]
        trainer = Trainer(model=model, args=arguments, eval_dataset=rows, data_collator=Padding(None))
        return float(trainer.evaluate()["eval_loss"])


def _build_updates(model: nn.Module, spec: RunSpec) -> tuple[torch.optim.Optimizer, LambdaLR]:
    """Build the lab's optimizer and learning-rate schedule, so losses can be compared too."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=spec.learning_rate, weight_decay=0.0, fused=True)

    def share(done: int) -> float:
        return compute_learning_rate(min(done + 1, spec.steps), steps=spec.steps, peak=1.0)

    return optimizer, LambdaLR(optimizer, share)


def _build_printer(trainer: Trainer) -> Any:
    """Build the callback that prints each log line."""
    return next(c for c in trainer.callback_handler.callbacks if type(c).__name__ == "PrinterCallback")


class Clock(TrainerCallback):  # type: ignore[misc]
    """A callback that times the training from its first step to its last."""

    def on_train_begin(self, *arguments: Any, **values: Any) -> None:
        """Start the clock."""
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        self._ends: list[float] = []

    def on_step_end(self, *arguments: Any, **values: Any) -> None:
        """Note the end of a step."""
        self._ends.append(time.perf_counter())

    def on_train_end(self, *arguments: Any, **values: Any) -> None:
        """Stop the clock."""
        self.cpu_seconds = time.process_time() - self._cpu
        self.wall_seconds = time.perf_counter() - self._wall

    @property
    def seconds_per_step(self) -> float:
        """The median time from one step's end to the next; of a single step, all of its time."""
        steps = [end - begin for begin, end in itertools.pairwise(self._ends)]
        return statistics.median(steps or [self.wall_seconds])


def as_row(item: Encoded) -> dict[str, list[int]]:
    """Return the tokens and labels of one example."""
    prompt_tokens = len(item.ids) - item.answer_tokens
    return {
        "input_ids": list(item.ids),
        "labels": [IGNORED] * prompt_tokens + list(item.ids[prompt_tokens:]),
    }


@dataclass(frozen=True)
class Padding:
    """Right padding to the longest of the batch, or to a fixed length."""

    pad_to: int | None

    def __call__(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, Tensor]:
        """Pad rows into (batch, seq) tensors."""
        length = self.pad_to or max(len(row["input_ids"]) for row in rows)
        padded: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
        for row in rows:
            missing = length - len(row["input_ids"])
            padded["input_ids"].append(row["input_ids"] + [0] * missing)
            padded["attention_mask"].append([1] * len(row["input_ids"]) + [0] * missing)
            padded["labels"].append(row["labels"] + [IGNORED] * missing)
        return {name: torch.tensor(values) for name, values in padded.items()}


if __name__ == "__main__":
    main()
