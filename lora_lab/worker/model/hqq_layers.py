"""HQQ: weights in 8 to 1 bits, each group of 64 with its own scale and zero point.

Half-quadratic quantization searches the zero points that make the weights' error sparse and needs no data
(https://mobiusml.github.io/hqq_blog/). transformers 5.24 can't load it on the fly (docs/traps.md 7), so the
library's own layer replaces each linear layer here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hqq
import torch
from hqq.core.quantize import BaseQuantizeConfig, HQQLinear, Quantizer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lora_lab.memory.ledger import BLOCK_SIZE
from lora_lab.spec import HQQ_BITS, Bits
from study.base.errors import LearnerError

FILE = "hqq.safetensors"
CONSTANTS_DTYPE = torch.float32
"""In bf16 the zero point of an 8-bit group would be off by half a code."""

VERSION = f"hqq-{hqq.__version__}"


def quantize_linears(model: PreTrainedModel, bits: Bits, device: torch.device) -> None:
    """Replace every linear layer except the head. Raises LearnerError where HQQ can't quantize one.

    The search runs on the CPU and its result moves to `device`: a GPU rounds differently and would find other
    codes, and merging, which runs on the CPU, would then merge into a base that the run did not have.
    """
    refuse_what_hqq_lacks(model, bits)
    for name, layer in list(_list_linears(model)):
        shape, bias = layer.weight.shape, layer.bias
        coded = quantize_linear(layer, bits, torch.device("cpu"))
        stored = {"W_q": coded.W_q.data, "scale": coded.meta["scale"], "zero": coded.meta["zero"]}
        model.set_submodule(name, _build_linear(stored, shape, bias, bits, device))


def quantize_linear(layer: nn.Linear, bits: Bits, device: torch.device) -> HQQLinear:
    """Quantize one layer to `bits`; the given layer loses its weight."""
    return HQQLinear(layer, build_config(bits), compute_dtype=CONSTANTS_DTYPE, device=str(device))


def build_config(bits: Bits, group_size: int = BLOCK_SIZE) -> dict[str, Any]:
    """Build the library's settings: groups along a row, zero points searched."""
    config: dict[str, Any] = BaseQuantizeConfig(nbits=HQQ_BITS[bits], group_size=group_size, axis=1)
    return config


def refuse_what_hqq_lacks(model: PreTrainedModel, bits: Bits) -> None:
    """Check the layers: HQQ packs whole groups of 64, several per byte. Raises LearnerError otherwise."""
    together = BLOCK_SIZE * (1 if bits == "hqq3" else 8 // HQQ_BITS[bits])
    for name, layer in model.named_modules():
        if isinstance(layer, Conv1D):
            raise LearnerError(
                f"HQQ has no form for the transposed layers of {model.config.model_type} models ({name}).",
                do_next="Choose a bitsandbytes scheme, such as NF4 or int8.",
            )
    for name, layer in _list_linears(model):
        if layer.weight.numel() % together:
            raise LearnerError(
                f"HQQ can't pack {name}: {layer.weight.numel():,} weights aren't a multiple of {together}.",
                do_next="Choose a bitsandbytes scheme, such as NF4 or int8.",
            )


def save_linears(model: PreTrainedModel, folder: Path) -> None:
    """Write codes and constants of every quantized layer to one safetensors file."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, HQQLinear):
            tensors |= {f"{name}.{key}": layer.meta[key] for key in ("scale", "zero")}
            tensors[f"{name}.W_q"] = layer.W_q.data
    save_file(tensors, folder / FILE)


def load_linears(model: PreTrainedModel, bits: Bits, folder: Path, device: torch.device) -> None:
    """Load the layers that `save_linears` wrote into the unquantized model.

    Metadata that is not a tensor is set here, because the library's own format would pass it through `eval`.
    """
    tensors = load_file(folder / FILE)
    for name, linear in list(_list_linears(model)):
        stored = {key: tensors[f"{name}.{key}"] for key in ("W_q", "scale", "zero")}
        model.set_submodule(name, _build_linear(stored, linear.weight.shape, linear.bias, bits, device))


def _build_linear(
    stored: dict[str, Tensor], shape: torch.Size, bias: Tensor | None, bits: Bits, device: torch.device
) -> HQQLinear:
    """Build a layer of `shape` (d_out, d_in) on `device` from its codes, scales and zero points."""
    layer = HQQLinear(
        None, build_config(bits), compute_dtype=CONSTANTS_DTYPE, device=str(device), initialize=False
    )
    layer.load_state_dict(
        stored
        | {"shape": shape, "packing": Quantizer.bit_to_packing[HQQ_BITS[bits]]}
        | {"nbits": HQQ_BITS[bits], "group_size": BLOCK_SIZE, "axis": 1, "view_as_float": False}
        | {"quant_scale": False, "quant_zero": False}
        | ({} if bias is None else {"bias": bias.detach().to(CONSTANTS_DTYPE)})
    )
    return layer


def decode_hqq(layer: HQQLinear, dtype: torch.dtype) -> Tensor:
    """Decode (code - zero) x scale, in place, where the library would hold three fp32 copies."""
    meta = layer.meta
    codes = Quantizer.unpack[meta["packing"]](layer.W_q, dtype=CONSTANTS_DTYPE)  # (groups, 64), 3-bit padded
    groups = codes[: len(meta["scale"])].sub_(meta["zero"]).mul_(meta["scale"])
    weight: Tensor = groups.view(meta["shape"]).to(dtype)
    return weight


def _list_linears(model: PreTrainedModel) -> Iterator[tuple[str, nn.Linear]]:
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not head:
            yield name, module
