"""Memory inside one real step with and without checkpointing, and the operators that run again."""

from dataclasses import dataclass

from markupsafe import Markup

from lora_lab.charts.drawing import ChartFrame, build_chart, draw_line, draw_words, render_drawing
from lora_lab.data.batches import RowSize
from lora_lab.figures.recorded import describe_recording, read_recording
from lora_lab.memory.ledger import predict_ledger
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import Compute, RunSpec
from study.base.units import MB, as_mb, as_percent
from study.figures.controls import define_slider
from study.figures.figure import FigureTable, FigureView, build_computed_origin

HEIGHT = 270
LENGTHS = (64, 128, 256)


@dataclass(frozen=True, kw_only=True)
class CheckpointingSettings:
    seq_len: int = define_slider("Tokens in an example", default=256, stops=LENGTHS, only_stops=True)


@dataclass(frozen=True, kw_only=True)
class RecordedStep:
    checkpointing: bool
    peak_bytes: int
    predicted_bytes: int
    operators: int
    cpu_seconds: float
    live_bytes: tuple[int, ...]


def compare_steps(settings: CheckpointingSettings) -> tuple[RecordedStep, RecordedStep]:
    """Return the step without and with checkpointing, each with the peak that the lab computes."""
    recording = read_recording("training")
    kept = recording["inside_a_step"]
    compute: Compute = recording["provenance"]["compute_dtype"]
    found = []
    for one in kept["runs"]:
        if one["seq_len"] != settings.seq_len:
            continue
        spec = RunSpec(
            model=recording["model"], bits=kept["bits"], rank=kept["rank"], batch=kept["batch"],
            checkpointing=one["checkpointing"],
        )  # fmt: skip
        row = RowSize(lengths=(one["seq_len"],) * kept["batch"], answer_tokens=one["answer_tokens"])
        found.append(
            RecordedStep(
                checkpointing=one["checkpointing"],
                peak_bytes=one["peak_bytes"],
                predicted_bytes=predict_ledger(
                    find_shape(spec.model), spec, row, compute, graph=True
                ).total_bytes,
                operators=one["operators"],
                cpu_seconds=one["cpu_seconds"],
                live_bytes=tuple(one["live_bytes"]),
            )
        )
    without, with_ = sorted(found, key=lambda step: step.checkpointing)
    return without, with_


def show(settings: CheckpointingSettings) -> FigureView:
    without, with_ = compare_steps(settings)
    saved = 100 * (1 - with_.peak_bytes / without.peak_bytes)
    again = 100 * (with_.operators / without.operators - 1)
    kept = read_recording("training")["inside_a_step"]
    return FigureView(
        finding=(
            f"With {kept['batch']} examples of {settings.seq_len} tokens, checkpointing lowers the peak from "
            f"{as_mb(without.peak_bytes)} to {as_mb(with_.peak_bytes)}, {as_percent(saved)} less, and "
            f"runs {as_percent(again)} more operators, because each layer is computed again."
        ),
        numbers=(
            ("peak without", as_mb(without.peak_bytes)),
            ("peak with", as_mb(with_.peak_bytes)),
            ("operators", f"{without.operators:,} → {with_.operators:,}"),
            ("processor time", f"{without.cpu_seconds:.2f} s → {with_.cpu_seconds:.2f} s"),
        ),
        picture=_draw_picture(without, with_),
        alt=(
            "Live memory through one step. Without checkpointing it climbs to "
            f"{as_mb(without.peak_bytes)} and falls as the backward pass frees what it has used. With it, "
            f"it stays below {as_mb(with_.peak_bytes)}, with one small tooth for each layer that is "
            "computed again."
        ),
        origins=(
            describe_recording(
                "training",
                f"Step 2 of SmolLM2-135M-Instruct, {kept['bits']}, rank {kept['rank']}, all linear layers, "
                f"batch {kept['batch']}, seed {kept['seed']}, every tensor counted. Time: the fastest of "
                "four steps.",
            ),
            build_computed_origin(
                text=(
                    f"with PyTorch's graph the lab predicts peaks of {as_mb(without.predicted_bytes)} and "
                    f"{as_mb(with_.predicted_bytes)}: off by {_format_off(without)} and "
                    f"{_format_off(with_)} bytes"
                ),
            ),
        ),
        table=FigureTable(
            columns=("step", "peak", "predicted", "operators", "processor time"),
            rows=tuple(
                (
                    "with checkpointing" if step.checkpointing else "without",
                    f"{step.peak_bytes:,} B",
                    f"{step.predicted_bytes:,} B",
                    f"{step.operators:,}",
                    f"{step.cpu_seconds:.2f} s",
                )
                for step in (without, with_)
            ),
        ),
    )


def _format_off(step: RecordedStep) -> str:
    return f"{abs(step.predicted_bytes - step.peak_bytes):,}"


def _draw_picture(without: RecordedStep, with_: RecordedStep) -> Markup:
    frame = build_chart(
        x_span=(0, 100), y_span=(0, without.peak_bytes / MB),
        x_label="share of the step's operators, %", y_label="live memory, MB", height=HEIGHT,
    )  # fmt: skip
    tip = max(_place_points(without, frame), key=lambda point: -point[1])
    low = frame.y(min(with_.live_bytes) / MB)
    return render_drawing(
        HEIGHT,
        frame.render_axes(),
        draw_line(_place_points(without, frame), "line w"),
        draw_line(_place_points(with_, frame), "line good"),
        draw_words(tip[0] + 8, tip[1] + 4, f"without: {as_mb(without.peak_bytes)}", bold=True),
        draw_words(
            frame.x(50),
            low + 22,
            f"with checkpointing: {as_mb(with_.peak_bytes)}",
            anchor="middle",
            bold=True,
        ),
    )


def _place_points(step: RecordedStep, frame: ChartFrame) -> list[tuple[float, float]]:
    last = len(step.live_bytes) - 1
    return frame.map_points((100 * at / last, size / MB) for at, size in enumerate(step.live_bytes))
