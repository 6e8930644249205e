"""Memory over the steps of a real run with one long row, and what a paged optimizer could evict."""

import statistics
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from lora_lab.charts.drawing import build_chart, draw_box, draw_line, draw_words, render_drawing
from lora_lab.figures.recorded import describe_recording, read_recording
from lora_lab.memory.optimizer_state import (
    SMALLEST_PAGED_NUMBERS,
    compute_pageable_bytes,
    list_trained_tensors,
)
from lora_lab.parameters.shapes import find_shape
from study.base.units import MB, as_mb
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureTable, FigureView, build_computed_origin

HEIGHT = 280
LIMITS = tuple(range(700, 1801, 50))


@dataclass(frozen=True, kw_only=True)
class PagingSettings:
    limit: int = define_slider("Memory of the device", default=1600, stops=LIMITS, unit="MB")
    paging: str = define_choice("Optimizer", [("off", "not paged"), ("on", "paged")], default="on")


@dataclass(frozen=True, kw_only=True)
class PagingStep:
    """One step of the recorded run on a device with the given memory."""

    number: int
    tokens: int
    peak_bytes: int
    moved_bytes: int
    """The bytes of moments that would have to leave, at most those of tensors that bitsandbytes pages."""

    fits: bool


def list_steps(settings: PagingSettings) -> tuple[PagingStep, ...]:
    """Return every step with the bytes that paging moves; only the moments of large tensors can move."""
    run, limit_bytes = _read_run(), settings.limit * MB
    movable = compute_movable_bytes() if settings.paging == "on" else 0
    found = []
    for step in run["steps"]:
        over = max(0, step["peak_bytes"] - limit_bytes)
        # The first step allocates its moments only at its end, so nothing can move before that.
        moved = min(over, movable if step["step"] > 1 else 0)
        found.append(
            PagingStep(
                number=step["step"],
                tokens=step["tokens"],
                peak_bytes=step["peak_bytes"],
                moved_bytes=moved,
                fits=over <= moved,
            )
        )
    return tuple(found)


def compute_movable_bytes() -> int:
    """Return the bytes of the run's moments that bitsandbytes would page."""
    run = _read_run()
    shape = find_shape(read_recording("training")["model"])
    tensors = list_trained_tensors(shape.select(run["targets"]), rank=run["rank"], variant="lora")
    return compute_pageable_bytes(tensors)


def _read_run() -> dict[str, Any]:
    run: dict[str, Any] = read_recording("training")["spike"]
    return run


def show(settings: PagingSettings) -> FigureView:
    found, run = list_steps(settings), _read_run()
    highest = max(found, key=lambda step: step.peak_bytes)
    usual = statistics.median(step.peak_bytes for step in found)
    failing = [step for step in found if not step.fits]
    return FigureView(
        finding=_write_finding(settings, found, highest, failing),
        numbers=(
            ("usual peak", as_mb(usual)),
            (f"peak of step {highest.number}", as_mb(highest.peak_bytes)),
            ("optimizer moments", as_mb(run["optimizer_bytes"])),
            ("of these, paged", as_mb(compute_movable_bytes())),
            ("would move", as_mb(max(step.moved_bytes for step in found))),
        ),
        picture=_draw_picture(settings, found, highest),
        alt=(
            f"Peak memory of {len(found)} steps: about {as_mb(usual)} each, "
            f"{as_mb(highest.peak_bytes)} at step {highest.number}, whose row has {highest.tokens} "
            f"tokens. A line at {settings.limit:,} MB; {len(failing)} steps do not fit below it."
        ),
        origins=(
            describe_recording(
                "training",
                f"Peaks of {len(found)} real steps of SmolLM2-135M-Instruct, {run['bits']}, rank "
                f"{run['rank']}, all linear layers, batch {run['batch']}, seed {run['seed']}.",
            ),
            build_computed_origin(
                text=(
                    "what paging would move. On a GPU the driver does it between GPU and main memory "
                    "(arXiv:2305.14314 section 3); how long that takes was not measured: it needs a GPU. "
                    f"bitsandbytes pages the moments of tensors with {SMALLEST_PAGED_NUMBERS:,} numbers or "
                    "more, and nothing else"
                ),
                formula="moved = min(peak - memory, moments of large tensors)",
            ),
        ),
        table=FigureTable(
            columns=("step", "tokens", "peak", "would move", "fits"),
            rows=tuple(
                (
                    str(step.number),
                    str(step.tokens),
                    as_mb(step.peak_bytes),
                    as_mb(step.moved_bytes),
                    "yes" if step.fits else "no",
                )
                for step in found
            ),
        ),
    )


def _write_finding(
    settings: PagingSettings, found: tuple[PagingStep, ...], highest: PagingStep, failing: list[PagingStep]
) -> str:
    what = f"Step {highest.number}, with {highest.tokens} tokens, peaks at {as_mb(highest.peak_bytes)}."
    if failing:
        more = _explain_stop(failing[0]) if settings.paging == "on" else "nothing can move"
        return f"{what} With {settings.limit:,} MB the run stops at step {failing[0].number}: {more}."
    if highest.moved_bytes:
        return (
            f"{what} With {settings.limit:,} MB, paging moves {as_mb(highest.moved_bytes)} of moments out "
            "for that step, and the run continues."
        )
    return f"{what} With {settings.limit:,} MB every step fits, and nothing has to move."


def _explain_stop(first: PagingStep) -> str:
    if first.number == 1:
        return "moments are made only at the end of that step, so paging has nothing to move yet"
    return f"moving all {as_mb(compute_movable_bytes())} that bitsandbytes pages is not enough"


def _draw_picture(settings: PagingSettings, found: tuple[PagingStep, ...], highest: PagingStep) -> Markup:
    frame = build_chart(
        x_span=(0.4, len(found) + 0.6), y_span=(0, max(highest.peak_bytes / MB, settings.limit) * 1.02),
        x_label="step", y_label="peak memory, MB", height=HEIGHT,
        x_ticks=[(step.number, str(step.number)) for step in found],
    )  # fmt: skip
    bottom, limit = frame.y(0), frame.y(settings.limit)
    parts = []
    for step in found:
        x, width = frame.x(step.number - 0.36), frame.x(0.72) - frame.x(0)
        top, left_over = frame.y(step.peak_bytes / MB), frame.y((step.peak_bytes - step.moved_bytes) / MB)
        parts.append(draw_box(x, left_over, width, bottom - left_over, "w" if step.fits else "bad"))
        if step.moved_bytes:
            parts.append(draw_box(x, top, width, left_over - top, "m-optimizer pale"))
            parts.append(draw_box(x, top, width, left_over - top, "outline dashed"))
        if not step.fits:
            parts.append(draw_words(x + width / 2, top - 4, "✕", anchor="middle", bold=True))
    return render_drawing(
        HEIGHT,
        frame.render_axes(),
        *parts,
        draw_line([(frame.x.start, limit), (frame.x.end, limit)], "line ink dashed"),
        draw_words(frame.x.start + 4, limit - 6, f"{settings.limit:,} MB", bold=True),
    )
