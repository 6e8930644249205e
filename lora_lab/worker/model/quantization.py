"""Bit widths: how frozen weights are stored, decoded and counted.

All schemes here are weight-only: a layer's weights are stored in few bits and decoded to the compute type for
each matrix product, so quantization saves memory and costs time.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import bitsandbytes as bnb
import torch
from bitsandbytes.functional import QuantState
from hqq.core.quantize import HQQLinear
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lora_lab.spec import Bits
from lora_lab.worker.model.hqq_layers import decode_hqq

FROZEN_LINEARS = (nn.Linear, Conv1D, HQQLinear)
"""Every form in which a linear layer's weight can be stored."""


def list_linears(model: PreTrainedModel) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers that a scheme quantizes: every linear layer except the head."""
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, FROZEN_LINEARS) and module is not head:
            yield name, module


def build_quantization_config(bits: Bits, compute_dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """Build bitsandbytes' settings for a scheme; None for 16 and 32 bits, and for HQQ (hqq_layers.py).

    All three 4-bit settings are explicit: the defaults are FP4, float32 and no double quantization
    (docs/traps.md 2).
    """
    if bits == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    if bits in ("nf4", "nf4-dq", "fp4"):
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="fp4" if bits == "fp4" else "nf4",
            bnb_4bit_compute_dtype=compute_dtype,
            bnb_4bit_use_double_quant=bits == "nf4-dq",
        )
    return None


def keep_trainable_layout(model: nn.Module) -> None:
    """Stop bitsandbytes from repacking 4-bit weights for inference.

    bitsandbytes 0.50.2 on AVX512-BF16 CPUs repacks every Linear4bit in an eval() forward under no_grad and
    never restores it; later gradients are silently wrong (docs/traps.md 1, and the test of the same name).
    """
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False


def keep_row_scales(model: nn.Module) -> None:
    """Make PEFT's own DoRA forward work on int8 layers on a CPU.

    It copies a layer's weight after each forward, and bitsandbytes 0.50.2 copies an int8 weight without the
    row scales, because its first forward has moved them away: the next forward fails.
    """
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear8bitLt):
            module.register_forward_pre_hook(_build_put_back(module.weight.SCB))


def _build_put_back(scales: Tensor | None) -> Callable[[nn.Module, Any], None]:
    def put_back(module: nn.Module, inputs: Any) -> None:
        weight = module.weight
        if isinstance(weight, bnb.nn.Int8Params) and weight.CB is not None and weight.SCB is None:
            weight.SCB = scales

    return put_back


def put_beside_base(model: nn.Module, adapter: str) -> None:
    """Move an adapter to the devices of the layers it adapts.

    PEFT 0.21 finds that device by the layer's weight, which an HQQ layer doesn't have; a second adapter then
    stays on the CPU, and the first product on a GPU fails.
    """
    for module in model.modules():
        if isinstance(module, LoraLayer):
            base = module.get_base_layer()
            stored = base.W_q if isinstance(base, HQQLinear) else base.weight
            for part in (module.lora_A, module.lora_B, module.lora_magnitude_vector):
                if adapter in part:
                    part[adapter].to(stored.device)


def decode_dense_weight(layer: nn.Module, dtype: torch.dtype, constants: Tensor | None = None) -> Tensor:
    """Decode a frozen layer's weight (d_out, d_in) to `dtype`; of a double-quantized one with its block
    constants where they are decoded already.
    """
    if isinstance(layer, HQQLinear):
        return decode_hqq(layer, dtype)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if isinstance(weight, bnb.nn.Params4bit):
        state = weight.quant_state
        if constants is not None:
            state = QuantState(
                constants, state.shape, state.code, state.blocksize, state.quant_type, state.dtype
            )
        decoded: Tensor = bnb.functional.dequantize_4bit(weight.data, state)
        return decoded.to(dtype)
    if isinstance(weight, bnb.nn.Int8Params):
        return _decode_int8(layer, weight, dtype)
    dense = weight.detach().to(dtype)
    return dense.t() if isinstance(layer, Conv1D) else dense


def find_quant_state(layer: nn.Module) -> QuantState | None:
    """Return a 4-bit layer's scales and code; None of other layers."""
    state = getattr(getattr(layer, "weight", None), "quant_state", None)
    return state if isinstance(state, QuantState) else None


class NestedConstants:
    """The block constants of several double-quantized matrices, decoded together: one kernel adds all their
    offsets.
    """

    def __init__(self, matrices: Iterable[nn.Module]) -> None:
        states = ((matrix, find_quant_state(matrix)) for matrix in matrices)
        self._states = {matrix: state for matrix, state in states if state is not None and state.nested}
        offsets = [state.offset for state in self._states.values()]
        self._offsets = torch.stack(offsets).tolist() if offsets else []

    def decode(self) -> dict[nn.Module, Tensor]:
        """Decode each matrix's constants (blocks,) to fp32."""
        if not self._states:
            return {}
        decoded = [
            bnb.functional.dequantize_blockwise(state.absmax, state.state2) for state in self._states.values()
        ]
        torch._foreach_add_(decoded, self._offsets)
        return dict(zip(self._states, decoded, strict=True))


def copy_weight(layer: nn.Module) -> Tensor:
    """Copy a frozen layer's weight (d_out, d_in) in fp32 to the CPU."""
    return decode_dense_weight(layer, torch.float32).cpu().contiguous().clone()


def put_weight(layer: nn.Module, weight: Tensor) -> None:
    """Set an unquantized layer's weight (d_out, d_in)."""
    own = layer.weight
    assert isinstance(own, Tensor)
    own.copy_(weight if isinstance(layer, nn.Linear) else weight.t())


def _decode_int8(layer: nn.Module, weight: bnb.nn.Int8Params, dtype: torch.dtype) -> Tensor:
    # After the first forward bitsandbytes moves codes and row scales from the parameter to the layer's state.
    state = getattr(layer, "state", None)
    codes = weight.CB if weight.CB is not None else getattr(state, "CB", None)
    scales = weight.SCB if weight.SCB is not None else getattr(state, "SCB", None)
    codes = weight.data if codes is None else codes
    assert scales is not None
    decoded: Tensor = codes.to(torch.float32).mul_(scales.view(-1, 1) / 127)
    return decoded.to(dtype)


def list_constants(layer: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors that a quantized layer stores in addition to its codes."""
    if isinstance(layer, HQQLinear):
        yield layer.meta["scale"]
        yield layer.meta["zero"]
        return
    weight = layer.weight
    state = find_quant_state(layer)
    if state is not None:
        yield state.absmax
        yield state.code
        if state.nested:
            yield state.offset
            yield state.state2.absmax
            yield state.state2.code
    scales = getattr(weight, "SCB", None)
    if scales is None:
        scales = getattr(getattr(layer, "state", None), "SCB", None)
    if scales is not None:
        yield scales


def list_resident_tensors(model: nn.Module) -> Iterator[Tensor]:
    """List every tensor that a loaded model keeps alive: parameters, buffers, quantization constants."""
    for module in model.modules():
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None:
                yield tensor
        if isinstance(module, HQQLinear):
            yield from list_constants(module)
            if module.bias is not None:  # a plain attribute in HQQLinear
                yield module.bias
        elif isinstance(getattr(module, "weight", None), bnb.nn.Params4bit | bnb.nn.Int8Params):
            yield from list_constants(module)
