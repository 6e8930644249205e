"""The microscope's question: one matrix of a model, and two schemes to compare on it.

The measurements come from worker/inspect/microscope.py through the job queue (engine/inspections.py).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast
from urllib.parse import urlencode

from lora_lab.data.datasets import build_own_dataset
from lora_lab.memory.ledger import BLOCK_SIZE, BLOCK_SIZES, bits_per_param
from lora_lab.parameters.shapes import Linear, ModelShape
from lora_lab.settings.run_form import OTHER
from lora_lab.spec import EMBEDDED_MODEL, HQQ_BITS, Bits
from study.base.errors import LearnerError

KIND = "weights"
"""The kind of such an inspection in the job queue."""

Side = Literal["first", "second"]
SIDES: tuple[Side, ...] = ("first", "second")

SCHEMES: tuple[Bits, ...] = ("nf4", "nf4-dq", "fp4", "int8", "hqq8", "hqq4", "hqq3", "hqq2", "hqq1")
NAMES: dict[str, str] = {
    "nf4": "NF4",
    "nf4-dq": "NF4 + double quantization",
    "fp4": "FP4",
    "int8": "int8",
    **{bits: f"HQQ {number}-bit" for bits, number in HQQ_BITS.items()},
}
OUTLIER_STDS = 4
"""Weights farther from zero than this many standard deviations are outliers."""

MAP_CELLS = 48
"""The maximum number of cells per side of an error map: on a phone a cell is about four pixels."""


def has_blocks(bits: str) -> bool:
    """Return whether a scheme has a block size; int8 has one constant per row."""
    return bits != "int8"


def can_hold(bits: str, block: int, numbers: int) -> bool:
    """Return whether a matrix of `numbers` weights can be stored in a scheme.

    bitsandbytes accepts a partial last block. HQQ needs whole blocks, and packs the codes of several blocks
    side by side in one byte; 3-bit codes are packed ten to an int32, with padding.
    """
    if bits not in HQQ_BITS:
        return True
    together = 1 if bits == "hqq3" else 8 // HQQ_BITS[cast(Bits, bits)]
    return numbers % (block * together) == 0


@dataclass(frozen=True, kw_only=True)
class QuantizationScheme:
    bits: Bits
    block: int = BLOCK_SIZE
    """Weights that share a constant; int8 does not use it."""

    @property
    def name(self) -> str:
        """`NF4, blocks of 64`."""
        return f"{NAMES[self.bits]}, blocks of {self.block:,}" if has_blocks(self.bits) else NAMES[self.bits]

    @property
    def stored_bits(self) -> float:
        """Bits per weight, constants included, except int8's one fp32 per row."""
        return bits_per_param(self.bits, block_size=self.block)


@dataclass(frozen=True, kw_only=True)
class MicroscopeQuestion:
    """One matrix of a model, and two schemes to compare on it."""

    model: str = EMBEDDED_MODEL
    layer: int = 0
    matrix: str = ""
    """Its path in the layer, such as `self_attn.q_proj`; empty for the layer's first."""

    first: QuantizationScheme = QuantizationScheme(bits="nf4")
    second: QuantizationScheme = QuantizationScheme(bits="fp4")

    def side(self, side: Side) -> QuantizationScheme:
        return self.first if side == "first" else self.second

    @property
    def address(self) -> dict[str, str]:
        """The question as fields of a form or an address."""
        return {
            "model": self.model,
            "layer": str(self.layer),
            "matrix": self.matrix,
            **{name: self.side(name).bits for name in SIDES},
            **{f"{name}_block": str(self.side(name).block) for name in SIDES},
        }

    @property
    def order(self) -> dict[str, Any]:
        """The inspection's order, with the held-out examples' digest: other cards are another order."""
        return asdict(self) | {"data": build_own_dataset().digest}


def parse_question(fields: Mapping[str, str]) -> MicroscopeQuestion:
    """Parse a form or an address; an unreadable field keeps its default."""
    usual = MicroscopeQuestion()
    model = fields.get("model", "").strip() or usual.model
    if model == OTHER:
        model = fields.get("model_other", "").strip() or usual.model
    layer = fields.get("layer", "")
    return MicroscopeQuestion(
        model=model[:300],
        layer=int(layer) if layer.isdecimal() and len(layer) < 6 else usual.layer,
        matrix=fields.get("matrix", "")[:200],
        first=_read_scheme(fields, "first", usual.first),
        second=_read_scheme(fields, "second", usual.second),
    )


def _read_scheme(fields: Mapping[str, str], side: Side, usual: QuantizationScheme) -> QuantizationScheme:
    bits, block = fields.get(side, ""), fields.get(f"{side}_block", "")
    known = bits if bits in SCHEMES else usual.bits
    size = {str(size): size for size in BLOCK_SIZES}.get(block, usual.block)
    return QuantizationScheme(bits=known, block=size if has_blocks(known) else BLOCK_SIZE)


def list_matrices(shape: ModelShape) -> list[Linear]:
    """Return the linear matrices that each layer has once, as the model names them."""
    return [each for each in shape.linears if each.count == shape.layers and each.name.count("*") == 1]


def settle_question(question: MicroscopeQuestion, shape: ModelShape) -> MicroscopeQuestion:
    """Return the question with a layer and a matrix that the model has.

    Raises LearnerError when the model does not have such matrices.
    """
    names = [each.path_in_layer for each in list_matrices(shape)]
    if not names:
        raise LearnerError(
            f"{question.model} has no linear matrices that every layer has once.",
            do_next="Choose a model whose layers all have the same matrices, such as smollm2-135m.",
        )
    return replace(
        question,
        layer=min(question.layer, shape.layers - 1),
        matrix=question.matrix if question.matrix in names else names[0],
    )


def check_question(question: MicroscopeQuestion, shape: ModelShape) -> MicroscopeQuestion:
    """Return the question if it can be inspected.

    Raises LearnerError when both sides are equal or a scheme can't pack the matrix.
    """
    if question.first == question.second:
        raise LearnerError(
            f"Both sides are {question.first.name}.", do_next="Change a scheme or a block size on one side."
        )
    linear = next(each for each in list_matrices(shape) if each.path_in_layer == question.matrix)
    for scheme in (question.first, question.second):
        if not can_hold(scheme.bits, scheme.block, linear.d_in * linear.d_out):
            raise LearnerError(
                f"{NAMES[scheme.bits]} can't pack {linear.d_out:,} × {linear.d_in:,} weights in blocks of "
                f"{scheme.block:,}.",
                do_next="Choose a smaller block.",
            )
    return question


def build_microscope_address(path: str, question: MicroscopeQuestion, *, look: str = "") -> str:
    """Build the address of the page with this question; defaults are omitted."""
    usual = MicroscopeQuestion().address
    changed = {name: value for name, value in question.address.items() if value != usual[name]}
    query = urlencode(changed | ({"look": look} if look else {}))
    return f"{path}?{query}" if query else path
