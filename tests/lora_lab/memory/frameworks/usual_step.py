"""A usual training step of transformers, peft and bitsandbytes on the CPU, with its live bytes counted."""

import contextlib
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any

import bitsandbytes as bnb
import torch
from peft import IA3Config, LNTuningConfig, LoraConfig, get_peft_model, prepare_model_for_kbit_training
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from lora_lab.memory.frameworks.setting import StepSetting
from lora_lab.memory.frameworks.stored_matrices import as_stored
from lora_lab.worker.model.quantization import list_constants
from lora_lab.worker.model.read_shape import read_config_shape
from lora_lab.worker.training.memory_meter import LiveStorages

Config = dict[str, Any]
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
BATCH, TOKENS, RANK = 2, 64, 8
LLAMA: Config = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 5,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 512,
    "tie_word_embeddings": False,
    "max_position_embeddings": 512,
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One setting of a step."""

    config: Config
    base: str = "bf16"
    quant: str | None = None
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    everything: bool = False
    checkpointing: bool = False
    eager: bool = False
    dora: bool = False
    variant: str = ""
    """`ia3` or `norms`, in place of LoRA."""

    dropout: float = 0.0
    autocast: bool = False


def setting_of(cell: Cell) -> StepSetting:
    """What the forecast is asked."""
    shape = as_stored(read_config_shape(cell.config, name="tiny"), separate=False)
    return StepSetting(
        shape=shape,
        adapted=() if cell.everything or cell.variant == "norms" else shape.select(list(cell.targets)),
        rank=RANK,
        variant=cell.variant or ("dora" if cell.dora else "lora"),  # type: ignore[arg-type]
        dropout=cell.dropout > 0,
        base_type=cell.base,  # type: ignore[arg-type]
        bits=cell.quant or cell.base,  # type: ignore[arg-type]
        framework="loop",
        seq_len=TOKENS,
        batch=BATCH,
        checkpointing=cell.checkpointing,
        attention="eager" if cell.eager else "sdpa",
        on_gpu=False,
    )


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Live bytes of the second of two steps."""

    resident: int
    peak: int


def measure(cell: Cell) -> Counted:
    """A real step, once the moments are there."""
    model = _model(cell)
    ids = torch.randint(0, 512, (BATCH, TOKENS), generator=torch.Generator().manual_seed(0))

    def forward() -> tuple[Any, torch.Tensor]:
        output = model(input_ids=ids, labels=ids)
        return output, output.loss

    return count_second_step(model, forward, autocast=cell.autocast)


def count_second_step(
    model: Any, forward: Callable[[], tuple[Any, torch.Tensor]], *, autocast: bool
) -> Counted:
    """Two real steps, so that the moments are there in the second one. Only the second is counted, because
    the meter takes as long as the operators of so small a model. `forward` returns the model's output, which
    lives as long as the step, and its loss.
    """
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext():
            output, loss = forward()
        loss.backward()
        optimizer.step()
        del output, loss

    step()
    optimizer.zero_grad()
    moments = (tensor for kept in optimizer.state.values() for tensor in kept.values())
    meter = LiveStorages([*resident_tensors(model), *moments])
    resident = meter.live_bytes
    with meter:
        step()
    return Counted(resident=resident, peak=meter.peak_bytes)


def _model(cell: Cell) -> Any:
    values = dict(cell.config)
    attention = "eager" if cell.eager else "sdpa"
    config = AutoConfig.for_model(values.pop("model_type"), **values, use_cache=False)
    torch.manual_seed(0)
    made: Any = AutoModelForCausalLM.from_config(
        config, attn_implementation=attention, dtype=TYPES[cell.base]
    )
    if cell.quant:
        quantize_linears(made, cell.quant)
        made = prepare_model_for_kbit_training(made, use_gradient_checkpointing=False)
    if cell.checkpointing:
        made.activation_checkpointing_enable()
        made.enable_input_require_grads()
    if cell.variant == "norms":
        made = get_peft_model(made, LNTuningConfig(task_type="CAUSAL_LM"))
    elif cell.variant == "ia3":
        feeds = [name for name in cell.targets if name == "down_proj"]
        config = IA3Config(
            target_modules=list(cell.targets), feedforward_modules=feeds, task_type="CAUSAL_LM"
        )
        made = get_peft_model(made, config)
    elif not cell.everything:
        adapter = LoraConfig(
            r=RANK,
            target_modules=list(cell.targets),
            lora_dropout=cell.dropout,
            use_dora=cell.dora,
            task_type="CAUSAL_LM",
        )
        made = get_peft_model(made, adapter)
    return made.train()


def quantize_linears(model: Any, kind: str, *, but: Container[str] = ()) -> None:
    head = model.get_output_embeddings()
    for path, module in list(model.named_modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and child is not head and f"{path}.{name}".strip(".") not in but:
                setattr(module, name, _quantized(child, kind))
    model.requires_grad_(False)
    setattr(model, "is_loaded_in_8bit" if kind == "int8" else "is_loaded_in_4bit", True)


def _quantized(linear: nn.Linear, kind: str) -> Any:
    made: Any
    if kind == "int8":
        made = bnb.nn.Linear8bitLt(
            linear.in_features, linear.out_features, bias=False, has_fp16_weights=False
        )
        made.load_state_dict({"weight": linear.weight.data.float()})
        return made.to("cpu")
    made = bnb.nn.Linear4bit(
        linear.in_features, linear.out_features, bias=False, compute_dtype=linear.weight.dtype
    )
    made.weight = bnb.nn.Params4bit(
        linear.weight.data,
        requires_grad=False,
        quant_type=kind[:3],
        compress_statistics=kind.endswith("-dq"),
        module=made,
    )
    made = made.to("cpu")
    made.support_avx512bf16_for_cpu = False
    return made


def resident_tensors(model: Any) -> Iterator[torch.Tensor]:
    yield from model.parameters()
    yield from model.buffers()
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit | bnb.nn.Linear8bitLt):
            yield from list_constants(module)
