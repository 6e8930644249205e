"""Predicted bytes: exactly what bitsandbytes stores, what others measured, and what must always hold."""

from dataclasses import asdict, replace
from typing import Any

import bitsandbytes
import pytest
import torch
from bitsandbytes.functional import get_4bit_type
from hqq.core.quantize import HQQLinear
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.data.batches import RowSize, build_even_row
from lora_lab.memory import ledger as memory
from lora_lab.memory.ledger import (
    COMPONENTS,
    Ledger,
    bits_per_param,
    compute_constant_bytes,
    predict_ledger,
    weight_bytes,
)
from lora_lab.memory.optimizer_state import (
    ADAM_BYTES_PER_TENSOR,
    CODE_MAP_BYTES,
    FP32_BYTES,
    Tensors,
    optimizer_bytes,
)
from lora_lab.memory.written_out import is_written_out
from lora_lab.parameters.quantization_levels import NF4_LEVELS
from lora_lab.parameters.shapes import Linear, find_shape, load_catalogue
from lora_lab.spec import BITS, HQQ_BITS, OPTIMIZERS, VARIANTS, Bits, Compute, RunSpec
from lora_lab.worker.model.hqq_layers import quantize_linear
from lora_lab.worker.model.quantization import decode_dense_weight, list_constants
from lora_lab.worker.model.read_shape import read_config_shape
from study.base.units import GB
from tests.golden.memory import (
    DOUBLE_QUANTIZATION,
    HQQ_ERRORS,
    SAVED_BITS,
    STORED_BITS,
    DoubleQuantization,
)

NARROW_TO_WIDE: tuple[Bits, ...] = (
    "hqq1", "hqq2", "nf4-dq", "nf4", "int8", "bf16", "fp32"
)  # fmt: skip
REAL_MODELS = sorted(name for name in load_catalogue() if name != "tiny-random")

models = st.sampled_from(REAL_MODELS)
computes = st.sampled_from(("fp32", "bf16"))
specs = st.builds(
    RunSpec,
    rank=st.integers(1, 255),
    bits=st.sampled_from(BITS),
    targets=st.sampled_from(("q+v", "attention", "all-linear")),
    batch=st.integers(1, 63),
    seq_len_tokens=st.integers(16, 4095),
    variant=st.sampled_from(VARIANTS),
    optimizer=st.sampled_from(OPTIMIZERS),
    checkpointing=st.booleans(),
)

# ---- what bitsandbytes stores

SHAPES = [(64, 64), (96, 100), (33, 7), (1, 3), (130, 1000), (65, 127), (512, 256), (2048, 1024)]


@pytest.mark.parametrize(("d_out", "d_in"), SHAPES)
@pytest.mark.parametrize("bits", ["nf4", "nf4-dq", "fp4", "int8"])
def test_a_quantized_matrix_takes_exactly_the_bytes_that_bitsandbytes_stores(
    bits: Bits, d_out: int, d_in: int
) -> None:
    layer = quantized(bits, d_out, d_in)
    codes, constants = computed(bits, d_out, d_in)
    assert codes == tensor_bytes(layer.weight.data)
    assert constants == sum(tensor_bytes(tensor) for tensor in list_constants(layer))


@pytest.mark.parametrize(("d_out", "d_in"), [(64, 64), (24, 64), (96, 128), (512, 256)])
@pytest.mark.parametrize("bits", HQQ_BITS)
def test_an_hqq_matrix_takes_exactly_the_bytes_that_the_library_stores(
    bits: Bits, d_out: int, d_in: int
) -> None:
    layer = hqq_layer(bits, d_out, d_in)
    codes, constants = computed(bits, d_out, d_in)
    assert codes == tensor_bytes(layer.W_q)
    assert constants == sum(tensor_bytes(tensor) for tensor in list_constants(layer))


@pytest.mark.parametrize("bits", HQQ_BITS)
def test_hqq_is_off_by_the_published_share_and_decodes_as_the_library_does(bits: Bits) -> None:
    layer = hqq_layer(bits, 256, 512)
    decoded = decode_dense_weight(layer, torch.float32)
    torch.testing.assert_close(decoded, layer.dequantize())
    weight = WEIGHT_SPREAD * random_weight(256, 512)
    error = float((decoded - weight).norm() / weight.norm())
    assert error == pytest.approx(HQQ_ERRORS[bits], rel=0.03)


WEIGHT_SPREAD = 0.05
"""As in a trained model: the 1-bit search depends on the scale (at 1 the error is 1.48)."""


def random_weight(d_out: int, d_in: int) -> torch.Tensor:
    return torch.randn(d_out, d_in, generator=torch.Generator().manual_seed(0))


