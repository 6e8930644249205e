"""Preview of a tokenized data set: the first examples as tokens, all lengths, the effect of truncation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from lora_lab.charts.drawing import Scale, draw_words
from lora_lab.charts.live_chart import NARROW, WIDE
from lora_lab.charts.live_frame import COLOURS
from lora_lab.charts.svg import format_path, render_element
from lora_lab.data.batches import Length
from lora_lab.data.lab_folder import LabHome, ReadExample
from lora_lab.spec import RunSpec
from study.plots.axis import choose_ticks
from study.plots.sheet import FAINT

SHOWN_TOKENS = 160
"""Tokens per example on the page; the rest is only counted."""

BINS = 16
HEIGHT, EDGE, TOP, BELOW = 190, 44, 26, 44

PieceKind = Literal["masked", "trained", "cut"]


@dataclass(frozen=True, kw_only=True)
class Token:
    """One token as text, with its role in the loss."""

    text: str
    kind: PieceKind


@dataclass(frozen=True, kw_only=True)
class TokenPreview:
    """The preview for one data set, one tokenizer and one maximum length."""

    examples: tuple[tuple[Token, ...], ...]
    histogram: Markup
    total: int
    longest: int
    limit: int
    cut: int
    """Examples that lose the end of their answer."""

    dropped: int
    """The ones among `cut` that keep no answer token and are left out."""

    answer_percent: float
    """Share of all tokens on which the loss is computed."""


def build_seen(home: LabHome, spec: RunSpec, digest: str, *, narrow: bool = False) -> TokenPreview | None:
    """Build the preview; None until a worker has tokenized this data for this model."""
    lengths, examples = home.read_lengths(spec.model, digest), home.read_examples(spec.model, digest)
    if not lengths or not examples:
        return None
    limit = spec.seq_len_tokens
    over = [length for length in lengths if length.tokens > limit]
    return TokenPreview(
        examples=tuple(as_tokens(example, limit) for example in examples),
        histogram=_render_histogram(lengths, limit, NARROW if narrow else WIDE),
        total=len(lengths),
        longest=max(length.tokens for length in lengths),
        limit=limit,
        cut=len(over),
        dropped=sum(length.answer_tokens <= length.tokens - limit for length in over),
        answer_percent=100 * sum(n.answer_tokens for n in lengths) / sum(n.tokens for n in lengths),
    )


def as_tokens(example: ReadExample, limit: int) -> tuple[Token, ...]:
    """Return every token of an example, marked as masked, trained or cut."""
    prompt_tokens = len(example.pieces) - example.answer_tokens
    return tuple(
        Token(text=piece, kind="cut" if at >= limit else "masked" if at < prompt_tokens else "trained")
        for at, piece in enumerate(example.pieces)
    )


def count_bins(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Return upper bound (inclusive) and count of each bin; bounds are round, the first bin starts at 1."""
    step = next(size for size in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if size * BINS >= max(lengths))
    uppers = range(step, max(lengths) + step, step)
    return [(upper, sum(upper - step < length <= upper for length in lengths)) for upper in uppers]


def _render_histogram(lengths: Sequence[Length], limit: int, width: int) -> Markup:
    """Render examples by length; bars above the limit are paler, and a labelled line marks it."""
    counted = count_bins([min(length.tokens, 1000 * BINS) for length in lengths])
    last, most = counted[-1][0], max(count for _, count in counted)
    step = counted[0][0]
    bottom, right = HEIGHT - BELOW, width - EDGE
    x = Scale(low=0, high=last, start=EDGE, end=right)
    y = Scale(low=0, high=most, start=bottom, end=TOP)
    bars = [
        render_element(
            "rect", x=x(upper - step) + 1, y=y(count), width=x(step) - x(0) - 2, height=bottom - y(count),
            style=f"fill:{COLOURS['orange' if upper - step >= limit else 'blue']}",
            fill_opacity=0.55 if upper - step >= limit else None,
        )
        for upper, count in counted if count
    ]  # fmt: skip
    ticks = [
        draw_words(x(t), bottom + 17, f"{t:g}", anchor="middle", soft=True)
        for t in choose_ticks(0, last, about=6)
    ]
    over = sum(length.tokens > limit for length in lengths)
    longest = max(length.tokens for length in lengths)
    said = f"Token lengths of {len(lengths)} examples, up to {longest}; {over} are longer than {limit}."
    line = []
    if limit < last:
        upright = format_path([[(x(limit), TOP - 8), (x(limit), bottom)]])
        line = [
            render_element("path", d=upright, stroke="currentColor", stroke_width=1.5),
            draw_words(x(limit), TOP - 12, f"cut at {limit}", anchor="middle"),
        ]
    return render_element(
        "svg",
        render_element("title", escape(said)),
        render_element("path", d=format_path([[(EDGE, bottom), (right, bottom)]]), stroke="currentColor"),
        *bars, *ticks, *line,
        render_element(
            "path", d=format_path([[(EDGE, TOP), (right, TOP)]]), stroke="currentColor", stroke_opacity=FAINT
        ),
        draw_words(EDGE - 7, y(most) + 5, str(most), anchor="end", soft=True),
        draw_words((EDGE + right) / 2, HEIGHT - 7, "tokens in an example", anchor="middle", soft=True),
        draw_words(6, 14, "examples", soft=True),
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {HEIGHT}", width="100%", role="img",
        aria_label=said, font_size=14, style="display:block;font-variant-numeric:tabular-nums",
    )  # fmt: skip
