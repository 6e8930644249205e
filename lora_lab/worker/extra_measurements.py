"""Extra measurements on a finished run's adapter: losses on general questions, and the error of three merges.

Everything runs in fp32 on the CPU, on the numbers that the run's bits keep.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import SafetensorError
from torch import Tensor, nn

from lora_lab.data import datasets
from lora_lab.runs.extra_measurements import ExtraMeasurements, read_general_pairs
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import Bits
from lora_lab.worker.inspect.lora_update import WRAPPED
from lora_lab.worker.inspect.rounding import round_to
from lora_lab.worker.merge import describe_error, load_base
from lora_lab.worker.model.load import load_tokenizer
from lora_lab.worker.model.quantization import copy_weight, put_weight
from lora_lab.worker.training.attention import attend_by_example
from lora_lab.worker.training.loop import held_out_loss
from lora_lab.worker.training.packing import Encoded, cut_to, encode_example
from study.base.errors import LearnerError

LOGIT_EXAMPLES = 4  # enough positions for a relative error, few enough to hold their logits
FOUR_BIT: frozenset[Bits] = frozenset({"nf4", "nf4-dq", "fp4"})


def measure_run(run: RunFolder, models_dir: Path) -> bool:
    """Write a run's measurements, or why they failed. Return True when they are written."""
    try:
        values = _measure_values(run, models_dir)
    except (LearnerError, OSError, MemoryError, RuntimeError, ValueError, SafetensorError) as error:
        run.write_json(ExtraMeasurements(run).path.name, {"problem": describe_error(error)})
        return False
    run.write_json(ExtraMeasurements(run).path.name, {"values": values})
    return True


@torch.no_grad()
def _measure_values(run: RunFolder, models_dir: Path) -> dict[str, float]:
    spec = run.spec
    base = load_base(run, models_dir)
    attend_by_example(base)
    tokenizer = load_tokenizer(spec.model, models_dir)
    general = [encode_example(tokenizer, pair) for pair in read_general_pairs()]
    held_out = datasets.load_saved(run.path).held_out
    kept = cut_to([encode_example(tokenizer, example) for example in held_out], spec.seq_len_tokens)
    adapted = PeftModel.from_pretrained(base, str(run.adapter_path)).eval()
    with adapted.disable_adapter():
        values = {"general_before": _measure_loss(adapted, general), "before": _measure_loss(adapted, kept)}
    values |= {"general_after": _measure_loss(adapted, general), "after": _measure_loss(adapted, kept)}
    asked = kept[:LOGIT_EXAMPLES]
    expected = _compute_logits(adapted, asked)
    names = [
        name.removeprefix(WRAPPED) for name, layer in adapted.named_modules() if hasattr(layer, "lora_A")
    ]
    merged = adapted.merge_and_unload()
    exact = {name: copy_weight(merged.get_submodule(name)) for name in names}
    for way, stored in _list_ways(spec.bits).items():
        for name, weight in exact.items():
            put_weight(merged.get_submodule(name), round_to(weight, stored))
        values |= _compare_merge(way, merged, asked, kept, expected)
    return values


def _list_ways(bits: Bits) -> dict[str, Bits]:
    """List how a merged weight can be stored: in fp32, in 16 bits, or in the 4 bits that the base had."""
    ways: dict[str, Bits] = {"decoded": "fp32", "bf16": "bf16"}
    return ways | ({"requantized": bits} if bits in FOUR_BIT else {})


def _compare_merge(
    way: str, model: nn.Module, asked: Sequence[Encoded], kept: Sequence[Encoded], expected: Tensor
) -> dict[str, float]:
    """Measure how far a merged model is from the adapter on its base."""
    error = (_compute_logits(model, asked) - expected).norm() / expected.norm()
    return {f"{way}_error": float(error), f"{way}_loss": _measure_loss(model, kept)}


def _measure_loss(model: nn.Module, examples: Sequence[Encoded]) -> float:
    return held_out_loss(model, examples, nullcontext)


def _compute_logits(model: nn.Module, examples: Sequence[Encoded]) -> Tensor:
    """Return next-token logits of each example by itself, one after the other: (tokens, vocab)."""
    rows = [model(input_ids=torch.tensor([each.ids]), use_cache=False).logits[0] for each in examples]
    return torch.cat(rows).float()
