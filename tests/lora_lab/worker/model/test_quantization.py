"""How weights are stored, decoded and counted, and that an evaluation in between changes no gradient."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import bitsandbytes as bnb
import pytest
import torch

import lora_lab
from lora_lab.data.batches import RowSize
from lora_lab.memory.activations import COMPUTE_BYTES
from lora_lab.memory.ledger import BLOCK_SIZE, predict_ledger
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import BITS, HQQ_BITS, TINY_MODEL, Bits, Compute, RunSpec
from lora_lab.worker.device.number_type import DTYPES
from lora_lab.worker.model.quantization import (
    build_quantization_config,
    decode_dense_weight,
    list_constants,
    list_resident_tensors,
)
from lora_lab.worker.training.generate import generate_answers
from lora_lab.worker.training.loop import held_out_loss
from lora_lab.worker.training.memory_meter import LiveStorages
from tests.lora_lab.worker.builders import (
    BYTES_A_WEIGHT,
    TINY,
    Lab,
    gradient,
    linears,
    logical_numbers,
    open_lab,
    padded_loss,
    plain_peft,
    small_dataset,
    stored_bytes,
    stored_codes,
)

FOUR_BIT: tuple[Bits, ...] = ("nf4", "nf4-dq", "fp4")
COMPUTES: tuple[Compute, ...] = get_args(Compute)
SHAPE = find_shape(TINY_MODEL)
ROW = RowSize(lengths=(8,), answer_tokens=4)


def tiny(bits: Bits, compute: Compute, models_dir: Path) -> Lab:
    return open_lab(
        RunSpec(model=TINY_MODEL, bits=bits, steps=2), compute, models_dir, dataset=small_dataset()
    )


@dataclass(frozen=True)
class Labs:
    """Labs that tests only look at, each opened once: as they are loaded, and after a run of two steps."""

    models_dir: Path
    opened: dict[tuple[Bits, Compute], Lab] = field(default_factory=dict)
    trained: dict[tuple[Bits, Compute], Lab] = field(default_factory=dict)

    def loaded(self, bits: Bits, compute: Compute) -> Lab:
        if (bits, compute) not in self.opened:
            self.opened[bits, compute] = tiny(bits, compute, self.models_dir)
        return self.opened[bits, compute]

    def after_a_run(self, bits: Bits, compute: Compute) -> Lab:
        """Two steps, then an evaluation."""
        if (bits, compute) not in self.trained:
            lab = self.trained[bits, compute] = tiny(bits, compute, self.models_dir)
            lab.train()
            held_out_loss(lab.model, lab.examples[:4], lab.loaded.machine.autocast)
        return self.trained[bits, compute]


@pytest.fixture(scope="module")
def labs(models_dir: Path) -> Labs:
    return Labs(models_dir)


# ---- trap 7: HQQ


@pytest.mark.parametrize("compute", COMPUTES)
@pytest.mark.parametrize("bits", HQQ_BITS)
def test_hqq_codes_and_constants_are_those_of_the_library_after_training_and_evaluation(
    bits: Bits, compute: Compute, labs: Labs, models_dir: Path
) -> None:
    """Frozen is frozen, and every number type starts from the same stored weights."""
    lab = labs.after_a_run(bits, compute)
    for ours, fresh in zip(linears(lab.model), linears(plain_peft(TINY, models_dir, bits=bits)), strict=True):
        assert torch.equal(stored_codes(ours), stored_codes(fresh))
        assert all(map(torch.equal, list_constants(ours), list_constants(fresh)))


# ---- trap 1: an evaluation between two steps


@pytest.mark.parametrize("compute", COMPUTES)
@pytest.mark.parametrize("bits", FOUR_BIT)
def test_gradients_are_the_same_before_and_after_an_evaluation(
    bits: Bits, compute: Compute, models_dir: Path
) -> None:
    lab = tiny(bits, compute, models_dir)
    batch, autocast = lab.examples[:4], lab.loaded.machine.autocast
    lab.train()
    before = gradient(lab.model.train(), lambda: lab.loss(batch))

    with lab.model.disable_adapter():
        held_out_loss(lab.model, batch, autocast)
        generate_answers(lab.model, lab.loaded.tokenizer, ["What is 2 + 2?"], autocast())
    generate_answers(lab.model, lab.loaded.tokenizer, ["What is 2 + 2?"], autocast())

    assert torch.equal(before, gradient(lab.model.train(), lambda: lab.loss(batch)))


@pytest.mark.parametrize("bits", FOUR_BIT)
def test_keep_trainable_layout_covers_the_librarys_own_forward_too(
    bits: Bits, labs: Labs, models_dir: Path
) -> None:
    """The trap itself: bitsandbytes' own Linear4bit, evaluated under no_grad, then trained."""
    batch = labs.loaded("fp32", "fp32").examples[:4]
    model = plain_peft(TINY, models_dir, bits=bits)
    stored = [layer.weight.data.clone() for layer in linears(model)]
    before = gradient(model.train(), lambda: padded_loss(model, batch))

    with torch.no_grad():
        padded_loss(model.eval(), batch)

    assert all(torch.equal(old, layer.weight.data) for old, layer in zip(stored, linears(model), strict=True))
    assert torch.equal(before, gradient(model.train(), lambda: padded_loss(model, batch)))


@pytest.mark.parametrize("compute", COMPUTES)
@pytest.mark.parametrize("bits", FOUR_BIT)
def test_no_4_bit_layer_may_repack_itself(bits: Bits, compute: Compute, labs: Labs) -> None:
    """The control: whatever this CPU has, the switch is off on every layer."""
    layers = [m for m in labs.loaded(bits, compute).model.modules() if isinstance(m, bnb.nn.Linear4bit)]
    assert len(layers) == sum(linear.count for linear in SHAPE.linears)
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)


