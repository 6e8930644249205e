"""A usual training step of any kind of model on the CPU, as a line of the memory contract and for real."""

import contextlib
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoConfig

from lora_lab.memory.frameworks.contract import parse_setting
from lora_lab.memory.frameworks.setting import StepSetting
from lora_lab.worker.model.read_shape import find_builder, read_config_shape
from lora_lab.worker.training.memory_meter import LiveStorages
from tests.lora_lab.memory.frameworks.usual_step import TYPES, Counted, quantize_linears, resident_tensors

Config = dict[str, Any]
BATCH, TOKENS, RANK = 2, 64, 8
TASKS = {"seqcls": "SEQ_CLS", "seq2seq": "SEQ_2_SEQ_LM", "causal": "CAUSAL_LM", "tokencls": "TOKEN_CLS"}


@dataclass(frozen=True, kw_only=True)
class FamilyCell:
    """One configuration, and how it is trained."""

    config: Config = field(hash=False)
    kind: str
    base: str = "fp32"
    quant: str | None = None
    targets: tuple[str, ...] | str = "all-linear"
    everything: bool = False
    checkpointing: bool = False
    eager: bool = False
    autocast: bool = False
    narrowing: Config = field(default_factory=dict, hash=False)
    """PEFT's fields that leave modules out or change ranks."""

    image: bool = True
    """Whether a model with a vision tower reads an image in each row."""

    tokens: int = TOKENS
    target_len: int | None = None


def record_of(cell: FamilyCell) -> dict[str, Any]:
    """The cell as a line of the memory contract."""
    targets = list(cell.targets) if isinstance(cell.targets, tuple) else cell.targets
    return {
        "config": cell.config,
        "kind": cell.kind,
        "method": "full" if cell.everything else "lora",
        "base_dtype": cell.base,
        "quant": cell.quant,
        "lora": None if cell.everything else {"r": RANK, "targets": targets, **cell.narrowing},
        "seq_len": cell.tokens,
        "target_len": cell.target_len,
        "micro_batch": BATCH,
        "gradient_checkpointing": cell.checkpointing,
        "optimizer": "adamw",
        "attention": "eager" if cell.eager else "sdpa",
        "measure": "live storage",
        "device": "cpu",
        "framework": "transformers Trainer" if cell.autocast else "transformers + peft",
    }


def family_setting(cell: FamilyCell) -> StepSetting:
    """What the forecast is asked."""
    shape = read_config_shape(cell.config, name="tiny", kind=cell.kind)
    return parse_setting(record_of(cell), shape)


def measure_family(cell: FamilyCell) -> Counted:
    """Two real steps, so that the moments are there in the second one; inputs are made before."""
    model = _build(cell)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    inputs = _inputs(cell, model)
    meter = LiveStorages(resident_tensors(model))
    resident = 0
    with meter:
        for _ in range(2):
            optimizer.zero_grad()
            resident = meter.peak_bytes = meter.live_bytes
            with torch.autocast("cpu", torch.bfloat16) if cell.autocast else contextlib.nullcontext():
                output = model(**inputs)
                loss = output.loss if output.get("loss") is not None else output[0].float().mean()
            loss.backward()
            optimizer.step()
            del output, loss
    return Counted(resident=resident, peak=meter.peak_bytes)


def _inputs(cell: FamilyCell, model: Any) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    config = cell.config

    def ids(length: int) -> torch.Tensor:
        return torch.randint(3, 64, (BATCH, length), generator=rng)

    labels = torch.zeros(BATCH, dtype=torch.long)
    dtype = TYPES[cell.base]
    match cell.kind:
        case "seqcls":
            return {"input_ids": ids(cell.tokens), "labels": labels}
        case "seq2seq":
            return {"input_ids": ids(cell.tokens), "labels": ids(cell.target_len or cell.tokens)}
        case "imgcls":
            side = model.config.image_size
            return {"pixel_values": torch.randn(BATCH, 3, side, side, dtype=dtype), "labels": labels}
        case "asr":
            mel = torch.randn(BATCH, config["num_mel_bins"], 2 * config["max_source_positions"], dtype=dtype)
            return {"input_features": mel, "labels": ids(cell.tokens)}
        case "vlm":
            rows = ids(cell.tokens)
            if not cell.image:
                return {"input_ids": rows, "labels": rows}
            side = config["vision_config"]["image_size"]
            tokens = (side // config["vision_config"]["patch_size"]) ** 2 // config.get(
                "scale_factor", 1
            ) ** 2
            tokens = config.get("mm_tokens_per_image", tokens)
            rows[:, 1 : 1 + tokens] = config["image_token_index"]
            one = (1,) if config["model_type"] == "idefics3" else ()  # a row may have several images
            pixels = torch.randn(BATCH, *one, 3, side, side, dtype=dtype)
            seen = {"input_ids": rows, "pixel_values": pixels, "labels": rows}
            is_image = rows == config["image_token_index"]
            return seen | ({"token_type_ids": is_image.long()} if config["model_type"] == "gemma3" else {})
        case "encoder":
            return {"input_ids": ids(cell.tokens)}
    rows = ids(cell.tokens)
    return {"input_ids": rows, "labels": rows}


def _build(cell: FamilyCell) -> Any:
    values = dict(cell.config)
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    if hasattr(config, "use_cache"):
        config.use_cache = False
    torch.manual_seed(0)
    builder = find_builder(cell.kind, config)
    # DeBERTa has its own attention only.
    attention = "eager" if cell.eager or config.model_type == "deberta-v2" else "sdpa"
    made: Any = builder.from_config(config, attn_implementation=attention, dtype=TYPES[cell.base])
    if cell.quant:
        tree = read_config_shape(cell.config, name="tiny", kind=cell.kind).modules
        whole = {name for group in tree.linears if group.stays_16_bit for name in group.names}
        if made._keep_in_fp32_modules:
            whole |= {
                name
                for name, _ in made.named_modules()
                if name.rsplit(".", 1)[-1] in made._keep_in_fp32_modules
            }
        quantize_linears(made, cell.quant, but=whole)
        made = prepare_model_for_kbit_training(made, use_gradient_checkpointing=False)
    if cell.checkpointing:
        made.activation_checkpointing_enable()
        made.enable_input_require_grads()
    if not cell.everything:
        targets = list(cell.targets) if isinstance(cell.targets, tuple) else cell.targets
        task = TASKS.get(cell.kind)
        adapter = LoraConfig(r=RANK, target_modules=targets, task_type=task, **cell.narrowing)
        made = get_peft_model(made, adapter)
    return made.train()