def hqq_layer(bits: Bits, d_out: int, d_in: int) -> HQQLinear:
    linear = torch.nn.Linear(d_in, d_out, bias=False)
    linear.weight.data = WEIGHT_SPREAD * random_weight(d_out, d_in)
    return quantize_linear(linear, bits, torch.device("cpu"))


def test_nf4_has_the_16_levels_of_bitsandbytes() -> None:
    assert get_4bit_type("nf4", device="cpu").tolist() == pytest.approx(NF4_LEVELS, abs=1e-7)


def quantized(bits: Bits, d_out: int, d_in: int) -> Any:
    weight = {"weight": random_weight(d_out, d_in)}
    if bits == "int8":
        layer = bitsandbytes.nn.Linear8bitLt(d_in, d_out, bias=False, has_fp16_weights=False)
    else:
        layer = bitsandbytes.nn.Linear4bit(
            d_in, d_out, bias=False, quant_type=bits[:3], compress_statistics=bits == "nf4-dq"
        )
    layer.load_state_dict(weight)
    return layer.to("cpu")


def tensor_bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def computed(bits: Bits, d_out: int, d_in: int) -> tuple[int, int]:
    """Codes and constants of one matrix, as the ledger counts them."""
    linear = Linear(name="model.layers.*.w", role="other", d_in=d_in, d_out=d_out, count=1)
    one = replace(find_shape("tiny-random"), linears=(linear,))
    none = replace(one, linears=())
    codes = weight_bytes(one, bits, "fp32") - weight_bytes(none, bits, "fp32")
    return codes, compute_constant_bytes(one, bits)


# ---- published numbers


@pytest.mark.parametrize("bits", BITS)
def test_stored_bits_per_weight_are_the_published_ones(bits: Bits) -> None:
    published, source = STORED_BITS[bits]
    assert bits_per_param(bits) == published, source


@pytest.mark.parametrize("bits", BITS)
def test_a_large_matrix_comes_to_the_bits_per_weight_that_are_named(bits: Bits) -> None:
    numbers = 8192 * 8192
    assert 8 * sum(computed(bits, 8192, 8192)) / numbers == pytest.approx(bits_per_param(bits), abs=4e-3)


def test_double_quantization_saves_0_373_bits_per_parameter() -> None:
    saved, source = SAVED_BITS
    assert bits_per_param("nf4") - bits_per_param("nf4-dq") == saved, source


@pytest.mark.parametrize("row", DOUBLE_QUANTIZATION, ids=[f"{row.nf4_gb} GB" for row in DOUBLE_QUANTIZATION])
def test_double_quantization_saves_what_was_measured_on_a_gpu(row: DoubleQuantization) -> None:
    shape = (
        find_shape(row.model)
        if isinstance(row.model, str)
        else read_config_shape(row.model, name="published")
    )
    saved_gb = (compute_constant_bytes(shape, "nf4") - compute_constant_bytes(shape, "nf4-dq")) / GB
    assert saved_gb == pytest.approx(row.nf4_gb - row.nf4_dq_gb, abs=0.01), row.source


def test_smaller_blocks_cost_more_bits() -> None:
    costs = [bits_per_param("nf4", block_size=size) for size in (32, 64, 128, 4096)]
    assert costs == [5.0, 4.5, 4.25, 4 + 32 / 4096]


# ---- what must always hold


@given(models, specs, computes)
def test_components_add_up_to_the_total(model: str, spec: RunSpec, compute: Compute) -> None:
    ledger = ledger_of(model, spec, compute)
    parts = asdict(ledger)
    assert list(parts) == [field for field, _ in COMPONENTS]
    assert sum(parts.values()) == ledger.total_bytes
    assert all(part >= 0 for part in parts.values())
    assert ledger.resident_bytes < ledger.total_bytes


@given(models, specs, computes)
def test_more_bits_never_store_fewer_bytes(model: str, spec: RunSpec, compute: Compute) -> None:
    stored = []
    for bits in NARROW_TO_WIDE:
        ledger = ledger_of(model, replace(spec, bits=bits), compute)
        stored.append(ledger.weights + ledger.constants)
    assert stored == sorted(stored)


@given(models, specs)
def test_more_bits_never_need_less_memory(model: str, spec: RunSpec) -> None:
    """Of bitsandbytes' schemes and plain weights: decoding HQQ's takes more room than a small model saves."""
    schemes = [bits for bits in NARROW_TO_WIDE if bits not in HQQ_BITS]
    needed = [total_of(model, replace(spec, bits=bits), "bf16") for bits in schemes]
    assert needed == sorted(needed)


