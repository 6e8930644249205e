"""The cache of keys and values over the length of a text, beside the weights it has to share the GPU with."""

from dataclasses import dataclass

from markupsafe import Markup

from lora_lab.charts.drawing import build_chart, draw_beside, draw_dots, draw_line, draw_words, render_drawing
from lora_lab.memory.kv_cache import kv_cache_bytes
from lora_lab.memory.ledger import compute_constant_bytes, compute_stored_weight_bytes
from lora_lab.parameters.shapes import ModelShape, find_shape
from study.base.units import GB, as_bytes, as_short
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureTable, FigureView, build_computed_origin

HEIGHT = 280
LENGTHS = (512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
FULL_ATTENTION = (
    "smollm2-135m", "smollm2-1.7b", "llama-2-7b", "llama-3.1-8b", "qwen3-0.6b", "qwen3-8b", "qwen3-32b",
    "llama-3.1-70b",
)  # fmt: skip
"""Models whose every layer keeps all positions; with a sliding window the line would bend."""


def list_models() -> list[tuple[str, str]]:
    return [(name, f"{name} ({as_short(find_shape(name).total_parameters)})") for name in FULL_ATTENTION]


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    tokens: int = define_slider("Tokens per text", default=8192, stops=LENGTHS)
    batch: int = define_slider("Texts at once", default=1, stops=BATCHES)
    model: str = define_choice("Model", list_models, default="llama-3.1-8b")


@dataclass(frozen=True, kw_only=True)
class CacheNumbers:
    """The cache at one setting, and the weights beside it."""

    cache: int
    per_token: int
    unshared: int
    """The cache if every query head had keys and values of its own."""

    weights_16: int
    weights_4: int

    @property
    def overtakes_at(self) -> float:
        """Tokens in all texts together at which the cache is as large as the 4-bit weights."""
        return self.weights_4 / self.per_token


def compute_numbers(settings: CacheSettings) -> CacheNumbers:
    """Compute the cache in 16 bits and both sizes of the weights."""
    shape = find_shape(settings.model)
    per_token = kv_cache_bytes(shape, tokens=1)
    return CacheNumbers(
        cache=kv_cache_bytes(shape, tokens=settings.tokens, batch=settings.batch),
        per_token=per_token,
        unshared=per_token * settings.tokens * settings.batch * shape.heads // shape.kv_heads,
        weights_16=compute_stored_weight_bytes(shape, "bf16"),
        weights_4=compute_stored_weight_bytes(shape, "nf4-dq") + compute_constant_bytes(shape, "nf4-dq"),
    )


def show(settings: CacheSettings) -> FigureView:
    shape, found = find_shape(settings.model), compute_numbers(settings)
    texts = "one text" if settings.batch == 1 else f"{settings.batch} texts"
    return FigureView(
        finding=(
            f"{texts.capitalize()} of {settings.tokens:,} tokens: {as_bytes(found.cache)} of keys and values "
            f"for {shape.name}, beside {as_bytes(found.weights_4)} of 4-bit weights. Beyond "
            f"{found.overtakes_at:,.0f} tokens in total, the cache is larger than these weights."
        ),
        numbers=(
            ("cache", as_bytes(found.cache)),
            ("per token", as_bytes(found.per_token)),
            ("without shared heads", as_bytes(found.unshared)),
        ),
        picture=_draw_picture(shape, settings, found),
        alt=(
            f"The cache of {shape.name} rises in a straight line with the tokens, to "
            f"{as_bytes(_compute_cache(shape, settings, LENGTHS[-1]))} at {LENGTHS[-1]:,}. "
            f"At {settings.tokens:,} it is {as_bytes(found.cache)}. Level lines: 4-bit weights "
            f"{as_bytes(found.weights_4)}, 16-bit weights {as_bytes(found.weights_16)}."
        ),
        origins=(
            build_computed_origin(
                text="keys and values in 16 bits, full attention in every layer; arXiv:2305.13245 section 2",
                formula=(
                    f"2 × {shape.layers} layers × {shape.kv_heads} key-value heads × {shape.head_dim} "
                    f"numbers × 2 bytes × {settings.tokens:,} tokens × {settings.batch}"
                ),
            ),
        ),
        table=FigureTable(
            columns=("tokens per text", "cache"),
            rows=tuple((f"{one:,}", as_bytes(_compute_cache(shape, settings, one))) for one in LENGTHS),
        ),
    )


def _compute_cache(shape: ModelShape, settings: CacheSettings, tokens: int) -> int:
    return kv_cache_bytes(shape, tokens=tokens, batch=settings.batch)


def _draw_picture(shape: ModelShape, settings: CacheSettings, found: CacheNumbers) -> Markup:
    curve = [(tokens, _compute_cache(shape, settings, tokens) / GB) for tokens in LENGTHS]
    low = min(curve[0][1], found.weights_4 / GB) * 0.7
    high = max(curve[-1][1], found.weights_16 / GB) * 1.6
    frame = build_chart(
        x_span=(LENGTHS[0], LENGTHS[-1]), y_span=(low, high), x_log=True, y_log=True,
        x_label="tokens per text", y_label="GB", height=HEIGHT, right=28,
        x_ticks=[(tokens, f"{tokens // 1024}k") for tokens in LENGTHS if tokens >= 1024],
    )  # fmt: skip
    levels = []
    for size, name in ((found.weights_16, "16-bit weights"), (found.weights_4, "4-bit weights")):
        at = frame.y(size / GB)
        levels.append(draw_line([(frame.x.start, at), (frame.x.end, at)], "line w dashed"))
        levels.append(draw_words(frame.x.start + 4, at - 5, name, soft=True))
    x, y = frame.map_points([(settings.tokens, found.cache / GB)])[0]
    return render_drawing(
        HEIGHT,
        frame.render_axes(),
        *levels,
        draw_line(frame.map_points(curve), "line good"),
        draw_dots([(x, y)], "ring good", radius=6),
        draw_beside(x, y + 18, as_bytes(found.cache), gap=10, left=x > 250, bold=True),
    )
