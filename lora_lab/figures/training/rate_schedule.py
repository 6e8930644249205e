"""The learning rate over a run: a warm-up, then a constant, a straight line down, or half a cosine."""

from dataclasses import dataclass
from typing import cast

from markupsafe import Markup

from lora_lab.charts.drawing import build_chart, draw_beside, draw_dots, draw_line, draw_words, render_drawing
from lora_lab.quantities import Schedule, scheduled_rate
from study.base.units import as_percent
from study.figures.controls import define_choice, define_slider
from study.figures.figure import FigureTable, FigureView, build_computed_origin

HEIGHT = 260
STEPS = 1000
NAMES = {"constant": "constant", "linear": "linear", "cosine": "cosine"}
WARMUPS = (0, 10, 20, 30, 50, 100, 200, 300)
PLACES = tuple(range(0, STEPS + 1, 50))


@dataclass(frozen=True, kw_only=True)
class RateSettings:
    schedule: str = define_choice("Schedule", list(NAMES.items()), default="cosine")
    warmup: int = define_slider("Warm-up steps", default=30, stops=WARMUPS)
    step: int = define_slider("Look at step", default=500, stops=PLACES)


@dataclass(frozen=True, kw_only=True)
class RateNumbers:
    """Shares of the peak rate, in percent."""

    now: float
    mean: float
    """The mean over all steps of the run."""


def compute_percent_of_peak(settings: RateSettings, step: int) -> float:
    return 100 * scheduled_rate(cast(Schedule, settings.schedule), 1.0, step, STEPS, settings.warmup)


def compute_numbers(settings: RateSettings) -> RateNumbers:
    """Compute the chosen step's rate and the mean of the run."""
    return RateNumbers(
        now=compute_percent_of_peak(settings, settings.step),
        mean=sum(compute_percent_of_peak(settings, step) for step in range(STEPS)) / STEPS,
    )


def show(settings: RateSettings) -> FigureView:
    found = compute_numbers(settings)
    return FigureView(
        finding=(
            f"At step {settings.step:,} of {STEPS:,} the rate is at {as_percent(found.now)} of its peak. "
            f"Over the whole run it averages {as_percent(found.mean)}, so the rates of all steps add up to "
            "that share of a constant run's."
        ),
        numbers=(
            ("at this step", as_percent(found.now)),
            ("mean of the run", as_percent(found.mean)),
            ("warm-up", f"{settings.warmup} steps"),
        ),
        picture=_draw_picture(settings, found),
        alt=(
            f"The rate rises from 0 to 100 percent in {settings.warmup} steps and follows a "
            f"{settings.schedule} "
            f"schedule to step {STEPS:,}. At step {settings.step:,} it is at {as_percent(found.now)}."
        ),
        origins=(
            build_computed_origin(
                text="the schedules of Transformers' get_scheduler, in percent of the peak rate",
                formula="warm-up: step / warm-up; linear: 1 - p; cosine: (1 + cos(πp)) / 2, p from 0 to 1",
            ),
        ),
        table=FigureTable(
            columns=("step", "percent of the peak"),
            rows=tuple(
                (f"{step:,}", as_percent(compute_percent_of_peak(settings, step))) for step in PLACES[::2]
            ),
        ),
    )


def _draw_picture(settings: RateSettings, found: RateNumbers) -> Markup:
    frame = build_chart(
        x_span=(0, STEPS),
        y_span=(0, 100),
        x_label="step",
        y_label="% of the peak rate",
        height=HEIGHT,
        right=20,
    )
    curve = frame.map_points(
        (step, compute_percent_of_peak(settings, step)) for step in range(0, STEPS + 1, 5)
    )
    level = frame.y(found.mean)
    x, y = frame.map_points([(settings.step, found.now)])[0]
    return render_drawing(
        HEIGHT,
        frame.render_axes(),
        draw_line([(frame.x.start, level), (frame.x.end, level)], "line w dashed"),
        draw_words(frame.x.end, level + 15, "mean", anchor="end", soft=True),
        draw_line(curve, "line good"),
        draw_dots([(x, y)], "ring good", radius=6),
        draw_beside(
            x, y - 4 if y > 40 or x > 270 else y + 18, as_percent(found.now), gap=12, left=x > 270, bold=True
        ),
    )