@pytest.mark.parametrize("field", ["rank", "batch", "seq_len_tokens"])
@given(model=models, spec=specs, compute=computes, factor=st.integers(1, 8))
def test_a_larger_setting_never_needs_less_memory(
    field: str, model: str, spec: RunSpec, compute: Compute, factor: int
) -> None:
    limits = {"rank": 256, "batch": 64, "seq_len_tokens": 4096}
    value = min(getattr(spec, field) * factor + 1, limits[field])
    spec = replace(spec, optimizer="adamw")
    larger = replace(spec, **{field: value})
    assert total_of(model, spec, compute) <= total_of(model, larger, compute)


def test_8_bit_moments_cost_less_once_a_tensor_has_4096_numbers() -> None:
    """bitsandbytes keeps smaller ones in 32 bits: of 1,024 inputs, rank 4 needs less than rank 3."""
    three, four = (
        ledger_of("vit-large", RunSpec(rank=rank, targets="q+v", optimizer="adamw8bit"), "bf16")
        for rank in (3, 4)
    )
    assert four.adapters > three.adapters
    assert four.optimizer < three.optimizer


@given(models, specs)
def test_rank_changes_nothing_of_the_frozen_model(model: str, spec: RunSpec) -> None:
    spec = replace(spec, variant="lora", optimizer="adamw", checkpointing=False)
    one, other = (ledger_of(model, replace(spec, rank=rank), "bf16") for rank in (1, 256))
    assert (one.weights, one.constants, one.logits) == (other.weights, other.constants, other.logits)
    assert one.adapters * 256 == other.adapters
    assert one.gradients * 256 == other.gradients


@given(models, specs)
def test_adapters_gradients_and_adam_come_to_16_bytes_a_trained_number(model: str, spec: RunSpec) -> None:
    ledger = ledger_of(model, replace(spec, variant="lora", optimizer="adamw"), "bf16")
    trained = ledger.adapters // FP32_BYTES
    # One buffer holds the adapter of a written-out layer; PyTorch's graph has an A and a B for each matrix.
    matrices = sum(linear.count for linear in find_shape(model).select(spec.targets))
    written = is_written_out(find_shape(model).model_type, "bf16", variant="lora", optimizer="adamw")
    tensors = 1 if written else 2 * matrices
    step_counters = ADAM_BYTES_PER_TENSOR * tensors
    assert ledger.adapters + ledger.gradients + ledger.optimizer == 16 * trained + step_counters


@given(models, specs)
def test_8_bit_moments_never_take_more_than_32_bit_ones(model: str, spec: RunSpec) -> None:
    plain, narrow, paged = (
        ledger_of(model, replace(spec, optimizer=optimizer), "bf16").optimizer for optimizer in OPTIMIZERS
    )
    assert narrow == paged
    assert narrow <= plain + 2 * CODE_MAP_BYTES


@given(models, specs)
def test_dora_adds_a_magnitude_and_a_norm_for_each_output(model: str, spec: RunSpec) -> None:
    lora, dora = (ledger_of(model, replace(spec, variant=variant), "bf16") for variant in ("lora", "dora"))
    outputs = sum(linear.count * linear.d_out for linear in find_shape(model).select(spec.targets))
    assert dora.adapters - lora.adapters == 8 * outputs
    assert dora.gradients - lora.gradients == 4 * outputs


def test_optimizer_states_are_exactly_those_of_bitsandbytes() -> None:
    sizes = (10, 4095, 4096, 5000, 70_000)
    parameters = [torch.nn.Parameter(torch.ones(size)) for size in sizes]
    optimizer = bitsandbytes.optim.AdamW8bit(parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    kept = {
        value.data_ptr(): tensor_bytes(value)
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    }
    assert sum(kept.values()) == optimizer_bytes([Tensors(size, 1) for size in sizes], "adamw8bit")


def test_the_heaviest_row_is_the_one_with_the_largest_peak() -> None:
    light, heavy = (build_even_row(tokens=t, answer_tokens=t // 2, examples=4) for t in (100, 400))
    shape = find_shape("smollm2-135m")
    assert memory.find_heaviest_row(shape, RunSpec(), [light, heavy, light], "bf16") == heavy


def test_the_longest_row_allowed_is_batch_times_length() -> None:
    bound = memory.find_upper_bound(RunSpec(batch=3, seq_len_tokens=100))
    assert bound == RowSize(lengths=(100, 100, 100), answer_tokens=300)


def ledger_of(model: str, spec: RunSpec, compute: Compute) -> Ledger:
    return predict_ledger(find_shape(model), spec, memory.find_upper_bound(spec), compute)


def total_of(model: str, spec: RunSpec, compute: Compute) -> int:
    return ledger_of(model, spec, compute).total_bytes
