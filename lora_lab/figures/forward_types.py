"""The forward pass of one adapted matrix with its number types: where 4 bits end and 16 begin."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast, get_args

from markupsafe import Markup

from lora_lab.charts.drawing import box, drawing, hatched, line, words
from lora_lab.figures.models import RANKS, ROLE_NAMES, ROLES, usual_models
from lora_lab.memory.ledger import (
    BLOCK_SIZE,
    COMPUTE_BYTES,
    FP32_BYTES,
    code_bytes,
    decoding,
    matrix_constant_bytes,
)
from lora_lab.parameters.shapes import Linear, find_shape
from lora_lab.spec import BITS_LABELS, EMBEDDED_MODEL, RANK_LIMITS, Bits, Compute
from study.base.units import as_bytes
from study.figures.controls import choice, slider
from study.figures.figure import Figure, Origin, Shown, Table

SCHEMES: tuple[Bits, ...] = ("nf4-dq", "nf4", "fp4", "int8", "bf16", "fp32")
CODE_WIDTHS: dict[str, int] = {"nf4-dq": 4, "nf4": 4, "fp4": 4, "int8": 8, "bf16": 16, "fp32": 32}
COMPUTE_NAMES: dict[Compute, str] = {
    "bf16": "16-bit (bf16)",
    "fp16": "16-bit (fp16)",
    "fp32": "32-bit (fp32)",
}
TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The storage type of the base, the compute type, and the sizes."""

    bits: str = choice("Base stored in", [(bits, BITS_LABELS[bits]) for bits in SCHEMES], default="nf4-dq")
    compute: str = choice("Computed in", list(COMPUTE_NAMES.items()), default="bf16")
    tokens: int = slider("Tokens", TOKENS[0], TOKENS[-1], default=128, stops=TOKENS)
    rank: int = slider("Rank r", *RANK_LIMITS, default=8, stops=RANKS)
    model: str = choice("Model", usual_models, default=EMBEDDED_MODEL)
    matrix: str = choice("Matrix", [(role, ROLE_NAMES[role]) for role in ROLES], default="q")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One tensor of the forward pass."""

    name: str
    kind: str
    """Its number type, as a learner reads it."""

    bytes: int
    stays: bool
    """Whether it is stored; False for a temporary of this product."""


def parts(settings: Settings) -> tuple[Part, ...]:
    """Return every tensor with its bytes, in the order of the pass."""
    linear, bits, compute = _linear(settings), cast(Bits, settings.bits), cast(Compute, settings.compute)
    wide, width = COMPUTE_NAMES[compute], COMPUTE_BYTES[compute]
    found = [
        Part(name="x, the input", kind=wide, bytes=settings.tokens * linear.d_in * width, stays=False),
        Part(name="W, codes" if CODE_WIDTHS[bits] < 16 else "W", kind=f"{CODE_WIDTHS[bits]}-bit",
             bytes=code_bytes(linear, bits), stays=True),
    ]  # fmt: skip
    constants = matrix_constant_bytes(linear, bits)
    if constants:
        kind = "8-bit and 32-bit" if bits == "nf4-dq" else "32-bit"
        found.append(Part(name="W, constants", kind=kind, bytes=constants, stays=True))
    decoded = decoding(linear, bits, compute).decoded_bytes
    if decoded:
        found.append(Part(name="W, decoded", kind=wide, bytes=decoded, stays=False))
    return (
        *found,
        Part(name="A", kind="32-bit", bytes=FP32_BYTES * settings.rank * linear.d_in, stays=True),
        Part(name="B", kind="32-bit", bytes=FP32_BYTES * settings.rank * linear.d_out, stays=True),
        Part(name="A x", kind=wide, bytes=settings.tokens * settings.rank * width, stays=False),
        Part(name="h, the output", kind=wide, bytes=settings.tokens * linear.d_out * width, stays=False),
    )


def _linear(settings: Settings) -> Linear:
    return next(one for one in find_shape(settings.model).linears if one.role == settings.matrix)


def show(settings: Settings) -> Shown:
    """Build the figure for one setting."""
    found = parts(settings)
    size = {part.name: part.bytes for part in found}
    stored = sum(part.bytes for part in found if part.name.startswith("W") and part.stays)
    decoded = size.get("W, decoded", 0)
    wide, width = COMPUTE_NAMES[cast(Compute, settings.compute)], CODE_WIDTHS[settings.bits]
    waits = f"as {width}-bit codes with constants" if "W, constants" in size else f"in {width} bits"
    if decoded:
        finding = (
            f"W waits {waits} ({as_bytes(stored)}). For the product it is decoded to {wide}, "
            f"{as_bytes(decoded)}, used, and freed: the product is not computed in {width} bits."
        )
    else:
        finding = (
            f"W is stored in the type it is computed in: nothing is decoded, and it takes {as_bytes(stored)}."
        )
    return Shown(
        finding=finding,
        numbers=(
            ("W as stored", as_bytes(stored)),
            ("W decoded", as_bytes(decoded) if decoded else "not needed"),
            ("A and B", as_bytes(size["A"] + size["B"])),
        ),
        picture=_picture(settings, found),
        alt=" ".join(
            f"{part.name}: {part.kind}, {as_bytes(part.bytes)}, "
            f"{'stored' if part.stays else 'made for the product'}."
            for part in found
        ),
        origins=(
            Origin(
                kind="computed",
                text=(
                    f"the {_linear(settings).suffix} matrix of one layer of {settings.model}, types as in "
                    "the lab's own "
                    f"loop; blocks of {BLOCK_SIZE}"
                ),
            ),
        ),
        table=Table(
            columns=("tensor", "type", "bytes", "stored"),
            rows=tuple(
                (part.name, part.kind, as_bytes(part.bytes), "yes" if part.stays else "no") for part in found
            ),
        ),
    )


def _picture(settings: Settings, found: tuple[Part, ...]) -> Markup:
    """Render the frozen path on the left and the adapter on the right; the stored type ends at the dashes."""
    by_name = {part.name: part for part in found}
    weight = by_name.get("W, codes") or by_name["W"]
    decoded, wide = by_name.get("W, decoded"), 8 * COMPUTE_BYTES[cast(Compute, settings.compute)]
    return drawing(
        376,
        _typed(130, 18, f"x: {wide}-bit, {as_bytes(by_name['x, the input'].bytes)}", wide),
        line([(200, 26), (96, 48)], "line ink"),
        line([(200, 26), (310, 48)], "line ink"),
        *_frozen(weight, by_name.get("W, constants"), decoded, wide),
        _typed(236, 70, "A: 32-bit", 32),
        box(236, 80, 156, 14, "a"),
        words(392, 112, as_bytes(by_name["A"].bytes), anchor="end", soft=True),
        _typed(236, 148, f"A x: {wide}-bit", wide),
        words(392, 148, as_bytes(by_name["A x"].bytes), anchor="end", soft=True),
        box(236, 164, 14, 78, "b"),
        _typed(262, 198, "B: 32-bit", 32),
        words(392, 218, as_bytes(by_name["B"].bytes), anchor="end", soft=True),
        line([(96, 262), (200, 294)], "line ink"),
        line([(243, 246), (200, 294)], "line ink"),
        words(200, 312, "+", anchor="middle", bold=True),
        _typed(130, 334, f"h: {wide}-bit, {as_bytes(by_name['h, the output'].bytes)}", wide),
        *(_typed(8 + 98 * at, 366, f"{bits}-bit", bits, soft=True) for at, bits in enumerate((4, 8, 16, 32))),
    )


def _typed(x: float, y: float, label: str, bits: int, *, soft: bool = False) -> str:
    """Render a label after a box in the colour of a number type."""
    return box(x, y - 11, 12, 12, f"t{bits}") + words(x + 18, y, label, bold=not soft, soft=soft)


def _frozen(weight: Part, constants: Part | None, decoded: Part | None, wide: int) -> Iterator[str]:
    """Render W as it is stored, and below the dashed line as it is multiplied."""
    yield _typed(16, 70, f"W: {weight.kind}", int(weight.kind.removesuffix("-bit")))
    yield words(190, 70, as_bytes(weight.bytes), anchor="end", soft=True)
    yield hatched(16, 80, 174, 40)
    if constants:
        yield words(16, 140, "+ constants", soft=True)
        yield words(190, 140, as_bytes(constants.bytes), anchor="end", soft=True)
    if not decoded:
        yield words(16, 196, "multiplied as it is stored", soft=True)
        yield line([(96, 206), (96, 262)], "line ink")
        return
    yield line([(8, 156), (204, 156)], "line ink dashed")
    yield words(16, 175, f"{weight.kind} ends, {wide}-bit begins", soft=True)
    yield _typed(16, 206, "W decoded", wide)
    yield words(190, 206, as_bytes(decoded.bytes), anchor="end", soft=True)
    yield box(16, 216, 174, 40, "w pale")


assert set(get_args(Compute)) == set(COMPUTE_NAMES)

FIGURE = Figure(
    id="forward-types",
    title="The forward pass and its number types",
    minutes=3,
    concepts=("dequantization", "qlora", "linear-layer", "number-formats"),
    settings=Settings,
    show=show,
)
