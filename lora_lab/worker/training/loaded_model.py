"""A loaded base model, ready for an adapter: the state that a warm worker keeps."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import bitsandbytes as bnb
import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import Bits, RunSpec
from lora_lab.worker.device.machine import Machine, set_threads
from lora_lab.worker.model.load import load_model, load_tokenizer
from lora_lab.worker.model.quantization import list_resident_tensors
from lora_lab.worker.training.attention import attend_by_example
from lora_lab.worker.training.lora_matmul import Decoder, install_forwards, start_unchanged
from lora_lab.worker.training.memory_meter import GpuAllocator, LiveStorages, MemoryMeter, Meter
from lora_lab.worker.training.packing import Encoded
from study.base.errors import LearnerError
from study.base.model_files import Report, ignore_progress

KEEPS_ROWS_APART = frozenset({"llama"})
"""Model types without a trial: the tests compare packed and single rows for them."""

MIXED_ROWS_SHARE = 1e-4
ROUNDED_ROWS_SHARE = 0.05
"""Tolerance as a share of the logits' standard deviation. In fp32 rounding is 4e-7; in bf16, and where
bitsandbytes' int8 product also rounds activations, 0.3 % and 1.3 %. Rows that see each other differ by half
of it (OPT, MPT).
"""


@dataclass(kw_only=True)
class BaseResults:
    """What the base model was measured to do, the same for every run on the same held-out data."""

    held_out: tuple[Encoded, ...] = ()
    prompts: tuple[str, ...] = ()
    loss: float | None = None
    losses: dict[int, float] = field(default_factory=dict)
    """Of parts of the held-out data, by the place where each begins, for runs that keep to a time."""

    answers: list[str] | None = None


@dataclass(kw_only=True)
class LoadedModel:
    """A frozen base model in one bit width on one machine."""

    model_name: str
    bits: Bits
    machine: Machine
    base: PreTrainedModel
    tokenizer: Any
    written_out: bool | None = None
    """Whether worker/training/group_layer.py has this model's layer; None before that was tried."""

    base_results: BaseResults = field(default_factory=BaseResults)
    """Kept for the next run: one of ten steps of the embedded model takes 13.5 s instead of 22.7 s."""

    @property
    def positions(self) -> int | None:
        """How many positions the model has a vector for; None where it computes them, as rotary ones are."""
        if any(name.endswith("rotary_emb") for name, _ in self.base.named_modules()):
            return None
        found: int | None = getattr(self.base.config.get_text_config(), "max_position_embeddings", None)
        return found

    def check_positions(self, examples: Iterable[Encoded]) -> None:
        """Raise LearnerError when an example is longer than the model's table of positions."""
        longest = max(len(item.ids) for item in examples)
        if self.positions is not None and longest > self.positions:
            raise LearnerError(
                f"An example has {longest:,} tokens, and the model has only {self.positions:,} positions.",
                do_next=f"Set the sequence length to at most {self.positions} tokens.",
            )

    def fits(self, spec: RunSpec, machine: Machine) -> bool:
        """Return whether this loaded base is the one that `spec` needs on `machine`."""
        same_compute = self.machine.compute_dtype == machine.compute_dtype
        return (self.model_name, self.bits) == (spec.model, spec.bits) and same_compute


def open_model(
    model_name: str, bits: Bits, machine: Machine, *, models_dir: Path, report: Report = ignore_progress
) -> LoadedModel:
    """Load tokenizer and model. Raises LearnerError when they cannot be loaded."""
    base = load_model(
        model_name,
        bits,
        compute_dtype=machine.compute_dtype,
        device=machine.device,
        models_dir=models_dir,
        report=report,
    )
    set_threads(base.config.get_text_config().hidden_size, machine.compute_dtype)
    switch_dropout_off(base)
    keep_residual_in_fp32(base, machine.compute_dtype)
    attend_by_example(base)
    if base.config.model_type not in KEEPS_ROWS_APART:
        refuse_if_rows_mix(base, machine)
    tokenizer = load_tokenizer(model_name, models_dir, report)
    return LoadedModel(model_name=model_name, bits=bits, machine=machine, base=base, tokenizer=tokenizer)


def switch_dropout_off(model: PreTrainedModel) -> None:
    """Set every dropout probability of a base model to zero: GPT-2's are 0.1. The base is frozen, and a layer
    that checkpointing computes again would draw other masks than before.

    Layers keep theirs under many names, and some read the configuration in their forward.
    """
    for holder in (model.config.get_text_config(), *model.modules()):
        for name, value in vars(holder).items():
            if isinstance(value, float) and ("drop" in name or isinstance(holder, torch.nn.Dropout)):
                setattr(holder, name, 0.0)


def keep_residual_in_fp32(model: nn.Module, compute_dtype: torch.dtype) -> None:
    """Widen norms and the residual stream of a frozen model in place; matrix products keep the compute type.

    A bf16 residual stream fails the gradient test (cosine 0.9988 against fp32, docs/traps.md 11). Here the
    embedding's output is cast to fp32, so the residual stream stays fp32, and norms emit the compute type, so
    the products that read the same input share one narrow copy of it.
    """
    for parameter in model.parameters():
        if parameter.ndim == 1 and parameter.is_floating_point():
            parameter.data = parameter.data.float()
    embeddings: nn.Module = model.get_input_embeddings()  # type: ignore[operator]
    embeddings.register_forward_hook(lambda module, inputs, output: output.float())
    for module in list(model.modules()):
        if type(module).__name__.endswith("RMSNorm"):
            fuse_rms_norm(module, compute_dtype)


