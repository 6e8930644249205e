"""The backward pass: which tensors get gradients, and why activations stay until then."""

from dataclasses import dataclass

from markupsafe import Markup

from lora_lab.charts.drawing import draw_box, draw_hatched, draw_line, draw_words, render_drawing
from lora_lab.data.batches import build_even_row
from lora_lab.figures.models import RANKS, ROLES, list_usual_models
from lora_lab.memory.activations import TrainingPass
from lora_lab.memory.ledger import MODELLED_TYPES, Ledger, predict_adapted
from lora_lab.parameters.counts import lora_parameters
from lora_lab.parameters.shapes import find_shape, load_catalogue
from lora_lab.spec import EMBEDDED_MODEL, TARGET_LABELS, TARGET_SETS, Compute
from study.base.units import as_bytes
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureTable, FigureView, build_computed_origin

TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048)
COMPUTE: Compute = "bf16"
ROW, LEFT = 27.0, 96.0
DERIVATIVES = (
    "δ is the gradient at the output, s = alpha / r. dB = s δ (A x)ᵀ, dA = s (Bᵀδ) xᵀ, dx = Wᵀ δ + s Aᵀ (Bᵀδ)"
)


def list_modelled_models() -> list[tuple[str, str]]:
    """Return the models whose activations the lab predicts to the byte."""
    return [
        option for option in list_usual_models() if load_catalogue()[option[0]].model_type in MODELLED_TYPES
    ]


@dataclass(frozen=True, kw_only=True)
class BackwardSettings:
    targets: str = define_choice(
        "Adapted", [(one, TARGET_LABELS[one]) for one in TARGET_SETS], default="all-linear"
    )
    tokens: int = define_slider("Tokens in a row", default=128, stops=TOKENS)
    rank: int = define_slider("Rank r", default=8, stops=RANKS)
    checkpointing: str = define_choice("Checkpointing", [("off", "off"), ("on", "on")], default="off")
    model: str = define_choice("Model", list_modelled_models, default=EMBEDDED_MODEL)


@dataclass(frozen=True, kw_only=True)
class BackwardNumbers:
    """The memory of one step with PyTorch's graph on an NF4 base."""

    ledger: Ledger
    trained: int
    frozen: int
    saved_bytes: int
    """What the forward pass keeps for the backward pass without checkpointing."""

    adapted: tuple[str, ...]
    """Roles of the adapted matrices."""


def compute_numbers(settings: BackwardSettings) -> BackwardNumbers:
    """Compute the memory with the lab's memory functions."""
    shape = find_shape(settings.model)
    chosen = shape.select(settings.targets)
    row = build_even_row(tokens=settings.tokens, answer_tokens=settings.tokens // 2, examples=1)
    work = TrainingPass(shape=shape, adapted=chosen, rank=settings.rank, row=row, compute=COMPUTE)
    return BackwardNumbers(
        ledger=predict_adapted(
            shape, chosen, bits="nf4-dq", rank=settings.rank, row=row, compute=COMPUTE,
            checkpointing=settings.checkpointing == "on", graph=True,
        ),
        trained=lora_parameters(chosen, rank=settings.rank),
        frozen=shape.total_parameters,
        saved_bytes=work.saved_bytes,
        adapted=tuple(linear.role for linear in chosen),
    )  # fmt: skip


def show(settings: BackwardSettings) -> FigureView:
    found = compute_numbers(settings)
    kept = (
        "With checkpointing only what enters each layer is kept, and one layer is computed again at a time."
        if settings.checkpointing == "on"
        else "The gradient of A is s (Bᵀδ) xᵀ with s = alpha / r: it needs the input x, so x stays until "
        "the backward pass."
    )
    return FigureView(
        finding=(
            f"{found.trained:,} numbers get a gradient ({as_bytes(found.ledger.gradients)}); "
            f"{found.frozen:,} do not, though the gradient passes through nearly all of their matrices. Kept "
            f"for the backward pass: {as_bytes(found.ledger.activations)}. {kept}"
        ),
        numbers=(
            ("gradients of A and B", as_bytes(found.ledger.gradients)),
            ("gradients of W", "none"),
            ("activations kept", as_bytes(found.ledger.activations)),
            ("without checkpointing", as_bytes(found.saved_bytes)),
        ),
        picture=_draw_picture(found),
        alt=(
            "The seven matrices of a layer, the backward pass going from the last to the first. "
            + " ".join(_describe_role(role, found) for role in reversed(ROLES))
            + f" Activations kept: {as_bytes(found.ledger.activations)}."
        ),
        origins=(
            build_computed_origin(
                text=(
                    f"one row of {settings.tokens:,} tokens through {settings.model}, NF4 base, bf16, one "
                    "example, with PyTorch's graph; the lab's tests hold these bytes against measured ones"
                ),
                formula=DERIVATIVES,
            ),
        ),
        table=FigureTable(
            columns=("matrix", "W", "A and B"), rows=tuple(_describe_row(role, found) for role in ROLES)
        ),
    )


def _describe_role(role: str, found: BackwardNumbers) -> str:
    return f"{role}: {'A and B get gradients' if role in found.adapted else 'frozen, no gradient'}."


def _describe_row(role: str, found: BackwardNumbers) -> tuple[str, str, str]:
    adapted = role in found.adapted
    return role, "no gradient, passes it on", "gradients; keep x and A x" if adapted else "not there"


def _draw_picture(found: BackwardNumbers) -> Markup:
    """Render the matrices from the layer's input at the top to its output; the gradient runs upwards."""
    parts = [
        draw_words(LEFT, 16, "forward ↓", soft=True),
        draw_words(399, 16, "↑ gradient δ", anchor="end", soft=True),
    ]
    for at, role in enumerate(ROLES):
        y = 30 + ROW * at
        adapted = role in found.adapted
        parts.append(draw_words(LEFT - 12, y + 15, role, anchor="end", bold=adapted))
        parts.append(draw_hatched(LEFT, y, 60, 20))
        if adapted:
            parts.append(draw_box(LEFT + 70, y + 6, 34, 8, "a"))
            parts.append(draw_box(LEFT + 110, y, 8, 20, "b"))
            parts.append(draw_words(LEFT + 130, y + 15, "gradients of A, B; x kept"))
        else:
            parts.append(draw_words(LEFT + 130, y + 15, "no gradient, x not needed", soft=True))
        parts.append(draw_line([(396, y + 20), (396, y)], "line good"))
    bottom = 30 + ROW * len(ROLES) + 14
    return render_drawing(
        bottom + 10,
        *parts,
        draw_words(
            LEFT,
            bottom,
            f"W: frozen, δ passes through Wᵀ; {as_bytes(found.ledger.activations)} kept",
            soft=True,
        ),
    )