# ---- trap 2: the library's defaults


@pytest.mark.parametrize("bits", FOUR_BIT)
@pytest.mark.parametrize("compute", COMPUTES)
def test_all_three_4_bit_settings_reach_every_layer(bits: Bits, compute: Compute, labs: Labs) -> None:
    dtype = DTYPES[compute]
    config = build_quantization_config(bits, dtype)
    assert config is not None
    assert (config.bnb_4bit_quant_type, config.bnb_4bit_compute_dtype, config.bnb_4bit_use_double_quant) == (
        bits[:3],
        dtype,
        bits == "nf4-dq",
    )
    for layer in linears(labs.loaded(bits, compute).model):
        state = layer.weight.quant_state
        assert (state.quant_type, state.dtype, state.nested) == (bits[:3], dtype, bits == "nf4-dq")


def test_16_and_32_bits_and_hqq_are_not_bitsandbytes_schemes() -> None:
    assert all(build_quantization_config(bits, torch.float32) is None for bits in ("bf16", "fp32", *HQQ_BITS))


# ---- traps 3 and 4: what is stored and what is counted


@pytest.mark.parametrize("compute", COMPUTES)
@pytest.mark.parametrize("bits", BITS)
def test_linear_weights_stay_in_their_bits(bits: Bits, compute: Compute, labs: Labs) -> None:
    """The 16-bit setting above all: `prepare_model_for_kbit_training` would widen it to fp32."""
    lab = labs.after_a_run(bits, compute)
    for layer in linears(lab.model):
        filled_up = 4 * BLOCK_SIZE if bits == "hqq3" else 0  # to ten groups, which share their int32
        expected = BYTES_A_WEIGHT[bits] * logical_numbers(layer)
        assert expected <= stored_bytes(layer) <= expected + filled_up
    outer = lab.model.get_input_embeddings().weight
    assert outer.element_size() == COMPUTE_BYTES[compute]
    assert outer is lab.model.get_output_embeddings().weight, "the tied head must stay tied"


@pytest.mark.parametrize("compute", COMPUTES)
@pytest.mark.parametrize("bits", BITS)
def test_a_loaded_model_holds_exactly_the_predicted_weights_and_constants(
    bits: Bits, compute: Compute, labs: Labs
) -> None:
    lab = labs.loaded(bits, compute)
    ledger = predict_ledger(SHAPE, lab.spec, ROW, compute)
    frozen = [t for t in list_resident_tensors(lab.model) if not t.requires_grad]
    trained = [t for t in list_resident_tensors(lab.model) if t.requires_grad]
    assert LiveStorages(frozen).live_bytes == ledger.weights + ledger.constants
    assert LiveStorages(trained).live_bytes == ledger.adapters


@pytest.mark.parametrize("bits", FOUR_BIT)
def test_a_packed_weight_shows_half_its_parameters_and_is_counted_whole(bits: Bits, labs: Labs) -> None:
    lab = labs.loaded(bits, "fp32")
    packed = sum(layer.weight.numel() for layer in linears(lab.model))
    assert packed == SHAPE.linear_parameters / 2
    trainable, total = lab.model.get_nb_trainable_parameters()  # PEFT corrects for the packing
    ours = count_parameters(SHAPE, rank=lab.spec.rank, targets=lab.spec.targets)
    assert (trainable, total) == (ours.trainable, ours.total)


@pytest.mark.parametrize("name", ["get_memory_footprint", "prepare_model_for_kbit_training", "memory_info"])
def test_no_misleading_measure_is_called(name: str) -> None:
    """The first leaves out quantization constants, the second widens weights, the last is RSS."""
    sources = Path(lora_lab.__file__).parent.rglob("*.py")
    assert not [path.name for path in sources if re.search(rf"\b{name}\(", path.read_text("utf-8"))]


# ---- decoding


@pytest.mark.parametrize("bits", FOUR_BIT)
def test_4_bit_weights_decode_to_what_the_library_multiplies_with(bits: Bits, models_dir: Path) -> None:
    for layer in linears(plain_peft(TINY, models_dir, bits=bits)):
        unit = torch.eye(layer.in_features)
        torch.testing.assert_close(
            decode_dense_weight(layer, torch.float32), layer(unit).T, rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize("compute", COMPUTES)
def test_8_bit_weights_decode_within_half_a_code_of_the_originals(compute: Compute, models_dir: Path) -> None:
    """Also after a forward of the library, which moves codes and scales elsewhere."""
    originals = linears(plain_peft(TINY, models_dir, bits="fp32"))
    model = plain_peft(TINY, models_dir, bits="int8")
    dtype = torch.bfloat16 if compute == "bf16" else torch.float32
    fresh = [decode_dense_weight(layer, dtype) for layer in linears(model)]
    with torch.no_grad():
        model.eval()(input_ids=torch.tensor([[1, 2, 3]]), use_cache=False)

    for layer, decoded, original in zip(linears(model), fresh, originals, strict=True):
        assert torch.equal(decoded, decode_dense_weight(layer, dtype))
        half_a_code = original.weight.abs().amax(1, keepdim=True) / 127 / 2
        rounding = decoded.abs().float() * (2**-8 if compute == "bf16" else 1e-5)
        assert ((decoded.float() - original.weight).abs() <= half_a_code * 1.001 + rounding).all()
