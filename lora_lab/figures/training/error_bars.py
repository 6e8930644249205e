"""How far a score may lie from the truth: the error of a share of right answers, by number of questions."""

from dataclasses import dataclass
from math import sqrt

from markupsafe import Markup

from lora_lab.charts.drawing import build_chart, draw_line, draw_words, render_drawing
from lora_lab.quantities import accuracy_standard_error
from study.base.units import as_percent
from study.figures.controls import define_slider
from study.figures.figure import FigureTable, FigureView, build_computed_origin

HEIGHT = 280
COUNTS = (25, 50, 100, 164, 250, 500, 1000, 2500, 5000, 10_000)
NORMAL_95 = 1.96  # standard errors on each side that hold 95 % of a normal distribution


@dataclass(frozen=True, kw_only=True)
class ErrorBarSettings:
    questions: int = define_slider("Questions", default=164, stops=COUNTS)
    right: int = define_slider("Right answers in percent", 5, 95, default=70)


@dataclass(frozen=True, kw_only=True)
class ErrorBarNumbers:
    """A score's error at one number of questions, in percentage points."""

    standard_error: float

    @property
    def half_width(self) -> float:
        """Half the 95 % interval."""
        return NORMAL_95 * self.standard_error

    @property
    def needed_gap(self) -> float:
        """The gap of two models tested on different questions that their errors alone rarely make."""
        return self.half_width * sqrt(2)


def compute_numbers(right: int, questions: int) -> ErrorBarNumbers:
    return ErrorBarNumbers(standard_error=accuracy_standard_error(right / 100, questions))


def show(settings: ErrorBarSettings) -> FigureView:
    found = compute_numbers(settings.right, settings.questions)
    low, high = max(0.0, settings.right - found.half_width), min(100.0, settings.right + found.half_width)
    return FigureView(
        finding=(
            f"{settings.right} % right out of {settings.questions:,} questions puts the true score at "
            f"{low:.1f} to {high:.1f} %, with 95 % confidence. Two models, each tested on that many "
            f"questions of its own, should differ by at least {found.needed_gap:.1f} points before you call "
            "one better."
        ),
        numbers=(
            ("standard error", f"{found.standard_error:.2f} points"),
            ("95 % interval", f"± {found.half_width:.1f}"),
            ("gap to trust", f"{found.needed_gap:.1f} points"),
        ),
        picture=_draw_picture(settings),
        alt=(
            f"Intervals around {settings.right} % for {COUNTS[0]} to {COUNTS[-1]:,} questions, from "
            f"± {compute_numbers(settings.right, COUNTS[0]).half_width:.1f} to "
            f"± {compute_numbers(settings.right, COUNTS[-1]).half_width:.1f} points. "
            f"Chosen: {settings.questions:,}, ± {found.half_width:.1f}."
        ),
        origins=(
            build_computed_origin(
                text="the standard error of a mean of independent questions; arXiv:2411.00640 section 2",
                formula=(
                    f"√({settings.right / 100:g} × {1 - settings.right / 100:.2g} / {settings.questions:,}), "
                    f"times {NORMAL_95} on each side"
                ),
            ),
        ),
        table=FigureTable(
            columns=("questions", "standard error", "gap to trust"),
            rows=tuple(
                (f"{count:,}", as_percent(one.standard_error), f"{one.needed_gap:.1f} points")
                for count in COUNTS
                for one in [compute_numbers(settings.right, count)]
            ),
        ),
    )


def _draw_picture(settings: ErrorBarSettings) -> Markup:
    frame = build_chart(
        x_span=(COUNTS[0] * 0.8, COUNTS[-1] * 1.2), y_span=(0, 100), x_log=True,
        x_label="questions", y_label="right answers, %", height=HEIGHT, right=28,
        x_ticks=[(count, f"{count:,}") for count in (25, 100, 500, 2500, 10_000)],
    )  # fmt: skip
    bars = []
    for count in sorted({*COUNTS, settings.questions}):
        reach = compute_numbers(settings.right, count).half_width
        x = frame.x(count)
        top, bottom = frame.y(min(100, settings.right + reach)), frame.y(max(0, settings.right - reach))
        bars.append(
            draw_line([(x, top), (x, bottom)], "line good thick" if count == settings.questions else "line w")
        )
    level = frame.y(settings.right)
    x = frame.x(settings.questions)
    reach = compute_numbers(settings.right, settings.questions).half_width
    above = settings.right + reach < 92  # else the words would lie on the bar
    at = frame.y(settings.right + reach + 4) if above else frame.y(settings.right - reach - 4) + 10
    return render_drawing(
        HEIGHT,
        frame.render_axes(),
        draw_line([(frame.x.start, level), (frame.x.end, level)], "rule"),
        *bars,
        draw_words(max(x, frame.x.start + 24), at, f"± {reach:.1f}", anchor="middle", bold=True),
    )
