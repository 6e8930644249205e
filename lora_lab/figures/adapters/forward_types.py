"""The forward pass of one adapted matrix with its number types: where 4 bits end and 16 begin."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast, get_args

from markupsafe import Markup

from lora_lab.charts.drawing import draw_box, draw_hatched, draw_line, draw_words, render_drawing
from lora_lab.figures.models import RANKS, ROLE_NAMES, ROLES, find_linear, list_usual_models
from lora_lab.memory.activations import COMPUTE_BYTES
from lora_lab.memory.ledger import BLOCK_SIZE, code_bytes, decoded_bytes, matrix_constant_bytes
from lora_lab.memory.optimizer_state import FP32_BYTES
from lora_lab.spec import BITS_LABELS, EMBEDDED_MODEL, Bits, Compute
from study.base.units import as_bytes
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureTable, FigureView, build_computed_origin

SCHEMES: tuple[Bits, ...] = ("nf4-dq", "nf4", "fp4", "int8", "bf16", "fp32")
CODE_WIDTHS: dict[str, int] = {"nf4-dq": 4, "nf4": 4, "fp4": 4, "int8": 8, "bf16": 16, "fp32": 32}
COMPUTE_NAMES: dict[Compute, str] = {
    "bf16": "16-bit (bf16)",
    "fp16": "16-bit (fp16)",
    "fp32": "32-bit (fp32)",
}
TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048)


@dataclass(frozen=True, kw_only=True)
class ForwardTypesSettings:
    bits: str = define_choice(
        "Base stored in", [(bits, BITS_LABELS[bits]) for bits in SCHEMES], default="nf4-dq"
    )
    compute: str = define_choice("Computed in", list(COMPUTE_NAMES.items()), default="bf16")
    tokens: int = define_slider("Tokens", default=128, stops=TOKENS)
    rank: int = define_slider("Rank r", default=8, stops=RANKS)
    model: str = define_choice("Model", list_usual_models, default=EMBEDDED_MODEL)
    matrix: str = define_choice("Matrix", [(role, ROLE_NAMES[role]) for role in ROLES], default="q")


@dataclass(frozen=True, kw_only=True)
class ForwardTensor:
    name: str
    kind: str
    """Its number type, as a learner reads it."""

    bytes: int
    stays: bool
    """Whether it is stored; False for a temporary of this product."""


def list_parts(settings: ForwardTypesSettings) -> tuple[ForwardTensor, ...]:
    """Return every tensor with its bytes, in the order of the pass."""
    linear = find_linear(settings.model, settings.matrix)
    bits, compute = cast(Bits, settings.bits), cast(Compute, settings.compute)
    wide, width = COMPUTE_NAMES[compute], COMPUTE_BYTES[compute]
    found = [
        ForwardTensor(
            name="x, the input", kind=wide, bytes=settings.tokens * linear.d_in * width, stays=False
        ),
        ForwardTensor(name="W, codes" if CODE_WIDTHS[bits] < 16 else "W", kind=f"{CODE_WIDTHS[bits]}-bit",
             bytes=code_bytes(linear, bits), stays=True),
    ]  # fmt: skip
    constants = matrix_constant_bytes(linear, bits)
    if constants:
        kind = "8-bit and 32-bit" if bits == "nf4-dq" else "32-bit"
        found.append(ForwardTensor(name="W, constants", kind=kind, bytes=constants, stays=True))
    decoded = decoded_bytes(linear, bits, compute).decoded_bytes
    if decoded:
        found.append(ForwardTensor(name="W, decoded", kind=wide, bytes=decoded, stays=False))
    return (
        *found,
        ForwardTensor(name="A", kind="32-bit", bytes=FP32_BYTES * settings.rank * linear.d_in, stays=True),
        ForwardTensor(name="B", kind="32-bit", bytes=FP32_BYTES * settings.rank * linear.d_out, stays=True),
        ForwardTensor(name="A x", kind=wide, bytes=settings.tokens * settings.rank * width, stays=False),
        ForwardTensor(
            name="h, the output", kind=wide, bytes=settings.tokens * linear.d_out * width, stays=False
        ),
    )


def show(settings: ForwardTypesSettings) -> FigureView:
    found = list_parts(settings)
    size = {part.name: part.bytes for part in found}
    stored = sum(part.bytes for part in found if part.name.startswith("W") and part.stays)
    decoded = size.get("W, decoded", 0)
    wide, width = COMPUTE_NAMES[cast(Compute, settings.compute)], CODE_WIDTHS[settings.bits]
    kept = f"as {width}-bit codes with constants" if "W, constants" in size else f"in {width} bits"
    if decoded:
        finding = (
            f"W is kept {kept} ({as_bytes(stored)}). For the product, the lab's loop decodes it to {wide}, "
            f"{as_bytes(decoded)}, uses it and frees it: the product itself is computed in "
            f"{settings.compute}."
        )
    else:
        finding = (
            f"W is stored in the type it is computed in: nothing is decoded, and it needs {as_bytes(stored)}."
        )
    return FigureView(
        finding=finding,
        numbers=(
            ("W as stored", as_bytes(stored)),
            ("W decoded", as_bytes(decoded) if decoded else "not needed"),
            ("A and B", as_bytes(size["A"] + size["B"])),
        ),
        picture=_draw_picture(settings, found),
        alt=" ".join(
            f"{part.name}: {part.kind}, {as_bytes(part.bytes)}, "
            f"{'stored' if part.stays else 'made for the product'}."
            for part in found
        ),
        origins=(
            build_computed_origin(
                text=(
                    f"the {find_linear(settings.model, settings.matrix).suffix} matrix of one layer of "
                    f"{settings.model}, types as in the lab's own loop; blocks of {BLOCK_SIZE}"
                ),
            ),
        ),
        table=FigureTable(
            columns=("tensor", "type", "bytes", "stored"),
            rows=tuple(
                (part.name, part.kind, as_bytes(part.bytes), "yes" if part.stays else "no") for part in found
            ),
        ),
    )


def _draw_picture(settings: ForwardTypesSettings, found: tuple[ForwardTensor, ...]) -> Markup:
    """Render the frozen path on the left and the adapter on the right; the stored type ends at the dashes."""
    by_name = {part.name: part for part in found}
    weight = by_name.get("W, codes") or by_name["W"]
    decoded, wide = by_name.get("W, decoded"), 8 * COMPUTE_BYTES[cast(Compute, settings.compute)]
    return render_drawing(
        288,
        _draw_typed(130, 15, f"x: {wide}-bit, {as_bytes(by_name['x, the input'].bytes)}", wide),
        draw_line([(200, 21), (96, 36)], "line ink"),
        draw_line([(200, 21), (310, 36)], "line ink"),
        *_draw_frozen(weight, by_name.get("W, constants"), decoded, wide),
        _draw_typed(236, 54, "A: 32-bit", 32),
        draw_box(236, 62, 156, 14, "a"),
        draw_words(392, 94, as_bytes(by_name["A"].bytes), anchor="end", soft=True),
        _draw_typed(236, 118, f"A x: {wide}-bit", wide),
        draw_words(392, 118, as_bytes(by_name["A x"].bytes), anchor="end", soft=True),
        draw_box(236, 128, 14, 56, "b"),
        _draw_typed(262, 150, "B: 32-bit", 32),
        draw_words(392, 170, as_bytes(by_name["B"].bytes), anchor="end", soft=True),
        draw_line([(96, 194), (200, 215)], "line ink"),
        draw_line([(243, 190), (200, 215)], "line ink"),
        draw_words(200, 231, "+", anchor="middle", bold=True),
        _draw_typed(130, 251, f"h: {wide}-bit, {as_bytes(by_name['h, the output'].bytes)}", wide),
        *(
            _draw_typed(8 + 98 * at, 278, f"{bits}-bit", bits, soft=True)
            for at, bits in enumerate((4, 8, 16, 32))
        ),
    )


def _draw_typed(x: float, y: float, label: str, bits: int, *, soft: bool = False) -> Markup:
    """Render a label after a box in the colour of a number type."""
    return draw_box(x, y - 11, 12, 12, f"t{bits}") + draw_words(x + 18, y, label, bold=not soft, soft=soft)


def _draw_frozen(
    weight: ForwardTensor, constants: ForwardTensor | None, decoded: ForwardTensor | None, wide: int
) -> Iterator[Markup]:
    """Render W as it is stored, and below the dashed line as it is multiplied."""
    yield _draw_typed(16, 54, f"W: {weight.kind}", int(weight.kind.removesuffix("-bit")))
    yield draw_words(190, 54, as_bytes(weight.bytes), anchor="end", soft=True)
    yield draw_hatched(16, 62, 174, 26)
    if constants:
        yield draw_words(16, 105, "+ constants", soft=True)
        yield draw_words(190, 105, as_bytes(constants.bytes), anchor="end", soft=True)
    if not decoded:
        yield draw_words(16, 140, "multiplied as it is stored", soft=True)
        yield draw_line([(96, 150), (96, 194)], "line ink")
        return
    yield draw_line([(8, 116), (204, 116)], "line ink dashed")
    yield draw_words(16, 133, f"{weight.kind} ends, {wide}-bit begins", soft=True)
    yield _draw_typed(16, 155, "W decoded", wide)
    yield draw_words(190, 155, as_bytes(decoded.bytes), anchor="end", soft=True)
    yield draw_box(16, 163, 174, 26, "w pale")


assert set(get_args(Compute)) == set(COMPUTE_NAMES)