def fuse_rms_norm(norm: nn.Module, compute_dtype: torch.dtype) -> None:
    """Replace a norm's own arithmetic by PyTorch's fused one, if a trial gives the same numbers for both.

    Families differ in detail (some scale by 1 + weight); a norm with other numbers is left as it is.
    """
    weight, eps = getattr(norm, "weight", None), getattr(norm, "variance_epsilon", None)
    if not isinstance(weight, Tensor) or eps is None:
        return
    x = torch.randn(4, weight.shape[0], device=weight.device)
    with torch.no_grad():
        if not torch.allclose(norm(x).float(), F.rms_norm(x, weight.shape, weight, eps), atol=1e-5):
            return

    def forward(hidden: Tensor) -> Tensor:
        return F.rms_norm(hidden.float(), weight.shape, weight, eps).to(compute_dtype)

    norm.forward = forward


@torch.no_grad()
def refuse_if_rows_mix(model: PreTrainedModel, machine: Machine) -> None:
    """Check that a model keeps packed examples apart, because training packs several examples into one row.

    That depends on how its code builds the attention mask, so it is tried: the second of two packed examples
    must get the same logits as alone. Raises LearnerError otherwise.
    """
    model.eval()
    ids = torch.arange(16, 32, device=machine.device)[None] % model.config.get_text_config().vocab_size
    positions = torch.arange(8, device=machine.device).repeat(2)[None]
    with machine.autocast(), _widened_linears(model, machine.compute_dtype):
        packed = model(input_ids=ids, position_ids=positions, use_cache=False).logits[0, 8:].float()
        alone = model(input_ids=ids[:, 8:], use_cache=False).logits[0].float()
    rounds = machine.compute_dtype != torch.float32 or any(
        isinstance(module, bnb.nn.Linear8bitLt) for module in model.modules()
    )
    share = ROUNDED_ROWS_SHARE if rounds else MIXED_ROWS_SHARE
    if (packed - alone).abs().mean() > share * alone.std():
        raise LearnerError(
            f"Models of type {model.config.model_type} can't keep packed examples apart.",
            do_next="Choose a Llama, Mistral, Qwen, Phi or Gemma 1 or 3 model.",
        )


@contextmanager
def _widened_linears(model: PreTrainedModel, dtype: torch.dtype) -> Iterator[None]:
    """Widen weights that are stored in 16 bits while their layer computes in fp32, as the lab's products do
    and the library's don't.
    """
    stored: dict[torch.Tensor, torch.Tensor] = {}

    def widen(layer: torch.nn.Module, *_: Any) -> None:
        for parameter in layer.parameters(recurse=False):
            stored[parameter], parameter.data = parameter.data, parameter.data.to(dtype)

    def restore(layer: torch.nn.Module, *_: Any) -> None:
        for parameter in layer.parameters(recurse=False):
            parameter.data = stored.pop(parameter)

    narrow = [
        layer
        for layer in model.modules()
        if type(layer) is torch.nn.Linear and layer.weight.dtype.itemsize < dtype.itemsize
    ]
    hooks = [layer.register_forward_pre_hook(widen) for layer in narrow]
    hooks += [layer.register_forward_hook(restore) for layer in narrow]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """A loaded model with a fresh adapter on it."""

    model: PeftModel
    decoder: Decoder

    def count_trainable_parameters(self) -> int:
        """Count trainable parameters as PEFT does."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)


def attach_adapter(
    loaded: LoadedModel, spec: RunSpec, shape: ModelShape, *, modules_to_save: list[str] | None = None
) -> Adapted:
    """Attach a seeded fresh adapter: A random, B zero, so the model starts out unchanged.

    Of `modules_to_save`, whole copies are trained too.
    """
    torch.manual_seed(spec.seed)
    loaded.base.config._name_or_path = shape.hub_id or loaded.model_name
    config = build_adapter_config(spec, shape, modules_to_save=modules_to_save)
    model = get_peft_model(loaded.base, config)
    decoder = Decoder(loaded.machine.compute_dtype)
    install_forwards(model, decoder)
    start_unchanged(model)
    if spec.checkpointing:
        # Without dropout a layer samples nothing at random, so there is no random state to restore.
        options = {"use_reentrant": False, "preserve_rng_state": False}
        loaded.base.activation_checkpointing_enable(options)
        # transformers also asks for a gradient of the embeddings, which only the older, reentrant form needs.
        loaded.base.disable_input_require_grads()
    else:
        loaded.base.activation_checkpointing_disable()
    return Adapted(model=model, decoder=decoder)


def build_adapter_config(
    spec: RunSpec, shape: ModelShape, *, modules_to_save: list[str] | None = None
) -> LoraConfig:
    """Build PEFT's configuration."""
    return LoraConfig(
        r=spec.rank,
        lora_alpha=cast(int, spec.alpha),
        target_modules=shape.list_target_modules(spec.targets),
        use_rslora=spec.variant == "rslora",
        use_dora=spec.variant == "dora",
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        modules_to_save=modules_to_save,
    )


def build_meter(model: nn.Module, machine: Machine) -> Meter:
    """Build a factory of memory meters; on a CPU they start from model, gradients and optimizer."""

    def measure(training_state: Iterable[Tensor]) -> MemoryMeter:
        if machine.on_gpu:
            return GpuAllocator(machine.device, training_state)
        return LiveStorages((*list_resident_tensors(model), *training_state))

    return measure
